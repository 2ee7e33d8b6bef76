# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened in a run, in one sentence. Pure: of its record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]

_LONG = 200  # letters of a reason


def outcome(found: Record) -> str:
    """What became of the run: released, rolled back, unchanged, taken back, failed or cut off."""
    if not found["complete"]:
        return "cut off"
    if not _went_well(found):
        return "taken back" if found["returned"] and not _still_swapped(found) else "failed"
    if not found["changed"]:
        return "unchanged"
    return "rolled back" if found["way"] == "rollback" else "released"


def _went_well(found: Record) -> bool:
    """Whether it came through its last phase, and nothing failed on the way."""
    outcomes = [phase["outcome"] for phase in found["phases"]]
    return not found["booked"] and not found["failures"] and "failed" not in outcomes and any(phase["name"] == "finish" for phase in found["phases"])


def sentence(found: Record, result: str) -> str:
    """What happened, for somebody who reads nothing else."""
    if result == "cut off":
        return f"{_cut_off(found)} {_requests(found)}".rstrip()
    if result in ("released", "rolled back", "unchanged"):
        return _whole(found, result)
    return f"{_failed(found, result)} {_requests(found)}".rstrip()


def _what(found: Record) -> str:
    """The release, as the beginning of a sentence."""
    release, service = found["release"] or "without a name", found["service"] or "an unknown service"
    return f"The rollback of {service} to release {release}" if found["way"] == "rollback" else f"Release {release} of {service}"


def _whole(found: Record, result: str) -> str:
    took = f", in {span(found['seconds'])}"
    left = [member["member"] for member in found["members"] if member["result"] == "left alone"]
    alone = f" {_list(left)} {_is(left)} in maintenance and {'was' if len(left) == 1 else 'were'} left alone." if left else ""
    where = _everywhere(found)
    if result == "rolled back":
        first = f"{found['service']} is back on release {found['release']}{where}{took}"
    elif result == "unchanged":
        first = f"There was nothing to do: {_what(found)[0].lower()}{_what(found)[1:]} was there already{where}"
    else:
        first = f"{_what(found)} is{where or ' completed'}{took}"
    requests = _requests(found)
    return f"{first}; {requests}{alone}" if requests else f"{first}.{alone}"


def _everywhere(found: Record) -> str:
    """On how many members it serves, as seen at the end."""
    members = [member for member in found["members"] if member["after"] and member["result"] not in ("replaced", "idle")]
    there = [member for member in members if member["after"]["release"] == found["release"]]
    if not members or not there:
        return ""
    if len(there) < len(members):
        return f" on {len(there)} of {len(members)} members"
    return f" on {'its only member' if len(members) == 1 else 'both members' if len(members) == 2 else f'all {len(members)} members'}"


def _requests(found: Record) -> str:
    """What the clients had of it."""
    probe = found["probe"]
    if not probe:
        return ""
    due, failed = probe["due"], probe["failed"]
    if not due:
        return "no request was sent meanwhile."
    if not failed:
        return f"{due:,} requests were sent meanwhile and none failed."
    classes = ", ".join(f"{many:,} {name}" for name, many in probe["by_class"].items() if many)
    return f"{failed:,} of the {due:,} requests that were sent meanwhile failed{f' ({classes})' if classes else ''}."


def _still_swapped(found: Record) -> bool:
    """Whether a member of this run serves its release at the end."""
    return any(member["result"] == "released" for member in found["members"])


def _failed(found: Record, result: str) -> str:
    failures, members = found["failures"], {member["member"]: member for member in found["members"]}
    if result == "taken back":
        first = f"{_what(found)} was {'given up' if found['way'] == 'rollback' else 'taken back'}"
    elif members and _on_all(found):
        first = f"{_what(found)} is{_everywhere(found)}, but the run failed"
    else:
        first = f"{_what(found)} was not completed"
    if not failures:
        return f"{first}: {_why(found)}"
    failure = failures[0]
    who = failure["member"] or failure["host"]
    where = f" on {failure['host']}" if failure["host"] and failure["member"] and not failure["member"].startswith(f"{failure['host']}/") else ""
    at = "crossed a limit" if failure["step"] == "watch" else f"failed at {failure['step']}{where}"
    if not who:
        who, at = "a limit", "was crossed"
    more = len({item["member"] for item in failures}) - 1
    others = f", and so did {more} more" if more > 0 else ""
    words = f"expected {_short(failure['expected'])}; seen {_short(failure['seen'])}"
    return f"{first}: {who} {at} ({words}){others}; {_aftermath(found, members.get(failure['member']))}"


def _on_all(found: Record) -> bool:
    seen = [member["after"] for member in found["members"]]
    return all(state and state["serving"] and state["release"] == found["release"] for state in seen)


def _aftermath(found: Record, member: Record | None) -> str:
    """How it stands now, of the member that failed and of the others."""
    parts = []
    if member and member["after"]:
        seen = member["after"]
        parts.append(f"it serves on release {seen['release'] or 'unknown'}" if seen["serving"] else "it stays out of the balancer")
    rest = [item for item in found["members"] if item is not member]
    others = [item for item in rest if item["result"] == "put back"]
    if others:
        parts.append(f"{_many(others)} went back, too")
    swapped = [item for item in rest if item["result"] == "released"]
    untouched = [item for item in rest if item["result"] == "not touched"]
    if swapped:
        parts.append(f"{_many(swapped)} {'serves' if len(swapped) == 1 else 'serve'} on {found['release']}")
    if untouched:
        parts.append(f"{_many(untouched)} {'was' if len(untouched) == 1 else 'were'} not touched")
    return f"{', '.join(parts)}." if parts else "no member was touched."


def _why(found: Record) -> str:
    """What failed, where no member did: as it was booked, which says more than the task's own words."""
    booked = "; ".join(_short(words) for words in found["booked"].values())
    for phase in found["phases"]:
        if phase["outcome"] == "failed":
            return f"{phase['name']} failed{_on(phase['host'])} ({booked or _short(phase['detail'])})."
    return f"{booked or 'it ended early, and no failure was noted'}."


def _on(host: str) -> str:
    return f" on {host}" if host else ""


def _short(words: str) -> str:
    """The first line, as a part of a sentence."""
    line = (words.strip().splitlines() or ["no reason is known"])[0].rstrip(".")
    return line if len(line) <= _LONG else f"{line[: _LONG - 1]}…"


def _cut_off(found: Record) -> str:
    """How far a run came that has no end."""
    at = time.strftime("%H:%M:%S", time.localtime(found["ended"])) if found["ended"] else "an unknown time"
    kind = "The rollback" if found["way"] == "rollback" else "The release"
    name = f" of {found['service']} to {found['release']}" if found["service"] else ""
    first = f"{kind}{name} was cut off, or has not ended yet: nothing is known of it after {at}, {span(found['seconds'])} after it began"
    inside = [member["member"] for member in found["members"] if member["result"] == "in work"]
    if inside:
        first += f", with {_list(inside)} in work"
    done = sum(member["result"] == "released" for member in found["members"])
    return (
        f"{first}; {done} of {len(found['members'])} members had the release. Run the same command again: it goes on there." if done or inside else f"{first}."
    )


def _many(members: Sequence[Record]) -> str:
    if len(members) <= 2:
        return " and ".join(str(member["member"]) for member in members)
    return f"{len(members)} others"


def _list(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) <= 2 else f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''}"


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def span(seconds: float) -> str:
    """A duration as one says it: 0.4 s, 48 s, 3 min 20 s, 1 h 5 min."""
    if seconds < 10:
        return f"{round(seconds, 1):g} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
