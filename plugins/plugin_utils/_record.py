# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as one record, made of the lines of its journal: what ``report.json`` holds (docs/report.md). Pure.

A journal may have been cut off, or be of another version: what is not as expected is kept out, and nothing raises.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import _lanes, _sentence

_TAKING_TURNS = ("blue_green", "canary")  # the strategies with which one slot of each host serves
SCHEMA = 1

Line = Mapping[str, Any]


def record(lines: Iterable[Line]) -> dict[str, Any]:
    """The record of a run. Times are seconds since the epoch, durations seconds."""
    kinds: dict[str, list[Line]] = {}
    for line in lines:
        if isinstance(line, Mapping):
            kinds.setdefault(text(line.get("kind")), []).append(line)
    head = (kinds.get("run") or [{}])[0]
    phases = [_phase(line) for line in kinds.get("phase", ())]
    events = sorted(map(_event, kinds.get("event", ())), key=lambda event: event["start"])
    failures = [_failure(line) for line in kinds.get("failure", ())]
    probe = _probe(kinds["probe"][-1].get("result")) if "probe" in kinds else None
    began, ended = _period(kinds, phases, events)
    before, after = (_seen(kinds.get("members", ()), when) for when in ("before", "after"))
    batches = _batches(kinds.get("batch", ()), events, ended)
    verdict = kinds["verdict"][-1] if "verdict" in kinds else None
    returned = {name: number(line.get("at")) for line in kinds.get("returned", ()) for name in names(line.get("members"))}
    release = text(head.get("release"))
    watched = {failure["member"]: failure["at"] for failure in failures if failure["step"] == "watch"}
    concerned = dict.fromkeys([*before, *after, *(name for batch in batches for name in batch["members"])])
    lanes = _lanes.lanes(concerned, release, began, ended, before, after, events, returned, watched)
    found = {
        "schema": SCHEMA,
        "service": text(head.get("service")),
        "release": release,
        "way": "rollback" if head.get("way") == "rollback" else "release",
        "by": text(head.get("by")),
        "collection": text(head.get("collection")),
        "reason": text(head.get("reason")),
        "hosts": names(head.get("hosts")),
        "serial": names(head.get("serial")),
        "strategy": text(head.get("strategy")),
        "on_failure": text(head.get("on_failure")),
        "began": began,
        "ended": ended,
        "seconds": round(ended - began, 3),
        "complete": verdict is not None,
        "changed": verdict is not None and bool(verdict.get("changed")),
        "reloads": sum(event["step"] == "declare" and event["outcome"] == "ok" for event in events),
        "booked": {text(host): text(why) for host, why in mapping((verdict or {}).get("booked")).items()},
        "members": [_member(name, lane, before, after, batches, verdict is not None, text(head.get("strategy"))) for name, lane in lanes.items()],
        "batches": batches,
        "phases": phases,
        "steps": [event for event in events if event["outcome"] != "waiting"],
        "waiting": _waiting(events) if verdict is None else [],
        "failures": failures,
        "returned": list(returned),
        "notes": [{"at": number(line.get("at")), "text": text(line.get("text"))} for line in kinds.get("note", ())],
        "probe": probe,
    }
    outcome = _sentence.outcome(found)
    return {"schema": SCHEMA, "outcome": outcome, "sentence": _sentence.sentence(found, outcome), **found}


# What a line holds, whatever it holds.


def text(value: Any) -> str:
    """A text that can be written, and that cannot steer a terminal or turn a line around."""
    if value is None or isinstance(value, (dict, list)):
        return ""
    return "".join(_plain(letter) for letter in str(value))


def _plain(letter: str) -> str:
    if letter in "\n\t\u200d" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs"):
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) > 0xFF else f"\\x{ord(letter):02x}"


def number(value: Any) -> float:
    """A number of sensible size; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    try:
        found = float(value)
    except OverflowError:
        return 0.0
    return found if math.isfinite(found) and 0 <= found < 1e11 else 0.0


def count(value: Any) -> int:
    return int(number(value))


def names(value: Any) -> list[str]:
    return [text(item) for item in value] if isinstance(value, (list, tuple)) else []


def mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _counts(value: Any) -> dict[str, int]:
    return {text(name): count(many) for name, many in mapping(value).items()}


# The kinds of lines.


def _period(kinds: Mapping[str, Sequence[Line]], phases: Sequence[Line], events: Sequence[Line]) -> tuple[float, float]:
    """From the first thing that began to the last line."""
    stamps = [number(line.get("at")) for found in kinds.values() for line in found]
    starts = [item["start"] for item in (*phases, *events)]
    ends = [item["start"] + item["seconds"] for item in events]
    known = [stamp for stamp in (*stamps, *starts) if stamp > 0]
    return (min(known), max(*known, *ends, min(known))) if known else (0.0, 0.0)


def _phase(line: Line) -> dict[str, Any]:
    at, seconds = number(line.get("at")), number(line.get("seconds"))
    start = number(line.get("start")) or max(at - seconds, 0.0)
    return {
        "name": text(line.get("name")),
        "host": text(line.get("host")),
        "start": start,
        "seconds": seconds,
        "outcome": _one_of(line.get("outcome"), "ok", "failed", "skipped"),
        "detail": text(line.get("detail")),
    }


def _event(line: Line) -> dict[str, Any]:
    member = text(line.get("member"))
    return {
        "step": text(line.get("step")),
        "host": text(line.get("host")),
        "members": [name for name in member.split(", ") if name],
        "start": number(line.get("start")) or number(line.get("at")),
        "seconds": round(number(line.get("seconds")), 3),
        "outcome": _one_of(line.get("outcome"), "ok", "unchanged", "waiting", "overtime", "vain", "failed"),
        "detail": text(line.get("detail")),
    }


def _one_of(value: Any, *words: str) -> str:
    return value if isinstance(value, str) and value in words else words[0]


def _failure(line: Line) -> dict[str, Any]:
    words = {name: text(line.get(name)) for name in ("member", "host", "step", "expected", "seen")}
    return {"at": number(line.get("at")), **words, "log": names(line.get("log"))}


def _seen(lines: Sequence[Line], when: str) -> dict[str, dict[str, Any]]:
    """How members were seen before the walk or after it."""
    found: dict[str, dict[str, Any]] = {}
    for line in (line for line in lines if line.get("when") == when):
        marks = mapping(line.get("maintenance"))
        for name, seen in mapping(line.get("members")).items():
            found[text(name)] = _state(mapping(seen), mapping(marks.get(name)))
    return found


def _state(seen: Line, mark: Line) -> dict[str, Any]:
    words = [f"{text(mark.get('by'))}: {text(mark.get('why'))}"] if mark else []
    return {
        "release": text(seen.get("release")),
        "state": text(seen.get("state")),
        "pid": count(seen.get("pid")),
        "healthy": bool(seen.get("healthy")),
        "serving": bool(seen.get("serving")),
        "balancers": names(seen.get("balancers")),
        "maintenance": "".join(words),
    }


def _batches(lines: Sequence[Line], events: Sequence[Line], ended: float) -> list[dict[str, Any]]:
    """Each batch with the time from its turn to the last step of its members."""
    found = []
    for line in lines:
        members, at = names(line.get("members")), number(line.get("at"))
        mine = set(members)
        ends = [event["start"] + event["seconds"] for event in events if event["start"] >= at - 1 and mine.intersection(event["members"])]
        end = min(max([at, *ends]), max(ended, at))
        found.append({"number": count(line.get("number")), "of": count(line.get("of")), "members": members, "start": at, "seconds": round(end - at, 3)})
    return found


def _member(name: str, lane: _lanes.Lane, before: Line, after: Line, batches: Sequence[Line], complete: bool, strategy: str) -> dict[str, Any]:
    host, _slash, slot = name.partition("/")
    became = _lanes.result(lane, complete)
    if strategy in _TAKING_TURNS and became in ("out", "not touched"):
        became = "replaced" if before.get(name, {}).get("serving") else "idle"
    return {
        "member": name,
        "host": host,
        "slot": slot,
        "batch": next((batch["number"] for batch in batches if name in batch["members"]), 0),
        "before": before.get(name),
        "after": after.get(name),
        "release": lane.release,
        "result": became,
        "out": 0.0 if strategy in _TAKING_TURNS else _lanes.out(lane),
        "lane": _lanes.spans(lane),
    }


def _waiting(events: Sequence[Line]) -> list[dict[str, Any]]:
    """The waits that had not ended when the run was cut off: the last that is known of each."""
    last: dict[tuple[str, str, tuple[str, ...]], Line] = {}
    for event in events:
        last[event["step"], event["host"], tuple(event["members"])] = event
    return [dict(event) for event in last.values() if event["outcome"] == "waiting"]


# The probe.


def _probe(result: Any) -> dict[str, Any] | None:
    """The probe's result as it came, without what cannot be drawn."""
    if not isinstance(result, Mapping) or not result:
        return None
    late, series = mapping(result.get("late")), mapping(result.get("series"))
    kinds = {text(name): _numbers(mapping(about)) for name, about in mapping(result.get("kinds")).items()}
    return {
        "began": number(result.get("began")),
        "ended": number(result.get("ended")),
        "ended_by": text(result.get("ended_by")),
        **_numbers(result),
        "kinds": kinds,
        "late": {"requests": count(late.get("requests")), "seconds": number(late.get("seconds")), "why": text(late.get("why"))},
        "series": {
            "start": number(series.get("start")),
            "width": min(max(number(series.get("width")), 0.001), 86400.0) if series.get("width") else 1.0,
            "points": [_point(mapping(point)) for point in _list(series.get("points"))[:2000]],
        },
        "failures": [_missed(mapping(item)) for item in _list(result.get("failures"))[:1000]],
        "sockets": {text(name): number(value) for name, value in mapping(result.get("sockets")).items()},
    }


def _numbers(about: Line) -> dict[str, Any]:
    return {
        **{name: count(about.get(name)) for name in ("due", "answered", "failed", "open")},
        "by_release": _counts(about.get("by_release")),
        "by_class": _counts(about.get("by_class")),
        "latency": {name: number(mapping(about.get("latency")).get(name)) for name in ("p50", "p95", "p99", "max")},
    }


def _point(point: Line) -> dict[str, Any]:
    return {
        "due": count(point.get("due")),
        "by_release": _counts(point.get("by_release")),
        "failed": _counts(point.get("failed")),
        "p50": number(point.get("p50")),
        "p95": number(point.get("p95")),
    }


def _missed(item: Line) -> dict[str, Any]:
    return {"at": number(item.get("at")), **{name: text(item.get(name)) for name in ("kind", "class", "detail", "release")}}
