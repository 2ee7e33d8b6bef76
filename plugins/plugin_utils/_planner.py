# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do next: a pure function of what is wished and what was seen. No I/O, no Ansible, no memory.

The planner looks at the whole fleet and names the steps for one member; the runner does them, looks again and asks
again. So an interrupted run is completed by running again, a drift is repaired in the same way, and ``--check``
prints the very same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import BalancerState, HostState, Member, SlotState, Step, Wish

World = Mapping[str, HostState]  # by host

_STOPPED = frozenset({"STOPPED", "EXITED", "FATAL", "ABSENT", "UNKNOWN"})


@dataclass(frozen=True)
class Done:
    """Every member is as wished."""


@dataclass(frozen=True)
class Blocked:
    """Something must be mended by a person first."""

    reason: str


@dataclass(frozen=True)
class Walk:
    """The steps that bring one member where it shall be, all on one host, in order."""

    member: str
    steps: tuple[Step, ...]


Decision = Done | Blocked | Walk


def satisfied(wish: Wish, member: Member, state: SlotState, balancer: BalancerState) -> bool:
    """Whether the member serves the wished release with the wished configuration, in health."""
    return runs_as_wished(wish, state) and state.healthy and member.id in balancer.serving


def runs_as_wished(wish: Wish, state: SlotState) -> bool:
    """Whether the running process is the wished release, started as wished, on its own port."""
    return state.running and state.release == state.current == wish.release and not state.pending and state.listener == "own"


def plan(wishes: Sequence[Wish], world: World) -> Decision:
    """The next member's steps, :class:`Done`, or why nothing can be done.

    What does not serve goes first (dead, unhealthy, left out by an interrupted run): repairing it costs no capacity.
    Then hosts in inventory order, a host's standby before its primary.
    """
    open_members = [
        (wish, member)
        for wish in wishes
        for member in wish.members
        if not satisfied(wish, member, world[wish.host].slots[member.slot], world[wish.host].balancer)
    ]
    if not open_members:
        return Done()
    order = {wish.host: number for number, wish in enumerate(wishes)}

    def urgency(item: tuple[Wish, Member]) -> tuple[bool, int, bool]:
        wish, member = item
        return (_serves(world[wish.host], member), order[wish.host], not member.backup)

    wish, member = min(open_members, key=urgency)
    state = world[wish.host]
    why_not = _missing(wish, member, state)
    if why_not:
        return Blocked(why_not)
    return Walk(member.id, _swap_steps(wish, member, state))


def _serves(state: HostState, member: Member) -> bool:
    return member.id in state.balancer.serving and state.slots[member.slot].healthy


def _missing(wish: Wish, member: Member, state: HostState) -> str:
    """What stands against swapping this member, or ''."""
    if state.balancer.problem:
        return f"{wish.host}: {state.balancer.problem}"
    if not state.slots[member.slot].staged:
        return f"{member.id}: release {wish.release} is not staged in this slot; stage it first (role hotswap.bluegreen.release)."
    if _serves(state, member):
        healthy = [m.id for m in wish.members if m.id != member.id and _serves(state, m)]
        if len(healthy) < wish.min_serving:
            return (
                f"{member.id} is not taken out: {len(healthy)} healthy member{'s' if len(healthy) != 1 else ''} would serve "
                f"behind {wish.host}, bluegreen_min_serving is {wish.min_serving}."
            )
    return ""


def _swap_steps(wish: Wish, member: Member, state: HostState) -> tuple[Step, ...]:
    """Out of the balancer, drained, stopped, pointed, started, checked, in again: from where the member is now."""
    slot = state.slots[member.slot]
    make = _Steps(member, state, wish.release)
    promising = slot.healthy or slot.uptime <= wish.boot_timeout
    if promising and (runs_as_wished(wish, slot) or _boots_as_wished(wish, slot)):
        return (*make.leave(), *make.enter())
    return (*make.leave(), *make.halt(), *make.launch(), *make.enter())


def _boots_as_wished(wish: Wish, slot: SlotState) -> bool:
    """Started by a run that was cut off, and not listening yet."""
    return slot.running and slot.release == slot.current == wish.release and not slot.pending and slot.listener == "none"


@dataclass(frozen=True)
class _Steps:
    """Makes the steps of one member."""

    member: Member
    state: HostState
    release: str
    restore: bool = False

    def step(self, name: str, serve: Iterable[str] = ()) -> Step:
        return Step(name, self.member.host, self.member.slot, tuple(sorted(serve)), self.release, self.restore)

    def _pool(self, name: str, serve: frozenset[str]) -> list[Step]:
        """A change of the pool, declared first if the serving configuration does not have it."""
        ready = self.state.balancer.loaded and tuple(sorted(serve)) in self.state.balancer.pools
        return [*([] if ready else [self.step("declare", serve)]), self.step(name, serve)]

    def leave(self) -> list[Step]:
        serving = frozenset(self.state.balancer.serving)
        return self._pool("switch", serving - {self.member.id}) if self.member.id in serving else []

    def halt(self) -> list[Step]:
        """What a dead slot needs none of: the drain, and the stop."""
        slot = self.state.slots[self.member.slot]
        if slot.running:
            return [self.step("drain"), self.step("stop")]
        return [] if slot.state in _STOPPED else [self.step("stop")]

    def launch(self) -> list[Step]:
        return [self.step("point"), self.step("start")]

    def enter(self) -> list[Step]:
        return [self.step("check"), *self._pool("enable", frozenset(self.state.balancer.serving) | {self.member.id})]


def put_back(wish: Wish, member: Member, state: HostState, had: str | None) -> tuple[Step, ...]:
    """The steps that bring a failed member back to the release ``had``, with the start it had; without one it stays out.

    A member that never left its balancer needs nothing; one whose old process still runs is only enabled again.
    """
    slot = state.slots[member.slot]
    if member.id in state.balancer.serving:
        return ()
    make = _Steps(member, state, had or "", restore=True)
    if had is None:
        return tuple(make.halt())
    untouched = slot.running and slot.release == slot.current == had and slot.release != wish.release and slot.state == "RUNNING"
    return tuple(make.enter() if untouched else [*make.halt(), *make.launch(), *make.enter()])


def had_release(wish: Wish, slot: SlotState) -> str | None:
    """The release to put a member back to, judged by how it was seen when the run began.

    That is the one it used. If it was the wished one already: with another start, the same release with the start it
    had; not known to be good (a run was cut off), the one before; good and dead now, there is nothing to go back to.
    """
    if slot.current != wish.release:
        return slot.current
    if slot.mark == "good":
        return slot.current if slot.pending else None
    return slot.previous if slot.previous != wish.release else None


def assume(state: HostState, step: Step) -> HostState:
    """The host after the step, if it goes well: for printing a plan in check mode, and for simulated fleets."""
    slot = state.slots[step.slot]
    balancer = state.balancer
    if step.name == "declare":
        balancer = replace(balancer, pools=(*balancer.pools, step.serve), loaded=True)
    elif step.name in ("switch", "enable"):
        balancer = replace(balancer, serving=step.serve)
    elif step.name == "drain":
        slot = replace(slot, connections=0)
    elif step.name == "stop":
        slot = replace(slot, state="STOPPED", pid=0, release=None, listener="none", healthy=False, uptime=0.0)
    elif step.name == "point":
        previous = slot.current if slot.current != step.release else slot.previous
        slot = replace(slot, current=step.release, previous=previous, pending=False)
    elif step.name == "start":
        slot = replace(slot, state="STARTING", pid=1, release=slot.current, uptime=0.0)
    elif step.name == "check":
        slot = replace(slot, state="RUNNING", listener="own", healthy=True, mark="good")
    return replace(state, balancer=balancer, slots={**state.slots, step.slot: slot})
