"""The container engine as its users see it: get one, say who uses it, give commands to it.

A record under ``fleets/`` says that somebody needs the engine: a process that lives, or, for hosts that are to outlive
the command that made them, a time. A keeper process (keeper.py) runs the engine while there is a record that holds,
and takes away what belongs to one that does not hold any more. So nothing has to be cleaned up by whoever dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.hosts.image import install, rootfs
from tools.hosts.place import ROOT, HostsError, Place, as_root

LABEL = "hotswap.bluegreen"


@dataclass(frozen=True)
class Engine:
    """A Docker engine. ``host`` is its socket, empty for the one of the user's own environment; ``range`` as "10.77"."""

    host: str
    range: str

    def docker(self, *words: str, check: bool = True, stdin: str | None = None, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """A docker command. HostsError with what it said if it must succeed and does not."""
        done = subprocess.run(
            [docker_command(), *(["-H", self.host] if self.host else []), *words],
            env=_environment(bool(self.host)),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            raise HostsError(f"docker {' '.join(words)[:300]} failed with {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
        return done


def docker_command() -> str:
    return shutil.which("docker") or "/usr/bin/docker"


def _environment(private: bool) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not (private and name.startswith("DOCKER_"))}


def running() -> bool:
    """Whether an engine runs already, as on a laptop: then that one is used."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = [docker_command(), "version", "--format", "{{.Server.Version}}"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False)
        return done.returncode == 0 and bool(done.stdout.strip())
    return False


def started(pid: int) -> int:
    """When a process began, in the kernel's ticks: with it a pid means one process for ever. 0: it does not run."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if words[0] in "ZX" else int(words[19])


class Record:
    """The reason for which the engine runs, and the directory for what belongs to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    @classmethod
    def make(cls, place: Place, owner: int = 0, seconds: float = 0) -> Record:
        """A record that holds while the process ``owner`` lives, or for some seconds."""
        place.make_run()
        record = cls(place.fleets / secrets.token_hex(3))
        record.folder.mkdir(mode=0o755)
        reason = {"pid": owner, "started": started(owner)} if owner else {"until": time.time() + seconds}
        draft = record.folder / ".record"
        draft.write_text(json.dumps(reason))
        draft.rename(record.folder / "record.json")
        return record

    def holds(self) -> bool:
        try:
            reason: dict[str, Any] = json.loads((self.folder / "record.json").read_text())
        except (OSError, ValueError):  # it is being made, under the lock, or was left half made
            return time.time() - _changed(self.folder) < 10
        if "pid" in reason:
            return bool(reason["started"]) and started(reason["pid"]) == reason["started"]
        return bool(time.time() < reason["until"])


def _changed(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def acquire(place: Place, owner: int = 0, seconds: float = 0) -> tuple[Engine, Record]:
    """An engine that runs at least until the record's reason is gone, or ``Record`` is dropped."""
    foreign = running()
    if not foreign:
        with place.lock("install"):
            install("docker.io", "iproute2", "openssh-client")
            if not Path(docker_command()).exists():
                install("docker-cli")  # a package of its own in later releases
    rootfs(place)
    with place.lock("registry"):
        record = Record.make(place, owner, seconds)
        if not place.held("keeper"):
            (place.run / "engine.json").unlink(missing_ok=True)
            _start_keeper(place, foreign)
    try:
        return _await(place), record
    except BaseException:
        shutil.rmtree(record.folder, ignore_errors=True)
        raise


def _start_keeper(place: Place, foreign: bool) -> None:
    with (place.cache / "keeper.log").open("w") as log:
        words = ["keep", "--engine", "running" if foreign else "private", "--cache", str(place.cache), "--run", str(place.run), "--group", str(os.getgid())]
        command = [sys.executable, "-m", "tools.hosts", *words]
        keeper = subprocess.Popen(
            command if foreign else as_root(command), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    deadline = time.monotonic() + 30
    while not place.held("keeper") and keeper.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    _keepers.append(keeper)  # so that it is asked for when it has ended, and nobody warns of it


_keepers: list[subprocess.Popen[bytes]] = []


def _await(place: Place) -> Engine:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        alive = place.held("keeper")
        with contextlib.suppress(OSError, ValueError):
            return Engine(**json.loads((place.run / "engine.json").read_text()))
        if not alive:
            break
        time.sleep(0.02)
    log = place.cache / "keeper.log"
    raise HostsError(f"the container engine does not start; its keeper said:\n{log.read_text()[-3000:] if log.exists() else ''}")


def published(place: Place) -> Engine | None:
    """The engine that runs now, if one does."""
    with contextlib.suppress(OSError, ValueError):
        if place.held("keeper"):
            return Engine(**json.loads((place.run / "engine.json").read_text()))
    return None


def remove(engine: Engine | None, record: Record) -> None:
    """Everything that belongs to a record: connections that ssh keeps open, hosts, network, directory."""
    _end_connections(record.folder)
    if engine and (record.folder / "network").exists():
        found = engine.docker("ps", "-aq", "--no-trunc", "--filter", f"label={LABEL}={record.name}", check=False).stdout.split()
        if found:
            engine.docker("rm", "-f", "-v", *found, check=False)
        engine.docker("network", "rm", f"{LABEL}-{record.name}", check=False)
    shutil.rmtree(record.folder, ignore_errors=True)


def _end_connections(folder: Path) -> None:
    """Ends the ssh processes that use a file of this directory: its key, its control sockets. Nobody else's do."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                command = (process / "cmdline").read_bytes()
                if command.startswith((b"ssh", b"/usr/bin/ssh")) and os.fsencode(f"{folder}/") in command:
                    os.kill(int(process.name), 15)
