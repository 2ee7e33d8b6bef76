"""Real clusters on this machine, offline, for tests: a Docker Swarm (swarm.py), a Kubernetes (kubernetes.py), and images for both (images.py).

    with swarm.cluster(nodes=3) as bed:
        bed.load(images.app("1"))
        bed.docker("service", "create", …)

A cluster lives in process, mount and network namespaces of its own, which a keeper process holds (keeper.py): it ends
with the block, and with this process, however that ends. `python -m tools.engines --help` is the same for the command line.
"""

from tools.engines.box import EngineError

__all__ = ["EngineError"]
