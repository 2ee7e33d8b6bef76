"""A fleet that exists only in memory, for planner and runner: it does the steps, breaks when told, and keeps watch.

Nothing here knows how the planner decides. Every step that is done is held against the invariants of
docs/architecture.md, on the truth and at the moment at which it is done, and a run can be cut off after any step.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _pools
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Refusal, Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Goodbye, Hook, Member, Program
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import BalancerState, HostState, SlotState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _planner
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Answer, Lost

T = TypeVar("T")

OLD, NEW = "v1", "v2"
VAIN = "vain"

runs = 0  # how many were made, for the count
_pids = itertools.count(1)


class CutOff(BaseException):
    """The run dies here, without a chance to clean up."""


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Slot:
    """The truth about one member. ``connections`` are open from each balancer."""

    running: str | None = OLD  # the release of the process, None without one
    current: str | None = OLD
    previous: str | None = None
    marks: dict[str, str] = field(default_factory=dict)
    pending: bool = False
    healthy: bool = True
    uptime: float = 1000.0
    fatal: bool = False  # supervisor gave up, rather than being asked to stop
    pid: int = field(default_factory=_pids.__next__)
    connections: dict[str, int] = field(default_factory=dict)
    told: int = 0  # the process that was told to let its clients go
    old_start: bool = False  # it was put back with the start it had
    unreloadable: str = ""  # why its process cannot take a release in place

    @property
    def answers(self) -> bool:
        return self.running is not None and self.healthy

    @property
    def expected(self) -> dict[str, Any]:
        """What it answers rightly, where that is not the wished release's answer."""
        return {"body": self.running} if self.running not in (None, NEW) else {}

    def seen(self) -> SlotState:
        process = self.running is not None
        state = "RUNNING" if process else "FATAL" if self.fatal else "STOPPED" if self.current else "ABSENT"
        return SlotState(
            state=state,
            pid=self.pid if process else 0,
            uptime=self.uptime,
            release=self.running,
            current=self.current,
            previous=self.previous,
            mark=self.marks.get(self.current or ""),
            staged=True,
            pending=self.pending,
            listener="own" if process else "none",
            healthy=self.answers,
            expected=self.expected,
            unreloadable=self.unreloadable or ("its start changed" if self.pending else ""),
        )

    def dies(self) -> None:
        self.running, self.healthy, self.fatal = None, False, True
        self.connections.clear()


@dataclass
class Pools:
    """What one nginx serves, and the names of the sets that it could serve."""

    serving: dict[str, None]
    declared: dict[str, None]
    active: str = ""
    told: tuple[str, ...] = ()
    marks: dict[str, dict[str, Any]] = field(default_factory=dict)  # members in maintenance

    def __post_init__(self) -> None:
        self.active = _pools.name(self.serving)
        self.told = tuple(self.declared)

    def declare(self, pools: Sequence[Sequence[str]]) -> None:
        self.declared.update(dict.fromkeys(map(_pools.name, pools)))
        self.told = tuple(self.declared)

    def move(self, members: Sequence[str]) -> bool:
        """Serve these if they are not served, and the other way round; False if there is no such pool."""
        name = _pools.changed(self.active, members)
        if name not in self.declared:
            return False
        for member in members:
            if member in self.serving:
                del self.serving[member]
            else:
                self.serving[member] = None
        self.active = name
        return True

    def seen(self) -> BalancerState:
        return BalancerState(self.active, tuple(self.serving), self.told, True, maintenance=self.marks)


@dataclass
class Host:
    """One host: its slots, and what its nginx serves, where it has one."""

    wish: Wish
    slots: dict[str, Slot]
    pools: Pools | None = None

    def seen(self) -> HostState:
        return HostState(self.wish.host, 0.0, {name: slot.seen() for name, slot in self.slots.items()}, self.pools.seen() if self.pools else None)


@dataclass
class Faults:
    """What shall go wrong. ``bad`` are (member, release) that never get healthy; the others happen once, or from then on.

    ``fail``: (member, step) fails once. ``refuses``: (balancer, member) is never enabled. ``lost``: (host, call): the host
    answers no call from that one on, counted over all hosts; ``late``: it still does that call, and only its answer is
    lost. ``refusal``: (host, call): that call to the host cannot be done. ``dies``: (member, step): its process ends
    after so many steps. ``restless`` members end whenever they are enabled. ``person``: (balancer, member, step): after so
    many steps somebody takes the member out by hand, if that is allowed. ``cut_after``: the run is killed after so many steps.
    ``vain`` members take no release in place, whatever they seem to.
    """

    bad: set[tuple[str, str]] = field(default_factory=set)
    fail: tuple[str, str] | None = None
    refuses: set[tuple[str, str]] = field(default_factory=set)
    lost: tuple[str, int] | None = None
    late: bool = False
    refusal: tuple[str, int] | None = None
    dies: tuple[str, int] | None = None
    restless: set[str] = field(default_factory=set)
    person: tuple[str, str, int] | None = None
    cut_after: int | None = None
    vain: set[str] = field(default_factory=set)


@dataclass
class Watch:
    """What happened in this run, so far: what the invariants are about that one moment does not show."""

    began: dict[str, Slot] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)  # members on which something was done
    replaced: set[str] = field(default_factory=set)  # members whose process was stopped or started forwards
    restored: list[str] = field(default_factory=list)  # members that a way back was begun for, in order
    back: set[str] = field(default_factory=set)  # members that were started again on the way back
    failed: list[str] = field(default_factory=list)
    over: bool = False  # something failed: the spread is over
    disturbed: bool = False  # somebody else changed something: a guard on the spot may refuse what was planned rightly
    away: dict[str, dict[str, None]] = field(default_factory=dict)  # by balancer: members taken out and not yet back
    widest: int = 0  # hosts with a member out at the same time, at most


@dataclass
class Fleet:
    """The hosts as a Remote.

    Jobs that are at the same time run one after the other in an order drawn from ``chance``; with ``sliced``, their
    calls are mixed, and a call may end in the middle of a wait or before a step.
    """

    hosts: dict[str, Host]
    faults: Faults = field(default_factory=Faults)
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    sliced: bool = False
    width: int = 1  # hosts that may be out at the same time
    watching: bool = True  # or only work, to be measured
    done: list[Step] = field(default_factory=list)
    calls: int = 0
    looks: int = 0
    waits: int = 0
    watch: Watch = field(default_factory=Watch)
    turns: Turns | None = None
    chosen: frozenset[str] = frozenset()  # the only members that the run is about

    @property
    def left_alone(self) -> set[str]:
        """Members that nobody may touch, and that nobody may count on."""
        marked = {member for here in self.hosts.values() if here.pools for member in here.pools.marks}
        return {member.id for member in self.members()} - self.chosen if self.chosen else marked

    @property
    def wishes(self) -> list[Wish]:
        return [item.wish for item in self.hosts.values()]

    def slot(self, member: str) -> Slot:
        host, _, slot = member.partition("/")
        return self.hosts[host].slots[slot]

    def serves(self, balancer: str, member: str) -> bool:
        pools = self.hosts[balancer].pools
        return pools is not None and member in pools.serving

    def serving(self, balancer: str) -> set[str]:
        pools = self.hosts[balancer].pools
        return set(pools.serving) if pools else set()

    def members(self) -> Iterator[Member]:
        return (member for wish in self.wishes for member in wish.members)

    def balancers_of(self, member: str) -> tuple[str, ...]:
        return self.hosts[member.partition("/")[0]].wish.balancers

    def begin(self) -> None:
        """A new run: nothing of the last one is remembered."""
        self.watch = Watch()
        if self.watching:
            self.watch.began = {member.id: replace(self.slot(member.id)) for member in self.members()}
        self.done.clear()
        self.calls = self.looks = self.waits = 0

    # As a Remote.

    def observe(self, wish: Wish) -> HostState:
        self.looks += 1
        self._must_be_there(wish.host)
        return self.hosts[wish.host].seen()

    def _is_lost(self, host: str) -> bool:
        return self.faults.lost is not None and self.faults.lost[0] == host and self.calls >= self.faults.lost[1]

    def _must_be_there(self, host: str) -> None:
        if self._is_lost(host):
            self.watch.over = True
            raise Lost(f"{host} does not answer: connection timed out")

    def walk(self, wish: Wish, steps: Sequence[Step]) -> Answer:
        sent = not self.watch.over  # what is under way when something fails elsewhere cannot be called back
        if self.turns:
            self.turns.wait()
        late = self.faults.late and self.faults.lost == (wish.host, self.calls)
        if not late:
            self._must_be_there(wish.host)
        if self.faults.refusal == (wish.host, self.calls):
            self.calls += 1
            self.watch.over = True
            raise Refusal(f"{wish.host}: no space left on device")
        self.calls += 1
        answer = self._walk(self.hosts[wish.host], steps, sent)
        if late:
            self._must_be_there(wish.host)
        return answer

    def _walk(self, here: Host, steps: Sequence[Step], sent: bool) -> Answer:
        events: list[Event] = []
        for step in steps:
            if self.sliced and step.elapsed == 0 and self.chance.random() < 0.3 and (events or step.name in ("drain", "stop", "check")):
                self.waits += 1
                if step.name in ("drain", "stop", "check"):
                    self._must_be_allowed(step, here, sent)
                    step = replace(step, elapsed=1.0)
                    events.append(Event(step.name, step.member, "waiting", 0.0, 1.0, host=here.wish.host))
                return Answer(here.seen(), tuple(events), waiting=step)
            if self.faults.cut_after is not None and len(self.done) >= self.faults.cut_after:
                raise CutOff
            self._must_be_allowed(step, here, sent)
            who, why = self._do(step, here)
            if self.watching:
                self.done.append(step)
            self._mishap()
            if who == VAIN:
                events.append(Event(step.name, step.member, VAIN, 0.0, 0.0, why, here.wish.host))
                return Answer(here.seen(), tuple(events))
            events.append(Event(step.name, step.member, "failed" if why else "ok", 0.0, 0.0, why, here.wish.host))
            if why:
                self.watch.over = True
                self.watch.failed += [who] if who else []
                return Answer(here.seen(), tuple(events), failure=Failure(who, step.name, "it works", why, host=here.wish.host))
        return Answer(here.seen(), tuple(events))

    def elsewhere(self, wish: Wish, step: Step) -> Answer:
        if step.host == wish.host:
            raise Broken(f"{step}: the member's own host was to do this within its walk")
        self.calls += 1
        if self.faults.cut_after is not None and len(self.done) >= self.faults.cut_after:
            raise CutOff
        _, why = self._do(step, self.hosts[wish.host])
        self.done.append(step)
        if why:
            self.watch.over = True
            self.watch.failed += [step.member]
        event = Event(step.name, step.member, "failed" if why else "ok", 0.0, 0.0, why, step.host)
        return Answer(None, (event,), failure=Failure(step.member, step.name, "it works", why, host=step.host) if why else None)

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        if self.sliced and len(jobs) > 1 and self.calls + self.looks >= len(self.hosts):
            self.turns = Turns(self.chance)
            try:
                return self.turns.run(jobs)
            finally:
                self.turns = None
        order = list(range(len(jobs)))
        self.chance.shuffle(order)
        found = {number: jobs[number]() for number in order}
        return [found[number] for number in range(len(jobs))]

    def _mishap(self) -> None:
        if self.faults.dies and len(self.done) >= self.faults.dies[1]:
            self.slot(self.faults.dies[0]).dies()
            self.watch.disturbed = True
            self.faults.dies = None
        if self.faults.person and len(self.done) >= self.faults.person[2]:
            balancer, member, _ = self.faults.person
            pools = self._nginx(self.hosts[balancer])
            if member in pools.serving and not self._misses(self.hosts[balancer], [member]):
                pools.declare([[other for other in pools.serving if other != member]])
                pools.move([member])
                self.watch.disturbed = True
            self.faults.person = None

    # The invariants that hold for every step.

    def _must_be_allowed(self, step: Step, here: Host, sent: bool) -> None:
        if not self.watching:
            return
        watch = self.watch
        if step.host != here.wish.host:
            raise Broken(f"{step} on {here.wish.host}")
        if step.name == "declare":
            shared = here.wish.others or not here.wish.members
            if shared and watch.begun and not watch.over and not watch.disturbed:
                raise Broken(f"{step}: declared in the middle of the walk, not before")
            return
        if self.left_alone.intersection(step.members):
            raise Broken(f"{step}: {self.left_alone.intersection(step.members)} are to be left alone")
        strangers = [member for member in step.members if member not in watch.begun]
        if watch.over and strangers and not sent:
            raise Broken(f"{step} after a failure: {strangers} had not been begun, and the first failure stops the spread")
        watch.begun.update(step.members)
        if step.name in ("stop", "point", "start") and not step.restore:
            watch.replaced.add(step.members[0])
        if step.restore and step.name in ("stop", "point", "start"):
            self._must_be_rolled_back_rightly(step)

    def _must_be_rolled_back_rightly(self, step: Step) -> None:
        watch, member = self.watch, step.members[0]
        if not watch.over:
            raise Broken(f"{step}: nothing has failed")
        began = watch.began[member]
        if member not in watch.failed:
            if member not in watch.replaced:
                raise Broken(f"{step}: this run did not swap it")
            if began.running == NEW and not began.pending:
                raise Broken(f"{step}: it ran the wished release before this run")
        if step.name != "stop" and step.release == NEW and not began.pending:
            raise Broken(f"{step}: rolled back to the wished release")
        if member not in watch.restored:
            last = watch.restored[-1] if watch.restored else ""
            through = not last or self.slot(last).running is None or all(self.serves(name, last) for name in self.balancers_of(last))
            if member not in watch.failed and not through:
                raise Broken(f"{step} while {last} is not back yet")
            watch.restored.append(member)
        if step.name == "start":
            if member in watch.back:
                raise Broken(f"{step}: rolled back twice")
            watch.back.add(member)

    # The steps.

    def _do(self, step: Step, here: Host) -> tuple[str, str]:
        """Do one step; who is at fault, if somebody is, and why it failed, or ''."""
        if self.faults.fail and self.faults.fail[0] in step.members and self.faults.fail[1] == step.name:
            member, _ = self.faults.fail
            self.faults.fail = None
            if step.name in ("start", "check"):
                self.slot(member).marks[step.release] = "failed"
            return member, "fault"
        if step.hook:
            return self._hook(step)
        found: tuple[str, str] | None = getattr(self, f"_{step.name}")(step, here)
        return found or ("", "")

    def _hook(self, step: Step) -> tuple[str, str]:
        """A command of the user's: at the moment that its name promises."""
        member = step.members[0]
        served = [name for name in self.balancers_of(member) if self.serves(name, member)]
        slot = self.slot(member)
        if step.name == "before_stop":
            right = not served and bool(slot.running)
        elif step.name == "after_start":  # a run that was cut off may have let some balancers serve it already
            right = slot.running == step.release and len(served) < len(self.balancers_of(member))
        else:
            right = len(served) == len(self.balancers_of(member)) or step.restore
        if not right and not self._is_lost(member.partition("/")[0]):
            raise Broken(f"{step}: run while {member} runs {slot.running} and is served by {served}")
        return "", ""

    def _nginx(self, here: Host) -> Pools:
        if here.pools is None:
            raise Broken(f"{here.wish.host} is no balancer")
        return here.pools

    def _declare(self, step: Step, here: Host) -> None:
        pools, known = self._nginx(here), {member.id for member in here.wish.pool}
        if any(not known.issuperset(pool) for pool in step.pools):
            raise Broken(f"{step}: a stranger in a pool")
        if step.pools and all(_pools.name(pool) in pools.declared for pool in step.pools):
            raise Broken(f"{step}: a reload for nothing")
        pools.declare(step.pools)

    def _misses(self, here: Host, leaving: Collection[str]) -> bool:
        """Whether the balancer would have too few without these; who does not answer is not missed."""
        marked = {member for one in self.hosts.values() if one.pools for member in one.pools.marks} - self.chosen
        stay = (member for member in self._nginx(here).serving if member not in leaving and member not in marked)
        need = here.wish.min_serving
        missed = any(self.slot(member).answers for member in leaving)
        return missed and sum(1 for _ in itertools.islice((1 for member in stay if self.slot(member).answers), need)) < need

    def _switch(self, step: Step, here: Host) -> tuple[str, str] | None:
        pools = self._nginx(here)
        if self._misses(here, step.members):
            if self.watch.disturbed:
                return (step.members[0] if step.members[0].startswith(f"{step.host}/") else "", "those who would stay do not answer")
            raise Broken(f"{step} undercuts min_serving")
        if self.watching:
            if not set(step.members) <= pools.serving.keys() and not self.watch.disturbed:
                raise Broken(f"{step}: {step.members} are not all served")
            self._must_know_answers(step, [member for member in pools.serving if member not in step.members])
        self._move(step, pools, [member for member in step.members if member in pools.serving])
        away = self.watch.away.setdefault(step.host, {})
        away.update(dict.fromkeys(step.members))
        out = {member.partition("/")[0] for member in away if member not in self.watch.failed and (member in self.watch.replaced or self.slot(member).answers)}
        self.watch.widest = max(self.watch.widest, len(out))
        if len(out) > self.width:
            raise Broken(f"{step}: {sorted(out)} are out at the same time, {self.width} may be")
        return None

    def _move(self, step: Step, pools: Pools, members: Sequence[str]) -> None:
        if self.watch.disturbed:  # the balancer declares on the spot what nobody could foresee
            pools.declare([tuple(pools.serving.keys() ^ set(members))])
        if not pools.move(members):
            raise Broken(f"{step}: the pool is not declared")

    def _must_know_answers(self, step: Step, members: Collection[str]) -> None:
        """Another host's member on another release is asked for that release's answer, or it would be taken for dead."""
        for member in members:
            slot = self.slot(member)
            if member.partition("/")[0] != step.host and slot.answers and step.expected.get(member, {}) != slot.expected:
                raise Broken(f"{step}: {member} answers {slot.expected}, {step.expected.get(member)} is expected")

    def _drain(self, step: Step, _here: Host) -> None:
        for member in step.members:
            if self.serves(step.host, member):
                raise Broken(f"{step}: it still gets requests")
            self.slot(member).connections.pop(step.host, None)

    def _must_be_out(self, step: Step, here: Host) -> None:
        """On the truth, whoever can be reached or not; and the host was told so."""
        serving = [name for name in here.wish.balancers if self.serves(name, step.members[0])]
        if serving:
            raise Broken(f"{step}: {serving} serve it")
        if set(step.out_of) != set(here.wish.others):
            raise Broken(f"{step}: {set(here.wish.others) - set(step.out_of)} did not say that it is out")

    def _goodbye(self, step: Step, here: Host) -> None:
        self._must_be_out(step, here)
        slot = self.slot(step.members[0])
        if not slot.running and not self.watch.disturbed:
            raise Broken(f"{step}: it is dead")
        slot.told = slot.pid

    def _stop(self, step: Step, here: Host) -> None:
        self._must_be_out(step, here)
        slot = self.slot(step.members[0])
        if here.wish.goodbye.is_said and slot.running and slot.told != slot.pid:
            raise Broken(f"{step}: it was not told, and its clients are still there")
        if slot.running and any(slot.connections.values()):
            raise Broken(f"{step}: it has connections from {sorted(slot.connections)}")
        slot.running, slot.fatal, slot.healthy = None, False, False

    def _point(self, step: Step, here: Host) -> None:
        slot = self.slot(step.members[0])
        in_place = here.wish.strategy == "reload" and slot.answers and not step.restore
        if slot.running and not in_place and not self.watch.disturbed:
            raise Broken(f"{step}: it runs")
        if step.restore:
            slot.current, slot.old_start = step.release, True
            return
        if slot.current and slot.current != step.release and slot.marks.get(slot.current) != "failed":
            slot.previous = slot.current
        slot.current, slot.pending, slot.old_start = step.release, False, False

    def _start(self, step: Step, here: Host) -> None:
        self._must_be_out(step, here)
        slot = self.slot(step.members[0])
        if slot.running:
            raise Broken(f"{step}: it runs already")
        slot.running, slot.healthy, slot.uptime, slot.pid = slot.current, False, 0.0, next(_pids)
        slot.connections.clear()

    def _reload(self, step: Step, here: Host) -> tuple[str, str] | None:
        """In place: it serves on, whatever comes of it."""
        member, slot = step.members[0], self.slot(step.members[0])
        if here.wish.strategy != "reload" or slot.unreloadable or slot.pending or step.restore or slot.current != step.release:
            raise Broken(f"{step}: it cannot take it in place")
        if slot.running is None or member in self.faults.vain:
            for one in here.slots.values():
                one.unreloadable = "it was tried"
            return VAIN, "its answers show the old release"
        slot.running, slot.healthy = step.release, self._is_good(member, step.release)
        return None

    def _check(self, step: Step, here: Host) -> tuple[str, str] | None:
        member = step.members[0]
        slot = self.slot(member)
        if slot.running != step.release or not self._is_good(member, step.release):
            slot.marks[step.release] = "failed"
            if slot.running != step.release:
                slot.running, slot.fatal, slot.healthy = None, True, False
            return member, "not healthy"
        slot.healthy = True
        if here.wish.others or member in (here.pools.serving if here.pools else ()):
            slot.marks[step.release] = "good"
        return None

    def _is_good(self, member: str, release: str) -> bool:
        bad_start = (member, f"{release} with its new start") in self.faults.bad and not self.slot(member).old_start
        return (member, release) not in self.faults.bad and not bad_start

    def _enable(self, step: Step, here: Host) -> tuple[str, str] | None:
        pools = self._nginx(here)
        for member in step.members:
            slot = self.slot(member)
            if not slot.answers and self.watch.disturbed:
                return member, "it does not answer"
            if slot.running != step.release or not slot.healthy:
                raise Broken(f"{step}: {member} enabled unchecked, runs {slot.running}")
            if not self._is_good(member, step.release):
                raise Broken(f"{step}: {member} enabled on a broken release")
            if (step.host, member) in self.faults.refuses:
                return member, "it does not answer here"
            if member in pools.serving:
                raise Broken(f"{step}: {member} is served already")
        self._must_know_answers(step, step.members)
        self._move(step, pools, step.members)
        for member in step.members:
            self.slot(member).connections[step.host] = 1
            self.watch.away.get(step.host, {}).pop(member, None)
            if step.host in (member.partition("/")[0],) and not here.wish.others:
                self.slot(member).marks[step.release] = "good"
            if member in self.faults.restless:
                self.slot(member).dies()
                self.watch.disturbed = True
        return None


class Turns:
    """Jobs at the same time, of which one runs at any moment: who goes on at each of their calls is drawn from ``chance``."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._main = threading.Semaphore(0)
        self._mine = threading.local()

    def wait(self) -> None:
        """Called by a job: let somebody else run first, perhaps."""
        self._main.release()
        self._mine.turn.acquire()

    def run(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        found: dict[int, T] = {}
        raised: list[BaseException] = []
        turns = [threading.Semaphore(0) for _ in jobs]

        def work(number: int) -> None:
            self._mine.turn = turns[number]
            turns[number].acquire()
            try:
                found[number] = jobs[number]()
            except BaseException as error:
                raised.append(error)
            finally:
                left.remove(number)
                self._main.release()

        left = list(range(len(jobs)))
        threads = [threading.Thread(target=work, args=(number,)) for number in left]
        for thread in threads:
            thread.start()
        while left:
            turns[self._chance.choice(left)].release()
            self._main.acquire()
        for thread in threads:
            thread.join()
        for error in sorted(raised, key=lambda error: not isinstance(error, Broken)):
            raise error
        return [found[number] for number in range(len(jobs))]


# Fleets.


@dataclass
class App:
    """An app host, for :func:`fleet`. ``slots`` are the truth, by name."""

    slots: Mapping[str, Slot]
    backups: Sequence[str] = ()


def two_slots(**slots: Slot) -> App:
    """Blue, and green as its standby."""
    return App({"blue": Slot(), "green": Slot(), **slots}, ["green"])


def one_slot(**slot: Any) -> App:
    return App({"main": Slot(**slot)})


def fleet(
    apps: Mapping[str, App],
    balancers: Sequence[str] = (),
    local: bool = True,
    min_serving: int | Mapping[str, int] = 1,
    out: Mapping[str, Collection[str]] | None = None,
    serial: Sequence[str] = ("1",),
    release: str = NEW,
    foreseen: bool = True,
    hooks: Sequence[Hook] = (),
    goodbye: Goodbye = Goodbye(),  # noqa: B008  # it is frozen
    strategy: str = "rolling",
) -> Fleet:
    """App hosts with their own nginx (``local``, or no ``balancers``), behind balancers of their own, or both.

    ``out`` are members that a balancer does not serve. ``serial`` is what the balancers' pools foresee.
    """
    local = local or not balancers
    everyone = [Member(name, slot, {"http": 9000 + number}, backup=slot in app.backups) for name, app in apps.items() for number, slot in enumerate(app.slots)]

    def need(name: str) -> int:
        return min_serving if isinstance(min_serving, int) else min_serving.get(name, 1)

    wishes = [
        Wish(
            *("shop", name, "/srv/shop", release),
            tuple(member for member in everyone if member.host == name),
            tuple(member for member in everyone if member.host == name) if local else (),
            Program(("x",)),
            min_serving=need(name),
            balancers=(*balancers, *((name,) if local else ())),
            hooks=tuple(hooks),
            goodbye=goodbye,
            strategy=strategy,
        )
        for name in apps
    ]
    wishes += [Wish("shop", name, "/srv/shop", release, (), tuple(everyone), Program(("x",)), min_serving=need(name)) for name in balancers]
    batches = _planner.batches([wish for wish in wishes if wish.members], serial) if foreseen else ()
    hosts = {}
    for wish in wishes:
        pools = None
        if wish.pool:
            ids = [member.id for member in wish.pool]
            serving = dict.fromkeys(name for name in ids if name not in (out or {}).get(wish.host, ()))
            whole = _pools.name(ids)
            declared = [whole, *(_pools.changed(whole, [name]) for name in ids), *(_pools.changed(whole, batch) for batch in batches if set(batch) <= set(ids))]
            pools = Pools(serving, dict.fromkeys([*declared, _pools.name(serving)]))
            for member in serving:
                slot = apps[member.partition("/")[0]].slots[member.partition("/")[2]]
                if slot.running:
                    slot.connections.setdefault(wish.host, 1)
        hosts[wish.host] = Host(wish, dict(apps[wish.host].slots) if wish.members else {}, pools)
    return Fleet(hosts)
