# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a service is on Kubernetes, as manifests: what rolls, what follows it, and what comes before. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Hook

from . import _kubernetes_pod as pod
from ._kubernetes_names import PLAN, RELEASE, SCOPE, SERVER, Manifest, Offer, digest, labels, selector, texts
from ._service import Cron, Service, Worker


@dataclass(frozen=True)
class Plan:
    """``main`` are the Deployment and what belongs to it, ``companions`` are workers and cron jobs. ``mark`` tells one description from another."""

    service: str
    release: str
    main: tuple[Manifest, ...]
    companions: tuple[Manifest, ...] = ()

    @property
    def mark(self) -> str:
        return digest(self.release, self.main, self.companions)

    @property
    def name(self) -> str:
        """Of the ConfigMap that keeps it."""
        return plan_name(self.service, self.mark)

    def rollout(self, replicas: int = 0) -> tuple[Manifest, ...]:
        """``main``, whose Deployment says which plan it is of. With ``replicas`` so many of them instead of the plan's own:
        a release that comes back shall carry today's load, not that of its own day."""
        return tuple(_annotated(_scaled(one, replicas), {PLAN: self.name}) if one["kind"] == "Deployment" else one for one in self.main)

    def followers(self, replicas: int = 0) -> tuple[Manifest, ...]:
        """``companions``, those of scope slot as many as ``replicas``."""
        return tuple(_scaled(one, replicas) if one["metadata"]["annotations"].get(SCOPE) == "slot" else one for one in self.companions)

    @property
    def kept(self) -> Manifest:
        """The ConfigMap that brings it back: no secret is in it, for those are in Secrets of their own."""
        text = json.dumps({"release": self.release, "main": self.main, "companions": self.companions}, sort_keys=True)
        metadata = {"name": self.name, "labels": labels(self.service, "plan"), "annotations": {RELEASE: self.release}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "data": {"plan": text}}


def plan_name(service: str, mark: str) -> str:
    return f"{service}-release-{mark}"


def kept_plan(service: str, config_map: Mapping[str, Any]) -> Plan:
    """The plan that a ConfigMap keeps."""
    found = json.loads(config_map["data"]["plan"])
    return Plan(service, found["release"], tuple(found["main"]), tuple(found["companions"]))


def _scaled(thing: Manifest, replicas: int) -> Manifest:
    return {**thing, "spec": {**thing["spec"], "replicas": replicas}} if replicas else thing


def plan(service: Service, offer: Offer) -> Plan:
    """What the service is on a cluster that offers this."""
    budget = [_budget(service, offer)] if service.options.get("disruption_budget", True) else []
    # The Deployment last: if the API server does not take one of the others, nothing has begun to roll.
    main = [_service(service), *budget, _deployment(service, offer)]
    companions = [*(_worker(service, worker) for worker in service.workers), *(_cron(service, cron, offer) for cron in service.crons)]
    return Plan(service.name, service.release, tuple(main), tuple(companions))


def _head(service: Service, version: str, kind: str, name: str = "", component: str = SERVER, **annotations: str) -> Manifest:
    marks = {**texts(service.options.get("labels")), **labels(service.name, component, service.release)}
    metadata = {"name": name or service.name, "labels": marks, "annotations": {RELEASE: service.release, **annotations}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _annotated(thing: Manifest, more: Mapping[str, str]) -> Manifest:
    metadata = thing["metadata"]
    return {**thing, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **more}}}


def _deployment(service: Service, offer: Offer) -> Manifest:
    """Replicas are added before others are taken away (maxUnavailable 0), ``batch`` at once, and each is watched before it counts."""
    spec = {
        "replicas": service.replicas,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": service.batch, "maxUnavailable": 0}},
        **_pace(service),
        "revisionHistoryLimit": service.keep_releases,
        "selector": {"matchLabels": selector(service.name)},
        "template": pod.server(service, offer),
    }
    return {**_head(service, "apps/v1", "Deployment"), "spec": spec}


def _pace(service: Service) -> Manifest:
    """The deadline counts anew with each replica that gets available; ten seconds of it are for the scheduler and the start of a container."""
    return {"minReadySeconds": ceil(service.watch), "progressDeadlineSeconds": ceil(service.boot_timeout) + ceil(service.watch) + 10}


def _service(service: Service) -> Manifest:
    options = service.options
    nodes = {name: int(port) for name, port in options.get("node_ports", {}).items()}
    ports = [
        {"name": name, "port": port, "targetPort": name, "protocol": "TCP", **({"nodePort": nodes[name]} if name in nodes else {})}
        for name, port in service.ports.items()
    ]
    spec = {"type": options.get("service_type", "ClusterIP"), "selector": selector(service.name), "ports": ports}
    return {**_head(service, "v1", "Service"), "spec": spec}


def _budget(service: Service, offer: Offer) -> Manifest:
    """One replica at a time. Not a minimum: with a single replica that would hold up the draining of its node forever."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": selector(service.name)}}
    return {**_head(service, offer.budget, "PodDisruptionBudget"), "spec": spec}


def _worker(service: Service, worker: Worker) -> Manifest:
    component = f"worker-{worker.name}"
    common = {
        "selector": {"matchLabels": selector(service.name, component)},
        "template": pod.plain(service, component, worker.command, worker.stop_timeout),
        "revisionHistoryLimit": 0,  # the plan of a release brings its workers back
    }
    kind = "DaemonSet" if worker.scope == "host" else "Deployment"
    head = _head(service, "apps/v1", kind, f"{service.name}-{worker.name}", component, **{SCOPE: worker.scope})
    if worker.scope == "host":
        return {**head, "spec": {**common, "minReadySeconds": ceil(service.watch), "updateStrategy": {"type": "RollingUpdate"}}}
    # A singleton is stopped before its successor starts: two of them at once is what its user does not want.
    alone = worker.scope == "fleet"
    strategy = {"type": "Recreate"} if alone else {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": service.batch, "maxUnavailable": 0}}
    return {**head, "spec": {**common, **_pace(service), "replicas": 1 if alone else service.replicas, "strategy": strategy}}


def _cron(service: Service, cron: Cron, offer: Offer) -> Manifest:
    component = f"cron-{cron.name}"
    job = {"backoffLimit": 0, "template": pod.plain(service, component, cron.command, service.stop_timeout, "Never")}
    spec = {
        "schedule": cron.schedule,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 300,  # without it, a hundred missed starts stop a CronJob for good (its controller counts them)
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"metadata": {"labels": labels(service.name, component, service.release)}, "spec": job},
    }
    return {**_head(service, offer.cron, "CronJob", f"{service.name}-{cron.name}", component), "spec": spec}


def job_name(service: Service, number: int) -> str:
    """Of the release and the command: once for the release, and a mended command is another one."""
    return f"{service.name}-migrate-{number}-{digest(service.release, service.migrate[number].command)}"


def migration(service: Service, number: int) -> Manifest:
    """The Job of a migration. It is tried once: whether to try again is for a person to say, by running the release again."""
    hook: Hook = service.migrate[number]
    command = ("sh", "-c", hook.command[0]) if len(hook.command) == 1 else hook.command
    spec = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": ceil(hook.timeout) + 60,  # for a run that is not there any more: the pod's log goes with it
        "template": pod.plain(service, "migrate", command, service.stop_timeout, "Never"),
    }
    return {**_head(service, "batch/v1", "Job", job_name(service, number), "migrate"), "spec": spec}


def fetching(service: Service) -> Manifest:
    """The Job that tries whether the image can be had. A Job's template cannot be changed: another one is another Job."""
    spec = {"backoffLimit": 0, "activeDeadlineSeconds": 300, "template": pod.fetched(service)}
    return {**_head(service, "batch/v1", "Job", f"{service.name}-image-{digest(spec)}", "image"), "spec": spec}


def names_used(things: tuple[Mapping[str, Any], ...]) -> set[str]:
    """Names of the ConfigMaps and Secrets that pod templates refer to, in objects or in the text of a plan."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                if key in ("secretRef", "configMapRef", "configMap", "secret") and isinstance(value, Mapping):
                    found.add(str(value.get("name") or value.get("secretName") or ""))
                walk(value)
        elif isinstance(node, (list, tuple)):
            for value in node:
                walk(value)

    walk(things)
    return found - {""}
