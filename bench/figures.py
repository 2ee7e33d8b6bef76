"""The arithmetic of the bench: samples in, medians, ratios and a table out. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

FIRST_TASK = "Take the slot out of nginx"  # of each slot, in vanilla/vanilla-slot.yml
REACH = 1 / 8  # a slot of ours over ssh, beside the stock playbook's
WAYS = ("stock", "ours", "ours_default", "script")


@dataclass(frozen=True)
class Sample:
    """One release through two slots. Seconds: of the later slot and the first one, and of the whole command.

    ``tasks`` are the playbook's, ``steps`` what the later slot's steps took on the host itself (ours only).
    """

    slot: float
    first_slot: float
    release: float
    reloads: int = 0
    tasks: Mapping[str, float] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)


def task_seconds(timeline: Mapping[str, Any]) -> list[tuple[str, float]]:
    """(task, seconds from its start to the next one's, or the end) in order."""
    starts = [began for _, began in timeline["tasks"]] + [timeline["end"]]
    return [(name, after - began) for (name, began), after in zip(timeline["tasks"], starts[1:], strict=True)]


def stock_sample(timeline: Mapping[str, Any], release: float) -> Sample:
    """A slot of the stock playbook is the sum of its tasks, as profile_tasks would print them."""
    slots: list[dict[str, float]] = []
    for name, seconds in task_seconds(timeline):
        name = name.rpartition(" : ")[2]
        if name == FIRST_TASK:
            slots.append({})
        if slots:
            slots[-1][name] = slots[-1].get(name, 0.0) + seconds
    if len(slots) != 2:
        raise ValueError(f"the stock playbook walked {len(slots)} slots, not 2")
    return Sample(sum(slots[1].values()), sum(slots[0].values()), release, tasks=slots[1])


def ours_sample(timeline: Mapping[str, Any], release: float) -> Sample:
    """A slot of ours is half of what the host's walk took on the controller: both travel in one call.

    That is from sending the steps until the answer is there, so each slot bears half of the transport.
    """
    swap = timeline["swap"]
    members = list(dict.fromkeys(event["member"] for event in swap["events"]))
    if len(members) != 2 or len(swap["walks"]) != 1:
        raise ValueError(f"our playbook walked {len(members)} slots on {len(swap['walks'])} hosts, not 2 on 1")
    slot = sum(swap["walks"].values()) / 2
    tasks: dict[str, float] = {}
    for name, seconds in task_seconds(timeline):
        tasks[name] = tasks.get(name, 0.0) + seconds
    steps: dict[str, float] = {}
    for event in swap["events"]:
        if event["member"] == members[1]:
            steps[event["step"]] = steps.get(event["step"], 0.0) + event["seconds"]
    return Sample(slot, slot, release, swap["reloads"], tasks, steps)


def summary(samples: Sequence[Sample], boot: float) -> dict[str, Any]:
    """Medians of one way over one connection; a slot is without the application's own boot, ``slot_with_boot`` with it."""
    whole = median(sample.slot for sample in samples)
    return {
        "slot": round(whole - boot, 4),
        "slot_with_boot": round(whole, 4),
        "first_slot": round(median(sample.first_slot for sample in samples) - boot, 4),
        "release": round(median(sample.release for sample in samples), 4),
        "reloads": sum(sample.reloads for sample in samples),
        "tasks": _medians([sample.tasks for sample in samples]),
        "steps": _medians([sample.steps for sample in samples]),
    }


def _medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each name over the rows that have it, in the order of their first appearance."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: round(median(row[name] for row in rows if name in row), 4) for name in names}


def comparison(samples: Mapping[str, Sequence[Sample]], boot: float) -> dict[str, Any]:
    """All ways over one connection, with the ratios and whether the reach is met."""
    found: dict[str, Any] = {way: summary(samples[way], boot) for way in WAYS}
    ours, stock = found["ours"], found["stock"]
    found["ratio"] = round(ours["slot"] / stock["slot"], 4)
    found["ratio_release"] = round(ours["release"] / stock["release"], 4)
    found["ratio_script"] = round(ours["slot"] / found["script"]["slot"], 4)
    found["reloads"] = ours["reloads"] + found["ours_default"]["reloads"]
    found["reached"] = {"slot": found["ratio"] <= REACH and found["reloads"] == 0, "release": ours["release"] <= stock["release"]}
    return found


def report(
    samples: Mapping[str, Mapping[str, Sequence[Sample]]], boots: Sequence[float], drains: Sequence[float], versions: Mapping[str, str]
) -> dict[str, Any]:
    """What bench/out/bench.json holds: ssh at the top, local beside it, then the means to check both."""
    boot = median(boots)
    return {
        **comparison(samples["ssh"], boot),
        "local": comparison(samples["local"], boot),
        "app": {"boot": round(boot, 4), "drain": round(median(drains), 4)},
        "rounds": len(boots),
        "versions": dict(versions),
        "samples": {connection: {way: [_rounded(asdict(sample)) for sample in found] for way, found in ways.items()} for connection, ways in samples.items()},
        "boots": [round(seconds, 4) for seconds in boots],
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return {key: _rounded(item) for key, item in value.items()} if isinstance(value, dict) else value


_NAMES = {
    "stock": "stock playbook",
    "ours": "ours, 1 health check",
    "ours_default": "ours, 3 health checks (our default)",
    "script": "bare script",
}


def table(found: Mapping[str, Any]) -> list[str]:
    """For the terminal: both connections, ratios to the stock playbook, and whether the reach is met."""
    lines = [
        f"medians of {found['rounds']} rounds, in seconds; the application's own boot ({found['app']['boot']:.3f} s) is taken off every slot",
        "a slot is the later one; both of ours travel in one call, so there it is half of what the host took",
    ]
    for connection, part in (("ssh", found), ("local", found["local"])):
        lines += ["", f"{connection:<36}{'slot':>8}{'ratio':>8}{'1st slot':>10}{'release':>9}{'ratio':>8}{'reloads':>9}"]
        for way in WAYS:
            row = part[way]
            slot, release = row["slot"] / part["stock"]["slot"], row["release"] / part["stock"]["release"]
            cells = f"{row['slot']:>8.3f}{slot:>8.3f}{row['first_slot']:>10.3f}{row['release']:>9.2f}{release:>8.2f}"
            lines.append(f"{_NAMES[way]:<36}{cells}{row['reloads'] / found['rounds']:>9g}")
    lines += ["", "where our time goes (ssh): " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in found["ours"]["tasks"].items())]
    lines.append("the later slot on its host: " + ", ".join(f"{name} {seconds:.3f}" for name, seconds in found["ours"]["steps"].items()))
    lines += ["", *verdict(found)]
    return lines


def verdict(found: Mapping[str, Any]) -> list[str]:
    """The reach in two sentences."""
    words = {True: "reached", False: "MISSED"}
    return [
        f"{words[found['reached']['slot']]}: a slot over ssh costs {found['ratio']:.3f} of the stock playbook's (at most {REACH:g}), "
        f"with {found['reloads']} nginx reloads (none).",
        f"{words[found['reached']['release']]}: the whole release over ssh takes {found['ours']['release']:.2f} s, "
        f"the stock playbook's bare swap {found['stock']['release']:.2f} s.",
    ]
