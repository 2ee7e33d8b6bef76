"""How often a canary is judged wrongly, by simulation: whole canaries of noise, and such that are worse, with the very code that judges.

Requests come at random (Poisson) and are dealt out at random, as nginx does; each step is looked at every two seconds.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._answers import NEW, OLD, Side
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._tally import bucket_of
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary_rules import Canary
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._pause import Going, Next, Pause, Worse

LOOK = 2.0  # seconds between two looks
_KINDS = 5000  # different latencies that a shape has

Shape = Callable[[random.Random], float]


def log_normal(draw: random.Random) -> float:
    """Median 50 ms, p95 130 ms."""
    return 0.05 * math.exp(draw.gauss(0, 0.6))


def bimodal(draw: random.Random) -> float:
    """Most from a cache in 5 ms, three in ten from a database in 120 ms."""
    return (0.12 if draw.random() < 0.3 else 0.005) * math.exp(draw.gauss(0, 0.3))


def quick(draw: random.Random) -> float:
    """One to three milliseconds, as an API in memory."""
    return 0.001 + draw.expovariate(1000)


def heavy(draw: random.Random) -> float:
    """A tail without an end: one in a hundred takes twenty times the median."""
    return 0.02 * draw.paretovariate(1.5)


@dataclass
class Release:
    """How a release answers: the share of errors, and latencies of a shape, slower by a factor for a share of the requests."""

    errors: float = 0.0
    shape: Shape = log_normal
    slower: float = 1.0
    of: float = 1.0
    _buckets: list[int] = field(default_factory=list)

    def answers(self, count: int, draw: random.Random, burst: float = 0.0, pause: float = 0.0) -> Side:
        """So many answers of one look; ``burst`` is the share of errors that both releases have beside their own, for the moment.

        ``pause`` are seconds for which this release's process stood still, and whoever came then had to wait.
        """
        if not self._buckets:
            seconds = (self.shape(draw) * (self.slower if draw.random() < self.of else 1) for _ in range(_KINDS))
            self._buckets = [bucket_of(round(value, 3)) for value in seconds]  # nginx's log has milliseconds
        wrong = sum(draw.random() < self.errors + burst for _ in range(count)) if self.errors + burst else 0
        held = round((count - wrong) * pause / LOOK)
        times = Counter(draw.choices(self._buckets, k=count - wrong - held))
        times.update(bucket_of(round(self.shape(draw) + pause * draw.random(), 3)) for _ in range(held))
        return Side(count, wrong, {}, {str(bucket): number for bucket, number in times.items()})


@dataclass(frozen=True)
class Case:
    """A canary beside the stable release. ``bursts``: for one look in ten both have a fifth of errors, as when a database stops for a moment.

    ``pause``: every thirty seconds on average each of both stands still for so long, by itself.
    """

    name: str
    new: Release
    old: Release
    worse: bool = False
    rate: float = 100.0
    bursts: bool = False
    pause: float = 0.0
    allowed: float = 0.01  # of those that are as good, how many may be taken back


@dataclass(frozen=True)
class Outcome:
    """What became of a canary: whether it was found worse, with how many answers of its own, after how many seconds, at which weight."""

    worse: bool
    answers: int = 0
    seconds: float = 0.0
    percent: float = 0.0


def poisson(mean: float, draw: random.Random) -> int:
    """How many come; by the normal distribution where that is as good."""
    if mean > 50:
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, draw.random()
    while product > limit:
        count += 1
        product *= draw.random()
    return count


def run(case: Case, canary: Canary, draw: random.Random) -> Outcome:
    """One canary through all of its steps."""
    seconds, answers = 0.0, 0
    for step in canary.steps:
        pause, began = Pause(step, canary, seconds), seconds
        while True:
            seconds += LOOK
            burst = 0.2 if case.bursts and draw.random() < 0.1 else 0.0
            share = step.percent / 100
            pauses = [case.pause if draw.random() < LOOK / 30 else 0.0 for _ in range(2)]
            sides = {
                NEW: case.new.answers(poisson(case.rate * LOOK * share, draw), draw, burst, pauses[0]),
                OLD: case.old.answers(poisson(case.rate * LOOK * (1 - share), draw), draw, burst, pauses[1]),
            }
            answers += sides[NEW].answers
            decision = pause.look([sides], seconds)
            if isinstance(decision, Worse):
                return Outcome(True, answers, seconds, step.percent)
            if isinstance(decision, Next):
                break
            assert isinstance(decision, Going), decision
            assert seconds - began < 100 * step.seconds, "it never ends"
    return Outcome(False, answers, seconds)


def cases() -> list[Case]:
    noise = [
        Case(f"as good: {base:g} % errors, {shape.__name__.replace('_', '-')}", Release(base / 100, shape), Release(base / 100, shape))
        for base in (0, 0.1, 2)
        for shape in (log_normal, bimodal, heavy)
    ]
    return [
        *noise,
        Case("as good: quick", Release(0.001, quick), Release(0.001, quick)),
        Case("as good: bursts of errors in both", Release(0.001), Release(0.001), bursts=True),
        Case("as good: each pauses 0.5 s now and then", Release(), Release(), pause=0.5, allowed=0.05),
        Case("as good: each pauses 1 s now and then", Release(), Release(), pause=1.0, allowed=0.15),
        Case("as good: 1,000 requests a second", Release(0.01), Release(0.01), rate=1000),
        Case("as good: 10 % slower", Release(slower=1.1), Release()),
        Case("5 % errors, stable none", Release(0.05), Release(), worse=True),
        Case("5 % errors, stable 1 %", Release(0.05), Release(0.01), worse=True),
        Case("2 % errors, stable 0.1 %", Release(0.02), Release(0.001), worse=True),
        Case("doubled latency, log-normal", Release(slower=2), Release(), worse=True),
        Case("doubled latency, bimodal", Release(shape=bimodal, slower=2), Release(shape=bimodal), worse=True),
        Case("doubled latency, heavy", Release(shape=heavy, slower=2), Release(shape=heavy), worse=True),
        Case("one in ten five times as slow", Release(slower=5, of=0.1), Release(), worse=True),
        Case("50 % slower", Release(slower=1.5), Release(), worse=True),
        Case("5 % errors, 10 requests a second", Release(0.05), Release(0.001), worse=True, rate=10),
    ]


def measure(rounds: int, canary: Canary | None = None, chosen: Sequence[Case] = (), seed: int = 6) -> list[dict[str, Any]]:
    """Each case so many times: how often it was found worse, and with how many answers and after how many seconds in the median of those."""
    canary = canary or Canary(no_traffic="wait")
    rows = []
    for case in chosen or cases():
        draw = random.Random(f"{seed} {case.name}")
        found = [run(case, canary, draw) for _ in range(rounds)]
        bad = sorted((outcome for outcome in found if outcome.worse), key=lambda outcome: outcome.answers)
        middle = bad[len(bad) // 2] if bad else Outcome(False)
        rows.append(
            {
                "case": case.name, "worse": case.worse, "allowed": case.allowed, "canaries": rounds, "found worse": len(bad),
                "first step": sum(outcome.percent == canary.steps[0].percent for outcome in bad), "answers": middle.answers, "seconds": middle.seconds,
            }
        )  # fmt: skip
    return rows


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    lines = [f"{'canary':<42} {'canaries':>8} {'found worse':>12} {'at 5 %':>8} {'answers':>8} {'seconds':>8}"]
    for row in rows:
        share, early = row["found worse"] / row["canaries"], row["first step"] / row["canaries"]
        many = f"{row['answers']:>8,} {row['seconds']:>8.0f}" if row["found worse"] else f"{'-':>8} {'-':>8}"
        lines.append(f"{row['case']:<42} {row['canaries']:>8,} {share:>12.2%} {early:>8.1%} {many}")
    wrong = sum(row["found worse"] for row in rows if not row["worse"])
    of = sum(row["canaries"] for row in rows if not row["worse"])
    lines.append(f"false alarms: {wrong} of {of:,} canaries that are as good")
    return lines
