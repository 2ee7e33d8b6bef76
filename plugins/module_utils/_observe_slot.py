# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at one slot: what runs there, since when, in which release, whether it answers. Changes nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Callable, Dict, FrozenSet, Optional

from . import _adopt, _files, _health, _nginx, _processes, _program, _sockets, _workers
from ._model import Wish
from ._parts import Health, Member
from ._release import SlotPlace
from ._states import SlotState

if TYPE_CHECKING:
    from ._supervisor import Client


def program_path(wish: Wish, slot: str) -> str:
    """The slot's file among those that supervisor includes."""
    return f"{wish.supervisor.program_dir}/{_program.program_name(wish.service, slot)}.conf"


def program_pending(wish: Wish, slot: str) -> bool:
    """Whether the slot's program file is not as wished."""
    return _files.read(program_path(wish, slot)) != _program.program_file(wish, slot)


def slot_state(wish: Wish, member: Member, client: Client, serving: FrozenSet[str], nginx: FrozenSet[int], sleep: Callable[[float], None]) -> SlotState:
    """One slot, from supervisor, /proc, its directory and its health path."""
    place = SlotPlace(wish.root, member.slot)
    name, process = _adopt.running(wish, client, member.slot)
    others, foreign = _adopt.known(wish, client, member.slot), name == wish.adopt.get(member.slot)
    tree = _processes.tree(process.pid)
    listeners = [_sockets.listener(port, member.address, tree) for port in member.ports.values()]
    owners = {found.owner for found in listeners}
    owner = "foreign" if "foreign" in owners else "none" if "none" in owners else "own"
    connections = _sockets.outgoing([(member.address, port) for port in member.ports.values()], nginx)
    release = others if foreign else _processes.running_release(process.pid, place.path) if process.pid else None
    healthy, seen = False, process.problem or f"supervisor says {process.state}"
    if process.pid and owner == "own":
        tries = _health.TRIES if member.id in serving or wish.others else 1
        healthy, seen = _health.ask(member, expectation(wish, member.slot, release), tries, sleep)
    stale = program_pending(wish, member.slot)
    seen_slot = SlotState(
        state=process.state,
        pid=process.pid,
        uptime=process.uptime,
        release=release,
        current=place.current or others,
        previous=place.previous or (others if place.current else None),
        mark=place.mark(place.current),
        staged=bool(wish.release and place.record(wish.release)),
        pending=(place.pending(wish.release) and not wish.rollback) or stale or _workers.pending(wish, client, member.slot),
        listener=owner,
        holders=tuple(_processes.describe(pid) for found in listeners for pid in found.others),
        connections=connections,
        others=max(0, _sockets.incoming(member.ports.values()) - connections),
        healthy=healthy,
        seen=seen,
        expected=_unlike(wish, _adopt.expected(wish.health) if foreign else place.record(release or place.current).get("expected", {})),
    )
    if wish.strategy != "reload" or not seen_slot.healthy or foreign or not wish.release or (release == wish.release and not seen_slot.pending):
        return seen_slot
    from . import _reload  # few services are reloaded

    return replace(seen_slot, unreloadable=_reload.why_not(wish, member, process.pid, seen_slot, stale))


def _unlike(wish: Wish, expected: Dict[str, Any]) -> Dict[str, Any]:
    """The answer of a record, {} if it is what the wish expects as well."""
    return expected if expected and _health.of_record(wish.health, expected) != wish.health else {}


def answers(wish: Wish, member: Member, client: Client, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Whether a member of this host does its work now: its own process listens, and one of a few checks in a row is answered rightly."""
    return slot_state(wish, member, client, frozenset([member.id]), _nginx.processes(wish.nginx), sleep).healthy


def expectation(wish: Wish, slot: str, release: Optional[str]) -> Health:
    """What a member with ``release`` must answer: for another release than the wished one, what it was found good by.

    A body or header that names the release is right for that release only: without this every old member would look
    ill during a swap, and none could be put back. In a rollback it holds for the wished one, too.
    """
    if not release or (release == wish.release and not wish.rollback):
        return wish.health
    if _adopt.program_of(release):
        return _health.of_record(wish.health, _adopt.expected(wish.health))
    return _health.of_record(wish.health, SlotPlace(wish.root, slot).record(release).get("expected", {}))
