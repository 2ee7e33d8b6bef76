"""Two parts of the bench on a fleet of alias hosts: a member behind separate balancers beside the stock playbook's, and many hosts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .fleet_bed import FleetBed, Layout
from .fleet_figures import PHASES, STAGING, Rolling, balancers_table, comparison, hosts_table, is_cheap, is_short_of_words, our_rolling, phases, stock_rolling
from .play import play
from .servers import RELEASES, VANILLA

HERE = Path(__file__).resolve().parent
CASES = tuple(Layout(hosts, slots, balancers) for slots, hosts in ((1, 3), (2, 2)) for balancers in (1, 2))
SIZES = (5, 20)
STAGED = 50
FILES = 200

Say = Callable[[str], None]
Part = tuple[dict[str, Any], list[str], bool]


class FleetWays:
    """The playbooks of both ways on a bed; ``ansible`` is the ansible-playbook of both."""

    def __init__(self, bed: FleetBed, ansible: Path) -> None:
        self.bed = bed
        self.ansible = str(ansible)

    def install(self, layout: Layout) -> None:
        self.ours(layout, "hotswap.bluegreen.install")

    def ours(self, layout: Layout, playbook: str, **extra: Any) -> tuple[float, dict[str, Any]]:
        words = [self.ansible, "-i", str(self.bed.our_inventory(layout)), playbook, "-e", json.dumps(extra)]
        return play(self.bed, words, seconds=300)

    def release(self, layout: Layout, release: str) -> tuple[float, dict[str, Any]]:
        """Bring the release to all members of ours. RuntimeError if it is not there afterwards."""
        found = self.ours(layout, "hotswap.bluegreen.release", bluegreen_release=release)
        out = [member for member, state in found[1]["swap"]["members"].items() if len(state["balancers"]) != layout.balancers]
        if self.bed.our_answers(layout) != {release} or out:
            raise RuntimeError(f"our release of {layout.service} ended well, but its members answer {self.bed.our_answers(layout)}; not served: {out}")
        return found

    def rolling(self, way: str, layout: Layout, release: str) -> Rolling:
        """One rolling release of that way."""
        reloads = self.bed.reloads()
        if way == "ours":
            seconds, timeline = self.release(layout, release)
            sample = our_rolling(timeline, layout.members, seconds)
        else:
            words = [self.ansible, "-i", str(self.bed.stock_inventory(layout)), str(VANILLA / "fleet.yml"), "-e", f"release={release}"]
            seconds, timeline = play(self.bed, words, seconds=300)
            if self.bed.stock_answers(layout) != {release}:
                raise RuntimeError(f"the stock playbook ended well, but its members answer {self.bed.stock_answers(layout)}")
            sample = stock_rolling(timeline, layout.members, seconds)
        return Rolling(**{**sample.__dict__, "reloads": max(sample.reloads, self.bed.reloads() - reloads)})


def words(layout: Layout) -> str:
    """A case in words."""
    many = "balancer" if layout.balancers == 1 else "balancers"
    return f"{layout.balancers} {many}, {layout.slots} {'slot' if layout.slots == 1 else 'slots'}"


def balancers(path: Path, ansible: Path, rounds: int, say: Say, cases: Sequence[Layout] = CASES) -> Part:
    """Each case in pairs, the two ways in turn; the first release of ours fills the slots and does not count."""
    samples: dict[Layout, dict[str, list[Rolling]]] = {case: {"stock": [], "ours": []} for case in cases}
    boots: list[float] = []
    largest = Layout(max(case.hosts for case in cases), max(case.slots for case in cases), max(case.balancers for case in cases))
    with FleetBed(path, cases, largest) as bed:
        ways = FleetWays(bed, ansible)
        for case in cases:
            ways.install(case)
            ways.release(case, RELEASES[0])
        for number in range(1, rounds + 1):
            boots.append(bed.boot())
            for turn, case in enumerate(cases):
                for way in ("stock", "ours") if (number + turn) % 2 else ("ours", "stock"):
                    # all cases share the stock playbook's members, so each finds them on the other release
                    release = RELEASES[number % 2] if way == "ours" else RELEASES[(number * len(cases) + turn) % 2]
                    sample = ways.rolling(way, case, release)
                    line = f"member {sample.member:.3f} s, release {sample.release:.2f} s, {sample.reloads} reloads"
                    say(f"round {number} of {rounds}: {words(case)}: {way:<6}{line}")
                    samples[case][way].append(sample)
    boot = sorted(boots)[len(boots) // 2]
    found = {words(case): {**comparison(samples[case], boot), "members": case.members, "balancers": case.balancers} for case in cases}
    reached = {"member": is_cheap(found), "calls": is_short_of_words(found)}
    report = {"cases": found, "boot": round(boot, 4), "rounds": rounds, "reached": reached}
    return report, balancers_table(found, boot, rounds), all(reached.values())


def hosts(path: Path, ansible: Path, rounds: int, say: Say, sizes: Sequence[int] = SIZES, staged: int = STAGED, files: int = FILES) -> Part:
    """Releases on few and on more hosts, one after the other, and staging on many at once."""
    layouts = {size: Layout(size, 1, 1) for size in (*sizes, staged)}
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    with FleetBed(path, list(layouts.values())) as bed:
        ways = FleetWays(bed, ansible)
        for size in sizes:
            ways.install(layouts[size])
            ways.release(layouts[size], RELEASES[0])
            say(f"{size} hosts: installed, first release is there")
        for number in range(1, rounds + 1):
            for size in sizes:
                seconds, timeline = ways.release(layouts[size], RELEASES[number % 2])
                found[size].append({**phases(timeline, PHASES), "release": seconds, "calls": timeline["swap"]["calls"]})
                say(f"round {number} of {rounds}: {size} hosts: release {seconds:.2f} s")
        if staged not in sizes:
            ways.install(layouts[staged])
        say(f"{staged} hosts: installed")
        bed.make_release("C", files)
        _, timeline = ways.ours(layouts[staged], str(HERE / "stage.yml"), bluegreen_release="C")
        size = sum(file.stat().st_size for file in (bed.path / "releases" / "C").iterdir())
    staging = {"hosts": staged, "files": files + 1, "megabytes": size / 1e6, "phases": phases(timeline, STAGING)}
    return {"releases": found, "staged": staging, "rounds": rounds}, hosts_table(found, staging), True
