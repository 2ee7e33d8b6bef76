"""Where a single job runs: decided from what each host said, on a fleet that exists only in memory, cut off after every effect."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Job, Member, Program
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState, JobState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _singles
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Answer, Lost
from hypothesis import given, settings
from hypothesis import strategies as st

HOSTS = ("web1", "web2", "web3")
QUEUE = Job("queue", ("queue",), scope="fleet")
PUSH = Job("push", ("push",), scope="host")
REPORT = Job("report", ("report",), scope="fleet", schedule="@daily")


class CutOff(BaseException):
    """The run dies here."""


@dataclass
class Host:
    """The truth about one host: what there is of each job, by its id."""

    permits: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    running: dict[str, str] = field(default_factory=dict)  # job → release
    current: str = ""
    orphan: str = ""  # a job of which a process outlives its stop
    dead: bool = False

    def starts(self, job: str) -> None:
        """What supervisord, cron or a person does: the launcher ends at once without a permit, or while it runs."""
        if job in self.permits and job not in self.running and not self.dead:
            self.running[job] = self.current

    def restart(self) -> None:
        """supervisord starts again, and what has a file with it."""
        self.running = {job: release for job, release in self.running.items() if job == self.orphan}
        for job in self.files:
            self.starts(job)


class World:
    """Some hosts, and the steps as ``_steps_jobs`` does them: effect by effect, each of which can be the last."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = jobs or (QUEUE, PUSH, REPORT)
        self.hosts = {name: Host() for name in HOSTS}
        self.lost: set[str] = set()
        self.left = 10**6
        self.told: list[Any] = []
        self.done: list[tuple[str, str]] = []

    def wish(self, host: str, release: str) -> Wish:
        return Wish("shop", host, "/srv/shop", release, (Member(host, "blue", {"http": 1}),), (), Program(("x",)), jobs=self.jobs, fleet=HOSTS)

    def effect(self, *_done: Any) -> None:
        """One more thing has been done: at no moment is a job of the fleet in two places."""
        for job in (QUEUE.id, REPORT.id):
            assert sum(job in host.running for host in self.hosts.values()) <= 1, f"{job} runs twice"
            assert sum(job in host.permits for host in self.hosts.values() if not host.dead) <= 1, f"{job} has two permits"
        self.left -= 1
        if self.left < 0:
            raise CutOff

    def together(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        return [job() for job in jobs]

    def observe(self, wish: Wish) -> HostState:
        host = self.hosts[wish.host]
        ids = host.permits | host.files | set(host.running)
        return HostState(
            wish.host, 0, {}, jobs=tuple(JobState(job, int(job in host.running), host.running.get(job), self.right(wish, job)) for job in sorted(ids))
        )

    def right(self, wish: Wish, job: str) -> bool:
        host, wished = self.hosts[wish.host], wish.single(job)
        runs = bool(wished and wished.schedule) or host.running.get(job) == wish.release
        return bool(wished) and job in host.permits and job in host.files and runs and host.current == wish.release

    def walk(self, wish: Wish, steps: Sequence[Step]) -> Answer:
        events = []
        for step in steps:
            if wish.host in self.lost:
                raise Lost(f"{wish.host} does not answer")
            self.done.append((step.name, step.member))
            problem = getattr(self, step.name)(self.hosts[wish.host], wish, step)
            events.append(Event(step.name, step.member, "failed" if problem else "ok", 0, 0, "", wish.host))
            if problem:
                return Answer(self.observe(wish), tuple(events), None, Failure(step.member, step.name, "it can be done", problem, (), wish.host))
        return Answer(self.observe(wish), tuple(events))

    def stop(self, host: Host, _wish: Wish, step: Step) -> str:
        self.effect(host.files.discard(step.slot))
        if step.slot == host.orphan:
            return "still there: pid 4711"
        self.effect(host.running.pop(step.slot, None))
        if not step.release:
            self.effect(host.permits.discard(step.slot))
        return ""

    def vouch(self, host: Host, _wish: Wish, step: Step) -> str:
        return "there is something" if step.slot in host.permits | host.files | set(host.running) else ""

    def point(self, host: Host, _wish: Wish, step: Step) -> str:
        host.current = step.release
        self.effect()
        return ""

    def start(self, host: Host, wish: Wish, step: Step) -> str:
        job = wish.single(step.slot)
        assert job
        alone = job.scope == "host" or job.id in host.permits or set(wish.fleet) - {wish.host} <= set(step.out_of)
        if not alone or (job.id in host.running and not job.schedule):
            return "somebody else may have it"
        self.effect(host.permits.add(job.id))
        self.effect(host.files.add(job.id))
        if not job.schedule:
            self.effect(host.starts(job.id))
        return ""

    def check(self, host: Host, wish: Wish, step: Step) -> str:
        return "" if host.running.get(step.slot) == wish.release else "it does not run"

    def run(self, release: str, *limit: str, absent: Mapping[str, str] | None = None) -> _singles.Moved:
        """One run over these hosts, all by default."""
        wishes = {name: self.wish(name, release) for name in HOSTS}
        gone = self.lost | {name for name, host in self.hosts.items() if host.dead}
        seen = {name: self.observe(wish) for name, wish in wishes.items() if name not in gone}
        inside = {name: wishes[name] for name in limit or HOSTS if name in seen}
        sight = _singles.Sight(inside, seen, dict.fromkeys(gone, "does not answer"), absent or {})
        return _singles.carry_out(_singles.decide(sight), wishes, release, self, self.told.append, lambda: None)

    def where(self, job: Job) -> dict[str, str]:
        """Which release of the job runs on which host; of an entry of cron, the release it would start with."""
        return {
            name: host.current if job.schedule else host.running[job.id]
            for name, host in self.hosts.items()
            if job.id in (host.files if job.schedule else host.running)
        }


@pytest.fixture
def world() -> World:
    return World()


def test_a_first_run_starts_a_job_of_the_fleet_on_its_first_host_and_others_on_each(world: World) -> None:
    assert world.run("v1").booked == {}
    assert world.where(QUEUE) == {"web1": "v1"}
    assert world.where(REPORT) == {"web1": "v1"}
    assert world.where(PUSH) == dict.fromkeys(HOSTS, "v1")


def test_the_preferred_host_gets_it_and_every_other_one_has_vouched() -> None:
    world = World(replace(QUEUE, host="web2"))
    world.run("v1")
    assert world.where(QUEUE) == {"web2": "v1"}
    assert [done for done in world.done if done[0] == "vouch"] == [("vouch", "web1/worker:queue"), ("vouch", "web3/worker:queue")]


def test_a_release_moves_it_where_it_is_without_asking_anybody(world: World) -> None:
    world.run("v1")
    world.done.clear()
    world.run("v2")
    assert world.where(QUEUE) == {"web1": "v2"}
    assert [name for name, member in world.done if member == "web1/worker:queue"] == ["stop", "start", "check"]
    assert not any(name == "vouch" for name, _ in world.done)


def test_the_same_release_again_does_nothing(world: World) -> None:
    world.run("v1")
    world.done.clear()
    assert not world.run("v1").changed and world.done == []


def test_another_preferred_host_takes_it_over_when_the_old_one_has_let_go() -> None:
    world = World(QUEUE)
    world.run("v1")
    world.jobs = (replace(QUEUE, host="web3"),)
    world.run("v1")
    assert world.where(QUEUE) == {"web3": "v1"}
    assert QUEUE.id not in world.hosts["web1"].permits


def test_what_is_wished_no_more_ends(world: World) -> None:
    world.run("v1")
    world.jobs = (PUSH,)
    world.run("v1")
    assert world.where(QUEUE) == {} and world.where(REPORT) == {}
    assert world.where(PUSH) == dict.fromkeys(HOSTS, "v1")


def test_a_lost_host_does_not_keep_a_job_that_is_seen_elsewhere(world: World) -> None:
    world.run("v1")
    world.lost = {"web3"}
    assert world.run("v2").booked == {}
    assert world.where(QUEUE) == {"web1": "v2"}


def test_a_job_that_may_run_on_a_lost_host_is_started_nowhere_and_that_is_said(world: World) -> None:
    world.run("v1")
    world.lost = {"web1"}
    (text,) = [text for text in world.run("v2").booked["web2"].split("worker:queue") if text.strip().startswith("is started nowhere")]
    assert "it may run on web1, which cannot be asked" in text and "web1: does not answer" in text
    assert "bluegreen_workers_absent, as in {web1: burnt down}" in text
    assert world.where(QUEUE) == {"web1": "v1"}
    assert world.where(PUSH)["web2"] == "v2", "what runs on each host goes on"


def test_a_host_that_is_gone_for_good_is_not_waited_for(world: World) -> None:
    world.run("v1")
    world.hosts["web1"] = Host(dead=True)
    assert world.run("v2", absent={"web1": "burnt down"}).booked == {}
    assert world.where(QUEUE) == {"web2": "v2"}


def test_beyond_the_limit_it_stays_as_it_is_and_a_line_says_so(world: World) -> None:
    world.run("v1")
    assert world.run("v2", "web2").booked == {}
    assert world.where(QUEUE) == {"web1": "v1"}
    assert "worker:queue stays as it is on web1, which this run does not change" in world.told


def test_an_orphan_keeps_it_from_starting_anywhere_and_the_others_go_on() -> None:
    world = World(QUEUE, PUSH)
    world.run("v1")
    world.jobs = (replace(QUEUE, host="web2"), PUSH)
    world.hosts["web1"].orphan = QUEUE.id
    booked = world.run("v2").booked
    assert "pid 4711" in booked["web1"]
    assert "worker:queue is not started on web2: web1 did not give it up" in booked["web2"]
    assert world.where(QUEUE) == {"web1": "v1"}
    assert world.where(PUSH) == dict.fromkeys(HOSTS, "v2")
    world.hosts["web1"].orphan = ""
    assert world.run("v2").booked == {}
    assert world.where(QUEUE) == {"web2": "v2"}


def test_a_host_that_came_back_with_an_old_one_loses_it() -> None:
    world = World(QUEUE)
    world.run("v1")
    burnt, world.hosts["web1"] = world.hosts["web1"], Host(dead=True)
    world.run("v2", absent={"web1": "burnt down"})
    world.hosts["web1"] = burnt
    world.effect = lambda *_done: None  # type: ignore[method-assign]  # there are two now: that is what the user's word was wrong about
    assert world.run("v2", absent={"web1": "burnt down"}).booked == {}
    assert len(world.where(QUEUE)) == 1


def test_a_plan_says_in_words_what_would_become_of_each() -> None:
    wish = World(QUEUE).wish("web1", "v1")
    seen = {name: HostState(name, 0, {}) for name in HOSTS}
    (move,) = _singles.decide(_singles.Sight({"web1": wish}, seen))
    assert _singles.words(move) == "worker:queue would start anew on web1"
    assert _singles.words(_singles.Move("worker:old", leave=("web1",))) == "worker:old would end on web1"


@dataclass(frozen=True)
class Turn:
    """One run as chance has it, and what happens to the hosts before it."""

    limit: tuple[str, ...]
    effects: int
    lost: frozenset[str]
    restart: str
    preferred: str
    orphan: str


turns = st.builds(
    Turn,
    limit=st.sampled_from([(), (), ("web1",), ("web2", "web3")]),
    effects=st.integers(0, 30),
    lost=st.frozensets(st.sampled_from(HOSTS), max_size=2),
    restart=st.sampled_from(["", *HOSTS]),
    preferred=st.sampled_from(["", *HOSTS]),
    orphan=st.sampled_from(["", "", *HOSTS]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(turns, max_size=8))
def test_never_two_whatever_is_cut_off_lost_or_restarted_and_a_run_that_may_end_makes_it_right(course: list[Turn]) -> None:
    world = World()
    for number, turn in enumerate(course):
        if turn.restart:
            world.hosts[turn.restart].restart()
            world.effect()
        world.lost, world.left = set(turn.lost), turn.effects
        world.jobs = (replace(QUEUE, host=turn.preferred), PUSH, replace(REPORT, host=turn.preferred))
        for name, host in world.hosts.items():
            host.orphan = QUEUE.id if name == turn.orphan else ""
        with contextlib.suppress(CutOff):
            world.run(f"v{number}", *turn.limit)
        world.left = 10**6
    world.lost, world.left, world.jobs = set(), 10**6, (QUEUE, PUSH, REPORT)
    for host in world.hosts.values():
        host.orphan = ""
    assert world.run("last").booked == {}
    assert list(world.where(QUEUE).values()) == ["last"] == list(world.where(REPORT).values())
    assert world.where(PUSH) == dict.fromkeys(HOSTS, "last")
    assert not world.run("last").changed
