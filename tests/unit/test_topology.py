"""Which hosts run a service and which balance it: read from the variables and the inventory's groups, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _topology

GROUPS = {
    "all": ["lb1", "lb2", "web1", "web2", "web3", "db1"],
    "ungrouped": [],
    "lb": ["lb1", "lb2"],
    "web": ["web1", "web2", "web3"],
    "shop": ["lb1", "lb2", "web1", "web2", "web3"],
    "db": ["db1"],
}


def read(named: tuple[str, ...] = ("web1", "web2", "web3"), **given: Any) -> _topology.Topology:
    values = {"group": "", "balancers": [], "local_balancer": None, "balancers_absent": {}, **given}
    return _topology.read(values, GROUPS, named)


def told(named: tuple[str, ...] = ("web1", "web2", "web3"), **given: Any) -> str:
    with pytest.raises(Refusal) as refused:
        read(named, **given)
    return str(refused.value)


def test_without_balancers_each_host_is_its_own_and_the_first_keeps_the_lock() -> None:
    shape = read(group="web")

    assert shape.hosts == ("web1", "web2", "web3")
    assert [shape.of(host) for host in shape.hosts] == [("web1",), ("web2",), ("web3",)]
    assert shape.keeper == "web1"


def test_without_a_group_the_service_is_of_the_hosts_that_the_play_names() -> None:
    assert read(("web3", "web1")).hosts == ("web3", "web1")


def test_with_a_group_it_does_not_matter_what_the_play_names() -> None:
    assert read(("web2",), group="web").hosts == ("web1", "web2", "web3")


@pytest.mark.parametrize("balancers", ["lb", ["lb"], ["lb1", "lb2"], ["lb1", "lb", "lb2"], "lb1, lb2", '["lb1", "lb2"]'], ids=str)
def test_balancers_are_a_group_a_host_or_a_list_of_both_also_as_text_and_serve_every_member(balancers: Any) -> None:
    shape = read(group="web", balancers=balancers)

    assert shape.balancers == ("lb1", "lb2")
    assert {shape.of(host) for host in shape.hosts} == {("lb1", "lb2")}
    assert shape.keeper == "lb1"


def test_a_balancer_runs_no_member_even_if_the_group_has_it() -> None:
    assert read(group="shop", balancers="lb").hosts == ("web1", "web2", "web3")


def test_both_kinds_of_balancers_are_all_asked() -> None:
    shape = read(group="web", balancers="lb", local_balancer=True)

    assert shape.of("web2") == ("lb1", "lb2", "web2")
    assert shape.keeper == "lb1"


def test_a_balancer_that_is_gone_for_good_is_no_balancer_and_the_next_one_keeps_the_lock() -> None:
    shape = read(group="web", balancers="lb", balancers_absent={"lb1": "burnt down"})

    assert (shape.balancers, shape.keeper, shape.absent) == (("lb2",), "lb2", {"lb1": "burnt down"})


def test_a_host_that_is_its_own_balancer_and_gone_for_good_is_no_host_of_the_fleet() -> None:
    shape = read(group="web", balancers_absent={"web1": "burnt down"})

    assert (shape.hosts, shape.keeper) == (("web2", "web3"), "web2")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no such group": (
        {"group": "wbe"},
        "bluegreen_group is 'wbe', which is neither a group nor a host of the inventory. Its groups: all, db, lb, shop, ungrouped, web.",
    ),
    "no such balancer": (
        {"balancers": ["lb1", "lb3"]},
        "bluegreen_balancers is 'lb3', which is neither a group nor a host of the inventory. Its groups: all, db, lb, shop, ungrouped, web.",
    ),
    "balancers as a dictionary": (
        {"balancers": {"lb1": 1}},
        "bluegreen_balancers is a dictionary; a group or host of the inventory, or a list of them, is expected.",
    ),
    "balancers as a number": ({"balancers": 2}, "bluegreen_balancers is 2; a group or host of the inventory, or a list of them, is expected."),
    "balancers of numbers": ({"balancers": [1, 2]}, "bluegreen_balancers is a list; a group or host of the inventory, or a list of them, is expected."),
    "gone, and none of ours": (
        {"group": "web", "balancers": "lb", "balancers_absent": {"lb9": "burnt down"}},
        "bluegreen_balancers_absent names 'lb9', which is no balancer of the service; its balancers: lb1, lb2.",
    ),
    "gone, and none of the hosts": (
        {"group": "web", "balancers_absent": {"lb1": "burnt down"}},
        "bluegreen_balancers_absent names 'lb1', which is no balancer of the service; its balancers: web1, web2, web3.",
    ),
    "gone without a reason": (
        {"group": "web", "balancers": "lb", "balancers_absent": {"lb1": " "}},
        "bluegreen_balancers_absent: say why lb1 is gone, as in {lb1: burnt down}.",
    ),
    "gone with an empty value": (
        {"group": "web", "balancers": "lb", "balancers_absent": {"lb1": None}},
        "bluegreen_balancers_absent: say why lb1 is gone, as in {lb1: burnt down}.",
    ),
    "all gone": (
        {"group": "web", "balancers": "lb", "balancers_absent": {"lb1": "burnt down", "lb2": "burnt down"}},
        "bluegreen_balancers_absent names every balancer of the service; one must be left.",
    ),
    "nobody balances": (
        {"group": "web", "local_balancer": False},
        "bluegreen_local_balancer is false and bluegreen_balancers is empty: nothing would give requests to the slots. Set one of them.",
    ),
    "a group of balancers alone": (
        {"group": "lb", "balancers": "lb"},
        "no host runs the service: the group lb has none but balancers. Set bluegreen_group.",
    ),
    "an empty group": ({"group": "ungrouped"}, "no host runs the service: the group ungrouped has none but balancers. Set bluegreen_group."),
}


@pytest.mark.parametrize(("given", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_is_told_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    assert told(**given) == sentence


def test_a_play_for_balancers_alone_is_told_to_name_the_group() -> None:
    assert told(("lb1", "lb2"), balancers="lb") == "no host runs the service: the play has none but balancers. Set bluegreen_group."
