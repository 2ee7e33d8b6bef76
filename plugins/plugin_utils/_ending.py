# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table at the end of a walk: every member, what it ran and runs, whether it serves, how long it was out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState

from ._plain import columns, span
from ._result import Result, by_host, marks

_HEAD = ("HOST", "SLOT", "RELEASE", "STATE", "OUT", "RESULT")


def table(result: Result, wishes: Sequence[Wish]) -> list[str]:
    """A line for each member that was seen, under a headline; one line in all where there was nothing to do."""
    known = by_host(wishes)
    ids = [f"{host}/{slot}" for host, state in result.states.items() if host in known for slot in state.slots]
    if result.ok and not result.changed:
        return [f"{wishes[0].service}: nothing to do, {_count(ids)} as wished"]
    out = _seconds_out(result.events)
    serving = {host: frozenset(state.balancer.serving) for host, state in result.states.items() if state.balancer}
    noted = frozenset(marks(result.states))
    rows = [_row(member, result, known, serving, noted, out.get(member)) for member in ids]
    counted = {word: sum(row[-1] == word for row in rows) for word in dict.fromkeys(row[-1] for row in rows)}
    headline = f"{wishes[0].service}: {_count(ids)}: {', '.join(f'{number} {word}' for word, number in counted.items())}"
    return ["", headline, *(f"  {line}" for line in columns([_HEAD, *rows]))]


def _count(ids: Sequence[str]) -> str:
    return f"{len(ids)} member{'s' if len(ids) != 1 else ''}"


def _seconds_out(events: Iterable[Event]) -> dict[str, tuple[float, float]]:
    """From when the first balancer had sent a member away until the last one had it back (0: none has), by the controller's clock."""
    found: dict[str, tuple[float, float]] = {}
    for event in events:
        if event.outcome != "ok" or event.step not in ("switch", "enable"):
            continue
        at = event.start + event.seconds
        for member in event.member.split(", "):
            left, back = found.get(member, (0.0, 0.0))
            if event.step == "switch":
                found[member] = (min(left or at, at), 0.0)
            elif left:
                found[member] = (left, max(back, at))
    return found


def _row(
    member: str,
    result: Result,
    wishes: Mapping[str, Wish],
    serving: Mapping[str, frozenset[str]],
    noted: frozenset[str],
    out: tuple[float, float] | None,
) -> tuple[str, ...]:
    host, _slash, slot = member.partition("/")
    seen = result.states[host].slots[slot]
    before = result.began[host].slots.get(slot) if host in result.began else None
    had, has = (before.release if before else None) or "none", seen.release or "none"
    release = has if had == has else f"{had} → {has}"
    asked = [name for name in wishes[host].balancers if name in serving]
    here = [name for name in asked if member in serving[name]]
    where = "out" if not here else "serving" if len(here) == len(asked) else f"serving on {', '.join(here)} only"
    well = "" if seen.healthy else f", {'not healthy' if seen.running else seen.state}"
    state = f"lost (was {where})" if host in result.lost else f"{where}{well}"
    lasted = "-" if out is None or wishes[host].flips else span(out[1] - out[0]) if out[1] else "still"
    return (host, slot, release, state, lasted, _outcome(member, result, wishes[host], noted))


def _is_served(member: str, states: Mapping[str, HostState]) -> bool:
    return any(member in found.balancer.serving for found in states.values() if found.balancer)


def _outcome(member: str, result: Result, wish: Wish, noted: frozenset[str]) -> str:
    """What the run did with a member, in a word or two."""
    host, _slash, slot = member.partition("/")
    seen, before = result.states[host].slots[slot], result.began[host].slots.get(slot) if host in result.began else None
    if any(failure.member == member for failure in result.failures):
        return "failed and put back" if member in result.returned else "failed"
    if member in result.returned:
        return "put back"
    if member in noted:
        return "left alone"
    if wish.flips and not _is_served(member, result.states):
        return "replaced" if _is_served(member, result.began) else "idle"
    if seen.release != wish.release:
        return "not reached"
    if wish.flips and not _is_served(member, result.began):
        return "swapped"
    return "as it was" if before and before.pid == seen.pid and before.release == seen.release else "swapped"
