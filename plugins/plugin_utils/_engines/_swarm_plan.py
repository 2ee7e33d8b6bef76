# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of ``community.docker`` are given for a service. Pure.

Two things of ``docker_swarm_service`` shape this: it resets what it is not told, so that each service is always told
whole; and a delay of ``0s`` is a change to it every time, so that none is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import _swarm_names as names
from . import _swarm_nginx as nginx
from ._service import File, Service, Worker

Args = dict[str, Any]

# What a user may not pass through in bluegreen_swarm.service: it is made of the variables that all engines share.
OURS = frozenset(
    {
        *("args", "command", "configs", "container_labels", "endpoint_mode", "env", "env_files", "force_update", "healthcheck", "image", "labels"),
        *("limits", "mode", "name", "networks", "placement", "publish", "replicas", "reservations", "resolve_image", "restart_config"),
        *("rollback_config", "secrets", "state", "stop_grace_period", "stop_signal", "update_config", "user"),
    }
)
_TASK = ("args", "command", "configs", "container_labels", "env", "healthcheck", "image", "limits", "networks", "placement", "reservations", "secrets", "user")
_RETRIES = 3  # probes in a row that must fail, for a health check that the user gives as a command


def whole(service: Service) -> Args:
    """The service itself."""
    options = service.options
    args = {
        **_common(service),
        "name": service.name,
        "image": service.image,
        "command": list(service.command) or None,
        "healthcheck": healthcheck(service),
        "mode": "replicated",
        "replicas": service.replicas,
        "endpoint_mode": endpoint(service),
        "publish": published(service, options.get("publish") or []),
        "stop_signal": signal(service.stop_signal),
        "stop_grace_period": span(service.grace),
        **_rollout(service, "stop-first" if service.strategy == "recreate" else "start-first"),
    }
    return marked(args, service)


def worker(service: Service, one: Worker) -> Args:
    """A worker's service. It has no port, so the image's health check is not for it.

    A singleton of the fleet, and one of each node, is ended before its successor starts: two of them at once are what must not be.
    """
    alone = one.scope != "slot"
    args = {
        **_common(service),
        "name": names.companion(service.name, one.name),
        "image": service.image,
        "command": list(one.command),
        "healthcheck": {"test": ["NONE"]},
        "mode": "global" if one.scope == "host" else "replicated",
        "replicas": -1 if one.scope == "host" else 1 if alone else service.replicas,
        "stop_signal": signal(one.stop_signal),
        "stop_grace_period": span(one.stop_timeout),
        **_rollout(service, "stop-first" if alone else "start-first"),
    }
    return marked(args, service, "worker")


def migration(service: Service, hook: int) -> Args:
    """One migration: a job of one task that is not started again when it fails."""
    hooked = service.migrate[hook]
    # One word is for a shell, as it is on plain hosts; several are run as they are.
    command = ["sh", "-c", hooked.command[0]] if len(hooked.command) == 1 else list(hooked.command)
    args = {
        **_common(service),
        "name": names.migration(service.name, service.release, hook, service.image, command),
        "image": service.image,
        "command": command,
        "healthcheck": {"test": ["NONE"]},
        "mode": "replicated-job",
        "replicas": 1,
        "restart_config": {"condition": "none"},
        "stop_grace_period": span(service.stop_timeout),
    }
    return marked(args, service, "migration")


def front(service: Service) -> tuple[Args, Args] | None:
    """The config and the service of the nginx in front; None if there shall be none."""
    wish = service.options.get("nginx") or {}
    if not wish:
        return None
    ports_out = published(service, wish.get("publish") or [])
    held = any(entry["mode"] == "host" for entry in ports_out)  # a port of a node has one owner: the former task must go first
    order = "stop-first" if held else "start-first"
    # Without a word about its ports, it is there for services of the cluster, on the service's main port.
    ports = sorted({entry["target_port"] for entry in ports_out}) or [service.main_port]
    text = nginx.config(service.name, ports, wish.get("extra") or "")
    name = names.front_config(service.name, text)
    args = {
        "name": names.front(service.name),
        "image": wish["image"],
        "command": ["nginx", "-c", "/etc/nginx/nginx.conf", "-g", "daemon off;"],
        "env": [],
        # nginx writes its pid once its ports are open: before that, no request is to come
        "healthcheck": {
            "test": ["CMD-SHELL", f"kill -0 $(cat {nginx.PID})"],
            "interval": "2s",
            "timeout": "2s",
            "retries": 3,
            "start_period": "10s",
        },
        "mode": "replicated",
        "replicas": int(wish.get("replicas") or 1),
        "networks": networks(service),
        "placement": _placement(service),
        "configs": [{"config_name": name, "filename": "/etc/nginx/nginx.conf", "mode": 0o444}],
        "secrets": [],
        "publish": ports_out,
        "endpoint_mode": "dnsrr" if held else "vip",
        "stop_signal": "SIGQUIT",
        "stop_grace_period": "30s",
        "resolve_image": bool(service.options.get("resolve_image")),
        "update_config": {"parallelism": 1, "order": order, "monitor": "5s", "failure_action": "rollback"},
        "rollback_config": {"parallelism": 1, "order": order, "failure_action": "pause"},
    }
    return {"name": name, "data": text, "labels": names.labels(service.name, "front")}, _labelled(args, service.name, "front")


def network(service: Service) -> Args | None:
    """The network that is made; None where the user names networks of the cluster."""
    if service.options.get("networks"):
        return None
    return {
        "name": names.network(service.name),
        "driver": "overlay",
        "attachable": True,
        "scope": "swarm",
        "labels": names.labels(service.name, "network"),
    }


def networks(service: Service) -> list[str]:
    """What the tasks are attached to."""
    return list(service.options.get("networks") or [names.network(service.name)])


def published(service: Service, entries: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ports that the cluster publishes; ``port`` names one of ``bluegreen_ports``, or is a number of the container."""
    return [
        {
            "published_port": int(entry["published"]),
            "target_port": port(service, entry.get("port") or ""),
            "protocol": entry.get("protocol") or "tcp",
            "mode": entry.get("mode") or "ingress",
        }
        for entry in entries
    ]


def port(service: Service, given: Any) -> int:
    """The container's port that is meant; '' is the main one."""
    return service.main_port if given == "" else service.ports[given] if given in service.ports else int(given)


def endpoint(service: Service) -> str:
    """How the name of the service is resolved: to its tasks behind nginx, else to one address that Swarm balances."""
    return "dnsrr" if service.options.get("nginx") and not service.options.get("publish") else "vip"


def healthcheck(service: Service) -> Args | None:
    """The user's own; None leaves it to the image's, which is then required."""
    given = service.options.get("healthcheck") or []
    if not given:
        return None
    test = ["CMD-SHELL", given] if isinstance(given, str) else list(given)
    if test[0] not in ("CMD", "CMD-SHELL"):
        test = ["CMD", *test]
    return {
        "test": test,
        "interval": span(max(service.health.interval, 1.0)),  # each one starts a process in the container
        "timeout": span(max(service.health.timeout, 1.0)),
        "retries": _RETRIES,
        "start_period": span(service.boot_timeout),
    }


def files(service: Service) -> Iterator[tuple[str, File]]:
    """The configs and secrets, each with the name of its content; one that is at two places is one."""
    yield from {(file.secret, names.file(service.name, file)): (names.file(service.name, file), file) for file in service.files}.values()


def span(seconds: float) -> str:
    """A duration as Docker writes it."""
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{round(seconds * 1000)}ms"


def seconds(text: str) -> float:
    """What :func:`span` has written."""
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text[:-1])


def signal(name: str) -> str:
    """A signal as Docker writes it."""
    return name if name.startswith("SIG") or name.isdigit() else f"SIG{name}"


def marked(args: Args, service: Service, part: str = "") -> Args:
    """With the labels by which the service, and each of its tasks, is known again."""
    return _labelled(args, service.name, part, {names.RELEASE: service.release}, service.options.get("labels") or {})


def _labelled(args: Args, name: str, part: str, more: Mapping[str, str] | None = None, users: Mapping[str, str] | None = None) -> Args:
    ours = {**names.labels(name, part), **(more or {})}
    task = names.digest({key: args.get(key) for key in _TASK}, ours, args.get("mounts"))
    mark = names.digest(args, ours, dict(users or {}))
    return {
        **args,
        "labels": {**(users or {}), **ours, names.TASK: task, names.MARK: mark},
        "container_labels": {**(users or {}), **ours, names.TASK: task},
    }


def _common(service: Service) -> Args:
    """What the service, its workers and its migrations have alike."""
    asked = service.resources
    return {
        **(service.options.get("service") or {}),
        # Swarm expands {{ }} in the environment of a service; the user's values are meant as they are
        "env": [f"{key}={value}".replace("{{", '{{"{{"}}') for key, value in sorted(service.environment.items())],
        "user": service.user or None,
        "networks": networks(service),
        "placement": _placement(service),
        "reservations": _amounts(asked.cpu, asked.memory),
        "limits": _amounts(asked.cpu_limit, asked.memory_limit),
        "resolve_image": bool(service.options.get("resolve_image")),
        **_mounted(service),
    }


def _amounts(cpus: str, memory: str) -> Args:
    """Only what is given: ``0``, which means the same as nothing, is a change to the module every time."""
    return {**({"cpus": float(cpus)} if cpus else {}), **({"memory": memory} if memory else {})}


def _mounted(service: Service) -> Args:
    """Configs and secrets at their paths. They belong to the user of the container where that is given as a number, else to root."""
    user, _colon, group = service.user.partition(":")
    owner = {"uid": user if user.isdigit() else "0", "gid": group if group.isdigit() else "0"}
    found: dict[str, list[Args]] = {"configs": [], "secrets": []}
    for file in service.files:
        kind = "secret" if file.secret else "config"
        found[f"{kind}s"].append({f"{kind}_name": names.file(service.name, file), "filename": file.path, "mode": file.mode, **owner})
    return dict(found)


def _placement(service: Service) -> Args:
    return {"constraints": list(service.options.get("constraints") or []), "preferences": list(service.options.get("preferences") or [])}


def _rollout(service: Service, order: str) -> Args:
    """One failed task ends it: the first batch is the canary. The way back is watched as well, and stops for a person where it fails."""
    update = {"parallelism": service.batch, "order": order, "monitor": span(service.watch), "max_failure_ratio": 0.0}
    return {
        "update_config": {**update, "failure_action": "rollback" if service.on_failure == "rollback" else "pause"},
        "rollback_config": {**update, "failure_action": "pause"},
    }
