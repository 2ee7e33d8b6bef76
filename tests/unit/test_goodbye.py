"""When an application is told to let its clients go, and how the user says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _processes, _program
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Step, Wish, dump, load
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Goodbye
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _planner, _progress, _runner
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._world import World

from tests.unit.simulation import NEW, Fleet, fleet, one_slot, two_slots
from tests.unit.test_flips import flips
from tests.unit.test_wish import resolve, sentences

SAID = Goodbye(signal="USR2", timeout=90.0)


def run(there: Fleet) -> list[Step]:
    there.begin()
    result = _runner.swap(there.wishes, there, lambda _item: None)
    assert result.ok
    return there.done


def wish(**given: Any) -> Wish:
    return resolve(**given).wish


# The plan


def test_a_host_of_its_own_switches_away_says_goodbye_and_waits_before_the_stop() -> None:
    done = run(fleet({"app1": two_slots()}, goodbye=SAID))
    assert [step.name for step in done if step.members == ("app1/green",)] == ["switch", "goodbye", "drain", "stop", "point", "start", "check", "enable"]


@pytest.mark.parametrize("local", [False, True])
def test_it_is_told_when_every_balancer_is_away_and_they_wait_for_its_clients_before_the_stop(local: bool) -> None:
    done = run(fleet({"app1": one_slot(), "app2": one_slot()}, ["lb1", "lb2"], local=local, goodbye=SAID, min_serving={"app1": 0, "app2": 0}))
    mine = [step for step in done if step.members == ("app1/main",)]
    order = [step.name for step in mine]
    balancers = 3 if local else 2
    begin = order.index("goodbye")
    assert order[:begin].count("switch") == balancers
    assert sorted(order[: 2 * balancers + 1]) == ["drain"] * balancers + ["goodbye"] + ["switch"] * balancers
    assert order[2 * balancers + 1 :] == ["stop", "point", "start", "check"] + ["enable"] * balancers
    assert [step.host for step in mine if step.name == "goodbye"] == ["app1"]


def test_a_drain_begins_with_what_its_balancer_found_when_it_switched_away() -> None:
    there = fleet({"app1": one_slot(), "app2": one_slot()}, ["lb1", "lb2"], local=False, goodbye=SAID)
    walk = there.walk

    def counting(wished: Wish, steps: Sequence[Step]) -> _runner.Answer:
        away = [step.member for step in steps if step.name == "switch"]
        return replace(walk(wished, steps), found={"drain": {"there": f"{away[0]} of {wished.host}"}} if away else {})

    there.walk = counting  # type: ignore[method-assign]
    drains = [(step.host, step.member, step.resume["there"]) for step in run(there) if step.name == "drain"]
    assert len(drains) == 4
    assert all(there == f"{member} of {host}" for host, member, there in drains)


def test_a_slot_that_was_taken_over_from_says_goodbye_before_it_retires() -> None:
    there = flips(2, ["lb1"], "blue_green", goodbye=SAID)
    there.begin()
    assert _runner.swap(there.wishes, there, lambda _told: None).ok
    old = [(step.name, step.host) for step in there.done if "app1/blue" in step.members and step.name != "declare"]
    assert sorted(old[:2]) == [("drain", "lb1"), ("goodbye", "app1")] and old[2:] == [("stop", "app1")]
    assert {step.seconds for step in there.done if step.name == "drain"} == {90.0}


def test_its_clients_have_the_longer_of_both_times() -> None:
    for goodbye, seconds in ((SAID, 90.0), (Goodbye(path="/drain", timeout=20.0), 30.0), (Goodbye(), 0.0)):  # the drain's own time is 30 s
        done = run(fleet({"app1": two_slots()}, goodbye=goodbye))
        assert {step.seconds for step in done if step.name == "drain"} == {seconds}


def test_who_is_dead_is_not_told() -> None:
    there = fleet({"app1": two_slots()}, goodbye=SAID)
    there.slot("app1/green").dies()
    done = run(there)
    assert [step.members for step in done if step.name == "goodbye"] == [("app1/blue",)]


def test_in_maintenance_nobody_is_told_because_the_process_stays() -> None:
    there = fleet({"app1": two_slots()}, goodbye=SAID)
    decision = _planner.out(["app1/green"], World(_runner.by_host(there.wishes), [there.observe(wish) for wish in there.wishes]))
    assert isinstance(decision, _planner.Batch)
    assert [(step.name, step.seconds) for step in decision.steps] == [("switch", 0.0), ("drain", 0.0)]


def test_a_member_that_was_told_serves_again_when_the_run_ends_before_its_stop() -> None:
    there = fleet({"app1": one_slot(), "app2": one_slot()}, ["lb1"], local=False, goodbye=SAID)
    there.faults.fail = ("app1/main", "drain")
    there.begin()
    result = _runner.swap(there.wishes, there, lambda _item: None)
    assert not result.ok
    assert there.serving("lb1") == {"app1/main", "app2/main"}
    assert "stop" not in {step.name for step in there.done}


def test_that_it_was_not_told_is_said_in_these_words() -> None:
    event = Event("goodbye", "app1/blue", "overtime", 0.0, 0.25, "POST /drain answers 404", "app1")
    assert _progress.end(event).text == "app1/blue  goodbye NOT TOLD, 0.25 s: POST /drain answers 404"


# What the user writes


def test_the_goodbye_arrives_with_its_times() -> None:
    told = wish(drain_url="/drain?now=1", drain_method="PUT", drain_headers={"X-Token": "$TOKEN"}, drain_window=7.5, long_drain_timeout=120).goodbye
    assert told == Goodbye("", "/drain?now=1", "PUT", {"X-Token": "$TOKEN"}, 7.5, 120.0)
    assert load(Goodbye, dump(told)) == told
    assert not wish().goodbye.is_said


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"drain_signal": "USR2", "drain_url": "/drain"},
            "bluegreen_drain_signal is USR2 and bluegreen_drain_url is '/drain'; an application is told in one way",
        ),
        ({"drain_signal": "KILL"}, "bluegreen_drain_signal is 'KILL'; one of HUP, USR1, USR2, WINCH, TTIN, TTOU, URG is expected"),
        ({"drain_signal": "SIGUSR2"}, "bluegreen_drain_signal is 'SIGUSR2'; one of HUP, USR1"),
        ({"drain_signal": "USR2", "stop_signal": "USR2"}, "bluegreen_drain_signal is USR2, which is bluegreen_stop_signal"),
        ({"drain_signal": "USR1", "runtime": "swoole"}, "bluegreen_drain_signal is USR1, which is bluegreen_reload_signal"),
        ({"drain_url": "http://shop/drain"}, "bluegreen_drain_url is 'http://shop/drain'; a path such as /drain is expected"),
        ({"drain_url": "/drain now"}, "bluegreen_drain_url is '/drain now'; a path without blanks"),
        ({"drain_url": "/drain#now"}, "bluegreen_drain_url is '/drain#now'; a path without blanks and #"),
        ({"drain_method": "PATCH"}, "bluegreen_drain_method is 'PATCH'; one of POST, PUT, GET, DELETE is expected"),
        ({"drain_headers": {"X Token": "1"}}, "bluegreen_drain_headers: 'X Token' is no name of an HTTP header"),
        ({"drain_window": -1}, "bluegreen_drain_window is -1; a positive number is expected"),
        ({"long_drain_timeout": 0}, "bluegreen_long_drain_timeout is 0; a positive number is expected"),
        ({"drain_window": "nan"}, "bluegreen_drain_window is nan; a positive number is expected"),
        ({"drain_signal": "USR2", "drain_window": 60}, "bluegreen_drain_window is 60 s, bluegreen_long_drain_timeout 60 s: clients would be ended before"),
        (
            {"drain_signal": "USR2", "environment": {"BLUEGREEN_DRAIN_WINDOW": 3}},
            "bluegreen_environment: BLUEGREEN_DRAIN_WINDOW is set by the collection itself",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(values: dict[str, Any], sentence: str) -> None:
    (found,) = sentences(**values)
    assert found.startswith(sentence)


def test_a_window_without_a_goodbye_is_nobodys_concern() -> None:
    assert wish(drain_window=600).goodbye.window == 600


# What the application has


def test_a_release_knows_its_window_where_there_is_a_goodbye() -> None:
    told, other = wish(drain_signal="USR2", drain_window=7.5), wish()
    assert "export BLUEGREEN_DRAIN_WINDOW=7.5" in _program.start_script(told, told.members[0], {}, NEW).splitlines()
    assert "DRAIN" not in _program.start_script(other, other.members[0], {}, NEW)


def test_a_reference_is_replaced_wherever_it_stands_and_two_dollars_are_one() -> None:
    assert _program.expanded("Bearer $TOKEN, ${TOKEN}x, $$TOKEN", {"TOKEN": "s3"}) == "Bearer s3, s3x, $TOKEN"


@pytest.mark.parametrize(
    ("code", "heeds"),
    [
        ("signal.signal(signal.SIGUSR2, print)", True),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])", True),
        ("signal.signal(signal.SIGUSR1, print)", False),
        ("signal.signal(signal.SIGUSR2, signal.SIG_IGN)", False),
    ],
)
def test_a_process_heeds_a_signal_that_it_handles_or_fetches(code: str, heeds: bool) -> None:
    program = f"import signal, sys; {code}; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        assert _processes.heeds(process.pid, signal.SIGUSR2) is heeds
        process.communicate(b"")
    assert not _processes.heeds(process.pid, signal.SIGUSR2), "nobody"
    assert os.getpid() != process.pid
