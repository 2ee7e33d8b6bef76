# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a probe is told: the kinds of requests, and how long. Travels as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Dict, Tuple, Union


@dataclass(frozen=True)
class Kind:
    """Requests of one kind, ``rate`` a second, over ``connections`` at most; of a WebSocket, ``rate`` messages on each of them.

    ``statuses`` are right ones. ``keep`` false is a new connection for each request. ``body_seconds`` is how long the body
    is on its way, in pieces. ``verify`` is whether a certificate is checked, or the file of authorities to check it with.
    A WebSocket without a text to ``send`` listens, and expects a message each ``timeout`` seconds.
    """

    name: str
    url: str
    type: str = "http"
    method: str = "GET"
    headers: Dict[str, str] = field(default_factory=dict, repr=False)
    body: str = field(default="", repr=False)
    body_seconds: float = 0.0
    statuses: Tuple[int, ...] = (200,)
    expect_body: str = ""
    expect_json: Dict[str, Any] = field(default_factory=dict)
    expect_header: Dict[str, str] = field(default_factory=dict)
    keep: bool = True
    connections: int = 8
    rate: float = 10.0
    timeout: float = 10.0
    send: str = ""
    verify: Union[bool, str] = True


@dataclass(frozen=True)
class Settings:
    """A probe. ``release`` has ``header`` or ``json``, a dotted path: where an answer says who gave it. ``limit`` is in seconds.

    ``down`` is ``refuse`` or ``allow``: whether it begins although a kind was asked once and had no right answer.
    ``owner`` is the process (pid, start) whose end is the probe's, too; empty for none.
    """

    kinds: Tuple[Kind, ...]
    release: Dict[str, str] = field(default_factory=dict)
    limit: float = 3600.0
    down: str = "refuse"
    owner: Dict[str, int] = field(default_factory=dict)


def dumps(settings: Settings) -> str:
    """The settings as one text: it may hold tokens, and is never shown."""
    return json.dumps(dataclasses.asdict(settings))


def loads(text: str) -> Settings:
    """The settings that :func:`dumps` wrote."""
    given = json.loads(text)
    kinds = tuple(Kind(**{**kind, "statuses": tuple(kind["statuses"])}) for kind in given.pop("kinds"))
    return Settings(kinds=kinds, **given)
