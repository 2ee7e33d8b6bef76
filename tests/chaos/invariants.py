"""What must be so when a run has ended, whatever happened to it: members, balancers, lock, strays. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .draw import Case

Seen = Mapping[str, Mapping[str, Any]]  # by host: what on_host.py says of it


def complaints(case: Case, seen: Seen, release: str | Mapping[str, str]) -> list[str]:
    """Where the fleet is not whole: every member healthy and in use, nobody else there, no lock.

    ``release`` is the one of all; or by member, and who is not named may have any, as long as it is the current one.
    """
    found: list[str] = []
    for member in case.members:
        host, slot = member.split("/")
        about = seen[host]["slots"][slot]
        wished = release if isinstance(release, str) else release.get(member, about.get("release"))
        expected = {"release": wished, "current": wished, "state": "RUNNING", "health": 200, "listeners": [about["supervised"]], "pid": about["supervised"]}
        for name, value in expected.items():
            if about.get(name) != value:
                found.append(f"{member}: {name} is {about.get(name)!r}, not {value!r}")
    for host in case.entries:
        pool = case.pool(host)
        if seen[host]["serving"] != pool:
            found.append(f"{host}: serves {seen[host]['serving']}, not {pool}")
    for host, about in seen.items():
        if about["strays"]:
            found.append(f"{host}: processes of the application that supervisor does not know: {about['strays']}")
        lease = about["lease"]
        if lease and lease["until"] > about["now"]:
            found.append(f"{host}: the lock is still held: {lease}")
    return found


def undercut(case: Case, host: str, changes: Iterable[tuple[float, Sequence[str]]]) -> list[str]:
    """When a balancer had fewer members in use than it must; ``changes`` are what it served, as it changed."""
    floor = case.floor(host)
    return [f"{host}: served only {', '.join(members) or 'nobody'}, its floor is {floor}" for _time, members in changes if len(members) < floor]
