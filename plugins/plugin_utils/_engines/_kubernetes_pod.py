# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods of a service on Kubernetes: container, probes, the way to its end, and the files and variables it gets. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from ._kubernetes_names import RELEASE, SERVER, Manifest, Offer, digest, labels, selector, texts
from ._service import File, Service

CONTAINER = "app"
ADDED_TO = ("volumes", "initContainers", "volumeMounts", "envFrom")
"""Lists of a pod or a container to which the user's are added."""
REPLACED = ("livenessProbe",)
"""What of ours the user may replace."""


def file_name(service: Service, file: File) -> str:
    return f"{service.name}-{digest(file.secret, file.digest)}"


def env_name(service: Service) -> str:
    return f"{service.name}-env-{digest(dict(service.environment))}"


def contents(service: Service) -> list[Manifest]:
    """ConfigMaps and Secrets of the release, each named by its content: those of another release stay, and a rollback finds its own.

    They are immutable: nobody can change under a release what it was tried with.
    """
    found = {file_name(service, file): _content(service, file) for file in service.files}
    found[env_name(service)] = {
        **_head("Secret", env_name(service), service),
        "immutable": True,
        "data": {name: _base64(value.encode()) for name, value in service.environment.items()},
    }
    return list(found.values())


def _content(service: Service, file: File) -> Manifest:
    kind, key = ("Secret", "data") if file.secret else ("ConfigMap", "binaryData")
    return {**_head(kind, file_name(service, file), service), "immutable": True, key: {"file": _base64(file.content)}}


def _head(kind: str, name: str, service: Service) -> Manifest:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels(service.name, "content")}}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def template(service: Service, component: str, spec: Manifest) -> Manifest:
    """A pod template. The release is an annotation, because a label may not hold every release's name."""
    options = service.options
    marks = {**texts(options.get("labels")), **labels(service.name, component, service.release)}
    return {"metadata": {"labels": marks, "annotations": {**texts(options.get("annotations")), RELEASE: service.release}}, "spec": spec}


def server(service: Service, offer: Offer) -> Manifest:
    """The pods that serve.

    Two things begin at once when a pod is to end: its endpoint is taken away, and it is told to stop. Every node's proxy
    hears of the first a moment later, and goes on sending to it. So the pod waits ``drain_pause`` seconds before it is
    told, and the time until SIGKILL (``terminationGracePeriodSeconds`` counts from the beginning, the pause included) is
    that of draining and stopping together. See "Termination of Pods" in Kubernetes' documentation.
    """
    container = {
        **_container(service, service.command),
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in service.ports.items()],
        **_probes(service),
        **_pause(service.drain_pause, offer),
    }
    spec = _spec(service, _merged(container, service.options.get("container", {})), service.grace)
    return template(service, SERVER, {"affinity": _apart(service), **spec})


def _apart(service: Service) -> Manifest:
    """Rather not two replicas on one node."""
    term = {"labelSelector": {"matchLabels": selector(service.name)}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}}


def plain(service: Service, component: str, command: Sequence[str], grace: int, restart: str = "Always") -> Manifest:
    """Pods of the release that run another command and have no port: a worker, a cron job, a migration.

    What the user adds to the container (mounts, a security context) is theirs, too, but for a check of the port.
    """
    users = {key: value for key, value in service.options.get("container", {}).items() if key not in REPLACED}
    return template(service, component, {**_spec(service, _merged(_container(service, command), users), grace), "restartPolicy": restart})


def fetched(service: Service) -> Manifest:
    """A pod that has the image brought to its node, with the logins and on the nodes of the service, and runs nothing: the image has no such command."""
    whole = _spec(service, {}, 0)
    where: Manifest = {key: whole[key] for key in ("imagePullSecrets", "serviceAccountName", "nodeSelector", "tolerations", "securityContext") if key in whole}
    container = {key: value for key, value in _container(service, ("/only/whether/it/can/be/had",)).items() if key not in ("envFrom", "volumeMounts")}
    if allowed := service.options.get("container", {}).get("securityContext"):  # what the namespace's admission may ask for
        container["securityContext"] = allowed
    return template(service, "image", {**where, "containers": [container], "restartPolicy": "Never", "automountServiceAccountToken": False})


def _container(service: Service, command: Sequence[str]) -> Manifest:
    asked = service.resources
    resources = {"requests": _amounts(asked.cpu, asked.memory), "limits": _amounts(asked.cpu_limit, asked.memory_limit)}
    return {
        "name": CONTAINER,
        "image": service.image,
        "imagePullPolicy": service.options.get("pull_policy", "IfNotPresent"),
        **({"command": list(command)} if command else {}),
        "envFrom": [{"secretRef": {"name": env_name(service)}}],
        **({"securityContext": {"runAsUser": int(service.user)}} if service.user.isdigit() else {}),
        **({"resources": {key: value for key, value in resources.items() if value}} if any(resources.values()) else {}),
        **({"volumeMounts": [_mount(service, file) for file in service.files]} if service.files else {}),
    }


def _amounts(cpu: str, memory: str) -> Manifest:
    """As the variables mean it on every engine, 256M are mebibytes: Docker reads it so, Kubernetes would not."""
    return {**({"cpu": cpu} if cpu else {}), **({"memory": memory if memory.isdigit() else f"{memory}i"} if memory else {})}


def _mount(service: Service, file: File) -> Manifest:
    """By subPath each file stands alone at its path, and what else the image has in that directory stays to be seen."""
    return {"name": _volume(service, file), "mountPath": file.path, "subPath": "file", "readOnly": True}


def _volume(service: Service, file: File) -> str:
    return f"file-{digest(file.secret, file.digest, file.mode)}"


def _volumes(service: Service) -> list[Manifest]:
    found = {}
    for file in service.files:
        name = file_name(service, file)
        source = {"secret": {"secretName": name, "defaultMode": file.mode}} if file.secret else {"configMap": {"name": name, "defaultMode": file.mode}}
        found[_volume(service, file)] = {"name": _volume(service, file), **source}
    return list(found.values())


def _probes(service: Service) -> Manifest:
    """Readiness as the health check is described; a start within ``boot_timeout``.

    Liveness asks only whether the port accepts: a check that asks the database, too, would restart every replica of a
    service whose database is away for half a minute. Who wants another sets it in ``bluegreen_kubernetes.container``.
    """
    health = service.health
    port = health.port or next(iter(service.ports))
    request = {"path": health.path, "port": port, **_headers(health.request_headers)}
    every, within = max(1, ceil(health.interval)), max(1, ceil(health.timeout))
    common = {"periodSeconds": every, "timeoutSeconds": within}
    return {
        "startupProbe": {"httpGet": request, **common, "failureThreshold": max(1, ceil(service.boot_timeout / every))},
        "readinessProbe": {"httpGet": request, **common, "successThreshold": max(1, health.successes), "failureThreshold": 3},
        "livenessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 10, "timeoutSeconds": max(within, 5), "failureThreshold": 3},
    }


def _headers(wanted: Mapping[str, str]) -> Manifest:
    return {"httpHeaders": [{"name": name, "value": value} for name, value in wanted.items()]} if wanted else {}


def _pause(seconds: float, offer: Offer) -> Manifest:
    """Kubernetes' own ``sleep`` where it has it; else the image's, which then must be there: else the pod is told at once."""
    whole = ceil(seconds)
    if not whole:
        return {}
    handler: Manifest = {"sleep": {"seconds": whole}} if offer.sleeps else {"exec": {"command": ["sleep", str(whole)]}}
    return {"lifecycle": {"preStop": handler}}


def _spec(service: Service, container: Manifest, grace: int) -> Manifest:
    options = service.options
    volumes = _volumes(service)
    named = {
        "imagePullSecrets": [{"name": name} for name in options.get("pull_secrets", [])],
        "serviceAccountName": options.get("service_account"),
        "nodeSelector": texts(options.get("node_selector")),
        "tolerations": options.get("tolerations"),
        "affinity": options.get("affinity"),
        "volumes": volumes,
    }
    spec = {
        "containers": [container],
        "terminationGracePeriodSeconds": grace,
        "automountServiceAccountToken": bool(options.get("service_account")),  # a token that nobody asked for is one more to be stolen
        **{key: value for key, value in named.items() if value},
    }
    return _merged(spec, options.get("pod", {}))


def _merged(ours: Manifest, theirs: Mapping[str, Any]) -> Manifest:
    merged = dict(ours)
    for key, value in theirs.items():
        merged[key] = [*ours.get(key, []), *value] if key in ADDED_TO else value
    return merged
