# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host tells and keeps of the swaps it has a part in: a line in syslog at each end, and how long each step took.

``.swaps.json``, beside the fence, has an entry for each member that this host had a part in the last swap of: ``began``,
the release ``previous`` to it, and the ``steps`` by name in seconds. The metrics read it. It may be lost: nothing else does.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from . import _fence, _files, _hold, _release, _syslog
from ._model import Event, Failure, Refusal, Step, Wish

ORDER = ("switch", "goodbye", "drain", "stop", "point", "start", "reload", "check", "enable", "shift")
Swaps = Dict[str, Dict[str, Any]]
Done = List[Tuple[Step, Event]]


def path(wish: Wish) -> str:
    return f"{_hold.fence_folder(wish)}/.swaps.json"


def read(wish: Wish) -> Swaps:
    """The entries by member; {} if there are none, or none that can be read."""
    try:
        found = json.loads(_files.read(path(wish)) or "{}")
    except (ValueError, Refusal):
        return {}
    return {member: entry for member, entry in found.items() if _is_entry(entry)} if isinstance(found, dict) else {}


def _is_entry(entry: Any) -> bool:
    """A file that somebody edited must not end a swap."""
    if not isinstance(entry, dict) or not isinstance(entry.get("steps"), dict) or not isinstance(entry.get("previous"), str):
        return False
    numbers = (entry.get("began"), entry.get("ended"), *entry["steps"].values())
    return entry["steps"].keys() <= set(ORDER) and all(type(number) in (int, float) for number in numbers)


def after(swaps: Mapping[str, Mapping[str, Any]], done: Iterable[Tuple[Step, Event]], previous: Mapping[str, str]) -> Swaps:
    """The entries after these steps; ``previous`` has each member's release before them. A step that does not come after all of an entry's begins a new one."""
    found: Swaps = {member: dict(entry) for member, entry in swaps.items()}
    for step, event in done:
        if step.name not in ORDER or event.outcome == "waiting" or (step.name == "shift" and step.weight != 100):
            continue
        for member in step.members:
            entry = found.get(member)
            if entry is None or any(ORDER.index(step.name) <= ORDER.index(name) for name in entry["steps"]):
                entry = found[member] = {"began": event.start, "previous": previous.get(member, ""), "steps": {}}
            entry["steps"] = {**entry["steps"], step.name: round(event.seconds, 4)}
            entry["ended"] = event.start + event.seconds
    return found


def note(wish: Wish, done: Done, failure: Optional[Failure], previous: Mapping[str, str]) -> None:
    """Tell and keep what these steps were. A full disk, or a syslog that is not there, does not end a swap."""
    known = {member.id for member in (*wish.pool, *wish.members)}
    before = read(wish)
    went = [(step, event) for step, event in done if event.outcome != "failed"]  # what was refused at once leaves the last swap as it is told
    swaps = {member: entry for member, entry in after(before, went, previous).items() if member in known}
    if swaps != before:
        _keep(path(wish), swaps)
    for text, severity in lines(wish, done, failure, after(before, done, previous), _by(wish)):
        _syslog.send(text, severity)


def lines(wish: Wish, done: Done, failure: Optional[Failure], swaps: Swaps, by: str) -> List[Tuple[str, int]]:
    """The lines for swaps that ended in these steps, with their severity: where a member was settled, and where its step failed."""
    found = []
    for step, event in done:
        failed = event.outcome == "failed"
        for member in step.members:
            in_place = "reload" in swaps.get(member, {}).get("steps", {})
            if not failed and step.name != ("check" if wish.others or in_place else "shift" if wish.flips else "enable"):
                continue
            if not failed and (event.outcome != "ok" or not member.startswith(f"{wish.host}/")):
                continue
            if failed and failure and failure.member not in ("", member):
                continue
            entry = swaps.get(member, {"began": event.start, "previous": ""})
            text = _syslog.line(
                "swap",
                service=wish.service,
                member=member,
                release=step.release or wish.release,
                previous=entry["previous"],
                result="failed" if failed else "put back" if step.restore else "ok",
                step=step.name if failed else "",
                seconds=max(0.0, event.start + event.seconds - entry["began"]),
                by=by,
                why=event.detail if failed else "",
            )
            found.append((text, _syslog.WARNING if failed or step.restore else _syslog.INFO))
    return found


def now_in(wish: Wish) -> Dict[str, str]:
    """The release that each slot of this host uses."""
    return {member.id: _release.SlotPlace(wish.root, member.slot).current or "" for member in wish.members}


def _by(wish: Wish) -> str:
    """Who runs this, as the fence knows it."""
    try:
        return _fence.highest(_hold.fence_folder(wish))[1]
    except Refusal:
        return ""


def _keep(path: str, swaps: Swaps) -> None:
    """Put it in place in one rename, and leave it to the kernel when it is written: a swap does not wait for it."""
    with contextlib.suppress(OSError):
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(swaps, file, sort_keys=True)
        os.replace(f"{path}.new", path)
