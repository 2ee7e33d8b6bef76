"""A run's whole fleet: who may be missing, what must be alike, and whose values a balancer takes that it does not set itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible.errors import AnsibleUndefinedVariable
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _fleet, _topology, _variables, _wish

HOSTS = ("app1", "app2", "app3")
OWN = _topology.Topology(HOSTS)
BEHIND = _topology.Topology(HOSTS, ("lb1", "lb2"), local=False)
GIVEN = {"bluegreen_service": "shop", "bluegreen_release": "v1", "bluegreen_command": "bin/server", "bluegreen_source": {"directory": "src"}}


def values(base: Mapping[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """A host's typed values; the text '{{ undefined }}' cannot be resolved there."""

    def template(value: Any) -> Any:
        if value == "{{ undefined }}":
            raise AnsibleUndefinedVariable("'undefined' is undefined")
        return value

    return _variables.collect({f"bluegreen_{name}": value for name, value in given.items()}, template, "release", base)


def wish(host: str, shape: _topology.Topology = BEHIND) -> Wish:
    return _wish.resolve({**_variables.collect(GIVEN, lambda value: value), "reached_at": "10.0.0.7"}, host, shape).wish


def unreachable(shape: _topology.Topology, allowed: int, *hosts: str) -> str:
    """What is said when these hosts are unreachable, '' if they are left out."""
    try:
        _fleet._refuse_unreachable({host: f"{host} is unreachable: no route" for host in hosts}, shape, allowed)
    except Refusal as error:
        return str(error)
    return ""


# Hosts that are unreachable


def test_as_many_hosts_may_be_unreachable_as_the_user_allows() -> None:
    assert unreachable(BEHIND, 2, "app1", "app3") == ""
    assert unreachable(OWN, 1, "app2") == ""
    assert unreachable(BEHIND, 1, "app1", "app3") == (
        "app1 is unreachable: no route\napp3 is unreachable: no route\n2 hosts are unreachable; bluegreen_max_unreachable is 1."
    )


def test_hosts_in_maintenance_may_be_unreachable_beside_those() -> None:
    gone = {"app1": "app1 is unreachable", "app3": "app3 is unreachable"}
    _fleet._refuse_unreachable(gone, BEHIND, 1, worked_on=1)
    with pytest.raises(Refusal, match="1 hosts are unreachable; bluegreen_max_unreachable is 0"):
        _fleet._refuse_unreachable(gone, BEHIND, 0, worked_on=1)


def test_an_unreachable_balancer_is_never_left_out() -> None:
    said = unreachable(BEHIND, 3, "app2", "lb2")
    assert said.startswith("app2 is unreachable: no route\nlb2 is unreachable: no route\nlb2 is a balancer: no member that it may still serve can be stopped.")
    assert said.endswith("name it in bluegreen_balancers_absent, with the reason.")


def test_an_unreachable_host_that_keeps_the_lock_is_never_left_out() -> None:
    assert "app1 keeps the service's lock" in unreachable(OWN, 3, "app1")


# What must be alike


def differences(*wishes: Wish, shape: _topology.Topology = BEHIND) -> str:
    try:
        _fleet._refuse_differences(list(wishes), shape)
    except Refusal as error:
        return str(error)
    return ""


def test_hosts_that_agree_are_one_fleet() -> None:
    assert differences(*map(wish, HOSTS)) == ""
    assert differences(*(wish(host, OWN) for host in HOSTS), shape=OWN) == ""


def test_hosts_with_other_balancers_are_refused_by_name() -> None:
    assert differences(wish("app1"), wish("app2", OWN)) == (
        "app2 is balanced by app2, and app1 by lb1, lb2: set bluegreen_group, bluegreen_balancers and bluegreen_local_balancer alike "
        "for all hosts of the service."
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"release": "v2"}, "app1 shall run release v1 of shop, app3 release v2 of shop"),
        ({"service": "shop2"}, "app1 shall run release v1 of shop, app3 release v1 of shop2"),
    ],
)
def test_hosts_with_another_release_or_service_are_refused_by_name(change: dict[str, str], said: str) -> None:
    assert differences(wish("app1"), wish("app2"), replace(wish("app3"), **change)).startswith(f"{said}: one run is for one release of one service.")


# The lock


@pytest.mark.parametrize(("shape", "keeper"), [(OWN, "app1"), (BEHIND, "lb1")])
def test_the_lock_is_kept_by_the_first_balancer_whoever_is_in_the_run(shape: _topology.Topology, keeper: str) -> None:
    inside, outside = wish("app3", shape), wish("app1", shape)
    others = () if shape is OWN else tuple(replace(wish("app1"), host=name) for name in shape.balancers)
    assert _fleet.Fleet(shape, _wish.Rollout(), (inside, *others), (outside,)).keeper.host == keeper


# A balancer's values


FIRST = {"service": "shop", "release": "v1", "command": "bin/server", "source": {"directory": "src"}, "listen": "8080", "drain_timeout": 7}


def test_a_balancer_takes_what_it_does_not_set_from_the_service() -> None:
    found = values(values(**FIRST), listen="9090")
    assert (found["service"], found["drain_timeout"], found["listen"]) == ("shop", 7, "9090")


def test_what_a_balancer_cannot_resolve_is_the_members_own() -> None:
    found = values(values(**FIRST), service="shop", command="{{ undefined }}")
    assert found["command"] == "bin/server"


def test_what_a_host_of_the_service_cannot_resolve_is_told() -> None:
    with pytest.raises(Refusal, match="bluegreen_command cannot be resolved: "):
        values(**{**FIRST, "command": "{{ undefined }}"})


def test_a_balancers_own_wrong_value_is_told() -> None:
    with pytest.raises(Refusal, match=r"bluegreen_drain_timeout is 'soon'; a number is expected."):
        values(values(**FIRST), drain_timeout="soon")
