"""What is read out of Kubernetes' answers about a service: without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_names import labels
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_plan import plan
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_seen import pulled, seen

from tests.unit.engines.kubernetes_shop import OLD, SHOP, part


def deployment(status: Mapping[str, Any], conditions: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A Deployment of release 7 and two replicas in its second generation."""
    thing = part(plan(SHOP, OLD), "Deployment")
    told = [{"type": "Progressing", "reason": reason, "message": message} for reason, message in (conditions or {}).items()]
    thing["metadata"] |= {"generation": 2, "annotations": {**thing["metadata"]["annotations"], "deployment.kubernetes.io/revision": "2"}}
    return {**thing, "spec": {**thing["spec"], **spec}, "status": {"observedGeneration": 2, **status, "conditions": told}}


def replica_set(release: str, revision: int, **annotations: str) -> dict[str, Any]:
    template = part(plan(replace(SHOP, release=release, image=f"shop:{release}"), OLD), "Deployment")["spec"]["template"]
    noted = {"deployment.kubernetes.io/revision": str(revision), **{f"hotswap.bluegreen/{key}": value for key, value in annotations.items()}}
    metadata = {"name": f"shop-{revision}", "labels": {"pod-template-hash": str(revision)}, "annotations": noted, "creationTimestamp": "2026-11-21T22:00:00Z"}
    return {"metadata": metadata, "spec": {"template": template}}


def pod(release: str, state: Mapping[str, Any], revision: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"shop-{revision}-x",
            "labels": {"pod-template-hash": str(revision)},
            "annotations": {"hotswap.bluegreen/release": release},
            **more.pop("metadata", {}),
        },
        "spec": {"nodeName": "node1"},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "Ready", "status": str(more.pop("ready", False))}],
            "containerStatuses": [{"state": state, **more}],
        },
    }


DONE = {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
SETS = (replica_set("6", 1, outcome="good", by="ann"), replica_set("7", 2))


@pytest.mark.parametrize(
    ("thing", "state"),
    [
        (deployment(DONE), "settled"),
        (deployment({**DONE, "replicas": 3}), "rolling"),
        (deployment({**DONE, "availableReplicas": 1}), "rolling"),
        (deployment({**DONE, "availableReplicas": 1}, {"NewReplicaSetAvailable": ""}), "settled"),
        (deployment({**DONE, "observedGeneration": 1}), "rolling"),
        (deployment({**DONE, "observedGeneration": 1}, {"ProgressDeadlineExceeded": ""}), "rolling"),
        (deployment({**DONE, "updatedReplicas": 1}, {"ProgressDeadlineExceeded": "too late"}), "stuck"),
        (deployment(DONE, paused=True), "paused"),
        (None, "absent"),
        ({"metadata": {"labels": {"app": "shop"}}, "spec": {"template": {"spec": {"containers": [{}]}}}}, "foreign"),
        ({"metadata": {"labels": labels("other", "server")}, "spec": {"template": {"spec": {"containers": [{}]}}}}, "foreign"),
    ],
)
def test_the_state_is_what_the_deployments_controller_does(thing: Any, state: str) -> None:
    assert seen("shop", thing, SETS, ()).state == state


@pytest.mark.parametrize(
    ("state", "more", "certain"),
    [
        ({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}, {}, True),
        ({"waiting": {"reason": "ErrImageNeverPull"}}, {}, True),
        ({"waiting": {"reason": "ErrImagePull"}}, {}, False),
        ({"waiting": {"reason": "CreateContainerConfigError"}}, {}, True),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"restartCount": 3}, True),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"restartCount": 2}, False),
        ({"waiting": {"reason": "ContainerCreating"}}, {}, False),
        ({"waiting": {"reason": "ImagePullBackOff"}}, {"revision": 1}, False),
        ({"waiting": {"reason": "ImagePullBackOff"}}, {"metadata": {"deletionTimestamp": "x"}}, False),
    ],
)
def test_a_rollout_that_cannot_end_well_is_stuck_before_its_deadline(state: Any, more: Any, certain: bool) -> None:
    found = seen("shop", deployment({**DONE, "availableReplicas": 1}), SETS, [pod("7", state, **more)])
    assert found.state == ("stuck" if certain else "rolling")


@pytest.mark.parametrize(
    ("state", "more", "certain", "failed"),
    [
        ({"terminated": {"exitCode": 127, "reason": "ContainerCannotRun"}}, {"imageID": "docker://sha256:abc"}, True, False),
        ({"terminated": {"exitCode": 128, "reason": "StartError"}}, {}, True, False),
        ({"waiting": {"reason": "CreateContainerError"}}, {}, True, False),
        ({"waiting": {"reason": "ErrImageNeverPull"}}, {}, True, True),
        ({"waiting": {"reason": "ImagePullBackOff"}}, {}, True, True),
        ({"waiting": {"reason": "ErrImagePull"}}, {}, False, True),
        ({"waiting": {"reason": "ContainerCreating"}}, {}, False, False),
    ],
)
def test_whether_an_image_can_be_had_is_told_by_a_pod_that_runs_nothing(state: Any, more: Any, certain: bool, failed: bool) -> None:
    known, why_not = pulled(pod("7", state, **more))
    assert (known, bool(why_not)) == (certain, failed)


def test_a_pod_tells_how_its_container_ended() -> None:
    crashed = pod("7", {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, lastState={"terminated": {"exitCode": 3, "reason": "Error"}})
    (replica,) = seen("shop", deployment(DONE), SETS, [crashed]).replicas
    assert (replica.state, replica.problem) == ("CrashLoopBackOff", "CrashLoopBackOff: back-off 10s; it ended with status 3 (Error)")


def test_a_pod_that_no_node_takes_says_so() -> None:
    waiting = pod("7", {})
    waiting["status"]["conditions"].append({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient cpu."})
    (replica,) = seen("shop", deployment(DONE), SETS, [waiting]).replicas
    assert "Insufficient cpu" in replica.problem


def test_a_ready_pod_is_healthy_until_it_is_told_to_end() -> None:
    pods = [pod("7", {"running": {}}, ready=True), pod("6", {"running": {}}, ready=True, revision=1, metadata={"deletionTimestamp": "x"})]
    found = seen("shop", deployment(DONE), SETS, pods)
    assert (found.healthy(), found.healthy("7"), found.healthy("6")) == (1, 1, 0)
    assert [(replica.release, replica.leaving) for replica in found.replicas] == [("6", True), ("7", False)]


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ("docker-pullable://registry.example/shop@sha256:abc", "registry.example/shop:7@sha256:abc"),
        ("registry.example/shop@sha256:abc", "registry.example/shop:7@sha256:abc"),
        ("docker://sha256:def", "registry.example/shop:7"),
    ],
)
def test_the_image_is_told_with_the_digest_that_the_registry_knows_it_by(known: str, shown: str) -> None:
    pods = [pod("7", {"running": {}}, imageID=known), pod("6", {"running": {}}, revision=1, imageID="x@sha256:old")]
    assert seen("shop", deployment(DONE), SETS, pods).image == shown


def test_history_is_what_the_replica_sets_tell_the_latest_first_and_each_release_once() -> None:
    sets = [replica_set("5", 1, outcome="good"), replica_set("6", 2, outcome="failed"), replica_set("5", 3, outcome="good", by="ann"), replica_set("7", 4)]
    found = seen("shop", deployment(DONE), sets, ())
    assert [(past.release, past.outcome, past.by, past.image) for past in found.past] == [
        ("7", "", "", "shop:7"),
        ("5", "good", "ann", "shop:5"),
        ("6", "failed", "", "shop:6"),
    ]
    assert (found.release, found.was) == ("7", "5")
