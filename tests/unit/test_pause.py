"""A canary between two steps: what it is told, and what it does about it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._answers import Side
from ansible_collections.hotswap.bluegreen.plugins.module_utils._orders import Order
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _pauses
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary import Opinion
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary_rules import Canary, Weight
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._pause import Going, Next, Pause, Stop, Worse

ANNA = {"user": "anna", "controller": "desk", "pid": 1}
GOOD = Opinion("a judge", "good")


def answers(new: int, old: int = 1000, wrong: int = 0) -> list[dict[str, Side]]:
    return [{"new": Side(new, wrong), "old": Side(old)}]


def pause(no_traffic: str = "stop", **step: Any) -> Pause:
    return Pause(Weight(5.0, **step), Canary(no_traffic=no_traffic), 1000.0)


def order(what: str, **more: Any) -> Order:
    return Order(7, what, ANNA, 1.0, **more)


def test_a_step_lasts_its_time_and_goes_on_when_nothing_is_worse() -> None:
    step = pause()
    assert step.look(answers(90), 1010.0) == Going(
        "canary at 5 %: 50 s left; 90 answers, stable 1,000, of 100 each; error share 0.0 % (0 of 90), stable 0.0 % (0 of 1,000)", ""
    )
    assert isinstance(step.look(answers(90), 1059.9), Going)
    assert step.look(answers(20), 1060.0) == Next("error share 0.0 % (0 of 200), stable 0.0 % (0 of 3,000)")


def test_answers_of_all_balancers_and_all_looks_are_added() -> None:
    step = pause()
    step.look([*answers(40, wrong=2), *answers(30, wrong=1)], 1001.0)
    found = step.look([*answers(20, wrong=3), {}], 1002.0)
    assert isinstance(found, Going), "90 are too few"
    assert isinstance(step.look(answers(10), 1003.0), Worse)


def test_one_that_is_worse_goes_back_at_once_however_long_the_step_lasts_and_whoever_it_waits_for() -> None:
    for step in (pause(), pause(by_hand=True), pause("wait", seconds=86400.0)):
        found = step.look(answers(100, wrong=30), 1001.0)
        assert isinstance(found, Worse)
        assert found.seen == "error share 30.0 % (30 of 100), stable 0.0 % (0 of 1,000): p = 7e-34"


def test_it_is_not_judged_at_every_look_but_once_more_at_the_end() -> None:
    """110 answers with 5 errors would be worse; but from 100 on there is no further look before 120."""
    step = pause()
    assert isinstance(step.look(answers(100, 10_000), 1010.0), Going)
    assert isinstance(step.look(answers(10, 100, wrong=5), 1020.0), Going)
    assert isinstance(step.look(answers(0, 0), 1060.0), Worse)


@pytest.mark.parametrize("fewer", [answers(99, 5000), answers(5000, 99), []])
def test_a_step_without_enough_answers_of_either_does_what_its_user_says(fewer: Any) -> None:
    stopped = pause("stop").look(fewer, 1060.0)
    assert isinstance(stopped, Stop)
    assert stopped.expected == "100 answers of each release to judge by (bluegreen_canary_requests; see bluegreen_canary_no_traffic)"
    assert ("no balancer has written a line to its canary.log" in stopped.seen) == (not fewer)
    gone = pause("go_on").look(fewer, 1060.0)
    assert isinstance(gone, Next)
    assert gone.warning.startswith("the canary at 5 % was not judged: ")
    waiting = pause("wait")
    found = waiting.look(fewer, 1060.0)
    assert isinstance(found, Going)
    assert "waits for answers to judge by (bluegreen_canary_no_traffic)" in found.line
    assert isinstance(waiting.look(answers(100, 100), 5000.0), Next)


def test_by_hand_it_waits_for_a_person_however_good_it_is_and_whether_there_is_traffic_or_not() -> None:
    for seen in (answers(500, 500), answers(0, 0)):
        step = pause(by_hand=True)
        found = step.look(seen, 99_000.0)
        assert isinstance(found, Going)
        assert found.line.startswith("canary at 5 %: waits for hotswap.bluegreen.promote or hotswap.bluegreen.abort; ")
        assert isinstance(step.look([], 99_001.0, order("promote")), Next)


def test_a_promotion_ends_a_step_before_its_time_with_who_gave_it() -> None:
    assert pause().look([], 1001.0, order("promote", reason="looks good")) == Next(
        "anna@desk (pid 1) promoted it: looks good; 0 answers, stable 0, of 100 each; error share 0.0 % (0 of 0), stable 0.0 % (0 of 0)"
    )
    found = pause().look([], 1001.0, order("promote", to="all"))
    assert isinstance(found, Next)
    assert found.to_all


def test_a_promotion_does_not_hide_that_it_is_worse() -> None:
    assert isinstance(pause().look(answers(100, wrong=30), 1001.0, order("promote", to="all")), Worse)


def test_an_abort_ends_it_before_anything_else_is_looked_at() -> None:
    assert pause().look(answers(100, wrong=30), 1001.0, order("abort", reason="old prices")) == Stop(
        "the canary to go on", "anna@desk (pid 1) ended it: old prices"
    )


def test_a_step_that_lasts_is_looked_at_less_often() -> None:
    assert [_pauses.pace(seconds) for seconds in (0, 30, 60, 150, 86_400)] == [1, 1, 2, 5, 5]


def test_a_judge_that_finds_it_worse_ends_it_at_once() -> None:
    bad = Opinion("bluegreen_canary_judges, entry 1 (http://prom)", "worse", "the query gives 3, at most 1 is expected")
    found = pause(by_hand=True).look(answers(10), 1001.0, opinions=[GOOD, bad])
    assert found == Worse("bluegreen_canary_judges, entry 1 (http://prom) finds the canary good", "the query gives 3, at most 1 is expected")


def test_a_step_waits_for_judges_that_have_not_answered_yet_and_not_for_those_that_cannot() -> None:
    step = pause()
    waiting = step.look(answers(500), 1060.0, opinions=[GOOD, Opinion("a slow one", "pending")])
    assert isinstance(waiting, Going)
    assert "waits for a slow one" in waiting.line
    assert isinstance(step.look([], 1061.0, opinions=[GOOD, Opinion("a slow one", "unknown", "no answer")]), Next)
