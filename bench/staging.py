"""A tree of 3,000 files staged for the first time, and again with ten changes: what of it travels, and how long the task takes.

Two slots, over ssh, at this machine's own speed and over a line of 10 Mbit/s, the upload of many an office. The hosts' directories are in
memory where that can be had: creating files on a disk from which many were just deleted can take milliseconds each, which says nothing of ours.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from tools.bed import ROOT

from .fleet_bed import FleetBed, Layout
from .fleet_figures import STAGING, phases
from .play import play

FILES, CHANGES, BITS = 3000, 10, 10e6
SIZES = (3000, 10000)  # bytes
LINES = {"loopback": "", "10 Mbit/s": f"-o ProxyCommand='{sys.executable} {ROOT}/bench/line.py %p {BITS:.0f}'"}

Part = tuple[dict[str, Any], list[str], bool]


def grow(tree: Path, files: int = FILES) -> None:
    """Source code, as far as a compressor is concerned: words that come again and again."""
    draw = random.Random(1)
    words = [draw.randbytes(4).hex() for _ in range(400)]
    for number in range(files):
        path = tree / f"m{number % 150}" / "src" / f"file{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = draw.randint(*SIZES)
        path.write_text(" ".join(draw.choices(words, k=size // 9)) + "\n")


def change(tree: Path, number: int, files: int = CHANGES) -> None:
    """Another line at the end of some of the files."""
    for path in sorted(tree.rglob("file*.py"))[:files]:
        path.write_text(f"{path.read_text()}# {number}\n")


def measure(path: Path, ansible: Path, rounds: int, say: Callable[[str], None], files: int = FILES) -> Part:
    """For each line, in turn: a host that has nothing, then the same tree with a few changes; a new service each time, so that the first is a first."""
    layout = Layout(1, 2, 1)
    found: dict[str, dict[str, list[dict[str, float]]]] = {line: {"first": [], "next": []} for line in LINES}
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="bgb-", dir=memory if memory.is_dir() else None) as folder, FleetBed(path, [layout]) as bed:
        tree = Path(folder) / "tree"
        tree.mkdir()
        (tree / "app.py").write_text((bed.path / "releases" / "A" / "app.py").read_text())
        grow(tree, files)
        for number in range(rounds):
            for line, common in LINES.items():
                inventory = json.loads(bed.our_inventory(layout).read_text())
                host = inventory["all"]["children"]["app"]["hosts"]["app00"]
                host["bluegreen_root"] = f"{folder}/{number}-{len(common)}"
                host["ansible_control_path"] += f"-{len(common)}"
                host["ansible_ssh_common_args"] += f" {common}"
                inventory["all"]["vars"]["bluegreen_source"] = {"directory": str(tree)}
                at = bed.path / "staging.json"
                at.write_text(json.dumps(inventory))
                play(bed, [str(ansible), "-i", str(at), "hotswap.bluegreen.install", "-e", "bluegreen_release=x"], seconds=300)
                for kind, release in ("first", "v1"), ("next", "v2"):
                    words = [str(ansible), "-i", str(at), str(ROOT / "bench" / "stage.yml"), "-e", f"bluegreen_release={release}"]
                    _, timeline = play(bed, words, seconds=300)
                    found[line][kind].append(phases(timeline, STAGING))
                    change(tree, number)
                    say(f"round {number + 1} of {rounds}: {line}: {kind:<6}{found[line][kind][-1]['stage']:.2f} s")
        size = sum(file.stat().st_size for file in tree.rglob("*") if file.is_file())
    return report(found, files, size, rounds)


def report(found: dict[str, dict[str, list[dict[str, float]]]], files: int, size: int, rounds: int) -> Part:
    """Medians, and how many times as fast the next one is, with and without what the call of any module takes."""
    rows: dict[str, Any] = {}
    for line, kinds in found.items():
        first, following = (median(sample["stage"] for sample in kinds[kind]) for kind in ("first", "next"))
        idle = median(sample["ping"] for samples in kinds.values() for sample in samples)
        rows[line] = {"first": first, "next": following, "ratio": first / following, "call": idle, "own ratio": (first - idle) / max(following - idle, 0.001)}
    table = [
        f"a tree of {files:,} files ({size / 1e6:.0f} MB) for the first time and with {CHANGES} changes; two slots, over ssh",
        f"seconds of the stage task, medians of {rounds}; 'without': the ratio when the call of a module that does nothing is taken off both",
        "",
        f"{'line':<12}{'first':>9}{'next':>9}{'ratio':>9}{'a call':>9}{'without':>9}",
        *(f"{line:<12}{row['first']:>9.2f}{row['next']:>9.2f}{row['ratio']:>9.1f}{row['call']:>9.2f}{row['own ratio']:>9.1f}" for line, row in rows.items()),
    ]
    return {"lines": rows, "files": files, "changes": CHANGES, "bytes": size, "rounds": rounds}, table, True
