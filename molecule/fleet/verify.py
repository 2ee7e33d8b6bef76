"""What a fleet of three app hosts behind two balancers must show. In this order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scene import KINDS, Scene, held

from tools.bed import wait_until

ALL = ["app1/main", "app2/main", "app3/main"]


def _pools(scene: Scene) -> list[str]:
    """The pools that each balancer has, and which one it uses."""
    return [
        scene.fleet[host].sh("cd /etc/nginx/bluegreen/shop && ls pools && readlink active && cat /etc/nginx/conf.d/bluegreen-shop.conf").stdout
        for host in scene.balancers
    ]


def _out(event: dict[str, Any], events: list[dict[str, Any]]) -> tuple[float, float]:
    """When a member was not served: from the end of its last switch away to the beginning of its first enable."""
    mine = [other for other in events if event["member"] in other["member"].split(", ")]
    return max(e["start"] + e["seconds"] for e in mine if e["step"] == "switch"), min(e["start"] for e in mine if e["step"] == "enable")


def test_a_release_in_batches_under_load_loses_no_request_and_its_batches_work_at_the_same_time(scene: Scene) -> None:
    scene.watch()
    file = scene.folder / "result.json"
    with scene.load(kinds=KINDS):  # slow requests and streams, too
        slowly = {"bluegreen_health_interval": 0.5, "bluegreen_health_successes": 5}  # two seconds of work, so that it can be seen who works meanwhile
        scene.run(str(scene.scenario / "release.yml"), bluegreen_release="v2", result_file=str(file), **slowly).good()
    result = json.loads(file.read_text())
    scene.whole("v2")
    assert result["reloads"] == 0
    for host in scene.balancers:  # its own account: one member was out, then two, and never another
        assert [out for served in scene.watched(host) if (out := sorted({*ALL} - {*served}))] == [[ALL[0]], ALL[1:]]
    checks = {event["member"]: event for event in result["events"] if event["step"] == "check"}
    (_, end), *others = (_out(checks[member], result["events"]) for member in ALL)
    assert all(begin >= end for begin, _ in others), "the second batch began before the first one served"
    assert max(begin for begin, _ in others) < min(end for _, end in others), "its members were not out at the same time"
    work = [[e for e in result["events"] if e["member"] == member and e["step"] in ("stop", "point", "start", "check")] for member in ALL[1:]]
    begins, ends = [[part[0]["start"] for part in work], [part[-1]["start"] + part[-1]["seconds"] for part in work]]
    assert max(begins) < min(ends), "its hosts did not work at the same time"


@pytest.mark.full
def test_a_limit_changes_neither_pools_nor_floor_nor_the_place_of_the_lock_and_two_of_them_collide(scene: Scene) -> None:
    old, before = scene.everywhere_the_same(), _pools(scene)
    first = scene.start_release("v4", "--limit", "app2", build="until test -e /tmp/go; do sleep 0.05; done", build_timeout=120)
    wait_until(lambda: first.over or held(scene.on("lb1", "look", "{}")), 60, "the first run's lock on lb1")
    second = scene.release("v4", "--limit", "app3")
    seen = scene.look()
    scene.fleet["app2"].sh("touch /tmp/go")
    scene.ended(first).good()
    second.bad("app3").says("another run holds the lock of shop", "release v4", "Nothing was changed.")
    assert [host for host, about in seen.items() if held(about)] == ["lb1"]
    scene.whole({"app1": old, "app2": "v4", "app3": old})
    refused = scene.release("v4", "--limit", "app3", min_serving="100%")  # of three, of which one is in the run
    assert refused.status != 0
    refused.says("bluegreen_min_serving")
    scene.whole({"app1": old, "app2": "v4", "app3": old})
    assert _pools(scene) == before


def test_a_host_that_is_unreachable_before_the_start_ends_the_run_before_anything_changes(scene: Scene) -> None:
    before = scene.look()
    old = scene.releases(before)["app3/main"]
    for host in ("app3", "lb2"):
        scene.fleet[host].disconnect()
    scene.release("v5").bad("app3", "lb2").says("Nothing was changed.", "bluegreen_max_unreachable", "bluegreen_balancers_absent")
    assert scene.pids(scene.look()) == scene.pids(before)
    # The same without the two: one may be missing, the other is gone for good.
    scene.release("v5", max_unreachable=1, balancers_absent={"lb2": "burnt down"}).good().says("app3 is unreachable", "lb2 is left out: burnt down")
    after = scene.look()
    assert scene.releases(after) == {"app1/main": "v5", "app2/main": "v5", "app3/main": old}
    assert after["lb1"]["serving"] == after["lb2"]["serving"] == ALL
    for host in ("app3", "lb2"):
        scene.fleet[host].connect()


@pytest.mark.full
def test_when_they_are_back_the_same_command_completes_it(scene: Scene) -> None:
    scene.release("v5").good()
    scene.whole("v5")


@pytest.mark.full
def test_a_batch_shrinks_to_the_percentage_that_must_serve(scene: Scene) -> None:
    scene.watch()
    with scene.load():
        scene.release("v6", serial="100%", min_serving="60%").good()
    scene.whole("v6")
    for host in scene.balancers:
        assert {len(served) for served in scene.watched(host)} == {2, 3}  # 60% of three are two
