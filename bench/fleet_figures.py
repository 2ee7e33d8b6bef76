"""The arithmetic of the fleets: what a member costs behind balancers of its own, and how a release grows with its hosts. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

from .figures import FIRST_TASK, task_seconds

REACH = 1 / 5  # a member of ours with separate balancers, beside the stock playbook's
PHASES = {
    "preflight": "Resolve and check every host's variables",
    "lock": "Take the lock",
    "stage": "Stage the release",
    "swap": "Swap the release in",
    "unlock": "Release the lock",
}
STAGING = {
    "connect": "Connect",
    "ping": "Do nothing",
    "preflight": PHASES["preflight"],
    "lock": PHASES["lock"],
    "stage": PHASES["stage"],
    "again": "Stage it again",
}


@dataclass(frozen=True)
class Rolling:
    """One rolling release. Seconds: of a further member, of a member with its share of what is done once, and of the whole command."""

    member: float
    share: float
    release: float
    calls: int = 0
    reloads: int = 0


def stock_rolling(timeline: Mapping[str, Any], members: int, release: float) -> Rolling:
    """A member is the sum of its tasks, from taking it out to putting it back; the first one is not counted as a further one."""
    found: list[float] = []
    for name, seconds in task_seconds(timeline):
        if name.rpartition(" : ")[2] == FIRST_TASK:
            found.append(0.0)
        if found:
            found[-1] += seconds
    if len(found) != members:
        raise ValueError(f"the stock playbook walked {len(found)} members, not {members}")
    return Rolling(median(found[1:] or found), sum(found) / members, release)


def our_rolling(timeline: Mapping[str, Any], members: int, release: float) -> Rolling:
    """A further member lasts from one member's health check to the next one's, which is the whole circle; its share is of the whole task.

    Each host says when its steps began; alias hosts have one clock.
    """
    swap = timeline["swap"]
    checks = sorted(event["start"] for event in swap["events"] if event["step"] == "check")
    if len(checks) != members:
        raise ValueError(f"our playbook walked {len(checks)} members, not {members}")
    share = phases(timeline, PHASES)["swap"] / members
    circles = [after - before for before, after in pairwise(checks)]
    return Rolling(median(circles or [share]), share, release, swap["calls"], swap["reloads"])


def phases(timeline: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    """The seconds of the tasks with these names, and of everything else."""
    known = {task: phase for phase, task in names.items()}
    found = dict.fromkeys([*names, "rest"], 0.0)
    for name, seconds in task_seconds(timeline):
        found[known.get(name, "rest")] += seconds
    return found


def comparison(rows: Mapping[str, Sequence[Rolling]], boot: float) -> dict[str, Any]:
    """Medians of both ways, the application's own boot taken off each member, and the ratios."""
    found: dict[str, Any] = {
        way: {
            "member": round(median(row.member for row in samples) - boot, 4),
            "share": round(median(row.share for row in samples) - boot, 4),
            "release": round(median(row.release for row in samples), 4),
            "calls": max(row.calls for row in samples),
            "reloads": max(row.reloads for row in samples),
        }
        for way, samples in rows.items()
    }
    pairs = list(zip(rows["ours"], rows["stock"], strict=True))
    found["ratio"] = round(median((ours.member - boot) / (stock.member - boot) for ours, stock in pairs), 4)
    found["ratio_share"] = round(median((ours.share - boot) / (stock.share - boot) for ours, stock in pairs), 4)
    found["ratio_release"] = round(median(ours.release / stock.release for ours, stock in pairs), 4)
    found["ratios"] = [round((ours.member - boot) / (stock.member - boot), 4) for ours, stock in pairs]
    return found


def growth(hosts: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """(what one more host costs, what is there without any) by the first and the last of the sizes."""
    slope = (seconds[-1] - seconds[0]) / (hosts[-1] - hosts[0]) if len(hosts) > 1 else seconds[0] / hosts[0]
    return round(slope, 4), round(seconds[0] - slope * hosts[0], 4)


def balancers_table(cases: Mapping[str, Mapping[str, Any]], boot: float, rounds: int) -> list[str]:
    """Both ways for each case; ``cases`` by its words."""
    lines = [
        f"separate balancers over ssh: medians of {rounds} pairs, in seconds; the application's own boot ({boot:.3f} s) is taken off every member",
        "a member: a further one. share: with what is done once in the swap (the stock playbook: its first member). Nobody is connected, so nothing drains.",
        "",
        f"{'':<36}{'member':>8}{'ratio':>8}{'share':>8}{'ratio':>8}{'release':>9}{'ratio':>8}{'reloads':>9}{'calls':>7}{'a member':>10}",
    ]
    for words, case in cases.items():
        for way, title in (("stock", f"{words}: stock playbook"), ("ours", f"{'':<{len(words)}}  ours")):
            row = case[way]
            ratios = ("1.000", "1.000", "1.00") if way == "stock" else (f"{case['ratio']:.3f}", f"{case['ratio_share']:.3f}", f"{case['ratio_release']:.2f}")
            cells = f"{row['member']:>8.3f}{ratios[0]:>8}{row['share']:>8.3f}{ratios[1]:>8}{row['release']:>9.2f}{ratios[2]:>8}{row['reloads']:>9}"
            lines.append(f"{title:<36}{cells}" + (f"{row['calls']:>7}{row['calls'] / case['members']:>10.2f}" if way == "ours" else ""))
    return [*lines, "", *balancers_verdict(cases)]


def balancers_verdict(cases: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The reach in two sentences."""
    worst = max(cases.values(), key=lambda case: case["ratio"])
    return [
        f"{'reached' if is_cheap(cases) else 'MISSED'}: a member behind separate balancers costs at most {worst['ratio']:.3f} of the stock playbook's "
        f"(at most {REACH:g}), with {sum(case['ours']['reloads'] for case in cases.values())} nginx reloads (none).",
        f"{'reached' if is_short_of_words(cases) else 'MISSED'}: a member takes one call to its host and one to each balancer, beyond waits; "
        "each balancer has one more at the end, and every host one look at the start.",
    ]


def is_cheap(cases: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(case["ratio"] <= REACH and case["ours"]["reloads"] == 0 for case in cases.values())


def is_short_of_words(cases: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether no member took more calls than one to its host and one to each balancer."""
    return all(case["ours"]["calls"] <= case["members"] * (1 + case["balancers"]) + case["balancers"] for case in cases.values())


def hosts_table(sizes: Mapping[int, Sequence[Mapping[str, Any]]], staged: Mapping[str, Any]) -> list[str]:
    """``sizes``: the releases by hosts; ``staged``: the staging on the most hosts, with its seconds and what was staged."""
    hosts = sorted(sizes)
    medians = {size: {key: median(row[key] for row in sizes[size]) for key in sizes[size][0]} for size in hosts}
    slope, fixed = growth(hosts, [medians[size]["swap"] for size in hosts])
    keys = [*PHASES, "rest", "release"]
    lines = [
        "alias hosts over ssh, one slot each, one balancer, one after the other; seconds",
        "",
        f"{'hosts':<12}" + "".join(f"{key:>10}" for key in keys) + f"{'swap/host':>11}{'calls':>7}",
    ]
    for size in hosts:
        row = medians[size]
        lines.append(f"{size:<12}" + "".join(f"{row[key]:>10.2f}" for key in keys) + f"{row['swap'] / size:>11.3f}{row['calls']:>7.0f}")
    if len(hosts) > 1:
        few, many = (medians[size]["swap"] / size for size in (hosts[0], hosts[-1]))
        words = f"the swap grows by {slope:.3f} s a host, beside {fixed:.2f} s once; one of {hosts[-1]} hosts costs {many / few:.2f} of one of {hosts[0]}"
        lines += ["", words]
    lines += [
        "",
        f"{staged['hosts']} hosts at once (-f {staged['hosts']}), a release of {staged['megabytes']:.1f} MB in {staged['files']} files: "
        + ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in staged["phases"].items()),
        f"staging costs {staged['phases']['stage'] / staged['phases']['ping']:.1f} times what a module that does nothing costs on as many hosts",
    ]
    return lines
