# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a Deployment, its ReplicaSets and its pods to what was seen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ._kubernetes_names import AT, BY, OUTCOME, PLAN, RELEASE, REVISION, SELECTED, annotation, ours
from ._seen import FAILED, Past, Replica, Seen

Thing = Mapping[str, Any]

_UNPULLED = ("ErrImageNeverPull", "InvalidImageName", "ImagePullBackOff")
_HOPELESS = (*_UNPULLED, "CreateContainerConfigError", "CreateContainerError", "RunContainerError")
"""Reasons that waiting does not mend: the engine goes on trying, and would tell of it only when its deadline has passed."""
_RESTARTS = 3
_HASH = "pod-template-hash"


def seen(service: str, deployment: Thing | None, replica_sets: Sequence[Thing], pods: Sequence[Thing], rising: bool = False) -> Seen:
    """The service as these objects tell of it. ``rising``: it serves nobody yet, and does so only once all of it is there."""
    if not deployment:
        return Seen()
    if not ours(deployment, service):
        return Seen(state="foreign", image=_image(deployment["spec"]["template"]))
    template = deployment["spec"]["template"]
    release = annotation(template, RELEASE)
    replicas = tuple(sorted((replica(one) for one in pods), key=lambda one: (one.since, one.name)))
    known = past(replica_sets)
    state, message = _state(deployment, rising), _message(deployment)
    lost = hopeless(_newest(deployment, replica_sets, pods)) if state == "rolling" else ""
    return Seen(
        state="stuck" if lost else state,
        release=release,
        was=was(release, known),
        mark=annotation(deployment, PLAN).rpartition("-")[2],
        image=_pinned(_image(template), _newest(deployment, replica_sets, pods)),
        message=lost or message,
        wanted=int(deployment["spec"].get("replicas", 1)),
        replicas=replicas,
        past=known,
    )


def was(release: str, known: Sequence[Past]) -> str:
    """The release before this one."""
    return next((one.release for one in known if one.release != release and one.outcome != FAILED), "")


def _image(template: Thing) -> str:
    return str(template["spec"]["containers"][0].get("image", ""))


def _pinned(image: str, pods: Sequence[Thing]) -> str:
    """With the digest that the registry knows it by, as a node has told it; an image that was never pulled has none."""
    ids = (str(container.get("imageID", "")) for one in pods for container in _containers(one))
    found = next((one.partition("@")[2] for one in ids if "@sha256:" in one), "")
    return image if "@" in image or not found else f"{image}@{found}"


def _state(deployment: Thing, rising: bool = False) -> str:
    spec, status, progress = deployment["spec"], deployment.get("status") or {}, _condition(deployment, "Progressing")
    if spec.get("paused"):
        return "paused"
    if int(status.get("observedGeneration", 0)) < int(deployment["metadata"].get("generation", 1)):
        return "rolling"  # the conditions still speak of what was asked for before
    if progress.get("reason") == "ProgressDeadlineExceeded":
        return "stuck"
    wanted = int(spec.get("replicas", 1))
    replaced = int(status.get("updatedReplicas", 0)) == int(status.get("replicas", 0)) == wanted
    # A rollout that has come to its end stays so when a replica falls ill later: nothing is being replaced then.
    ended = int(status.get("availableReplicas", 0)) == wanted or (progress.get("reason") == "NewReplicaSetAvailable" and not rising)
    return "settled" if replaced and ended else "rolling"


def _message(deployment: Thing) -> str:
    """A quota or an admission webhook that takes no pods is told of by a condition of its own: there is no pod to ask."""
    failure, progress = _condition(deployment, "ReplicaFailure"), _condition(deployment, "Progressing")
    return str(failure.get("message") or progress.get("message") or "")


def _condition(thing: Thing, kind: str) -> Thing:
    for condition in (thing.get("status") or {}).get("conditions") or ():
        if condition.get("type") == kind:
            return dict(condition)
    return {}


def _newest(deployment: Thing, replica_sets: Sequence[Thing], pods: Sequence[Thing]) -> list[Thing]:
    """The pods of what is asked for now. Those of an attempt before, of the same release perhaps, prove nothing about it."""
    now = annotation(deployment, REVISION)
    hashes = {(one["metadata"].get("labels") or {}).get(_HASH) for one in replica_sets if annotation(one, REVISION) == now}
    return [one for one in pods if (one["metadata"].get("labels") or {}).get(_HASH) in hashes]


def hopeless(pods: Sequence[Thing]) -> str:
    """Why pods will not run, if that is certain before the deadline; else ''."""
    for one in pods:
        for container in () if one["metadata"].get("deletionTimestamp") else _containers(one):
            reason = ((container.get("state") or {}).get("waiting") or {}).get("reason", "")
            if reason in _HOPELESS or (reason == "CrashLoopBackOff" and int(container.get("restartCount", 0)) >= _RESTARTS):
                return f"{one['metadata']['name']}: {problem(one)}"
    return ""


def pulled(pod: Thing) -> tuple[bool, str]:
    """Whether it is certain how the pull of a pod's image ended; and why it failed, as far as that is known yet."""
    for container in _containers(pod):
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        if (reason := waiting.get("reason", "")) in (*_UNPULLED, "ErrImagePull"):
            return reason in _UNPULLED, f"{reason}: {waiting.get('message', '')}"
        return bool(container.get("imageID") or state.get("terminated") or reason in _HOPELESS), ""
    return False, ""


def complete(thing: Thing) -> bool:
    """Whether a Deployment or a DaemonSet is as it is wished."""
    if thing["kind"] == "Deployment":
        return _state(thing) == "settled"
    status = thing.get("status") or {}
    wanted = int(status.get("desiredNumberScheduled", 0))
    seen_now = int(status.get("observedGeneration", 0)) >= int(thing["metadata"].get("generation", 1))
    return seen_now and wanted == int(status.get("updatedNumberScheduled", 0)) == int(status.get("numberAvailable", 0))


def _containers(pod: Thing) -> list[Thing]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def replica(pod: Thing) -> Replica:
    """A pod in the words of both engines."""
    metadata = pod["metadata"]
    ending = bool(metadata.get("deletionTimestamp"))
    return Replica(
        name=metadata["name"],
        release=annotation(pod, RELEASE),
        node=str(pod["spec"].get("nodeName") or ""),
        state=_word(pod),
        healthy=not ending and _condition(pod, "Ready").get("status") == "True",
        problem="" if ending else problem(pod),
        since=_seconds(metadata.get("creationTimestamp")),
        leaving=ending,
    )


def _word(pod: Thing) -> str:
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for container in _containers(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason"):
            return str(waiting["reason"])
    return str((pod.get("status") or {}).get("phase") or "Pending")


def problem(pod: Thing) -> str:
    """Why a pod does not serve: no node for it, its container does not start, or has ended; '' if nothing is known."""
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', '')}"
    for container in _containers(pod):
        state, last = container.get("state") or {}, (container.get("lastState") or {}).get("terminated") or {}
        if (waiting := state.get("waiting") or {}).get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            before = f"; it ended with status {last['exitCode']} ({last.get('reason', '')})" if "exitCode" in last else ""
            return f"{waiting['reason']}: {waiting.get('message') or 'no word about it'}{before}"
        if (ended := state.get("terminated") or {}).get("exitCode"):
            return f"{ended.get('reason', 'Error')}: it ended with status {ended['exitCode']}"
        if last.get("exitCode") is not None and not container.get("ready"):
            return f"{last.get('reason', 'Error')}: it ended with status {last['exitCode']} and was started again"
    status = pod.get("status") or {}
    return f"{status['reason']}: {status.get('message', '')}" if status.get("reason") else ""


def past(replica_sets: Sequence[Thing]) -> tuple[Past, ...]:
    """The history that the Deployments' controller keeps: a ReplicaSet for each template; of a release, its latest one."""
    found: dict[str, Past] = {}
    for one in latest_first(replica_sets):
        release = annotation(one["spec"]["template"], RELEASE)
        at = _seconds(one["metadata"].get("creationTimestamp"))
        found.setdefault(release, Past(release, _image(one["spec"]["template"]), at, annotation(one, OUTCOME), annotation(one, BY)))
    return tuple(found.values())


def latest_first(replica_sets: Sequence[Thing]) -> list[Thing]:
    """By revision, which a ReplicaSet that comes back gets anew; those of several Deployments by the time that was noted last, or of their making."""
    several = len({(one["metadata"].get("labels") or {}).get(SELECTED) for one in replica_sets}) > 1

    def order(one: Thing) -> tuple[float, int]:
        at = max(float(annotation(one, AT) or 0), _seconds(one["metadata"].get("creationTimestamp"))) if several else 0.0
        return at, int(annotation(one, REVISION) or 0)

    return sorted(replica_sets, key=order, reverse=True)


def _seconds(text: Any) -> float:
    return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp() if text else 0.0
