"""Limits of what clients and hosts show: how they are written, and what crosses them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _judgement
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._judgement import Limits, crossed
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._rules import Problems

BEGAN, ENTERED = 110.0, 120.0


def seen(*points: dict[str, Any], width: float = 1.0) -> dict[str, Any]:
    return {"series": {"start": 100.0, "width": width, "points": list(points)}}


def second(p95: float = 0.01, due: int = 50, **failed: int) -> dict[str, Any]:
    return {"due": due, "by_release": {"v1": due}, "failed": failed, "p50": p95 / 2, "p95": p95}


def asked(result: dict[str, Any], **limits: Any) -> list[str]:
    return [crossing.seen for crossing in crossed(Limits(**limits), result, BEGAN, ENTERED)]


QUIET = [second()] * 10


def test_failures_before_the_swap_are_not_its_own() -> None:
    result = seen(*[second(refused=5)] * 9, *[second()] * 10)
    assert asked(result, failed=0) == []
    assert asked(seen(*QUIET, second(), second(refused=1, timeout=2)), failed=0) == ["3 of 150 failed since the swap began: 2 timeout, 1 refused"]


def test_a_number_is_how_many_may_fail() -> None:
    result = seen(*QUIET, second(status=3))
    assert asked(result, failed=3) == []
    assert asked(result, failed=2) == ["3 of 100 failed since the swap began: 3 status"]


def test_a_share_is_of_what_was_due_and_not_of_a_handful() -> None:
    result = seen(*QUIET, second(status=2))
    assert asked(result, failed=2, is_share=True) == []
    assert asked(result, failed=1.9, is_share=True) == ["2 of 100 failed since the swap began, 2.0%: 2 status"]
    assert asked(seen(*[second(due=1)] * 10, second(due=1, status=1)), failed=1, is_share=True) == []


@pytest.mark.parametrize(
    ("later", "slowdown", "crosses"),
    [(0.05, 2.0, True), (0.05, 6.0, False), (0.019, 1.5, False), (0.0, 2.0, False)],
)
def test_latency_is_beside_that_of_the_time_before(later: float, slowdown: float, crosses: bool) -> None:
    result = seen(*QUIET, *[second(9.0)] * 10, *[second(later)] * 3)
    assert bool(asked(result, slowdown=slowdown)) is crosses, "what was slow between the first switch and the batch's entry is not its own"


def test_one_slow_second_is_not_a_slow_release_and_little_is_not_judged() -> None:
    assert asked(seen(*QUIET, *[second()] * 10, second(), second(9.0), second()), slowdown=2.0) == []
    assert asked(seen(*QUIET, *[second()] * 10, second(9.0)), slowdown=2.0) == []
    assert asked(seen(second(), second()), slowdown=2.0) == []


def test_hosts_say_themselves_what_they_cross() -> None:
    states = {"app1": HostState("app1", 0.0, {}), "app2": HostState("app2", 0.0, {}, crossed=(("no line", "one line"),))}
    assert _judgement.of_hosts(states) == [_judgement.Crossing("no line", "one line", "app2")]


NONE: dict[str, Any] = {"max_failed": "", "max_slowdown": 0.0, "error_logs": [], "max_memory": 0.0, "max_load": 0.0, "watch": None, "probe": [{"path": "/"}]}


def read(**values: Any) -> tuple[Limits, list[str]]:
    problems = Problems()
    limits = _judgement.read({**NONE, **values}, problems)
    _judgement.of_host({**NONE, **values}, problems)
    return limits, problems.found


def test_limits_as_they_are_written() -> None:
    assert read() == (Limits(), [])
    assert read(max_failed=0) == (Limits(0.0, False, 0.0, 2.0), [])
    assert read(max_failed="0.5%", watch=7.0) == (Limits(0.5, True, 0.0, 7.0), [])
    assert read(max_slowdown=2.0)[0].of_probe and not read(max_memory=90.0)[0].of_probe
    assert read(max_memory=90.0)[0].seconds == 2.0


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"max_failed": "many"}, "bluegreen_max_failed is 'many'; a number of requests, or a share such as 0.5%, is expected."),
        ({"max_failed": -1}, "bluegreen_max_failed is -1; a number"),
        ({"max_failed": "101%"}, "bluegreen_max_failed is '101%'; a number"),
        ({"max_failed": "1.5"}, "bluegreen_max_failed is '1.5'; a number"),
        ({"max_slowdown": 0.5}, "bluegreen_max_slowdown is 0.5; a factor above 1"),
        ({"max_failed": 0, "probe": []}, "bluegreen_max_failed: it is the probe's requests that are limited; set bluegreen_probe."),
        ({"watch": -1.0}, "bluegreen_watch is -1; seconds from 0 to 3600 are expected."),
        ({"max_memory": 101.0}, "bluegreen_max_memory is 101; percent from 0 to 100 is expected, 0 for no limit."),
        ({"error_logs": [{"path": "log", "pattern": "x"}]}, "bluegreen_error_logs: path is 'log'; an absolute path on the host is expected."),
        ({"error_logs": [{"path": "/log", "pattern": "("}]}, "bluegreen_error_logs: pattern of /log is '(', which is no regular expression"),
        ({"error_logs": [{"path": "/log"}]}, "bluegreen_error_logs: /log has no pattern"),
        ({"error_logs": [{"path": "/log", "pattern": "x", "max": -1}]}, "bluegreen_error_logs: max of /log is -1"),
    ],
)
def test_wrong_limits_are_said(values: dict[str, Any], sentence: str) -> None:
    _limits, found = read(**values)
    assert len(found) == 1 and found[0].startswith(sentence), found
