"""A real Kubernetes on this machine, offline: control plane, nodes, kubelet, kube-proxy. 1.20.2, from the distribution's own source package."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.engines import kubernetes_access
from tools.engines.box import Box, EngineError, up
from tools.engines.images import Image
from tools.engines.kubernetes_binaries import need, programs
from tools.engines.kubernetes_parts import NODE_PORTS

__all__ = ["Bed", "EngineError", "cluster", "create"]


class Bed:
    """A cluster. Its nodes are ``node1``, …; it has no name server: Pods find Services by address, or by environment variables."""

    node_ports = NODE_PORTS

    def __init__(self, box: Box) -> None:
        self.box = box
        self.address = box.addresses[0]  # NodePorts and the API server (port 6443) answer here
        self.addresses = box.addresses
        self.kubeconfig = box.folder / "kubeconfig"
        self.seconds: dict[str, float] = box.more["seconds"]
        self._kubectl = programs() / "kubectl"
        self._loaded: set[str] = set()

    def kubectl(self, *words: str, check: bool = True, stdin: str | None = None, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """A kubectl command as the administrator. EngineError with what it said if it fails and ``check`` is set."""
        command = [str(self._kubectl), "--kubeconfig", str(self.kubeconfig), *words]
        own = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.box.folder)}  # no proxy, and no cache in the user's home
        done = subprocess.run(command, env=own, input=stdin or "", capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
        if check and done.returncode:
            raise EngineError(f"kubectl {' '.join(words)[:300]} failed with {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
        return done

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """What kubectl apply does, with objects as mappings."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def get(self, *words: str) -> dict[str, Any]:
        """What kubectl get says, as a mapping."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "-o", "json", *words).stdout)
        return found

    def docker(self, *words: str, node: int = 0, check: bool = True, stdin: str | None = None, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """A docker command on a node."""
        return self.box.engine(node).docker(*words, check=check, stdin=stdin, seconds=seconds)

    def load(self, *images: Image) -> None:
        """Images on all nodes; Pods use them with imagePullPolicy Never or IfNotPresent. There is no registry to pull from: a pull fails at once."""
        for tar in (tar for image in images for tar in image.tars if str(tar) not in self._loaded):
            for node in range(len(self.addresses)):
                self.docker("load", "-q", "-i", str(tar), node=node)
            self._loaded.add(str(tar))

    def user(self, name: str, rules: Sequence[Mapping[str, Any]], namespace: str = "") -> Path:
        """The kubeconfig of somebody who may do only what these RBAC rules say, in one namespace or in all."""
        kind, api = ("Role" if namespace else "ClusterRole"), "rbac.authorization.k8s.io"
        about = {"name": f"bed-{name}", **({"namespace": namespace} if namespace else {})}
        bound = {"subjects": [{"kind": "User", "name": name, "apiGroup": api}], "roleRef": {"apiGroup": api, "kind": kind, "name": about["name"]}}
        self.apply(
            {"apiVersion": f"{api}/v1", "kind": kind, "metadata": about, "rules": list(rules)},
            {"apiVersion": f"{api}/v1", "kind": f"{kind}Binding", "metadata": about, **bound},
        )
        return kubernetes_access.user(self.box.folder, self.address, name)

    def log(self, part: str, node: int = 0) -> str:
        """What a part has said: kube-apiserver, kubelet, …"""
        return (self.box.folder / f"{part}-{node}.log").read_text(errors="replace")


def create(nodes: int = 1, owner: int = 0, seconds: float = 0) -> Bed:
    """A cluster whose nodes are ready. It lives as long as the process ``owner``, or for some seconds, or until its box is ended."""
    need({"etcd": "etcd-server", "iptables": "iptables", "openssl": "openssl"})
    programs()
    return Bed(up("kubernetes", nodes, owner, seconds))


@contextlib.contextmanager
def cluster(nodes: int = 1) -> Iterator[Bed]:
    """A cluster for as long as the block runs. It ends with this process, too, even if that is killed."""
    bed = create(nodes, owner=os.getpid())
    try:
        yield bed
    finally:
        bed.box.end()
