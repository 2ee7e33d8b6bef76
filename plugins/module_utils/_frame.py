# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step may end in, and the slice of time it has."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Optional, Tuple

from ._model import Event, Refusal, Step

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


class Vain(Exception):
    """The step was of no use, and nothing failed: the member has to go another way, so what was to follow here is not done."""


class Overtime(Exception):
    """A wait's time is over and the walk goes on all the same."""


def attempt(step: Step, host: str, clock: Clock, do: Callable[[Step], Optional[str]]) -> Tuple[Event, Optional[Step], Optional[Exception]]:
    """Do the step once: its event, the step to send again if its wait is not over, and the :class:`Failed` or :class:`Refusal` it ended in.

    What passed between two calls counts, too: the clock is the host's in both.
    """
    if "began" in step.resume:
        step = replace(step, elapsed=max(step.elapsed, clock.now() - step.resume["began"]))
    began, stamp = clock.now() - step.elapsed, time.time() - step.elapsed
    waiting: Optional[Step] = None
    failed: Optional[Exception] = None
    try:
        detail = do(step)
        outcome = "ok" if detail is not None else "unchanged"
    except Waiting as wait:
        outcome, detail = "waiting", wait.detail
        waiting = replace(step, elapsed=clock.now() - began, resume={**wait.resume, "began": began})
    except Overtime as over:
        outcome, detail = "overtime", str(over)
    except Vain as vain:
        outcome, detail = "vain", str(vain)
    except (Failed, Refusal) as error:
        outcome, detail, failed = "failed", str(error), error
    return Event(step.name, step.member, outcome, stamp, clock.now() - began, detail or "", host), waiting, failed


class Frame:
    """The slice that a call has, what its steps tell on the way, and what they found that a later one, by its name, goes on with."""

    def __init__(self, clock: Clock, end: float) -> None:
        self.clock = clock
        self.end = end
        self.reloads: List[str] = []
        self.found: Dict[str, Dict[str, Any]] = {}

    def is_over(self) -> bool:
        return self.clock.now() >= self.end

    def pause(self, detail: str, seconds: float = LOOK, **resume: Any) -> None:
        """Sleep a moment, or end the slice."""
        if self.is_over():
            raise Waiting(detail, resume)
        self.clock.sleep(seconds)
