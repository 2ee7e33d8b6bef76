"""What a fleet must show when a release fails or a host is lost. In this order.

The second host is the one that fails: by then both members of the first one are on the new release.
"""

from __future__ import annotations

import re

import pytest
from scene import Run, Scene

FIRST = ("app1/green", "app1/blue")


def _fails(scene: Scene, release: str, policy: str, slot: str = "green") -> Run:
    """The release crashes in this slot of app2; clients notice nothing."""
    with scene.load():
        run = scene.release(release, on_failure=policy, faults={"app2": f"{release}/{slot}=crash"})
    run.bad("app2").says(f"Release {release} of shop was not completed.", f"app2/{slot} failed at check", "it is broken on purpose")
    return run


def _table(run: Run) -> dict[str, str]:
    """The release of each member by the final table, in which all of them serve."""
    rows = re.findall(r"^  (\S+/\S+): release (\S+), supervisor says RUNNING, healthy, serving$", run.message, re.MULTILINE)
    return dict(rows)


def test_stop_puts_back_the_failed_member_alone(scene: Scene) -> None:
    before = scene.releases()
    run = _fails(scene, "v2", "stop").says(f"app2/green is back on release {before['app2/green']} and serves; the others stay as they are.")
    left = before | dict.fromkeys(FIRST, "v2")
    scene.whole(left)
    assert _table(run) == left


def test_fleet_puts_back_all_that_this_run_swapped(scene: Scene) -> None:
    before = scene.releases()
    run = _fails(scene, "v3", "fleet").says(f"app2/green is back on release {before['app2/green']} and serves; app1/blue, app1/green went back, too.")
    scene.whole(before)
    assert _table(run) == before


@pytest.mark.full
def test_an_app_host_that_is_lost_while_a_member_boots_ends_the_spread_and_running_again_completes_it(scene: Scene) -> None:
    had = scene.pids(scene.look())
    host = scene.fleet["app2"]
    play = scene.start_release("v4", moment=lambda line: "app2/green  check   waiting" in line, faults={"app2": "v4/green=ill"})
    try:
        scene.reach(play)
        host.disconnect()
        run = scene.ended(play)
    finally:
        host.connect()
    run.bad("app2").says("app2 does not answer", "The spread ended there", "the host is lost")
    assert re.search(r"^  app2/green: .* out of the balancer \(last seen \d\d:\d\d:\d\d, the host is lost\)$", run.message, re.MULTILINE), run.message
    seen = scene.look()
    scene.sound(seen)
    assert all(seen[balancer]["serving"] == [member for member in scene.members if member != "app2/green"] for balancer in scene.balancers)
    pids = scene.pids(seen)
    assert {member for member in scene.members if pids[member] != had[member]} == {*FIRST, "app2/green"}
    scene.release("v4").good()
    scene.whole("v4")


@pytest.mark.full
def test_host_puts_back_the_host_of_the_failed_member(scene: Scene) -> None:
    before = scene.releases()
    run = _fails(scene, "v5", "host", "blue").says(f"app2/blue is back on release {before['app2/blue']}", "app2/green went back, too.")
    left = before | dict.fromkeys(FIRST, "v5")
    scene.whole(left)
    assert _table(run) == left
    scene.release("v5").good()
    scene.whole("v5")


@pytest.mark.full
def test_a_way_back_that_fails_ends_there_and_says_what_runs_where(scene: Scene) -> None:
    before, old = scene.releases(), scene.everywhere_the_same()
    scene.fleet["app1"].sh(f"mv /srv/shop/blue/{old}/app.py /srv/shop/blue/{old}/gone.py")  # what runs there cannot be started again
    with scene.load():
        run = scene.release("v6", on_failure="fleet", faults={"app2": "v6/green=crash"})
    run.bad("app1", "app2").says("The way back ended at app1/blue, which could not be put back: nothing more was tried.")
    seen = scene.look()
    scene.sound(seen)
    assert all(seen[host]["serving"] == [member for member in scene.members if member != "app1/blue"] for host in scene.balancers)
    left = before | {"app1/green": "v6", "app1/blue": None}
    assert scene.releases(seen) == left
    assert _table(run) == {member: release for member, release in left.items() if release}
    assert re.search(r"^  app1/blue: .*, not healthy .*, out of the balancer$", run.message, re.MULTILINE), run.message
    scene.release("v6").good()
    scene.whole("v6")


@pytest.mark.full
def test_a_balancer_that_is_lost_on_the_way_keeps_every_member_running_that_it_may_serve(scene: Scene) -> None:
    old, balancer = scene.everywhere_the_same(), scene.fleet["lb2"]
    play = scene.start_release("v7", "-v", moment=lambda line: "app1/green  stop" in line)
    try:
        scene.reach(play)
        balancer.disconnect()
        run = scene.ended(play)
    finally:
        balancer.connect()
    run.bad("lb2").says("lb2 does not answer", "No member that it may still serve was stopped. When it was last seen, it served:")
    seen = scene.look()
    scene.sound(seen)
    assert old in scene.releases(seen).values(), "the spread went on"
    scene.release("v7").good()
    scene.whole("v7")


@pytest.mark.full
def test_the_app_hosts_own_nginx_may_serve_as_well_as_the_balancers(scene: Scene) -> None:
    scene.run("install", bluegreen_local_balancer=True).good()
    with scene.load():
        scene.release("v8", local_balancer=True).good()
    scene.whole("v8")
    for app in scene.apps:
        assert scene.on(app, "look", "{}")["serving"] == [member for member in scene.members if member.startswith(app)]
    again = scene.release("v8", local_balancer=True).good()
    assert again.changed == 0
