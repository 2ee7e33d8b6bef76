"""A service on several hosts: balancers that are nothing else, hosts that have no nginx, and members by name.

Each kind of host has a bed of its own, with what such a host needs and nothing more. Slots have different names on
different hosts, so that a slot's name says the host as well, and one supervisord can be several hosts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _declare, _nginx, _steps
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

from tests.drivers.shop import InProcess, Shop, altered, make_wish, web
from tools.bed import Bed, free_ports


@dataclass
class Fleet:
    """``balancers`` and ``apps`` are hosts by name; all balancers serve all members."""

    balancers: dict[str, Shop]
    apps: dict[str, Shop]
    members: tuple[Member, ...]
    told: list[Any] = field(default_factory=list)

    @property
    def hosts(self) -> dict[str, Shop]:
        return {**self.apps, **self.balancers}

    @property
    def lb(self) -> Shop:
        """The first balancer."""
        return next(iter(self.balancers.values()))

    def member(self, slot: str) -> Member:
        return next(member for member in self.members if member.slot == slot)

    def step(self, name: str, *slots: str, on: str = "", **fields: Any) -> Step:
        """A step with the members of these slots; on the first balancer, if nothing else is said."""
        return Step(name, on or self.lb.wish.host, tuple(self.member(slot).id for slot in slots), **fields)

    def do(self, *steps: Step, seconds: float = 60.0) -> _steps.Outcome:
        """Steps of one host, without a planner that takes care."""
        shop = self.hosts[steps[0].host]
        return _steps.run(shop.wish, shop.client if shop.wish.members else None, steps, seconds)

    def install(self) -> None:
        for shop in self.hosts.values():
            shop.install()

    def swap(self, release: str, **environment: str) -> _runner.Result:
        """Stage on every host and swap, as a play does."""
        wishes = [*(app.stage(release, **environment) for app in self.apps.values()), *(replace(lb.wish, release=release) for lb in self.balancers.values())]
        remote = InProcess({name: app.client for name, app in self.apps.items()})
        return _runner.swap(wishes, remote, self.told.append, _runner.Policy())

    def declare(self, *only: str) -> Fleet:
        """The pools on every balancer; beside those that a release needs, one of each of these slots alone."""
        for shop in self.balancers.values():
            _declare.declare(shop.wish, tuple(frozenset([self.member(slot).id]) for slot in only))
        return self

    @contextlib.contextmanager
    def answering(self, *slots: str, **environment: str) -> Iterator[None]:
        """A process on the ports of these members, without a supervisor."""
        with contextlib.ExitStack() as stack:
            for slot in slots:
                stack.enter_context(web(self.member(slot).port, slot, **environment))
            yield


def make_fleet(service: str, balancers: Mapping[str, Bed], apps: Mapping[str, Bed], slots: Mapping[str, Sequence[str]], **changes: Any) -> Fleet:
    """Hosts on these beds; ``changes`` are those of every wish. ``local`` says that the hosts' own nginx serves their slots, too."""
    local = changes.pop("local", False)
    ports = iter(free_ports(sum(map(len, slots.values()))))
    members = {host: tuple(Member(host, slot, {"http": next(ports)}) for slot in names) for host, names in slots.items()}
    everybody = tuple(member for own in members.values() for member in own)

    def host(name: str, bed: Bed, **fields: Any) -> Shop:
        return Shop(bed, altered(make_wish(bed, service, free_ports(1), host=name, **fields), **changes))

    return Fleet(
        {name: host(name, bed, members=(), pool=everybody, balancers=()) for name, bed in balancers.items()},
        {
            name: host(name, bed, members=members[name], pool=members[name] if local else (), balancers=(*balancers, *([name] if local else [])))
            for name, bed in apps.items()
        },
        everybody,
    )


def workers(fleet: Fleet) -> dict[str, tuple[int, ...]]:
    """The workers of every balancer: others after a reload."""
    return {name: _nginx.workers(shop.wish.nginx) for name, shop in fleet.balancers.items()}
