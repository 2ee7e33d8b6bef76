"""Plays of the user's own on a bed: an inventory as data, the sentences of whoever failed, and what a run may not change."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools import bed as beds

APP = Path(__file__).parents[1] / "apps" / "plain"
RELEASE: dict[str, Any] = {
    "bluegreen_release": "v1",
    "bluegreen_command": f"{beds.PYTHON} app.py",
    "bluegreen_source": {"directory": str(APP)},
    "bluegreen_start_seconds": 0,
}
_LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": beds.TARGET}


def run(
    folder: Path,
    playbook: str,
    hosts: Mapping[str, Mapping[str, Any]],
    variables: Mapping[str, Any],
    *words: str,
    before: Sequence[str] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run a playbook on ``hosts``, each with variables of its own, all with ``variables``; ``before`` stands before the command."""
    folder.mkdir(parents=True, exist_ok=True)
    inventory = folder / "inventory.yml"
    inventory.write_text(json.dumps({"all": {"vars": {**_LOCAL, **variables}, "hosts": hosts}}))
    command = [*before, str(Path(beds.PYTHON).parent / "ansible-playbook"), "-i", str(inventory), "-f", str(max(len(hosts), 1)), playbook, *words]
    return subprocess.run(
        command, cwd=folder, env=beds.environment(**environment), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300
    )


def attempts(cases: Mapping[str, Mapping[str, Any]], tasks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Tasks for a play in which each case does ``tasks`` with variables of its own, whatever became of the one before."""
    return [
        {
            "vars": dict(variables),
            "block": [{"name": name, **task} for task in tasks],
            "rescue": [{"name": "Go on with the next case", "ansible.builtin.meta": "noop"}],
        }
        for name, variables in cases.items()
    ]


def book(folder: Path, *plays: Mapping[str, Any]) -> str:
    """A playbook of these plays."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "site.yml"
    path.write_text(json.dumps([{"hosts": "all", "gather_facts": False, **play} for play in plays]))
    return str(path)


def failures(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What each task that failed said, by the task's name."""
    found: dict[str, str] = {}
    name = ""
    for line in result.stdout.splitlines():
        header = re.match(r"TASK \[(.*)\] \*+$", line)
        name = header[1] if header else name
        failed = re.match(r"(?:fatal: \[\S+\]: FAILED!|failed: \[\S+\] \(item=\S+\)) => (\{.*\})$", line)
        if failed:
            found[name] = json.loads(failed[1])["msg"]
    return found


def changed(result: subprocess.CompletedProcess[str]) -> int:
    """How many tasks changed something."""
    return sum(int(count) for count in re.findall(r" changed=(\d+) ", result.stdout))


def picture(bed: beds.Bed, folders: bool = True) -> dict[str, tuple[Any, ...]]:
    """All files, links and directories of the bed with their times and contents; logs and locks apart.

    ``folders`` false leaves out the times of directories, in which a draft came and went.
    """
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted(bed.path.rglob("*")):
        name = str(path.relative_to(bed.path))
        if path.suffix in (".log", ".lock") or path.name in ("lease.json", ".fence", ".lock") or name.startswith("plays/"):
            continue
        about = path.lstat()
        content = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        stamp = about.st_mtime_ns if folders or not path.is_dir() or path.is_symlink() else 0
        found[name] = (about.st_mode, about.st_uid, stamp, content)
    return found


def pids(bed: beds.Bed) -> dict[str, str]:
    """Every process that serves: the programs, nginx's workers, the two daemons."""
    rows = [line.split() for line in bed.supervisorctl("status").splitlines()]
    running = {row[0]: row[3] for row in rows if len(row) > 3 and row[1] == "RUNNING"}
    workers = Path(f"/proc/{bed.nginx_pid}/task/{bed.nginx_pid}/children").read_text()
    return {**running, "nginx": str(bed.nginx_pid), "workers": workers, "supervisord": str(bed.supervisor_pid)}
