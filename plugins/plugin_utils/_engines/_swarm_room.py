# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the nodes of a Swarm have room for a service while it is updated. Pure: of what Docker tells of its nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ._service import Service

Node = Mapping[str, Any]

_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_CONSTRAINT = re.compile(r"\s*([a-z._A-Z0-9-]+)\s*(==|!=)\s*(.*?)\s*\Z")


def lacking(nodes: Sequence[Node], service: Service) -> Iterator[str]:
    """Why the tasks cannot all be placed, counting empty nodes: what other services use is the scheduler's to know."""
    up = [node for node in nodes if node["Status"]["State"] == "ready" and node["Spec"]["Availability"] == "active"]
    constraints = list(service.options.get("constraints") or [])
    fit = [node for node in up if all(meets(node, constraint) for constraint in constraints)]
    if not fit:
        asked = f" meets bluegreen_swarm: constraints ({', '.join(constraints)})" if up and constraints else " is ready and active"
        yield f"None of the {len(nodes)} nodes of the Swarm{asked}, so no task would be started: see docker node ls."
        return
    tasks = service.replicas + (service.batch if service.strategy != "recreate" else 0)
    room = [_room(node, service) for node in fit]
    have = None if None in room else sum(one or 0 for one in room)
    if have is not None and have < tasks:
        yield (
            f"bluegreen_replicas {service.replicas}, and {tasks - service.replicas} more while they are replaced, are {tasks} tasks{_each(service)}; "
            f"the {len(fit)} nodes that may run them have room for {have}, even if nothing else runs there: ask for less (bluegreen_resources, "
            "bluegreen_replicas, bluegreen_serial), or add a node."
        )


def meets(node: Node, constraint: str) -> bool:
    """Whether a node meets a constraint; one that is not understood here is left to the scheduler."""
    found = _CONSTRAINT.match(constraint)
    value = _value(node, found.group(1)) if found else None
    if not found or value is None:
        return True
    return (value.lower() == found.group(3).lower()) == (found.group(2) == "==")


def size(text: str) -> int:
    """Bytes of a size as Docker writes it: its units are binary."""
    unit = text[-1] if text and not text[-1].isdigit() else ""
    return int(text.removesuffix(unit) or 0) << 10 * _UNITS[unit]


def _value(node: Node, key: str) -> str | None:
    about, platform = node.get("Description") or {}, (node.get("Description") or {}).get("Platform") or {}
    known = {
        "node.id": node["ID"],
        "node.hostname": about.get("Hostname"),
        "node.role": node["Spec"].get("Role"),
        "node.platform.os": platform.get("OS"),
    }
    if key.startswith("node.labels."):
        return str((node["Spec"].get("Labels") or {}).get(key.removeprefix("node.labels."), ""))
    return None if known.get(key) is None else str(known[key])


def _room(node: Node, service: Service) -> int | None:
    """How many tasks an empty node has room for; None if nothing bounds it."""
    has = (node.get("Description") or {}).get("Resources") or {}
    bounds = []
    if service.resources.cpu and float(service.resources.cpu) > 0:
        bounds.append(int(has.get("NanoCPUs", 0) / 1e9 / float(service.resources.cpu)))
    if size(service.resources.memory):
        bounds.append(int(has.get("MemoryBytes", 0)) // size(service.resources.memory))
    if _holds_a_port(service):
        bounds.append(1)
    return min(bounds) if bounds else None


def _holds_a_port(service: Service) -> bool:
    return any(entry.get("mode") == "host" for entry in service.options.get("publish") or [])


def _each(service: Service) -> str:
    cpu, memory = service.resources.cpu, service.resources.memory
    asked = [*([f"{cpu} cores"] if cpu else []), *([memory] if memory else []), *(["a port of its node (mode host)"] if _holds_a_port(service) else [])]
    return f" of {' and '.join(asked)} each" if asked else ""
