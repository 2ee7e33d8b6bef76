"""What a canary on two app hosts behind two balancers must show. In this order."""

from __future__ import annotations

import pytest
from scene import Scene

from tools.probe import Kind, Probe


def _serving(scene: Scene) -> list[str]:
    seen = scene.look()
    first, second = (seen[name]["serving"] for name in scene.balancers)
    assert first == second and sorted(member.split("/")[0] for member in first) == scene.apps, (first, second)
    return list(first)


def test_a_canary_that_is_as_good_gets_all_requests_step_by_step_and_none_is_lost(scene: Scene) -> None:
    before = _serving(scene)
    with scene.load():
        done = scene.release("v2").good()
    done.says("nobody but testers", "20 % of the requests", "50 % of the requests", "error share 0.0 %")
    assert not set(before) & set(_serving(scene))
    assert {scene.releases()[member] for member in before} == {None}, "the old ones have stopped"


def test_one_with_errors_is_taken_back_with_its_figures_and_the_others_serve_on(scene: Scene) -> None:
    before = _serving(scene)
    wanted = [Kind(name, f"http://{scene.fleet[name].address}/", headers={"Host": "shop.test"}, rate=50.0, timeout=40.0) for name in scene.balancers]
    with Probe("canary", wanted, {"json": "release"}) as probe:
        done = scene.release("v3", canary_seconds=120, faults=dict.fromkeys(scene.apps, "v3=errors"))
    assert done.status != 0
    done.says("failed at judge", "error share", "as before this run")
    assert _serving(scene) == before and "v3" not in scene.releases().values()
    seen = probe.result
    print(f"    {seen['due']} requests, {seen['failed']} failed: {seen['by_release']}")
    assert seen["failed"] == seen["by_class"].get("status", 0), "nothing failed but the canary's own errors"
    assert 0 < seen["by_release"].get("v3", 0) < seen["by_release"]["v2"]


@pytest.mark.full
def test_a_person_ends_one_that_waits_for_a_hand_and_another_one_is_promoted(scene: Scene) -> None:
    before = _serving(scene)
    with scene.load():
        play = scene.start_release("v4", canary_by_hand=True, moment=lambda line: "waits for hotswap.bluegreen.promote" in line)
        scene.reach(play)
        scene.run("abort").bad(scene.balancers[0])
        scene.run("abort", bluegreen_reason="customers complain").good()
        scene.ended(play).says("customers complain", "as before this run")
        assert _serving(scene) == before
        play = scene.start_release("v4", canary_by_hand=True, moment=lambda line: "waits for hotswap.bluegreen.promote" in line)
        scene.reach(play)
        scene.run("promote", bluegreen_promote_to="all").good()
        done = scene.ended(play).good()
    assert "50 % of the requests" not in done.output
    assert not set(before) & set(_serving(scene))
