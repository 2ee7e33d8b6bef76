"""What a fleet must show when a release is cut off. In this order; each starts with a whole fleet and leaves one.

The first host is where it happens; the second one must stay on the old release.
"""

from __future__ import annotations

import signal
import time

import pytest
from scene import Run, Scene

from tests.chaos.judge import Damage
from tests.chaos.play import Play
from tools.bed import wait_until

# When a step of app1 is at work: a line, and seconds after it. Of steps that share a call, the first one has a line as it begins.
MOMENTS = {
    "switch": ("app1/main  switch", 0.0),
    "drain": ("app1/main  drain", 0.0),
    "stop": ("app1/main  stop", 0.0),
    "point": ("app1/main  stop", 0.15),
    "start": ("app1/main  stop", 0.3),
    "check": ("app1/main  check   waiting", 0.0),
    "enable": ("app1/main  enable", 0.0),
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def _begin(scene: Scene, release: str, line: str, seconds: float = 0.0, **more: object) -> Play:
    """A release that is under way, at its moment."""
    play = scene.start_release(release, "-v", moment=lambda text: line in text, **more)
    scene.reach(play)
    time.sleep(seconds)  # the moment is so long after its line
    return play


def _cut(scene: Scene, play: Play, sign: signal.Signals) -> None:
    """Cut it off: who serves was checked, and nobody goes on."""
    scene.cut(play, sign)
    scene.sound(scene.look())


def _went_no_further(scene: Scene, old: str) -> None:
    assert scene.releases()["app2/main"] == old, "the run went on after its controller was gone"


def _lose_ssh(scene: Scene) -> None:
    for host in scene.fleet:
        host.kill_sshd_sessions()


def _restart_supervisord(scene: Scene, host: str = "app1") -> None:
    scene.on(host, "stop")
    scene.fleet[host].start("supervisor")


def _restarted(scene: Scene, release: str) -> Run:
    """The same command again."""
    run = scene.release(release).good()
    scene.whole(release)
    return run


def test_a_release_that_is_hit_again_and_again_is_completed_by_the_same_command(scene: Scene) -> None:
    old, new = scene.everywhere_the_same(), scene.new_release()
    damages: list[Damage] = []
    with scene.load_at_fault(damages) as load:
        _cut(scene, _begin(scene, new, "app1/main  check   waiting"), signal.SIGKILL)
        _went_no_further(scene, old)
        # Everything at once: connections, the balancer's nginx, and the supervisord of the member that is out.
        play = _begin(scene, new, "app2/main  stop")
        began = time.monotonic()
        _lose_ssh(scene)
        scene.fleet["lb1"].run("service", "nginx", "restart")
        _restart_supervisord(scene, "app2")
        wait_until(lambda: any(r.entry == "lb1" and r.start > began and not r.failed for r in load.records), 60, "an answer of lb1")
        damages.append(Damage("lb1", began, time.monotonic(), entry=True))
        run = scene.ended(play)
        assert run.status == 0 or set(run.red) <= {"app2", "lb1"}, run.output[-3000:]
        scene.sound(scene.look())
        _restarted(scene, new)


@pytest.mark.full
def test_after_a_way_back_that_was_cut_off_the_old_name_puts_everything_back(scene: Scene) -> None:
    old, new = scene.everywhere_the_same(), scene.new_release()
    with scene.load():
        play = _begin(scene, new, "app1/main: going back to", on_failure="fleet", faults={"app2": f"{new}/main=crash"})
        _cut(scene, play, signal.SIGINT)
        _restarted(scene, old)


@pytest.mark.full
def test_after_a_way_back_that_was_cut_off_the_same_command_completes_it(scene: Scene) -> None:
    new = scene.new_release()
    with scene.load():
        play = _begin(scene, new, "app1/main: going back to", on_failure="fleet", faults={"app2": f"{new}/main=crash"})
        _cut(scene, play, signal.SIGKILL)
        _restarted(scene, new)


@pytest.mark.full
@pytest.mark.parametrize("sign", SIGNALS, ids=lambda sign: sign.name)
@pytest.mark.parametrize("step", MOMENTS)
def test_a_run_that_a_signal_ends_at_any_step_is_completed_by_the_same_command(scene: Scene, step: str, sign: signal.Signals) -> None:
    old, new = scene.everywhere_the_same(), scene.new_release()
    with scene.load():
        _cut(scene, _begin(scene, new, *MOMENTS[step]), sign)
        _went_no_further(scene, old)
        _restarted(scene, new)


@pytest.mark.full
@pytest.mark.parametrize("step", MOMENTS)
def test_a_run_that_loses_its_connections_at_any_step_stays_where_it_is(scene: Scene, step: str) -> None:
    new = scene.new_release()
    with scene.load():
        play = _begin(scene, new, *MOMENTS[step])
        _lose_ssh(scene)
        run = scene.ended(play)
        if run.status:  # between two calls, it only connects anew
            assert run.red[0] in ("app1", "lb1"), run.output[-3000:]
            run.says(f"{run.red[0]} does not answer")
        scene.sound(scene.look())
        _restarted(scene, new)


@pytest.mark.full
@pytest.mark.parametrize("step", MOMENTS)
def test_supervisord_may_be_restarted_at_any_step(scene: Scene, step: str) -> None:
    new = scene.new_release()
    damages: list[Damage] = []
    with scene.load_at_fault(damages):
        play = _begin(scene, new, *MOMENTS[step])
        began = time.monotonic()
        pids = frozenset(_restart_supervisord(scene, "app1"))
        wait_until(lambda: scene.on("app1", "look", '{"main": 9502}')["slots"]["main"]["health"] == 200 or play.over, 60, "app1's health")
        damages.append(Damage("app1", began, time.monotonic(), pids, scene.address("app1")))
        run = scene.ended(play)
        assert run.status == 0 or run.red == ["app1"], run.output[-3000:]
        _restarted(scene, new)


@pytest.mark.full
@pytest.mark.parametrize("step", MOMENTS)
def test_nginx_may_be_restarted_at_any_step(scene: Scene, step: str) -> None:
    new = scene.new_release()
    damages: list[Damage] = []
    with scene.load_at_fault(damages) as load:
        play = _begin(scene, new, *MOMENTS[step])
        began = time.monotonic()
        scene.fleet["lb1"].run("service", "nginx", "restart")
        wait_until(lambda: any(r.start > began and not r.failed for r in load.records), 60, "an answer of lb1")
        damages.append(Damage("lb1", began, time.monotonic(), entry=True))
        run = scene.ended(play)
        assert run.status == 0 or run.red == ["lb1"], run.output[-3000:]
        scene.sound(scene.look())
        _restarted(scene, new)
