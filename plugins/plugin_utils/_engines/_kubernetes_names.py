# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, labels and annotations of our objects on Kubernetes, and which versions of its kinds the cluster offers. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

MANAGER = "hotswap.bluegreen"
"""Value of ``app.kubernetes.io/managed-by``, and our name as the owner of fields in server-side apply."""
RELEASE = "hotswap.bluegreen/release"
"""On what belongs to a release, pods included: a label could not hold every release's name."""
PLAN = "hotswap.bluegreen/plan"
"""On the Deployment: the ConfigMap with all that was asked for. The Deployment's controller copies it to each ReplicaSet, so history knows it."""
OUTCOME = "hotswap.bluegreen/outcome"
BY = "hotswap.bluegreen/by"
AT = "hotswap.bluegreen/at"
"""When the outcome was noted: revisions of two Deployments cannot be compared."""
HOLDER = "hotswap.bluegreen/holder"
SCOPE = "hotswap.bluegreen/scope"
REVISION = "deployment.kubernetes.io/revision"
SERVER = "server"
SIDES = ("blue", "green")
SERVERS = (SERVER, *(f"{SERVER}-{side}" for side in SIDES))
_APP = "app.kubernetes.io"
SELECTED = f"{_APP}/component"
"""The label by which a Service selects a side: what the pods of a side are, and no others."""


@dataclass(frozen=True)
class Offer:
    """What the cluster's API offers: the versions of kinds that have moved, and its own minor version, 0 if it is not known."""

    budget: str = "policy/v1"
    cron: str = "batch/v1"
    minor: int = 0

    @property
    def sleeps(self) -> bool:
        """Whether a lifecycle hook may be ``sleep``, so that the image needs none. On by default since 1.30 (KEP-3960)."""
        return self.minor >= 30


def offer(info: Mapping[str, Any]) -> Offer:
    """What ``k8s_cluster_info`` has found."""
    apis = info.get("apis") or {}
    said = ((info.get("version") or {}).get("server") or {}).get("kubernetes") or {}
    minor = re.match(r"\d+", str(said.get("minor") or "")) or re.search(r"(?<=^v1\.)\d+", str(said.get("gitVersion") or ""))
    return Offer(
        budget="policy/v1" if "PodDisruptionBudget" in (apis.get("policy/v1") or {}) else "policy/v1beta1",
        cron="batch/v1" if "CronJob" in (apis.get("batch/v1") or {}) else "batch/v1beta1",
        minor=int(minor.group()) if minor else 0,
    )


def digest(*what: Any) -> str:
    """Twelve characters that name a content."""
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=repr).encode()).hexdigest()[:12]


def selector(service: str, component: str = SERVER) -> dict[str, str]:
    """The labels by which the pods of a service, or of a companion of it, are found. Never changed: a Deployment's selector cannot be."""
    return {f"{_APP}/name": service, f"{_APP}/instance": service, f"{_APP}/component": component, f"{_APP}/managed-by": MANAGER}


def labels(service: str, component: str, release: str = "") -> dict[str, str]:
    """The labels that the ecosystem recommends. What is named by its content has no ``release``: several releases share it."""
    shown = re.sub(r"[^A-Za-z0-9._-]", "_", release)[:63].strip("._-")
    return {**selector(service, component), f"{_APP}/part-of": service, **({f"{_APP}/version": shown} if shown else {})}


def texts(given: Any) -> dict[str, str]:
    """A user's labels, annotations or node selector: the API takes text alone, and YAML makes a number or a truth of some."""
    return {str(name): json.dumps(value) if isinstance(value, bool) else str(value) for name, value in (given or {}).items()}


def ours(thing: Mapping[str, Any], service: str) -> bool:
    """Whether an object bears our mark, and this service's."""
    found = (thing.get("metadata") or {}).get("labels") or {}
    return found.get(f"{_APP}/managed-by") == MANAGER and found.get(f"{_APP}/instance") == service


def search(service: str, *components: str) -> list[str]:
    """Label selectors for all objects of a service, or those of some components."""
    wanted = [f"{_APP}/instance={service}", f"{_APP}/managed-by={MANAGER}"]
    if len(components) > 1:
        return [*wanted, f"{SELECTED} in ({','.join(components)})"]
    return [*wanted, *(f"{SELECTED}={one}" for one in components)]


def is_server(thing: Mapping[str, Any]) -> bool:
    """Whether an object is of the replicas that serve, or of a side of them; not of a worker."""
    return ((thing.get("metadata") or {}).get("labels") or {}).get(SELECTED) in SERVERS


def annotation(thing: Mapping[str, Any], key: str) -> str:
    """An annotation of an object or a template; '' if it has none."""
    return str(((thing.get("metadata") or {}).get("annotations") or {}).get(key) or "")
