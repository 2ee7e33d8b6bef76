# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what clients and hosts show while a swap goes on crosses one of the user's limits. Pure functions.

The clients are the probe's: its result so far has a point a second (or two, or four) with what was due and what became
of it. What is compared are the seconds since the swap began with those before; latencies by the median of the points'
p95, which one slow second does not move.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import ErrorLog, HostLimits
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState

from ._rules import Problems
from ._values import show

_WATCHED = 2.0  # seconds that a batch is watched by default, where anything is limited
_FEW = 20  # requests of a share that are too few to judge by
_BEFORE, _AFTER = 5, 2  # points with answers that p95 needs, before the swap and since the batch
_FLOOR = 0.02  # seconds: a p95 that is slower by less is no worse, whatever the ratio


@dataclass(frozen=True)
class Limits:
    """What may not be crossed: ``failed`` requests as a number, or with ``is_share`` of those due; p95 as a multiple; 0 and None are no limit.

    ``seconds`` is how long each batch is watched once it serves.
    """

    failed: float | None = None
    is_share: bool = False
    slowdown: float = 0.0
    seconds: float = 0.0

    @property
    def of_probe(self) -> bool:
        """Whether the probe is needed to judge by them."""
        return self.failed is not None or self.slowdown > 0


@dataclass(frozen=True)
class Crossing:
    """A limit that was crossed: ``expected`` and ``seen`` in words, on ``host``, '' where the clients saw it."""

    expected: str
    seen: str
    host: str = ""


def read(values: Mapping[str, Any], problems: Problems) -> Limits:
    """The limits as the user wrote them; seconds are 2 by default where there is a limit at all."""
    text = str(values["max_failed"]).strip()
    failed: float | None = None
    share = text.endswith("%")
    if text:
        try:
            failed = float(text.rstrip("%"))
        except ValueError:
            failed = -1.0
        wrong = failed < 0 or (share and failed > 100) or (not share and failed != int(failed))
        problems.unless(not wrong, f"bluegreen_max_failed is {show(values['max_failed'])}; a number of requests, or a share such as 0.5%, is expected.")
    slowdown = values["max_slowdown"]
    problems.unless(slowdown == 0 or slowdown > 1, f"bluegreen_max_slowdown is {slowdown:g}; a factor above 1, such as 2, is expected, or 0 for no limit.")
    needy = [f"bluegreen_{name}" for name, set_ in (("max_failed", failed is not None), ("max_slowdown", slowdown)) if set_]
    problems.unless(not needy or values.get("probe"), f"{' and '.join(needy)}: it is the probe's requests that are limited; set bluegreen_probe.")
    given = values.get("watch")
    problems.unless(given is None or 0 <= given <= 3600, f"bluegreen_watch is {show(given)}; seconds from 0 to 3600 are expected.")
    limited = failed is not None or slowdown or values["error_logs"] or values["max_memory"] or values["max_load"]
    return Limits(failed, share, slowdown, given if given is not None else _WATCHED if limited else 0.0)


def of_host(values: Mapping[str, Any], problems: Problems) -> HostLimits:
    """What a host may show, as the user wrote it."""
    logs = []
    for entry in values["error_logs"]:
        path, pattern, most = entry.get("path") or "", entry.get("pattern") or "", entry.get("max") or 0
        problems.unless(path.startswith("/"), f"bluegreen_error_logs: path is {show(path)}; an absolute path on the host is expected.")
        problems.unless(most >= 0, f"bluegreen_error_logs: max of {path} is {most}; 0 or more lines are expected.")
        try:
            re.compile(pattern)
        except re.error as error:
            problems.found.append(f"bluegreen_error_logs: pattern of {path} is {show(pattern)}, which is no regular expression ({error}).")
        problems.unless(pattern, f"bluegreen_error_logs: {path} has no pattern; a regular expression that a line with an error matches is expected.")
        logs.append(ErrorLog(path, pattern, most))
    for name, most, unit in (("max_memory", 100.0, "percent from 0 to 100"), ("max_load", 1000.0, "load a core, from 0 to 1000")):
        problems.unless(0 <= values[name] <= most, f"bluegreen_{name} is {values[name]:g}; {unit} is expected, 0 for no limit.")
    return HostLimits(tuple(logs), values["max_memory"], values["max_load"])


def crossed(limits: Limits, seen: Mapping[str, Any], began: float, entered: float) -> list[Crossing]:
    """What the probe's result so far crosses, for a swap that began at ``began``; the latest batch serves since ``entered``, 0 if none does."""
    found = []
    points = [(start, point) for start, point in _points(seen) if start >= began - seen["series"]["width"]]
    due = sum(point["due"] for _start, point in points)
    failures: dict[str, int] = {}
    for _start, point in points:
        for name, count in point["failed"].items():
            failures[name] = failures.get(name, 0) + count
    failed = sum(failures.values())
    if limits.failed is not None and failed:
        if limits.is_share and due >= _FEW and failed > due * limits.failed / 100:
            share = f"at most {limits.failed:g} % of the probe's requests fail (bluegreen_max_failed)"
            found.append(Crossing(share, f"{failed} of {due} failed since the swap began, {failed / due:.1%}: {_words(failures)}"))
        elif not limits.is_share and failed > limits.failed:
            number = f"at most {limits.failed:g} of the probe's requests fail (bluegreen_max_failed)"
            found.append(Crossing(number, f"{failed} of {due} failed since the swap began: {_words(failures)}"))
    before, now = _p95(seen, 0.0, began), _p95(seen, entered, float("inf")) if entered else []
    if limits.slowdown and len(before) >= _BEFORE and len(now) >= _AFTER:
        was, slow = statistics.median(before), statistics.median(now)
        if slow > was * limits.slowdown and slow - was > _FLOOR:
            wish = f"p95 of the probe's requests is at most {limits.slowdown:g} times what it was before the swap (bluegreen_max_slowdown)"
            found.append(Crossing(wish, f"{slow:.3f} s, before the swap {was:.3f} s: {slow / was:.1f} times" if was else f"{slow:.3f} s, before the swap none"))
    return found


def knows_before(seen: Mapping[str, Any], now: float) -> bool:
    """Whether the probe has counted for long enough to know how fast answers are before a swap that begins now."""
    return len(_p95(seen, 0.0, now)) >= _BEFORE


def of_hosts(states: Mapping[str, HostState]) -> list[Crossing]:
    """What hosts say of themselves that crosses a limit."""
    return [Crossing(expected, seen, host) for host, state in states.items() for expected, seen in state.crossed]


def _points(seen: Mapping[str, Any]) -> Sequence[tuple[float, Mapping[str, Any]]]:
    series = seen["series"]
    return [(series["start"] + number * series["width"], point) for number, point in enumerate(series["points"])]


def _p95(seen: Mapping[str, Any], start: float, end: float) -> list[float]:
    """The p95 of each whole point between the two moments that has one."""
    width = seen["series"]["width"]
    return [point["p95"] for at, point in _points(seen) if start <= at and at + width <= end and point["p95"]]


def _words(failures: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(failures.items(), key=lambda pair: -pair[1]))
