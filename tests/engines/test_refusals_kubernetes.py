"""What Kubernetes cannot take is told before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Counts
from tests.engines import or_not_run
from tests.engines.refusals import told
from tests.engines.scenario import OnKubernetes
from tools.engines import images, kubernetes

pytestmark = pytest.mark.full
PORT = kubernetes.Bed.node_ports.start


@pytest.fixture(scope="module")
def bed() -> Iterator[kubernetes.Bed]:
    """With a Deployment and a NodePort of somebody else."""
    with or_not_run("refusals of Kubernetes", kubernetes.cluster()) as made:
        made.load(images.app("1"))
        made.kubectl("create", "deployment", "theirs", "--image", images.app("1").name)
        made.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "port"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": PORT + 1}]}}
        )
        yield made


@pytest.fixture
def shop(bed: kubernetes.Bed, tmp_path: Path, counts: Counts) -> OnKubernetes:
    return OnKubernetes("shop", tmp_path, f"http://{bed.address}:{PORT}", counts, bed, PORT)


def elsewhere(shop: OnKubernetes) -> Path:
    """A kubeconfig for a port where nobody listens."""
    path = shop.folder / "elsewhere"
    path.write_text(shop.bed.kubeconfig.read_text().replace(f"{shop.bed.address}:6443", "127.0.0.1:9"))
    return path


def test_each_thing_that_stands_against_a_release_is_told_and_nothing_is_changed(shop: OnKubernetes) -> None:
    own = shop.options()
    before = shop.bed.get("deployments,services,configmaps,secrets")
    looks = {"apiGroups": ["", "apps"], "resources": ["deployments", "replicasets", "services", "configmaps", "pods"], "verbs": ["get", "list"]}
    viewer = shop.bed.user("viewer", [looks], namespace="default")

    def options(**changed: Any) -> dict[str, Any]:
        return {"kubernetes": {**own, **changed}}

    found = told(
        shop,
        {
            "no API server": options(kubeconfig=str(elsewhere(shop))),
            "no context": options(context="nobody"),
            "no kubeconfig": options(kubeconfig=str(shop.folder / "none")),
            "no right": options(kubeconfig=str(viewer)),
            "no namespace": options(namespace="nowhere"),
            "no image": {"image": "hotswap-bluegreen-none"},
            "not ours": {"service": "theirs"},
            "port": options(node_ports={"http": PORT + 1}),
            "room": {"resources": {"cpu": "900"}},
            "key of ours": options(pod={"terminationGracePeriodSeconds": 1}),
            "two at once": {"stop_signal": "QUIT", "resources": {"cpu": "900"}},
        },
    )
    expected = {
        "no API server": "nothing listens at 127.0.0.1:9",
        "no context": "set bluegreen_kubernetes: context to one that the kubeconfig has",
        "no kubeconfig": "kubeconfig",
        "no right": 'add to its Role the rule {apiGroups: ["apps"], resources: ["deployments"], verbs: [create, patch, delete]}',
        "no namespace": "there is no namespace nowhere; create it",
        "no image": "hotswap-bluegreen-none:1",
        "not ours": "Deployment theirs in namespace default is not of this collection",
        "port": f"node port {PORT + 1} is taken by another Service",
        "room": "bluegreen_resources: cpu of 900 for 2 replicas",
        "key of ours": "bluegreen_kubernetes: pod has terminationGracePeriodSeconds, which the collection sets itself",
    }
    assert {name: found[name] for name, words in expected.items() if words not in found[name]} == {}
    assert [line.split()[0] for line in found["two at once"].splitlines()] == ["bluegreen_stop_signal", "bluegreen_resources:"]
    assert shop.pieces() == []
    after = shop.bed.get("deployments,services,configmaps,secrets")
    assert [one["metadata"]["uid"] for one in after["items"]] == [one["metadata"]["uid"] for one in before["items"]]
