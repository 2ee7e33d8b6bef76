"""What is not as it should be, in words, and the table: decided by what the hosts told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member, Program
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import BalancerState, HostState, SlotState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _status

from tests.unit.test_history import failed, released, run

GOOD = SlotState("RUNNING", 7, 60.0, "2", "2", "1", "good", listener="own", healthy=True, connections=3, others=1)
MEMBERS = {host: Member(host, "blue", {"http": 9501}) for host in ("app1", "app2")}


def wish(host: str, *balancers: str) -> Wish:
    mine = (MEMBERS[host],) if host in MEMBERS else ()
    pool = () if mine and host not in balancers else tuple(MEMBERS.values())
    return Wish("shop", host, "/srv/shop", "", mine, pool, Program(("true",)), balancers=balancers if mine else ())


def answer(
    host: str, slot: SlotState | None = None, balancer: BalancerState | None = None, lines: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    """What a host tells."""
    known = released("1", "2") if lines is None else lines
    return {
        "state": dump(HostState(host, 0.0, {"blue": slot} if slot else {}, balancer)),
        "past": dump(_history.past(known)),
        "since": {"blue": 1.0},
        "releases": {},
        "history": known,
        "lock": "",
        "workers": [],
        "problems": [],
        **more,
    }


def fleet(slot: SlotState = GOOD, serving: tuple[str, ...] = ("app1/blue", "app2/blue"), marks: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Two hosts behind two balancers: app1 and the first balancer as given, the others as they should be."""
    wishes = [wish("app1", "lb1", "lb2"), wish("app2", "lb1", "lb2"), wish("lb1"), wish("lb2")]
    balancers = {
        "lb1": answer("lb1", None, BalancerState("x", serving, loaded=True, maintenance=marks or {}), []),
        "lb2": answer("lb2", None, BalancerState("x", ("app1/blue", "app2/blue"), loaded=True), []),
    }
    return _status.picture(wishes, {"app1": answer("app1", slot, **more), "app2": answer("app2", GOOD), **balancers}, {}, ["app1", "app2"])


def test_a_service_in_order_has_no_drift() -> None:
    found = fleet()
    assert found["drift"] == []
    assert found["members"][0] | {"since": 0} == {
        "member": "app1/blue",
        "host": "app1",
        "slot": "blue",
        "port": 9501,
        "state": "RUNNING",
        "serving": True,
        "balancers": ["lb1", "lb2"],
        "since": 0,
        "connections": 4,
        "release": "2",
        "healthy": True,
        "seen": "",
        "pid": 7,
        "uptime": 60.0,
        "current": "2",
        "previous": "1",
        "mark": "good",
        "drift": [],
    }
    assert found["text"][0] == "shop: release 2 was the last to be completed; 2 of 2 members serve in health"
    assert "everything is as it should be" in found["text"]


def test_each_thing_that_is_not_as_it_should_be_has_its_sentence() -> None:
    ill = "status 500"
    cases: list[tuple[dict[str, Any], str]] = [
        ({"slot": replace(GOOD, healthy=False, seen=ill)}, "app1/blue is served and not healthy: status 500"),
        (
            {"slot": replace(GOOD, pid=0, release=None, state="FATAL", healthy=False, seen="exited too quickly")},
            "app1/blue does not run: supervisor says FATAL: exited too quickly",
        ),
        ({"slot": replace(GOOD, release="1", current="1")}, "app1/blue runs 1; the last completed release is 2"),
        ({"slot": replace(GOOD, current="1")}, "app1/blue runs 2, and the next start would be 1"),
        ({"slot": replace(GOOD, pending=True)}, "app1/blue has a changed program or start that waits for the next swap"),
        ({"slot": replace(GOOD, listener="foreign", healthy=False, holders=("pid 9 (nc)",))}, "app1/blue has its port held by pid 9 (nc)"),
        ({"serving": ("app2/blue",)}, "app1/blue is served by lb2 and not by lb1"),
        ({"problems": ["supervisor: connection refused"]}, "app1: supervisor: connection refused"),
        ({"lines": [*released("1", "2"), run("rolling back", "1")]}, "app1: the rollback to 1 was not completed; hotswap.bluegreen.rollback goes on with it"),
    ]
    for given, sentence in cases:
        assert fleet(**given)["drift"] == [sentence]


def test_a_member_that_its_host_could_not_look_at_is_not_called_dead() -> None:
    found = fleet(SlotState("NOT SEEN", current="2"), problems=["supervisor: its socket is not there"])
    assert found["drift"] == ["app1/blue could not be looked at", "app1: supervisor: its socket is not there"]
    assert found["members"][0]["current"] == "2"


def test_a_release_that_came_halfway_is_named() -> None:
    found = fleet(replace(GOOD, release="3", current="3"), lines=[*released("1", "2"), *failed("3")])
    assert found["drift"] == ["app1/blue runs 3; the last completed release is 2", "release 3 was begun and not completed"]
    assert fleet(lines=[*released("1", "2"), *failed("3", "2")])["drift"] == [], "it failed and was put back: nobody runs it"


def test_who_is_in_maintenance_is_told_with_the_reason_and_is_not_blamed_for_serving_nowhere() -> None:
    marks = {"app1/blue": {"by": "ann", "why": "disk change", "since": None}}
    wishes = [wish("app1", "lb1"), wish("lb1")]
    out = {"app1": answer("app1", GOOD), "lb1": answer("lb1", None, BalancerState("x", ("app2/blue",), loaded=True, maintenance=marks), [])}
    assert _status.picture(wishes, out, {}, ["app1"])["drift"] == ["app1/blue is in maintenance on lb1 (ann: disk change)"]
    bare = {**out, "lb1": answer("lb1", None, BalancerState("x", (), loaded=True), [])}
    assert _status.picture(wishes, bare, {}, ["app1"])["drift"] == ["app1/blue is served by none of its balancers (lb1)"]
    assert fleet(marks=marks)["drift"] == ["app1/blue is in maintenance on lb1 (ann: disk change), and is served there all the same"]
    assert fleet(marks=marks)["maintenance"] == {"lb1": marks}


def test_a_host_that_does_not_answer_is_shown_as_such() -> None:
    wishes = [wish("app1", "app1"), wish("app2", "app2")]
    balancer = BalancerState("x", ("app1/blue",), loaded=True)
    found = _status.picture(wishes, {"app1": answer("app1", GOOD, balancer)}, {"app2": "app2 does not answer: timed out"}, ["app1", "app2"])
    assert [row["state"] for row in found["members"]] == ["RUNNING", "UNREACHABLE"]
    assert found["drift"] == ["app2/blue is on a host that does not answer", "app2 does not answer: timed out"]
    assert found["completed"] == ["1", "2"], "of those that answered"


def test_a_service_that_was_never_released_is_shown_too() -> None:
    found = _status.picture([wish("app1", "app1")], {"app1": answer("app1", SlotState("ABSENT", seen="supervisor says ABSENT"), None, [])}, {}, ["app1"])
    assert found["drift"] == ["app1/blue does not run: supervisor says ABSENT"]
    assert found["text"][0] == "shop: no release was completed on all of these hosts yet; 0 of 1 members serve in health"
    assert found["text"][-1] == "  nothing yet"


def test_the_table_tells_what_a_run_wrote_on_several_hosts_once() -> None:
    lines = [run("released", "2", token=4)]
    wishes = [wish("app1", "app1"), wish("app2", "app2")]
    both = {host: answer(host, GOOD, BalancerState("x", (f"{host}/blue",), loaded=True), lines) for host in ("app1", "app2")}
    text = _status.picture(wishes, both, {}, ["app1", "app2"])["text"]
    assert [line for line in text if "released 2" in line] == [f"  {_history.words(lines[0])}"]
    alone = {**both, "app2": answer("app2", GOOD, BalancerState("x", ("app2/blue",), loaded=True), [])}
    assert any("  app1  released 2, by mia@laptop" in line for line in _status.picture(wishes, alone, {}, ["app1", "app2"])["text"])


def test_the_table_shows_releases_with_what_is_wrong_with_them_and_workers() -> None:
    on_disk = {
        "1": {"staged": 1.0, "marks": {"blue": "failed"}, "lacking": []},
        "2": {"staged": 2.0, "marks": {}, "lacking": ["/srv/shop/blue"]},
    }
    worker = {"id": "worker:mail", "scope": "slot", "slot": "blue", "state": "RUNNING", "pid": 9, "release": "2", "seconds": 5}
    text = fleet(releases=on_disk, workers=[worker])["text"]
    assert "  app1: 1 (failed), 2 (incomplete)" in text
    assert any(line.split() == ["worker:mail", "app1/blue", "slot", "RUNNING", "2", "9"] for line in text)


def test_a_service_that_is_wholly_on_a_release_meets_the_expectation_and_on_another_it_is_named() -> None:
    assert _status.unmet(fleet(), "2") == []
    assert _status.unmet(fleet(), "3") == [f"{host}/blue serves 2, and 3 is expected." for host in ("app1", "app2")]


def test_what_is_ill_does_not_meet_the_expectation_but_what_a_person_has_taken_out_does() -> None:
    assert "app1/blue is served and not healthy: 500." in _status.unmet(fleet(replace(GOOD, healthy=False, seen="500")), "2")
    marks = {"app1/blue": {"by": "ann", "why": "disk", "since": 0.0}}
    assert _status.unmet(fleet(serving=("app2/blue",), marks=marks), "2") == []
