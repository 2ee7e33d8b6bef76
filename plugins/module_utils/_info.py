# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that a host can tell of its service in one look. Changes nothing, and what cannot be seen is a sentence, not a failure."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Dict, FrozenSet, List, Optional

from . import _history, _hold, _lock, _nginx, _observe_slot, _stale, _supervisor, _workers
from ._model import Refusal, Wish, dump
from ._parts import Member
from ._release import Place, SlotPlace, releases
from ._states import BalancerState, HostState, SlotState
from ._supervisor import Client

_LINES = 100  # of the history that travel, the newest
NOT_SEEN = "NOT SEEN"  # in the place of supervisor's word
_NONE = "(none)"  # no name of a release


def look(wish: Wish, keeps_lease: bool) -> Dict[str, Any]:
    """The host's ``state``, the ``releases`` on its disk, its ``history``, who holds the lock; ``problems`` are what could not be seen."""
    problems: List[str] = []
    client = _client(wish, problems)
    lines = _history.read(wish.root) if wish.members else []
    state = _state(wish, client, problems)
    return {
        "state": dump(state),
        "hints": {member.slot: _stale.hints(wish, member, state.slots[member.slot]) for member in wish.members},
        "workers": _workers.seen(wish, client) if client else [],
        "since": {member.slot: _since(lines, member.slot) for member in wish.members},
        "releases": on_disk(wish) if wish.members else {},
        "history": lines[-_LINES:],
        "lines": len(lines),
        "past": dump(_history.past(lines)),
        "lock": _holder(wish, problems) if keeps_lease else "",
        "problems": problems,
    }


def _client(wish: Wish, problems: List[str]) -> Optional[Client]:
    """supervisor, if it answers: without it there is still the balancer, and what is on disk."""
    try:
        return _supervisor.connect(wish.supervisor) if wish.members else None
    except Refusal as error:
        problems.append(str(error))
        return None


def _state(wish: Wish, client: Optional[Client], problems: List[str]) -> HostState:
    """As the swap sees it; what one part cannot tell does not hide the others."""
    balancer: Optional[BalancerState] = None
    nginx: FrozenSet[int] = frozenset()
    slots: Dict[str, SlotState] = {}
    try:
        balancer = _nginx.observe(wish) if wish.pool else None
        nginx = _nginx.processes(wish.nginx) if wish.pool else frozenset()
    except (Refusal, OSError, ValueError) as error:
        problems.append(str(error))
    serving = frozenset(balancer.serving) if balancer else frozenset()
    for member in wish.members:
        place = SlotPlace(wish.root, member.slot)
        slots[member.slot] = SlotState(NOT_SEEN, current=place.current, previous=place.previous, mark=place.mark(place.current))
        try:
            if client:
                slots[member.slot] = _slot(wish, member, client, serving, nginx)
        except (Refusal, OSError, ValueError) as error:
            problems.append(f"{member.id}: {error}")
    return HostState(wish.host, time.time(), slots, balancer)


def _slot(wish: Wish, member: Member, client: Client, serving: FrozenSet[str], nginx: FrozenSet[int]) -> SlotState:
    """The slot as it would be seen if the release that it uses were the wished one, by what that was found good by."""
    place = SlotPlace(wish.root, member.slot)
    used = place.current or _NONE
    seen = _observe_slot.slot_state(replace(wish, release=used, rollback=True, balancers=()), member, client, serving, nginx, time.sleep)
    return replace(seen, pending=seen.pending or place.pending(used))


def _since(lines: List[_history.Line], slot: str) -> float:
    """When the slot's release came to serve there, by its newest line; 0 if it has none."""
    return next((line["time"] for line in reversed(lines) if line.get("slot") == slot and line.get("result") in ("good", "put back")), 0.0)


def on_disk(wish: Wish) -> Dict[str, Dict[str, Any]]:
    """The releases by name, oldest first: when ``staged``, the ``marks`` by slot, and where it is ``lacking``; nowhere, if it is complete."""
    places: Dict[str, Place] = {"releases": releases(wish.root), **{m.slot: SlotPlace(wish.root, m.slot) for m in wish.members}}
    records = {name: place.records() for name, place in places.items()}
    found: Dict[str, Dict[str, Any]] = {}
    for release in {release for known in records.values() for release in known}:
        each = {name: known.get(release, {}) for name, known in records.items()}
        found[release] = {
            "staged": max((float(record.get("staged") or 0.0) for record in each.values()), default=0.0),
            "marks": {name: record["mark"] for name, record in each.items() if record.get("mark")},
            "lacking": [places[name].path for name, record in each.items() if not record],
        }
    return dict(sorted(found.items(), key=lambda item: (item[1]["staged"], item[0])))


def _holder(wish: Wish, problems: List[str]) -> str:
    try:
        lease = _lock.holder(_hold.lease_folder(wish))
    except Refusal as error:
        problems.append(str(error))
        return ""
    return _lock.describe(lease, time.time()) if lease else ""
