"""What a run hands on: one word for how it ended, and names that do no harm as extra vars of a later job."""

from __future__ import annotations

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import BalancerState, HostState, SlotState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _artifacts, _result, _task, _variables, _whole


@pytest.mark.parametrize(
    ("begun", "reached", "failed", "changed", "way", "word"),
    [
        (True, True, False, True, "release", "released"),
        (True, True, False, True, "rollback", "rolled_back"),
        (True, True, False, False, "release", "unchanged"),
        (True, True, True, True, "release", "failed"),
        (True, False, False, False, "release", "failed"),
        (False, False, False, False, "release", "refused"),
    ],
)
def test_a_run_ends_in_one_word(begun: bool, reached: bool, failed: bool, changed: bool, way: str, word: str) -> None:
    assert _artifacts.verdict(begun, reached, failed, changed, way) == word
    assert _artifacts.verdict(begun, reached, failed, changed, way, check=True) == "checked"


def test_what_is_not_known_is_not_handed_on() -> None:
    assert _artifacts.stats("refused", "v2", "", "") == {
        "data": {"bluegreen_verdict": "refused", "bluegreen_release": "v2"},
        "per_host": False,
        "aggregate": False,
    }


def test_every_name_may_come_back_as_an_extra_var() -> None:
    names = _artifacts.stats("released", "v2", "v1", "/reports/report.html")["data"].keys()
    assert names <= _variables.FACTS | {"bluegreen_release"}


@pytest.mark.parametrize(("serving", "before"), [(("app1/blue",), "v1"), (("app1/green",), ""), (("app1/blue", "app1/green"), "v1"), ((), "")])
def test_the_previous_release_is_what_clients_had_not_what_an_idle_slot_runs(serving: tuple[str, ...], before: str) -> None:
    slots = {"blue": SlotState("RUNNING", 7, release="v1"), "green": SlotState("RUNNING", 8, release="v2")}
    began = {"app1": HostState("app1", 0.0, slots, BalancerState("x", serving, loaded=True))}
    assert _result.served_before(_result.Result(began=began), "v2") == before


def test_a_run_begins_without_what_an_earlier_one_has_left_in_a_fact_cache_and_keeps_its_own() -> None:
    stale = {"bluegreen_verdict": {"app2": "it failed"}, "bluegreen_swapped": True, "bluegreen_run": "another one"}
    task_vars = {"ansible_play_hosts_all": ["app1", "app2"], "hostvars": {"app1": {"ansible_facts": stale}, "app2": {"ansible_facts": dict(stale)}}}
    assert _task.verdict(task_vars) == {"app2": "it failed"}
    for host, known in task_vars["hostvars"].items():
        known["ansible_facts"] |= _whole.begun(task_vars, host)
    assert (_task.verdict(task_vars), _task.swapped(task_vars)) == ({}, False)
    task_vars["hostvars"]["app1"]["ansible_facts"] |= {"bluegreen_swapped": True}
    task_vars["hostvars"]["app1"]["ansible_facts"] |= _whole.begun(task_vars, "app1")
    assert _task.swapped(task_vars), "a second check in one run forgets nothing"
