"""The process that runs the engine: a dockerd in namespaces of its own, so that the kernel takes all of it away with its first process.

Its containers, mounts, bridges and rules are in there; outside there is one network interface, which goes too, and control
groups, which are removed here (or by the next keeper, if this one is killed).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from tools.hosts.engine import LABEL, Engine, Record, remove, running
from tools.hosts.place import HostsError, Place

_WEIGHT = 16  # processes: what all hosts together count for against the others of a busy machine; as a group they would count for one
LINGER = 1.0  # seconds without any use after which the engine ends: the next command may want it
_INSIDE = 'read -r go; exec dockerd "$@" </dev/null'
_CGROUPS = Path("/sys/fs/cgroup")


def keep(place: Place, private: bool, group: int) -> None:
    """Run until nobody needs the engine any more. A second keeper ends at once."""
    asked_to_end: list[int] = []
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(sign, lambda number, _frame: asked_to_end.append(number))
    with (place.cache / "keeper.lock").open("w") as lock:
        if not _locked(lock):
            return
        sweep(place)
        with _private(place, group) if private else _already_running(place) as engine:
            _publish(place, engine)
            _serve(place, engine, lambda: bool(asked_to_end))
    # The registry's lock is held from the decision to end on, and ends with this process.


def _locked(lock: IO[str]) -> bool:
    """Somebody who only asks whether the lock is held has it for a moment: try more than once."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.01)
    return False


def _serve(place: Place, engine: Engine, asked_to_end: Callable[[], bool]) -> None:
    used = time.monotonic()
    while True:
        records = [Record(path) for path in place.fleets.iterdir()]
        for record in records:
            if asked_to_end() or not record.holds():
                remove(engine, record)
        used = time.monotonic() if records else used
        if asked_to_end() or time.monotonic() - used > LINGER:
            registry = (place.cache / "registry.lock").open("w")
            fcntl.flock(registry, fcntl.LOCK_EX)
            if not any(place.fleets.iterdir()):
                _kept.append(registry)
                return
            registry.close()
        time.sleep(0.2)


_kept: list[object] = []


def _publish(place: Place, engine: Engine) -> None:
    draft = place.run / ".engine.json"
    draft.write_text(json.dumps({"host": engine.host, "range": engine.range}))
    draft.rename(place.run / "engine.json")


@contextlib.contextmanager
def _already_running(place: Place) -> Iterator[Engine]:
    engine = Engine("", free_range())
    if not running():
        raise HostsError("the engine that ran has ended")
    _remove_left(place, engine)
    if engine.docker("image", "inspect", place.image, check=False).returncode:
        engine.docker("import", str(place.cache / "rootfs.tar"), place.image, seconds=600)
    try:
        yield engine
    finally:
        shutil.rmtree(place.run, ignore_errors=True)


def _remove_left(place: Place, engine: Engine) -> None:
    """What a run whose keeper was killed has left in an engine that is not ours."""
    ours = ("--filter", f"label={LABEL}.place={place.name}")
    for kind, of_kind in (("container", ("ls", "-aq")), ("network", ("ls", "-q"))):
        for found in engine.docker(kind, *of_kind, *ours).stdout.split():
            engine.docker(kind, "rm", *(["-f", "-v"] if kind == "container" else []), found, check=False)


def clean_running(place: Place) -> None:
    """Everything of ours in an engine that is not ours."""
    engine = Engine("", "")
    _remove_left(place, engine)
    engine.docker("image", "rm", place.image, check=False)


@contextlib.contextmanager
def _private(place: Place, group: int) -> Iterator[Engine]:
    """A dockerd in its own process, mount and network namespaces, joined to ours by a pair of interfaces."""
    network = free_range()
    engine = Engine(f"unix://{place.run}/docker.sock", network)
    options = [
        *("--data-root", str(place.cache / "data"), "--exec-root", f"{place.run}/exec", "-p", f"{place.run}/pid", "-H", engine.host),
        *("--bridge=none", "--iptables=false", "--ip-masq=false", "--cgroup-parent", f"/{place.name}", "--exec-opt", "native.cgroupdriver=cgroupfs"),
        *("-G", str(group)),
    ]
    unshare = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", _INSIDE, "sh", *options]
    with (place.cache / "dockerd.log").open("w") as log:
        outer = subprocess.Popen(unshare, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
    try:
        assert outer.stdin
        _join(place, network, first_child(outer))
        weigh(place.name)
        outer.stdin.write(b"go\n")
        outer.stdin.close()
        _until(lambda: engine.docker("version", check=False).returncode == 0, outer, place.cache / "dockerd.log")
        engine.docker("import", str(place.cache / "rootfs.tar"), place.image, seconds=600)
        yield engine
    finally:
        (place.run / "engine.json").unlink(missing_ok=True)
        with contextlib.suppress(OSError, ValueError):
            os.kill(first_child(outer), signal.SIGTERM)
            outer.wait(5)
        outer.kill()
        outer.wait()
        sweep(place)
        shutil.rmtree(place.run, ignore_errors=True)


def weigh(name: str) -> None:
    """Give the hosts their part of the processors. Where this is not known (no controller for it), they do with less."""
    for controller, file, value in (("cpu", "cpu.shares", 1024 * _WEIGHT), ("cpu,cpuacct", "cpu.shares", 1024 * _WEIGHT), (".", "cpu.weight", 100 * _WEIGHT)):
        group = _CGROUPS / controller / name
        with contextlib.suppress(OSError):
            if (_CGROUPS / controller / file).exists() or (controller == "." and "cpu" in (_CGROUPS / "cgroup.subtree_control").read_text().split()):
                group.mkdir(exist_ok=True)
                (group / file).write_text(str(value))


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def first_child(outer: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and outer.poll() is None:
        with contextlib.suppress(OSError, IndexError):
            return int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0])
        time.sleep(0.01)
    raise ValueError("no process in the namespaces")


def _until(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise HostsError(f"dockerd does not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)


def _join(place: Place, network: str, pid: int) -> None:
    """``<range>.255.1`` is here, ``.2`` in there, and the hosts' networks behind it. No way out from there: the hosts are offline."""
    inside = ("nsenter", "-t", str(pid), "-n", "ip")
    for command in (
        ("ip", "link", "add", place.name, "type", "veth", "peer", "name", "up0", "netns", str(pid)),
        (*inside, "link", "set", "lo", "up"),
        (*inside, "address", "add", f"{network}.255.2/24", "dev", "up0"),
        (*inside, "link", "set", "up0", "up"),
        ("ip", "address", "add", f"{network}.255.1/24", "dev", place.name),
        ("ip", "link", "set", place.name, "up"),
        ("ip", "route", "add", f"{network}.0.0/17", "via", f"{network}.255.2"),
        ("nsenter", "-t", str(pid), "-n", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"),
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostsError(f"{' '.join(command)}: {done.stderr.strip()}")


def free_range() -> str:
    """Two bytes of private addresses that no interface and no route of this machine has; or those of HOTSWAP_HOSTS_RANGE."""
    if os.environ.get("HOTSWAP_HOSTS_RANGE"):
        return os.environ["HOTSWAP_HOSTS_RANGE"]
    known = subprocess.run(["ip", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=False).stdout
    taken = {f"10.{number}" for number in re.findall(r"\b10\.(\d+)\.", known)}
    return random.choice([name for name in (f"10.{number}" for number in range(64, 250)) if name not in taken])


def sweep(place: Place) -> None:
    """What a killed keeper's engine left: control groups, its data, its directories."""
    remove_groups(place.name)
    shutil.rmtree(place.cache / "data", ignore_errors=True)
    shutil.rmtree(place.run / "exec", ignore_errors=True)
    for name in ("docker.sock", "pid"):
        (place.run / name).unlink(missing_ok=True)
    _forget(place)


def remove_groups(name: str) -> None:
    """The control groups of an engine that has ended. Frozen processes in them do not even die: they are thawed."""
    groups = [path for path in (_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")) if path.is_dir()]
    for group in groups:
        for file, thawed in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
            for state in group.rglob(file):
                with contextlib.suppress(OSError):
                    state.write_text(thawed)
    deadline = time.monotonic() + 10
    while groups and time.monotonic() < deadline:
        for group in groups:
            for folder, _folders, _files in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        groups = [group for group in groups if group.is_dir()]
        time.sleep(0.02 if groups else 0)


def _forget(place: Place) -> None:
    """Directories of hosts that ended with their engine."""
    if place.fleets.is_dir():
        for path in place.fleets.iterdir():
            if (path / "network").exists() or not Record(path).holds():
                remove(None, Record(path))
