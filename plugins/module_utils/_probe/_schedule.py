# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moments at which requests are due, whatever becomes of those before them, and the end of all of them."""

from __future__ import annotations

import math
import threading
import time
from typing import NamedTuple, Optional


class End:
    """The end of a probe: nothing is due after it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.at = math.inf  # by the monotonic clock

    def set(self) -> None:
        if not self._event.is_set():
            self.at = time.monotonic()
            self._event.set()

    def wait(self, seconds: float) -> bool:
        """Whether it came within so many seconds."""
        return self._event.wait(max(0.0, seconds))


class Due(NamedTuple):
    """A request that is due, by the monotonic clock. ``awaited``: somebody was there before its moment."""

    at: float
    awaited: bool


class Schedule:
    """One request every ``1 / rate`` seconds from ``begin`` on: the n-th is due at ``begin + n / rate``, and nothing else is remembered.

    Whoever has nothing to do waits in :meth:`take`, one of them for the moment, the others for their turn.
    """

    def __init__(self, rate: float, begin: float, end: End) -> None:
        self._rate, self._begin, self._end = rate, begin, end
        self._number = 0
        self._lock = threading.Lock()

    def take(self) -> Optional[Due]:
        """The next request, when it is due or was; None when nothing is due any more."""
        with self._lock:
            at = self._begin + self._number / self._rate
            awaited = False
            while at <= self._end.at:
                wait = at - time.monotonic()
                if wait <= 0:
                    self._number += 1
                    return Due(at, awaited)
                awaited = True
                self._end.wait(wait)
            return None

    def next_at(self) -> Optional[float]:
        """The moment of the next request, None when nothing is due any more."""
        at = self._begin + self._number / self._rate
        return at if at <= self._end.at else None

    def waiting(self, now: float) -> int:
        """How many are due and were not taken."""
        until = min(now, self._end.at)
        return max(0, math.floor((until - self._begin) * self._rate) + 1 - self._number) if until >= self._begin else 0
