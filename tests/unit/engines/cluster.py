"""A stand-in for a cluster, in memory: its objects, and a controller that makes pods of Deployments at once, healthy ones unless told otherwise.

Which object is written when, and who is reached by whom, is tried against it; that a real cluster does so is shown in tests/engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any


@dataclass
class Cluster:
    """``Call`` of the drivers. ``ill`` are releases whose pods never get ready. ``written`` are the names of what was asked to be written, in order."""

    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    ill: set[str] = field(default_factory=set)
    written: list[str] = field(default_factory=list)

    def __call__(self, name: str, args: Mapping[str, Any], check_mode: bool | None = None, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        if name.endswith("k8s_cluster_info"):
            return {"apis": {"policy/v1": {"PodDisruptionBudget": {}}, "batch/v1": {"CronJob": {}}}, "version": {"server": {"kubernetes": {"minor": "30"}}}}
        if name.endswith("k8s_info"):
            return {"resources": self._found(args)}
        if name.endswith("k8s_log"):
            return {"log_lines": ["it cannot reach its database"]}
        wanted = args["resource_definition"]
        answers = [{"changed": self._write(one, str(args.get("state") or ""))} for one in (wanted if isinstance(wanted, list) else [wanted])]
        return {"changed": any(one["changed"] for one in answers), "result": {"results": answers}}

    def deployments(self) -> dict[str, int]:
        return {name: thing["spec"]["replicas"] for (kind, name), thing in self.objects.items() if kind == "Deployment"}

    def reached(self) -> set[str]:
        """The releases of the pods that the Service selects."""
        wanted = self.objects["Service", "shop"]["spec"]["selector"]
        return {_release(one) for one in self._pods() if wanted.items() <= one["metadata"]["labels"].items()}

    def _found(self, args: Mapping[str, Any]) -> list[dict[str, Any]]:
        kind, asked = args["kind"], args.get("name")
        things = self._pods() if kind == "Pod" else [thing for (what, _name), thing in self.objects.items() if what == kind]
        return [one for one in things if (not asked or one["metadata"]["name"] == asked) and _selected(one, args.get("label_selectors") or ())]

    def _write(self, thing: dict[str, Any], state: str) -> bool:
        key = (thing["kind"], thing["metadata"]["name"])
        before = self.objects.get(key)
        if state == "absent":
            return self.objects.pop(key, None) is not None
        after = _merged(before, thing) if before and state == "patched" else {**thing, "status": (before or {}).get("status")}
        if _is_new(before, after):
            self.written.append(f"{key[0]} {key[1]}")
            self.objects[key] = after
            if key[0] == "Deployment":
                self._control(after)
            return True
        return False

    def _control(self, thing: dict[str, Any]) -> None:
        """Its ReplicaSet, as its latest revision, and its status."""
        spec, about = thing["spec"], thing["metadata"]
        name = f"{about['name']}-{_release(spec['template'])}"
        mine = [one for (kind, _name), one in self.objects.items() if kind == "ReplicaSet" and one["of"] == about["name"]]
        before = self.objects.get(("ReplicaSet", name))
        revision = str(1 + max([int(one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]) for one in mine if one is not before], default=0))
        noted = {**(before["metadata"]["annotations"] if before else {}), **about["annotations"], "deployment.kubernetes.io/revision": revision}
        made = before["metadata"]["creationTimestamp"] if before else f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z"
        labels = {**spec["template"]["metadata"]["labels"], "pod-template-hash": name}
        metadata = {"name": name, "labels": labels, "annotations": noted, "creationTimestamp": made}
        self.objects["ReplicaSet", name] = {"kind": "ReplicaSet", "apiVersion": "apps/v1", "of": about["name"], "metadata": metadata, "spec": spec}
        about["annotations"] = {**about["annotations"], "deployment.kubernetes.io/revision": revision}
        count = spec["replicas"]
        sick = _release(spec["template"]) in self.ill and count > 0
        reason = "ProgressDeadlineExceeded" if sick else "NewReplicaSetAvailable"
        ready = 0 if sick else count
        told = [{"type": "Progressing", "reason": reason, "message": "too late" if sick else ""}]
        thing["status"] = {"observedGeneration": 1, "updatedReplicas": count, "replicas": count, "availableReplicas": ready, "conditions": told}

    def _pods(self) -> list[dict[str, Any]]:
        found = []
        for (kind, name), thing in self.objects.items():
            for number in range(thing["spec"]["replicas"] if kind == "Deployment" else 0):
                template = thing["spec"]["template"]
                labels = {**template["metadata"]["labels"], "pod-template-hash": f"{name}-{_release(template)}"}
                metadata = {"name": f"{name}-{number}", "labels": labels, "annotations": template["metadata"]["annotations"]}
                ready = [{"type": "Ready", "status": str(_release(template) not in self.ill)}]
                found.append({"metadata": metadata, "spec": {}, "status": {"phase": "Running", "conditions": ready, "containerStatuses": []}})
        return found


def _is_new(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Whether a write changes anything; the controller's own annotation is nobody's wish."""

    def shown(thing: Mapping[str, Any]) -> Any:
        about = thing["metadata"]
        noted = {key: value for key, value in (about.get("annotations") or {}).items() if not key.startswith("deployment.")}
        return about.get("labels"), noted, thing.get("spec"), thing.get("data")

    return before is None or shown(before) != shown(after)


def _release(thing: Mapping[str, Any]) -> str:
    return str(thing["metadata"]["annotations"]["hotswap.bluegreen/release"])


def _merged(before: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **before,
        **{key: _merged(before.get(key) or {}, value) if isinstance(value, Mapping) else value for key, value in more.items()},
    }


def _selected(thing: Mapping[str, Any], selectors: Any) -> bool:
    labels = thing["metadata"].get("labels") or {}
    for one in selectors:
        key, words = (one.partition(" in ")[0], one.partition("(")[2][:-1].split(",")) if " in " in one else (one.partition("=")[0], [one.partition("=")[2]])
        if labels.get(key) not in words:
            return False
    return True
