"""The test bed from the command line: for molecule's create and destroy, and to look at hosts by hand.

python -m tools.hosts up lb1 app1 app2 --state FILE [--owner PID | --seconds N]
python -m tools.hosts down --state FILE
python -m tools.hosts image       make the image, say where it is
python -m tools.hosts clean       end all hosts and the engine, remove the image
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

from tools.hosts import keeper
from tools.hosts.engine import Record, published, remove, running
from tools.hosts.fleet import Fleet, create
from tools.hosts.image import rootfs
from tools.hosts.place import HostsError, Place, cache

HOURS = 3 * 3600.0  # hosts that nobody took down and that have no owner end then


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.hosts", description="Several real hosts on this machine, for tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="make hosts; the state file says how they are reached")
    up.add_argument("names", nargs="+")
    up.add_argument("--state", type=Path, required=True)
    up.add_argument("--owner", type=int, default=int(os.environ.get("HOTSWAP_HOSTS_OWNER") or 0), help="they end with this process")
    up.add_argument("--seconds", type=float, default=HOURS, help="without an owner, they end after this time (%(default)g)")
    down = commands.add_parser("down", help="end the hosts of a state file")
    down.add_argument("--state", type=Path, required=True)
    commands.add_parser("image", help="make the image, if it is not there, and say where it is")
    commands.add_parser("clean", help="end all hosts and the engine, remove the image")
    keep = commands.add_parser("keep")  # no help: only for ourselves
    keep.add_argument("--engine", choices=["private", "running"], required=True)
    keep.add_argument("--cache", type=Path, required=True)
    keep.add_argument("--run", type=Path, required=True)
    keep.add_argument("--group", type=int, required=True)
    return parser


def up(state: Path, names: list[str], owner: int, seconds: float) -> None:
    fleet = create(names, owner, seconds)
    try:
        state.parent.mkdir(parents=True, exist_ok=True)
        addresses = {host.name: host.address for host in fleet}
        state.write_text(json.dumps({"folder": str(fleet.folder), "hosts": addresses, "variables": fleet.variables()}, indent=2) + "\n")
    except BaseException:
        fleet.remove()
        raise


def down(state: Path) -> None:
    if state.exists():
        with contextlib.suppress(HostsError):  # gone already
            Fleet.load(Path(json.loads(state.read_text())["folder"])).remove()
        state.unlink()


def clean() -> None:
    """Everything of this user's on this machine, also of a run that was killed."""
    place = Place.ours()
    engine = published(place)
    deadline = time.monotonic() + 60
    while place.held("keeper") and time.monotonic() < deadline:
        for path in place.fleets.iterdir() if place.fleets.is_dir() else ():
            remove(engine, Record(path))
        time.sleep(0.1)
    if not place.held("keeper") and (os.geteuid() == 0 or running()):
        keeper.sweep(place)
    if running():
        keeper.clean_running(place)
    shutil.rmtree(place.run, ignore_errors=True)
    shutil.rmtree(cache(), ignore_errors=True)


def main() -> int:
    wanted = _parser().parse_args()
    try:
        if wanted.command == "up":
            up(wanted.state, wanted.names, wanted.owner, wanted.seconds)
        elif wanted.command == "down":
            down(wanted.state)
        elif wanted.command == "image":
            print(rootfs(Place.ours()))
        elif wanted.command == "clean":
            clean()
        else:
            keeper.keep(Place(wanted.cache, wanted.run), wanted.engine == "private", wanted.group)
    except HostsError as error:
        print(f"tools.hosts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
