# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of Kubernetes through the modules of ``kubernetes.core``, with errors that are sentences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from ._engine import Call, Done, Refused
from ._kubernetes_errors import message, sentence
from ._kubernetes_names import MANAGER, Manifest, Offer, offer

_NOISE = ["metadata.managedFields", "metadata.generation", "metadata.resourceVersion", "status"]
VERSIONS = {"Deployment": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "Job": "batch/v1", "Lease": "coordination.k8s.io/v1"}


class Api:
    """One namespace of one cluster."""

    def __init__(self, call: Call, options: Mapping[str, Any]) -> None:
        self._call = call
        self.namespace = str(options.get("namespace") or "default")
        self._access = {key: options[key] for key in ("kubeconfig", "context") if options.get(key)}
        self._offer: Offer | None = None

    def offer(self) -> Offer:
        """What the cluster offers, asked once."""
        if self._offer is None:
            self._offer = offer(self._run("k8s_cluster_info", {}, "Asking what Kubernetes offers", check_mode=False))
        return self._offer

    def get(self, kind: str, name: str, version: str = "") -> Manifest | None:
        """An object; None where there is none."""
        found = self._found(kind, version, {"name": name, "namespace": self.namespace}, f"Reading {kind} {name}")
        return found[0] if found else None

    def find(self, kind: str, labels: Sequence[str] = (), fields: Sequence[str] = (), version: str = "", everywhere: bool = False) -> list[Manifest]:
        """Objects of a kind."""
        where = {} if everywhere else {"namespace": self.namespace}
        return self._found(kind, version, {**where, "label_selectors": [*labels], "field_selectors": [*fields]}, f"Listing each {kind}")

    def _found(self, kind: str, version: str, asked: Mapping[str, Any], what: str) -> list[Manifest]:
        wanted = {"kind": kind, "api_version": version or VERSIONS.get(kind, "v1"), "hidden_fields": ["metadata.managedFields"], **asked}
        return [dict(thing) for thing in self._run("k8s_info", wanted, what, check_mode=False).get("resources") or ()]

    def apply(self, *manifests: Manifest, check: bool | None = None) -> Done:
        """Server-side apply under our own name: what another one has added stays, what we no longer name goes."""
        return self._write(manifests, {"apply": True, "server_side_apply": {"field_manager": MANAGER, "force_conflicts": True}}, check)

    def bring(self, *manifests: Manifest) -> Done:
        """Objects that are named by their content: made where they are not there yet."""
        return self._write(manifests, {}, None)

    def patch(self, manifest: Manifest) -> Done:
        """Change some fields of an object that is there."""
        return self._write((manifest,), {"state": "patched"}, None)

    def put(self, manifest: Manifest) -> bool:
        """Replace an object at the version that the manifest names; False if it is another one by now."""
        result = self._ask("k8s", {"resource_definition": self._placed(manifest), "force": True})
        if result.get("failed") and ("Conflict" in str(result) or "the object has been modified" in str(result.get("msg"))):
            return False
        self._good(result, f"Writing {_shown(manifest)}")
        return True

    def create(self, manifest: Manifest) -> Manifest:
        """Made; for reviews also the answer. Runs in a check, too, so only for what keeps nothing."""
        return dict(self._run("k8s", {"resource_definition": manifest}, f"Asking for {manifest['kind']}", check_mode=False).get("result") or {})

    def delete(self, *things: Mapping[str, Any]) -> Done:
        """Gone, with all that they own; no word is lost about one that is not there."""
        if not things:
            return Done()
        named = [{"apiVersion": one["apiVersion"], "kind": one["kind"], "metadata": {"name": one["metadata"]["name"]}} for one in things]
        done = self._write(named, {"state": "absent", "delete_options": {"propagationPolicy": "Background"}}, None, "Deleting")
        return Done(done.changed, tuple(f"{one} deleted" for one in done.what))

    def log(self, pod: str, lines: int, previous: bool = False) -> tuple[str, ...]:
        """The last lines of a pod's first container; () if it has none yet."""
        result = self._ask("k8s_log", {"name": pod, "namespace": self.namespace, "tail_lines": lines, "previous": previous}, check_mode=False)
        return () if result.get("failed") else tuple(str(line) for line in result.get("log_lines") or () if line)

    def _write(self, manifests: Sequence[Manifest], how: Mapping[str, Any], check: bool | None, doing: str = "Applying") -> Done:
        if not manifests:
            return Done()
        wanted = {"resource_definition": [self._placed(one) for one in manifests], "hidden_fields": _NOISE, **how}
        what = f"{doing} {', '.join(_shown(one) for one in manifests)}"
        result = self._run("k8s", wanted, what, check_mode=check)
        answers = result["result"]["results"] if len(manifests) > 1 else [result]
        changed = [(one, answer) for one, answer in zip(manifests, answers, strict=True) if answer.get("changed")]
        return Done(bool(changed), tuple(_shown(one) for one, _answer in changed), tuple(diff for one, answer in changed for diff in _diff(one, answer)))

    def _placed(self, manifest: Manifest) -> Manifest:
        return {**manifest, "metadata": {**manifest.get("metadata", {}), "namespace": self.namespace}}

    def _run(self, module: str, arguments: Mapping[str, Any], what: str, check_mode: bool | None = None) -> dict[str, Any]:
        return self._good(self._ask(module, arguments, check_mode), what)

    def _ask(self, module: str, arguments: Mapping[str, Any], check_mode: bool | None = None) -> dict[str, Any]:
        return self._call(f"kubernetes.core.{module}", {**self._access, **arguments}, check_mode=check_mode)

    def _good(self, result: dict[str, Any], what: str) -> dict[str, Any]:
        if result.get("failed"):
            raise Refused(sentence(str(result.get("msg") or message(str(result))), f"{what} in namespace {self.namespace}"))
        return result


def _shown(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def _diff(manifest: Manifest, answer: Mapping[str, Any]) -> list[dict[str, str]]:
    """Before and after. Of what is named by its content the name says enough, and a Secret's content is nobody's to read."""
    if "data" in manifest or "binaryData" in manifest:
        return []
    if not (found := answer.get("diff") or {}) and answer.get("method") != "create":
        return []
    before, after = found.get("before"), found.get("after")
    after = after if before else manifest  # of a new one, what was asked for; not what the API server has added
    header = _shown(manifest)
    return [{"before_header": header, "after_header": header, "before": _yaml(before), "after": _yaml(after)}]


def _yaml(thing: Any) -> str:
    """Through JSON first: a text of a variable is of a class of Ansible's own, which YAML cannot write."""
    return str(yaml.safe_dump(json.loads(json.dumps(thing)), sort_keys=True)) if thing else ""
