"""The Kubernetes bed: a real cluster, and nothing of it left when it is not needed any more."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Counts
from tests.engines import or_not_run
from tests.engines.leftovers import left, processes
from tools.bed import ROOT, alive, wait_until
from tools.engines import images, kubernetes
from tools.probe import Kind, Probe

pytestmark = pytest.mark.full

PORT = kubernetes.Bed.node_ports.start
_FIXED = (
    *("/var/lib/dockershim", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers", "/var/run/dockershim.sock", "/var/run/kubernetes"),
    *("/usr/libexec/kubernetes", "/etc/kubernetes", "/etc/cni"),
)
_HOLDER = """
from tools.engines import EngineError, images, kubernetes
try:
    with kubernetes.cluster() as bed:
        bed.load(images.app("1"))
        bed.kubectl("run", "web", "--image", images.app("1").name, "--image-pull-policy", "Never")
        print(bed.box.folder, flush=True)
        input()
except EngineError as error:
    print(f"none: {error}", flush=True)
"""


def deployment(image: images.Image, replicas: int = 4, drained: bool = True, deadline: int = 80) -> dict[str, Any]:
    """The application, whose Pods are ready when they say so; and with a pause before each is told to end, or without."""
    container = {
        "name": "app",
        "image": image.name,
        "imagePullPolicy": "IfNotPresent",
        "readinessProbe": {"httpGet": {"path": "/health", "port": images.PORT}, "periodSeconds": 1},
        "env": [{"name": "DRAIN", "value": "4" if drained else "0"}],
        **({"lifecycle": {"preStop": {"exec": {"command": ["sleep", "3"]}}}} if drained else {}),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": deadline,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"terminationGracePeriodSeconds": 20 if drained else 1, "containers": [container]}},
        },
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": images.PORT, "nodePort": PORT}]},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[kubernetes.Bed]:
    """Two nodes."""
    with or_not_run("updates on a Kubernetes of two nodes", kubernetes.cluster(nodes=2)) as made:
        made.load(images.app("1"), images.app("2"), images.app("3", "500"), images.app("3", "exit"))
        yield made


@pytest.fixture
def bed(cluster: kubernetes.Bed) -> Iterator[kubernetes.Bed]:
    """The first release on four Pods, and a port of the nodes for them."""
    cluster.apply(deployment(images.app("1")), SERVICE)
    assert rolled_out(cluster)
    wait_until(lambda: answers(cluster), 60, "the nodes' port")
    yield cluster
    cluster.kubectl("delete", "deployment,service", "web", "--wait=false")
    cluster.kubectl("delete", "pods", "-l", "app=web", "--force", "--grace-period=0")  # else the kubelet's next collection of containers is awaited: a minute


def rolled_out(bed: kubernetes.Bed) -> bool:
    """Whether the rollout came to its good end, once it has ended."""
    return bed.kubectl("rollout", "status", "deployment/web", "--timeout=90s", check=False).returncode == 0


def pods(bed: kubernetes.Bed) -> list[dict[str, Any]]:
    return list(bed.get("pods", "-l", "app=web")["items"])


def answers(bed: kubernetes.Bed) -> bool:
    """Whether all nodes' rules are there. Before, kube-proxy has the port open, and takes connections that nobody answers."""
    with contextlib.suppress(OSError):
        return all(served(bed, node=node, seconds=1)[0] for node in range(len(bed.addresses)))
    return False


def served(bed: kubernetes.Bed, path: str = "/", node: int = 0, seconds: float = 30) -> tuple[str | None, str]:
    """Which release answers on a node's port, and what."""
    connection = http.client.HTTPConnection(bed.addresses[node], PORT, timeout=seconds)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.headers["X-Release"], answer.read().decode().strip()


def probe(bed: kubernetes.Bed, path: str = "/", **more: Any) -> Probe:
    """Requests to each node's port."""
    kinds = [
        Kind(f"node{number}", f"http://{address}:{PORT}{path}", **{"rate": 40, "connections": 2, **more}) for number, address in enumerate(bed.addresses, 1)
    ]
    return Probe("kubernetes-bed", kinds, {"header": "X-Release"})


def test_updates_under_load_lose_nothing_and_a_broken_one_leaves_the_old_pods(bed: kubernetes.Bed, counts: Counts) -> None:
    assert {pod["spec"]["nodeName"] for pod in pods(bed)} == {"node1", "node2"}
    with probe(bed) as load:
        bed.apply(deployment(images.app("2")))
        assert rolled_out(bed)
        bed.apply(deployment(images.app("3", "500"), deadline=15))
        assert not rolled_out(bed)
        bed.kubectl("rollout", "undo", "deployment/web")
        assert rolled_out(bed)
    counts.add("requests to a Kubernetes while it was updated", load.result["due"])
    assert load.result["failures"] == []
    assert load.result["answered"] == load.result["due"] > 1000
    assert sorted(load.result["by_release"]) == ["1", "2"]


def test_the_load_sees_pods_that_end_with_requests_under_way(bed: kubernetes.Bed) -> None:
    bed.apply(deployment(images.app("2"), drained=False))
    assert rolled_out(bed)
    with probe(bed, "/slow?seconds=2", method="POST", rate=10, connections=30) as load:
        bed.apply(deployment(images.app("1"), drained=False))
        assert rolled_out(bed)
    assert load.result["failures"]


def test_a_pod_that_ends_at_once_tells_why_by_its_state_its_log_and_its_events(bed: kubernetes.Bed) -> None:
    bed.apply(deployment(images.app("3", "exit"), replicas=1))

    def ended() -> list[str]:
        found = [pod for pod in pods(bed) if any(one.get("lastState", {}).get("terminated") for one in pod["status"].get("containerStatuses", ()))]
        return [pod["metadata"]["name"] for pod in found]

    (name,) = wait_until(ended, 60, "the end of a container")
    (state,) = bed.get("pod", name)["status"]["containerStatuses"]
    assert state["lastState"]["terminated"]["exitCode"] == 3
    # A container that has ended may be collected just before the next one's end is told.
    wait_until(lambda: "cannot start" in bed.kubectl("logs", "--previous", name, check=False).stdout, 60, "the log")
    wait_until(
        lambda: "BackOff" in [event["reason"] for event in bed.get("events", "--field-selector", f"involvedObject.name={name}")["items"]], 60, "an event"
    )


def test_an_image_that_no_node_has_is_told_at_once_because_there_is_no_way_to_a_registry(bed: kubernetes.Bed) -> None:
    bed.apply(deployment(images.Image("nowhere:1"), replicas=1))

    def waits() -> set[str]:
        return {one["state"].get("waiting", {}).get("reason", "") for pod in pods(bed) for one in pod["status"].get("containerStatuses", ())}

    wait_until(lambda: waits() & {"ErrImagePull", "ImagePullBackOff"}, 30, "the failure of the pull")
    assert served(bed)[0] == "1"


def test_pods_reach_a_service_by_its_address_and_each_other_on_both_nodes(bed: kubernetes.Bed) -> None:
    service, all_pods = bed.get("service", "web")["spec"]["clusterIP"], pods(bed)
    addresses = [f"{pod['status']['podIP']}:{images.PORT}" for pod in all_pods] + [service] * 8  # a Pod beside it answers, or one of the other node
    for pod in (next(pod for pod in all_pods if pod["spec"]["nodeName"] == name) for name in ("node1", "node2")):
        asked = bed.kubectl(
            "exec", pod["metadata"]["name"], "--", "curl", "-fsS", "--fail-early", "-m", "10", *(f"http://{address}/" for address in addresses), check=False
        )
        assert asked.returncode == 0, asked.stderr


def test_a_secret_is_a_file_in_the_pods_of_both_nodes(bed: kubernetes.Bed) -> None:
    """The kubelet mounts it: what it mounts is seen by its node's dockerd."""
    bed.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop"}, "stringData": {"colour": "blue"}})
    wished = deployment(images.app("2"))
    pod = wished["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "shop", "secret": {"secretName": "shop"}}]
    pod["containers"][0]["volumeMounts"] = [{"name": "shop", "mountPath": "/etc/shop"}]
    bed.apply(wished)
    assert rolled_out(bed)
    assert wait_until(lambda: {served(bed, "/file?path=/etc/shop/colour") for _ in range(20)} == {("2", "blue")}, 30, "the old Pods' end")


def test_nothing_of_the_user_is_used_or_changed(cluster: kubernetes.Bed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert len(cluster.get("nodes")["items"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_user_may_do_what_he_is_told_and_nothing_else(cluster: kubernetes.Bed) -> None:
    reader = cluster.user("reader", [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}], namespace="default")
    assert reader.stat().st_mode & 0o777 == 0o600
    assert cluster.kubectl("--kubeconfig", str(reader), "get", "deployments").returncode == 0
    for words in (("get", "deployments", "-n", "kube-system"), ("delete", "deployment", "web"), ("get", "secrets")):
        refused = cluster.kubectl("--kubeconfig", str(reader), *words, check=False)
        assert refused.returncode == 1
        assert 'User "reader" cannot' in refused.stderr


def test_what_the_cluster_offers_is_of_its_time(cluster: kubernetes.Bed) -> None:
    offered = cluster.kubectl("api-versions").stdout.split()
    assert {"apps/v1", "policy/v1beta1", "batch/v1beta1"} <= set(offered)
    assert not {"policy/v1"} & set(offered)


def hold() -> tuple[subprocess.Popen[str], Path]:
    """A process of its own with a cluster, and the cluster's directory."""
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    said = ""
    for line in holder.stdout:  # before, it may tell of a build
        said = line.strip()
        if said.startswith(("/", "none: ")):
            break
    if not said.startswith("/"):
        holder.communicate()
        pytest.skip(f"NOT RUN: the end of a Kubernetes: {said.removeprefix('none: ')}")
    folder = Path(said)
    wait_until(lambda: any("/usr/local/bin/app" in process for process in processes(folder)), 60, "a Pod")
    return holder, folder


def outside() -> tuple[list[str], int]:
    """What Kubernetes writes in fixed places of a machine, and its rules."""
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout.count("KUBE")
    return [path for path in _FIXED if os.path.exists(path)], rules


def test_nothing_is_left_when_whoever_holds_the_cluster_is_killed() -> None:
    before = outside()
    holder, folder = hold()
    with holder:
        assert left(folder)
        holder.kill()
    wait_until(lambda: not left(folder), 60, "the end of the cluster")
    assert outside() == before


def test_the_next_run_takes_away_what_a_killed_keeper_left() -> None:
    holder, folder = hold()
    with holder:
        keeper = next(int(process.split()[0]) for process in processes(folder) if " keep kubernetes " in process and "sudo" not in process)
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not alive(keeper), what="the keeper's end")
        holder.kill()
    wait_until(lambda: not processes(folder), 60, "the end of the cluster's processes")
    assert left(folder)
    with kubernetes.cluster():
        assert not left(folder)
