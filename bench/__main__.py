"""``make bench`` or ``python -m bench [-n ROUNDS] [PART ...]``: measure, print the tables, write bench/out/bench.json.

swap: a slot of one host beside the stock playbook's and a bare script's. balancers: a member behind separate balancers
beside the stock playbook's, and the remote calls it takes. hosts: 5 and 20 hosts one after the other, 50 at once.
staging: a tree of 3,000 files for the first time, and with ten changes.
scale: planner and runner with 1,000 simulated members.
canary: how often a canary is judged wrongly, by simulation.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tools.bed import NGINX, ROOT, collections_path

from . import fleet, scale, staging
from .bed import Bed
from .figures import WAYS, Sample, report, table
from .servers import PYTHON, RELEASES
from .ways import CONNECTIONS, Ways

VENV = ROOT / "build" / "bench-venv"
OUT = ROOT / "bench" / "out" / "bench.json"


def say(text: str) -> None:
    print(text, flush=True)


def requirements() -> list[str]:
    """The same ansible-core as .venv's, and the package ``ansible`` of its series: it brings community.general."""
    core = importlib.metadata.version("ansible-core")
    series = int(core.split(".")[1]) - 7  # ansible 9 came with ansible-core 2.16, 12 with 2.19
    return [f"ansible-core=={core}", f"ansible=={series}.*"]


def ansible_playbook() -> Path:
    """ansible-playbook with the stock modules' collections, in a virtual environment of the bench's own."""
    mark, wanted = VENV / ".wanted", "\n".join([*requirements(), sys.version])
    if not mark.exists() or mark.read_text() != wanted:
        say(f"bench: making a virtual environment in {VENV.relative_to(ROOT)} ({', '.join(requirements())}) …")
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements()]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"pip failed:\n{done.stderr[-2000:]}")
        mark.write_text(wanted)
    return VENV / "bin" / "ansible-playbook"


def versions() -> dict[str, str]:
    def said(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return (done.stdout + done.stderr).strip().rpartition(" ")[2].rpartition("/")[2]

    return {
        "ansible-core": importlib.metadata.version("ansible-core"),
        "nginx": said(NGINX, "-v"),
        "supervisor": said("/usr/bin/supervisord", "--version"),
        "python": platform.python_version(),
        "python of the host": said(PYTHON, "--version"),
    }


def measure(bed: Bed, ways: Ways, rounds: int) -> dict[str, Any]:
    """All ways in turn, over both connections, round by round; a first round warms up and does not count."""
    samples: dict[str, dict[str, list[Sample]]] = {connection: {way: [] for way in WAYS} for connection in CONNECTIONS}
    boots: list[float] = []
    drains: list[float] = []
    turn = dict.fromkeys(WAYS, 0)
    for number in range(rounds + 1):
        boot = bed.boot()
        line = f"round {number} of {rounds}" if number else "warming up"
        say(f"{line}: the application boots in {boot:.3f} s")
        if number:
            boots.append(boot)
        for connection in CONNECTIONS:
            for way in (*WAYS[number % len(WAYS) :], *WAYS[: number % len(WAYS)]):
                family = "ours" if way.startswith("ours") else way  # both columns of ours have the same slots
                turn[family] += 1
                drain = ways.drain(way)
                sample = ways.run(way, connection, RELEASES[turn[family] % 2])
                say(f"{line}: {connection:<5} {way:<12} slot {sample.slot:.3f} s, release {sample.release:.2f} s, {sample.reloads} reloads")
                if number:
                    samples[connection][way].append(sample)
                    drains.append(drain)
    return report(samples, boots, drains, versions())


def swap(path: Path, ansible: Path, rounds: int) -> fleet.Part:
    """One host, two slots."""
    with Bed(path) as bed:
        ways = Ways(bed, ansible)
        ways.install_ours()
        found = measure(bed, ways, rounds)
    return found, table(found), all(found["reached"].values())


def simulated() -> fleet.Part:
    """Nothing is reached or missed here: it grows as it grows."""
    found = scale.measure()
    return found, scale.table(found), True


def judged(rounds: int) -> fleet.Part:
    """False alarms must be one in a hundred at most, more where processes stand still, and nine in ten of those that are worse found."""
    sys.path.insert(0, str(collections_path()))
    from . import canary

    rows = canary.measure(rounds)
    right = all(row["found worse"] >= 0.9 * rounds if row["worse"] else row["found worse"] <= max(1, row["allowed"] * rounds) for row in rows)
    return {"cases": rows}, canary.table(rows), right


SIMULATED = {"scale", "canary"}  # they need no Ansible
# What there is to measure: rounds that count unless told otherwise, and the measuring.
PARTS: dict[str, tuple[int, Callable[[Path, Path, int], fleet.Part]]] = {
    "swap": (5, swap),
    "balancers": (3, lambda path, ansible, rounds: fleet.balancers(path, ansible, rounds, say)),
    "hosts": (1, lambda path, ansible, rounds: fleet.hosts(path, ansible, rounds, say)),
    "staging": (3, lambda path, ansible, rounds: staging.measure(path, ansible, rounds, say)),
    "scale": (1, lambda _path, _ansible, _rounds: simulated()),
    "canary": (100, lambda _path, _ansible, rounds: judged(rounds)),
}


def run(parts: Sequence[str], rounds: int | None) -> tuple[dict[str, Any], list[str], bool]:
    """What bench.json holds, the tables, and whether all that is to be reached was. The first part's report is at the top."""
    ansible = ansible_playbook() if set(parts) - SIMULATED else Path()
    found: dict[str, Any] = {}
    lines: list[str] = []
    reached = True
    for name in parts:
        usual, measuring = PARTS[name]
        with tempfile.TemporaryDirectory(prefix="bgb-") as folder:
            part, table_of_part, good = measuring(Path(folder), ansible, rounds or usual)
        found |= part if name == "swap" else {name: part}
        lines += ["", f"== {name}", *table_of_part]
        reached = reached and good
    return found, lines, reached


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = ", ".join(f"{rounds} of {name}" for name, (rounds, _) in PARTS.items())
    parser.add_argument("-n", "--rounds", type=int, help=f"rounds that count (default: {usual})")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)} (default: all)")
    given = parser.parse_args()
    if given.rounds is not None and given.rounds < 1:
        parser.error("at least one round")
    if set(given.parts) - set(PARTS):
        parser.error(f"the parts are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    try:
        found, lines, reached = run(given.parts or list(PARTS), given.rounds)
    except KeyboardInterrupt:
        say("bench: interrupted; nothing is left behind")
        return 130
    except (RuntimeError, TimeoutError, ValueError) as error:
        say(f"bench: {error}")
        return 1
    found["load"] = [round(average, 1) for average in os.getloadavg()]
    lines += [
        "",
        f"{time.monotonic() - began:.0f} s in all; load of this machine {found['load'][0]:g} on {os.cpu_count()} cores: ratios bear it, seconds do not",
    ]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    say("\n".join(lines) + f"\n\nwritten to {OUT.relative_to(ROOT)}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
