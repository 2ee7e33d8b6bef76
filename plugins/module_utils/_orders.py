# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person tells the run that has the lock: go on, or go back. A file beside the lease, for that run's token alone."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Optional

from . import _files, _lock
from ._model import Refusal

PROMOTE, ABORT = ORDERS = ("promote", "abort")
NEXT, ALL = TO = ("next", "all")


@dataclass(frozen=True)
class Order:
    """``order`` is promote or abort, ``to`` how far a promotion goes: the next step, or all requests. ``by`` is an owner, ``at`` seconds since the epoch."""

    token: int
    order: str
    by: Dict[str, Any]
    at: float
    reason: str = ""
    to: str = NEXT


def give(folder: str, order: str, by: Dict[str, Any], reason: str, to: str = NEXT, clock: _lock.Clock = time.time) -> Optional[_lock.Lease]:
    """Leave the order for the run that holds the lease, in the place of an earlier one: that lease, None if no run is at work."""
    reason = " ".join(reason.split())
    if order == ABORT and not reason:
        raise Refusal("ending a canary needs a reason, which its run is told.")
    with _lock.guarded(folder):
        lease = _lock.holder(folder, clock)
        if lease:
            text = json.dumps(asdict(Order(lease.token, order, by, clock(), reason, to)), sort_keys=True)
            _files.write(_path(folder), text + "\n", 0o600)
        return lease


def heard(folder: str, token: int) -> Optional[Order]:
    """The order for the run with this token, if there is one. A file that is no order is none."""
    text = _files.read(_path(folder))
    try:
        data = json.loads(text or "{}")
        known = {field.name for field in fields(Order)}
        found = Order(**{name: value for name, value in data.items() if name in known})
    except (ValueError, TypeError, AttributeError):
        return None
    usable = found.token == token and found.order in ORDERS and found.to in TO and isinstance(found.by, dict) and isinstance(found.reason, str)
    return found if usable else None


def obeyed(folder: str, token: int, at: float = 0.0) -> None:
    """Take away the order of this run; with ``at``, the moment at which it was given, not a later one."""
    with _lock.guarded(folder):
        found = heard(folder, token)
        if found and at in (0.0, found.at):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_path(folder))


def _path(folder: str) -> str:
    return f"{folder}/order.json"
