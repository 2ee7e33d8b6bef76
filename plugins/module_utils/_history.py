# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host remembers of its releases, and where a rollback goes. Pure but for :func:`read` and :func:`begin`.

``<root>/history.jsonl`` has a line for each slot that a release ended in (``slot``, ``release``, ``result``), for each
single job (``job`` in the place of ``slot``) and for each run (``event``, ``release``, ``by``, ``token``, ``collection``). Rollback
without a version, retention and status read it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from . import _files, _release
from ._model import Refusal

Line = Dict[str, Any]

RELEASED, FAILED, ROLLING_BACK, ROLLED_BACK = "released", "failed", "rolling back", "rolled back"


def read(root: str) -> List[Line]:
    """The lines in the order in which they were written. One that was torn by a crash, or is not ours, is no line."""
    found = []
    for text in (_files.read(f"{root}/history.jsonl") or "").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("time"), (int, float)) and isinstance(line.get("release", ""), str):
            found.append(line)
    return found


def collection(root: str) -> str:
    """The version of hotswap.bluegreen that wrote a run's line last; '' if no line says it."""
    return next((str(line["collection"]) for line in reversed(read(root)) if line.get("collection")), "")


def completions(lines: Sequence[Line]) -> Dict[str, Line]:
    """The stack of releases that were completed here, newest last, each with the line that says so.

    One that is released again moves to the end. A rollback cuts off what came after the one it went to, so that a
    second one goes one further, not forth and back.
    """
    stack: Dict[str, Line] = {}
    for line in lines:
        event, release = line.get("event"), line.get("release")
        if event == ROLLED_BACK and release in stack:
            for later in list(stack)[list(stack).index(release) + 1 :]:
                del stack[later]
        elif event in (RELEASED, ROLLED_BACK) and release:
            stack.pop(release, None)
            stack[release] = line
    return stack


def completed(lines: Sequence[Line]) -> Tuple[str, ...]:
    """The releases of :func:`completions`."""
    return tuple(completions(lines))


def ever_completed(lines: Sequence[Line]) -> Tuple[str, ...]:
    """Every release that was completed here once, those that a rollback left behind included, the last completed last."""
    found: Dict[str, None] = {}
    for line in lines:
        if line.get("event") in (RELEASED, ROLLED_BACK) and line.get("release"):
            found.pop(line["release"], None)
            found[line["release"]] = None
    return tuple(found)


def tried(lines: Sequence[Line]) -> Tuple[str, ...]:
    """The releases that were begun after the last completed one, and not completed."""
    found: Dict[str, None] = {}
    newest = ""
    for line in lines:
        release = line.get("release") or ""
        if line.get("event") in (RELEASED, ROLLED_BACK):
            newest, found = release, {}
        elif release and (line.get("event") == FAILED or line.get("result") in ("good", "failed")):
            found[release] = None
    return tuple(release for release in found if release != newest)


def under_way(lines: Sequence[Line]) -> Optional[Line]:
    """The line of a rollback that was begun and not completed; None once something else was begun or completed after it."""
    found: Optional[Line] = None
    for line in lines:
        event, release = line.get("event"), line.get("release")
        if event == ROLLING_BACK:
            found = line
        elif found:
            tried_another = release != found["release"] and (event == FAILED or line.get("result") in ("good", "failed"))
            found = None if event in (RELEASED, ROLLED_BACK) or tried_another else found
    return found


@dataclass(frozen=True)
class Past:
    """A host's history as far as a rollback needs it, to be sent as JSON.

    ``stack`` are the newest of :func:`completions`, each with the run's token and time; the rest as the functions of
    these names give it.
    """

    stack: Tuple[Tuple[str, int, float], ...] = ()
    tried: Tuple[str, ...] = ()
    under_way: Optional[Line] = None
    ever_completed: Tuple[str, ...] = ()

    @property
    def last(self) -> str:
        return self.stack[-1][0] if self.stack else ""

    def moment(self, release: str) -> Optional[Tuple[int, float]]:
        """When it was completed, by the run's token: hosts' clocks differ, the tokens of a service only grow."""
        return next(((token, stamp) for name, token, stamp in self.stack if name == release), None)


def past(lines: Sequence[Line], deep: int = 50) -> Past:
    """What a host's lines say."""
    stack = [(release, int(line.get("token") or 0), float(line["time"])) for release, line in completions(lines).items()]
    return Past(tuple(stack[-deep:]), tried(lines), under_way(lines), ever_completed(lines)[-deep:])


def common(pasts: Mapping[str, Past]) -> Tuple[str, ...]:
    """The stack of what was completed on every one of these hosts, in the order in which it was there on all of them."""
    found = {}
    for release, _token, _time in next(iter(pasts.values()), Past()).stack:
        moments = [past.moment(release) for past in pasts.values()]
        if None not in moments:
            found[release] = min(moment for moment in moments if moment)
    return tuple(sorted(found, key=lambda release: found[release]))


@dataclass(frozen=True)
class Target:
    """Where a rollback goes: ``release``, or None. ``why`` is a part of a sentence, or the whole one that says why there is none."""

    release: Optional[str]
    why: str


def target(pasts: Mapping[str, Past], live: Mapping[str, Optional[str]]) -> Target:
    """Where a rollback of these hosts goes without a version; ``live`` is what each of their members runs, None if it is dead.

    A rollback that was cut off, or failed, goes on. Else, if something was begun after the last completed release, or
    a member runs another one: that last completed one. Else the one before it.
    """
    stack = common(pasts)
    if not stack:
        return Target(None, _nothing_in_common(pasts))
    begun = [past.under_way for past in pasts.values() if past.under_way]
    known = [line for line in begun if all(line["release"] in past.ever_completed for past in pasts.values())]
    if known:
        line = max(known, key=lambda line: (int(line.get("token") or 0), line["time"]))
        return Target(line["release"], f"the rollback to it, begun at {clock(line['time'])} by {line.get('by', 'somebody')}, was not completed")
    last = stack[-1]
    ahead = {host: past.last for host, past in pasts.items() if past.last != last}
    if ahead:
        return Target(last, f"{', '.join(ahead)} alone went on to {', '.join(sorted(set(ahead.values())))}")
    not_completed = [release for past in pasts.values() for release in past.tried]
    if not_completed:
        return Target(last, f"{not_completed[-1]} came after it and was not completed")
    other = next((member for member, release in live.items() if release not in (None, last)), "")
    if other:
        return Target(last, f"{other} runs {live[other]}")
    if len(stack) == 1:
        return Target(None, f"there is no release to go back to: {last} is the only one that was completed{_on(pasts)}.")
    return Target(stack[-2], f"it was the last completed one before {last}")


def _on(pasts: Mapping[str, Past]) -> str:
    return f" on {', '.join(pasts)}" if len(pasts) <= 3 else " on all of these hosts"


def _nothing_in_common(pasts: Mapping[str, Past]) -> str:
    bare = [host for host, past in pasts.items() if not past.stack]
    if bare:
        return f"there is no release to go back to: none was ever completed on {', '.join(bare)}."
    words = "; ".join(f"{host} has {', '.join(release for release, _token, _time in past.stack)}" for host, past in pasts.items())
    return f"there is no release to go back to that was completed on all of these hosts: {words}."


def clock(moment: float) -> str:
    """A time as a person reads it, in the zone of whoever reads."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def begin(root: str, expected: int, **event: Any) -> None:
    """Write down what begins. :class:`Refusal` if the history has not as many lines as ``expected``: somebody came between."""
    if len(read(root)) != expected:
        raise Refusal("another run has changed the service since the release to go back to was chosen. Look at hotswap.bluegreen.status, and run again.")
    _release.remember(root, **event)


def words(line: Line, where: str = "") -> str:
    """A line as a person reads it; ``where`` says on which hosts."""
    place = line.get("slot") or line.get("job")
    what = f"{place}: {line.get('result', '')}" if place else str(line.get("event", "?"))
    by = f", by {line['by']}" if line.get("by") else ""
    why = f": {str(line['why']).splitlines()[0]}" if line.get("why") else ""
    on = f"{where}  " if where else ""
    commit = f"(commit {str(line['commit'])[:10]})" if line.get("commit") else ""
    return f"{clock(line['time'])}  {on}{' '.join(filter(None, (what, line.get('release', ''), commit)))}{by}{why}"
