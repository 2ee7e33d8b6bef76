"""What there is of a cluster on this machine, as seen from outside: nothing, once it has ended."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tools.engines.box import place

_CGROUPS = Path("/sys/fs/cgroup")


def left(folder: Path) -> list[str]:
    """Processes, interfaces, control groups, mounts and directories of the cluster whose directory this is."""
    name, data = f"hse{folder.name}", place().cache / "data" / folder.name
    interfaces = [str(path) for path in Path("/sys/class/net").iterdir() if path.name == name]
    groups = [str(path) for path in (_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")) if path.exists()]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(folder) in line or str(data) in line]
    return [*processes(folder), *interfaces, *groups, *mounts, *(str(path) for path in (folder, data) if path.exists())]


def processes(folder: Path) -> list[str]:
    """Those that name its directory, and those in its control groups, as an application in a container."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command or f"/hse{folder.name}/" in (path / "cgroup").read_text():
                found.append(f"{path.name} {command}")
    return found
