"""Hosts of their own on this machine: own addresses, sshd, the distribution's nginx and supervisor."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.hosts.engine import LABEL, Engine, Record, acquire, published, remove
from tools.hosts.place import HostsError, Place
from tools.hosts.recipe import BOOT

# A real host's root may look at other users' processes, set its own network up and mount things.
_LIKE_A_HOST = ("--init", "--cap-add", "SYS_PTRACE", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined")
_SSH = (
    "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes "
    "-o ConnectTimeout=5 -o ServerAliveInterval=5 -o ServerAliveCountMax=2"
)
# When a service's start has come so far that what follows may count on it. nginx looks at its signals only after its first worker's start.
_STARTED = {
    "nginx": 'pgrep -P "$(cat /run/nginx.pid)"',
    "supervisor": "supervisorctl pid",
    "ssh": "pgrep -F /run/sshd.pid",
}


class Host:
    """One host. ``address`` is reachable from here and from the others, which also know its name."""

    def __init__(self, name: str, address: str, container: str, engine: Engine) -> None:
        self.name = name
        self.address = address
        self._container = container
        self._engine = engine

    def run(self, *words: str, check: bool = True, user: str = "root", stdin: str | None = None, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """A command on the host, past ssh. HostsError with what it said if it fails and ``check`` is set."""
        return self._engine.docker("exec", "-i", "-u", user, self._container, *words, check=check, stdin=stdin, seconds=seconds)

    def sh(self, script: str, check: bool = True, user: str = "root", seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """A shell's script on the host."""
        return self.run("/bin/sh", "-c", script, check=check, user=user, seconds=seconds)

    def read(self, path: str) -> str:
        return self.run("cat", path).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file of root's; its directory is made."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"'
        self.run("/bin/sh", "-c", script, "sh", path, f"{mode:o}", stdin=text)

    def start(self, *services: str, seconds: float = 20) -> None:
        """Start the distribution's services, and wait until they are at work."""
        for service in services:
            # Not inherited: a service that keeps our pipe open would keep us waiting.
            self.sh(f"service {service} start >/run/{service}.start 2>&1 </dev/null || {{ cat /run/{service}.start; exit 1; }}; rm /run/{service}.start")
            condition = _STARTED.get(service, f"service {service} status")
            tries = int(seconds / 0.05)
            waited = self.sh(f"i=0; until {condition} >/dev/null 2>&1; do i=$((i+1)); [ $i -lt {tries} ] || exit 1; sleep 0.05; done", check=False)
            if waited.returncode:
                raise HostsError(f"{self.name}: {service} did not start within {seconds:g} s")

    def disconnect(self) -> None:
        """As if its cable was pulled: what is open hangs, what is new is not answered. ``run`` goes on working."""
        self.run("ip", "link", "set", "eth0", "down")

    def connect(self) -> None:
        """The cable is in again; the address is what it was."""
        gateway = f"{self.address.rpartition('.')[0]}.1"
        self.sh(f"ip link set eth0 up; ip route replace default via {gateway}")

    def freeze(self) -> None:
        """Stop every process of the host, as a host that hangs. ``run`` is refused until ``thaw``."""
        self._engine.docker("pause", self._container)

    def thaw(self) -> None:
        self._engine.docker("unpause", self._container)

    def kill_sshd_sessions(self) -> None:
        """Cut all open ssh connections. sshd itself stays and takes new ones."""
        self.sh('for pid in $(pgrep -x sshd); do [ "$pid" = "$(cat /run/sshd.pid)" ] || kill -KILL "$pid" 2>/dev/null || true; done')

    def answers(self) -> bool:
        """Whether sshd answers from here."""
        with contextlib.suppress(OSError), socket.create_connection((self.address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
        return False


class Fleet:
    """Several hosts, and one directory for what belongs to them."""

    def __init__(self, record: Record, engine: Engine, addresses: Mapping[str, str]) -> None:
        self._record = record
        self._engine = engine
        self.folder = record.folder / "folder"
        self.key = record.folder / "key"
        self.hosts = {name: Host(name, address, f"{record.name}-{name}", engine) for name, address in addresses.items()}

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts.values())

    def variables(self, user: str = "root") -> dict[str, Any]:
        """How Ansible reaches any of these hosts."""
        return {
            "ansible_user": user,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": _SSH,
            "ansible_control_path_dir": str(self._record.folder / "c"),
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def inventory(
        self,
        groups: Mapping[str, Sequence[str]] | None = None,
        variables: Mapping[str, Any] | None = None,
        host_variables: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """An inventory to be written as YAML or JSON. Groups may name aliases, whose own variables are in ``host_variables``."""
        more = dict(host_variables or {})
        hosts = {name: {"ansible_host": host.address, **more.pop(name, {})} for name, host in self.hosts.items()}
        hosts.update({name: dict(own) for name, own in more.items()})
        members: dict[str, dict[str, Any]] = {name: {host: {} for host in group} for name, group in (groups or {}).items()}
        children = {name: {"hosts": group} for name, group in members.items()}
        return {"all": {"vars": {**self.variables(), **(variables or {})}, "hosts": hosts, "children": children}}

    def aliases(self, name: str, count: int) -> dict[str, dict[str, Any]]:
        """Inventory entries that are all the same host, for tests of scale: name → variables."""
        return {f"{name}-{number:03}": {"ansible_host": self.hosts[name].address} for number in range(1, count + 1)}

    def ssh(self, name: str, *words: str, user: str = "root", seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """A command by ssh, as Ansible would reach the host, on a connection of its own."""
        command = ["ssh", "-F", "none", *_SSH.split(), "-o", "BatchMode=yes", "-i", str(self.key), f"{user}@{self.hosts[name].address}", *words]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False)

    def remove(self) -> None:
        """End the hosts and take away what belongs to them."""
        remove(self._engine, self._record)

    @classmethod
    def load(cls, folder: Path) -> Fleet:
        """A fleet made by another process; ``folder`` is its ``folder``. HostsError if it is gone."""
        record = Record(folder.parent)
        engine = published(Place.ours())
        if not engine or not (record.folder / "addresses.json").exists():
            raise HostsError("these hosts are gone")
        return cls(record, engine, json.loads((record.folder / "addresses.json").read_text()))


def create(names: Sequence[str], owner: int = 0, seconds: float = 0) -> Fleet:
    """Hosts that live as long as the process ``owner``, or for some seconds, or until they are removed."""
    place = Place.ours()
    engine, record = acquire(place, owner, seconds)
    try:
        (record.folder / "folder").mkdir()
        (record.folder / "c").mkdir(mode=0o700)
        key = record.folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hosts", "-f", str(key)], check=True, stdin=subprocess.DEVNULL)
        network = _network(place, engine, record)
        addresses = {name: f"{network}.{number}" for number, name in enumerate(names, 11)}
        known = [word for name, address in addresses.items() for word in ("--add-host", f"{name}:{address}")]
        labels = ("--label", f"{LABEL}={record.name}", "--label", f"{LABEL}.place={place.name}")

        def run(name: str) -> None:
            where = ("--network", f"{LABEL}-{record.name}", "--ip", addresses[name], "--hostname", name, "--name", f"{record.name}-{name}")
            key_ = ("-e", f"KEY={(record.folder / 'key.pub').read_text().strip()}")
            engine.docker("run", "-d", *labels, *where, *known, *_LIKE_A_HOST, *key_, place.image, "/bin/sh", "-c", BOOT)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, names))
        fleet = Fleet(record, engine, addresses)
        (record.folder / "addresses.json").write_text(json.dumps(addresses))
        for host in fleet:
            _await_ssh(host)
        return fleet
    except BaseException:
        remove(engine, record)
        raise


def _network(place: Place, engine: Engine, record: Record) -> str:
    """A network of this fleet's own, as three bytes."""
    (record.folder / "network").touch()  # before there is one, so that whoever cleans up looks for it
    for number in random.sample(range(1, 128), 127):
        network = f"{engine.range}.{number}"
        labels = ("--label", f"{LABEL}={record.name}", "--label", f"{LABEL}.place={place.name}")
        subnet = ("--subnet", f"{network}.0/24", "--gateway", f"{network}.1")
        done = engine.docker("network", "create", *labels, *subnet, f"{LABEL}-{record.name}", check=False)
        if done.returncode == 0:
            return network
        if "overlap" not in done.stderr.lower():
            raise HostsError(f"docker network create: {done.stderr.strip()}")
    raise HostsError(f"no network left in {engine.range}.0.0/17")


def _await_ssh(host: Host, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not host.answers():
        if time.monotonic() > deadline:
            raise HostsError(f"{host.name} does not answer on {host.address}:22 after {seconds:g} s")
        time.sleep(0.02)


@contextlib.contextmanager
def up(*names: str) -> Iterator[Fleet]:
    """Hosts for as long as the block runs. They end with this process, too, even if it is killed."""
    _hold()
    fleet = create(names, owner=os.getpid())
    try:
        yield fleet
    finally:
        fleet.remove()


_held: dict[int, Record] = {}


def _hold() -> None:
    """Keep the engine until this process ends: its next test wants it again."""
    if os.getpid() not in _held:
        place = Place.ours()
        _held[os.getpid()] = acquire(place, owner=os.getpid())[1]
        atexit.register(_let_go, os.getpid())


def _let_go(process: int) -> None:
    if process == os.getpid():  # not in a child that took this over
        shutil.rmtree(_held[process].folder, ignore_errors=True)
