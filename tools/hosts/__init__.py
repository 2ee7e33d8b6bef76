"""Several real hosts on this machine, offline, for tests:

    with hosts.up("lb1", "app1", "app2") as fleet:
        fleet["app1"].start("nginx", "supervisor")
        fleet.inventory(groups={"lb": ["lb1"], "app": ["app1", "app2"]})

Each is a container with sshd and the distribution's own nginx and supervisor, and with two people beside root: deploy
(sudo with the password "secret") and ops (sudo without). The engine is this machine's own Docker if one runs, else a
private one from apt's docker.io (keeper.py) that ends when nobody needs it. The image is made once (image.py) and kept
in ~/.cache/hotswap-bluegreen. `python -m tools.hosts --help` has the same for the command line.
"""

from tools.hosts.fleet import Fleet, Host, create, up
from tools.hosts.place import HostsError

__all__ = ["Fleet", "Host", "HostsError", "create", "up"]
