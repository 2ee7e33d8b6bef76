"""Balancers that are hosts of their own: each guard where it stands, and hosts that have only their own part."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _install, _observe, _preflight, _site
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

from tests.drivers.conftest import MakeFleet
from tests.drivers.fleet import Fleet, workers
from tests.drivers.shop import Asking, Load, Shop, altered
from tools.bed import Bed, alive, wait_until


def outcomes(events: tuple[Event, ...]) -> list[tuple[str, str]]:
    return [(event.step, event.outcome) for event in events]


# The switch is a difference


def test_what_somebody_else_took_out_stays_out(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue green red").declare()
    with fleet.answering("blue", "green", "red"):
        fleet.lb.serve("blue", "green")  # a person, by hand
        assert fleet.do(fleet.step("switch", "blue")).failure is None
        assert fleet.lb.serving() == {"green"}
        assert fleet.do(fleet.step("enable", "blue")).failure is None
        assert fleet.lb.serving() == {"blue", "green"}
        assert outcomes(fleet.do(fleet.step("switch", "red")).events) == [("switch", "unchanged")]


def test_a_pool_that_nobody_foresaw_is_declared_by_the_step_itself_with_one_reload_that_is_counted(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue green red").declare()
    with fleet.answering("blue", "green", "red"):
        fleet.lb.serve("blue", "green")
        before = workers(fleet)
        outcome = fleet.do(fleet.step("switch", "blue"))
        assert outcomes(outcome.events) == [("declare", "ok"), ("switch", "ok")]
        assert (outcome.events[0].detail, outcome.events[0].host) == ("nginx reloaded for a pool of app2/green", "lb1")
        assert sum(not set(before[name]) & set(now) for name, now in workers(fleet).items()) == 1
        before = workers(fleet)
        fleet.lb.serve("blue", "green")
        assert outcomes(fleet.do(fleet.step("switch", "blue")).events) == [("switch", "ok")], "it is there now"
        assert workers(fleet) == before


def test_a_batch_leaves_and_enters_in_one_rename_each_and_what_was_foreseen_needs_no_reload(fleet_of: MakeFleet) -> None:
    batch = ("app1/blue", "app2/green")
    fleet = fleet_of("blue green red grey", batches=(batch,)).declare()
    before = workers(fleet)
    with fleet.answering("blue", "green", "red", "grey"), Load(fleet.lb.port, clients=2) as load:
        wait_until(lambda: load.total > 20, what="the load")
        out = fleet.do(fleet.step("switch", "blue", "green"), fleet.step("drain", "blue", "green"))
        assert out.failure is None
        assert outcomes(out.events) == [("switch", "ok"), ("drain", "ok")]
        assert fleet.lb.serving() == {"red", "grey"}
        assert out.events[0].member == "app1/blue, app2/green"
        back = fleet.do(fleet.step("enable", "blue", "green"))
        assert outcomes(back.events) == [("enable", "ok")]
        assert fleet.lb.serving() == {"blue", "green", "red", "grey"}
    assert load.failed == []
    assert workers(fleet) == before, "nginx was reloaded"


# Capacity, with several members


def test_a_batch_is_refused_as_a_whole_when_too_few_would_answer(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue green red grey", min_serving=2).declare()
    with fleet.answering("blue", "green", "red"):  # grey is dead
        outcome = fleet.do(fleet.step("switch", "blue", "green"))
        assert outcome.failure is not None
        assert outcome.failure.seen.startswith("refused to take app1/blue, app2/green out: app4/grey would have to serve and does not answer ")
        assert (outcome.failure.member, outcome.failure.host) == ("", "lb1")
        assert fleet.lb.serving() == {"blue", "green", "red", "grey"}
        assert fleet.do(fleet.step("switch", "blue")).failure is None, "one of them may go"


def test_taking_out_who_does_not_answer_needs_nobody_else(fleet_of: MakeFleet) -> None:
    """Else a dead member could not be repaired while another one is dead."""
    fleet = fleet_of("blue green red").declare()
    assert fleet.do(fleet.step("switch", "blue")).failure is None
    assert fleet.lb.serving() == {"green", "red"}


def test_the_old_releases_own_answer_counts_as_right_on_a_balancer_too(fleet_of: MakeFleet) -> None:
    """A balancer has no record of its members' releases: without this, nobody of the old release could be relied on."""
    fleet = fleet_of(health={"body": '"v2"'}).declare()
    old: dict[str, Any] = {"expected": {"app2/green": {"body": '"v1"'}}}
    with fleet.answering("blue", release="v2"), fleet.answering("green", release="v1"):
        refused = fleet.do(fleet.step("switch", "blue")).failure
        assert refused is not None and "app2/green would have to serve and does not answer" in refused.seen
        assert fleet.do(fleet.step("switch", "blue", **old)).failure is None
        assert fleet.lb.serving() == {"green"}


# Drain


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "go"
    yield path
    path.touch()


def held_through(balancer: Shop, hold: Path, fleet: Fleet, slot: str) -> Asking:
    """A request for /hold that this balancer has handed to the member, which alone it serves."""
    balancer.serve(slot)
    Path(f"{hold}.begun").unlink(missing_ok=True)
    asking = Asking(balancer.port, "/hold", b"a POST")
    wait_until(Path(f"{hold}.begun").exists, what="the request's arrival")
    return asking


def test_a_drain_waits_for_the_balancers_own_connections_and_for_nobody_elses(fleet_of: MakeFleet, hold: Path) -> None:
    fleet = fleet_of(balancers=2).declare()
    first, second = fleet.balancers.values()
    with fleet.answering("blue", "green", HOLD=str(hold)), socket.create_connection(("127.0.0.1", fleet.member("blue").port)):
        asking = held_through(second, hold, fleet, "blue")
        first.serve("green")
        second.serve("green")
        assert outcomes(fleet.do(fleet.step("drain", "blue")).events) == [("drain", "ok")]
        waiting = fleet.do(fleet.step("drain", "blue", on="lb2"), seconds=0.2)
        assert waiting.waiting is not None and waiting.events[-1].detail == "1 connection left, of 15 s"
        hold.touch()
        assert asking.reply().status == 200
        assert outcomes(fleet.do(waiting.waiting).events) == [("drain", "ok")]


def test_a_drain_waits_for_idle_keep_alive_connections_until_nginx_closes_them(fleet_of: MakeFleet) -> None:
    fleet = fleet_of(site={"idle": 0.5}).declare()
    with fleet.answering("blue", "green"):
        fleet.lb.serve("blue")
        assert fleet.lb.ask().slot == "blue"
        fleet.lb.serve("green")
        waiting = fleet.do(fleet.step("drain", "blue"), seconds=0.05)
        assert waiting.waiting is not None and "1 connection left" in waiting.events[-1].detail
        done = fleet.do(waiting.waiting)
        assert (outcomes(done.events), done.events[-1].detail) == ([("drain", "ok")], "no connection left")


def test_when_the_drain_of_a_batch_takes_too_long_the_slow_member_is_named(fleet_of: MakeFleet, hold: Path) -> None:
    fleet = fleet_of("blue green red", drain_timeout=0.4, on_drain_timeout="stop").declare("green", "red")
    with fleet.answering("blue", "green", "red", HOLD=str(hold)):
        asking = held_through(fleet.lb, hold, fleet, "green")
        fleet.lb.serve("red")
        outcome = fleet.do(fleet.step("drain", "blue", "green"))
        assert outcome.failure is not None
        assert (outcome.failure.member, outcome.failure.host, outcome.failure.step) == ("app2/green", "lb1", "drain")
        assert outcome.failure.seen == "1 connection left after 0.4 s"
        hold.touch()
        assert asking.reply().status == 200


def test_a_drain_is_refused_while_the_balancer_serves_one_of_the_members(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue green red").declare()
    fleet.lb.serve("green", "red")
    outcome = fleet.do(fleet.step("drain", "blue", "green"))
    assert outcome.failure is not None
    assert outcome.failure.seen == "app2/green still gets requests from its balancer lb1; it is not touched."


# Enable


def moved(fleet: Fleet, slot: str, address: str) -> None:
    """On the balancers, the member has this address."""
    for shop in fleet.balancers.values():
        shop.wish = replace(shop.wish, pool=tuple(replace(member, address=address) if member.slot == slot else member for member in shop.wish.pool))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"], ids=["listens nowhere", "listens on another address"])
def test_a_member_that_the_balancer_itself_cannot_reach_is_named_and_nobody_is_enabled(fleet_of: MakeFleet, address: str) -> None:
    fleet = fleet_of("blue green red")
    moved(fleet, "green", address)
    fleet.declare("red")
    fleet.lb.serve("red")
    answering = ("blue", "red", "green") if address == "127.0.0.2" else ("blue", "red")
    with fleet.answering(*answering):
        failure = fleet.do(fleet.step("enable", "blue", "green", release="v1")).failure
        assert failure is not None
        assert (failure.member, failure.host, failure.step) == ("app2/green", "lb1", "enable")
        assert failure.expected.endswith(f"asked from lb1 at {address}:{fleet.member('green').port}")
        assert "no answer" in failure.seen
        assert fleet.lb.serving() == {"red"}


def test_a_member_that_answers_wrongly_is_not_enabled_and_one_put_back_is_asked_for_its_own_answer(fleet_of: MakeFleet) -> None:
    fleet = fleet_of(health={"body": '"v2"'}).declare()
    fleet.lb.serve("green")
    with fleet.answering("blue", "green", release="v1"):
        failure = fleet.do(fleet.step("enable", "blue", release="v2")).failure
        assert failure is not None and failure.member == "app1/blue" and "a body without '\"v2\"'" in failure.seen
        assert fleet.lb.serving() == {"green"}
        assert fleet.do(fleet.step("enable", "blue", release="v1", expected={"app1/blue": {"body": '"v1"'}})).failure is None
        assert fleet.lb.serving() == {"blue", "green"}


@pytest.mark.parametrize("name", ["switch", "enable"])
def test_a_balancer_that_does_not_run_is_itself_at_fault_and_no_member(fleet_of: MakeFleet, own_bed: Bed, name: str) -> None:
    fleet = fleet_of(beds={"lb1": own_bed}).declare()
    fleet.lb.serve("green") if name == "enable" else None
    os.kill(own_bed.nginx_pid, signal.SIGTERM)
    wait_until(lambda: not own_bed.nginx_pid, what="nginx's end")
    with fleet.answering("blue", "green"):
        failure = fleet.do(fleet.step(name, "blue")).failure
    assert failure is not None
    assert (failure.member, failure.host) == ("", "lb1")
    assert failure.seen.startswith("nginx does not run: ")


def test_a_member_that_is_none_of_the_balancers_is_refused_by_name(fleet_of: MakeFleet) -> None:
    fleet = fleet_of().declare()
    failure = fleet.do(replace(fleet.step("switch"), members=("app9/blue",))).failure
    assert failure is not None
    assert failure.seen == "app9/blue is not among the members that lb1 balances: app1/blue, app2/green."


# A member is out when every balancer says so


def running(fleet: Fleet) -> Shop:
    """The first host, with its member at work."""
    app = next(iter(fleet.apps.values()))
    app.install()
    app.stage("v1")
    steps = [fleet.step(name, "blue", on="app1", release="v1", out_of=tuple(fleet.balancers)) for name in ("point", "start", "check")]
    assert fleet.do(*steps).failure is None
    return app


@pytest.mark.parametrize(("told", "silent"), [((), "lb1, lb2"), (("lb1",), "lb2"), (("lb2", "lb3"), "lb1")])
def test_a_member_is_neither_stopped_nor_started_before_every_balancer_said_that_it_is_out(fleet_of: MakeFleet, told: tuple[str, ...], silent: str) -> None:
    fleet = fleet_of(balancers=2)
    app = running(fleet)
    pid = app.pid("blue")
    for name in ("stop", "start"):
        failure = fleet.do(fleet.step(name, "blue", on="app1", release="v1", out_of=told)).failure
        assert failure is not None
        assert failure.seen == f"app1/blue may still get requests from {silent}, which did not say that it is out; it is not touched."
        assert (failure.member, failure.host) == ("app1/blue", "app1")
    assert app.pid("blue") == pid
    assert fleet.do(fleet.step("stop", "blue", on="app1", out_of=("lb1", "lb2"))).failure is None
    assert not alive(pid)


def test_with_both_kinds_of_balancers_the_hosts_own_nginx_must_be_switched_away_as_well(fleet_of: MakeFleet, bed: Bed) -> None:
    fleet = fleet_of({"app1": ["blue", "green"]}, apps=bed, local=True)
    app = fleet.apps["app1"]
    assert (app.wish.balancers, app.wish.others) == (("lb1", "app1"), ("lb1",))
    app.install()
    with fleet.answering("green"):
        app.serve("green")
        app.stage("v1")
        steps = [fleet.step(name, "blue", on="app1", release="v1", out_of=("lb1",)) for name in ("point", "start", "check", "enable")]
        assert fleet.do(*steps).failure is None
        assert app.serving() == {"blue", "green"}
        failure = fleet.do(fleet.step("stop", "blue", on="app1", out_of=("lb1",))).failure
        assert failure is not None and failure.seen == "app1/blue still gets requests from its balancer app1; it is not touched."
        app.serve("green")
        assert fleet.do(fleet.step("stop", "blue", on="app1", out_of=("lb1",))).failure is None


def test_a_steps_other_half_is_refused_on_a_host_that_runs_no_member(fleet_of: MakeFleet) -> None:
    fleet = fleet_of().declare()
    failure = fleet.do(fleet.step("stop", "blue")).failure
    assert failure is not None
    assert failure.seen == "lb1 runs no member; stop of app1/blue cannot be done there."


# A host has only its own part


def test_a_host_that_is_only_a_balancer_needs_no_supervisor_and_no_program(fleet_of: MakeFleet) -> None:
    fleet = fleet_of()
    lb = fleet.lb
    assert not _install.programs(lb.wish).changed
    assert not Path(lb.wish.root).exists() and not Path(lb.wish.supervisor.program_dir).exists()
    assert _install.balancer(lb.wish).reloaded
    state = _observe.host(lb.wish, None)
    assert state.slots == {} and state.balancer is not None and set(state.balancer.serving) == {"app1/blue", "app2/green"}
    for role in ("supervisor_program", "nginx_upstream", "release"):
        found = _preflight.check(replace(lb.wish, release="v1"), role, dry=False)
        assert (found.findings, found.absent) == ((), ()), role


def test_a_host_behind_balancers_needs_no_nginx(fleet_of: MakeFleet) -> None:
    fleet = fleet_of()
    app = fleet.apps["app1"]
    app.wish = altered(app.wish, nginx={"command": ("/nowhere/nginx",)})
    done = _install.balancer(app.wish)
    assert not done.changed and not done.diffs
    assert not Path(app.wish.nginx.conf_dir).exists() and not Path(_site.state_dir(app.wish)).exists()
    assert _install.programs(app.wish).changed
    app = running(fleet)
    state = app.state("v1")
    assert state.balancer is None and state.slots["blue"].healthy and not state.serves("app1/blue")
    for role in ("supervisor_program", "nginx_upstream", "release"):
        found = _preflight.check(replace(app.wish, release="v1"), role, dry=False)
        assert (found.findings, found.absent) == ((), ()), role


# The whole walk


def test_a_release_walks_through_hosts_behind_two_balancers_and_loses_no_request(fleet_of: MakeFleet) -> None:
    fleet = fleet_of(balancers=2)
    fleet.install()
    assert fleet.swap("v1").ok
    before = workers(fleet)
    with Load(fleet.balancers["lb1"].port, clients=2) as one, Load(fleet.balancers["lb2"].port, clients=2) as two:
        wait_until(lambda: one.total > 20 and two.total > 20, what="the load")
        done = fleet.swap("v2")
    assert done.ok, _runner.message(done, [app.wish for app in fleet.apps.values()])
    assert one.failed == two.failed == []
    assert workers(fleet) == before and done.reloads == 0
    order = [(event.host, event.step) for event in sorted(done.events, key=lambda event: event.start) if event.member == "app1/blue"]
    out = max(order.index((name, "drain")) for name in fleet.balancers)
    assert out < order.index(("app1", "stop")) < order.index(("app1", "check")) < min(order.index((name, "enable")) for name in fleet.balancers)
    assert {app.releases()[slot] for app, slot in zip(fleet.apps.values(), ("blue", "green"), strict=True)} == {"v2"}
    assert all(lb.serving() == {"blue", "green"} for lb in fleet.balancers.values())
    assert not fleet.swap("v2").changed


def expect(fleet: Fleet, release: str) -> None:
    """From now on, a member is right whose health page names this release."""
    for shop in fleet.hosts.values():
        shop.wish = altered(shop.wish, health={"body": f'"{release}"'})


def test_a_health_page_that_names_the_release_neither_blocks_a_release_behind_balancers_nor_its_put_back(fleet_of: MakeFleet) -> None:
    fleet = fleet_of(boot_timeout=5.0)
    fleet.install()
    for release in ("v1", "v2"):
        expect(fleet, release)
        done = fleet.swap(release)
        assert done.ok, _runner.message(done, [app.wish for app in fleet.apps.values()])
    expect(fleet, "never said")
    seen = fleet.apps["app1"].state("v3").slots["blue"]
    assert seen.healthy and seen.expected["body"] == '"v2"'
    done = fleet.swap("v3")
    assert [(failure.member, failure.step) for failure in done.failures] == [("app1/blue", "check")]
    assert {release for app in fleet.apps.values() for release in app.releases().values()} == {"v2"}
    assert fleet.lb.serving() == {"blue", "green"}
