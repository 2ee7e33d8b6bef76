# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a canary answers worse than the stable release did in the same time, so that noise does not say so. Pure functions.

nginx deals requests out to both by chance. So, were the canary as good as the stable release, any deal of the same
answers would be as likely as this one, however the load changes and whatever errors come in bursts, and how rare a deal
is can be counted. Three things are looked at: errors and the slow twentieth by Fisher's exact test, latency as a whole
by that of Mann and Whitney. What is unlikely must also be large enough to matter: the user's margin and factor, and 5 ms.
Latency is held against the stable release's times the root of that factor, half way to what the user allows: else chance
would now and then lift one that is allowed, but a little slower indeed, over the factor. And slowness must last
(:mod:`._stretches`).

A step is looked at many times. The k-th look may err with a chance of 0.1 % / (k (k + 1)), which adds up to 0.1 % for
all the looks of a step together, however many there are; and a look comes when there are a fifth more answers than
at the one before, so that there are not many.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.hotswap.bluegreen.plugins.module_utils._answers import Side
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._tally import bucket_of, upper

from ._canary_rules import Canary
from ._stretches import Stretches

_ALPHA = 0.001  # chance of a false alarm in a step
_TESTS = 3  # that share it
_GROWTH = 1.2
_FEW = 20  # times that the tests of latency need, on both sides
_FLOOR = 0.005  # seconds that are not slower, whatever the factor
_SLOW = 0.95
_HALF = 5e-7  # seconds: half of what a histogram counts in

Times = Mapping[int, int]  # how many there are in each bucket


@dataclass(frozen=True)
class Judgement:
    """``verdict`` is good, worse or too_few; ``expected`` and ``seen`` say in words what is worse, ``figures`` all there is to say."""

    verdict: str
    figures: str
    expected: str = ""
    seen: str = ""


@dataclass(frozen=True)
class Opinion:
    """What another judge says: ``verdict`` is good, worse, unknown or pending, ``words`` why."""

    judge: str
    verdict: str
    words: str = ""


@dataclass(frozen=True)
class _Finding:
    words: str
    limit: str
    worse: bool


def next_look(answers: int) -> int:
    """With how many answers to look again."""
    return math.ceil(answers * _GROWTH)


def level(look: int) -> float:
    """How unlikely each test's finding must be at this look of a step, the first being 1."""
    return _ALPHA / (look * (look + 1)) / _TESTS


def judge(new: Side, old: Side, stretches: Stretches, limits: Canary, requests: int, look: int) -> Judgement:
    """The canary's answers beside the stable release's. With fewer than ``requests`` of either there is no judgement.

    ``stretches`` has the times of ``new``, and with them what of its slowness lasts.
    """
    findings = [_errors(new, old, limits.max_errors, level(look)), *_latency(new, old, stretches, limits.max_slowdown, level(look))]
    figures = "; ".join(finding.words for finding in findings)
    if min(new.answers, old.answers) < requests:
        return Judgement("too_few", f"{new.answers:,} answers, stable {old.answers:,}, of {requests:,} each; {figures}")
    bad = [finding for finding in findings if finding.worse]
    if not bad:
        return Judgement("good", figures)
    return Judgement("worse", figures, " and ".join(finding.limit for finding in bad), "; ".join(finding.words for finding in bad))


def _errors(new: Side, old: Side, margin: float, chance: float) -> _Finding:
    shares = [side.errors / side.answers if side.answers else 0.0 for side in (new, old)]
    beyond = shares[0] - shares[1] > margin / 100
    p = fisher(new.errors, new.answers, old.errors, old.answers)
    words = f"error share {shares[0]:.1%} ({new.errors:,} of {new.answers:,}), stable {shares[1]:.1%} ({old.errors:,} of {old.answers:,})"
    limit = f"an error share of at most {margin:g} points above the stable release's (bluegreen_canary_max_errors)"
    return _Finding(words.replace("%", " %") + (f": p = {_p(p)}" if beyond else ""), limit, beyond and p < chance)


def _latency(new: Side, old: Side, stretches: Stretches, factor: float, chance: float) -> list[_Finding]:
    """The median's finding and that of p95; none without answers, or without a limit."""
    times, stable = ({int(bucket): count for bucket, count in side.times.items()} for side in (new, old))
    if not times or not stable:
        return []
    found: list[_Finding] = []
    allowed = scaled(stable, math.sqrt(factor))
    enough = factor > 0 and min(sum(times.values()), sum(stable.values())) >= _FEW
    for name, share, test, fewest in (("median", 0.5, mann_whitney, 3), ("p95", _SLOW, tail, 6)):
        slow, usual = quantile(times, share), quantile(stable, share)
        limit = max(usual * factor, usual + _FLOOR)
        beyond = enough and slow > limit
        lasts = beyond and quantile(stretches.without_the_slowest(limit, fewest), share) > limit
        p = test(times, allowed) if beyond else 1.0
        words = f"{name} {slow * 1000:.0f} ms, stable {usual * 1000:.0f} ms"
        words += f": {slow / usual:.1f} times, {f'p = {_p(p)}' if lasts else 'not lasting so far'}" if beyond and usual else ""
        found.append(
            _Finding(words, f"a {name} of at most {factor:g} times the stable release's (bluegreen_canary_max_slowdown)", beyond and p < chance and lasts)
        )
    return found


def scaled(times: Times, factor: float) -> Times:
    """As if each had taken ``factor`` times as long."""
    found: Counter[int] = Counter()
    for bucket, count in times.items():
        found[bucket_of(upper(bucket - 1) * factor + _HALF)] += count  # from a bucket's lower end, where the one before it ends
    return found


def quantile(times: Times, share: float) -> float:
    """What ``share`` of them do not exceed, in seconds, to 3 %."""
    wanted, seen = share * sum(times.values()), 0
    for bucket in sorted(times):
        seen += times[bucket]
        if seen >= wanted:
            return upper(bucket)
    return 0.0


def fisher(hits: int, count: int, other_hits: int, other_count: int) -> float:
    """How likely chance gives the first side at least so many of all hits; 1 where it has no more than its part of them."""
    total, all_hits = count + other_count, hits + other_hits
    if hits * total <= count * all_hits:
        return 1.0
    term = math.exp(_choose(all_hits, hits) + _choose(total - all_hits, count - hits) - _choose(total, count))
    found = 0.0
    for more in range(hits, min(count, all_hits) + 1):  # above the expected number each one is rarer than the one before
        found += term
        if term <= found * 1e-12:
            break
        term *= (all_hits - more) * (count - more) / ((more + 1) * (total - all_hits - count + more + 1))
    return min(1.0, found)


def mann_whitney(times: Times, others: Times) -> float:
    """How likely chance makes the first ones slower by so much, as a whole: normal approximation, with ties and a correction for continuity."""
    count, other_count = sum(times.values()), sum(others.values())
    total = count + other_count
    wins, before, ties = 0.0, 0, 0.0
    for bucket in sorted({*times, *others}):
        mine, theirs = times.get(bucket, 0), others.get(bucket, 0)
        wins += mine * (before + theirs / 2)
        before += theirs
        ties += (mine + theirs) ** 3 - (mine + theirs)
    variance = count * other_count / 12 * (total + 1 - ties / (total * (total - 1))) if total > 1 else 0.0
    if variance <= 0:
        return 1.0
    return math.erfc((wins - count * other_count / 2 - 0.5) / math.sqrt(2 * variance)) / 2


def tail(times: Times, others: Times) -> float:
    """How likely chance gives the first ones so many of the slowest of all: a twentieth, as nearly as the buckets have it."""
    both = Counter(times) + Counter(others)
    wanted = (1 - _SLOW) * sum(both.values())
    slowest: set[int] = set()
    for bucket in sorted(both, reverse=True):
        if both[bucket] > 2 * wanted:  # with it there are more too many than there are too few without it
            break
        slowest.add(bucket)
        wanted -= both[bucket]
    slow, other_slow = (sum(count for bucket, count in side.items() if bucket in slowest) for side in (times, others))
    return fisher(slow, sum(times.values()), other_slow, sum(others.values()))


def _choose(count: int, taken: int) -> float:
    """The logarithm of in how many ways so many can be taken."""
    return math.lgamma(count + 1) - math.lgamma(taken + 1) - math.lgamma(count - taken + 1)


def _p(chance: float) -> str:
    return f"{chance:.2g}" if chance >= 0.001 else f"{chance:.0e}" if chance else "0"
