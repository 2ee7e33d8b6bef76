# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a fleet, indexed: a question or a change costs what it touches, whatever the size of the fleet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _pools
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import BalancerState, HostState, SlotState

Wishes = Mapping[str, Wish]  # by host, in the order of the walk: those with members, and their balancers


@dataclass
class _Balancer:
    """``active`` is the name of the set ``serving``; ``answering`` of those are healthy, as far as is known, ``expected`` their own answers.

    ``entering`` of them share the requests with the others, at ``step`` of ``weights``; -1 where nobody shares.
    """

    active: str = field(default_factory=lambda: _pools.name(()))
    serving: set[str] = field(default_factory=set)
    answering: int = 0
    loaded: bool = False
    pools: set[str] = field(default_factory=set)
    told: tuple[str, ...] = ()
    entering: frozenset[str] = frozenset()
    step: int = -1
    weights: tuple[float, ...] = ()
    expected: dict[str, dict[str, Any]] = field(default_factory=dict)


class World:
    """The hosts that were seen, as they were last seen or as they are assumed to be. A host that is lost is not in it.

    ``chosen`` are the only members that the run is about, in maintenance or not; by default it is about all that are not.
    """

    def __init__(self, wishes: Wishes, states: Iterable[HostState], chosen: frozenset[str] = frozenset()) -> None:
        self.wishes = wishes
        self.chosen = chosen
        self.maintenance: dict[str, dict[str, Any]] = {}  # by member: who, why and since when; the mark on any one balancer counts
        self._slots: dict[str, Mapping[str, SlotState]] = {}
        self._balancers: dict[str, _Balancer] = {}
        self._expected: dict[str, dict[str, Any]] = {}
        for state in states:
            self.see(state)

    def __contains__(self, host: str) -> bool:
        return host in self._slots

    def slot(self, member: Member) -> SlotState:
        return self._slots[member.host][member.slot]

    def serves(self, balancer: str, member: str) -> bool:
        """Whether this balancer gives requests to the member; False if it is not known."""
        return balancer in self._balancers and member in self._balancers[balancer].serving

    def serving(self, balancer: str) -> frozenset[str]:
        """Who gets requests, or would as a tester."""
        return frozenset(self._balancers[balancer].serving)

    def entering(self, balancer: str) -> frozenset[str]:
        """Those that share the requests of the others."""
        return self._balancers[balancer].entering

    def step(self, balancer: str) -> int:
        """Where among the weights the balancer stands: 0 is the preview, -1 says that nobody shares."""
        return self._balancers[balancer].step

    def weights(self, balancer: str) -> tuple[float, ...]:
        """The weights that its nginx was told."""
        return self._balancers[balancer].weights

    def has_pool(self, balancer: str, members: Iterable[str]) -> bool:
        """Whether its workers have the pool of exactly these."""
        here = self._balancers[balancer]
        return here.loaded and _pools.name(members) in here.pools

    def answers(self, member: str) -> bool:
        """Whether the member is healthy. One that was not looked at is believed: the balancer itself asks, on the spot."""
        host, _slash, slot = member.partition("/")
        slots = self._slots.get(host, {})
        return slot not in slots or slots[slot].healthy

    def is_left_alone(self, member: str) -> bool:
        """Whether the run is not about this member."""
        return member not in self.chosen if self.chosen else member in self.maintenance

    def room(self, balancer: str) -> int:
        """How many members that answer may leave the balancer; below zero if too few answer as it is. Who is worked on does not count."""
        unsure = sum(self.serves(balancer, member) and self.answers(member) for member in self.maintenance if member not in self.chosen)
        return self._balancers[balancer].answering - unsure - self.wishes[balancer].min_serving

    def silent(self, balancer: str) -> list[str]:
        """Those that it serves and that do not answer."""
        return sorted(member for member in self._balancers[balancer].serving if not self.answers(member))

    def expected(self, balancer: str, members: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """The answers of these members, by default of those that it serves, where they are not the wish's."""
        if members is None:
            return dict(self._balancers[balancer].expected)
        return {member: self._expected[member] for member in members if member in self._expected}

    def undeclared(self, balancer: str, changes: Iterable[Iterable[str]]) -> Iterator[tuple[str, ...]]:
        """The pools that each of these changes leads to, where its workers do not have them."""
        here = self._balancers[balancer]
        for change in map(frozenset, changes):
            if change and not (here.loaded and _pools.changed(here.active, change) in here.pools):
                yield tuple(sorted(here.serving ^ change))

    def only(self, host: str) -> World:
        """A world of its own with nothing but this host."""
        alone = World({host: self.wishes[host]}, (), self.chosen)
        alone.maintenance = self.maintenance
        alone._slots[host] = self._slots[host]
        alone._expected = {f"{host}/{slot}": state.expected for slot, state in self._slots[host].items() if state.expected}
        if host in self._balancers:
            here = self._balancers[host]
            alone._balancers[host] = replace(here, serving=set(here.serving), pools=set(here.pools), expected=dict(here.expected))
        return alone

    def see(self, state: HostState) -> None:
        """From now on the host is as it was seen, whatever was known or assumed."""
        for slot, seen in state.slots.items():
            self._see_slot(f"{state.host}/{slot}", seen)
        self._slots[state.host] = state.slots
        if state.balancer is None:
            self._balancers.pop(state.host, None)
        else:
            self.maintenance.update(state.balancer.maintenance)
            self._see_balancer(self._balancers.setdefault(state.host, _Balancer()), state.balancer)

    def _see_slot(self, member: str, seen: SlotState) -> None:
        if seen.healthy != self.answers(member):
            self._count(member, 1 if seen.healthy else -1)
        if seen.expected != self._expected.get(member, {}):
            _keep(self._expected, member, seen.expected)
            for name in self._served_by(member):
                _keep(self._balancers[name].expected, member, seen.expected)

    def _count(self, member: str, change: int) -> None:
        for name in self._served_by(member):
            self._balancers[name].answering += change

    def _served_by(self, member: str) -> list[str]:
        return [name for name in self.wishes[member.partition("/")[0]].balancers if self.serves(name, member)]

    def _see_balancer(self, here: _Balancer, seen: BalancerState) -> None:
        if seen.active != here.active or not seen.active:  # equal names, equal sets: there is nothing to compare
            self._move(here, here.serving.symmetric_difference(seen.serving))
        if seen.pools is not here.told:
            here.pools, here.told = set(seen.pools), seen.pools
        here.loaded = seen.loaded
        here.entering, here.step, here.weights = frozenset(seen.entering), seen.step, seen.weights

    def _move(self, here: _Balancer, members: Iterable[str]) -> None:
        """Those out that it serves, and those in that it does not."""
        for member in members:
            comes = member not in here.serving
            here.serving ^= {member}
            here.active = _pools.changed(here.active, (member,))
            _keep(here.expected, member, self._expected.get(member, {}) if comes else {})
            if self.answers(member):
                here.answering += 1 if comes else -1

    def lose(self, host: str) -> None:
        """The host does not answer: nothing is known of it any more, and its members are believed to answer, as any that was not looked at."""
        for slot, state in self._slots.pop(host, {}).items():
            if not state.healthy:
                self._count(f"{host}/{slot}", 1)
        self._balancers.pop(host, None)

    def assume(self, step: Step) -> None:
        """The world after the step, if it goes well: for printing a plan in check mode, and for planning ahead."""
        if step.hook:
            return  # nobody knows what it does
        if step.name in ("declare", "switch", "enable", "shift"):
            self._assume_of(self._balancers[step.host], step)
        elif step.name not in ("drain", "goodbye", "smoke"):
            slots = self._slots[step.host]
            after = _after(slots[step.slot], step)
            self._see_slot(step.members[0], after)
            self._slots[step.host] = {**slots, step.slot: after}

    def _assume_of(self, here: _Balancer, step: Step) -> None:
        """The balancer after a step of its own."""
        if step.name == "declare":
            here.pools.update(map(_pools.name, step.pools))
            here.told, here.loaded, here.weights = (), True, self.wishes[step.host].mixing.weights
        elif step.name == "shift":
            whole = step.weight == 100
            here.step = -1 if whole else self.wishes[step.host].mixing.weights.index(step.weight) + 1 if step.weight else 0
            here.entering = frozenset() if whole else frozenset(step.members)
            self._move(here, [name for name in step.leaving if whole and name in here.serving and name not in step.members])
            self._move(here, [name for name in step.members if name not in here.serving])
        else:
            here.entering -= frozenset(step.members)
            here.step = here.step if here.entering else -1
            self._move(here, [member for member in step.members if (member in here.serving) == (step.name == "switch")])


def _keep(answers: dict[str, dict[str, Any]], member: str, answer: dict[str, Any]) -> None:
    if answer:
        answers[member] = answer
    else:
        answers.pop(member, None)


def _after(slot: SlotState, step: Step) -> SlotState:
    """The slot after a step on its own host."""
    if step.name == "stop":
        return replace(slot, state="STOPPED", pid=0, release=None, listener="none", healthy=False, uptime=0.0, expected={})
    if step.name == "point":
        previous = slot.current if slot.current != step.release else slot.previous
        return replace(slot, current=step.release, previous=previous, pending=False)
    if step.name == "start":
        return replace(slot, state="STARTING", pid=1, release=slot.current, uptime=0.0)
    if step.name == "reload":
        return replace(slot, release=step.release, uptime=0.0, expected={})
    return replace(slot, state="RUNNING", listener="own", healthy=True, mark="good")
