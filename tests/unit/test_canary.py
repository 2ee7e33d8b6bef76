"""How a canary is judged: the tests against exact counts, what must also matter, the words, and how often it is wrong, by simulation."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._answers import Side
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._tally import bucket_of
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _canary
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary import Judgement
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary_rules import Canary
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._stretches import Stretches

from bench import canary as simulation
from bench.canary import Case, Release


def side(answers: int, errors: int = 0, **seconds: int) -> Side:
    """Answers, of which so many (``ms50=3``) took so long."""
    times = {str(bucket_of(int(name[2:]) / 1000)): count for name, count in seconds.items()}
    return Side(answers, errors, {}, times)


def spread(new: Side, parts: int = 6) -> Stretches:
    """The times as they come when nothing changes meanwhile."""
    found = Stretches()
    for part in range(parts):
        found.add({bucket: count // parts + (part < count % parts) for bucket, count in new.times.items()})
    return found


def judged(new: Side, old: Side, look: int = 1, requests: int = 100, stretches: Stretches | None = None, **limits: Any) -> Judgement:
    return _canary.judge(new, old, stretches or spread(new), Canary(**limits), requests, look)


# The tests.


@pytest.mark.parametrize(("hits", "count", "others", "other_count"), [(5, 100, 9, 1900), (1, 20, 0, 20), (3, 3, 0, 50), (30, 300, 12, 300), (2, 400, 0, 600)])
def test_fishers_test_is_exact(hits: int, count: int, others: int, other_count: int) -> None:
    total, wrong = count + other_count, hits + others
    ways = sum(math.comb(wrong, k) * math.comb(total - wrong, count - k) for k in range(hits, min(wrong, count) + 1))
    assert _canary.fisher(hits, count, others, other_count) == pytest.approx(ways / math.comb(total, count), rel=1e-9)


def test_fishers_test_takes_any_numbers() -> None:
    assert _canary.fisher(0, 0, 0, 0) == 1.0
    assert _canary.fisher(0, 100, 50, 1900) == 1.0
    assert _canary.fisher(5, 1000, 95, 19_000) == 1.0, "no more than its part"
    assert _canary.fisher(100, 100, 0, 1_000_000) < 1e-300
    assert _canary.fisher(100_000, 1_000_000, 1_000_000, 19_000_000) == 0.0
    assert 0.4 < _canary.fisher(501, 10_000, 9_500, 190_000) < 0.6


def test_mann_and_whitneys_test_is_near_to_the_exact_one_with_ties_as_well() -> None:
    new, old = [3, 5, 5, 8, 9, 9, 12], [1, 2, 3, 4, 5, 5, 7, 9]
    both = new + old

    def wins(mine: tuple[int, ...]) -> float:
        rest = list(both)
        for value in mine:
            rest.remove(value)
        return sum((value > other) + (value == other) / 2 for value in mine for other in rest)

    deals = [wins(deal) for deal in itertools.combinations(both, len(new))]
    exact = sum(found >= wins(tuple(new)) for found in deals) / len(deals)
    counted = [{bucket: values.count(bucket) for bucket in set(values)} for values in (new, old)]
    assert _canary.mann_whitney(*counted) == pytest.approx(exact, abs=0.01)


def test_times_are_scaled_as_their_buckets_allow() -> None:
    times = {bucket_of(number / 1e6): number for number in range(1, 5000)}
    assert _canary.scaled(times, 1.0) == times
    assert _canary.scaled({bucket_of(0.1): 5}, 2.0) in ({bucket_of(0.2): 5}, {bucket_of(0.2) - 1: 5})


def test_mann_and_whitneys_test_finds_nothing_where_there_is_nothing() -> None:
    assert _canary.mann_whitney({5: 100}, {5: 100}) == 1.0
    assert _canary.mann_whitney({}, {5: 1}) == 1.0
    assert _canary.mann_whitney({5: 100}, {9: 100}) > 0.999, "faster is not slower"


def test_the_looks_of_a_step_share_its_chance_of_a_false_alarm_however_many_there_are() -> None:
    assert 0.00099 < sum(3 * _canary.level(look) for look in range(1, 100_000)) < 0.001
    answers = [100]
    while answers[-1] < 10_000:
        answers.append(_canary.next_look(answers[-1]))
    assert len(answers) < 30


# What is worse.


def test_errors_that_are_unlikely_and_beyond_the_margin_are_worse() -> None:
    found = judged(side(510, 26), side(9120, 9))
    assert found.verdict == "worse"
    assert found.seen == "error share 5.1 % (26 of 510), stable 0.1 % (9 of 9,120): p = 2e-26"
    assert found.expected == "an error share of at most 0.5 points above the stable release's (bluegreen_canary_max_errors)"


@pytest.mark.parametrize(
    ("new", "old", "limits"),
    [
        (side(100, 2), side(1900, 9), {}),  # beyond the margin, and likely
        (side(100_000, 900), side(900_000, 4500), {}),  # very unlikely, and no more than the margin
        (side(100, 30), side(1900, 9), {"max_errors": 30}),
        (side(100, 0), side(1900, 900), {}),
    ],
)
def test_errors_that_are_likely_or_within_the_margin_are_not(new: Side, old: Side, limits: dict[str, Any]) -> None:
    assert judged(new, old, **limits).verdict == "good"


def test_what_is_enough_at_the_first_look_is_not_at_a_later_one() -> None:
    new, old = side(100, 4), side(1900, 2)
    assert judged(new, old, look=1).verdict == "worse"
    assert judged(new, old, look=9).verdict == "good"


def test_answers_that_are_twice_as_slow_are_worse() -> None:
    found = judged(side(200, ms212=180, ms300=20), side(3800, ms101=3420, ms200=380))
    assert found.verdict == "worse"
    assert found.seen.startswith("median 213 ms, stable 102 ms: 2.1 times, p = ")
    assert found.expected.startswith("a median of at most 1.3 times the stable release's (bluegreen_canary_max_slowdown)")


def test_a_slow_twentieth_is_worse_though_the_median_is_as_good() -> None:
    found = judged(side(1000, ms100=850, ms900=150), side(9000, ms100=8900, ms900=100))
    assert found.verdict == "worse"
    assert found.seen.startswith("p95 ")
    assert "median 1" not in found.seen


@pytest.mark.parametrize(
    ("new", "old", "limits"),
    [
        (side(1000, ms4=1000), side(9000, ms1=9000), {}),  # four times, which is 3 ms
        (side(1000, ms120=1000), side(9000, ms100=9000), {}),  # slower beyond doubt, and by less than the factor
        (side(1000, ms100=400, ms200=600), side(9000, ms100=4500, ms200=4500), {}),  # a median between two heaps, which little moves from one to the other
        (side(1000, ms200=1000), side(9000, ms100=9000), {"max_slowdown": 3.0}),
        (side(1000, ms200=1000), side(9000, ms100=9000), {"max_slowdown": 0.0}),
        (side(1000, ms200=10), side(9000, ms100=9000), {}),  # ten that took a time at all
        (side(1000, ms100=1000), side(9000, ms200=9000), {}),
    ],
)
def test_answers_that_are_a_little_slower_or_too_few_are_not(new: Side, old: Side, limits: dict[str, Any]) -> None:
    assert judged(new, old, **limits).verdict == "good"


def looks(*slow: int, count: int = 60) -> Stretches:
    """Looks of so many answers, of which these were slow: 900 ms instead of 100."""
    found = Stretches()
    for number in slow:
        found.add(side(count, ms900=number, ms100=count - number).times)
    return found


def test_a_process_that_stood_still_for_a_moment_is_not_slow_and_one_that_is_slow_all_the_time_is() -> None:
    old = side(9000, ms100=8900, ms900=100)
    moment, always = looks(30, 0, 0, 30, 0, 0, 0, 0, 0), looks(7, 6, 7, 6, 7, 7, 6, 7, 7)
    new = side(540, ms900=60, ms100=480)
    assert judged(new, old, stretches=always).verdict == "worse"
    found = judged(new, old, stretches=moment)
    assert found.verdict == "good"
    assert found.figures.endswith("p95 901 ms, stable 100 ms: 9.0 times, not lasting so far")


def test_a_process_whose_caches_were_empty_at_first_is_not_slow() -> None:
    cold, cool = looks(60, 20, 0, count=60), looks(60, 50, 50, count=60)
    old = side(9000, ms100=9000)
    assert judged(side(180, ms900=100, ms100=80), old, stretches=cold).verdict == "good"
    assert judged(side(180, ms900=160, ms100=20), old, stretches=cool).verdict == "worse"


def test_stretches_of_a_canary_that_lasts_for_days_become_fewer_and_lose_nothing() -> None:
    stretches = Stretches()
    for number in range(1001):
        stretches.add({"64": 30, "200": number % 7})
    kept = stretches.without_the_slowest(0.0, 3)
    assert stretches.without_the_slowest(0.0, 66) == {}
    assert 0.6 * 30_000 < kept[64] < 0.75 * 30_000


def test_without_enough_answers_of_both_there_is_no_judgement() -> None:
    assert judged(side(99, 99), side(9000)).verdict == "too_few"
    assert judged(side(500, 500), side(99)).verdict == "too_few"
    assert judged(Side(), Side()).figures == "0 answers, stable 0, of 100 each; error share 0.0 % (0 of 0), stable 0.0 % (0 of 0)"
    assert judged(side(99, 99), side(9000), requests=50).verdict == "worse"


def test_all_that_is_worse_is_told() -> None:
    found = judged(side(600, 200, ms500=400), side(5400, 0, ms100=5400))
    assert [part.split()[0] for part in found.seen.split("; ")] == ["error", "median", "p95"]
    assert found.expected.count(" and ") == 2


# How often it is wrong. python -m bench canary prints the same for more cases and more rounds; docs/canary.md has its figures.


def test_twenty_canaries_of_each_kind_are_judged_right() -> None:
    cases = [
        Case("as good", Release(0.01), Release(0.01), rate=60),
        Case("as good, bursts, pauses", Release(0.001, simulation.bimodal), Release(0.001, simulation.bimodal), rate=60, bursts=True, pause=0.5),
        Case("5 % errors", Release(0.05), Release(0.001), worse=True, rate=60),
        Case("doubled latency", Release(slower=2), Release(), worse=True, rate=60),
    ]
    rows = simulation.measure(20, chosen=cases)
    print("\n".join(simulation.table(rows)))
    assert [row["found worse"] for row in rows] == [0, 0, 20, 20]


def test_the_tests_themselves_give_a_false_alarm_no_more_often_than_they_may() -> None:
    """At a level of one in twenty, without margin and factor, 400 deals of the same answers: far more than that would be a wrong formula."""
    draw = random.Random(11)
    alarms = {"fisher": 0, "mann_whitney": 0, "tail": 0}
    for _ in range(400):
        latencies = [bucket_of(simulation.log_normal(draw)) for _ in range(600)]
        new, old = ({bucket: part.count(bucket) for bucket in set(part)} for part in (latencies[:120], latencies[120:]))
        errors = [draw.random() < 0.05 for _ in range(600)]
        alarms["fisher"] += _canary.fisher(sum(errors[:120]), 120, sum(errors[120:]), 480) < 0.05
        alarms["mann_whitney"] += _canary.mann_whitney(new, old) < 0.05
        alarms["tail"] += _canary.tail(new, old) < 0.05
    print(alarms)
    assert all(count <= 33 for count in alarms.values()), "20 are expected at most; 33 and more would be one in 500"
    assert alarms["mann_whitney"] > 8, "and one that never gives any is none"
