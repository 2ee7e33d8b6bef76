"""The judge: what the fault excuses, and nothing more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.judge import Damage, Verdict, bound, judge
from tests.chaos.record import Record

GOOD = Record("get", "lb1", 10.0, 10.1, 5.0, 200, "app1", "blue", "v1", 41, "10.0.0.1:9502")
CUT = replace(GOOD, kind="stream", end=12.0, error="IncompleteReadError: 0 bytes read")
UNANSWERED = Record("post", "lb1", 10.0, 12.0, 5.0, 502, upstream="10.0.0.1:9502", error="status 502")
REFUSED = Record("get", "app1", 11.5, 11.5, 11.5, error="ConnectionRefusedError: ")

KILLED = Damage("app1", 11.0, 14.0, pids=frozenset({41, 42}), members=frozenset({"10.0.0.1:9502", "10.0.0.1:9503"}))
OUT = Damage("app1", 11.0, 14.0, entry=True)


def judged(record: Record, damage: Damage) -> Verdict:
    return judge([GOOD, record], damage, 6, 6, 0.5)


@pytest.mark.parametrize(
    ("record", "damage"),
    [
        pytest.param(CUT, KILLED, id="cut off while a killed process was answering"),
        pytest.param(UNANSWERED, KILLED, id="sent to a killed process that had not answered yet"),
        pytest.param(replace(UNANSWERED, upstream="10.0.0.2:9502, 10.0.0.1:9503"), KILLED, id="sent to a killed one after another had refused"),
        pytest.param(replace(UNANSWERED, start=13.9, end=15.0), KILLED, id="begun while it lasted"),
        pytest.param(REFUSED, OUT, id="refused by the entry that was out"),
        pytest.param(replace(CUT, entry="app1"), OUT, id="cut off by the entry that was hit"),
    ],
)
def test_what_met_the_damage_is_excused(record: Record, damage: Damage) -> None:
    verdict = judged(record, damage)
    assert (verdict.lost, verdict.excused) == ([], [record])
    assert verdict.good


@pytest.mark.parametrize(
    ("record", "damage"),
    [
        pytest.param(CUT, Damage(), id="nothing was hit at all"),
        pytest.param(replace(CUT, pid=43), KILLED, id="by another process of the same host"),
        pytest.param(replace(CUT, host="app2"), KILLED, id="by a process of the same number on another host"),
        pytest.param(replace(CUT, end=10.9), KILLED, id="over before it"),
        pytest.param(replace(UNANSWERED, start=14.1, end=15.0), KILLED, id="begun after it"),
        pytest.param(replace(UNANSWERED, upstream="10.0.0.2:9502"), KILLED, id="sent to somebody else"),
        pytest.param(replace(UNANSWERED, upstream="10.0.0.1:9502, 10.0.0.2:9502"), KILLED, id="failed at somebody else in the end"),
        pytest.param(replace(UNANSWERED, upstream=""), KILLED, id="nginx did not say whom it asked"),
        pytest.param(REFUSED, KILLED, id="an entry refused that was not hit"),
        pytest.param(replace(REFUSED, entry="lb2"), OUT, id="another entry refused"),
        pytest.param(replace(REFUSED, start=14.1, end=14.1), OUT, id="the entry refused when it was back"),
    ],
)
def test_every_other_failure_is_a_lost_request(record: Record, damage: Damage) -> None:
    verdict = judged(record, damage)
    assert (verdict.lost, verdict.excused) == ([record], [])
    assert not verdict.good


def test_requests_that_did_not_fail_are_only_counted() -> None:
    verdict = judge([GOOD] * 1000, Damage(), 6, 6, 0.5)
    assert verdict == Verdict(1000)
    assert verdict.good


def test_the_number_of_the_excused_is_bounded_by_the_clients_and_their_tries() -> None:
    assert bound(Damage(), 24, 6, 0.5) == 0
    assert bound(KILLED, 24, 6, 0.5) == 48
    assert bound(OUT, 24, 6, 0.5) == 48 + 6 * 6
    verdict = judge([CUT] * 13, KILLED, 6, 6, 0.5)
    assert (verdict.lost, len(verdict.excused), verdict.bound) == ([], 13, 12)
    assert not verdict.good, "a fault that costs more than it can is not the fault's doing"


def test_an_answer_of_a_release_that_fails_its_check_is_wrong_though_it_is_200() -> None:
    unchecked = replace(GOOD, release="v2")
    verdict = judge([GOOD, unchecked, replace(unchecked, slot="green")], Damage(), 6, 6, 0.5, ("v2 app1/blue",))
    assert verdict.wrong == [unchecked]
    assert not verdict.good
