# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker Swarm, as the course of a release needs it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from . import _swarm_checks as checks
from . import _swarm_look as look
from . import _swarm_names as names
from . import _swarm_plan as plan
from ._engine import Call, Done, Grip, Refused
from ._judge import culprit
from ._seen import Replica, Seen
from ._service import Service
from ._swarm_docker import Docker
from ._swarm_history import History
from ._swarm_why import why

_POLL = 1.0
_SLACK = 30.0  # seconds on top of what a container may take, for a machine that has much to do
_LINES = 20


class Swarm:
    """One service of a Swarm. The :class:`Engine` of ``_engine.py``; ``clock`` and ``sleep`` are given by tests."""

    title = "Docker Swarm"

    def __init__(
        self,
        call: Call,
        name: str,
        options: Mapping[str, Any],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._docker = Docker(call, options.get("docker_host") or "")
        self._name = name
        self._history = History(self._docker, name, clock)
        self._clock, self._sleep = clock, sleep
        self._nodes: dict[str, str] = {}
        self._over: str | None = None  # when the update began that was there before this run asked for anything; None until it asks

    def problems(self, service: Service, seen: Seen) -> list[str]:
        return checks.problems(self._docker, service, seen)

    def look(self) -> Seen:
        found, tasks = self._docker.look(self._name)
        if not {node for task in tasks if (node := look.node_of(task))} <= set(self._nodes):
            self._nodes = {node["ID"]: (node.get("Description") or {}).get("Hostname") or node["ID"] for node in self._docker.nodes()}
        return look.seen(self._name, found, tasks, self._nodes, self._history.past(), self._over)

    def wished(self, service: Service, seen: Seen) -> bool:
        """One that is paused is not: it is to be asked for again."""
        if seen.state == "paused":
            return False
        return seen.release == service.release if service.rollback else seen.mark == plan.whole(service)["labels"][names.MARK]

    def files(self, service: Service) -> Done:
        """The network as well, which the migration needs before the service does."""
        done = []
        network = plan.network(service)
        if network and not self._history.has("network", network["name"]):
            done.append(self._made("docker_network", network, f"network {network['name']}"))
        for name, file in plan.files(service):
            kind = "secret" if file.secret else "config"
            if self._history.has(kind, name):
                continue
            args = {"name": name, "data": base64.b64encode(file.content).decode(), "data_is_b64": True, "labels": names.labels(self._name, "file")}
            done.append(self._made(f"docker_{kind}", args, f"{kind} {name} for {file.path}"))
        return _sum(done)

    def migrate(self, service: Service, hook: int, say: Callable[[str], None]) -> Done:
        args, wish = plan.migration(service, hook), service.migrate[hook]
        job = str(args["name"])
        found, tasks = self._docker.look(job)
        if found and not names.is_ours(found["Spec"].get("Labels") or {}, self._name):
            raise Refused(f"There is a service {job} in the Swarm that is not ours, where the migration {wish.shown} is to run: remove or rename it")
        if any(look.state_of(task) == "complete" for task in tasks):
            return Done(what=(f"{wish.shown} has been done for {service.release} already",))
        if any(look.has_failed(task) for task in tasks):  # of a former run: this one tries again
            self._removed(job)
            found = None
        done = Done()
        if not found:
            done = self._asked_for(args, f"migration {wish.shown}")
            self._history.forget()
        return self._ended(job, wish.shown, wish.timeout, done, say)

    def apply(self, service: Service) -> Done:
        args = plan.whole(service)
        found, _tasks = self._docker.look(self._name)
        labels = (found or {}).get("Spec", {}).get("Labels") or {}
        if labels.get(names.MARK) != args["labels"][names.MARK]:
            self._history.write(args, [plan.worker(service, worker) for worker in service.workers])
        elif look.is_paused(found):
            return self._resumed(self._name)
        self._over = look.began(found)
        return self._asked_for(args)

    def switch(self, service: Service) -> Done:
        return Done()

    def undo(self, service: Service, to: Seen) -> Done:
        if not to.release:
            return Done()
        record = self._history.find(to.release, to.mark)
        if record:
            return self._asked_for(record["service"])
        answer = self._docker.do("service", "rollback", "-d", self._name)
        if not answer.good:
            self._docker.refuse(answer, f"roll {self._name} back")
        return Done(True, (f"service {self._name} is rolled back",))

    def back(self, release: str) -> Done:
        record = self._history.find(release)
        if not record:
            kept = ", ".join(past.release for past in self._history.past()) or "none"
            raise Refused(f"Release {release} of {self._name} is not on record in the Swarm, so there is no going back to it. On record: {kept}")
        self._over = look.began(self._docker.look(self._name)[0])
        return self._asked_for(record["service"])

    def companions(self, service: Service, say: Callable[[str], None]) -> Done:
        record = self._history.find(service.release) if service.rollback else None
        wished = record["workers"] if record else [plan.worker(service, worker) for worker in service.workers]
        done = []
        if front := plan.front(service):
            config, args = front
            if not self._history.has("config", config["name"]):
                done.append(self._made("docker_config", config, f"config {config['name']}"))
            wished = [*wished, args]
        awaited = []
        for args in wished:
            found, _tasks = self._docker.look(args["name"])
            brought = self._brought(args, found)
            awaited.append((args, look.began(found), brought.changed))
            done.append(brought)
        for name in sorted(self._companions() - {args["name"] for args in wished}):
            self._removed(name)
            done.append(Done(True, (f"service {name} removed: it is no longer wished",)))
        for args, over, asked in awaited:
            self._await(args, over, asked, service, say)
        return _sum(done)

    def mark(self, service: Service, outcome: str, by: str) -> None:
        self._history.mark(service.release, outcome, by)

    def prune(self, service: Service) -> Done:
        found, _tasks = self._docker.look(self._name)
        return self._history.prune(service.keep_releases, found)

    def log(self, replica: Replica, lines: int = _LINES) -> tuple[str, ...]:
        return self._docker.lines(replica.name.rpartition(".")[2], lines)

    def why(self, replica: Replica) -> str:
        return why(self._docker, replica)

    def grip(self) -> Grip:
        return self._history.grip()

    def take(self, grip: Grip, holder: Mapping[str, Any]) -> bool:
        return self._history.take(grip, holder)

    # ---- how

    def _asked_for(self, args: Mapping[str, Any], what: str = "") -> Done:
        return self._made("docker_swarm_service", self._checkable(args), what or f"service {args['name']}")

    def _checkable(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """In a check, what would have been made before is not there, and the module looks for it: a config's name will do for its id."""
        fitting = dict(args)
        own = names.network(self._name)
        if own in args["networks"] and not self._history.has("network", own):
            fitting["networks"] = [network for network in args["networks"] if network != own]
        for kind in ("config", "secret"):
            fitting[f"{kind}s"] = [
                one if self._history.has(kind, one[f"{kind}_name"]) else {**one, f"{kind}_id": one[f"{kind}_name"]} for one in args.get(f"{kind}s") or []
            ]
        return fitting

    def _made(self, module: str, args: Mapping[str, Any], what: str) -> Done:
        result = self._docker.module(module, args, f"make the {what}")
        self._history.forget()
        if not result.get("changed"):
            return Done()
        return Done(True, (f"{what}: {_verb(result)}",), _diff(what, result))

    def _brought(self, args: Mapping[str, Any], found: Mapping[str, Any] | None) -> Done:
        """A companion as it is wished; nothing if it is so already."""
        labels = (found or {}).get("Spec", {}).get("Labels") or {}
        if found and not names.is_ours(labels, self._name):
            raise Refused(f"There is a service {args['name']} in the Swarm that is not ours: remove it, or give the worker another name")
        if labels.get(names.MARK) != args["labels"][names.MARK]:
            return self._asked_for(args)
        return self._resumed(args["name"]) if look.is_paused(found) else Done()

    def _resumed(self, name: str) -> Done:
        """Paused in the midst of this very description: Swarm goes on where it stopped when it is asked for it again."""
        answer = self._docker.do("service", "update", "-d", name)
        if not answer.good:
            self._docker.refuse(answer, f"go on with the update of {name}")
        return Done(True, (f"service {name}: its update goes on",))

    def _removed(self, name: str) -> None:
        self._docker.module("docker_swarm_service", {"name": name, "state": "absent"}, f"remove the service {name}")
        self._history.forget()

    def _companions(self) -> set[str]:
        parts = ("worker", "front")
        return {thing["Name"] for thing in self._history.things() if thing["kind"] == "service" and thing["Labels"].get(names.PART) in parts}

    def _ended(self, job: str, shown: str, timeout: float, done: Done, say: Callable[[str], None]) -> Done:
        """Wait for the end of a job's only task."""
        ends, said = self._clock() + timeout + _SLACK, ""
        while True:
            found, tasks = self._docker.look(job)
            if not found:  # in a check nothing has been started
                return done
            state = look.state_of(tasks[0]) if tasks else "new"
            replica = look.replica(job, tasks[0], {}) if tasks else None
            if replica and state == "complete":
                return Done(True, done.what or (f"migration {shown}",), done.diff, self.log(replica))
            if replica and look.has_failed(tasks[0]):
                lines = "\n".join(self.log(replica))
                raise Refused(f"The migration {shown} has failed: {self.why(replica)}. Its last lines:\n{lines}")
            if self._clock() > ends:
                self._removed(job)
                raise Refused(
                    f"The migration {shown} was not done within its {timeout:g} s and has been stopped; its task was {state}. "
                    "Give it more by its timeout, or see what it waits for"
                )
            if state != said:
                say(f"migration {shown}: {state}")
                said = state
            self._sleep(_POLL)

    def _await(self, args: Mapping[str, Any], over: str, asked: bool, service: Service, say: Callable[[str], None]) -> None:
        """Wait until a companion runs as it was asked for. ``over`` is when its update began that was there before this run ``asked`` for another."""
        count = len(self._nodes) if args["mode"] == "global" else args["replicas"]
        ends = self._clock() + _SLACK + count * (service.boot_timeout + service.watch + plan.seconds(args["stop_grace_period"]))
        # Swarm watches an update; a worker's first start, for which there is no health check either, is watched here
        runs, since = "", self._clock()
        while True:
            found, tasks = self._docker.look(args["name"])
            seen = look.seen(self._name, found, tasks, self._nodes, over=over)
            if not found or (seen.mark != args["labels"][names.MARK] and look.began(found) == over):
                return  # nothing was asked for: this is a check
            if runs != (runs := " ".join(replica.name for replica in seen.replicas if replica.healthy)):
                since = self._clock()
            watched = not asked or look.began(found) or args["healthcheck"]["test"] != ["NONE"] or self._clock() - since >= service.watch
            if seen.state == "settled" and watched:
                return
            if seen.state in ("paused", "rolled_back") or self._clock() > ends:
                bad = culprit(seen.release, seen)
                reason = f"{self.why(bad)}. Its last lines:\n" + "\n".join(self.log(bad)) if bad else seen.message or "its tasks are not there"
                raise Refused(f"The service {args['name']} does not run ({seen.state}): {reason}")
            say(f"{args['name']}: {seen.healthy(seen.release)} of {count} run")
            self._sleep(_POLL)


def _verb(result: Mapping[str, Any]) -> str:
    """What the module did, in a word; what it changed, by name."""
    changes = result.get("changes") or []
    said = {key for change in changes for key in (change if isinstance(change, Mapping) else {change: 0})}
    return f"changed ({', '.join(sorted(str(key) for key in said))})" if said else "made"


def _diff(what: str, result: Mapping[str, Any]) -> tuple[Mapping[str, str], ...]:
    """Before and after, with the names of the environment's variables alone: their values may be secret."""
    given = result.get("diff") or {}
    if not isinstance(given, Mapping) or not given:
        return ()
    sides = {}
    for side in ("before", "after"):
        shown = dict(given.get(side) or {}) if isinstance(given.get(side), Mapping) else {"": str(given.get(side) or "")}
        if "env" in shown:
            shown["env"] = sorted(str(entry).partition("=")[0] for entry in shown["env"] or [])
        shown.pop("labels", None)
        shown.pop("container_labels", None)
        sides[side] = json.dumps(shown, indent=2, sort_keys=True, default=str) + "\n"
    return ({**sides, "before_header": what, "after_header": what},)


def _sum(done: list[Done]) -> Done:
    """Several as one."""
    return Done(
        any(one.changed for one in done),
        tuple(word for one in done for word in one.what),
        tuple(diff for one in done for diff in one.diff),
        tuple(line for one in done for line in one.log),
    )
