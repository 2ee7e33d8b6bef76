# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Docker tells of a service, its tasks and its records, as what was seen of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from . import _swarm_names as names
from ._seen import FAILED, Past, Replica, Seen

Found = Mapping[str, Any]
Record = dict[str, Any]

# UpdateStatus.State; what is not here ("", completed) is as settled as the tasks say
_STATES = {
    "updating": "rolling",
    "paused": "paused",
    "rollback_started": "rolling_back",
    "rollback_paused": "paused",
    "rollback_completed": "rolled_back",
}
_FAILED = ("failed", "rejected", "orphaned")
# A program that ends when it is told to, as one whose health check has failed is, leaves its task "complete"; a task
# whose successor serves is "shutdown".
_ENDED = (*_FAILED, "complete")
_FAILED_SHOWN = 10


def seen(service: str, found: Found | None, tasks: Sequence[Found], nodes: Mapping[str, str], past: tuple[Past, ...] = (), over: str | None = None) -> Seen:
    """The service as it is.

    Its replicas are the tasks that Swarm wishes to run, and after them those that have failed since the latest update
    began: Swarm keeps some of each slot. A task that only ends what it serves is none any more. Swarm tells of an
    update that it took back until the next one; it is history if it began at ``over``, before this run asked for anything,
    or, for one that only looks (None), once a run has noted how it ended.
    """
    if found is None:
        return Seen(past=past)
    spec = found["Spec"]
    labels = spec.get("Labels") or {}
    if not names.is_ours(labels, service):
        return Seen(state="foreign", image=_image(spec))
    wished = [task for task in tasks if task.get("DesiredState") in ("running", "ready")]
    update = found.get("UpdateStatus") or {}
    ended = [task for task in tasks if task not in wished and state_of(task) in _ENDED and _is_of(task, update, labels)]
    failed = sorted(ended, key=_since, reverse=True)
    replicas = tuple(replica(spec.get("Name") or service, task, nodes) for task in [*sorted(wished, key=_slot), *failed[:_FAILED_SHOWN]])
    wanted = int(((spec.get("Mode") or {}).get("Replicated") or {}).get("Replicas", len(wished)))
    current = [task for task in wished if _labels(task).get(names.TASK) == labels.get(names.TASK)]
    steady = len(current) == len(wished) == wanted and all(state_of(task) == "running" for task in current)
    state = _STATES.get(update.get("State") or "")
    known = began(found) == over if over is not None else bool(past and past[0].outcome == FAILED and past[0].release != labels.get(names.RELEASE))
    if state is None or (state == "rolled_back" and known):
        state = "settled" if steady else "rolling"
    return Seen(
        state=state,
        release=labels.get(names.RELEASE, ""),
        was=((found.get("PreviousSpec") or {}).get("Labels") or {}).get(names.RELEASE, ""),
        mark=labels.get(names.MARK, ""),
        image=_image(spec),
        message=update.get("Message") or "",
        wanted=wanted,
        replicas=replicas,
        past=past,
    )


def began(found: Found | None) -> str:
    """When the latest update of a service began, which tells one from another; '' for none."""
    return str(((found or {}).get("UpdateStatus") or {}).get("StartedAt") or "")


def is_paused(found: Found | None) -> bool:
    return _STATES.get(((found or {}).get("UpdateStatus") or {}).get("State") or "") == "paused"


def past(records: Iterable[Record]) -> tuple[Past, ...]:
    """The releases on record, the latest first. Of a release that was there more than once the latest record counts."""
    found: dict[str, Past] = {}
    for record in latest_first(records):
        labels = record["Labels"]
        entry = Past(
            labels[names.RELEASE], labels.get(names.IMAGE, ""), float(labels.get(names.AT) or 0), labels.get(names.OUTCOME, ""), labels.get(names.BY, "")
        )
        found.setdefault(entry.release, entry)
    return tuple(found.values())


def latest_first(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda record: int(record["Labels"].get(names.NUMBER) or 0), reverse=True)


def node_of(task: Found) -> str:
    return str(task.get("NodeID") or "")


def container_of(task: Found) -> str:
    return str(((task.get("Status") or {}).get("ContainerStatus") or {}).get("ContainerID") or "")


def state_of(task: Found) -> str:
    """Swarm's own word: complete, running, failed …"""
    return str((task.get("Status") or {}).get("State") or "")


def has_failed(task: Found) -> bool:
    return state_of(task) in _FAILED


def problem(task: Found) -> str:
    """Why a task does not run, as Swarm says it: its error, or what it waits for; and the exit status of a program that ended."""
    status = task.get("Status") or {}
    said = status.get("Err") or (status.get("Message") if state_of(task) in ("pending", "rejected") else "") or ""
    code = int((status.get("ContainerStatus") or {}).get("ExitCode") or 0)
    if has_failed(task) and code and f"({code})" not in said:
        said = f"{said}, exit status {code}".lstrip(", ")
    return str(said) or (f"it ended, with exit status {code}" if state_of(task) == "complete" else "")


def replica(service: str, task: Found, nodes: Mapping[str, str]) -> Replica:
    node = node_of(task)
    return Replica(
        name=f"{service}.{task.get('Slot') or node}.{task['ID']}",
        release=_labels(task).get(names.RELEASE, ""),
        node=nodes.get(node, node),
        state=state_of(task),
        # Swarm has a task with a health check "starting" until it is healthy, and ends it when it no longer is
        healthy=state_of(task) == "running" and task.get("DesiredState") == "running",
        problem=problem(task),
        since=_since(task),
    )


def _image(spec: Found) -> str:
    return str(((spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}).get("Image") or "")


def _labels(task: Found) -> Found:
    return ((task.get("Spec") or {}).get("ContainerSpec") or {}).get("Labels") or {}


def _slot(task: Found) -> tuple[int, str]:
    return int(task.get("Slot") or 0), str(task["ID"])


def _is_of(task: Found, update: Found, labels: Found) -> bool:
    """Whether a task belongs to the latest update, the one that is taken back included; to the first release where there was none."""
    if update.get("StartedAt"):
        return moment(task.get("CreatedAt")) >= moment(update["StartedAt"])
    return _labels(task).get(names.TASK) == labels.get(names.TASK)


def _since(task: Found) -> float:
    return moment((task.get("Status") or {}).get("Timestamp"))


def moment(text: Any) -> float:
    """Seconds since the epoch; 0 for none. Docker writes up to nine digits after the point, Python 3.10 reads three or six."""
    whole, _point, rest = str(text or "").rstrip("Z").partition(".")
    try:
        seconds = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
        return seconds + float(f"0.{rest or 0}")
    except ValueError:
        return 0.0
