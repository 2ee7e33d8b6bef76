"""Going back on a real host: the release is taken as it was good, whatever today's variables and a run that was cut off say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _info, _observe, _release
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

from tests.drivers.conftest import MakeFleet, MakeShop
from tests.drivers.shop import InProcess, Shop, snapshot


def tomorrow(wish: Wish, release: str) -> Wish:
    """The wish of a rollback, on a day on which the variables expect what no release ever answered."""
    return replace(wish, release=release, rollback=True, health=replace(wish.health, body="what only tomorrow's release says", path="/tomorrow"))


def back_to(shop: Shop, release: str) -> tuple[Wish, _runner.Result]:
    wish = tomorrow(shop.wish, release)
    return wish, _runner.swap([wish], InProcess({wish.host: shop.client}), shop.told.append)


def start(shop: Shop, release: str) -> str:
    return Path(shop.wish.root, "blue", ".launch", release).read_text()


def test_a_release_is_asked_for_what_it_was_found_good_by(shop: Shop) -> None:
    shop.released()
    assert shop.swap("v2").ok
    _wish, done = back_to(shop, "v1")
    assert done.ok, _runner.message(done, [shop.wish])
    assert shop.releases() == {"blue": "v1", "green": "v1"}
    assert _release.SlotPlace(shop.wish.root, "blue").record("v1")["expected"]["body"] == "", "what it was found good by stays"


def test_behind_a_balancer_it_is_the_balancer_too_that_asks_so(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue green", min_serving=1)
    fleet.install()
    for release in ("v1", "v2"):
        assert fleet.swap(release).ok
    wishes = [tomorrow(shop.wish, "v1") for shop in fleet.hosts.values()]
    done = _runner.swap(wishes, InProcess({name: app.client for name, app in fleet.apps.items()}), fleet.told.append)
    assert done.ok, _runner.message(done, wishes)
    assert [app.state().slots[app.wish.members[0].slot].release for app in fleet.apps.values()] == ["v1", "v1"]
    assert fleet.lb.serving() == {"blue", "green"}


def test_a_start_that_a_cut_off_run_left_for_the_release_is_not_taken(shop: Shop) -> None:
    shop.released(COLOUR="red")
    shop.stage("v1", COLOUR="white")
    assert "white" not in start(shop, "v1") and "white" in start(shop, ".next-v1")
    assert shop.swap("v2").ok
    wish, done = back_to(shop, "v1")
    assert done.ok, _runner.message(done, [shop.wish])
    assert "COLOUR=red" in start(shop, "v1")
    assert not _observe.host(wish, shop.client).slots["blue"].pending
    pids = shop.pids()
    assert not back_to(shop, "v1")[1].changed
    assert shop.pids() == pids


def test_a_look_changes_nothing_and_sees_what_waits(shop: Shop) -> None:
    shop.released()
    shop.stage("v1", COLOUR="white")
    shop.stage("v2")
    before = snapshot(shop.wish.root, shop.bed.path / "bluegreen", shop.bed.path / "conf.d", shop.bed.path / "programs")
    found = _info.look(shop.wish, keeps_lease=True)
    assert snapshot(shop.wish.root, shop.bed.path / "bluegreen", shop.bed.path / "conf.d", shop.bed.path / "programs") == before
    blue = found["state"]["slots"]["blue"]
    assert (blue["release"], blue["healthy"], blue["pending"]) == ("v1", True, True)
    assert {release: about["marks"] for release, about in found["releases"].items()} == {"v1": {"blue": "good", "green": "good"}, "v2": {}}
    assert found["since"]["blue"] > 0 and found["problems"] == [] and found["lock"] == ""


def test_a_look_at_a_bare_host_finds_nothing_and_says_what_is_missing(make_shop: MakeShop) -> None:
    bare = make_shop(supervisor=replace(make_shop().wish.supervisor, socket="/nowhere/supervisor.sock"))
    found = _info.look(bare.wish, keeps_lease=True)
    assert found["releases"] == {} and found["past"]["stack"] == ()
    assert ["/nowhere/supervisor.sock" in problem for problem in found["problems"]] == [True]
    assert HostState(**{**found["state"], "slots": {}, "balancer": None}).host == "app1"
    assert [slot["state"] for slot in found["state"]["slots"].values()] == ["NOT SEEN", "NOT SEEN"]
