# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service on Kubernetes: a Deployment that its own controller rolls, described, watched and judged from here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _kubernetes_pod, _kubernetes_rules, _kubernetes_seen, _kubernetes_tasks
from ._engine import Call, Done, Grip, Refused
from ._kubernetes_api import VERSIONS, Api
from ._kubernetes_errors import missing_rights
from ._kubernetes_names import AT, BY, HOLDER, OUTCOME, PLAN, RELEASE, REVISION, SERVER, SERVERS, Manifest, annotation, labels, ours, search
from ._kubernetes_plan import Plan, kept_plan, names_used, plan, plan_name
from ._seen import Replica, Seen
from ._service import Service


class Kubernetes:
    """One service in one namespace. ``options`` are ``bluegreen_kubernetes``."""

    title = "Kubernetes"

    def __init__(self, call: Call, name: str, options: Mapping[str, Any], sleep: Callable[[float], None] = time.sleep) -> None:
        self._api = Api(call, options)
        self._name = name
        self._sleep = sleep
        self._wished: Plan | None = None  # what this run is about
        self._asked: tuple[Plan, int] | None = None  # what was asked for last, and with how many replicas
        self._known: tuple[tuple[str, str], list[Manifest]] | None = None

    def problems(self, service: Service, seen: Seen) -> list[str]:
        found = _kubernetes_rules.problems(service)
        try:
            offered = self._api.offer()
            review = self._api.create(
                {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": self._api.namespace}},
            )
            if lacks := missing_rights(review, _kubernetes_rules.RULES, self._api.namespace):
                return found + lacks  # what follows would only say the same, in other words
            wished = plan(service, offered)
            main = self._things(wished)
            things = [self._api.get(one["kind"], one["metadata"]["name"], one["apiVersion"]) for one in (*main, *wished.companions)]
            found += _kubernetes_rules.foreign(service, [thing for thing in things if thing])
            found += _kubernetes_rules.room(service, self._nodes(service))
            if not found:
                # What only the API server knows: node ports, quotas, admission, a namespace that is not there.
                self._api.apply(*main, *wished.followers(), check=True)
                if not seen.image.startswith(service.image):
                    found += [why] if (why := _kubernetes_tasks.fetch(self._api, service, self._sleep)) else []
        except Refused as no:
            found.append(str(no))
        return found

    def _nodes(self, service: Service) -> list[Manifest]:
        """The cluster's nodes, where they may be seen; asked only for a service that says what it needs."""
        if not (service.resources.cpu or service.resources.memory):
            return []
        try:
            return self._api.find("Node", everywhere=True)
        except Refused:
            return []

    def look(self) -> Seen:
        deployment = self._api.get("Deployment", self._name)
        if not deployment or not ours(deployment, self._name):
            return _kubernetes_seen.seen(self._name, deployment, (), ())
        sets = self._replica_sets((deployment["metadata"].get("uid", ""), annotation(deployment, REVISION)))
        return _kubernetes_seen.seen(self._name, deployment, sets, self._api.find("Pod", search(self._name, SERVER)))

    def wished(self, service: Service, seen: Seen) -> bool:
        if service.rollback:
            return seen.release == service.release
        return seen.mark == plan(service, self._api.offer()).mark and seen.wanted == service.replicas

    def _replica_sets(self, version: tuple[str, str] | None = None) -> list[Manifest]:
        """The history. It is read again only when the Deployment has another revision: a wait looks each second."""
        if version is None or self._known is None or self._known[0] != version:
            self._known = (version or ("", ""), self._api.find("ReplicaSet", search(self._name, *SERVERS)))
        return self._known[1]

    def files(self, service: Service) -> Done:
        return self._api.bring(*_kubernetes_pod.contents(service), self._plan(service).kept)

    def _plan(self, service: Service) -> Plan:
        self._wished = plan(service, self._api.offer())
        return self._wished

    def migrate(self, service: Service, hook: int, say: Callable[[str], None]) -> Done:
        return _kubernetes_tasks.migrate(self._api, service, hook, say, self._sleep)

    def apply(self, service: Service) -> Done:
        wished = self._plan(service)
        done = self._ask(wished)
        if service.options.get("disruption_budget", True):
            return done
        budget = self._api.get("PodDisruptionBudget", self._name, self._api.offer().budget)
        gone = self._api.delete(budget) if budget and ours(budget, self._name) else Done()
        return Done(done.changed or gone.changed, done.what + gone.what, done.diff)

    def _ask(self, wished: Plan, replicas: int = 0) -> Done:
        self._asked = (wished, replicas)
        return self._api.apply(*self._things(wished, replicas))

    def _things(self, wished: Plan, replicas: int = 0) -> Sequence[Manifest]:
        return wished.rollout(replicas)

    def switch(self, service: Service) -> Done:
        return Done()

    def undo(self, service: Service, to: Seen) -> Done:
        return self._ask(self._kept(to.mark, to.release), to.wanted) if to.mark else Done()

    def back(self, release: str) -> Done:
        now = self.look()
        for one in _kubernetes_seen.latest_first(self._replica_sets()):
            if annotation(one["spec"]["template"], RELEASE) == release:
                self._wished = self._kept(annotation(one, PLAN).rpartition("-")[2], release)
                return self._ask(self._wished, now.wanted)
        known = ", ".join(one.release for one in now.past) or "none"
        raise Refused(f"Kubernetes has no ReplicaSet of release {release} of {self._name} any more; it has {known}. Release it anew instead.")

    def _kept(self, mark: str, release: str) -> Plan:
        name = plan_name(self._name, mark)
        found = self._api.get("ConfigMap", name)
        if not found:
            raise Refused(f"ConfigMap {name} in namespace {self._api.namespace}, which keeps what release {release} is, is gone. Release it anew instead.")
        return kept_plan(self._name, found)

    def companions(self, service: Service, say: Callable[[str], None]) -> Done:
        """Of what was asked for last: after an undo those of the former release."""
        wished, replicas = self._asked or (self._plan(service), 0)
        return _kubernetes_tasks.follow(self._api, service, wished.followers(replicas), say, self._sleep)

    def mark(self, service: Service, outcome: str, by: str) -> None:
        sets = _kubernetes_seen.latest_first(self._replica_sets())
        mine = self._wished.name if self._wished and self._wished.release == service.release else ""
        # Of one release there may be several, with other variables each: it is about the one that this run has asked for.
        named = [one for one in sets if mine and annotation(one, PLAN) == mine]
        named += [one for one in sets if annotation(one["spec"]["template"], RELEASE) == service.release]
        for one in named[:1]:
            notes = {"annotations": {OUTCOME: outcome, BY: by, AT: f"{time.time():.3f}"}}
            self._api.patch({"apiVersion": VERSIONS["ReplicaSet"], "kind": "ReplicaSet", "metadata": {"name": one["metadata"]["name"], **notes}})
        self._known = None

    def prune(self, service: Service) -> Done:
        sets = self._replica_sets()
        plans = self._api.find("ConfigMap", search(self._name, "plan"))
        needed = {annotation(one, PLAN) for one in sets} | {one.name for one in (self._wished, *(self._asked or ())[:1]) if one}
        kept = [kept_plan(self._name, one) for one in plans if one["metadata"]["name"] in needed]
        used = needed | names_used(tuple(sets)) | names_used(tuple(thing for one in kept for thing in (*one.main, *one.companions)))
        contents = [thing for kind in ("ConfigMap", "Secret") for thing in self._api.find(kind, search(self._name, "content"))]
        releases = {annotation(one["spec"]["template"], RELEASE) for one in sets} | {service.release}
        jobs = [job for job in self._api.find("Job", search(self._name, "migrate")) if annotation(job, RELEASE) not in releases]
        return self._api.delete(*(thing for thing in (*plans, *contents) if thing["metadata"]["name"] not in used), *jobs)

    def log(self, replica: Replica, lines: int = 20) -> tuple[str, ...]:
        """Of a pod that is started again and again, what it wrote before its last end."""
        ended = replica.state == "CrashLoopBackOff"
        return self._api.log(replica.name, lines, previous=ended) or self._api.log(replica.name, lines, previous=not ended)

    def why(self, replica: Replica) -> str:
        return _kubernetes_tasks.why(self._api, replica)

    def grip(self) -> Grip:
        lease = self._api.get("Lease", self._lease)
        return Grip(json.loads(annotation(lease, HOLDER) or "{}"), lease["metadata"]["resourceVersion"]) if lease else Grip()

    def take(self, grip: Grip, holder: Mapping[str, Any]) -> bool:
        if not grip.version:
            self._api.bring(self._lock())  # without a word of who holds it: of two who make it, neither has it yet
            grip = self.grip()
            if grip.holder:
                return False
        return self._api.put(self._lock(grip.version, holder))

    @property
    def _lease(self) -> str:
        return f"{self._name}-lock"

    def _lock(self, version: str = "", holder: Mapping[str, Any] | None = None) -> Manifest:
        metadata: Manifest = {"name": self._lease, "labels": labels(self._name, "lock")}
        if holder is None:
            return {"apiVersion": VERSIONS["Lease"], "kind": "Lease", "metadata": metadata}
        noted = {HOLDER: json.dumps(dict(holder), sort_keys=True)} if holder else {}
        return {
            "apiVersion": VERSIONS["Lease"],
            "kind": "Lease",
            "metadata": {**metadata, "annotations": noted, "resourceVersion": version},
            "spec": {"holderIdentity": str(holder.get("by") or "") or None} if holder else {},
        }
