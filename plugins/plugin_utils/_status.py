# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hosts told of a service, as one picture: every member, what is not as it should be, and a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history
from ansible_collections.hotswap.bluegreen.plugins.module_utils._history import Past, clock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._info import NOT_SEEN
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Wish, dump, load
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import SlotState

from ._plain import columns

Seen = Mapping[str, Mapping[str, Any]]  # by host, what its module release_info answered

_SHOWN = 10  # lines of the history in the table
_NOT_SEEN = dump(SlotState(NOT_SEEN))


def picture(wishes: Sequence[Wish], seen: Seen, lost: Mapping[str, str], chosen: Iterable[str]) -> dict[str, Any]:
    """All that ``release_info`` returns: of the members of the ``chosen`` hosts; ``lost`` are the hosts that did not answer, and how."""
    mine = [wish for wish in wishes if wish.members and wish.host in set(chosen)]
    pasts = {wish.host: load(Past, seen[wish.host]["past"]) for wish in mine if wish.host in seen}
    completed = _history.common(pasts)
    members = [_row(wish, member, seen, lost, completed) for wish in mine for member in wish.members]
    found = {
        "service": wishes[0].service,
        "members": members,
        "completed": list(completed),
        "releases": {host: seen[host]["releases"] for host in pasts},
        "workers": [{"host": host, **row} for host in pasts for row in seen[host]["workers"]],
        "maintenance": _maintenance(seen),
        "lock": next((answer["lock"] for answer in seen.values() if answer["lock"]), ""),
        "history": {host: seen[host]["history"] for host in pasts},
        "unreachable_hosts": dict(lost),
        "hints": [f"{member.id} {text}" for wish in mine if wish.host in seen for member in wish.members for text in _hints(seen[wish.host], member)],
        "drift": [f"{row['member']} {text}" for row in members for text in row["drift"]] + _of_hosts(mine, seen, lost, pasts),
    }
    return {**found, "text": table(found)}


def unmet(found: Mapping[str, Any], release: str) -> list[str]:
    """Why a picture is not that of a service that is wholly on ``release``, a sentence each. Members in maintenance are a person's matter."""
    alone = {member for marks in found["maintenance"].values() for member in marks}
    other = [
        f"{row['member']} serves {row['release'] or 'no release of ours'}, and {release} is expected."
        for row in found["members"]
        if row["serving"] and row["release"] != release and row["member"] not in alone
    ]
    return other + [f"{text}." for text in found["drift"] if text.partition(" ")[0] not in alone]


def _hints(answer: Mapping[str, Any], member: Member) -> Sequence[str]:
    """What is worth a look where new code does not answer."""
    found: Sequence[str] = answer.get("hints", {}).get(member.slot, ())
    return found


def _maintenance(seen: Seen) -> dict[str, dict[str, Any]]:
    marks = {host: (answer["state"]["balancer"] or {}).get("maintenance") or {} for host, answer in seen.items()}
    return {host: found for host, found in marks.items() if found}


def _row(wish: Wish, member: Member, seen: Seen, lost: Mapping[str, str], completed: Sequence[str]) -> dict[str, Any]:
    """One member, as its host and its balancers see it."""
    answer = seen.get(wish.host)
    slot: Mapping[str, Any] = {**_NOT_SEEN, **(answer["state"]["slots"].get(member.slot, {}) if answer else {})}
    asked = [name for name in wish.balancers if name in seen and seen[name]["state"]["balancer"]]
    serving = [name for name in asked if member.id in seen[name]["state"]["balancer"]["serving"]]
    row = {
        "member": member.id,
        "host": wish.host,
        "slot": member.slot,
        "port": member.port,
        "state": "UNREACHABLE" if wish.host in lost else slot["state"],
        "serving": bool(serving),
        "balancers": serving,
        "since": (answer["since"].get(member.slot) or 0.0) if answer else 0.0,
        "connections": slot["connections"] + slot["others"],
        **{name: slot[name] for name in ("release", "healthy", "seen", "pid", "uptime", "current", "previous", "mark")},
    }
    marks = {name: marks[member.id] for name, marks in _maintenance(seen).items() if member.id in marks}
    if answer and wish.flips and not serving and not marks and _is_served(wish, asked, seen):
        return {**row, "drift": list(_drift_of_idle(slot))}
    return {**row, "drift": list(_drift(row, slot, asked, serving, marks, completed)) if answer else ["is on a host that does not answer"]}


def _is_served(wish: Wish, asked: Sequence[str], seen: Seen) -> bool:
    """Whether each of these balancers serves one of the host's slots."""
    own = {member.id for member in wish.members}
    return bool(asked) and all(own & set(seen[name]["state"]["balancer"]["serving"]) for name in asked)


def _drift_of_idle(slot: Mapping[str, Any]) -> Iterable[str]:
    """What is not as it should be with a slot that waits for the next release, whatever it runs meanwhile."""
    if slot["listener"] == "foreign":
        yield f"is idle, and its port is held by {', '.join(slot['holders']) or 'a process that this user may not see'}"


def _drift(
    row: Mapping[str, Any], slot: Mapping[str, Any], asked: Sequence[str], serving: Sequence[str], marks: Mapping[str, Any], completed: Sequence[str]
) -> Iterable[str]:
    """What is not as it should be with a member whose host answered, as the end of a sentence each."""
    out = [name for name in asked if name not in serving]
    for name, note in marks.items():
        since = f", since {clock(note['since'])}" if note.get("since") else ""
        yield f"is in maintenance on {name} ({note.get('by')}: {note.get('why')}{since}){', and is served there all the same' if name in serving else ''}"
    if serving and out:
        yield f"is served by {', '.join(serving)} and not by {', '.join(out)}"
    elif out and not marks:
        yield f"is served by none of its balancers ({', '.join(out)})"
    if slot["state"] == NOT_SEEN:
        yield "could not be looked at"
        return
    if not row["pid"]:
        says = f"supervisor says {slot['state']}"
        yield f"does not run: {says}{'' if slot['seen'] in ('', says) else ': ' + slot['seen']}"
        return
    if slot["listener"] == "foreign":
        yield f"has its port held by {', '.join(slot['holders']) or 'a process that this user may not see'}"
    elif not row["healthy"]:
        yield f"is {'served and ' if serving else ''}not healthy: {slot['seen']}"
    if row["current"] and row["release"] != row["current"]:
        yield f"runs {row['release'] or 'no release of ours'}, and the next start would be {row['current']}"
    if completed and row["release"] != completed[-1]:
        yield f"runs {row['release'] or 'no release of ours'}; the last completed release is {completed[-1]}"
    if slot["pending"]:
        yield "has a changed program or start that waits for the next swap"


def _of_hosts(mine: Sequence[Wish], seen: Seen, lost: Mapping[str, str], pasts: Mapping[str, Past]) -> list[str]:
    """What is wrong beyond single members."""
    found = [*lost.values()]
    found += [f"{host}: {problem}" for host, answer in seen.items() for problem in answer["problems"]]
    found += [f"{host}: {answer['state']['balancer']['problem']}" for host, answer in seen.items() if (answer["state"]["balancer"] or {}).get("problem")]
    found += [f"{host}: {_sharing(answer['state']['balancer'])}" for host, answer in seen.items() if (answer["state"]["balancer"] or {}).get("step", -1) >= 0]
    for host, past in pasts.items():
        if past.under_way:
            found.append(f"{host}: the rollback to {past.under_way['release']} was not completed; hotswap.bluegreen.rollback goes on with it")
    tried = sorted({release for past in pasts.values() for release in past.tried})
    running = {slot["release"] for host in pasts for slot in seen[host]["state"]["slots"].values()}
    found += [f"release {release} was begun and not completed" for release in tried if release in running]
    return found


def _sharing(balancer: Mapping[str, Any]) -> str:
    """Where a canary stands that nobody has ended."""
    share = f"{balancer['weights'][balancer['step'] - 1]:g} % of the requests" if balancer["step"] else "no request but testers'"
    return f"{', '.join(balancer['entering'])} gets {share}; the release goes on with hotswap.bluegreen.release, and back with hotswap.bluegreen.rollback"


def table(found: Mapping[str, Any]) -> list[str]:
    """The picture as lines for a terminal."""
    lines = [f"{found['service']}: {_headline(found)}", ""]
    head = ("  MEMBER", "PORT", "STATE", "SERVED BY", "RELEASE", "SINCE", "HEALTH", "CONN", "PID", "PREVIOUS")
    lines += columns([head, *(_cells(row) for row in found["members"])])
    if found["workers"]:
        rows = [
            (row["id"], f"{row['host']}/{row['slot']}".rstrip("/"), row["scope"] or "not wished", row["state"], row["release"] or "-", str(row["pid"] or "-"))
            for row in found["workers"]
        ]
        lines += ["", *columns([("WORKER", "ON", "SCOPE", "STATE", "RELEASE", "PID"), *rows])]
    lines += ["", "not as it should be:", *(f"  {text}" for text in found["drift"])] if found["drift"] else ["", "everything is as it should be"]
    lines += ["", "worth a look:", *(f"  {text}" for text in found["hints"])] if found["hints"] else []
    lines += ["", f"lock: {found['lock'] or 'nobody holds it'}", "releases on disk, the oldest first:"]
    lines += [f"  {line}" for line in _releases(found["releases"])]
    lines += ["history:", *(f"  {line}" for line in _events(found["history"]))]
    return lines


def _headline(found: Mapping[str, Any]) -> str:
    serving = sum(row["serving"] and row["healthy"] for row in found["members"])
    last = f"release {found['completed'][-1]} was the last to be completed" if found["completed"] else "no release was completed on all of these hosts yet"
    return f"{last}; {serving} of {len(found['members'])} members serve in health"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{'! ' if row['drift'] else '  '}{row['member']}",
        str(row["port"]),
        row["state"],
        ", ".join(row["balancers"]) or "nobody",
        row["release"] or "-",
        clock(row["since"]) if row["since"] else "-",
        "ok" if row["healthy"] else "-" if not row["pid"] else "ILL",
        str(row["connections"]),
        str(row["pid"] or "-"),
        row["previous"] or "-",
    )


def _releases(by_host: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line for all hosts that have the same."""
    same: dict[str, list[str]] = {}
    for host, found in by_host.items():
        words = ", ".join(f"{name}{_mark(about)}" for name, about in found.items()) or "none"
        same.setdefault(words, []).append(host)
    return [f"{', '.join(hosts)}: {words}" for words, hosts in same.items()]


def _mark(about: Mapping[str, Any]) -> str:
    words = ["incomplete"] if about["lacking"] else []
    words += ["failed"] if "failed" in about["marks"].values() else []
    return f" ({', '.join(words)})" if words else ""


def _events(by_host: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The newest lines of all hosts; what a run wrote on several of them is one."""
    same: dict[tuple[Any, ...], tuple[Mapping[str, Any], list[str]]] = {}
    for host, lines in by_host.items():
        for line in lines:
            key = (line.get("event"), line.get("token"), line.get("release")) if line.get("event") else (host, line["time"], line.get("slot"))
            same.setdefault(key, (line, []))[1].append(host)
    newest = sorted(same.values(), key=lambda item: float(item[0]["time"]))[-_SHOWN:]
    return [_history.words(dict(line), "" if len(hosts) == len(by_host) else ", ".join(hosts)) for line, hosts in newest] or ["nothing yet"]
