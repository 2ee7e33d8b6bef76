# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was due and what came of it, in bounded memory: every request that was due ends as answered or as failed.

Latencies count from the moment at which a request was due, so that a stall is not hidden by the requests that it held up.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Dict, List, Mapping, Optional

MOST_POINTS = 1200
_MOST_FAILURES = 1000  # in words; all are counted
_MOST_RELEASES = 50  # a server that names another one with each answer does not fill the memory
_LETTERS = 300  # of a text that is kept
OTHERS = "(others)"
_FINE = 32  # buckets of a histogram between a number and its double: 3 %


class Histogram:
    """How many latencies there were of each size, to 3 %, and the largest. It has about a thousand sizes at most."""

    def __init__(self) -> None:
        self._counts: Dict[int, int] = {}
        self.count = 0
        self.largest = 0.0

    def add(self, seconds: float) -> None:
        bucket = bucket_of(seconds)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.largest = max(self.largest, seconds)

    def merge(self, other: Histogram) -> None:
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self.largest = max(self.largest, other.largest)

    def quantile(self, share: float) -> Optional[float]:
        """What ``share`` of them do not exceed, in seconds; None without any."""
        wanted, seen = share * self.count, 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(upper(bucket), self.largest)
        return None

    def figures(self) -> Dict[str, Optional[float]]:
        quantiles = {name: self.quantile(share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
        return {**{name: _rounded(value) for name, value in quantiles.items()}, "max": _rounded(self.largest) if self.count else None}


def bucket_of(seconds: float) -> int:
    """The bucket of a latency; a later one has longer ones."""
    number = max(0, int(seconds * 1e6))
    power = max(0, number.bit_length() - _FINE.bit_length())
    return power * _FINE + (number >> power)


def upper(bucket: int) -> float:
    """The largest latency of a bucket, in seconds."""
    power = max(0, bucket // _FINE - 1)
    return float((bucket - power * _FINE + 1) << power) / 1e6


def _rounded(value: Optional[float]) -> Optional[float]:
    return None if value is None else round(value, 6)


class Count:
    """The figures of one kind."""

    def __init__(self) -> None:
        self.due = 0
        self.by_class: Counter[str] = Counter()
        self.by_release: Counter[str] = Counter()
        self.latency = Histogram()

    def result(self, waiting: int = 0) -> Dict[str, Any]:
        """``waiting`` were due as well, and nothing was done for them yet."""
        answered, failed = sum(self.by_release.values()), sum(self.by_class.values())
        return {
            "due": self.due + waiting,
            "answered": answered,
            "failed": failed,
            "open": self.due + waiting - answered - failed,
            "by_class": dict(self.by_class),
            "by_release": dict(self.by_release),
            "latency": self.latency.figures(),
        }


class _Point:
    """What was due in one stretch of time."""

    def __init__(self) -> None:
        self.due = 0
        self.by_release: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.latency = Histogram()
        self.shown: Optional[Dict[str, Any]] = None  # as it was shown the last time, if nothing has changed

    def merge(self, other: _Point) -> None:
        self.due += other.due
        self.by_release.update(other.by_release)
        self.failed.update(other.failed)
        self.latency.merge(other.latency)
        self.shown = None

    def show(self) -> Dict[str, Any]:
        if self.shown is None:
            quantiles = {name: _rounded(self.latency.quantile(share)) for name, share in (("p50", 0.5), ("p95", 0.95))}
            self.shown = {"due": self.due, "by_release": dict(self.by_release), "failed": dict(self.failed), **quantiles}
        return self.shown


class Series:
    """Points of a second each; when there are too many, two become one and the width doubles."""

    def __init__(self, start: float) -> None:
        self._start = start
        self._width = 1.0
        self._points: List[_Point] = []

    def at(self, when: float) -> _Point:
        """The point of a moment, which is about to change."""
        number = max(0, int((when - self._start) / self._width))
        while number >= MOST_POINTS:
            self._halve()
            number = int((when - self._start) / self._width)
        while len(self._points) <= number:
            self._points.append(_Point())
        point = self._points[number]
        point.shown = None
        return point

    def _halve(self) -> None:
        for left, right in zip(self._points[::2], self._points[1::2]):
            left.merge(right)
        self._points = self._points[::2]
        self._width *= 2

    def result(self) -> Dict[str, Any]:
        return {"start": round(self._start, 3), "width": self._width, "points": [point.show() for point in self._points]}


class Tally:
    """The counts of a probe. Moments are seconds since the epoch; many threads may tell it of what happened.

    A request is told of when it is due, and once more when it has ended; a point of the series has it at its due moment.
    """

    def __init__(self, began: float) -> None:
        self.began = began
        self._lock = threading.Lock()
        self._kinds: Dict[str, Count] = {}
        self._latency = Histogram()
        self._series = Series(began)
        self._failures: List[Dict[str, Any]] = []
        self._releases: Dict[str, None] = {}
        self._late = {"requests": 0, "seconds": 0.0}
        self._why: Counter[str] = Counter()
        self._sockets = {"opened": 0, "announced": 0, "cut": 0, "resent": 0, "slowest_back": 0.0}

    def due(self, kind: str, when: float) -> None:
        with self._lock:
            self._kinds.setdefault(kind, Count()).due += 1
            self._series.at(when).due += 1

    def answer(self, kind: str, when: float, seconds: float, release: str) -> None:
        """A right answer, ``seconds`` after it was due."""
        with self._lock:
            name = self._release(release)
            count, point = self._kinds[kind], self._series.at(when)
            count.by_release[name] += 1
            point.by_release[name] += 1
            for histogram in (count.latency, point.latency, self._latency):
                histogram.add(seconds)

    def fail(self, kind: str, when: float, at: float, failure: str, detail: str, release: str = "") -> None:
        """A request that was due at ``when`` failed at ``at``; ``failure`` is its class."""
        with self._lock:
            self._kinds[kind].by_class[failure] += 1
            self._series.at(when).failed[failure] += 1
            if len(self._failures) < _MOST_FAILURES:
                words = {"at": round(at, 3), "kind": kind, "class": failure, "detail": detail[:_LETTERS], "release": self._release(release)}
                self._failures.append(words)

    def late(self, seconds: float, why: str) -> None:
        """A request was begun so long after it was due, because all ``connections`` waited or the ``machine`` was too slow."""
        with self._lock:
            self._late["requests"] += 1
            self._late["seconds"] = max(self._late["seconds"], seconds)
            self._why[why] += 1

    def socket(self, what: str, back: float = 0.0) -> None:
        """A WebSocket was ``opened`` (``back`` seconds after the one before it ended), closed as ``announced`` or ``cut``, or a message sent again."""
        with self._lock:
            self._sockets[what] += 1
            self._sockets["slowest_back"] = max(self._sockets["slowest_back"], round(back, 3))

    def _release(self, name: str) -> str:
        name = name[:_LETTERS]
        if name not in self._releases and len(self._releases) >= _MOST_RELEASES:
            return OTHERS
        self._releases[name] = None
        return name

    def result(self, now: float, waiting: Mapping[str, int]) -> Dict[str, Any]:
        """Everything so far. ``waiting``: how many of each kind are due without a connection having taken them on."""
        with self._lock:
            for name in waiting:
                self._kinds.setdefault(name, Count())
            kinds = {name: count.result(waiting.get(name, 0)) for name, count in self._kinds.items()}
            why = self._why.most_common(1)[0][0] if self._why else ""
            return {
                "began": round(self.began, 3),
                "ended": round(now, 3),
                **{name: sum(kind[name] for kind in kinds.values()) for name in ("due", "answered", "failed", "open")},
                "by_release": _sum(kind["by_release"] for kind in kinds.values()),
                "by_class": _sum(kind["by_class"] for kind in kinds.values()),
                "latency": self._latency.figures(),
                "kinds": kinds,
                "late": {"requests": self._late["requests"], "seconds": round(self._late["seconds"], 3), "why": why},
                "series": self._series.result(),
                "failures": list(self._failures),
                "sockets": dict(self._sockets),
            }


def _sum(counts: Any) -> Dict[str, int]:
    found: Counter[str] = Counter()
    for one in counts:
        found.update(one)
    return dict(found)
