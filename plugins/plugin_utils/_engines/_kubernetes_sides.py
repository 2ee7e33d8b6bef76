# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue/green on Kubernetes: a Deployment for each side, and one Service whose selector says which of them clients reach.

The Deployment of the service's own name, which ``rolling`` has, is a side like the others, so that a service changes from one
strategy to the other as it changes sides. A side's pods have a component of their own (``server-blue``): the selectors
of two sides never overlap, and no pod is reached before its turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import _kubernetes_seen
from ._engine import Call, Done
from ._kubernetes import Kubernetes
from ._kubernetes_api import VERSIONS
from ._kubernetes_names import PLAN, RELEASE, REVISION, SELECTED, SERVER, SERVERS, SIDES, Manifest, annotation, ours, search
from ._kubernetes_plan import Plan
from ._seen import FAILED, Past, Replica, Seen
from ._service import Service


def component(side: str) -> str:
    return f"{SERVER}-{side}" if side else SERVER


def named(service: str, side: str) -> str:
    """The Deployment of a side."""
    return f"{service}-{side}" if side else service


def side_of(labels: Mapping[str, str]) -> str:
    """The side that a selector, or labels, mean."""
    return str(labels.get(SELECTED, "")).partition("-")[2]


def on(things: Sequence[Manifest], service: str, side: str) -> list[Manifest]:
    """What rolls, of one side: its Deployment, and who follows it (Service and budget). A side that no client reaches needs no care when it is replaced."""
    placed = [_moved(one, component(side)) for one in things]
    if not side:
        return placed
    at_once = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "100%"}}
    return [
        {**one, "metadata": {**one["metadata"], "name": named(service, side)}, "spec": {**one["spec"], "strategy": at_once}}
        if one["kind"] == "Deployment"
        else one
        for one in placed
    ]


def _moved(node: Any, to: str) -> Any:
    if isinstance(node, Mapping):
        return {key: to if key == SELECTED and value == SERVER else _moved(value, to) for key, value in node.items()}
    return [_moved(value, to) for value in node] if isinstance(node, (list, tuple)) else node


def _pending(replicas: Sequence[Replica], past: Sequence[Past]) -> str:
    """A release whose run was cut off before the switch, or failed and was left for a person to look at."""
    ended = {one.release: one.outcome for one in past}
    return next((one.release for one in replicas if one.aside and not one.leaving and ended.get(one.release, "") in ("", FAILED)), "")


class Sides(Kubernetes):
    """One service, of which one side serves. ``turns``: blue and green take turns; else the side without a name is the one to be."""

    def __init__(self, call: Call, name: str, options: Mapping[str, Any], turns: bool = False, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(call, name, options, sleep)
        self._turns = turns
        self._serving: str | None = None  # the side that the Service selects; None if there is no Service
        self._to: str | None = None  # the side that gets a release, from when it is asked for until the switch
        self._now: Manifest | None = None  # the Deployment that serves

    def look(self) -> Seen:
        """The side that serves; from when a release is asked for, the one that gets it."""
        if self._to is None:
            service = self._api.get("Service", self._name)
            self._serving = side_of(service["spec"].get("selector") or {}) if service and ours(service, self._name) else None
        side = self._first if self._shown is None else self._shown
        deployment = self._api.get("Deployment", named(self._name, side))
        if self._to is None:
            self._now = deployment
        if not deployment or not ours(deployment, self._name):
            return _kubernetes_seen.seen(self._name, deployment, (), ())
        sets = self._replica_sets((deployment["metadata"].get("uid", ""), annotation(deployment, REVISION)))
        pods = self._api.find("Pod", search(self._name, *SERVERS))
        own = [one for one in sets if side_of(one["metadata"].get("labels") or {}) == side]
        found = _kubernetes_seen.seen(self._name, deployment, own, pods, rising=side != self._serving)
        past = _kubernetes_seen.past(sets)
        aside = {one["metadata"]["name"] for one in pods if side_of(one["metadata"].get("labels") or {}) != self._serving}
        replicas = tuple(replace(one, aside=one.name in aside) for one in found.replicas)
        return replace(
            found,
            was=_kubernetes_seen.was(found.release, past),
            past=past,
            replicas=replicas,
            pending=_pending(replicas, past) if self._serving is not None else "",
        )

    @property
    def _shown(self) -> str | None:
        return self._serving if self._to is None else self._to

    @property
    def _first(self) -> str:
        """The side that the first release goes to."""
        return SIDES[0] if self._turns else ""

    def _target(self, wished: Plan) -> str:
        """The side for it: the one that serves if it is that already, and for rolling; else the other one."""
        if self._to is not None:
            return self._to
        if self._now is None:
            self.look()
        if self._serving is None:
            return self._first
        there = bool(self._now) and annotation(self._now or {}, PLAN) == wished.name
        if there or (not self._turns and not self._serving):
            return self._serving
        return "" if not self._turns else SIDES[1] if self._serving == SIDES[0] else SIDES[0]

    def _things(self, wished: Plan, replicas: int = 0) -> list[Manifest]:
        return on(wished.rollout(replicas), self._name, self._target(wished))

    def _ask(self, wished: Plan, replicas: int = 0) -> Done:
        """On the side that serves, all of it; on another one the Deployment alone: clients notice nothing."""
        self._asked = (wished, replicas)
        things = self._things(wished, replicas)
        self._to = self._target(wished)
        return self._api.apply(*(one for one in things if self._to == self._serving or one["kind"] == "Deployment"))

    def switch(self, service: Service) -> Done:
        if self._to is None or self._asked is None or self._to == self._serving:
            return Done()
        done = self._api.apply(*self._things(*self._asked))
        former = "none" if self._serving is None else named(self._name, self._serving)
        what = f"Service {self._name}: from {former} to {named(self._name, self._to)}"
        self._serving, self._to, self._now = self._to, None, None
        return Done(done.changed, (what,) if done.changed else (), done.diff)

    def back(self, release: str) -> Done:
        """What serves already stays: of a release there may be several, with other variables each."""
        if self._now is None:
            self.look()
        if self._now and annotation(self._now["spec"]["template"], RELEASE) == release:
            return self._ask(self._kept(annotation(self._now, PLAN).rpartition("-")[2], release), int(self._now["spec"].get("replicas", 1)))
        return super().back(release)

    def undo(self, service: Service, to: Seen) -> Done:
        """Before the switch nothing was taken from anybody: the new side alone ends."""
        if self._to is None or self._to == self._serving:
            return super().undo(service, to)
        if self._serving is None:
            return Done()
        done = self._end(self._to)
        self._to = None
        return done

    def prune(self, service: Service) -> Done:
        """Sides that do not serve end as well, but for the one that shall stay warm."""
        gone = Done()
        if self._serving is not None:
            others = [side for side in (*reversed(SIDES), *SIDES, "") if side != self._serving]
            there = [side for side in dict.fromkeys(others) if self._api.get("Deployment", named(self._name, side))]
            for side in there[1:] if service.old_stays else there:
                done = self._end(side)
                gone = Done(gone.changed or done.changed, gone.what + done.what, gone.diff + done.diff)
        done = super().prune(service)
        return Done(gone.changed or done.changed, gone.what + done.what, gone.diff + done.diff)

    def _end(self, side: str) -> Done:
        """No replicas any more; each pauses and drains first, as always."""
        name = named(self._name, side)
        found = self._api.get("Deployment", name)
        if not found or not ours(found, self._name) or not found["spec"].get("replicas", 1):
            return Done()
        ended = self._api.patch({"apiVersion": VERSIONS["Deployment"], "kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": 0}})
        return Done(ended.changed, (f"Deployment {name} ended",), ended.diff)
