"""A cluster's namespaces as their user sees them: ask for them, say how long they are needed, end them.

A directory per cluster has the reason for it (a process that lives, or a time: tools/hosts/engine.py's Record). A keeper
process (keeper.py) looks at it, and takes everything away when it does not hold any more. So whoever dies leaves nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.hosts.engine import Engine, Record
from tools.hosts.place import ROOT, HostsError, Place, as_root, cache

STARTS = 120.0  # seconds that a cluster may take to begin


class EngineError(HostsError):
    """A cluster that cannot be had on this machine, and why: a test that needs it is NOT RUN."""


@dataclass(frozen=True)
class Box:
    """A cluster that runs: a Docker engine on each of its nodes, and what its keeper told of it beside."""

    folder: Path
    addresses: tuple[str, ...]
    hosts: tuple[str, ...]  # what "docker -H" gets
    more: dict[str, Any]

    def engine(self, node: int = 0) -> Engine:
        return Engine(self.hosts[node], "")

    def end(self, seconds: float = 60) -> None:
        """End it, and wait until nothing is left."""
        expire(self.folder)
        deadline = time.monotonic() + seconds
        while self.folder.exists():
            if time.monotonic() > deadline:
                raise HostsError(f"{self.folder} is there still, {seconds:g} s after its cluster was told to end")
            time.sleep(0.02)


def place() -> Place:
    """Where clusters are. ``run`` is short, because of the sockets in it."""
    kept = cache().parent / "engines"
    return Place(kept, Path("/tmp") / f"hsen{hashlib.sha256(f'{os.getuid()} {kept}'.encode()).hexdigest()[:8]}")


def expire(folder: Path) -> None:
    """Say that nobody needs this cluster any more."""
    with contextlib.suppress(FileNotFoundError):  # it has ended
        draft = folder / ".expired"
        draft.write_text(json.dumps({"until": 0}))
        draft.rename(folder / "record.json")


def up(kind: str, nodes: int, owner: int = 0, seconds: float = 0) -> Box:
    """The namespaces of a cluster, with a Docker engine on each node. EngineError where that cannot be."""
    where = place()
    where.cache.mkdir(parents=True, exist_ok=True)
    with where.lock("registry"):  # not while a keeper takes the directory away that ours is to be in
        record = Record.make(where, owner, seconds)
    words = [kind, "--nodes", str(nodes), "--folder", str(record.folder), "--cache", str(where.cache), "--group", str(os.getgid())]
    command = as_root([sys.executable, "-m", "tools.engines", "keep", *words])
    try:
        keeper = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
    except OSError as error:
        expire(record.folder)
        raise EngineError(f"no keeper for a cluster: {error}") from error
    _keepers.append(keeper)  # so that it is asked for when it has ended, and nobody warns of it
    try:
        told = _told(keeper)
    except BaseException:
        expire(record.folder)
        raise
    return load(record.folder, told)


def load(folder: Path, told: dict[str, Any]) -> Box:
    """A cluster, by what was told of it: also one that another process has made, from its state file."""
    return Box(folder, tuple(told["addresses"]), tuple(told["hosts"]), told["more"])


_keepers: list[subprocess.Popen[str]] = []


def _told(keeper: subprocess.Popen[str]) -> dict[str, Any]:
    """The line with which a keeper says that its cluster runs; EngineError with all that it said instead."""
    assert keeper.stdout
    said = ""
    deadline = time.monotonic() + STARTS
    with keeper.stdout as pipe:
        while True:
            if not select.select([pipe], [], [], max(0, deadline - time.monotonic()))[0]:
                raise EngineError(f"the cluster does not start within {STARTS:g} s; its keeper said:\n{said}")
            line = pipe.readline()
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                if "error" in answer:
                    raise EngineError(answer["error"])
                return answer
            if not line:
                raise EngineError(f"the cluster's keeper ended; it said:\n{said[-3000:]}")
            said += line
