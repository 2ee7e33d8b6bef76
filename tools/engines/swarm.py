"""A Docker Swarm of some nodes on this machine, offline."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tools.engines.box import Box, EngineError, up
from tools.engines.images import Image
from tools.hosts.place import HostsError

__all__ = ["EngineError", "Swarm", "cluster", "create"]


class Swarm:
    """A swarm. Its first node is the manager; ``address`` is the one at which this machine reaches what it publishes."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.docker_host = box.hosts[0]
        self.addresses = box.addresses
        self.address = box.addresses[0]
        # Without the kernel's IPVS there is no routing mesh: no virtual address, no port published on all nodes ("ingress").
        # Then a service is found by its tasks' addresses (endpoint mode dnsrr), and a port is published on its task's node (mode host).
        self.mesh: bool = box.more["ipvs"]
        self._loaded: set[str] = set()

    def docker(self, *words: str, node: int = 0, check: bool = True, stdin: str | None = None, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """A docker command on a node. HostsError with what it said if it fails and ``check`` is set."""
        return self.box.engine(node).docker(*words, check=check, stdin=stdin, seconds=seconds)

    def load(self, *images: Image) -> None:
        """Images on all nodes: there is no registry to pull them from."""
        for image in images:
            for tar in (tar for tar in image.tars if str(tar) not in self._loaded):
                self.everywhere(lambda node, tar=tar: self.docker("load", "-q", "-i", str(tar), node=node))  # type: ignore[misc]
                self._loaded.add(str(tar))

    def everywhere(self, what: Callable[[int], object]) -> None:
        """Something on all nodes at once."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(what, range(len(self.addresses))))


def create(nodes: int = 1, owner: int = 0, seconds: float = 0) -> Swarm:
    """A swarm that lives as long as the process ``owner``, or for some seconds, or until its box is ended."""
    bed = Swarm(up("swarm", nodes, owner, seconds))
    try:
        bed.docker("swarm", "init", "--advertise-addr", bed.address, "--listen-addr", f"{bed.address}:2377")
        token = bed.docker("swarm", "join-token", "-q", "worker").stdout.strip()

        def join(node: int) -> None:
            if node:
                bed.docker("swarm", "join", "--token", token, "--advertise-addr", bed.addresses[node], f"{bed.address}:2377", node=node)

        bed.everywhere(join)
    except HostsError as error:
        bed.box.end()
        raise EngineError(str(error)) from error
    except BaseException:
        bed.box.end()
        raise
    return bed


@contextlib.contextmanager
def cluster(nodes: int = 1) -> Iterator[Swarm]:
    """A swarm for as long as the block runs. It ends with this process, too, even if that is killed."""
    bed = create(nodes, owner=os.getpid())
    try:
        yield bed
    finally:
        bed.box.end()
