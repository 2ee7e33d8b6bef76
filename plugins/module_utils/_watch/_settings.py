# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watch is told: from the file that was installed beside it, as :mod:`_watch_install` has written and checked it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Tuple

from .._parts import Supervisor
from . import _checks, _ignore
from ._checks import Check

RESTART = "restart"


@dataclass(frozen=True)
class Settings:
    """``ignore`` comes after the patterns of ours; ``reload`` is a signal's name or ``restart``; ``user`` is whom all commands run as; times in seconds."""

    program: str
    paths: Tuple[str, ...]
    ignore: Tuple[str, ...] = ()
    checks: Tuple[Check, ...] = _checks.DEFAULT
    debounce: float = 0.3
    debounce_max: float = 5.0
    check_timeout: float = 60.0
    build: Tuple[str, ...] = ()
    build_timeout: float = 300.0
    reload: str = RESTART
    health_url: str = ""
    start_timeout: float = 30.0
    poll: float = 0.0
    user: str = ""
    environment: Dict[str, str] = field(default_factory=dict)
    supervisor: Supervisor = field(default_factory=Supervisor)

    @property
    def patterns(self) -> Tuple[str, ...]:
        """All that is ignored, ours first, so that a pattern of the user's can take one back."""
        return (*_ignore.DEFAULT, *self.ignore)


def dumps(settings: Settings) -> str:
    return json.dumps(asdict(settings), sort_keys=True, indent=1) + "\n"


def loads(text: str) -> Settings:
    told: Dict[str, Any] = json.loads(text)
    checks = tuple(Check(tuple(check["match"]), tuple(check["command"])) for check in told.pop("checks"))
    supervisor = Supervisor(**told.pop("supervisor"))
    plain: Any = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return Settings(checks=checks, supervisor=supervisor, **plain)
