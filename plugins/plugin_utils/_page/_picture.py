# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lanes: what each member did, as rectangles. Lengths across are percent of the width, so that the page may be of any; down they are pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _lanes
from ._window import Window, since

Record = Mapping[str, Any]

_TALL, _LOW, _ALL = 24.0, 4.0, 620.0  # a lane's height at most and at least, and that of all lanes where there is a choice
_HEAD = 20.0  # the rows above the lanes
_WIDE, _NARROW, _LETTER = 780.0, 200.0, 7.2  # pixels: of the lanes on a desk and on a phone, of a letter
_LINE = 13.0  # pixels that a label needs
_WORDS = {"draining": "drain", "stopped": "stop", "booting": "boot", "checked": "ok", "out": "out", "maintenance": "maintenance"}
MEANING = {
    "serving": "serves {release}",
    "draining": "drains: no new requests, those under way end",
    "stopped": "stopped",
    "booting": "boots, is not asked yet",
    "checked": "answered rightly, not served yet",
    "failed": "failed",
    "put back": "put back: serves the release that it had",
    "out": "out of the balancer",
    "maintenance": "in maintenance, left alone",
    "unknown": "not known",
}


def colours(record: Record) -> dict[str, str]:
    """A colour's class for each release: the one of this run, the most common one before, others; requests that no release is known of have the last."""
    probe = record["probe"] or {}
    often = Counter(member["lane"][0]["release"] for member in record["members"] if member["lane"])
    seen = [span["release"] for member in record["members"] for span in member["lane"]]
    names = {*seen, *probe.get("by_release", {}), *(name for point in _points(probe) for name in point["by_release"])}
    others = sorted((name for name in names if name and name != record["release"]), key=lambda name: (-often[name], name))
    known = {record["release"]: "new", "": "none"}
    return {**{name: f"old{min(number, 2)}" for number, name in enumerate(others)}, **known}


def _points(probe: Record) -> Sequence[Record]:
    return probe["series"]["points"] if probe else ()


def picture(record: Record, window: Window, colour: Mapping[str, str]) -> dict[str, Any]:
    """All that is drawn of members, batches and phases."""
    members = record["members"]
    pitch = max(min(_ALL / max(len(members), 1), _TALL), _LOW)
    gap = 4.0 if pitch >= 16 else 1.0 if pitch >= 6 else 0.5
    top = 2 * _HEAD
    labels = _labels([member["member"] for member in members], pitch)
    rows = []
    for number, member in enumerate(members):
        y = round(top + number * pitch, 2)
        spans = [_rectangle(span, member["member"], window, colour, pitch) for span in member["lane"] if window.covers(span["start"], span["end"])]
        rows.append({"name": member["member"], "label": labels[number], "y": y, "spans": spans})
    places = {member["member"]: top + number * pitch + (pitch - gap) / 2 for number, member in enumerate(members)}
    return {
        "rows": rows,
        "height": round(top + max(len(members), 1) * pitch + 4, 1),
        "bar": round(pitch - gap, 2),
        "head": _HEAD,
        "phases": _phases(record, window),
        "batches": _batches(record, window),
        "guides": [window.x(batch["start"]) for batch in record["batches"]] if len(record["batches"]) <= 25 else [],
        "marks": [_mark(failure, places, window) for failure in record["failures"]],
        "ticks": window.ticks(),
        "legend": _legend(record, colour),
    }


def _labels(names: Sequence[str], pitch: float) -> list[str]:
    """What stands before each lane: its member, or, where lanes are narrower than letters, every host for which there is room."""
    if pitch >= _LINE:
        return shortened(names)
    found, free = [], 0.0
    for number, (name, words) in enumerate(zip(names, shortened([name.partition("/")[0] for name in names]), strict=True)):
        first = number == 0 or names[number - 1].partition("/")[0] != name.partition("/")[0]
        there = first and number * pitch >= free
        found.append(words if there else "")
        free = number * pitch + _LINE if there else free
    return found


def shortened(names: Sequence[str]) -> list[str]:
    """Names for a narrow column: without the domain that all hosts share, the middle of long ones left out."""
    hosts = {name.partition("/")[0] for name in names}
    domains = {host.partition(".")[2] for host in hosts}
    shared = f".{domains.pop()}" if len(hosts) > 1 and len(domains) == 1 else ""
    found = []
    for name in names:
        host, slash, slot = name.partition("/")
        short = f"{host.removesuffix(shared)}{slash}{slot}"
        found.append(short if len(short) <= 20 else f"{short[:8]}…{short[-11:]}")
    return found


def _fits(words: str, share: float) -> str:
    """Where words have room in so many percent of the width: '' nowhere, else a class."""
    pixels = len(words) * _LETTER + 8
    return "" if pixels > share / 100 * _WIDE else "wide" if pixels > share / 100 * _NARROW else "any"


def _rectangle(span: Record, member: str, window: Window, colour: Mapping[str, str], pitch: float) -> dict[str, Any]:
    state, release = span["state"], span["release"]
    x = window.x(span["start"])
    width = round(max(window.x(span["end"]) - x, 0.12), 3)
    words = release if state == "serving" else f"↩ {release}" if state == "put back" else _WORDS.get(state, "")
    meaning = MEANING[state].format(release=release or "a release that is not known")
    on = f" ({release})" if release and state not in ("serving",) else ""
    return {
        "x": x,
        "width": width,
        "kind": f"s-{state.replace(' ', '-')}",
        "colour": f"r-{colour[release]}" if state in _lanes.SERVING else "",
        "words": words,
        "fits": _fits(words, width) if pitch >= 15 else "",
        "title": f"{member}: {meaning}{on}, {span['end'] - span['start']:.1f} s from {since(max(span['start'] - window.zero, 0))}",
    }


def _phases(record: Record, window: Window) -> list[dict[str, Any]]:
    """What the run was about, one after the other; tasks of several hosts that are the same are one."""
    merged: dict[str, list[float]] = {}
    failed: set[str] = set()
    for phase in record["phases"]:
        if phase["outcome"] == "skipped":
            continue
        start, end = phase["start"], phase["start"] + phase["seconds"]
        known = merged.setdefault(phase["name"], [start, end])
        known[:] = min(known[0], start), max(known[1], end)
        failed.update({phase["name"]} if phase["outcome"] == "failed" else ())
    return [_strip(name, start, end, window, name in failed) for name, (start, end) in merged.items() if window.covers(start, end)]


def _batches(record: Record, window: Window) -> list[dict[str, Any]]:
    found = []
    for batch in record["batches"]:
        end = batch["start"] + batch["seconds"]
        if window.covers(batch["start"], end):
            strip = _strip(str(batch["number"]), batch["start"], end, window, False)
            found.append({**strip, "title": f"batch {batch['number']} of {batch['of']}: {', '.join(batch['members'][:20])}, {batch['seconds']:.1f} s"})
    return found


def _strip(words: str, start: float, end: float, window: Window, failed: bool) -> dict[str, Any]:
    x = window.x(start)
    width = round(max(window.x(end) - x, 0.15), 3)
    return {
        "x": x,
        "width": width,
        "words": words,
        "fits": _fits(words, width),
        "failed": failed,
        "title": f"{words}: {end - start:.1f} s{', failed' if failed else ''}",
    }


def _mark(failure: Record, places: Mapping[str, float], window: Window) -> dict[str, Any]:
    who = failure["member"] or failure["host"]
    return {
        "x": window.x(failure["at"]),
        "y": round(places.get(failure["member"], _HEAD / 2), 2),
        "title": f"{who} failed at {failure['step']}: expected {failure['expected']}; seen {failure['seen']}",
    }


def _legend(record: Record, colour: Mapping[str, str]) -> list[dict[str, str]]:
    """The states that this page shows, in the order of a swap; serving once for each release."""
    seen = {(span["state"], span["release"] if span["state"] in _lanes.SERVING else "") for member in record["members"] for span in member["lane"]}
    found = []
    for state in _lanes.STATES:
        for release in sorted({release for known, release in seen if known == state}, key=lambda name: (colour[name] == "new", colour[name])):
            kind = f"s-{state.replace(' ', '-')}"
            known = f"r-{colour[release]}" if state in _lanes.SERVING else ""
            words = MEANING[state].format(release=release or "a release that is not known")
            found.append({"kind": kind, "colour": known, "words": words})
    return found
