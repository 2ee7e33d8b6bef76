# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a page says in words: the run's facts, what happened one after the other, where the time went, what clients missed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .. import _sentence
from ._traffic import duration
from ._window import since

Record = Mapping[str, Any]

_HOOKS = ("before_release", "migrate", "migrate_down", "before_stop", "after_start", "after_enable", "after_release", "on_rollback")
_ORDER = ("declare", "switch", "goodbye", "drain", "before_stop", "stop", "point", "start", "reload", "check", "vouch", "after_start", "enable", "after_enable")
_ENDED = {"limit": "at its bluegreen_probe_limit", "killed": "it was killed: its last second is not known"}
_EACH = 12  # entries of one kind that are told one by one
_MISSES = 100  # ways of failing that are told in words
_NAMES = 8


def clock(at: float) -> str:
    """A moment by the controller's clock, with its offset: a page is read elsewhere."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at)) if at else "unknown"
    except (OverflowError, ValueError, OSError):
        return "unknown"


def facts(record: Record) -> list[tuple[str, str]]:
    """What stands below the sentence: a name and a value each."""
    probe = record["probe"]
    found = [("began", clock(record["began"])), ("took", _sentence.span(record["seconds"]))]
    if record["by"]:
        found.append(("by", record["by"]))
    if record["reason"]:
        found.append(("reason", record["reason"]))
    outs = [member["out"] for member in record["members"] if member["out"]]
    if record["members"]:
        hosts = len({member["host"] for member in record["members"]})
        found.append(("members", f"{len(record['members'])} on {hosts} host{'s' if hosts > 1 else ''}"))
    if record["batches"]:
        found.append(("batches", str(len(record["batches"]))))
    if outs:
        longest = f", at most {max(outs):.1f} s" if len(outs) > 1 else ""
        found.append(("a member was out", f"{statistics.median(outs):.1f} s{longest}"))
    found.append(("nginx reloads", str(record["reloads"])))
    if probe:
        late = probe["late"]
        found.append(("requests", f"{probe['due']:,} due, {probe['answered']:,} answered, {probe['failed']:,} failed"))
        found.append((f"latency {' · '.join(probe['latency'])}", " · ".join(map(_latency, probe["latency"].values()))))
        found += _sockets(probe["sockets"])
        if probe["ended_by"] not in ("", "stop"):
            found.append(("the probe ended early", _ENDED.get(probe["ended_by"], probe["ended_by"])))
        if late["requests"]:
            why = {"connections": "all connections were waiting", "machine": "the probe's machine was too slow"}.get(late["why"], "")
            found.append(("sent late", f"{late['requests']:,}, by {late['seconds']:.1f} s at most{f': {why}' if why else ''}"))
    return found


def kinds(record: Record) -> list[list[str]]:
    """Each kind of the probe's requests: its name, what was due, answered and failed, latencies."""
    found = []
    for name, about in (record["probe"] or {"kinds": {}})["kinds"].items():
        failed = ", ".join(f"{many:,} {kind}" for kind, many in about["by_class"].items() if many) or f"{about['failed']:,}"
        found.append([name, f"{about['due']:,}", f"{about['answered']:,}", failed, *map(_latency, about["latency"].values())])
    return found


def _latency(seconds: float) -> str:
    return duration(seconds) if seconds else "–"


def _sockets(about: Record) -> list[tuple[str, str]]:
    """What became of WebSockets, where there were any."""
    if not about.get("opened"):
        return []
    words = f"{about['opened']:.0f} opened, {about.get('announced', 0):.0f} closed as announced, {about.get('cut', 0):.0f} cut"
    return [("WebSockets", f"{words}; slowest back after {duration(about.get('slowest_back', 0))}")]


def story(record: Record) -> list[dict[str, Any]]:
    """What happened, in the order of its beginning."""
    found = _phases([phase for phase in record["phases"] if phase["outcome"] != "skipped"], bool(record["failures"]))
    found += [_batch(batch) for batch in record["batches"]]
    for name in _HOOKS:
        words = f"hook {name}" if not name.startswith("migrate") else name
        found += _several(words, [step for step in record["steps"] if step["step"] == name])
    found += _goodbyes(record["steps"])
    found += [
        _entry(step["start"], "reload", "ok", step["seconds"], step["host"], step["detail"])
        for step in record["steps"]
        if step["step"] == "declare" and step["outcome"] == "ok"
    ]
    found += [_overtime(step) for step in record["steps"] if step["outcome"] == "overtime"]
    found += [
        _entry(item["at"], "failure", "failed", None, item["member"] or item["host"], f"{item['step']}: expected {item['expected']}; seen {item['seen']}")
        for item in record["failures"]
    ]
    found += [_entry(note["at"], "note", "", None, "", note["text"]) for note in record["notes"][:200]]
    found += [
        _entry(step["start"], "not over", "warn", step["seconds"], _names(step["members"]), f"{step['step']}: {step['detail']}") for step in record["waiting"]
    ]
    probe = record["probe"]
    if probe:
        words = f"{probe['due']:,} requests, {probe['failed']:,} failed"
        found.append(
            _entry(probe["began"], "probe", "failed" if probe["failed"] else "ok", max(probe["ended"] - probe["began"], 0), ", ".join(probe["kinds"]), words)
        )
    for entry in found:
        entry["since"] = since(max(entry["at"] - record["began"], 0))
    return sorted(found, key=lambda entry: entry["at"])


def _overtime(step: Record) -> dict[str, Any]:
    what = "not told" if step["step"] == "goodbye" else "time over"
    return _entry(step["start"], what, "warn", step["seconds"], ", ".join(step["members"]), f"{step['step']}: {step['detail']}")


def _entry(at: float, what: str, outcome: str, seconds: float | None, who: str, detail: str) -> dict[str, Any]:
    return {"at": at, "what": what, "outcome": outcome, "seconds": seconds, "who": who, "detail": detail}


def _phases(phases: Sequence[Record], told: bool) -> list[dict[str, Any]]:
    """The tasks of the run; what each of many hosts did is one, but for those that failed."""
    found = []
    for name in dict.fromkeys(phase["name"] for phase in phases):
        mine = [phase for phase in phases if phase["name"] == name]
        each = mine if len(mine) <= _EACH else [phase for phase in mine if phase["outcome"] == "failed"]
        found += [_phase(phase, told) for phase in each]
        if rest := [phase for phase in mine if phase not in each]:
            start = min(phase["start"] for phase in rest)
            end = max(phase["start"] + phase["seconds"] for phase in rest)
            found.append(_entry(start, name, "ok", end - start, f"{len(rest)} hosts", ""))
    return found


def _phase(phase: Record, told: bool) -> dict[str, Any]:
    """A phase; of one that failed the first line, where what failed is ``told`` by itself."""
    detail = phase["detail"].partition("\n")[0] if told else phase["detail"]
    return _entry(phase["start"], phase["name"], phase["outcome"], phase["seconds"], phase["host"], detail)


def _batch(batch: Record) -> dict[str, Any]:
    return _entry(batch["start"], f"batch {batch['number']} of {batch['of']}", "", batch["seconds"], _names(batch["members"]), "")


def _goodbyes(steps: Sequence[Record]) -> list[dict[str, Any]]:
    """Whose clients were told to leave, and how many of them did."""
    told = [step for step in steps if step["step"] == "goodbye" and step["outcome"] == "ok"]
    members = {name for step in told for name in step["members"]}
    left = [step for step in steps if step["step"] == "drain" and step["outcome"] == "ok" and members.intersection(step["members"])]
    return [*_several("goodbye", told), *_several("clients left", left)]


def _several(words: str, steps: Sequence[Record]) -> list[dict[str, Any]]:
    """Steps of one kind: each, or, where they are many, those that failed and the others as one."""
    told = steps if len(steps) <= _EACH else [step for step in steps if step["outcome"] == "failed"]
    found = [_entry(step["start"], words, step["outcome"], step["seconds"], ", ".join(step["members"]) or step["host"], step["detail"]) for step in told]
    rest = [step for step in steps if step not in told]
    if rest:
        longest = max(step["seconds"] for step in rest)
        found.append(_entry(rest[0]["start"], words, "ok", None, f"{len(rest)} times", f"{longest:.1f} s at most"))
    return found


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _NAMES else f"{', '.join(names[: _NAMES - 1])} and {len(names) - _NAMES + 1} more"


def steps(record: Record) -> list[dict[str, Any]]:
    """Where the time went: each step's number, median, and longest, with whose it was."""
    found = []
    names = dict.fromkeys(step["step"] for step in record["steps"])
    for name in sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)):
        mine = [step for step in record["steps"] if step["step"] == name]
        longest = max(mine, key=lambda step: step["seconds"])
        middle = statistics.median(step["seconds"] for step in mine)
        where = _names(longest["members"]) or longest["host"]
        found.append({"step": name, "times": len(mine), "median": f"{middle:.2f} s", "longest": f"{longest['seconds']:.2f} s", "where": where})
    return found


def misses(record: Record) -> dict[str, Any]:
    """The requests that failed, those that failed alike as one; ``told`` are those that are known in words."""
    probe = record["probe"]
    alike: dict[tuple[str, ...], list[float]] = {}
    for item in probe["failures"] if probe else ():
        alike.setdefault((item["kind"], item["class"], item["detail"], item["release"]), []).append(item["at"])
    shown = [
        {"since": _from_to(times, record["began"]), "times": f"{len(times):,}", "kind": kind, "class": of, "detail": detail, "release": release}
        for (kind, of, detail, release), times in list(alike.items())[:_MISSES]
    ]
    return {"many": probe["failed"] if probe else 0, "told": sum(map(len, alike.values())), "shown": shown}


def _from_to(times: Sequence[float], began: float) -> str:
    first, last = (since(max(moment(times) - began, 0)) for moment in (min, max))
    return first if first == last else f"{first} – {last}"
