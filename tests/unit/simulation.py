"""A fleet that exists only in memory, for planner and runner: it does the steps, breaks when told, and keeps watch.

Nothing here knows how the planner decides. Every step that is done is held against the invariants of
docs/architecture.md at the moment at which it is done, and a run can be cut off after any step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _pools
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import (
    BalancerState,
    Event,
    Failure,
    HostState,
    Member,
    Program,
    SlotState,
    Step,
    Wish,
)
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Answer

OLD, NEW = "v1", "v2"

runs = 0  # how many were made, for the count


class CutOff(BaseException):
    """The run dies here, without a chance to clean up."""


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Slot:
    """The truth about one member."""

    running: str | None = OLD  # the release of the process, None without one
    current: str | None = OLD
    previous: str | None = None
    marks: dict[str, str] = field(default_factory=dict)
    pending: bool = False
    healthy: bool = True
    connections: int = 1
    uptime: float = 1000.0
    fatal: bool = False  # supervisor gave up, rather than being asked to stop
    restored_start: bool = False

    def seen(self) -> SlotState:
        process = self.running is not None
        state = "RUNNING" if process else "FATAL" if self.fatal else "STOPPED" if self.current else "ABSENT"
        return SlotState(
            state=state,
            pid=7 if process else 0,
            uptime=self.uptime,
            release=self.running,
            current=self.current,
            previous=self.previous,
            mark=self.marks.get(self.current or ""),
            staged=True,
            pending=self.pending,
            listener="own" if process else "none",
            connections=self.connections,
            healthy=process and self.healthy,
            seen="",
        )


@dataclass
class Host:
    """One host: its slots, and what its balancer serves."""

    wish: Wish
    slots: dict[str, Slot]
    serving: set[str]
    pools: set[frozenset[str]]

    def seen(self) -> HostState:
        balancer = BalancerState("p", tuple(sorted(self.serving)), tuple(sorted(tuple(sorted(pool)) for pool in self.pools)), True)
        return HostState(self.wish.host, 0.0, {name: slot.seen() for name, slot in self.slots.items()}, balancer)

    def healthy_serving(self, without: str = "") -> int:
        return sum(slot.running is not None and slot.healthy for name, slot in self.slots.items() if f"{self.wish.host}/{name}" in self.serving - {without})


def wish(host: str, slots: Sequence[str], backups: Sequence[str] = (), min_serving: int = 1, release: str = NEW) -> Wish:
    members = tuple(Member(host, name, {"http": 9000 + number}, backup=name in backups) for number, name in enumerate(slots))
    return Wish("shop", host, "/srv/shop", release, members, members, Program(("x",)), min_serving=min_serving)


def host(wished: Wish, slots: dict[str, Slot] | None = None, out: Sequence[str] = ()) -> Host:
    ids = {member.id for member in wished.members}
    truth = slots or {member.slot: Slot() for member in wished.members}
    return Host(wished, truth, ids - {f"{wished.host}/{name}" for name in out}, set(_pools.foreseen(ids)))


@dataclass
class Fleet:
    """The hosts as a Remote. ``bad`` are (member, release) that never get healthy; ``fail`` a step that fails once."""

    hosts: dict[str, Host]
    bad: set[tuple[str, str]] = field(default_factory=set)
    fail: tuple[str, str] | None = None
    cut_after: int | None = None
    done: list[Step] = field(default_factory=list)
    calls: int = 0
    failed_at: int | None = None
    failed_member: str = ""

    @property
    def wishes(self) -> list[Wish]:
        return [item.wish for item in self.hosts.values()]

    def observe(self, wishes: Sequence[Wish]) -> dict[str, HostState]:
        return {item.host: self.hosts[item.host].seen() for item in wishes}

    def walk(self, wished: Wish, steps: Sequence[Step]) -> Answer:
        self.calls += 1
        events: list[Event] = []
        for step in steps:
            if self.cut_after is not None and len(self.done) >= self.cut_after:
                raise CutOff
            why = self._do(step)
            self.done.append(step)
            if why:
                self.failed_at, self.failed_member = self.failed_at or len(self.done), self.failed_member or step.member
                events.append(Event(step.name, step.member, "failed", 0.0, 0.0, why))
                return Answer(self.hosts[wished.host].seen(), tuple(events), failure=Failure(step.member, step.name, "", why))
            events.append(Event(step.name, step.member, "ok", 0.0, 0.0))
        return Answer(self.hosts[wished.host].seen(), tuple(events))

    def _do(self, step: Step) -> str:
        """Do one step and hold it against the invariants; why it failed, or ''."""
        here = self.hosts[step.host]
        slot = here.slots[step.slot]
        if self.failed_member and step.member != self.failed_member:
            raise Broken(f"{step} after {self.failed_member} failed: the first failed member stops the spread")
        if self.fail == (step.member, step.name):
            self.fail = None
            if step.name in ("start", "check"):
                slot.marks[step.release] = "failed"
            return "fault"
        why = getattr(self, f"_{step.name}")(step, here, slot)
        if self.calls and not all(here.serving <= {m.id for m in here.wish.members} for here in self.hosts.values()):
            raise Broken("a balancer serves a stranger")
        return str(why or "")

    def _declare(self, step: Step, here: Host, _slot: Slot) -> None:
        here.pools.add(frozenset(step.serve))

    def _switch(self, step: Step, here: Host, slot: Slot) -> None:
        serve = frozenset(step.serve)
        if serve not in here.pools:
            raise Broken(f"{step}: the pool is not declared")
        lost = slot.running is not None and slot.healthy
        if here.serving - serve != {step.member} or serve - here.serving:
            raise Broken(f"{step} moves somebody else than {step.member}")
        if lost and here.healthy_serving(without=step.member) < here.wish.min_serving:
            raise Broken(f"{step} undercuts min_serving")
        here.serving = set(serve)

    def _drain(self, _step: Step, here: Host, slot: Slot) -> None:
        slot.connections = 0

    def _stop(self, step: Step, here: Host, slot: Slot) -> None:
        if step.member in here.serving:
            raise Broken(f"{step}: its balancer still serves it")
        if slot.running and slot.connections:
            raise Broken(f"{step}: it has connections")
        slot.running, slot.fatal = None, False

    def _point(self, step: Step, _here: Host, slot: Slot) -> None:
        if slot.running:
            raise Broken(f"{step}: it runs")
        if step.restore:
            slot.current, slot.restored_start = step.release, True
            return
        if slot.current and slot.current != step.release and slot.marks.get(slot.current) != "failed":
            slot.previous = slot.current
        slot.current, slot.pending = step.release, False

    def _start(self, step: Step, here: Host, slot: Slot) -> None:
        if step.member in here.serving:
            raise Broken(f"{step}: it would get requests before its checks")
        if slot.running:
            raise Broken(f"{step}: it runs already")
        slot.running, slot.healthy, slot.connections, slot.uptime = slot.current, False, 0, 0.0

    def _check(self, step: Step, _here: Host, slot: Slot) -> str:
        bad_start = (step.member, f"{step.release} with its new start") in self.bad and not slot.restored_start
        if slot.running != step.release or (step.member, step.release) in self.bad or bad_start:
            slot.marks[step.release] = "failed"
            slot.running, slot.fatal = (slot.running, False) if slot.running == step.release else (None, True)
            return "not healthy"
        slot.healthy = True
        return ""

    def _enable(self, step: Step, here: Host, slot: Slot) -> None:
        if slot.running != step.release or not slot.healthy:
            raise Broken(f"{step}: enabled unchecked, runs {slot.running}")
        if (step.member, step.release) in self.bad:
            raise Broken(f"{step}: enabled on a broken release")
        if frozenset(step.serve) not in here.pools:
            raise Broken(f"{step}: the pool is not declared")
        if frozenset(step.serve) != here.serving | {step.member}:
            raise Broken(f"{step} moves somebody else than {step.member}")
        here.serving = set(step.serve)
        slot.marks[step.release] = "good"
        slot.connections = 1
