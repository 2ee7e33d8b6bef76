# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of a run, and how that is told to the person on call. Pure functions of the result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _maintenance
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState


@dataclass(frozen=True)
class Turn:
    """The walk comes to its next batch: these members, the ``number``-th batch of (as far as it was foreseen) ``of``, and its ``steps``."""

    members: tuple[str, ...]
    number: int
    of: int
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Looked:
    """How all hosts were seen, ``when``: before the walk, or after it."""

    when: str
    states: Mapping[str, HostState]


@dataclass(frozen=True)
class Returned:
    """A member is back on the release that it had."""

    member: str


@dataclass
class Result:
    """What became of the run. ``states`` is the last that was seen of each host, ``lost`` says which do not answer, and why."""

    changed: bool = False
    events: list[Event] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    blocked: str = ""
    blocked_on: str = ""
    lost: dict[str, str] = field(default_factory=dict)
    states: dict[str, HostState] = field(default_factory=dict)
    began: dict[str, HostState] = field(default_factory=dict)
    swapped: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    planned: list[Step] = field(default_factory=list)
    batches: list[tuple[str, ...]] = field(default_factory=list)
    calls: int = 0
    walks: dict[str, float] = field(default_factory=dict)  # seconds by host, as the controller waited for it

    @property
    def reloads(self) -> int:
        return sum(event.step == "declare" and event.outcome == "ok" for event in self.events)

    @property
    def ok(self) -> bool:
        return not self.failures and not self.blocked and not self.lost


def by_host(wishes: Sequence[Wish]) -> dict[str, Wish]:
    return {wish.host: wish for wish in wishes}


def members(states: Mapping[str, HostState]) -> dict[str, dict[str, Any]]:
    """What is known of every member, by its id, as results and reports have it."""
    serving = {host: frozenset(state.balancer.serving) for host, state in states.items() if state.balancer}
    found = {}
    for host, state in states.items():
        for slot, seen in state.slots.items():
            where = sorted(name for name, ids in serving.items() if f"{host}/{slot}" in ids)
            known = {"release": seen.release, "state": seen.state, "pid": seen.pid, "healthy": seen.healthy}
            found[f"{host}/{slot}"] = {**known, "serving": bool(where), "balancers": where}
    return found


def served_before(result: Result, release: str) -> str:
    """The release that clients had when the run began, '' where they had none other than ``release``."""
    began = result.began
    serving = {member for state in began.values() if state.balancer for member in state.balancer.serving}
    had = (slot.release for host, state in began.items() for name, slot in state.slots.items() if f"{host}/{name}" in serving)
    return next((other for other in had if other and other != release), "")


Marks = Mapping[str, Mapping[str, Any]]  # by member: who works on it, why, and since when
Serving = Mapping[str, frozenset[str]]  # the members that each balancer serves


def _serving(states: Mapping[str, HostState]) -> Serving:
    return {host: frozenset(state.balancer.serving) for host, state in states.items() if state.balancer}


def describe(states: Mapping[str, HostState], member: str, wishes: Mapping[str, Wish]) -> str:
    """One member now, in words."""
    return _describe(states, member, wishes, _serving(states), marks(states))


def _describe(states: Mapping[str, HostState], member: str, wishes: Mapping[str, Wish], serving: Serving, noted: Marks) -> str:
    host, _slash, slot = member.partition("/")
    seen = states[host].slots[slot]
    known = [name for name in wishes[host].balancers if name in serving]
    here = [name for name in known if member in serving[name]]
    where = "out of the balancer" if not here else "serving" if len(here) == len(known) else f"serving on {', '.join(here)} only"
    parts = [
        *([f"{_maintenance.words(noted[member])}: left alone"] if member in noted else []),
        f"release {seen.release}" if seen.release else "no release running",
        f"supervisor says {seen.state}",
        "healthy" if seen.healthy else f"not healthy ({seen.seen})",
        where,
    ]
    return ", ".join(parts)


def marks(states: Mapping[str, HostState]) -> Marks:
    """Who works on which member, as the balancers know it: the mark on any one of them counts."""
    return {member: note for state in states.values() if state.balancer for member, note in state.balancer.maintenance.items()}


def left_alone(states: Mapping[str, HostState], member: str) -> str:
    """Why the run is not about a member, and what it keeps."""
    host, _slash, slot = member.partition("/")
    seen = states[host].slots.get(slot) if host in states else None
    where = f" on release {seen.release}" if seen and seen.release else ", without a process" if seen else ""
    return f"{_maintenance.words(marks(states)[member])}: left alone{where}"


def table(states: Mapping[str, HostState], wishes: Mapping[str, Wish], lost: Mapping[str, str] | None = None) -> list[str]:
    """Every member now, a line each."""
    serving, noted = _serving(states), marks(states)
    lines = []
    for host, state in states.items():
        stamp = f" (last seen {time.strftime('%H:%M:%S', time.localtime(state.time))}, the host is lost)" if lost and host in lost else ""
        lines += [f"{host}/{slot}: {_describe(states, f'{host}/{slot}', wishes, serving, noted)}{stamp}" for slot in state.slots]
    return lines


def failure_text(failure: Failure) -> str:
    """A failure for the person on call: what, where, expected, seen, the program's last words."""
    who = failure.member or failure.host or "the run"
    where = f" on {failure.host}" if failure.host and not who.startswith(failure.host) else ""
    lines = [f"{who} failed at {failure.step}{where}: expected: {failure.expected}; seen: {failure.seen}"]
    if failure.log:
        lines += ["its last log lines:", *(f"  {line}" for line in failure.log)]
    return "\n".join(lines)


def booked(result: Result) -> dict[str, str]:
    """Whose fault it was: the text of what failed, by the host that it is booked on."""
    found: dict[str, list[str]] = {}
    for failure in result.failures:
        found.setdefault(failure.member.partition("/")[0] or failure.host, []).append(failure_text(failure))
    for host, why in result.lost.items():
        found.setdefault(host, []).append(why)
    if result.blocked:
        found.setdefault(result.blocked_on, []).append(result.blocked)
    return {host: "\n".join(texts) for host, texts in found.items()}


def message(result: Result, wishes: Sequence[Wish], what: str = "") -> str:
    """The whole message of a run that did not reach its end (``what``, by default that of a release), with what to do next."""
    known = by_host(wishes)
    first = wishes[0]
    kind = f"The rollback of {first.service} to release {first.release}" if first.rollback else f"Release {first.release} of {first.service}"
    lines = [what or f"{kind} was not completed."]
    lines += [failure_text(failure) for failure in result.failures]
    lines += [_lost_text(host, why, result, known) for host, why in result.lost.items()]
    if result.blocked:
        lines.append(result.blocked)
    if result.failures:
        lines.append(_aftermath(result, known))
    lines += ["members now:", *(f"  {line}" for line in table(result.states, known, result.lost))] if result.states else []
    lines.append(_advice(result))
    return "\n".join(lines)


def _lost_text(host: str, why: str, result: Result, wishes: Mapping[str, Wish]) -> str:
    if not result.changed:
        return f"{why}\nNothing was changed."
    if wishes[host].members:
        return f"{why}\nThe spread ended there, and no other member was begun. Its members were last seen as listed below."
    serving = result.states[host].balancer
    names = ", ".join(serving.serving) if serving else "not known"
    return f"{why}\nNo member that it may still serve was stopped. When it was last seen, it served: {names}."


def _advice(result: Result) -> str:
    again = "run the same command again: it goes on where this run ended."
    if not result.lost:
        return f"Mend the cause, then {again}"
    names, verb = " and ".join(result.lost), "answers" if len(result.lost) == 1 else "answer"
    return f"When {names} {verb} again, {again} A balancer that is gone for good is named in bluegreen_balancers_absent."


def _replaced(result: Result) -> list[str]:
    """The members with another process than when the run began."""
    return [
        f"{host}/{slot}"
        for host, state in result.states.items()
        for slot, seen in state.slots.items()
        if host in result.began and seen.pid != result.began[host].slots[slot].pid
    ]


def _shares(state: HostState) -> bool:
    """Whether two releases share this balancer's requests."""
    return state.balancer is not None and state.balancer.step >= 0


def _running(states: Mapping[str, HostState], member: str) -> str | None:
    host, _slash, slot = member.partition("/")
    return states[host].slots[slot].release if host in states else None


def _flip_aftermath(result: Result, wishes: Mapping[str, Wish]) -> str:
    """Who gets the requests, where one slot of each host should have taken over."""
    before, now = _serving(result.began), _serving(result.states)
    moved = [name for name, members in now.items() if members != before.get(name) or _shares(result.states[name])]
    everybody = sorted(set().union(*now.values()))
    release = next(iter(wishes.values())).release
    if moved and not any(map(_shares, result.states.values())) and {_running(result.states, member) for member in everybody} == {release}:
        return f"All requests go to {', '.join(everybody)} on release {release}; what they replaced could not be ended."
    if moved:
        return f"{', '.join(moved)} could not be switched back: see who serves, and run hotswap.bluegreen.rollback."
    gone = (
        f"{', '.join(result.returned)} {'does' if len(result.returned) == 1 else 'do'} not run the release any more."
        if result.returned
        else "nothing else was touched."
    )
    return f"All requests go to {', '.join(everybody) or 'nobody'}, as before this run; {gone}"


def _aftermath(result: Result, wishes: Mapping[str, Wish]) -> str:
    """What became of the failed member, and of the others."""
    if any(wish.flips for wish in wishes.values()):
        return _flip_aftermath(result, wishes)
    member = result.failures[0].member
    host, _slash, slot = member.partition("/")
    if not slot or host not in result.states:
        return "No member was at fault."
    others = [name for name in result.returned if name != member]
    touched = [name for name in _replaced(result) if name != member]
    rest = f"{', '.join(others)} went back, too." if others else "the others stay as they are." if touched else "the others were not touched."
    seen = result.states[host].slots[slot]
    serving = any(member in found for found in _serving(result.states).values())
    if serving and seen.release:
        text = f"{member} is back on release {seen.release} and serves; {rest}"
    elif sum(failure.member == member for failure in result.failures) > 1:
        text = f"{member} could not be put back either and stays out of the balancer; {rest}"
    else:
        text = f"{member} has no release to go back to and stays out of the balancer; {rest}"
    second = [failure.member for failure in result.failures[1:] if failure.member and failure.member != member and failure.member not in result.returned]
    if second:
        text += f" The way back ended at {second[0]}, which could not be put back: nothing more was tried."
    return text
