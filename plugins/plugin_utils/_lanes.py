# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each member was doing at every moment of a run, from how it was seen before and from the steps that were told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SERVING = frozenset({"serving", "put back"})
STATES = ("serving", "draining", "stopped", "booting", "checked", "failed", "put back", "out", "maintenance", "unknown")

_BEGINS = {"drain": "draining", "stop": "stopped", "point": "stopped", "start": "booting", "check": "booting", "after_start": "checked"}
_IN_PLACE = frozenset({"point", "check"})
_ENDS = {"check": "checked", "after_start": "checked"}


@dataclass(frozen=True)
class Span:
    """A member in one state, from one moment to another (epoch seconds), with the release that it runs, '' where that is none or unknown."""

    state: str
    start: float
    end: float
    release: str = ""


@dataclass
class Lane:
    """A member's way through the run; it always covers the whole of it, without a gap."""

    at: float
    state: str = "unknown"
    release: str = ""
    former: str = ""
    starts: int = 0
    back: bool = False  # it failed, or is on its way back to the release that it had
    touched: bool = False
    spans: list[Span] = field(default_factory=list)

    def turn(self, at: float, state: str, release: str | None = None) -> None:
        """From this moment on it is in another state, or on another release."""
        release = self.release if release is None else release
        if (state, release) != (self.state, self.release):
            self.close(at)
            self.state, self.release = state, release

    def close(self, at: float) -> None:
        """What it was doing ends here."""
        if at > self.at:
            self.spans.append(Span(self.state, self.at, at, self.release))
            self.at = at


@dataclass(frozen=True)
class _Moment:
    """A step of a member that begins or, with an outcome, ends."""

    at: float
    member: str
    step: str
    outcome: str = ""


def lanes(
    members: Iterable[str],
    release: str,
    began: float,
    ended: float,
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    returned: Mapping[str, float],
    watched: Mapping[str, float],
) -> dict[str, Lane]:
    """The lane of each member in a run of ``release``.

    ``before`` and ``after`` say how members were seen. ``returned`` and ``watched`` have the moments at which members
    were back on their release, and at which they crossed a limit while they served.
    """
    found = {name: _first(before.get(name), began) for name in members}
    moments = [_Moment(at, name, "returned") for name, at in returned.items()] + [_Moment(at, name, "watch") for name, at in watched.items()]
    for event in events:
        for name in event["members"]:
            moments.append(_Moment(event["start"], name, event["step"]))
            if event["outcome"] != "waiting":
                moments.append(_Moment(event["start"] + event["seconds"], name, event["step"], event["outcome"]))
    for moment in sorted(moments, key=lambda moment: moment.at):
        if moment.member in found:
            _follow(found[moment.member], moment, min(max(moment.at, began), ended), release)
    for name, lane in found.items():
        if name in after:
            _last(lane, after[name], ended)
        lane.close(ended)
    return found


def _first(seen: Mapping[str, Any] | None, began: float) -> Lane:
    if seen is None:
        return Lane(began)
    return Lane(began, _as_seen(seen), seen["release"], seen["release"])


def _as_seen(seen: Mapping[str, Any]) -> str:
    if seen["serving"] and seen["pid"]:  # a balancer also names who has no process yet
        return "serving"
    if seen["maintenance"]:
        return "maintenance"
    return "out" if seen["pid"] else "stopped"


def _follow(lane: Lane, moment: _Moment, at: float, wished: str) -> None:
    """What a step that begins or ends makes of the member."""
    step, outcome = moment.step, moment.outcome
    if step in ("returned", "watch"):
        lane.back = True
        if step == "returned" and lane.state == "serving":
            lane.turn(at, "put back", lane.former)
        return
    lane.touched = True
    if not outcome:
        if step == "start":
            lane.turn(at, "booting", lane.former if lane.back or lane.starts else wished)
        elif lane.state == "serving" and step in _IN_PLACE:
            pass  # it serves on
        elif step in _BEGINS and not (step == "drain" and lane.state != "serving"):
            lane.turn(at, _BEGINS[step], "" if _BEGINS[step] == "stopped" else None)
    elif outcome == "failed":
        lane.back = True
        if lane.state not in SERVING:  # else it serves on: it was not taken out, or a command after it failed
            lane.turn(at, "failed")
    elif step == "switch":
        if outcome != "unchanged" and lane.state in (*SERVING, "unknown"):
            lane.turn(at, "draining")
    elif step in ("enable", "shift"):
        lane.turn(at, "put back" if lane.back else "serving")
    elif step == "start":
        lane.starts += 1
    elif step in ("reload", "replace"):  # it serves on, or an engine's next replica did before it went
        lane.turn(at, lane.state, wished if outcome == "ok" else None)
    elif step in _ENDS and lane.state != "serving":
        lane.turn(at, _ENDS[step])


def _last(lane: Lane, seen: Mapping[str, Any], ended: float) -> None:
    """How it was seen at the end puts right what the steps did not tell."""
    state = _as_seen(seen)
    if (state == "serving") != (lane.state in SERVING):
        if lane.state != "failed" or state == "serving":
            lane.turn(ended, state, seen["release"])
    elif seen["release"] and lane.state in SERVING:
        lane.release = seen["release"]


def result(lane: Lane, complete: bool) -> str:
    """What became of the member, in a word or two; ``complete`` says that the run came to its end."""
    if lane.state == "maintenance":
        return "left alone"
    if not lane.touched:
        return "not touched"
    if lane.state == "put back":
        return "put back"
    if lane.state == "serving":
        return "released"
    return "failed" if lane.state == "failed" else "out" if complete else "in work"


def out(lane: Lane) -> float:
    """The seconds in which a member that served did not."""
    first = next((number for number, span in enumerate(lane.spans) if span.state in SERVING), len(lane.spans))
    return round(sum(span.end - span.start for span in lane.spans[first:] if span.state not in SERVING), 3)


def spans(lane: Lane) -> list[dict[str, Any]]:
    return [asdict(span) for span in lane.spans]
