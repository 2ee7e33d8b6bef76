"""What two app hosts behind two balancers must show when one slot of each takes over from the other. In this order."""

from __future__ import annotations

import json
import re
import urllib.request

from scene import KINDS, Scene


def _serving(scene: Scene) -> list[str]:
    """The members that both balancers serve; one of each host."""
    seen = scene.look()
    first, second = (seen[name]["serving"] for name in scene.balancers)
    assert first == second and sorted(member.split("/")[0] for member in first) == scene.apps, (first, second)
    return list(first)


def _answers(scene: Scene, host: str, **headers: str) -> str:
    request = urllib.request.Request(f"http://{scene.fleet[host].address}/", headers={"Host": "shop.test", **headers})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(json.loads(answer.read())["release"])


def _switched(output: str) -> list[float]:
    """How long each switch of all requests took, in seconds."""
    return [float(text) for text in re.findall(r"  shift   done, ([0-9.]+) s: serving ", output)]


def test_the_idle_slots_take_over_under_load_and_no_request_is_lost(scene: Scene) -> None:
    before = _serving(scene)
    with scene.load(kinds=KINDS):  # slow requests and streams, too
        done = scene.release("v2", old="stay").good()
    after = _serving(scene)
    assert not set(before) & set(after)
    done.says("nobody but testers", f"serving {', '.join(after)}")
    assert len(_switched(done.output)) == len(scene.balancers)
    found = scene.releases()
    assert {found[member] for member in after} == {"v2"} and {found[member] for member in before} == {"v1"}, "the old ones stay warm"
    assert scene.release("v2", old="stay").good().changed == 0


def test_a_rollback_is_one_switch_of_each_balancer_in_less_than_a_second_and_no_process_is_touched(scene: Scene) -> None:
    before, pids = _serving(scene), scene.pids(scene.look())
    with scene.load():
        done = scene.run("rollback", bluegreen_old="stay").good()
    took = _switched(done.output)
    print(f"    switched back in {took} s")
    assert len(took) == len(scene.balancers) and max(took) < 1.0
    assert "  start " not in done.output and scene.pids(scene.look()) == pids
    assert not set(before) & set(_serving(scene))
    assert {_answers(scene, name) for name in scene.balancers} == {"v1"}


def test_a_release_that_fails_its_smoke_test_is_seen_by_nobody(scene: Scene) -> None:
    before = _serving(scene)
    with scene.load():
        done = scene.release("v3", smoke=[{"path": "/", "body": "something else"}])
    assert done.status != 0
    done.says("bluegreen_smoke: GET / answers 200 with 'something else' in its body", "as before this run")
    assert _serving(scene) == before
    assert {_answers(scene, name, **{"X-Preview": "only-we-know"}) for name in scene.balancers} == {"v1"}
    found = scene.releases()
    assert "v3" not in found.values()
