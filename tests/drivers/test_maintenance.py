"""A mark on a real balancer: who may not come in, who does not count, and what keeps it."""

from __future__ import annotations

import os
import stat
from dataclasses import replace

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _declare, _files, _maintenance, _nginx
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

from tests.drivers.conftest import MakeFleet
from tests.drivers.fleet import Fleet
from tests.drivers.shop import InProcess

NOTE = {"by": "ann", "why": "disk change", "since": 1.0}


def mark(fleet: Fleet, *slots: str, lift: tuple[str, ...] = ()) -> bool:
    return _maintenance.change(fleet.lb.wish, {fleet.member(slot).id: NOTE for slot in slots}, [fleet.member(slot).id for slot in lift])


def test_a_balancer_lets_nobody_in_who_is_in_maintenance(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue green red").declare()
    with fleet.answering("blue", "green", "red"):
        fleet.lb.serve("blue", "red")
        mark(fleet, "green")
        failure = fleet.do(fleet.step("enable", "green")).failure
        assert failure and failure.seen == "app2/green is in maintenance (ann: disk change), so lb1 does not serve it: hotswap.bluegreen.enable brings it back."
        assert fleet.lb.serving() == {"blue", "red"}
        # A run that ends the maintenance may, and so may every other member.
        assert _nginx.switch(replace(fleet.lb.wish, lifting=(fleet.member("green").id,)), enter=[fleet.member("green").id])
        assert fleet.lb.serving() == {"blue", "green", "red"}
        assert fleet.do(fleet.step("switch", "red")).failure is None
        assert fleet.do(fleet.step("enable", "red")).failure is None


def test_who_is_in_maintenance_and_served_all_the_same_is_not_counted_on(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue green").declare()
    with fleet.answering("blue", "green"):
        mark(fleet, "green")
        failure = fleet.do(fleet.step("switch", "blue")).failure
        assert failure and failure.seen == "refused to take app1/blue out: 0 would serve; bluegreen_min_serving is 1."
        assert fleet.lb.serving() == {"blue", "green"}


def test_a_mark_is_private_kept_by_who_set_it_first_and_by_a_role_run(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue green").declare()
    wish = fleet.lb.wish
    assert mark(fleet, "green") and not mark(fleet, "green")
    other = {**NOTE, "by": "ben"}
    assert not _maintenance.change(wish, {fleet.member("green").id: other}, [])
    assert stat.S_IMODE(os.stat(_maintenance.path(wish)).st_mode) == 0o600
    assert not _declare.declare(wish).changed
    assert _nginx.observe(wish).maintenance == {"app2/green": NOTE}
    # Where the link was lost, the role makes one that does not serve it.
    os.unlink(_nginx.active_link(wish))
    _declare.declare(wish)
    assert fleet.lb.serving() == {"blue"}
    assert mark(fleet, lift=("green",)) and not mark(fleet, lift=("green",))
    assert _nginx.observe(wish).maintenance == {}


def test_a_file_that_cannot_be_understood_stops_everything(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue green").declare()
    for text in ("{", "[]", '{"app1/blue": {}}'):
        _files.write(_maintenance.path(fleet.lb.wish), text, 0o600)
        with pytest.raises(Refusal, match="says who is in maintenance, and cannot be understood"):
            _nginx.observe(fleet.lb.wish)


def test_members_leave_two_balancers_are_left_alone_and_come_back(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue green red", balancers=2)
    fleet.install()
    assert fleet.swap("v1").ok
    remote = InProcess({name: app.client for name, app in fleet.apps.items()})
    wishes = [shop.wish for shop in fleet.hosts.values()]
    green = fleet.member("green").id
    out = _runner.take_out(wishes, [green], remote, fleet.told.append)
    assert out.ok and [event.step for event in out.events].count("switch") == 2
    assert {name: shop.serving() for name, shop in fleet.balancers.items()} == {"lb1": {"blue", "red"}, "lb2": {"blue", "red"}}
    mark(fleet, "green")

    result = fleet.swap("v2")
    assert result.ok and green not in result.swapped
    assert "app2/green: in maintenance (ann: disk change): left alone on release v1" in fleet.told

    back = [replace(shop.wish, release="v2", lifting=(green,)) for shop in fleet.hosts.values()]
    done = _runner.swap(back, remote, fleet.told.append, _runner.Policy(chosen=frozenset([green])))
    assert done.ok and done.swapped == [green]
    assert done.states["app2"].slots["green"].release == "v2"
    assert fleet.lb.serving() == {"blue", "green", "red"}
