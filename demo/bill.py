"""What it came to: which WebSockets were cut without their time, what was wrong, the table and the report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .load import SOCKET
from .tally import Tally, Visit

BACK_WITHIN = 1.0  # seconds
_CLOCKS = 0.1  # seconds between a drain's end and what a client sees of it, at most

Event = Mapping[str, Any]


def was_drained(visit: Visit, events: Iterable[Event]) -> bool:
    """Whether its slot had been drained, for the whole of its time, when the WebSocket ended."""
    return any(
        event["step"] == "drain"
        and event["member"].endswith(f"/{visit.slot}")
        and event["outcome"] == "overtime"
        and visit.opened <= event["start"] + event["seconds"] <= visit.ended + _CLOCKS
        for event in events
    )


def judge(tally: Tally, events: Sequence[Event]) -> dict[str, Any]:
    """Book every WebSocket visit as answered or failed; what the report says of them."""
    cut = late = drained = 0
    for visit in tally.visits:
        words = f"{visit.release} {visit.slot}, {visit.how}"
        if not visit.by_client and not was_drained(visit, events):
            cut += 1
            tally.fail(SOCKET, "cut", f"without being drained: {words}", visit.ended)
        elif not visit.by_client and not 0 < visit.back <= BACK_WITHIN:
            late += 1
            tally.fail(SOCKET, "late", f"back after {visit.back:.2f} s: {words}" if visit.back else f"not back: {words}", visit.ended)
        else:
            drained += not visit.by_client
            tally.succeed(SOCKET, visit.release)
    return {
        "visits": len(tally.visits),
        "closed_when_drain_time_was_over": drained,
        "cut_without_drain": cut,
        "not_back_in_time": late,
        "slowest_back": round(max((visit.back for visit in tally.visits), default=0.0), 3),
    }


def switches_during(upload: Mapping[str, Any], events: Iterable[Event]) -> int:
    """How often the balancer was switched while the upload was under way."""
    return sum(event["step"] in ("switch", "enable") and upload["began"] < event["start"] < upload["ended"] for event in events)


def verdict(report: Mapping[str, Any], members: Mapping[str, Event], wanted: str, broken: str) -> list[str]:
    """What is not as it must be, in sentences."""
    wrong = []
    if report["failed"]:
        wrong.append(f"{report['failed']} requests failed: {_classes(report)}")
    if report["answered"] + report["failed"] != report["requests"]:
        wrong.append(f"{report['requests']} requests were sent, {report['answered']} answered and {report['failed']} failed: some are not accounted for")
    if report["reloads"]:
        wrong.append(f"nginx was reloaded {report['reloads']} times under the load")
    if report["by_release"].get(broken):
        wrong.append(f"{broken} is broken and answered {report['by_release'][broken]} requests")
    if not report["put_back"]:
        wrong.append(f"{broken} was not put back")
    if not any(upload["switches"] for upload in report["uploads"]):
        wrong.append("no slow upload was under way during a switch: nothing was shown about uploads")
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
    return "; ".join(f"{failure['client']}: {failure['kind']} {failure['detail']}" for failure in examples(report))


def report(tally: Tally, sockets: Mapping[str, Any], events: Sequence[Event], **more: Any) -> dict[str, Any]:
    """The part of the report that is of one load."""
    counts = tally.counts()
    for upload in counts["uploads"]:
        upload["switches"] = switches_during(upload, events)
    return {**counts, "websockets": {**sockets, "each": [asdict(visit) for visit in tally.visits]}, **more}


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


def failed_during(tally: Tally, second: float) -> dict[str, int]:
    """How many failed before and after the moment (seconds since the epoch) at which v3 came."""
    before = sum(tally.began + at < second for at in tally.failed_at)
    return {"v2": before, "v3": len(tally.failed_at) - before}


def examples(side: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One failure of each sort, the first of it."""
    first: dict[tuple[str, str], Mapping[str, Any]] = {}
    for failure in side["failures"]:
        first.setdefault((failure["client"], failure["kind"]), failure)
    return list(first.values())


def _failed(side: Mapping[str, Any], client: str) -> int:
    found: int = side["by_client"].get(client, {}).get("failed", 0)
    return found


def _sockets(side: Mapping[str, Any], what: str) -> object:
    return side["websockets"][what]


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}" if isinstance(value, float) else str(value)
