# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kubernetes cannot take of a service, known without asking it; and the rights that a release needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ._kubernetes_names import SIDES, Offer, ours
from ._kubernetes_pod import ADDED_TO, REPLACED, server
from ._service import Service

_LARGEST = 1_000_000  # bytes of a ConfigMap or Secret; the API's limit is 1 MiB for all of an object
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "k": 10**3, "m": 10**-3, "": 1}
_AMOUNT = re.compile(r"([0-9.]+)([A-Za-z]*)\Z")

_EDIT = ["get", "list", "create", "patch", "delete"]
RULES: tuple[Mapping[str, Any], ...] = (
    {"apiGroups": ["apps"], "resources": ["deployments", "daemonsets"], "verbs": _EDIT},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get", "list", "patch"]},
    {"apiGroups": [""], "resources": ["services", "configmaps", "secrets"], "verbs": _EDIT},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": _EDIT},
    {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": _EDIT},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "patch", "update"]},
)
"""The rules of a Role in the service's namespace with which a release, a rollback and a status work. Of the cluster's own,
``nodes: list`` lets the preflight compare what is asked for with what the nodes have; without it that is left out."""


def problems(service: Service) -> list[str]:
    """A sentence for each thing of the service that Kubernetes has no way to do."""
    found = []
    if service.stop_signal != "TERM":
        found.append(
            f"bluegreen_stop_signal is {service.stop_signal}; Kubernetes sends what the image's STOPSIGNAL says, else TERM: "
            "set STOPSIGNAL in the image, and leave the variable away."
        )
    if not service.health.path:
        found.append("bluegreen_health_path is empty; Kubernetes needs a path to ask, else it would send requests to replicas that do not serve yet.")
    if service.user and not service.user.isdigit():
        found.append(f"bluegreen_user is {service.user}; Kubernetes takes a number (runAsUser), such as 1000.")
    if unknown := sorted(set(service.options.get("node_ports", {})) - set(service.ports)):
        found.append(f"bluegreen_kubernetes: node_ports has {unknown[0]}, which bluegreen_ports has not; it has {', '.join(service.ports)}.")
    if service.options.get("node_ports") and service.options.get("service_type", "ClusterIP") == "ClusterIP":
        found.append("bluegreen_kubernetes: node_ports is set, and service_type is ClusterIP; set service_type to NodePort or LoadBalancer.")
    if service.strategy == "blue_green" and (taken := {*(one.name for one in service.workers), *(one.name for one in service.crons)} & {*SIDES}):
        found.append(f"bluegreen_workers or bluegreen_cron has {min(taken)}, which is the name of a side with blue_green; choose another one.")
    if same := {worker.name for worker in service.workers} & {cron.name for cron in service.crons}:
        found.append(f"bluegreen_workers and bluegreen_cron both have {min(same)}; name one of them otherwise.")
    for worker in service.workers:
        if worker.stop_signal != "TERM":
            found.append(
                f"bluegreen_workers: stop_signal of {worker.name} is {worker.stop_signal}; Kubernetes sends what the image's STOPSIGNAL says, else TERM."
            )
    for file in service.files:
        if len(file.content) > _LARGEST:
            found.append(f"bluegreen_config_files: {file.path} has {len(file.content)} bytes; Kubernetes takes {_LARGEST}. Put it into the image or a volume.")
    return found + _taken(service)


def _taken(service: Service) -> list[str]:
    """Fields of the user's that are ours."""
    spec = server(_bare(service), Offer())["spec"]
    kept = {
        "pod": {*spec, "nodeSelector", "tolerations", "affinity", "imagePullSecrets", "serviceAccountName"},
        "container": {*spec["containers"][0], "command"},
    }
    return [
        f"bluegreen_kubernetes: {option} has {key}, which the collection sets itself; take it away."
        for option, ours_ in kept.items()
        for key in sorted(set(service.options.get(option, {})) & ours_ - {*ADDED_TO, *REPLACED})
    ]


def _bare(service: Service) -> Service:
    return replace(service, options={key: value for key, value in service.options.items() if key not in ("pod", "container")})


def foreign(service: Service, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Objects that have a name of ours and are not: they would be overwritten."""
    return [
        f"{thing['kind']} {thing['metadata']['name']} in namespace {thing['metadata'].get('namespace', '')} is not of this collection "
        f"(no label app.kubernetes.io/managed-by=hotswap.bluegreen of service {service.name}); choose another bluegreen_service, or delete it."
        for thing in found
        if not ours(thing, service.name)
    ]


def room(service: Service, nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether the nodes could ever have room for the replicas, and those on top while they are replaced."""
    found = []
    able = [node for node in nodes if not (node.get("spec") or {}).get("unschedulable")]
    most = service.replicas + min(service.batch, service.replicas)
    for what, asked in (("cpu", service.resources.cpu), ("memory", service.resources.memory)):
        need = amount(asked)
        has = [amount(((node.get("status") or {}).get("allocatable") or {}).get(what, "")) for node in able]
        if not need or not has:
            continue
        if sum(int(one // need) for one in has) < most:
            found.append(
                f"bluegreen_resources: {what} of {asked} for {service.replicas} replicas, and {most - service.replicas} more while they are replaced, is more "
                f"than the {len(has)} nodes have room for ({_shown(what, has)}); ask for less, or add a node."
            )
    return found


def _shown(what: str, has: Sequence[float]) -> str:
    return ", ".join(f"{one:g} cores" if what == "cpu" else f"{one / 2**20:.0f}M" for one in has)


def amount(text: Any) -> float:
    """A quantity as a number; 0 for none. ``M`` is ours and Docker's: mebibytes."""
    found = _AMOUNT.match(str(text or ""))
    return float(found[1]) * _UNITS.get(found[2], 0) if found else 0.0
