# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time axis that all pictures of a page share: which part of the run it shows, and where its ticks are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)  # seconds
_TICKS = 9  # at most
_LONG = 60.0  # seconds of a run of which, if that is less than a
_SMALL = 0.25  # share of it, the part in which members changed gets the whole width


@dataclass(frozen=True)
class Tick:
    """A mark of the axis: where it is in percent of the width, in words, and whether a narrow screen has room for its words."""

    x: float
    words: str
    always: bool


@dataclass(frozen=True)
class Window:
    """From ``start`` to ``end`` (epoch seconds); ``zero`` is when the run began."""

    start: float
    end: float
    zero: float
    whole: bool = True

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Window:
        """The whole run, or, where it waited long for something else, the part in which anything happened to members or clients."""
        began, ended = record["began"], max(record["ended"], record["began"] + 0.1)
        moments = [edge for member in record["members"] for span in member["lane"] for edge in (span["start"], span["end"])]
        moments += [failure["at"] for failure in record["failures"]]
        moments += [failure["at"] for failure in (record["probe"] or {}).get("failures", ())]
        inside = [moment for moment in moments if began < moment < ended]
        if not inside or ended - began < _LONG or (max(inside) - min(inside)) >= _SMALL * (ended - began):
            return cls(began, ended, began)
        margin = max(0.15 * (max(inside) - min(inside)), 2.0)
        return cls(max(began, min(inside) - margin), min(ended, max(inside) + margin), began, whole=False)

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def x(self, at: float) -> float:
        """A moment in percent of the width; what is outside stands at the edge."""
        return round(100 * min(max((at - self.start) / self.seconds, 0.0), 1.0), 3)

    def covers(self, start: float, end: float) -> bool:
        return end >= self.start and start <= self.end

    def ticks(self) -> list[Tick]:
        """Ticks at round times since the run began, not more than can be read."""
        step = next((step for step in _STEPS if self.seconds / step <= _TICKS), self.seconds / _TICKS)
        first = math.ceil((self.start - self.zero) / step - 1e-6)
        last = math.floor((self.end - self.zero) / step + 1e-6)
        numbers = list(range(first, last + 1))[: 2 * _TICKS]
        sparse = 2 if len(numbers) <= 6 else 3
        return [Tick(self.x(self.zero + number * step), since(number * step), number % sparse == 0) for number in numbers]


def since(seconds: float) -> str:
    """A time since the run began, as the axis has it: 0.5 s, 20 s, 1:20, 1:05:00."""
    if seconds < 60:
        return f"{round(seconds, 1):g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
