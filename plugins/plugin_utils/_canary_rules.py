# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's canary as written, made into steps, limits and judges. Pure. No sentence repeats a header, a query or a command's arguments."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from . import _commands, _rules, _values
from ._config_checks import check_url
from ._rules import Problems
from ._values import show

NO_TRAFFIC = ("stop", "go_on", "wait")
_LONGEST = 7 * 86400.0  # seconds of a step
_FEWEST, _MOST = 20, 1_000_000  # answers: fewer tell nothing
_SLOWEST = 300.0  # seconds that a judge may be given
_FINEST = 0.01  # percent: nginx's split_clients knows no smaller share
_STEP = {
    "weight": {"type": "raw"},
    "seconds": {"type": "float"},
    "requests": {"type": "int"},
    "by_hand": {"type": "bool"},
}


@dataclass(frozen=True)
class Weight:
    """One step: the canary gets ``percent`` of the requests for at least ``seconds`` and ``requests`` answers; ``by_hand`` waits for a person, too."""

    percent: float
    seconds: float = 60.0
    requests: int = 100
    by_hand: bool = False


@dataclass(frozen=True)
class Judge:
    """Somebody else's word: a Prometheus ``query`` whose number may be ``most`` at most, or a ``command``. ``timeout`` in seconds."""

    number: int
    url: str = field(default="", repr=False)
    query: str = field(default="", repr=False)
    most: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    timeout: float = 5.0

    @property
    def name(self) -> str:
        """How it is called in messages: without a query's or a command's words, which may be secrets."""
        parts = urlsplit(self.url)
        return f"bluegreen_canary_judges, entry {self.number} ({f'{parts.scheme}://{parts.netloc}' if self.url else self.command[0]})"


@dataclass(frozen=True)
class Canary:
    """A canary: its steps, and what it is judged by. ``max_errors`` in percentage points above the stable release's, ``max_slowdown`` a factor, 0 for none."""

    steps: tuple[Weight, ...] = (Weight(5.0), Weight(20.0), Weight(50.0))
    no_traffic: str = "stop"
    max_errors: float = 0.5
    max_slowdown: float = 1.3
    judges: tuple[Judge, ...] = ()

    @property
    def weights(self) -> tuple[float, ...]:
        return tuple(step.percent for step in self.steps)


def read(values: Mapping[str, Any], problems: Problems) -> Canary:
    """The canary; what is wrong with it is noted by the variable's name."""
    usual = Weight(0.0, values["canary_seconds"], values["canary_requests"], values["canary_by_hand"])
    _check(usual, ("bluegreen_canary_seconds", "bluegreen_canary_requests"), problems)
    margin, factor = values["canary_max_errors"], values["canary_max_slowdown"]
    problems.unless(
        math.isfinite(margin) and 0 <= margin <= 100,
        f"bluegreen_canary_max_errors is {margin:g}; percentage points from 0 to 100 are expected, by which the canary's error share may exceed the other's.",
    )
    problems.unless(
        factor == 0 or (math.isfinite(factor) and factor > 1),
        f"bluegreen_canary_max_slowdown is {factor:g}; a factor above 1, such as 1.3, is expected, or 0 for no limit.",
    )
    steps = _steps(values["canary"], usual, problems)
    judges = tuple(_judge(number, entry, problems) for number, entry in enumerate(values["canary_judges"], 1))
    return Canary(steps, values["canary_no_traffic"], margin, factor, judges)


def _check(step: Weight, names: tuple[str, str], problems: Problems) -> None:
    problems.unless(
        math.isfinite(step.seconds) and 0 <= step.seconds <= _LONGEST, f"{names[0]} is {step.seconds:g}; seconds from 0 to {_LONGEST:.0f} are expected."
    )
    problems.unless(
        _FEWEST <= step.requests <= _MOST, f"{names[1]} is {step.requests}; from {_FEWEST} to {_MOST} answers are expected, since fewer tell nothing."
    )


def _steps(given: Any, usual: Weight, problems: Problems) -> tuple[Weight, ...]:
    items = _values.listed(given)
    if not problems.unless(items, "bluegreen_canary is an empty list; weights in percent that rise, such as [5, 20, 50], are expected."):
        return ()
    found = [step for number, item in enumerate(items, 1) for step in _step(f"bluegreen_canary, entry {number}", item, usual, problems)]
    rising = all(low.percent < high.percent for low, high in itertools.pairwise(found))
    problems.unless(
        rising, f"bluegreen_canary has {', '.join(f'{step.percent:g}' for step in found)}; each weight must be above the one before it, such as 5, 20, 50."
    )
    return tuple(found)


def _step(where: str, item: Any, usual: Weight, problems: Problems) -> Sequence[Weight]:
    """The step, or nothing if it has no weight."""
    entry, wrong = _values.read(where, item if isinstance(item, Mapping) else {"weight": item}, {"type": "dict", "options": _STEP})
    problems.found += wrong
    if wrong:
        return ()
    percent = _percent(entry["weight"])
    usable = percent is not None and 0 < percent < 100 and abs(percent / _FINEST - round(percent / _FINEST)) < 1e-6
    advice = " 100 comes by itself after the last one." if percent is not None and percent >= 100 else ""
    if not problems.unless(
        usable, f"{where}: weight is {show(entry['weight'])}; percent of the requests are expected, above 0 and below 100, with two decimals at most.{advice}"
    ):
        return ()
    if percent is None:
        raise AssertionError
    given = {name: entry[name] for name in ("seconds", "requests", "by_hand") if entry[name] is not None}
    step = Weight(percent, **{"seconds": usual.seconds, "requests": usual.requests, "by_hand": usual.by_hand, **given})
    if "seconds" in given or "requests" in given:
        own = Weight(percent, given.get("seconds", 0.0), given.get("requests", _FEWEST))
        _check(own, (f"{where}: seconds", f"{where}: requests"), problems)
    return (step,)


def _percent(value: Any) -> float | None:
    """A weight as a number; None for what is none."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(str(value).strip().removesuffix("%"))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _judge(number: int, entry: Mapping[str, Any], problems: Problems) -> Judge:
    where = f"bluegreen_canary_judges, entry {number}"
    url, query, command = entry.get("prometheus") or "", entry.get("query") or "", entry.get("command")
    both = "both prometheus and command" if url else "neither prometheus nor command"
    problems.unless(bool(url) != bool(command), f"{where} has {both}; one of them is expected.")
    most, headers = entry.get("max"), {str(name): str(value) for name, value in (entry.get("headers") or {}).items()}
    if url:
        check_url(where, url, problems, "prometheus", "http://prometheus.example:9090")
        problems.unless(query.strip(), f"{where}: query is not set; one that gives a single number is expected.")
        problems.unless(most is not None and math.isfinite(most), f"{where}: max is not set; the number above which the query says that the canary is worse.")
    elif command:
        for name in ("query", "max", "headers"):
            problems.unless(entry.get(name) in (None, "", {}), f"{where}: {name} goes with prometheus, not with a command.")
    _rules.check_headers(f"{where}: headers", headers, problems)
    timeout = entry["timeout"]
    problems.unless(
        math.isfinite(timeout) and 0 < timeout <= _SLOWEST, f"{where}: timeout is {timeout:g}; a positive number of seconds, {_SLOWEST:g} at most, is expected."
    )
    return Judge(number, url, query, most or 0.0, headers, _commands.words(command or None, f"{where}: command", problems), timeout)
