"""``make bench`` or ``python -m bench [-n ROUNDS]``: measure, print the table, write bench/out/bench.json."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.bed import NGINX, ROOT

from . import scale
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("-n", "--rounds", type=int, default=5, help="rounds that count (default 5)")
    rounds = parser.parse_args().rounds
    if rounds < 1:
        parser.error("at least one round")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        ansible = ansible_playbook()
        with tempfile.TemporaryDirectory(prefix="bgb-") as folder, Bed(Path(folder)) as bed:
            ways = Ways(bed, ansible)
            ways.install_ours()
            found = measure(bed, ways, rounds)
        found["scale"] = scale.measure()
    except KeyboardInterrupt:
        say("bench: interrupted; nothing is left behind")
        return 130
    except (RuntimeError, TimeoutError, ValueError) as error:
        say(f"bench: {error}")
        return 1
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    say("\n" + "\n".join([*scale.table(found["scale"]), "", *table(found)]) + f"\n\nwritten to {OUT.relative_to(ROOT)}")
    return 0 if all(found["reached"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
