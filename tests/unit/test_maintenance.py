"""Members that somebody works on: a release leaves them alone, and they leave and return as carefully as in a swap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Lost
from hypothesis import event, given
from hypothesis import strategies as st

from tests.conftest import Counts
from tests.unit import simulation
from tests.unit.simulation import NEW, OLD, CutOff, Fleet, fleet, two_slots
from tests.unit.test_planner import behind, everyone_serves, faults, many, names, policies, releases, run, serials, words, worlds

NOTE = {"by": "ann", "why": "disk change", "since": 1.0}


@pytest.fixture(autouse=True, scope="module")
def fleets_counted(counts: Counts) -> Any:
    before = simulation.runs
    yield
    counts.add("simulated runs", simulation.runs - before)


def mark(there: Fleet, members: Iterable[str], on: Iterable[str] = ()) -> None:
    """Mark the members on these balancers, by default on the first that serves them."""
    for member in members:
        for name in on or there.balancers_of(member)[:1]:
            there.hosts[name].pools.marks[member] = NOTE  # type: ignore[union-attr]  # it is a balancer


def takes_out(there: Fleet, *members: str) -> _runner.Result:
    simulation.runs += 1
    there.width, there.chosen = len(there.hosts), frozenset(members)
    there.begin()
    return _runner.take_out(there.wishes, members, there, lambda _item: None)


def brings_back(there: Fleet, *members: str, tell: Any = lambda _item: None) -> _runner.Result:
    simulation.runs += 1
    there.width, there.chosen = 1, frozenset(members)
    there.begin()
    return _runner.swap(there.wishes, there, tell, _runner.Policy(chosen=there.chosen))


def where(there: Fleet) -> Mapping[str, list[str]]:
    """Which balancers serve each member."""
    return {member.id: [name for name in there.hosts if there.serves(name, member.id)] for member in there.members()}


def processes(there: Fleet) -> Mapping[str, tuple[int, str | None]]:
    return {member.id: (there.slot(member.id).pid, there.slot(member.id).running) for member in there.members()}


# A release.


def test_a_release_leaves_a_marked_member_as_it_is_and_swaps_the_others() -> None:
    there = behind("lb1", "lb2")
    assert takes_out(there, "app2/main").ok
    mark(there, ["app2/main"], on=["lb2"])
    there.chosen = frozenset()
    told: list[Any] = []
    there.begin()
    result = _runner.swap(there.wishes, there, told.append)
    assert result.ok and result.changed
    assert releases(there) == {"app1/main": NEW, "app2/main": OLD, "app3/main": NEW}
    assert where(there)["app2/main"] == []
    assert "app2/main: in maintenance (ann: disk change): left alone on release v1" in told


def test_a_release_that_fails_says_who_is_in_maintenance() -> None:
    there = behind("lb1")
    mark(there, ["app2/main"])
    there.faults.bad = {("app3/main", NEW)}
    assert "app2/main: in maintenance (ann: disk change): left alone, release v1" in words(run(there), there)


def test_a_release_in_which_everybody_is_in_maintenance_fails_and_says_so() -> None:
    there = behind("lb1", hosts=2)
    mark(there, ["app1/main", "app2/main"])
    planned = _runner.preview(there.wishes, {wish.host: there.observe(wish) for wish in there.wishes})
    result = run(there)
    assert not result.ok and not result.changed and there.done == []
    assert result.blocked == planned.blocked
    assert result.blocked.startswith("every member of this run is left alone: app1/main in maintenance (ann: disk change), app2/main in maintenance")


def test_a_member_in_maintenance_does_not_count_for_the_floor_even_if_it_is_served() -> None:
    there = behind("lb1", hosts=2)
    mark(there, ["app2/main"])
    result = run(there)
    assert "app1/main cannot be taken out: 0 would serve on lb1, bluegreen_min_serving is 1" in result.blocked
    assert not result.changed


def test_the_mark_on_any_one_balancer_counts() -> None:
    for name in ("lb1", "lb2"):
        there = behind("lb1", "lb2")
        mark(there, ["app2/main"], on=[name])
        assert run(there).ok
        assert releases(there)["app2/main"] == OLD


@st.composite
def marked(draw: st.DrawFn) -> Fleet:
    """Any fleet with some members in maintenance, out or not."""
    there = draw(worlds())
    for member in draw(st.sets(st.sampled_from([member.id for member in there.members()]), max_size=3)):
        mark(there, [member], on=draw(st.sets(st.sampled_from(there.balancers_of(member)), min_size=1)))
    return there


@many
@given(marked(), serials, policies, st.data())
def test_whatever_goes_wrong_in_a_release_nobody_in_maintenance_is_touched(there: Fleet, serial: tuple[str, ...], policy: str, data: st.DataObject) -> None:
    there.faults = data.draw(faults(there))
    if there.faults.person and there.faults.person[1] in there.left_alone:
        there.faults.person = None
    there.faults.cut_after = data.draw(st.none() | st.integers(0, 40))
    alone, served, before = set(there.left_alone), where(there), processes(there)
    there.faults.restless -= alone
    if there.faults.dies and there.faults.dies[0] in alone:
        there.faults.dies = None
    try:
        run(there, policy, serial)  # the simulation holds each step against the invariants
    except CutOff:
        event("cut off")
    for member in alone:
        assert where(there)[member] == served[member]
        assert processes(there)[member] == before[member]


@many
@given(marked(), serials)
def test_a_release_is_complete_without_those_in_maintenance(there: Fleet, serial: tuple[str, ...]) -> None:
    result = run(there, serial=serial)
    others = {member.id for member in there.members()} - there.left_alone
    if result.ok:
        assert {releases(there)[member] for member in others} <= {NEW}
        assert all(set(where(there)[member]) == set(there.balancers_of(member)) for member in others)
        assert not run(there, serial=serial).changed
    else:
        event("blocked")
        assert "bluegreen_min_serving" in result.blocked or not others


# Out.


def test_a_member_leaves_every_balancer_and_its_process_stays() -> None:
    there = behind("lb1", "lb2")
    before = processes(there)
    result = takes_out(there, "app2/main")
    assert result.ok and result.changed
    assert where(there) == {"app1/main": ["lb1", "lb2"], "app2/main": [], "app3/main": ["lb1", "lb2"]}
    assert processes(there) == before
    assert [step.name for step in there.done] == ["switch", "drain"] * 2


def test_several_leave_at_the_same_time_and_their_pool_is_declared_first() -> None:
    there = behind("lb1", hosts=4)
    assert takes_out(there, "app2/main", "app4/main").ok
    assert [(step.name, step.members) for step in there.done] == [
        ("declare", ()),
        ("switch", ("app2/main", "app4/main")),
        ("drain", ("app2/main", "app4/main")),
    ]


def test_who_is_out_already_is_not_touched() -> None:
    there = behind("lb1")
    takes_out(there, "app2/main")
    result = takes_out(there, "app2/main")
    assert result.ok and not result.changed and there.done == []


def test_a_floor_that_would_be_undercut_is_refused_by_name_with_nothing_changed() -> None:
    there = behind("lb1", "lb2", hosts=3, min_serving={"lb1": 1, "lb2": 2})
    result = takes_out(there, "app1/main", "app3/main")
    assert there.done == [] and not result.changed
    assert "app1/main and app3/main cannot be taken out: 1 would serve on lb2, bluegreen_min_serving is 2." in result.blocked


def test_both_slots_of_a_host_that_is_its_own_balancer_are_refused_with_a_hint() -> None:
    there = fleet({"app1": two_slots()})
    result = takes_out(there, "app1/blue", "app1/green")
    assert there.done == []
    assert result.blocked.endswith("app1's own nginx is the only one that serves its slots: take the host out of what stands before it first.")
    assert takes_out(there, "app1/green").ok


def test_a_balancer_that_fails_brings_the_members_back_to_the_others() -> None:
    there = behind("lb1", "lb2")
    there.faults.refusal = ("lb2", 1)
    there.chance.seed(1)
    result = takes_out(there, "app2/main")
    assert not result.ok
    assert where(there)["app2/main"] == ["lb1", "lb2"]


def test_a_member_of_a_host_that_is_gone_leaves_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    there = behind("lb1", "lb2")
    look = there.observe

    def observe(wish: Wish) -> HostState:
        if wish.host == "app2":
            raise Lost("app2 does not answer: no route to host")
        return look(wish)

    monkeypatch.setattr(there, "observe", observe)
    assert takes_out(there, "app2/main").ok
    assert where(there)["app2/main"] == []


def test_in_check_mode_it_is_only_said_what_would_be_done() -> None:
    there = behind("lb1", hosts=4)
    told: list[Any] = []
    planned = _runner.take_out(there.wishes, ["app2/main", "app4/main"], there, told.append, dry=True)
    assert there.done == [] and planned.changed and planned.ok
    assert takes_out(there, "app2/main", "app4/main").ok
    assert told == planned.planned
    assert [(step.name, step.host, step.members) for step in told] == [(step.name, step.host, step.members) for step in there.done]


@many
@given(worlds(), st.data())
def test_any_members_leave_any_world_or_nothing_is_changed(there: Fleet, data: st.DataObject) -> None:
    members = data.draw(st.sets(st.sampled_from([member.id for member in there.members()]), min_size=1))
    served, before = where(there), processes(there)
    result = takes_out(there, *sorted(members))
    assert processes(there) == before
    if result.ok:
        assert where(there) == {member: [] if member in members else names for member, names in served.items()}
        assert not takes_out(there, *sorted(members)).changed
    else:
        event("blocked")
        assert "bluegreen_min_serving" in result.blocked and not result.failures
        assert where(there) == served and there.done == []


@many
@given(worlds(), st.data())
def test_taking_out_is_completed_by_running_again_wherever_it_was_cut_off(there: Fleet, data: st.DataObject) -> None:
    members = sorted(data.draw(st.sets(st.sampled_from([member.id for member in there.members()]), min_size=1)))
    before = processes(there)
    result = None
    for cut in (data.draw(st.integers(0, 6)), None):
        there.faults.cut_after = cut
        try:
            result = takes_out(there, *members)
        except CutOff:
            event("cut off")
    assert processes(there) == before
    assert result and (result.blocked or not any(where(there)[member] for member in members))


# Back.


def test_a_member_comes_back_on_the_live_release_and_nobody_else_is_touched() -> None:
    there = behind("lb1", "lb2")
    takes_out(there, "app2/main")
    mark(there, ["app2/main"])
    there.chosen = frozenset()
    run(there)
    told: list[Any] = []
    result = brings_back(there, "app2/main", tell=told.append)
    assert result.ok and everyone_serves(there) and set(releases(there).values()) == {NEW}
    assert names(there, "app2/main") == ["drain", "drain", "stop", "point", "start", "check", "enable", "enable"]
    assert not any("left alone" in str(item) for item in told)


def test_a_member_on_the_live_release_is_only_checked_and_enabled() -> None:
    there = behind("lb1", release=OLD)
    takes_out(there, "app2/main")
    mark(there, ["app2/main"])
    assert brings_back(there, "app2/main").ok and everyone_serves(there)
    assert names(there, "app2/main") == ["check", "enable"]
    assert not brings_back(there, "app2/main").changed


def test_who_is_not_named_stays_as_it_is_marked_or_not() -> None:
    there = behind("lb1", hosts=4)
    takes_out(there, "app2/main", "app3/main")
    mark(there, ["app2/main", "app3/main"])
    assert brings_back(there, "app2/main").ok
    assert releases(there) == {"app1/main": OLD, "app2/main": NEW, "app3/main": OLD, "app4/main": OLD}
    assert where(there)["app3/main"] == []
