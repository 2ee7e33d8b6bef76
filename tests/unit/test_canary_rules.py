"""A canary as its user writes it: what arrives, and one sentence for each rule that is broken, with nothing secret in it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary_rules import Canary, Judge, Weight

from tests.unit.test_wish import resolve

SECRET = "hunter2"
PROMETHEUS = {"prometheus": "https://prom.example:9090", "query": "errors", "max": 0.01}


def canary(given: Any = None, **more: Any) -> Canary:
    values = {f"canary_{name}": value for name, value in more.items()} | ({} if given is None else {"canary": given})
    found: Canary = resolve(**values).rollout.canary
    return found


def told(given: Any = None, **more: Any) -> list[str]:
    with pytest.raises(Refusal) as refused:
        canary(given, **more)
    return str(refused.value).splitlines()


def test_without_a_word_three_steps_of_a_minute_and_a_hundred_answers() -> None:
    assert canary() == Canary((Weight(5, 60, 100), Weight(20, 60, 100), Weight(50, 60, 100)), "stop", 0.5, 1.3, ())
    assert canary().weights == (5.0, 20.0, 50.0)


@pytest.mark.parametrize("given", [[1, 10.5], "[1, 10.5]", "1, 10.5%", ["1%", "10.5%"]])
def test_weights_are_numbers_or_percentages_in_a_list_or_a_text(given: Any) -> None:
    assert canary(given).weights == (1.0, 10.5)


def test_a_step_may_differ_from_the_others() -> None:
    steps = canary([5, {"weight": 20, "seconds": 600, "by_hand": True}, {"weight": 50, "requests": 1000}], seconds=30, requests=200).steps
    assert steps == (Weight(5, 30, 200), Weight(20, 600, 200, True), Weight(50, 30, 1000))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "bluegreen_canary is an empty list; weights in percent that rise, such as [5, 20, 50], are expected."),
        ([20, 5], "bluegreen_canary has 20, 5; each weight must be above the one before it, such as 5, 20, 50."),
        ([5, 5], "bluegreen_canary has 5, 5; each weight must be above the one before it"),
        (
            [5, 100],
            "bluegreen_canary, entry 2: weight is 100; percent of the requests are expected, above 0 and below 100, with two decimals at most. 100 comes",
        ),
        ([5, 120], "entry 2: weight is 120;"),
        ([0, 5], "entry 1: weight is 0;"),
        ([-5], "entry 1: weight is -5;"),
        ([0.001], "entry 1: weight is 0.001;"),
        (["few"], "entry 1: weight is 'few';"),
        ([True], "entry 1: weight is true;"),
        (["nan"], "entry 1: weight is 'nan';"),
        ([{"seconds": 5}], "entry 1: weight is empty;"),
        ([{"weight": 5, "minutes": 1}], "bluegreen_canary, entry 1: minutes is no key of it; known are by_hand, requests, seconds, weight."),
        ([{"weight": 5, "seconds": -1}], "bluegreen_canary, entry 1: seconds is -1; seconds from 0 to 604800 are expected."),
        ([{"weight": 5, "requests": 3}], "bluegreen_canary, entry 1: requests is 3; from 20 to 1000000 answers are expected"),
        (5.123, "entry 1: weight is 5.123;"),
    ],
)
def test_weights_that_are_none_or_do_not_rise_are_refused(given: Any, words: str) -> None:
    assert any(words in line for line in told(given)), told(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seconds": -1}, "bluegreen_canary_seconds is -1; seconds from 0 to 604800 are expected."),
        ({"seconds": "inf"}, "bluegreen_canary_seconds is inf;"),
        ({"requests": 5}, "bluegreen_canary_requests is 5; from 20 to 1000000 answers are expected, since fewer tell nothing."),
        ({"requests": "many"}, "bluegreen_canary_requests is 'many'; a whole number is expected."),
        ({"no_traffic": "hope"}, "bluegreen_canary_no_traffic is 'hope'; one of stop, go_on, wait is expected."),
        ({"max_errors": 101}, "bluegreen_canary_max_errors is 101; percentage points from 0 to 100 are expected"),
        ({"max_slowdown": 0.9}, "bluegreen_canary_max_slowdown is 0.9; a factor above 1, such as 1.3, is expected, or 0 for no limit."),
        ({"by_hand": "perhaps"}, "bluegreen_canary_by_hand is 'perhaps'; true or false is expected."),
    ],
)
def test_limits_that_are_none_are_refused(given: dict[str, Any], words: str) -> None:
    assert any(words in line for line in told(**given)), told(**given)


def test_judges_arrive_as_written() -> None:
    judges = canary(judges=[{**PROMETHEUS, "headers": {"Authorization": "Bearer t"}}, {"command": "bin/judge --strict", "timeout": 20}]).judges
    assert judges == (
        Judge(1, "https://prom.example:9090", "errors", 0.01, {"Authorization": "Bearer t"}),
        Judge(2, command=("bin/judge", "--strict"), timeout=20.0),
    )
    assert [judge.name for judge in judges] == [
        "bluegreen_canary_judges, entry 1 (https://prom.example:9090)",
        "bluegreen_canary_judges, entry 2 (bin/judge)",
    ]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "has neither prometheus nor command; one of them is expected."),
        ({**PROMETHEUS, "command": "x"}, "has both prometheus and command; one of them is expected."),
        ({**PROMETHEUS, "max": None}, "max is not set; the number above which the query says that the canary is worse."),
        ({**PROMETHEUS, "query": " "}, "query is not set;"),
        ({**PROMETHEUS, "prometheus": "prom.example:9090"}, "prometheus is not one of http or https with a host; such as http://prometheus.example:9090 is"),
        ({**PROMETHEUS, "timeout": 0}, "timeout is 0; a positive number of seconds, 300 at most, is expected."),
        ({"command": "x", "max": 5}, "max goes with prometheus, not with a command."),
        ({"command": "x && y"}, "command runs without a shell, so '&&' would be an argument."),
        ({"comand": "x"}, "comand is no key of it; did you mean command?"),
    ],
)
def test_judges_that_cannot_judge_are_refused(entry: dict[str, Any], words: str) -> None:
    lines = told(judges=[entry])
    assert any(line.startswith("bluegreen_canary_judges, entry 1") and words in line for line in lines), lines


def test_no_sentence_and_no_representation_repeats_a_secret() -> None:
    bad = {"prometheus": f"http://mia:{SECRET}@prom.example", "query": SECRET, "max": 1, "headers": {"A B": SECRET, "X-Token": f"{SECRET}\n"}, "timeout": -1}
    lines = told(judges=[bad, {"command": ["x", SECRET], "query": SECRET}])
    assert len(lines) == 5, lines
    assert SECRET not in "\n".join(lines)
    good = canary(judges=[{**PROMETHEUS, "query": SECRET, "headers": {"Authorization": SECRET}}, {"command": ["x", SECRET]}])
    assert SECRET not in repr(good)
    assert SECRET not in "".join(judge.name for judge in good.judges)
