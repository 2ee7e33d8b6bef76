"""Clusters from the command line: for molecule's create and destroy, and to look at one by hand.

python -m tools.engines up swarm|kubernetes --nodes 3 --state FILE [--owner PID | --seconds N]
python -m tools.engines down --state FILE
python -m tools.engines programs  build Kubernetes, if it never was, and say where it is
python -m tools.engines clean     end all clusters, remove the images and the programs
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools.engines import keeper, kubernetes, kubernetes_binaries, kubernetes_parts, swarm
from tools.engines.box import expire, load, place
from tools.hosts.place import ROOT, HostsError, Place, as_root

HOURS = 3 * 3600.0  # a cluster that nobody took down and that has no owner ends then
KINDS = {"swarm": keeper.swarm, "kubernetes": kubernetes_parts.kubernetes}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.engines", description="A real cluster on this machine, for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="make a cluster; the state file says how it is reached")
    up.add_argument("kind", choices=KINDS)
    up.add_argument("--nodes", type=int, default=1)
    up.add_argument("--state", type=Path, required=True)
    up.add_argument("--owner", type=int, default=int(os.environ.get("HOTSWAP_HOSTS_OWNER") or 0), help="it ends with this process")
    up.add_argument("--seconds", type=float, default=HOURS, help="without an owner, it ends after this time (%(default)g)")
    down = commands.add_parser("down", help="end the cluster of a state file")
    down.add_argument("--state", type=Path, required=True)
    commands.add_parser("programs", help="build Kubernetes, if it never was, and say where it is")
    commands.add_parser("clean", help="end all clusters, remove the images and the programs")
    keep = commands.add_parser("keep")  # no help: only for ourselves
    keep.add_argument("kind", choices=[*KINDS, "nothing"])
    keep.add_argument("--nodes", type=int, default=1)
    keep.add_argument("--cache", type=Path, required=True)
    keep.add_argument("--folder", type=Path, required=True)
    keep.add_argument("--group", type=int, required=True)
    return parser


def up(kind: str, state: Path, nodes: int, owner: int, seconds: float) -> None:
    box = (swarm.create if kind == "swarm" else kubernetes.create)(nodes, owner, seconds).box
    try:
        state.parent.mkdir(parents=True, exist_ok=True)
        told = {"kind": kind, "folder": str(box.folder), "addresses": box.addresses, "hosts": box.hosts, "more": box.more}
        state.write_text(json.dumps(told, indent=2) + "\n")
    except BaseException:
        box.end()
        raise


def down(state: Path) -> None:
    if state.exists():
        told = json.loads(state.read_text())
        load(Path(told["folder"]), told).end()
        state.unlink()


def clean() -> None:
    """Everything of this user's on this machine, also of a run that was killed."""
    where = place()
    for folder in where.fleets.iterdir() if where.fleets.is_dir() else ():
        expire(folder)
    sweep = [sys.executable, "-m", "tools.engines", "keep", "nothing", "--cache", str(where.cache), "--folder", str(where.run), "--group", "0"]
    deadline = time.monotonic() + 60
    while where.fleets.is_dir() and any(where.fleets.iterdir()) and time.monotonic() < deadline:
        subprocess.run(as_root(sweep), cwd=ROOT, stdin=subprocess.DEVNULL, check=True)
        time.sleep(0.1)
    shutil.rmtree(where.run, ignore_errors=True)
    shutil.rmtree(where.cache, ignore_errors=True)
    shutil.rmtree(kubernetes_binaries.cache(), ignore_errors=True)


def main() -> int:
    wanted = _parser().parse_args()
    try:
        if wanted.command == "up":
            up(wanted.kind, wanted.state, wanted.nodes, wanted.owner, wanted.seconds)
        elif wanted.command == "down":
            down(wanted.state)
        elif wanted.command == "programs":
            print(kubernetes_binaries.programs())
        elif wanted.command == "clean":
            clean()
        elif wanted.kind == "nothing":
            keeper.sweep(Place(wanted.cache, wanted.folder))
        else:
            keeper.keep(Place(wanted.cache, wanted.folder.parent.parent), wanted.folder, KINDS[wanted.kind], wanted.nodes, wanted.group)
    except HostsError as error:
        print(f"tools.engines: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
