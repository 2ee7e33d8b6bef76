"""A stand-in for an engine, in memory: what a Swarm or Kubernetes does with a release is written down as a few looks.

The course, its judge and its lock are tried against it in every way that a real engine takes minutes for; that real
engines behave so is shown in tests/engines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._course import Course, Ended
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._engine import Done, Grip, Refused
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._seen import Past, Replica, Seen
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import Service

SHOP = Service(name="shop", release="v2", image="shop:v2", boot_timeout=0.1, drain_timeout=0.1, stop_timeout=1, watch=0.1)


class Interrupted(BaseException):
    """The controller is gone."""


def running(release: str, count: int = 2, problem: str = "") -> tuple[Replica, ...]:
    return tuple(Replica(f"shop.{release}.{number}", release, "node1", "running", healthy=not problem, problem=problem) for number in range(count))


def settled(release: str, mark: str = "") -> Seen:
    """The service as it is when all of it has a release."""
    return Seen("settled", release, mark=mark or f"{release} shop:{release}", image=f"shop:{release}", wanted=2, replicas=running(release))


def mark_of(service: Service) -> str:
    return f"{service.release} {service.image}"


@dataclass
class Memory:
    """``fate`` is what the engine does with an update: good, goes back, pauses, sticks; or who says no: apply, migrate, workers.

    ``looks`` are what is seen next, the last one for good. ``cut`` interrupts the run after so many effects, ``late`` once the effect is there.
    """

    now: Seen = field(default_factory=Seen)
    fate: str = "good"
    cut: int = -1
    late: bool = True
    looks: list[Seen] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    migrated: list[str] = field(default_factory=list)
    past: tuple[Past, ...] = ()
    held: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
    title: str = "Memory"

    def _effect(self, what: str, do: Callable[[], Any] = lambda: None) -> None:
        last = len(self.asked) == self.cut
        if last and not self.late:
            raise Interrupted
        self.asked.append(what)
        do()
        if last:
            raise Interrupted

    def problems(self, service: Service, seen: Seen) -> list[str]:
        return []

    def look(self) -> Seen:
        if self.looks:
            self.now = self.looks.pop(0)
        return replace(self.now, past=self.past)

    def wished(self, service: Service, seen: Seen) -> bool:
        return seen.release == service.release if service.rollback else seen.mark == mark_of(service)

    def files(self, service: Service) -> Done:
        return Done()

    def migrate(self, service: Service, hook: int, say: Callable[[str], None]) -> Done:
        name = f"{service.release} {hook}"
        if name in self.migrated:
            return Done(what=("done already",))
        if self.fate == "migrate":
            raise Refused("it ended with 3\nno such table")
        self._effect(f"migrate {name}", lambda: self.migrated.append(name))
        return Done(True, (name,))

    def apply(self, service: Service) -> Done:
        return self._ask(mark_of(service))

    def back(self, release: str) -> Done:
        return self._ask(f"{release} shop:{release}")

    def switch(self, service: Service) -> Done:
        return Done()

    def undo(self, service: Service, to: Seen) -> Done:
        return self._ask(to.mark, good=True)

    def _ask(self, mark: str, good: bool = False) -> Done:
        if self.fate == "apply":
            raise Refused("the port is taken")
        if self.now.mark == mark:
            return Done()
        self._effect(f"apply {mark}", lambda: self._roll(mark, "good" if good else self.fate))
        return Done(True, ("service shop",))

    def _roll(self, mark: str, fate: str) -> None:
        release, before = mark.partition(" ")[0], self.now
        bad = running(release, 1, "it exits with 1")
        half = replace(settled(release, mark), was=before.release, state="rolling", replicas=(*before.replicas, *running(release, 1)))
        ill = replace(half, replicas=(*before.replicas, *bad))
        ends = {
            "goes back": [ill, replace(before, state="rolling_back", message="task failed"), replace(before, state="rolled_back", message="task failed")],
            "pauses": [ill, replace(ill, state="paused", message="task failed")],
            "sticks": [ill, replace(ill, state="stuck", message="deadline")],
            "hangs": [ill],
            "vanishes": [half, Seen()],
            "is overtaken": [half, settled("v9")],
        }
        self.looks = ends.get(fate, [half, replace(settled(release, mark), was=before.release)])
        self.now = self.looks[0]

    def companions(self, service: Service, say: Callable[[str], None]) -> Done:
        if self.fate == "workers":
            raise Refused("mail does not run")
        self._effect("companions")
        return Done()

    def mark(self, service: Service, outcome: str, by: str) -> None:
        others = tuple(past for past in self.past if past.release != service.release)
        self._effect(f"mark {service.release} {outcome}", lambda: setattr(self, "past", (Past(service.release, service.image, 1.0, outcome, by), *others)))

    def prune(self, service: Service) -> Done:
        self._effect("prune")
        return Done()

    def log(self, replica: Replica, lines: int = 20) -> tuple[str, ...]:
        return ("cannot read its configuration",)

    def why(self, replica: Replica) -> str:
        return f"{replica.problem}, three times"

    def grip(self) -> Grip:
        return Grip(self.held, str(self.version) if self.held else "")

    def take(self, grip: Grip, holder: Mapping[str, Any]) -> bool:
        if grip.version != self.grip().version:
            return False
        self.held, self.version = dict(holder), self.version + 1
        return True


@dataclass
class Run:
    """A run of the course against an engine in memory, and what it told."""

    engine: Memory
    service: Service = SHOP
    told: list[Any] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)
    refused: str = ""
    lost: int = -1
    kept: int = 0

    def _hook(self, moment: str, previous: str) -> str:
        self.engine._effect(moment)
        self.hooks.append(moment)
        return "it ended with 1" if moment == self.refused else ""

    def _keep(self, seconds: float) -> None:
        assert seconds > 0
        if self.kept == self.lost:
            raise Interrupted
        self.kept += 1

    def go(self) -> Ended:
        course = Course(self.engine, self.service, self.told.append, self._keep, self._hook, "kim", sleep=lambda _seconds: None)
        return course.run(self.engine.look())

    def outcomes(self, step: str) -> list[str]:
        return [one.outcome for one in self.told if isinstance(one, Event) and one.step == step]

    @property
    def failures(self) -> list[Failure]:
        return [one for one in self.told if isinstance(one, Failure)]
