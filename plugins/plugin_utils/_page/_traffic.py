# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients had of the run: requests a second by release, what failed, and p50 and p95, as paths on the lanes' time axis."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._window import Window, since

Record = Mapping[str, Any]

_MOST = 240  # points that are drawn
_ROWS = 30  # of the table
_HIGH, _LOW = 120.0, 84.0  # pixels: requests, latencies
_ACROSS = 1000.0  # units of a path's width
FAILED = "failed"


@dataclass(frozen=True)
class Point:
    """Some seconds of the probe: numbers of requests, latencies in seconds (0: nothing was answered)."""

    start: float
    end: float
    due: int
    by_release: Mapping[str, int]
    failed: Mapping[str, int]
    p50: float
    p95: float

    @property
    def misses(self) -> int:
        return sum(self.failed.values())

    def rate(self, number: int) -> float:
        return number / max(self.end - self.start, 0.001)


def points(probe: Record, most: int, window: Window | None = None) -> list[Point]:
    """The probe's points, so many put together that there are not more than ``most``."""
    series = probe["series"]
    start, width, last = series["start"], series["width"], probe["ended"] or math.inf
    found = []
    for number, point in enumerate(series["points"]):
        begins = start + number * width
        ends = min(begins + width, max(last, begins + width / 2))
        if window is None or window.covers(begins, ends):
            found.append(Point(begins, ends, point["due"], point["by_release"], point["failed"], point["p50"], point["p95"]))
    group = -(-len(found) // most) or 1
    return [_together(found[first : first + group]) for first in range(0, len(found), group)]


def _together(part: Sequence[Point]) -> Point:
    if len(part) == 1:
        return part[0]
    answered = [point for point in part if point.p95 > 0]
    return Point(
        part[0].start,
        part[-1].end,
        sum(point.due for point in part),
        _sum(point.by_release for point in part),
        _sum(point.failed for point in part),
        statistics.median(point.p50 for point in answered) if answered else 0.0,
        max((point.p95 for point in answered), default=0.0),
    )


def _sum(parts: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in parts:
        for name, number in part.items():
            found[name] = found.get(name, 0) + number
    return found


def traffic(record: Record, window: Window, colour: Mapping[str, str]) -> dict[str, Any] | None:
    """All that is drawn of requests; None without a probe."""
    probe = record["probe"]
    drawn = points(probe, _MOST, window) if probe else []
    if not probe or not drawn:
        return None
    order = sorted({name for point in drawn for name in point.by_release}, key=lambda name: (colour[name] == "new", colour[name], name))
    highest = max(1.0, *(point.rate(sum(point.by_release.values()) + point.misses) for point in drawn))
    scale = _nice(highest * 1.05)  # what failed is on top, and must be seen there
    return {
        "high": _HIGH,
        "low": _LOW,
        "layers": _layers(drawn, order, window, colour, scale[-1]),
        "scale": [(f"{value:g}", round(_HIGH * (1 - value / scale[-1]), 1)) for value in scale],
        "slices": [_slice(point, order, window) for point in drawn],
        "marks": [_mark(point, probe, window) for point in drawn if point.misses],
        "latency": _latency(drawn, window),
        "table": [_row(point, order, window) for point in points(probe, _ROWS)],
        "releases": [name or "not known" for name in order],
    }


def _nice(highest: float) -> list[float]:
    """Three or four round values from 0 to above the highest."""
    rough = highest / 3
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [step * number for number in range(math.ceil(highest / step - 1e-6) + 1)]


def _layers(drawn: Sequence[Point], order: Sequence[str], window: Window, colour: Mapping[str, str], top: float) -> list[dict[str, str]]:
    """An area for each release, and one for what failed, each on top of the ones before."""
    floor = [0.0] * len(drawn)
    found = []
    for name in [*order, None]:
        many = [point.rate(point.misses if name is None else point.by_release.get(name, 0)) for point in drawn]
        ceiling = [low + more for low, more in zip(floor, many, strict=True)]
        if any(many):
            kind = FAILED if name is None else colour[name]
            label = FAILED if name is None else name or "not known"
            found.append({"kind": f"r-{kind}", "name": label, "path": _area(drawn, floor, ceiling, window, top)})
        floor = ceiling
    return found


def _area(drawn: Sequence[Point], floor: Sequence[float], ceiling: Sequence[float], window: Window, top: float) -> str:
    def y(value: float) -> str:
        return f"{_HIGH * (1 - value / top):.1f}"

    edges = [(f"{_across(point.start, window):.1f}", f"{_across(point.end, window):.1f}") for point in drawn]
    there = [f"{left},{y(high)} {right},{y(high)}" for (left, right), high in zip(edges, ceiling, strict=True)]
    back = [f"{right},{y(low)} {left},{y(low)}" for (left, right), low in zip(edges, floor, strict=True)]
    return f"M{' '.join(there)} {' '.join(reversed(back))}Z"


def _across(at: float, window: Window) -> float:
    return window.x(at) * _ACROSS / 100


def _slice(point: Point, order: Sequence[str], window: Window) -> dict[str, Any]:
    """A strip over the whole height, with the numbers of its seconds in words."""
    x = window.x(point.start)
    parts = [f"{name or 'not known'} {point.rate(point.by_release[name]):.0f}/s" for name in order if point.by_release.get(name)]
    parts += [f"{number:,} failed: {kind}" for kind, number in point.failed.items() if number]
    parts += [f"p50 {duration(point.p50)}, p95 {duration(point.p95)}"] if point.p95 else ["nothing was answered"]
    return {"x": x, "width": round(max(window.x(point.end) - x, 0.05), 3), "title": f"{since(max(point.start - window.zero, 0))}: {', '.join(parts)}"}


def _mark(point: Point, probe: Record, window: Window) -> dict[str, Any]:
    """What failed in these seconds, with the first that are known in words."""
    details = [f"{item['kind']}: {item['class']}, {item['detail']}" for item in probe["failures"] if point.start <= item["at"] < point.end]
    words = "\n".join([f"{number:,} failed: {kind}" for kind, number in point.failed.items() if number] + details[:5])
    return {"x": window.x((point.start + point.end) / 2), "many": f"{point.misses:,}", "title": words}


def _latency(drawn: Sequence[Point], window: Window) -> dict[str, Any] | None:
    """p50 and p95 on a logarithmic scale, where a stall of seconds and milliseconds can both be read."""
    known = [value for point in drawn for value in (point.p50, point.p95) if value > 0]
    if not known:
        return None
    low = math.floor(math.log10(max(min(known), 1e-4)))
    high = max(math.ceil(math.log10(max(*known, 1e-4)) - 1e-9), low + 1)

    def y(value: float) -> float:
        return _LOW * (1 - (math.log10(max(value, 10.0**low)) - low) / (high - low))

    decades = range(low, high + 1)
    return {
        "p50": _line(drawn, [point.p50 for point in drawn], y, window),
        "p95": _line(drawn, [point.p95 for point in drawn], y, window),
        "scale": [(duration(10.0**power), round(y(10.0**power), 1)) for power in decades],
    }


def _line(drawn: Sequence[Point], values: Sequence[float], y: Any, window: Window) -> str:
    """A line through the middles of the points; it has a gap where nothing was answered."""
    parts, pen = [], "M"
    for point, value in zip(drawn, values, strict=True):
        if value > 0:
            parts.append(f"{pen}{_across((point.start + point.end) / 2, window):.1f},{y(value):.1f}")
        pen = "L" if value > 0 else "M"
    return "".join(parts)


def _row(point: Point, order: Sequence[str], window: Window) -> list[str]:
    numbers = [f"{point.by_release.get(name, 0):,}" for name in order]
    latencies = [duration(point.p50) if point.p50 else "-", duration(point.p95) if point.p95 else "-"]
    return [since(max(point.start - window.zero, 0)), f"{point.due:,}", *numbers, f"{point.misses:,}", *latencies]


def duration(seconds: float) -> str:
    """A latency: 0.4 ms, 12 ms, 1.4 s."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    milliseconds = seconds * 1000
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.2g} ms"
