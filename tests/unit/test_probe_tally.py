"""What a probe counts: sums agree whatever happens in whatever order, memory is bounded, and a schedule never owes anything."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._schedule import End, Schedule
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._tally import MOST_POINTS, OTHERS, Histogram, Tally
from hypothesis import given, settings
from hypothesis import strategies as st

BEGAN = 1_700_000_000.0
CLASSES = ("refused", "reset", "closed", "timeout", "status", "content", "network", "cut")

_ends = st.one_of(st.none(), st.tuples(st.just("answer"), st.sampled_from(["v1", "v2", ""])), st.tuples(st.just("fail"), st.sampled_from(CLASSES)))
_requests = st.lists(st.tuples(st.sampled_from(["front", "order"]), st.floats(0, 5000), st.floats(0, 700), _ends), max_size=60)


def told(requests: Sequence[Any]) -> Tally:
    """A tally of requests (kind, due, seconds, end): first all are due, then they end, the last first."""
    tally = Tally(BEGAN)
    for kind, due, _seconds, _end in requests:
        tally.due(kind, BEGAN + due)
    for kind, due, seconds, end in reversed(requests):
        if end and end[0] == "answer":
            tally.answer(kind, BEGAN + due, seconds, end[1])
        elif end:
            tally.fail(kind, BEGAN + due, BEGAN + due + seconds, end[1], "it was so")
    return tally


@settings(deadline=None)
@given(requests=_requests, waiting=st.dictionaries(st.sampled_from(["front", "order", "never"]), st.integers(0, 9)))
def test_every_request_that_was_due_is_answered_failed_or_under_way(requests: Sequence[Any], waiting: dict[str, int]) -> None:
    result = told(requests).result(BEGAN + 6000, waiting)

    assert result["due"] == len(requests) + sum(waiting.values())
    assert result["open"] == sum(end is None for *_, end in requests) + sum(waiting.values())
    for figures in (result, *result["kinds"].values()):
        assert figures["due"] == figures["answered"] + figures["failed"] + figures["open"]
        assert figures["answered"] == sum(figures["by_release"].values())
        assert figures["failed"] == sum(figures["by_class"].values())
    assert result["failed"] == sum(end is not None and end[0] == "fail" for *_, end in requests) == len(result["failures"])
    points = result["series"]["points"]
    assert len(points) <= MOST_POINTS
    assert sum(point["due"] for point in points) == len(requests)
    assert sum(sum(point["by_release"].values()) for point in points) == result["answered"]
    assert sum(sum(point["failed"].values()) for point in points) == result["failed"]
    json.dumps(result, allow_nan=False)


@settings(deadline=None)
@given(requests=_requests)
def test_a_request_stands_in_the_point_of_its_moment(requests: Sequence[Any]) -> None:
    series = told(requests).result(BEGAN, {})["series"]
    expected = [0] * len(series["points"])

    for _kind, due, _seconds, _end in requests:
        expected[int((BEGAN + due - BEGAN) / series["width"])] += 1

    assert [point["due"] for point in series["points"]] == expected


@given(latencies=st.lists(st.floats(0, 3600), min_size=1, max_size=200), share=st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_right_to_three_percent(latencies: list[float], share: float) -> None:
    histogram = Histogram()
    for latency in latencies:
        histogram.add(latency)

    exact = sorted(latencies)[math.ceil(share * len(latencies)) - 1]

    found = histogram.quantile(share)
    assert found is not None
    assert exact - 2e-6 <= found <= exact * (1 + 1 / 32) + 2e-6
    assert histogram.quantile(1.0) == max(latencies)


@given(left=st.lists(st.floats(0, 60), max_size=50), right=st.lists(st.floats(0, 60), max_size=50))
def test_two_histograms_together_are_that_of_both(left: list[float], right: list[float]) -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    for histogram, latencies in ((one, left), (other, right), (both, left + right)):
        for latency in latencies:
            histogram.add(latency)

    one.merge(other)

    assert one.figures() == both.figures()


def test_an_hour_of_requests_stays_small() -> None:
    tally = Tally(BEGAN)
    sizes = []
    for second in range(3600):
        for number in range(20):
            due = BEGAN + second + number / 20
            tally.due("front", due)
            if number % 4:
                tally.answer("front", due, (second * number) % 977 / 100, f"v{second}")
            else:
                tally.fail("front", due, due + 1, "reset", f"{'long ' * 200}{second}")
        if second % 1200 == 1199:
            sizes.append(len(json.dumps(tally.result(due, {}))))

    result = tally.result(due, {})
    assert result["due"] == 72_000
    assert result["series"]["width"] == 4.0
    assert len(result["series"]["points"]) == 900
    assert len(result["failures"]) == 1000
    assert len(result["by_release"]) <= 51
    assert result["by_release"][OTHERS] > 50_000
    assert max(sizes) < 1_000_000
    assert len(tally._latency._counts) < 1000


def test_a_lateness_says_what_caused_most_of_it() -> None:
    tally = Tally(BEGAN)
    for seconds, why in ((0.2, "machine"), (1.5, "connections"), (0.3, "connections")):
        tally.late(seconds, why)

    assert tally.result(BEGAN, {})["late"] == {"requests": 3, "seconds": 1.5, "why": "connections"}


def test_the_nth_request_is_due_at_its_moment_however_late_it_is_taken() -> None:
    end = End()
    begin = time.monotonic() - 10
    schedule = Schedule(4.0, begin, end)

    taken = [schedule.take() for _number in range(8)]

    assert [due.at - begin for due in taken if due] == [number / 4 for number in range(8)]
    assert not any(due.awaited for due in taken if due)
    assert schedule.waiting(begin + 10) == 41 - 8


def test_nothing_is_due_after_the_end_and_all_before_it_is() -> None:
    end = End()
    schedule = Schedule(1000.0, time.monotonic() - 0.1, end)
    end.set()
    count = 0

    while schedule.take():
        count += 1

    assert count >= 100
    assert schedule.waiting(time.monotonic() + 5) == 0
    assert schedule.next_at() is None


def test_whoever_waits_for_a_moment_is_told_of_the_end() -> None:
    end = End()
    schedule = Schedule(1.0, time.monotonic() + 60, end)
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(schedule.take()))
    waiting.start()

    end.set()

    waiting.join(5)
    assert found == [None]
