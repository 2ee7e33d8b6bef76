# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step may end in, and the slice of time it has."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List

LOOK = 0.01  # seconds between looks at something that changes by itself


@dataclass(frozen=True)
class Clock:
    """Time as the steps use it; tests bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Waiting(Exception):
    """The slice is over before the wait is."""

    def __init__(self, detail: str, resume: Dict[str, Any]) -> None:
        super().__init__(detail)
        self.detail = detail
        self.resume = resume


class Failed(Exception):
    """A member is not as it must be: ``member``, where the step has several or is another host's."""

    def __init__(self, expected: str, seen: str, member: str = "") -> None:
        super().__init__(seen)
        self.expected = expected
        self.seen = seen
        self.member = member


class Overtime(Exception):
    """A wait's time is over and the walk goes on all the same."""


class Frame:
    """The slice that a call has, and what its steps tell on the way."""

    def __init__(self, clock: Clock, end: float) -> None:
        self.clock = clock
        self.end = end
        self.reloads: List[str] = []

    def is_over(self) -> bool:
        return self.clock.now() >= self.end

    def pause(self, detail: str, seconds: float = LOOK, **resume: Any) -> None:
        """Sleep a moment, or end the slice."""
        if self.is_over():
            raise Waiting(detail, resume)
        self.clock.sleep(seconds)
