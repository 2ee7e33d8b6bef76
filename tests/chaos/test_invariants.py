"""The invariants of the end: each thing that may be wrong with a fleet is said, and a whole fleet is not complained of."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.draw import BOTH, Case, draw
from tests.chaos.invariants import complaints, undercut

CASE = replace(draw(0), topology=BOTH, balancers=1, apps=2, slots=2, min_serving="50%")


def whole(case: Case = CASE, release: str = "v2") -> dict[str, Any]:
    """The fleet as each host says it is when all is well."""

    def slot(pid: int) -> dict[str, Any]:
        return {"release": release, "current": release, "state": "RUNNING", "supervised": pid, "pid": pid, "listeners": [pid], "health": 200}

    free = {"until": 90.0, "owner": {}}
    return {
        "lb1": {"slots": {}, "serving": list(case.members), "lease": free, "strays": [], "now": 100.0},
        "app1": {"slots": {"blue": slot(11), "green": slot(12)}, "serving": ["app1/blue", "app1/green"], "lease": {}, "strays": [], "now": 100.0},
        "app2": {"slots": {"blue": slot(11), "green": slot(12)}, "serving": ["app2/blue", "app2/green"], "lease": {}, "strays": [], "now": 100.0},
    }


def test_a_whole_fleet_is_not_complained_of() -> None:
    assert complaints(CASE, whole(), "v2") == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda seen: seen["app1"]["slots"]["blue"].update(release="v1"), "app1/blue: release is 'v1', not 'v2'"),
        (lambda seen: seen["app1"]["slots"]["blue"].update(current="v1"), "app1/blue: current is 'v1', not 'v2'"),
        (lambda seen: seen["app2"]["slots"]["green"].update(health=503), "app2/green: health is 503, not 200"),
        (lambda seen: seen["app2"]["slots"]["green"].update(state="FATAL"), "app2/green: state is 'FATAL', not 'RUNNING'"),
        (lambda seen: seen["app2"]["slots"]["green"].update(pid=77), "app2/green: pid is 77, not 12"),
        (lambda seen: seen["app2"]["slots"]["green"].update(listeners=[12, 77]), "app2/green: listeners is [12, 77], not [12]"),
        (lambda seen: seen["lb1"]["serving"].remove("app1/blue"), "lb1: serves ['app1/green', 'app2/blue', 'app2/green']"),
        (lambda seen: seen["app2"]["serving"].remove("app2/blue"), "app2: serves ['app2/green'], not ['app2/blue', 'app2/green']"),
        (lambda seen: seen["app2"].update(strays=[77]), "app2: processes of the application that supervisor does not know: [77]"),
        (lambda seen: seen["lb1"].update(lease={"until": 100.5}), "lb1: the lock is still held"),
    ],
)
def test_what_is_wrong_is_said(spoil: Callable[[dict[str, Any]], object], said: str) -> None:
    seen = copy.deepcopy(whole())
    spoil(seen)
    found = complaints(CASE, seen, "v2")
    assert len(found) == 1 and said in found[0]


def test_a_member_that_is_not_named_may_run_any_release_that_is_its_current_one() -> None:
    assert complaints(CASE, whole(), {}) == []
    assert len(complaints(CASE, whole(), {"app1/blue": "v1"})) == 2
    seen = whole()
    seen["app2"]["slots"]["blue"]["current"] = "v1"
    assert complaints(CASE, seen, {}) == ["app2/blue: current is 'v1', not 'v2'"]


def test_a_balancer_that_once_served_too_few_is_told_of() -> None:
    served: list[tuple[float, list[str]]] = [(1.0, ["app1/blue", "app1/green", "app2/blue"]), (2.0, ["app1/blue"]), (3.0, list(CASE.members))]
    assert undercut(CASE, "lb1", served) == ["lb1: served only app1/blue, its floor is 2"]
    assert undercut(CASE, "lb1", served[:1]) == undercut(CASE, "app1", served) == []
