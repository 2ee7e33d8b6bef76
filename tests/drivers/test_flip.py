"""One slot of each host takes over from the other: the switch of all balancers, its steps, and the way back, on real nginx and supervisord."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _files, _install, _maintenance, _nginx, _site, _steps
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Step
from ansible_collections.hotswap.bluegreen.plugins.module_utils._orders import Order
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Mixing
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _pauses, _runner
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary_rules import Canary, Weight

from tests.drivers.conftest import MakeFleet, MakeShop
from tests.drivers.fleet import Fleet, workers
from tests.drivers.shop import InProcess, Load, Shop, words
from tools.bed import wait_until

TESTERS = {"header": "X-Preview", "cookie": "preview", "value": "k3y"}


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """A service whose nginx serves one of its two slots, not installed yet."""
    made = make_shop(strategy="blue_green", mixing=TESTERS)
    made.wish = replace(made.wish, members=tuple(replace(member, backup=False) for member in made.wish.members), pool=made.wish.pool)
    made.wish = replace(made.wish, pool=made.wish.members)
    return made


@pytest.fixture
def canary(shop: Shop) -> Shop:
    shop.wish = replace(shop.wish, strategy="canary", mixing=replace(shop.wish.mixing, weights=(10.0, 50.0)))
    return shop


def two_hosts(fleet_of: MakeFleet, **changes: Any) -> Fleet:
    """Two balancers of two hosts with two slots each; one of each serves."""
    slots = {"app1": ["blue", "green"], "app2": ["red", "grey"]}
    batches = (("app1/blue", "app2/red"), ("app1/green", "app2/grey"))
    fleet = fleet_of(slots, balancers=2, batches=batches, strategy="blue_green", **changes)
    fleet.install()
    done = fleet.swap("v1")
    assert done.ok, _runner.message(done, [app.wish for app in fleet.apps.values()])
    return fleet


def releases_of(port: int, count: int, shop: Shop, **headers: str) -> Counter[str]:
    return Counter(shop.ask("/", None, **headers).body["release"] for _ in range(count))


def test_the_idle_slot_takes_over_and_the_other_one_ends_with_no_failed_request_and_no_reload(shop: Shop) -> None:
    shop.released()
    (first,) = shop.serving()
    idle = "blue" if first == "green" else "green"
    assert shop.pid(idle) == 0
    before = shop.workers()
    with Load(shop.port) as load:
        wait_until(lambda: load.total > 50, what="the load")
        done = shop.swap("v2")
    assert done.ok and done.reloads == 0 and shop.workers() == before
    assert load.failed == [] and {key.split()[1] for key in load.answered} == {"v1", "v2"}
    assert shop.serving() == {idle} and shop.pid(first) == 0
    assert shop.ask().body["release"] == "v2"
    again = shop.swap("v2")
    assert again.ok and not again.changed, [event for event in again.events if event.outcome == "ok"]


def test_an_old_one_that_shall_stay_takes_over_again_in_one_switch(shop: Shop) -> None:
    shop.wish = replace(shop.wish, retire=False)
    shop.released()
    shop.swap("v2")
    (second,) = shop.serving()
    pids = shop.pids()
    assert all(pids.values()), "both run"
    back = _runner.swap([replace(shop.stage("v1"), rollback=True)], _in_process(shop), shop.told.append)
    assert back.ok and [event.step for event in back.events] == ["shift", "switch"]
    assert back.events[0].seconds < 1.0
    assert shop.pids() == pids and shop.serving() != {second} and shop.ask().body["release"] == "v1"


def _in_process(shop: Shop) -> InProcess:
    return InProcess({shop.wish.host: shop.client})


def test_a_release_that_does_not_start_never_gets_a_request_and_its_slot_is_as_it_was(shop: Shop) -> None:
    shop.released()
    (first,) = shop.serving()
    shop.wish = replace(shop.wish, boot_timeout=2.0)
    with Load(shop.port) as load:
        wait_until(lambda: load.total > 20, what="the load")
        done = shop.swap("v2", FAULT="broken")
    assert not done.ok and done.failures[0].step == "check"
    assert load.failed == [] and {key.split()[1] for key in load.answered} == {"v1"}
    assert shop.serving() == {first} and [slot for slot, pid in shop.pids().items() if pid] == [first]
    assert shop.swap("v3").ok and shop.ask().body["release"] == "v3"


def test_a_smoke_test_that_fails_keeps_clients_away(shop: Shop) -> None:
    shop.released()
    shop.wish = replace(shop.wish, smoke=(Health(path="/", body='"v1"', timeout=2.0),))
    done = shop.swap("v2")
    assert not done.ok and done.failures[0].step == "smoke"
    assert "bluegreen_smoke: GET / answers 200" in words(done, shop)
    assert shop.ask().body["release"] == "v1" and shop.ask(**{"X-Preview": "k3y"}).body["release"] == "v1"


def test_a_smoke_test_is_asked_of_the_member_and_through_nginx_as_a_tester(shop: Shop) -> None:
    shop.released()
    shop.wish = replace(shop.wish, smoke=(Health(path="/", body='"v2"', timeout=2.0),))
    assert shop.swap("v2").ok
    shop.wish = replace(shop.wish, smoke=(Health(path="/", body='"X-Forwarded-Port"', timeout=2.0),))
    assert not shop.swap("v3").ok, "nginx alone adds it, the member's own answer has none"
    shop.wish = replace(shop.wish, smoke=(Health(path="/", body='"v4"', timeout=2.0),))
    shop.wish = replace(shop.wish, mixing=replace(shop.wish.mixing, value="0ther"))  # nginx does not know it yet: a tester would meet the old release
    done = shop.swap("v4")
    assert not done.ok and "nginx as a tester" in words(done, shop)
    assert shop.ask().body["release"] == "v2"


def step(shop: Shop, enter: str, leave: str, weight: float, release: str) -> Step:
    return Step("shift", shop.wish.host, (shop.id(enter),), release, leaving=(shop.id(leave),), weight=weight)


def _do(shop: Shop, *steps: Step) -> _steps.Outcome:
    return _steps.run(shop.wish, shop.client, steps, 60.0)


def _headers(shop: Shop, **headers: str) -> list[tuple[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.getheaders()


def _both_run(shop: Shop) -> tuple[str, str]:
    """v1 serves and v2 runs beside it: the slots of both."""
    wish = shop.wish
    shop.wish = replace(wish, strategy="blue_green", mixing=Mixing(), retire=False)
    shop.released()
    assert shop.swap("v2").ok
    assert _runner.swap([replace(shop.stage("v1"), rollback=True)], _in_process(shop), shop.told.append).ok
    (old,) = shop.serving()
    shop.wish = wish
    shop.install()
    return old, "blue" if old == "green" else "green"


def test_each_step_of_a_canary_is_one_rename_and_gives_it_its_share_while_testers_always_reach_it(canary: Shop) -> None:
    old, new = _both_run(canary)
    workers_before = canary.workers()
    with Load(canary.port) as load:
        for weight, low, high in ((0.0, 0, 0), (10.0, 15, 70), (50.0, 140, 260), (10.0, 15, 70)):
            outcome = _do(canary, step(canary, new, old, weight, "v2"))
            assert outcome.failure is None
            seen = releases_of(canary.port, 400, canary)
            assert low <= seen["v2"] <= high, (weight, seen)
            assert releases_of(canary.port, 10, canary, **{"X-Preview": "k3y"}) == {"v2": 10}
            assert releases_of(canary.port, 10, canary, Cookie="preview=k3y") == {"v2": 10}
            assert releases_of(canary.port, 10, canary, **{"X-Preview": "guess"})["v2"] < 10
            state = _nginx.observe(canary.wish)
            assert state.serving == tuple(sorted(canary.id(slot) for slot in (old, new))) and state.entering == (canary.id(new),)
        assert _do(canary, step(canary, old, new, 100.0, "v1")).failure is None
        assert releases_of(canary.port, 50, canary) == {"v1": 50}
    assert load.failed == [] and canary.workers() == workers_before


def test_a_client_that_stays_with_its_side_is_never_sent_back_as_the_share_grows(canary: Shop) -> None:
    canary.wish = replace(canary.wish, mixing=replace(canary.wish.mixing, sticky=True))
    old, new = _both_run(canary)
    name = f"bluegreen_{canary.wish.service}"
    first = _do(canary, step(canary, new, old, 10.0, "v2"))
    assert first.failure is None
    given = [value for key, value in _headers(canary) if key == "Set-Cookie" and value.startswith(f"{name}=")]
    assert len(given) == 1 and "HttpOnly" in given[0]
    assert not [value for _key, value in _headers(canary, Cookie=given[0].split(";")[0]) if value.startswith(f"{name}=")], "it has one"
    keys = [f"{number:032x}" for number in range(150)]

    def side() -> dict[str, str]:
        return {key: canary.ask(Cookie=f"{name}={key}").body["release"] for key in keys}

    few = side()
    assert side() == few, "the same client, the same side"
    _do(canary, step(canary, new, old, 50.0, "v2"))
    many = side()
    assert all(many[key] == "v2" for key in keys if few[key] == "v2")
    assert 3 <= Counter(few.values())["v2"] < Counter(many.values())["v2"] < 120


def test_nginx_writes_down_what_each_side_answered_while_they_share_and_nothing_else(canary: Shop) -> None:
    old, new = _both_run(canary)
    log = _site.canary_log(canary.wish)

    def lines() -> list[list[str]]:
        with open(log) as file:
            return [line.split() for line in file]

    releases_of(canary.port, 5, canary)
    assert lines() == []
    _do(canary, step(canary, new, old, 50.0, "v2"))
    seen = releases_of(canary.port, 60, canary)
    releases_of(canary.port, 5, canary, **{"X-Preview": "k3y"})
    wait_until(lambda: len(lines()) >= 60, what="60 lines of the log")
    assert Counter(line[1] for line in lines()) == {"old": seen["v1"], "new": seen["v2"]}
    assert all(line[2] == line[3] == "200" and 0 <= float(line[4]) < 20 and abs(float(line[0]) - time.time()) < 600 for line in lines())


def test_all_balancers_move_together_and_all_go_back_when_one_cannot(fleet_of: MakeFleet) -> None:
    fleet = two_hosts(fleet_of)
    before = {name: shop.serving() for name, shop in fleet.balancers.items()}
    loaded = workers(fleet)
    done = fleet.swap("v2")
    assert done.ok and done.reloads == 0 and workers(fleet) == loaded
    after = {name: shop.serving() for name, shop in fleet.balancers.items()}
    assert after["lb1"] == after["lb2"] and not after["lb1"] & before["lb1"] and len(after["lb1"]) == 2
    assert any(isinstance(line, str) and line.startswith("2 balancers switched within ") for line in fleet.told)
    flips = [event for event in done.events if event.step == "shift" and event.detail.startswith("serving ")]
    assert {event.host for event in flips} == {"lb1", "lb2"}

    second = fleet.balancers["lb2"]
    real = second.wish
    second.wish = replace(real, release="v3", min_serving=3)  # it refuses: two will serve
    failed = fleet.swap("v3")
    second.wish = real
    assert not failed.ok
    assert {name: shop.serving() for name, shop in fleet.balancers.items()} == after
    for shop in fleet.balancers.values():
        assert releases_of(shop.port, 6, shop) == {"v2": 6}
    assert fleet.swap("v3").ok


# A canary, judged by what nginx has written of both sides


@dataclass
class Person:
    """Somebody who tells the run something when it has asked so many times."""

    order: Order | None = None
    after: int = 0
    done: list[Order] = field(default_factory=list)

    def signs(self) -> Order | None:
        self.after -= 1
        return self.order if self.after < 0 and not self.done else None

    def obeyed(self, order: Order) -> None:
        self.done.append(order)


def judged(
    shop: Shop, release: str, steps: tuple[Weight, ...], person: Person | None = None, clients: int = 4, **environment: str
) -> tuple[_runner.Result, Load]:
    """A canary under load."""
    wish = replace(shop.wish, mixing=replace(shop.wish.mixing, weights=tuple(step.percent for step in steps)))
    shop.wish = wish
    shop.install()
    terms = _pauses.Terms(Canary(steps, no_traffic="wait"), ears=person)
    shop.stage(release, **environment)
    with Load(shop.port, clients=clients) as load:
        done = _runner.swap([replace(wish, release=release)], _in_process(shop), shop.told.append, _runner.Policy(terms=terms))
    return done, load


STEPS = (Weight(20.0, 1.0, 100), Weight(50.0, 1.0, 200))


def test_a_canary_that_is_as_good_goes_all_the_way_without_a_reload_between_the_steps(canary: Shop) -> None:
    canary.released(TAKES="0.01")
    (first,) = canary.serving()
    canary.wish = replace(canary.wish, mixing=replace(canary.wish.mixing, weights=(20.0, 50.0)))
    canary.install()
    before = canary.workers()
    done, load = judged(canary, "v2", STEPS, TAKES="0.01")
    assert done.ok, words(done, canary)
    assert load.failed == [] and canary.workers() == before
    assert canary.serving() != {first} and canary.pid(first) == 0 and canary.ask().body["release"] == "v2"
    assert [event.detail for event in done.events if event.step == "shift"][:3] == ["nobody but testers", "20 % of the requests", "50 % of the requests"]
    assert any(isinstance(line, str) and "20 % of the requests" in line and "median" in line for line in canary.told)


def test_a_canary_with_errors_gets_no_request_any_more_and_the_message_has_the_figures(canary: Shop) -> None:
    canary.released()
    (first,) = canary.serving()
    done, load = judged(canary, "v2", (Weight(50.0, 60.0, 50),), ERRORS="0.3")
    assert not done.ok and done.failures[0].step == "judge"
    text = words(done, canary)
    assert f"All requests go to {canary.id(first)}, as before this run; " in text
    assert "error" in text and "%" in text and "stable" in text, text
    assert canary.serving() == {first} and [slot for slot, pid in canary.pids().items() if pid] == [first]
    assert len(load.failed) < load.total / 4
    assert releases_of(canary.port, 20, canary) == {"v1": 20}


def test_a_canary_whose_answers_nginx_does_not_write_down_does_not_begin(canary: Shop) -> None:
    canary.released()
    (first,) = canary.serving()
    canary.wish = replace(canary.wish, mixing=replace(canary.wish.mixing, weights=(50.0,)))
    canary.install()
    os.unlink(_site.canary_log(canary.wish))
    bound = Person(Order(1, "abort", {"user": "ada", "controller": "laptop", "pid": 7}, 1.0, reason="it began"), after=5)
    done, load = judged(canary, "v2", (Weight(50.0, 1.0, 20),), bound)
    assert not done.ok and "does not write the canary's answers to " in words(done, canary)
    assert load.failed == [] and {key.split()[1] for key in load.answered} == {"v1"}
    assert canary.serving() == {first} and canary.ask().body["release"] == "v1"
    os.kill(_nginx.master(canary.wish.nginx), signal.SIGUSR1)
    wait_until(lambda: os.path.exists(_site.canary_log(canary.wish)), what="the log that nginx opens again")
    assert judged(canary, "v2", (Weight(50.0, 1.0, 20),))[0].ok


def test_a_person_may_end_a_canary_or_send_all_requests_to_it_at_once(canary: Shop) -> None:
    canary.released()
    (first,) = canary.serving()
    by = {"user": "ada", "controller": "laptop", "pid": 7}
    hand = (Weight(20.0, 0.0, 20, by_hand=True), Weight(50.0, 600.0, 20))
    abort = Person(Order(1, "abort", by, 1.0, reason="customers complain"), after=1)
    done, load = judged(canary, "v2", hand, abort)
    assert not done.ok and "customers complain" in words(done, canary) and "ada@laptop" in words(done, canary)
    assert canary.serving() == {first} and abort.done and load.failed == []
    promote = Person(Order(1, "promote", by, 1.0, to="all"), after=1)
    done, load = judged(canary, "v2", hand, promote)
    assert done.ok and promote.done and load.failed == [] and canary.ask().body["release"] == "v2"
    assert "50 % of the requests" not in [event.detail for event in done.events]


def test_while_the_old_release_stays_warm_a_person_sends_all_requests_back_in_one_switch(shop: Shop) -> None:
    shop.released()
    (first,) = shop.serving()
    old = shop.pid(first)
    abort = Person(Order(1, "abort", {"user": "ada", "controller": "laptop", "pid": 7}, 1.0, reason="customers complain"), after=1)
    shop.stage("v2")
    terms = _pauses.Terms(keep_old=300.0, ears=abort)
    with Load(shop.port) as load:
        done = _runner.swap([replace(shop.wish, release="v2")], _in_process(shop), shop.told.append, _runner.Policy(terms=terms))
    assert not done.ok and "customers complain" in words(done, shop)
    assert load.failed == [] and shop.serving() == {first} and shop.pid(first) == old and shop.ask().body["release"] == "v1"
    assert [pid for slot, pid in shop.pids().items() if slot != first] == [0]


# The guards of the step, on the spot


def test_nobody_takes_over_who_does_not_answer_now_or_is_in_maintenance_or_leaves_too_few(canary: Shop) -> None:
    old, new = _both_run(canary)
    take_over = step(canary, new, old, 100.0, "v2")
    marked = {canary.id(new): {"by": "ann", "why": "disk", "since": 1.0}}
    _maintenance.change(canary.wish, marked, ())
    refused = _do(canary, take_over)
    assert refused.failure is not None and "ann" in refused.failure.seen and canary.serving() == {old}
    _maintenance.change(canary.wish, {}, marked)
    wish, canary.wish = canary.wish, replace(canary.wish, min_serving=2)
    refused = _do(canary, take_over)
    assert refused.failure is not None and "bluegreen_min_serving is 2" in refused.failure.seen and canary.serving() == {old}
    canary.wish = wish
    canary.client.stop(f"{canary.wish.service}-{new}")
    wait_until(lambda: canary.pid(new) == 0, what="its end")
    for weight in (0.0, 10.0, 100.0):
        failed = _do(canary, step(canary, new, old, weight, "v2"))
        assert failed.failure is not None and failed.failure.member == canary.id(new) and canary.serving() == {old}


def test_one_of_several_that_does_not_answer_keeps_a_balancer_from_moving(fleet_of: MakeFleet) -> None:
    fleet = two_hosts(fleet_of, retire=False)
    assert fleet.swap("v2").ok
    now = fleet.lb.serving()
    (gone, other) = sorted({"blue", "green", "red", "grey"} - now)
    fleet.hosts["app2"].client.stop(f"{fleet.lb.wish.service}-{other if other in ('red', 'grey') else gone}")
    back = fleet.step("shift", gone, other, release="v1", leaving=tuple(fleet.member(slot).id for slot in now))
    failed = fleet.do(back)
    assert failed.failure is not None and failed.failure.member.startswith("app2/") and fleet.lb.serving() == now


def test_other_weights_are_declared_by_the_step_itself_with_one_reload(canary: Shop) -> None:
    old, new = _both_run(canary)
    canary.wish = replace(canary.wish, mixing=replace(canary.wish.mixing, weights=(30.0, 60.0)))
    outcome = _do(canary, step(canary, new, old, 30.0, "v2"))
    assert [event.step for event in outcome.events] == ["declare", "shift"]
    assert 60 <= releases_of(canary.port, 400, canary)["v2"] <= 180


def test_a_role_run_in_the_middle_of_a_canary_leaves_it_where_it_stands_and_another_strategy_is_refused(canary: Shop) -> None:
    old, new = _both_run(canary)
    assert _do(canary, step(canary, new, old, 50.0, "v2")).failure is None
    before, link = canary.workers(), _files.target(_nginx.active_link(canary.wish))
    assert not _install.balancer(canary.wish).changed
    canary.wish = replace(canary.wish, site=replace(canary.wish.site, body_size="51m"))
    assert _install.balancer(canary.wish).reloaded
    seen = releases_of(canary.port, 200, canary)
    assert canary.workers() != before and _files.target(_nginx.active_link(canary.wish)) == link
    assert 60 <= seen["v2"] <= 140
    with pytest.raises(Refusal, match=r"two releases of shop\d+ share its requests; bluegreen_strategy rolling cannot do that"):
        _install.balancer(replace(canary.wish, strategy="rolling"))
