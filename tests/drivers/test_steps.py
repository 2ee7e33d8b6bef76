"""The walk of a member on a real host, and every guard on the way: each of these fails when its guard is taken out."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _halt, _observe_slot, _processes, _sockets, _steps
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

from tests.drivers.conftest import MakeShop
from tests.drivers.shop import WEB, Asking, InProcess, Load, Shop, altered, ended, free_ports, snapshot, web, words
from tools.bed import alive, wait_until


def steps_of(done: _runner.Result, member: str) -> list[str]:
    return [event.step for event in done.events if event.member == member]


def event(done: _runner.Result, member: str, step: str) -> Event:
    return next(event for event in done.events if (event.member, event.step) == (member, step))


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Path]:
    """The file that lets requests for /hold be answered; whatever waits for it is let go at the end."""
    path = tmp_path / "go"
    yield path
    path.touch()


def held_by(shop: Shop, hold: Path) -> Asking:
    """A request for /hold that has reached its member."""
    begun = Path(f"{hold}.begun")
    begun.unlink(missing_ok=True)
    asking = Asking(shop.port, "/hold", b"a POST, which nginx does not send to another member as well")
    wait_until(begun.exists, what="the request's arrival")
    return asking


def checked(shop: Shop, **environment: str) -> _steps.Outcome:
    """What becomes of a release in the slot blue, out of the balancer, up to its checks."""
    shop.install()
    shop.stage("v1", **environment)
    shop.serve("green")
    return shop.do("blue", "point", "start", "check")


# The walk


def test_a_release_walks_through_both_slots_standby_first(shop: Shop) -> None:
    shop.released("v1")
    workers = shop.workers()
    done = shop.swap("v2")
    assert done.ok and done.changed and done.reloads == 0
    assert [event.member for event in done.events if event.step == "enable"] == ["app1/green", "app1/blue"]
    assert steps_of(done, "app1/blue") == ["switch", "drain", "stop", "point", "start", "check", "enable"]
    assert shop.releases() == {"blue": "v2", "green": "v2"}
    assert shop.serving() == {"blue", "green"}
    assert shop.ask().release == "v2"
    assert shop.workers() == workers, "nginx was reloaded"


def test_the_same_release_again_changes_nothing(shop: Shop) -> None:
    shop.released("v1")
    before, files = shop.pids(), snapshot(shop.wish.root)
    done = shop.swap("v1")
    assert done.ok and not done.changed and not done.events
    assert shop.pids() == before
    assert snapshot(shop.wish.root) == files


def test_a_release_under_load_loses_no_request(shop: Shop) -> None:
    shop.released("v1")
    with Load(shop.port, clients=4) as load:
        wait_until(lambda: load.total > 20, what="the load")
        done = shop.swap("v2")
        seen = load.total
        wait_until(lambda: load.total > seen + 20, what="more load")
    assert done.ok, words(done, shop)
    assert load.failed == []
    assert {"blue v1", "green v2", "blue v2"} <= set(load.answered)


def test_a_member_stays_in_when_the_one_that_would_have_to_serve_died_since_the_plan_was_made(shop: Shop) -> None:
    """The members of a host travel in one call: between the first one's end and the second one's turn nobody plans."""
    shop.released("v1")
    shop.client.stop(f"{shop.wish.service}-green")
    wait_until(lambda: not shop.pid("green"), what="the end of green")
    outcome = shop.do("blue", "switch")
    assert outcome.failure
    assert "refused to take app1/blue out: app1/green would have to serve and does not answer" in outcome.failure.seen
    assert shop.serving() == {"blue", "green"}
    assert shop.ask().slot == "blue"


def test_taking_out_who_does_not_answer_costs_nothing_even_if_nobody_stays(make_shop: MakeShop) -> None:
    """The first release of a member that is alone, and of a batch that is the whole fleet."""
    shop = make_shop(slots=1, min_serving=1).released("v1")
    assert shop.ask().slot == "blue"
    refused = shop.do("blue", "switch")
    assert refused.failure and "bluegreen_min_serving is 1" in refused.failure.seen
    assert shop.serving() == {"blue"}


def test_the_last_ones_that_take_connections_stay_in_though_their_health_path_does_not_answer(make_shop: MakeShop) -> None:
    """They may be overloaded only; a slow answer is better than none."""
    shop = make_shop(slots=1, min_serving=1).released("v1")
    shop.wish = altered(shop.wish, health={"body": "never said"})
    refused = shop.do("blue", "switch")
    assert refused.failure and "but it takes connections, and nobody else would serve" in refused.failure.seen
    assert shop.serving() == {"blue"}


def test_a_body_that_names_the_release_is_expected_of_that_release_only(shop: Shop) -> None:
    """Else every old member would look ill during the swap, and none could be put back."""
    plain = shop.wish
    shop.wish = altered(plain, health={"body": '"v1"'})
    shop.released("v1")
    shop.wish = altered(plain, health={"body": '"v2"'})
    assert all(slot.healthy for slot in shop.state("v2").slots.values())
    assert shop.swap("v2").ok
    shop.wish = altered(plain, boot_timeout=2.0, health={"body": "never said"})
    done = shop.swap("v3")
    assert [failure.step for failure in done.failures] == ["check"], words(done, shop)
    assert shop.releases() == {"blue": "v2", "green": "v2"}
    assert shop.serving() == {"blue", "green"}


def test_a_first_release_and_a_dead_slot_need_no_drain(shop: Shop) -> None:
    shop.install()
    done = shop.swap("v1")
    assert done.ok
    assert steps_of(done, "app1/green") == ["switch", "point", "start", "check", "enable"]


def test_a_run_that_is_cut_off_after_any_step_is_completed_by_the_next(shop: Shop) -> None:
    class Dies(Exception):
        """The controller is gone."""

    class CutOff(InProcess):
        left = 0

        def walk(self, wish: Any, steps: Any) -> _runner.Answer:
            answer = super().walk(wish, steps[: self.left])
            assert answer.failure is None, answer.failure
            self.left -= len(answer.events)
            if self.left == 0:
                raise Dies
            return answer

    shop.released("v1")
    wish = shop.stage("v2")
    remote = CutOff({"app1": shop.client}, seconds=60)
    with Load(shop.port, clients=2) as load:
        # Each member: switch | drain stop | point | point start | check | check enable
        for cuts in range(12):
            remote.left = (1, 2)[cuts % 2]
            with pytest.raises(Dies):
                _runner.swap([wish], remote, lambda _: None)
        done = _runner.swap([wish], InProcess({"app1": shop.client}), lambda _: None)
    assert done.ok and not done.events, "the last cut was behind the last step"
    assert shop.releases() == {"blue": "v2", "green": "v2"}
    assert shop.serving() == {"blue", "green"}
    assert load.failed == []


# Guard: drain before stop


def test_a_request_in_flight_ends_before_its_member_is_stopped(shop: Shop, hold: Path) -> None:
    shop.released("v1", HOLD=str(hold))
    request = held_by(shop, hold)  # at blue, the primary
    done: list[_runner.Result] = []
    walk = threading.Thread(target=lambda: done.append(shop.swap("v2", seconds=0.1, HOLD=str(hold))))
    walk.start()
    try:
        # The drain says that it waits for this request; without one, the walk would be at its end.
        wait_until(lambda: waits_in_drain(shop) or not walk.is_alive(), 30, "the drain of blue")
        assert walk.is_alive(), "the member was stopped although a request was in flight"
    finally:
        hold.touch()
        walk.join(60)
    reply = request.reply()
    assert (reply.status, reply.release, reply.slot) == (200, "v1", "blue")
    assert done[0].ok, words(done[0], shop)
    assert event(done[0], "app1/blue", "drain").outcome == "ok"


def waits_in_drain(shop: Shop) -> bool:
    events = [item for item in shop.told if isinstance(item, Event)]
    return any(e.step == "drain" and e.member == "app1/blue" and e.outcome == "waiting" and "1 connection left" in e.detail for e in events)


def test_when_drain_time_is_over_the_walk_goes_on_and_says_how_many_connections_are_cut(make_shop: MakeShop, hold: Path) -> None:
    shop = make_shop(drain_timeout=0.5).released("v1", HOLD=str(hold))
    request = held_by(shop, hold)
    done = shop.swap("v2")
    assert done.ok, words(done, shop)
    drain = event(done, "app1/blue", "drain")
    assert drain.outcome == "overtime"
    assert "1 connection left after 0.5 s" in drain.detail
    assert request.reply().status == 502


def test_when_drain_time_is_over_the_walk_can_stop_and_the_member_serves_on(make_shop: MakeShop, hold: Path) -> None:
    shop = make_shop(drain_timeout=0.5, on_drain_timeout="stop").released("v1", HOLD=str(hold))
    blue = shop.pid("blue")
    request = held_by(shop, hold)
    done = shop.swap("v2")
    assert [failure.member for failure in done.failures] == ["app1/blue"]
    assert "1 connection left after 0.5 s" in words(done, shop)
    assert shop.serving() == {"blue", "green"}
    assert shop.pid("blue") == blue
    hold.touch()
    assert request.reply().release == "v1"


def test_a_drain_longer_than_a_slice_is_resumed_and_its_time_is_the_whole(make_shop: MakeShop, hold: Path) -> None:
    shop = make_shop(drain_timeout=1.0).released("v1", HOLD=str(hold))
    request = held_by(shop, hold)

    class Far(InProcess):
        def walk(self, wish: Any, steps: Any) -> _runner.Answer:
            time.sleep(0.2)  # what a connection takes: it counts, too
            return super().walk(wish, steps)

    remote = Far({"app1": shop.client}, seconds=0.2)
    began = time.monotonic()
    told: list[Any] = []
    assert _runner.swap([shop.stage("v2")], remote, told.append).ok
    drains = [item for item in told if isinstance(item, Event) and item.step == "drain" and item.member == "app1/blue"]
    waits = [item for item in drains if item.outcome == "waiting"]
    assert len(waits) >= 2, "a wait of 1 s in slices of 0.2 s, each 0.2 s away, comes back several times"
    assert [item.seconds for item in drains] == sorted(item.seconds for item in drains), "the time goes on over the calls"
    assert 1.0 <= drains[-1].seconds <= time.monotonic() - began
    assert drains[-1].outcome == "overtime"
    assert max(item.start for item in drains) - min(item.start for item in drains) < 0.1, "it is one step with one beginning"
    assert request.reply().status == 502


@pytest.mark.parametrize("step", ["drain", "stop", "start"])
def test_a_member_that_its_balancer_serves_is_not_touched(shop: Shop, step: str) -> None:
    shop.released("v1")
    before = shop.pids()
    outcome = shop.do("blue", step)
    assert outcome.failure is not None
    assert "app1/blue still gets requests from its balancer" in outcome.failure.seen
    assert shop.pids() == before


# Guard: process and port are gone after a stop


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spare time on top of stopwaitsecs, short."""
    monkeypatch.setattr(_halt, "SPARE", 0.3)


@pytest.mark.usefixtures("impatient")
def test_an_orphan_of_a_shell_wrapper_is_named_by_its_pid_and_not_killed(make_shop: MakeShop) -> None:
    wrapper = ("/bin/sh", "-c", " ".join([*WEB, "; true"]))
    shop = make_shop(program={"command": wrapper, "stop_timeout": 1}).released("v1")
    shell = shop.pid("green")
    (orphan,) = _processes.children(shell)
    with ended([orphan, *_processes.children(shop.pid("blue"))]):
        done = shop.swap("v2")
        failure = done.failures[0]
        assert (failure.member, failure.step) == ("app1/green", "stop")
        assert f"port held by pid {orphan} (" in failure.seen
        assert alive(orphan)
        assert shop.serving() == {"blue"}
        assert shop.releases()["blue"] == "v1"
        assert "stays out of the balancer" in words(done, shop)


def strangers(shop: Shop, slot: str) -> set[int]:
    """Who holds the slot's port without being a process of its program."""
    return set(_sockets.listener(shop.wish.member(slot).port, "127.0.0.1", frozenset()).others) - _processes.tree(shop.pid(slot))


@pytest.mark.usefixtures("impatient")
def test_a_stop_is_not_done_while_a_stranger_to_the_process_tree_holds_the_port(make_shop: MakeShop) -> None:
    shop = make_shop(program={"stop_timeout": 1})
    shop.install()
    shop.stage("v1", FAULT="daemon")
    shop.serve("green")
    shop.do("blue", "point", "start")
    (daemon,) = wait_until(lambda: strangers(shop, "blue"), what="the daemon")
    with ended([daemon]):
        outcome = shop.do("blue", "stop")
        assert outcome.failure is not None
        assert f"port held by pid {daemon} (" in outcome.failure.seen
        assert alive(daemon)


def test_a_stop_is_not_done_while_a_child_still_works_without_the_port(make_shop: MakeShop, hold: Path) -> None:
    shop = make_shop()
    assert checked(shop, FAULT="heir", HOLD=str(hold)).failure is None
    (heir,) = _processes.children(shop.pid("blue"))
    with ended([heir]):
        outcome = shop.do("blue", "stop", seconds=0.5)
        assert outcome.waiting is not None and outcome.waiting.name == "stop"
        assert f"still there: pid {heir} (" in outcome.events[-1].detail
        hold.touch()
        end = _steps.run(shop.wish, shop.client, [outcome.waiting], 30)
        assert end.failure is None and end.events[-1].outcome == "ok"
        assert end.events[-1].seconds >= 0.5
        assert not alive(heir)


def test_a_start_is_refused_on_a_port_that_somebody_holds(shop: Shop) -> None:
    shop.install()
    shop.stage("v1")
    shop.serve("green")
    with web(shop.wish.member("blue").port) as stranger:
        outcome = shop.do("blue", "point", "start")
        assert outcome.failure is not None
        assert f"held by pid {stranger.pid} (" in outcome.failure.seen
        assert shop.client.process(f"{shop.wish.service}-blue").state == "ABSENT"


# Guard: the listener is the program's own


@pytest.mark.parametrize("new", [{"FAULT": "deaf"}, {"FAULT": "slow", "BOOT": "0.3", "LISTEN": "shared"}])
def test_an_orphan_that_answers_the_health_check_is_not_taken_for_the_new_release(make_shop: MakeShop, new: dict[str, str]) -> None:
    shop = make_shop(boot_timeout=1.5)
    shop.install()
    shop.stage("v2", **new)
    shop.serve("green")
    shop.do("blue", "point", "start", release="v2")
    with web(shop.wish.member("blue").port, release="v1", LISTEN="shared") as orphan:
        outcome = shop.do("blue", "check", "enable", release="v2")
        assert outcome.failure is not None and outcome.failure.step == "check"
        assert f"held by pid {orphan.pid} (" in outcome.failure.seen
        assert outcome.state.slots["blue"].state == "RUNNING"
        assert outcome.state.slots["blue"].listener == "foreign"
        assert shop.serving() == {"green"}


def test_a_process_of_another_release_is_not_taken_for_the_wished_one(make_shop: MakeShop) -> None:
    shop = make_shop(boot_timeout=0.5)
    checked(shop)
    shop.stage("v2")
    outcome = shop.do("blue", "check", release="v2")
    assert outcome.failure is not None
    assert "runs release v1, not v2" in outcome.failure.seen


def test_a_member_that_died_after_its_checks_is_not_enabled(make_shop: MakeShop) -> None:
    shop = make_shop(program={"autorestart": "false"})
    assert checked(shop).failure is None
    pid = shop.pid("blue")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not shop.pid("blue"))
    outcome = shop.do("blue", "enable")
    assert outcome.failure is not None
    assert shop.serving() == {"green"}


# Guard: switched away before the start


def test_a_broken_process_on_a_dead_slot_gets_no_request(make_shop: MakeShop, tmp_path: Path) -> None:
    shop = make_shop(program={"autorestart": "false"}, boot_timeout=1.5).released("v1")
    asked = tmp_path / "asked"
    os.kill(shop.pid("blue"), signal.SIGKILL)  # the primary: nginx asks it first, whenever it listens
    wait_until(lambda: not shop.pid("blue"))
    with Load(shop.port, clients=2) as load:
        wait_until(lambda: load.total > 10, what="the load")
        done = shop.swap("v2", FAULT="broken", ASKED=str(asked))
    assert done.failures[0].member == "app1/blue", "the dead one is repaired first"
    assert done.failures[0].step == "check"
    assert load.failed == []
    assert not asked.exists(), "the broken process was asked for more than its health"
    assert shop.releases() == {"blue": "v1", "green": "v1"}, "it went back to the release it had, alive"


# Guard: N checks in a row, by one process


def test_an_application_that_answers_right_every_second_time_is_not_enabled(make_shop: MakeShop) -> None:
    outcome = checked(make_shop(boot_timeout=1.0), FAULT="every_second")
    assert outcome.failure is not None and outcome.failure.step == "check"
    assert "3 times in a row" in outcome.failure.expected


def test_an_application_that_crashes_and_restarts_between_its_checks_is_not_enabled(make_shop: MakeShop) -> None:
    # Looked at after 1.5 s, it is up again (supervisor restarts within 1 s), and each answer is right.
    outcome = checked(make_shop(boot_timeout=2.5, health={"interval": 1.5, "successes": 2}), FAULT="one_answer")
    assert outcome.failure is not None and outcome.failure.step == "check"


# A release that is no good: what is said, and what the member has afterwards


def test_a_release_on_the_wrong_port_is_told_which_port_it_listens_on(make_shop: MakeShop) -> None:
    shop = make_shop(boot_timeout=1.0)
    (elsewhere,) = free_ports(1)
    outcome = checked(shop, FAULT="elsewhere", ELSEWHERE=str(elsewhere))
    port = shop.wish.member("blue").port
    assert outcome.failure is not None
    assert outcome.failure.seen == f"nobody listens on port {port}; its process listens on {elsewhere}: does the command use $PORT?"


def test_a_release_that_crashes_at_its_start_is_put_back_and_its_last_words_are_shown(make_shop: MakeShop) -> None:
    # With startsecs, supervisor tries four times and says FATAL.
    shop = make_shop(boot_timeout=60.0).released("v1")
    shop.wish = altered(shop.wish, program={"start_seconds": 10})
    done = shop.swap("v2", FAULT="crash")
    assert (done.failures[0].member, done.failures[0].step) == ("app1/green", "check")
    assert "FATAL" in done.failures[0].seen
    assert "cannot find the database" in done.failures[0].log
    assert shop.releases() == {"blue": "v1", "green": "v1"}
    assert shop.serving() == {"blue", "green"}


def test_a_release_that_ends_at_once_is_not_waited_for(make_shop: MakeShop) -> None:
    shop = make_shop(program={"autorestart": "false"})
    outcome = checked(shop, FAULT="crash")
    assert outcome.failure is not None and "EXITED" in outcome.failure.seen
    assert outcome.events[-1].seconds < shop.wish.boot_timeout / 2


def test_a_release_that_boots_too_slowly_has_failed(make_shop: MakeShop) -> None:
    outcome = checked(make_shop(boot_timeout=0.5), FAULT="slow", BOOT="30")
    assert outcome.failure is not None
    assert "within bluegreen_boot_timeout (0.5 s)" in outcome.failure.expected
    assert "nobody listens on port" in outcome.failure.seen


def test_a_boot_longer_than_a_slice_is_waited_for(shop: Shop) -> None:
    shop.install()
    done = shop.swap("v1", seconds=0.1, FAULT="slow", BOOT="0.3")
    assert done.ok
    assert event(done, "app1/green", "check").seconds > 0.3
    assert any(isinstance(item, Event) and (item.step, item.outcome) == ("check", "waiting") for item in shop.told)


def test_a_failed_release_is_put_back_and_the_other_slot_never_touched(make_shop: MakeShop) -> None:
    shop = make_shop(boot_timeout=3.0).released("v1")
    blue = shop.pid("blue")
    with Load(shop.port, clients=2) as load:
        wait_until(lambda: load.total > 10, what="the load")
        done = shop.swap("v2", FAULT="broken")
    assert load.failed == []
    assert not done.ok and len(done.failures) == 1
    assert shop.releases() == {"blue": "v1", "green": "v1"}
    assert shop.serving() == {"blue", "green"}
    assert shop.pid("blue") == blue
    assert not [event for event in done.events if event.member == "app1/blue"]
    text = words(done, shop)
    assert "app1/green failed at check" in text
    assert "GET /health answers 200" in text and "status 500" in text
    assert "release v2 begins" in text, "the program's last log lines"
    assert "app1/green is back on release v1 and serves; the others were not touched." in text
    assert "app1/blue: release v1, supervisor says RUNNING, healthy, serving" in text
    assert shop.state("v2").slots["green"].staged, "the failed release is kept for a look"
    assert shop.swap("v3").ok, "the next release goes through"
    assert shop.releases() == {"blue": "v3", "green": "v3"}


def test_a_release_with_a_command_that_fails_is_put_back_with_the_start_it_had(make_shop: MakeShop) -> None:
    shop = make_shop(boot_timeout=3.0).released("v1", GREETING="hello")
    done = shop.swap("v1", FAULT="broken")  # the same release, with another environment
    assert not done.ok
    environment = _processes.environment(shop.pid("green"))
    assert environment.get("GREETING") == "hello" and "FAULT" not in environment
    assert shop.serving() == {"blue", "green"}


def test_a_failed_first_release_stays_out_of_the_balancer(make_shop: MakeShop) -> None:
    shop = make_shop(boot_timeout=1.0)
    shop.install()
    done = shop.swap("v1", FAULT="broken")
    assert "has no release to go back to and stays out of the balancer" in words(done, shop)
    assert "green" not in shop.serving()
    assert shop.pids() == {"blue": 0, "green": 0}


# Neighbours


def test_a_neighbour_on_the_same_nginx_and_supervisor_is_not_touched(make_shop: MakeShop) -> None:
    neighbour = make_shop().released("v1")
    folders = [neighbour.wish.root, neighbour.wish.nginx.state_dir + "/" + neighbour.wish.service]
    files = [neighbour.bed.path / "conf.d" / f"bluegreen-{neighbour.wish.service}.conf"]
    files += [Path(_observe_slot.program_path(neighbour.wish, member.slot)) for member in neighbour.wish.members]
    pids, before, texts = neighbour.pids(), snapshot(*folders), [(path.stat().st_mtime_ns, path.read_text()) for path in files]
    with Load(neighbour.port, clients=1) as load:
        ours = make_shop(boot_timeout=3.0).released("v1")
        assert not ours.swap("v2", FAULT="broken").ok
    assert neighbour.pids() == pids
    assert snapshot(*folders) == before
    assert [(path.stat().st_mtime_ns, path.read_text()) for path in files] == texts
    assert set(load.answered) == {"blue v1"}


def test_a_colleagues_bare_supervisorctl_update_restarts_nothing_of_ours(shop: Shop) -> None:
    shop.released("v1")
    shop.wish = altered(shop.wish, program={"stop_timeout": 7})  # the swap rewrites the program file, too
    done = shop.swap("v2")
    assert done.ok, words(done, shop)
    assert "program file changed" in event(done, "app1/blue", "start").detail
    before = shop.pids()
    shop.bed.supervisorctl("update")
    assert shop.pids() == before


def test_a_changed_program_file_waits_for_the_swap_and_comes_back_with_a_put_back(make_shop: MakeShop) -> None:
    shop = make_shop(boot_timeout=3.0).released("v1")
    path = Path(_observe_slot.program_path(shop.wish, "green"))
    before = path.read_text()
    shop.wish = altered(shop.wish, program={"stop_signal": "INT"})
    assert not shop.swap("v2", FAULT="broken").ok
    assert path.read_text() == before
    pids = shop.pids()
    shop.bed.supervisorctl("update")
    assert shop.pids() == pids
    assert shop.releases() == {"blue": "v1", "green": "v1"}


def test_a_put_back_leaves_a_program_file_that_its_own_swap_did_not_change(make_shop: MakeShop) -> None:
    """What an earlier swap replaced is over once its release serves: nobody wants the stop signal of two releases ago."""
    shop = make_shop(boot_timeout=3.0).released("v1")
    path = Path(_observe_slot.program_path(shop.wish, "green"))
    shop.wish = altered(shop.wish, program={"stop_timeout": 7})
    done = shop.swap("v2")
    assert done.ok, words(done, shop)
    before = path.read_text()
    assert not shop.swap("v3", FAULT="broken").ok
    assert path.read_text() == before
    assert not shop.state("v2").slots["green"].pending
