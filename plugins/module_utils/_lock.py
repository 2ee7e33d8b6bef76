# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time for a service: a lease with an owner and a fencing token, in a file under a file lock.

The lease ends by the clock of the host that keeps it, so a dead owner's ends by itself. Tokens only grow: a run that
was thought dead and wakes up holds an older one, and every changing call compares it (:mod:`._fence`).
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Callable, ContextManager, Dict, Optional, Tuple

from . import _files
from ._model import Refusal

PATIENCE = 30.0  # seconds for the file's lock, which is held for milliseconds: longer means that its process was stopped
Clock = Callable[[], float]


@dataclass(frozen=True)
class Lease:
    """Who holds the service. Times in seconds since the epoch; ``owner`` names person, controller and process.

    ``touched`` is the last sign of life. ``broken`` tells of the last lease that a person ended: its ``token``, ``by``
    whom (an owner), ``reason`` and ``at``.
    """

    token: int
    owner: Dict[str, Any]
    reason: str
    since: float
    until: float
    touched: float = 0.0
    broken: Optional[Dict[str, Any]] = None

    def left(self, now: float) -> float:
        """Seconds that it lasts without a further sign of life; 0 when it is over.

        Never more than it was given at the last one: a clock that was set back would make it last as long again.
        """
        return max(0.0, min(self.until - now, self.until - self.touched))


class Held(Refusal):
    """Somebody else holds the lease."""

    def __init__(self, lease: Lease, now: float) -> None:
        super().__init__(f"another run holds the lock: {describe(lease, now)}.")
        self.lease = lease


def who(owner: Dict[str, Any]) -> str:
    """An owner in words: the AWX user and job, else user, controller and process."""
    if owner.get("job"):
        return f"{owner.get('user')} (AWX job {owner['job']})"
    return f"{owner.get('user')}@{owner.get('controller')} (pid {owner.get('pid')})" if owner else "nobody knows who"


def describe(lease: Lease, now: float) -> str:
    """The lease in words, for whoever meets it. Times are the local ones of the host that keeps it."""
    left = lease.left(now)
    return (
        f"{who(lease.owner)}, {lease.reason}, since {_local(lease.since)} ({_span(now - lease.since)} ago), "
        f"until {_local(now + left)} (in {_span(left)}) unless it gives a sign of life"
    )


def _local(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(moment))


def _span(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _path(folder: str) -> str:
    return f"{folder}/lease.json"


def guarded(folder: str) -> ContextManager[None]:
    """One process at a time at what is kept there. :class:`Refusal` where nothing is installed."""
    if not os.path.isdir(folder):
        raise Refusal(f"{folder}, where the lock is kept, is not there: run hotswap.bluegreen.install on this host first.")
    return _files.locked(f"{folder}/.lease.lock", PATIENCE)


def _load(folder: str) -> Optional[Lease]:
    """The last lease, in force or over. :class:`Refusal` for a file that is none: who knows what a run holds then."""
    text = _files.read(_path(folder))
    if text is None:
        return None
    try:
        data = json.loads(text)
        known = {field.name for field in fields(Lease)}
        lease = Lease(**{name: value for name, value in data.items() if name in known})
        if (
            isinstance(lease.token, bool)
            or not isinstance(lease.token, int)
            or not isinstance(lease.owner, dict)
            or not isinstance(lease.broken, (dict, type(None)))
        ):
            raise TypeError
        if not all(math.isfinite(moment) for moment in (lease.since, lease.until, lease.touched)):
            raise ValueError
    except (ValueError, TypeError, AttributeError):
        raise Refusal(
            f"{_path(folder)} is not a lease: {text[:60]!r}. Make sure that no run is at work on this service, then break the lock with "
            "hotswap.bluegreen.unlock, which writes the file anew."
        ) from None
    return lease


def _save(folder: str, lease: Lease) -> Lease:
    _files.write(_path(folder), json.dumps(asdict(lease), sort_keys=True) + "\n", 0o600)
    return lease


def _renewed(lease: Lease, now: float, seconds: float) -> Lease:
    return replace(lease, since=min(lease.since, now), until=now + seconds, touched=now)


def is_kept(folder: str) -> bool:
    """Whether a lock of the service was ever kept here."""
    return os.path.exists(_path(folder))


def holder(folder: str, clock: Clock = time.time) -> Optional[Lease]:
    """The lease in force, or None."""
    lease = _load(folder)
    return lease if lease and lease.left(clock()) else None


def acquire(folder: str, owner: Dict[str, Any], reason: str, seconds: float, dead: int = 0, mine: int = 0, above: int = 0, clock: Clock = time.time) -> Lease:
    """Take the lease for ``seconds``, with a token above every earlier one and ``above``. :class:`Held` if another run has it.

    It is not another's with the token ``mine``, which the caller has from before: then it is extended. One with the
    token ``dead`` is taken over, because the caller knows that its owner is gone (its own machine, no such process).
    """
    with guarded(folder):
        now = clock()
        last = _load(folder)
        if last and last.left(now) and last.token == mine:
            return _save(folder, _renewed(last, now, max(seconds, last.left(now))))
        if last and last.left(now) and last.token != dead:
            if last.touched > now:  # the clock was set back: from here on it ends as it would have ended
                last = _save(folder, _renewed(last, now, last.left(now)))
            raise Held(last, now)
        token = max(last.token if last else 0, above) + 1
        return _save(folder, Lease(token, owner, reason, now, now + seconds, now, last.broken if last else None))


def extend(folder: str, token: int, seconds: float, shorten: bool = True, above: int = 0, clock: Clock = time.time) -> Lease:
    """Hold on until ``seconds`` from now, sooner than before only with ``shorten``. The token grows if it is not above ``above``.

    :class:`Refusal` if the lease was lost: another run may be at work.
    """
    with guarded(folder):
        now = clock()
        lease = _load(folder)
        if lease is None or lease.token != token or not lease.left(now):
            raise Refusal(_lost(lease, token, now))
        wanted = seconds if shorten else max(seconds, lease.left(now))
        return _save(folder, replace(_renewed(lease, now, wanted), token=max(token, above + 1)))


def _lost(lease: Optional[Lease], token: int, now: float) -> str:
    """Why the run with ``token`` has no lease any more."""
    broken = lease.broken if lease else None
    if broken and broken.get("token") == token:
        why = f"this run's lock was broken by {who(broken['by'])} at {_local(broken['at'])} ({_span(now - broken['at'])} ago): {broken['reason']}"
    else:
        why = "this run lost its lock (it was silent too long, or it was taken)"
    other = f"; now: {describe(lease, now)}" if lease and lease.left(now) and lease.token != token else ""
    return f"{why}{other}. Nothing more is changed; run again."


def release(folder: str, token: int, clock: Clock = time.time) -> None:
    """Give the lease back; one that is not ours is left alone."""
    with guarded(folder):
        lease = _load(folder)
        if lease and lease.token == token:
            _save(folder, _renewed(lease, clock(), 0.0))


def end(folder: str, by: Dict[str, Any], reason: str, above: int = 0, clock: Clock = time.time) -> Optional[Tuple[str, Lease]]:
    """End the lease of whoever holds it: who that was, in words, and what is left of the lease. None if nobody holds it.

    The new token is above the holder's and ``above``, and nobody has it. A file that is no lease is written anew.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise Refusal("breaking a lock needs a reason, which the run that holds it is told.")
    with guarded(folder):
        now = clock()
        try:
            lease = _load(folder)
        except Refusal as error:
            lease, held_by = Lease(0, {}, "", now, now), str(error).partition(". ")[0]
        else:
            if lease is None or not lease.left(now):
                return None
            held_by = describe(lease, now)
        broken = {"token": lease.token, "by": by, "reason": reason, "at": now}
        return held_by, _save(folder, replace(_renewed(lease, now, 0.0), token=max(lease.token, above) + 1, broken=broken))
