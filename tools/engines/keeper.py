"""The process that holds a cluster: namespaces whose first process ends with it, and everything in them with that.

Its nodes are network namespaces on one bridge, each with a dockerd of its own. There is no way out: a node with a route to
nowhere would wait for name servers, 22 s for each task. Outside there is one network interface, which goes with the
namespaces, and control groups, which are removed here (or by the next keeper, if this one is killed).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.engines.box import EngineError
from tools.hosts.engine import Engine, Record
from tools.hosts.image import install
from tools.hosts.keeper import die_with_parent, first_child, free_range, remove_groups, weigh
from tools.hosts.place import HostsError, Place

# The first process: own /run (another containerd's socket, locks) and places that dockerd has fixed, one bridge; then it collects the orphans of all others.
_INIT = """
set -eu
mount -t tmpfs run /run
[ ! -d /etc/docker ] || mount -t tmpfs etc /etc/docker
mkdir -p /var/lib/docker # where a Swarm keeps its load balancers, wherever the data root is
mount -t tmpfs lib /var/lib/docker
ip link set lo up
ip link add nodes type bridge
ip link set nodes up
echo ready
while :; do sleep 1000 & wait; done
"""
_NODE = 'read -r go; hostname "$1"; shift; exec "$@" </dev/null'


@dataclass
class Inside:
    """The namespaces. ``folder`` is for sockets and what is small, ``data`` for what is large; both go with the cluster."""

    name: str
    folder: Path
    data: Path
    group: int
    network: str  # three bytes; .1 is this machine, .11 the first node
    pid: int  # of their first process
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def enter(self, node: int | None = None) -> list[str]:
        """The words before a command that is to run in there, or in the network of one node."""
        network = f"--net=/proc/{first_child(self.processes[node])}/ns/net" if node is not None else "--net"
        return ["nsenter", "-t", str(self.pid), "--mount", "--pid", network, "--"]

    def start(self, command: Sequence[str], log: Path, node: int | None = None) -> subprocess.Popen[bytes]:
        """A process in there, that ends with all others."""
        return self._start([*self.enter(node), *command], log)

    def _start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            process = subprocess.Popen(command, env=_environment(self.folder), stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def address(self, node: int) -> str:
        return f"{self.network}.{11 + node}"

    def host(self, node: int) -> str:
        return f"unix://{self.folder}/{node}/docker.sock"

    def log(self, node: int) -> Path:
        return self.folder / f"{node}/dockerd.log"


def keep(place: Place, folder: Path, make: Callable[[Inside, int], dict[str, Any]], nodes: int, group: int) -> None:
    """Run the cluster that ``make`` makes as long as its record holds. One line on standard output says how it is reached, or why it cannot be."""
    asked_to_end: list[int] = []
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sign, lambda number, _frame: asked_to_end.append(number))
    record = Record(folder)
    with (folder / "keeper.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody who sweeps may have it for a moment
        sweep(place)
        try:
            with _inside(place, record, group) as inside:
                told = make(inside, nodes)
                print(json.dumps(told), flush=True)
                while record.holds() and not asked_to_end and Path(f"/proc/{inside.pid}").exists():
                    time.sleep(0.1)
        except HostsError as error:
            print(json.dumps({"error": str(error)}), flush=True)
        finally:
            remove(place, folder)


def swarm(inside: Inside, nodes: int) -> dict[str, Any]:
    """What a Swarm is made of: its commands do the rest (swarm.py)."""
    _need_vxlan(inside)
    for node in range(nodes):
        start_node(inside, node)
    return {**await_nodes(inside, nodes), "more": {"ipvs": _ipvs()}}


def await_nodes(inside: Inside, nodes: int) -> dict[str, Any]:
    """Wait until the nodes' engines answer; how they are reached."""
    for node in range(nodes):
        engine, process = Engine(inside.host(node), ""), inside.processes[node]
        until(lambda engine=engine: engine.docker("version", check=False).returncode == 0, process, inside.log(node))  # type: ignore[misc]
    return {"addresses": [inside.address(node) for node in range(nodes)], "hosts": [inside.host(node) for node in range(nodes)]}


def _ipvs() -> bool:
    """Whether this kernel has what Swarm's routing mesh is made of; its module is asked for, as dockerd does."""
    with contextlib.suppress(OSError):
        subprocess.run(["modprobe", "ip_vs"], capture_output=True, check=False, env={**os.environ, "PATH": _path()}, timeout=60)
    return Path("/proc/net/ip_vs").exists()


def _need_vxlan(inside: Inside) -> None:
    try:
        run(*inside.enter(), "ip", "link", "add", "probe", "type", "vxlan", "id", "1", "dstport", "4789", "dev", "nodes")
        run(*inside.enter(), "ip", "link", "delete", "probe")
    except EngineError as error:
        raise EngineError(f"this kernel has no VXLAN, which Swarm's networks are made of ({error})") from error


@contextlib.contextmanager
def _inside(place: Place, record: Record, group: int) -> Iterator[Inside]:
    """The namespaces, joined to ours by a pair of interfaces."""
    if not shutil.which("dockerd", path=_path()):
        install("docker.io", "iptables")
    install("iproute2")
    name = _name(record.folder)
    command = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", _INIT]
    outer = subprocess.Popen(
        command, env=_environment(record.folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
    )
    inside = Inside(name, record.folder, place.cache / "data" / record.name, group, "", 0)
    try:
        assert outer.stdout
        said = outer.stdout.readline().decode()
        if said != "ready\n":
            raise EngineError(f"no namespaces for a cluster on this machine: {(said + outer.stdout.read().decode()).strip()}")
        inside.pid = first_child(outer)
        inside.data.mkdir(parents=True)
        with place.lock("network"):  # two clusters at once take two ranges
            inside.network = f"{free_range()}.255"
            _join(inside)
        weigh(name)
        yield inside
    finally:
        if inside.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(inside.pid, signal.SIGKILL)  # the kernel ends all others before this one is gone
        else:
            outer.kill()
        outer.wait()
        for process in inside.processes:
            process.wait()


def _join(inside: Inside) -> None:
    run("ip", "link", "add", inside.name, "type", "veth", "peer", "name", "outside", "netns", str(inside.pid))
    run(*inside.enter(), "ip", "link", "set", "outside", "master", "nodes", "up")
    run("ip", "address", "add", f"{inside.network}.1/24", "dev", inside.name)
    run("ip", "link", "set", inside.name, "up")


def start_node(inside: Inside, node: int, more: Sequence[str] = ()) -> None:
    """A dockerd in a network of its own, on the bridge; with more options."""
    folder = inside.folder / str(node)
    folder.mkdir()
    options = [
        *("--data-root", f"{inside.data}/{node}", "--exec-root", f"{folder}/exec", "-p", f"{folder}/pid", "-H", inside.host(node), "-G", str(inside.group)),
        *("--cgroup-parent", f"/{inside.name}", "--exec-opt", "native.cgroupdriver=cgroupfs"),
        *more,
    ]
    alone = ["unshare", "--net", "--uts", "/bin/sh", "-c", _NODE, "sh", f"node{node + 1}", "dockerd", *options]
    process = inside.start(alone, inside.log(node))
    pid = first_child(process)
    until(lambda: os.readlink(f"/proc/{pid}/ns/net") != os.readlink(f"/proc/{inside.pid}/ns/net"), process, inside.log(node))
    network = [*inside.enter(len(inside.processes) - 1), "ip"]
    run(*inside.enter(), "ip", "link", "add", f"node{node + 1}", "type", "veth", "peer", "name", "up0", "netns", _seen_inside(pid))
    run(*inside.enter(), "ip", "link", "set", f"node{node + 1}", "master", "nodes", "up")
    run(*network, "link", "set", "lo", "up")
    run(*network, "address", "add", f"{inside.address(node)}/24", "dev", "up0")
    run(*network, "link", "set", "up0", "up")
    assert process.stdin
    process.stdin.write(b"go\n")
    process.stdin.close()


def _seen_inside(pid: int) -> str:
    """The process's number in its own process namespace."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:"))


def until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    """Wait for the condition; EngineError with the end of the log if the process ends before, or after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise EngineError(f"{log.stem} does not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


def run(*command: str) -> str:
    """What a short command of root's said; EngineError if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env={**os.environ, "PATH": _path()}, timeout=60)
    if done.returncode:
        raise EngineError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the user's own: no proxy that a dockerd would ask, no other engine's address."""
    return {"PATH": _path(), "HOME": str(folder), "LC_ALL": "C.UTF-8"}


def _name(folder: Path) -> str:
    """Short enough for a network interface."""
    return f"hse{folder.name}"


def remove(place: Place, folder: Path) -> None:
    """What a cluster whose processes have ended leaves: control groups, data, directory (the last, its end is awaited)."""
    remove_groups(_name(folder))
    shutil.rmtree(place.cache / "data" / folder.name, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    with place.lock("registry"), contextlib.suppress(OSError):  # others are there still
        place.fleets.rmdir()
        place.run.rmdir()
        Path("/var/lib/docker").rmdir()  # that it is there was for us to mount something over it; a Docker of the machine's own has something in it


def sweep(place: Place) -> None:
    """What clusters left whose keepers were killed."""
    for folder in place.fleets.iterdir() if place.fleets.is_dir() else ():
        with contextlib.suppress(OSError), (folder / "keeper.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # else it has a keeper
            if not Record(folder).holds():
                remove(place, folder)
