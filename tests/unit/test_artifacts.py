"""What a run hands on: one word for how it ended, and names that do no harm as extra vars of a later job."""

from __future__ import annotations

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import BalancerState, HostState, SlotState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _artifacts, _result, _variables


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
