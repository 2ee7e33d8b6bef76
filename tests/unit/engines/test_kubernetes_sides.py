"""Blue/green on Kubernetes: which side gets a release, who is reached when, and what is left of the other side. The cluster is one in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._course import Course, Ended
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._judge import way_back
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_plan import plan
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_rules import problems
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_sides import Sides, on
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._seen import Seen
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import Service, Worker

from tests.unit.engines.cluster import Cluster
from tests.unit.engines.kubernetes_shop import NEW, SHOP

BLUE_GREEN = replace(SHOP, strategy="blue_green")


class Interrupted(BaseException):
    """The controller is gone."""


@dataclass
class Shop:
    """A service on a cluster. ``cut`` is what is about to be written when the controller goes."""

    cluster: Cluster = field(default_factory=Cluster)
    seen: list[set[str]] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)

    def driver(self, service: Service, cut: str = "") -> Sides:
        def call(name: str, args: Any, **how: Any) -> dict[str, Any]:
            before = len(self.cluster.written)
            result = self.cluster(name, args, **how)
            if ("Service", "shop") in self.cluster.objects:
                self.seen.append(self.cluster.reached())
            if cut and cut in self.cluster.written[before:]:
                raise Interrupted
            return result

        return Sides(call, service.name, service.options, service.strategy == "blue_green", sleep=lambda _seconds: None)

    def run(self, service: Service, cut: str = "") -> Ended:
        engine = self.driver(service, cut)
        course = Course(engine, service, self.told.append, lambda _seconds: None, lambda _moment, _release: "", "kim", sleep=lambda _seconds: None)
        self.cluster.written.clear()
        self.seen.clear()
        return course.run(engine.look())

    def release(self, number: str, cut: str = "", **more: Any) -> Ended:
        return self.run(replace(BLUE_GREEN, **{"release": number, "image": f"shop:{number}", **more}), cut)

    def back(self, number: str, **more: Any) -> Ended:
        return self.release(number, rollback=True, **more)

    def look(self) -> Seen:
        return self.driver(BLUE_GREEN).look()


@pytest.fixture
def shop() -> Shop:
    """With two releases, the second of which serves from the green side."""
    made = Shop()
    assert made.release("1").failure is None
    assert made.release("2").failure is None
    return made


def test_sides_take_turns_and_the_former_one_ends(shop: Shop) -> None:
    assert (shop.cluster.reached(), shop.cluster.deployments()) == ({"2"}, {"shop-blue": 0, "shop-green": 2})
    assert shop.release("3").changed
    assert (shop.cluster.reached(), shop.cluster.deployments()) == ({"3"}, {"shop-blue": 2, "shop-green": 0})
    assert [(past.release, past.outcome) for past in shop.look().past] == [("3", "good"), ("2", "good"), ("1", "good")]


def test_clients_reach_the_new_side_by_one_change_when_all_of_it_is_there(shop: Shop) -> None:
    shop.release("3")

    assert {frozenset(one) for one in shop.seen} == {frozenset({"2"}), frozenset({"3"})}  # never both, never none
    written = shop.cluster.written
    assert written.index("Deployment shop-blue") < written.index("Service shop") < written.index("Deployment shop-green")
    assert [one for one in written if one.startswith("Service")] == ["Service shop"]


def test_a_side_is_not_whole_because_kubernetes_calls_its_rollout_complete(shop: Shop) -> None:
    service = replace(BLUE_GREEN, release="3")
    engine = shop.driver(service)
    engine.look()
    engine.apply(service)
    shop.cluster.objects["Deployment", "shop-blue"]["status"]["availableReplicas"] = 1  # as where it was scaled up from 0

    assert engine.look().state == "rolling"


def test_a_second_run_changes_nothing(shop: Shop) -> None:
    ended = shop.release("2")

    assert (ended.changed, shop.cluster.written) == (False, [])


def test_a_broken_release_is_reached_by_nobody_and_its_side_ends(shop: Shop) -> None:
    shop.cluster.ill = {"3"}

    ended = shop.release("3")

    assert ended.failure and ended.back and ended.unseen
    assert shop.seen and all(one == {"2"} for one in shop.seen)
    assert shop.cluster.deployments() == {"shop-blue": 0, "shop-green": 2}
    assert [past.outcome for past in shop.look().past if past.release == "3"] == ["failed"]
    shop.cluster.ill = set()
    assert shop.release("3").failure is None
    assert shop.cluster.reached() == {"3"}


def test_with_stop_the_broken_side_stays_to_be_looked_at(shop: Shop) -> None:
    shop.cluster.ill = {"3"}

    ended = shop.release("3", on_failure="stop")

    assert ended.failure and not ended.back
    assert (shop.cluster.reached(), shop.cluster.deployments()) == ({"2"}, {"shop-blue": 2, "shop-green": 2})
    assert {replica.aside for replica in shop.look().of("3")} == {True}


def test_the_same_release_with_other_variables_is_not_taken_for_the_one_that_serves(shop: Shop) -> None:
    assert shop.release("2", environment={"PORT": "8080", "COLOUR": "red"}).changed
    assert shop.cluster.deployments() == {"shop-blue": 2, "shop-green": 0}


def test_a_rollback_brings_the_other_side_up_and_switches_once(shop: Shop) -> None:
    ended = shop.back("1")

    assert ended.failure is None and ended.changed
    assert shop.cluster.reached() == {"1"}
    assert {frozenset(one) for one in shop.seen} == {frozenset({"2"}), frozenset({"1"})}
    assert [(past.release, past.outcome) for past in shop.look().past] == [("1", "returned"), ("2", "left")]


def test_a_rollback_to_a_side_that_stayed_warm_is_the_switch_alone() -> None:
    shop = Shop()
    shop.release("1", old_stays=True)
    shop.release("2", old_stays=True)
    assert shop.cluster.deployments() == {"shop-blue": 2, "shop-green": 2}

    assert shop.back("1", old_stays=True).changed

    assert [one for one in shop.cluster.written if one.startswith(("Service", "Deployment"))] == ["Service shop"]
    assert shop.cluster.reached() == {"1"}


def test_a_rollback_further_back_takes_the_side_that_does_not_serve(shop: Shop) -> None:
    shop.release("3")  # blue, as 1 was

    assert shop.back("1").failure is None
    assert (shop.cluster.reached(), shop.cluster.deployments()) == ({"1"}, {"shop-blue": 0, "shop-green": 2})


@pytest.mark.parametrize("cut", ["Deployment shop-blue", "Service shop", "Deployment shop-green"])
def test_a_run_that_was_cut_off_goes_on_when_it_is_run_again(shop: Shop, cut: str) -> None:
    with pytest.raises(Interrupted):
        shop.release("3", cut)

    assert shop.release("3").failure is None
    assert (shop.cluster.reached(), shop.cluster.deployments()) == ({"3"}, {"shop-blue": 2, "shop-green": 0})
    assert shop.look().past[0].outcome == "good"
    assert not shop.release("3").changed


@pytest.mark.parametrize("ends", ["cut off", "failed"])
def test_a_rollback_of_what_no_client_has_reached_stays_where_clients_are(shop: Shop, ends: str) -> None:
    if ends == "failed":
        shop.cluster.ill = {"3"}
        shop.release("3", on_failure="stop")
    else:
        with pytest.raises(Interrupted):
            shop.release("3", "Deployment shop-blue")

    past, why = way_back(shop.look(), "")
    assert past and past.release == "2"
    assert "no client has reached release 3" in why
    assert shop.back("2").changed
    assert shop.seen and all(one == {"2"} for one in shop.seen)
    assert shop.cluster.deployments() == {"shop-blue": 0, "shop-green": 2}


def test_a_rollback_to_the_release_that_serves_does_not_take_its_variables_of_another_time(shop: Shop) -> None:
    red = {"environment": {"PORT": "8080", "COLOUR": "red"}}
    with pytest.raises(Interrupted):
        shop.release("2", "Deployment shop-blue", **red)

    shop.back("2")

    assert shop.cluster.deployments() == {"shop-blue": 0, "shop-green": 2}


def test_from_rolling_to_blue_green_and_back_is_a_change_of_sides_as_well() -> None:
    shop = Shop()
    shop.release("1", strategy="rolling")
    assert shop.cluster.deployments() == {"shop": 2}

    shop.release("2")
    assert {frozenset(one) for one in shop.seen} == {frozenset({"1"}), frozenset({"2"})}
    assert shop.cluster.deployments() == {"shop": 0, "shop-blue": 2}
    shop.back("1")
    assert (shop.cluster.reached(), shop.cluster.deployments()) == ({"1"}, {"shop": 0, "shop-blue": 0, "shop-green": 2})

    shop.release("3", strategy="rolling")
    assert {frozenset(one) for one in shop.seen} == {frozenset({"1"}), frozenset({"3"})}
    assert shop.cluster.deployments() == {"shop": 2, "shop-blue": 0, "shop-green": 0}


def test_workers_are_no_sides_and_sides_no_workers_to_be_taken_away(shop: Shop) -> None:
    shop.release("3", workers=(Worker("mail", ("app", "mail")),))
    shop.release("4")

    assert shop.cluster.deployments() == {"shop-blue": 0, "shop-green": 2}


def test_the_former_side_stays_for_keep_old_seconds_and_is_told_so(shop: Shop) -> None:
    shop.release("3", keep_old=0.01)

    assert any("the former release stays warm" in one.detail for one in shop.told if isinstance(one, Event) and one.step == "keep_old")


def test_the_first_release_that_fails_leaves_no_service_and_is_mended_by_the_next() -> None:
    shop = Shop(Cluster(ill={"1"}))
    ended = shop.release("1")
    assert ended.failure and ("Service", "shop") not in shop.cluster.objects

    shop.cluster.ill = {"1", "2"}
    assert not shop.release("2").back
    assert shop.cluster.deployments() == {"shop-blue": 2}  # there is nothing to go back to; they stay to be looked at

    assert shop.release("3").failure is None
    assert (shop.cluster.reached(), shop.cluster.deployments()) == ({"3"}, {"shop-blue": 2})


def test_the_selectors_of_two_sides_do_not_overlap() -> None:
    wished = plan(SHOP, NEW)
    selected = []
    for side in ("", "blue", "green"):
        things = {one["kind"]: one for one in on(wished.rollout(), "shop", side)}
        pods = things["Deployment"]["spec"]["template"]["metadata"]["labels"]
        selector = things["Service"]["spec"]["selector"]
        assert selector.items() <= pods.items()
        assert things["Deployment"]["spec"]["selector"]["matchLabels"] == things["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == selector
        selected.append(selector)
    assert len({tuple(sorted(one.items())) for one in selected}) == 3


def test_a_worker_with_a_sides_name_is_refused() -> None:
    (said,) = problems(replace(BLUE_GREEN, workers=(Worker("green", ("app", "mail")),)))
    assert said == "bluegreen_workers or bluegreen_cron has green, which is the name of a side with blue_green; choose another one."
