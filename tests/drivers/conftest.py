"""A bed for all driver tests, one for a test that breaks it, and services on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.fleet import Fleet, make_fleet
from tests.drivers.shop import Shop, make_wish, new_ports
from tests.drivers.staging import Stage, make_stage
from tools.bed import AppBed, BalancerBed, Bed, temporary


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """One nginx and one supervisord for all tests that leave them as they are."""
    with temporary() as shared:
        yield shared


@pytest.fixture
def own_bed() -> Iterator[Bed]:
    """One nginx, without a supervisord, for a test that does something to it."""
    with temporary(BalancerBed) as private:
        yield private


@pytest.fixture(scope="session")
def balancer_beds() -> Iterator[dict[str, Bed]]:
    """Two hosts that are balancers and nothing else."""
    with temporary(BalancerBed) as first, temporary(BalancerBed) as second:
        yield {"lb1": first, "lb2": second}


@pytest.fixture(scope="session")
def app_bed() -> Iterator[Bed]:
    """A host that runs programs and has no nginx."""
    with temporary(AppBed) as private:
        yield private


_number = 0


def next_service() -> str:
    """A name that no other test uses."""
    global _number
    _number += 1
    return f"shop{_number}"


MakeShop = Callable[..., Shop]
MakeFleet = Callable[..., Fleet]


@pytest.fixture
def make_shop(bed: Bed) -> Iterator[MakeShop]:
    """Makes services with changes to the wish (``slots`` of them, two by default); their processes end with the test."""
    made: list[Shop] = []

    def make(where: Bed = bed, slots: int = 2, **changes: Any) -> Shop:
        made.append(Shop(where, make_wish(where, next_service(), new_ports(slots), **changes)))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """A service of two slots, not installed yet."""
    return make_shop()


@pytest.fixture
def fleet_of(balancer_beds: dict[str, Bed], app_bed: Bed) -> Iterator[MakeFleet]:
    """Makes services with the slots blue, green, … on hosts app1, app2, … of their own (or as a dictionary says), behind the first balancers.

    ``beds`` and ``apps`` are other places for the balancers and the hosts; what else is given are changes to the wishes.
    """
    made: list[Fleet] = []

    def make(
        slots: str | dict[str, list[str]] = "blue green", balancers: int = 1, beds: dict[str, Bed] = balancer_beds, apps: Bed = app_bed, **changes: Any
    ) -> Fleet:
        hosts = slots if isinstance(slots, dict) else {f"app{number}": [slot] for number, slot in enumerate(slots.split(), 1)}
        made.append(make_fleet(next_service(), dict(list(beds.items())[:balancers]), dict.fromkeys(hosts, apps), hosts, **changes))
        return made[-1]

    yield make
    for fleet in made:
        for app in fleet.apps.values():
            app.remove()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A root to stage on."""
    return make_stage(tmp_path)
