"""The user's commands within a swap: at their moments in every topology, from every interruption, and harmless on the way back."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Hook
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _hook_rules, _rules
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.simulation import NEW, OLD, CutOff, Faults, Fleet, fleet, one_slot, two_slots
from tests.unit.test_planner import many, run

MOMENTS = ("before_stop", "after_start", "after_enable")
EVERY = tuple(Hook(moment, ("x",), on) for moment in MOMENTS for on in ("", "controller"))


def shaped(topology: str) -> Fleet:
    if topology == "own":
        return fleet({"app1": two_slots(), "app2": two_slots()}, hooks=EVERY)
    local = topology == "both"
    slots = two_slots if local else one_slot
    return fleet({f"app{number}": slots() for number in (1, 2, 3)}, ("lb1", "lb2"), local=local, hooks=EVERY)


topologies = pytest.mark.parametrize("topology", ["own", "behind", "both"])


@topologies
def test_every_member_gets_its_hooks_once_each_in_order_wherever_they_run(topology: str) -> None:
    there = shaped(topology)
    result = run(there)
    assert result.ok
    for member in there.members():
        hooks = [(step.name, step.host) for step in there.done if step.hook and step.members == (member.id,)]
        assert hooks == [(moment, place) for moment in MOMENTS for place in (member.host, "controller")]
        assert {step.previous for step in there.done if step.hook} == {OLD}


@topologies
@many
@given(cut=st.integers(0, 60), chance=st.randoms(use_true_random=False))
def test_a_run_cut_off_anywhere_is_completed_with_its_hooks_by_running_again(topology: str, cut: int, chance: random.Random) -> None:
    there = shaped(topology)
    there.chance = chance
    there.faults = Faults(cut_after=cut)
    with contextlib.suppress(CutOff):
        run(there)
    entered = [step.members[0] for step in there.done if step.name == "after_start" and step.host == "controller"]
    there.faults = Faults()
    assert run(there).ok
    entered += [step.members[0] for step in there.done if step.name == "after_start" and step.host == "controller"]
    assert {member.id for member in there.members()} == set(entered)
    assert all(there.slot(member.id).running == NEW for member in there.members())


@topologies
@pytest.mark.parametrize("moment", MOMENTS)
def test_the_member_whose_hook_fails_goes_back_and_hooks_of_the_way_back_only_warn(topology: str, moment: str) -> None:
    there = shaped(topology)
    first = next(iter(there.members())).host
    member = next(m.id for m in there.members() if m.host == first and m.backup) if topology != "behind" else f"{first}/main"
    there.faults = Faults(fail=(member, moment))
    result = run(there)
    assert not result.ok
    assert [failure.member for failure in result.failures] == [member]
    assert there.slot(member).running == OLD
    assert all(there.serves(name, member) for name in there.balancers_of(member))
    back = [step for step in there.done if step.restore and step.hook]
    assert all(step.hook and step.hook.on_failure == "warn" for step in back)
    assert "before_stop" not in {step.name for step in back}
    assert {step.name for step in back} == {"after_start", "after_enable"}


def test_nothing_is_run_where_nothing_is_to_be_done() -> None:
    there = shaped("both")
    assert run(there).ok
    assert run(there).ok
    assert not there.done


@pytest.mark.parametrize(
    ("given_value", "sentence"),
    [
        ({"command": ""}, "bluegreen_after_start: its command is empty"),
        ({"command": ["alone"]}, "bluegreen_after_start: command is a list; a text for sh or a list of at least two words is expected."),
        ({"comand": "x"}, "bluegreen_after_start: comand is no key of it; did you mean command?"),
        ({"command": "x", "timeout": 0}, "bluegreen_after_start: timeout is 0; a positive number of seconds is expected."),
        ({"command": "x", "on_failure": "panic"}, "bluegreen_after_start: on_failure is 'panic'; one of stop, warn is expected."),
        (["x", 3], "bluegreen_after_start, entry 2 is 3; a text for sh"),
    ],
)
def test_a_hook_that_is_none_is_told_by_name(given_value: object, sentence: str) -> None:
    problems = _rules.Problems()
    values = dict.fromkeys((*_hook_rules.MOMENTS, "migrate", "migrate_down"), "")
    assert _hook_rules.read({**values, "after_start": given_value}, problems) is not None
    assert any(sentence in found for found in problems.found), problems.found


def test_a_survey_s_text_of_json_is_a_list_of_hooks() -> None:
    values = dict.fromkeys((*_hook_rules.MOMENTS, "migrate", "migrate_down"), "")
    problems = _rules.Problems()
    read = _hook_rules.read({**values, "before_stop": '["one", {"command": ["two", "words"], "on": "controller", "timeout": 5}]'}, problems)
    assert read == (Hook("before_stop", ("one",)), replace(Hook("before_stop", ("two", "words")), on="controller", timeout=5.0))
    assert not problems.found
