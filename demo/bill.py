"""What it came to: which WebSockets were cut without their time, what was wrong, the table and the report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .load import UPLOAD, UPLOAD_SECONDS

BACK_WITHIN = 1.0  # seconds

Event = Mapping[str, Any]
Result = Mapping[str, Any]


def sockets(result: Result, events: Iterable[Event]) -> dict[str, Any]:
    """What became of the WebSockets: a goodbye is no cut where a slot was drained for the whole of its time before."""
    seen = result["sockets"]
    drained = any(event["step"] == "drain" and event["outcome"] == "overtime" for event in events)
    return {
        "opened": seen["opened"],
        "closed_when_drain_time_was_over": seen["announced"] if drained else 0,
        "cut_without_drain": seen["cut"] + (0 if drained else seen["announced"]),
        "not_back_in_time": int(seen["slowest_back"] > BACK_WITHIN),
        "slowest_back": seen["slowest_back"],
    }


def uploads(result: Result, rate: float, events: Sequence[Event]) -> dict[str, Any]:
    """The slow uploads, and how often the balancer was switched while one of them, whose beginnings are the schedule's, was under way."""
    seen = result["kinds"].get(UPLOAD, {"due": 0, "answered": 0, "latency": {"p50": None}})
    # Of the first, up to a tenth of a second is not known: kinds begin one after the other.
    began = [result["began"] + number / rate for number in range(seen["due"])]
    switches = [event["start"] for event in events if event["step"] in ("switch", "enable")]
    during = sum(any(start < switch < start + UPLOAD_SECONDS for start in began) for switch in switches)
    return {"answered": seen["answered"], "seconds": seen["latency"]["p50"], "switches": during}


def verdict(report: Mapping[str, Any], members: Mapping[str, Event], wanted: str, broken: str) -> list[str]:
    """What is not as it must be, in sentences."""
    wrong = []
    if report["failed"]:
        wrong.append(f"{report['failed']} requests failed: {_classes(report)}")
    if report["answered"] + report["failed"] != report["requests"]:
        wrong.append(f"{report['requests']} requests were sent, {report['answered']} answered and {report['failed']} failed: some are not accounted for")
    if report["ended_by"] != "stop":
        wrong.append(f"the load ended before it was told to ({report['ended_by']}): what came later was not seen")
    if report["reloads"]:
        wrong.append(f"nginx was reloaded {report['reloads']} times under the load")
    if report["by_release"].get(broken):
        wrong.append(f"{broken} is broken and answered {report['by_release'][broken]} requests")
    if not report["put_back"]:
        wrong.append(f"{broken} was not put back")
    if not report["uploads"]["switches"]:
        wrong.append("no slow upload was under way during a switch: nothing was shown about uploads")
    if report["websockets"]["cut_without_drain"] or report["websockets"]["not_back_in_time"]:
        wrong.append(f"WebSockets were cut without a drain, or not back within {BACK_WITHIN:g} s: {report['websockets']}")
    for member, seen in members.items():
        if (seen.get("release"), seen.get("healthy"), seen.get("serving")) != (wanted, True, True):
            wrong.append(f"{member} does not serve {wanted} at the end: {dict(seen)}")
    for slot, seen in report["answers_at_the_end"].items():
        if seen != f"{wanted} {slot}":
            wrong.append(f"slot {slot} answers at the end as {seen or 'nothing'}, not as {wanted}")
    if len(members) != 2:
        wrong.append("the swap did not say how the members are at the end")
    return wrong


def _classes(report: Mapping[str, Any]) -> str:
    return "; ".join(f"{failure['kind']}: {failure['class']} {failure['detail']}" for failure in examples(report))


def report(result: Result, events: Sequence[Event], rate: float, **more: Any) -> dict[str, Any]:
    """The part of the report that is of one load."""
    kinds = {name: {key: kind[key] for key in ("due", "answered", "failed", "latency")} for name, kind in sorted(result["kinds"].items())}
    return {
        "requests": result["due"],
        "answered": result["answered"],
        "failed": result["failed"],
        "by_release": result["by_release"],
        "by_client": kinds,
        "late": result["late"],
        "ended_by": result["ended_by"],
        "failures": [{**failure, "at": round(failure["at"] - result["began"], 3)} for failure in result["failures"]],
        "uploads": uploads(result, rate, events),
        "websockets": sockets(result, events),
        **more,
    }


def table(ours: Mapping[str, Any], naive: Mapping[str, Any]) -> list[str]:
    """Both loads side by side."""
    releases = sorted({*ours["by_release"], *naive["by_release"]})
    clients = sorted({*ours["by_client"], *naive["by_client"]})
    rows: list[tuple[str, object, object]] = [
        ("", "hotswap.bluegreen", "ordinary script"),
        ("requests sent", ours["requests"], naive["requests"]),
        ("answered", ours["answered"], naive["answered"]),
        *((f"    by {release}", ours["by_release"].get(release, 0), naive["by_release"].get(release, 0)) for release in releases),
        ("FAILED", ours["failed"], naive["failed"]),
        *((f"    during {name}", ours["failed_during"][name], count) for name, count in naive["failed_during"].items()),
        *((f"    {client}", _failed(ours, client), _failed(naive, client)) for client in clients if _failed(naive, client) or _failed(ours, client)),
        ("WebSockets cut without drain", _sockets(ours, "cut_without_drain"), _sockets(naive, "cut_without_drain")),
        ("closed when drain time was over", _sockets(ours, "closed_when_drain_time_was_over"), "-"),
        ("slowest to be back, s", _sockets(ours, "slowest_back"), _sockets(naive, "slowest_back")),
        ("nginx reloads", ours["reloads"], naive["reloads"]),
        ("the swap to v2, s", ours["swap_seconds"], naive["swap_seconds"]),
        ("v3, which is broken", "put back" if ours["put_back"] else "NOT PUT BACK", "waits for ever"),
    ]
    return [f"  {name:<34}{_cell(left):>20}{_cell(right):>20}" for name, left, right in rows]


def failed_during(result: Result, second: float) -> dict[str, int]:
    """How many failed of those that were due before and after the moment (seconds since the epoch) at which v3 came."""
    series = result["series"]
    before = sum(sum(point["failed"].values()) for number, point in enumerate(series["points"]) if series["start"] + number * series["width"] < second)
    return {"v2": before, "v3": result["failed"] - before}


def examples(side: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One failure of each sort, the first of it."""
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    for failure in side["failures"]:
        first.setdefault((failure["kind"], failure["class"]), failure)
    return list(first.values())


def _failed(side: Mapping[str, Any], client: str) -> int:
    found: int = side["by_client"].get(client, {}).get("failed", 0)
    return found


def _sockets(side: Mapping[str, Any], what: str) -> object:
    return side["websockets"][what]


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}" if isinstance(value, float) else str(value)
