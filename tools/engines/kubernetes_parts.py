"""What runs in a Kubernetes cluster's namespaces: a control plane on the first node, a kubelet and a proxy on each. The keeper's part of the bed."""

from __future__ import annotations

import contextlib
import json
import secrets
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from tools.engines import kubernetes_access as access
from tools.engines.keeper import Inside, await_nodes, run, start_node, until
from tools.engines.kubernetes_binaries import key
from tools.hosts.engine import Engine

PAUSE = "pause:1"
NODE_PORTS = range(30000, 30200)
_KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "failSwapOn": False,
    "cgroupDriver": "cgroupfs",
    "cgroupsPerQOS": False,
    "enforceNodeAllocatable": [],
    "readOnlyPort": 0,
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "evictionHard": {"memory.available": "10Mi", "nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%"},
    "nodeStatusUpdateFrequency": "1s",
    "featureGates": {"DevicePlugins": False},  # whose sockets are in a fixed place, too
}
# A kubelet writes Pods' logs to a fixed place, and clears it of what it does not know: each has its own. What it mounts for a
# Pod is seen by its dockerd, because that place is shared with the namespace that dockerd is in.
_OWN_LOGS = 'mount -t tmpfs log /var/log; exec "$@"'


def kubernetes(inside: Inside, nodes: int) -> dict[str, Any]:
    """Nodes whose Pods have addresses of their own, and the parts. How they are reached, and how many seconds they took."""
    parts = Parts(inside, inside.data.parents[2] / "kubernetes" / key(), nodes)
    for node in range(nodes):
        # The rules between Pods are kube-proxy's alone.
        start_node(inside, node, ["--bip", f"{_pods(inside, node)}.1/24", "--iptables=false", "--ip-masq=false", "--userland-proxy=false"])
    parts.control_plane()
    reached = await_nodes(inside, nodes)
    return {**reached, "more": parts.finish()}


def _pods(inside: Inside, node: int) -> str:
    """A node's Pods have addresses that begin with this."""
    return f"{inside.network.rpartition('.')[0]}.{1 + node}"


class Parts:
    """The parts, each with a log in the cluster's folder."""

    def __init__(self, inside: Inside, programs: Path, nodes: int) -> None:
        self.inside = inside
        self.programs = programs
        self.nodes = nodes
        self.address = inside.address(0)
        self.config = inside.folder / "kubeconfig"
        self.pki = inside.folder / "pki"
        self.own = f"/run/kubernetes-{inside.name}"  # in the namespaces' own /run
        self.began = time.monotonic()
        self.started: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *words: str, node: int = 0, before: tuple[str, ...] = ()) -> None:
        program = self.programs / name
        command = [*before, str(program) if program.exists() else name, *words]
        self.started[f"{name}-{node}"] = self.inside.start(command, self.log(name, node), node)

    def log(self, name: str, node: int = 0) -> Path:
        return self.inside.folder / f"{name}-{node}.log"

    def control_plane(self) -> None:
        """Started while dockerd starts."""
        folder = self.inside.folder
        token = secrets.token_hex(16)
        access.make(folder, self.address, token)
        client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
        self.start(
            "etcd",
            *("--data-dir", f"{self.own}/etcd", "--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
        )
        network = self.inside.network.rpartition(".")[0]
        self.start(
            "kube-apiserver",
            *(f"--etcd-servers={client}", "--secure-port=6443", f"--advertise-address={self.address}", "--endpoint-reconciler-type=none"),
            *(f"--tls-cert-file={self.pki}/server.crt", f"--tls-private-key-file={self.pki}/server.key", f"--client-ca-file={self.pki}/ca.crt"),
            *(f"--service-cluster-ip-range={network}.128.0/24", f"--service-node-port-range={NODE_PORTS.start}-{NODE_PORTS.stop - 1}"),
            *("--service-account-issuer=https://bed", f"--service-account-key-file={self.pki}/sa.key", f"--service-account-signing-key-file={self.pki}/sa.key"),
            *(f"--token-auth-file={self.pki}/tokens.csv", "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount", "--allow-privileged"),
            "--kubelet-preferred-address-types=InternalIP",  # for logs and exec: nobody resolves a node's name
        )

    def controllers(self) -> None:
        common = (f"--kubeconfig={self.config}", "--leader-elect=false", "--port=0", "--bind-address=127.0.0.1", f"--cert-dir={self.own}/certs")
        self.start(
            "kube-controller-manager",
            *common,
            f"--service-account-private-key-file={self.pki}/sa.key",
            "--node-monitor-period=1s",
            f"--flex-volume-plugin-dir={self.own}/plugins",
        )
        self.start("kube-scheduler", *common)

    def routes(self, node: int) -> None:
        """To the other nodes' Pods; and for Services, because a connection needs some route before the rules turn it elsewhere."""
        enter = self.inside.enter(node)
        run(*enter, "ip", "route", "add", f"{self.inside.network.rpartition('.')[0]}.128.0/24", "dev", "up0")
        for other in range(self.nodes):
            if other != node:
                run(*enter, "ip", "route", "add", f"{_pods(self.inside, other)}.0/24", "via", self.inside.address(other))
        run(*enter, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")

    def kubelet(self, node: int) -> None:
        own, name, address = f"{self.own}/{node}", f"node{node + 1}", self.inside.address(node)
        enter = self.inside.enter()
        run(*enter, "sh", "-ec", 'mkdir -p "$1"; mount -t tmpfs kubelet "$1"; mount --make-shared "$1"; : >"$1/resolv.conf"', "sh", own)
        config = self.inside.folder / f"kubelet-{node}.json"
        config.write_text(json.dumps({**_KUBELET, "address": address, "volumePluginDir": f"{own}/plugins", "resolvConf": f"{own}/resolv.conf"}))
        self.start(
            "kubelet",
            *(f"--config={config}", f"--kubeconfig={self.config}", f"--root-dir={own}/kubelet", f"--cert-dir={own}/certs"),
            *(
                "--container-runtime=docker",
                f"--docker-endpoint={self.inside.host(node)}",
                f"--docker={self.inside.host(node)}",
                f"--container-runtime-endpoint=unix://{own}/dockershim.sock",
            ),
            *(f"--experimental-dockershim-root-directory={own}/dockershim", f"--pod-infra-container-image={PAUSE}", "--network-plugin="),
            *(f"--hostname-override={name}", f"--node-ip={address}"),
            node=node,
            before=("unshare", "--mount", "--propagation", "unchanged", "sh", "-ec", _OWN_LOGS, "sh"),
        )

    def proxy(self, node: int) -> None:
        """All that goes to a Service gets the node's address as its source: without br_netfilter, Pods of one bridge answer one another past the node."""
        self.start(
            "kube-proxy",
            *(f"--kubeconfig={self.config}", f"--hostname-override=node{node + 1}", f"--bind-address={self.inside.address(node)}"),
            *("--proxy-mode=iptables", "--masquerade-all", "--iptables-min-sync-period=0s"),
            *("--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"),
            node=node,
        )

    def pause_image(self, node: int) -> None:
        tar = subprocess.run(["tar", "-C", str(self.programs), "-c", "pause"], capture_output=True, check=True).stdout
        (self.inside.folder / "pause.tar").write_bytes(tar)
        Engine(self.inside.host(node), "").docker("import", "-c", 'ENTRYPOINT ["/pause"]', str(self.inside.folder / "pause.tar"), PAUSE)

    def api_ready(self) -> bool:
        return self._get("/readyz") == b"ok"

    def nodes_ready(self) -> bool:
        nodes = json.loads(self._get("/api/v1/nodes") or "{}").get("items", [])
        return sum(_ready(node) for node in nodes) == self.nodes

    def _get(self, path: str) -> bytes:
        token = (self.pki / "tokens.csv").read_text().partition(",")[0]
        request = urllib.request.Request(f"https://{self.address}:6443{path}", headers={"Authorization": f"Bearer {token}"})
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.pki / "ca.crt")))
        )
        with contextlib.suppress(OSError), opener.open(request, timeout=5) as answer:
            return bytes(answer.read())
        return b""

    def finish(self) -> dict[str, Any]:
        """Once the dockerds answer: the rest, until all nodes are ready. How long it took."""
        for node in range(self.nodes):
            self.pause_image(node)
            self.routes(node)
        until(self.api_ready, self.started["kube-apiserver-0"], self.log("kube-apiserver"), 120)
        control = time.monotonic() - self.began
        self.controllers()
        for node in range(self.nodes):
            self.kubelet(node)
            self.proxy(node)
        until(self.nodes_ready, self.started["kubelet-0"], self.log("kubelet"), 120)
        return {"seconds": {"control plane": round(control, 1), "nodes ready": round(time.monotonic() - self.began, 1)}}


def _ready(node: dict[str, Any]) -> bool:
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", ()))
    return ready and not node["spec"].get("taints")
