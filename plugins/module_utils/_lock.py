# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time for a service: a lease with an owner and a fencing token, in a file under a file lock.

The lease ends by the clock of the host that keeps it, so a dead owner's ends by itself. Tokens only grow: a run that
was thought dead and wakes up holds an older one, and every changing call compares it (:func:`fence`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional

from . import _files
from ._model import Refusal


@dataclass(frozen=True)
class Lease:
    """Who holds the service. Times in seconds since the epoch; ``owner`` names person, controller and process."""

    token: int
    owner: Dict[str, Any]
    reason: str
    since: float
    until: float


class Held(Refusal):
    """Somebody else holds the lease."""

    def __init__(self, lease: Lease, now: float) -> None:
        super().__init__(f"another run holds the lock: {describe(lease, now)}. Wait for its end; a dead run's lock ends by itself.")
        self.lease = lease


def describe(lease: Lease, now: float) -> str:
    """The lease in words."""
    who = f"{lease.owner.get('user')}@{lease.owner.get('controller')} (pid {lease.owner.get('pid')})"
    return f"{who}, {lease.reason}, since {now - lease.since:.0f} s, until it is silent for {max(0, lease.until - now):.0f} s more"


def _path(folder: str) -> str:
    return f"{folder}/lease.json"


def _load(folder: str) -> Optional[Lease]:
    text = _files.read(_path(folder))
    return Lease(**json.loads(text)) if text else None


def _save(folder: str, lease: Lease) -> Lease:
    _files.write(_path(folder), json.dumps(lease.__dict__, sort_keys=True) + "\n", 0o600)
    return lease


def holder(folder: str, clock: Callable[[], float] = time.time) -> Optional[Lease]:
    """The lease in force, or None."""
    lease = _load(folder)
    return lease if lease and lease.until > clock() else None


def acquire(folder: str, owner: Dict[str, Any], reason: str, seconds: float, dead: int = 0, clock: Callable[[], float] = time.time) -> Lease:
    """Take the lease for ``seconds``. :class:`Held` if another run has it, unless its token is ``dead``.

    ``dead`` is the token of a lease whose owner the caller knows to be gone (its own machine, no such process).
    """
    with _files.locked(f"{folder}/.lease.lock"):
        now = clock()
        last = _load(folder)
        if last and last.until > now and last.token != dead:
            raise Held(last, now)
        return _save(folder, Lease((last.token if last else 0) + 1, owner, reason, now, now + seconds))


def extend(folder: str, token: int, seconds: float, clock: Callable[[], float] = time.time) -> Lease:
    """Hold on until ``seconds`` from now, be that later or sooner than before. :class:`Refusal` if the lease was lost: another run may be at work."""
    with _files.locked(f"{folder}/.lease.lock"):
        now = clock()
        lease = _load(folder)
        if lease is None or lease.token != token or lease.until <= now:
            other = f"; now: {describe(lease, now)}" if lease and lease.until > now else ""
            raise Refusal(f"this run lost its lock (it was silent too long, or it was taken){other}. Nothing more is changed; run again.")
        return _save(folder, Lease(token, lease.owner, lease.reason, lease.since, now + seconds))


def release(folder: str, token: int, clock: Callable[[], float] = time.time) -> None:
    """Give the lease back; one that is not ours is left alone."""
    with _files.locked(f"{folder}/.lease.lock"):
        lease = _load(folder)
        if lease and lease.token == token:
            _save(folder, Lease(token, lease.owner, lease.reason, lease.since, clock()))


def fence(folder: str, token: int) -> None:
    """:class:`Refusal` if this host has seen a younger run than ``token``; remembers it otherwise."""
    path = f"{folder}/.fence"
    with _files.locked(f"{folder}/.fence.lock"):
        highest = int(_files.read(path) or 0)
        if token < highest:
            raise Refusal(f"this run (token {token}) has been overtaken by a younger one (token {highest}). Nothing more is changed.")
        if token > highest:
            _files.write(path, f"{token}\n", 0o600)
