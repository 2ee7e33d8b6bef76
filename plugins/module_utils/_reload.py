# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a running process may take another release in place, and what it shows. Changes nothing but its own notes.

``<root>/<slot>/.reloaded``   which release the slot's process was proven to have taken; see ``_processes.reloaded_note``
``<root>/<slot>/.vain``       which release it was asked to take in vain, and why: it is not asked for that one again
"""

from __future__ import annotations

import http.client
import json
import re
import shlex
import signal
from typing import Dict, Iterator, Optional, Tuple

from . import _files, _health, _processes, _program, _sockets
from ._model import Refusal, Wish
from ._parts import Member
from ._probe._answer import release as named
from ._release import SlotPlace
from ._states import SlotState

Identities = Tuple[Tuple[int, int], ...]  # pid and start of each

_RELEASE_LINE = re.compile(r"^export BLUEGREEN_RELEASE=.*\n", re.MULTILINE)


def why_not(wish: Wish, member: Member, pid: int, slot: SlotState, stale: bool) -> str:
    """Why the slot's healthy process cannot take the wished release by a signal, '' if it may. ``stale``: its program file is not as wished."""
    place = SlotPlace(wish.root, member.slot)
    started = _processes.started_release(pid, place.path)
    if not wish.reload.signal:
        return f"bluegreen_runtime {wish.runtime} has no signal for it, and bluegreen_reload_signal is not set"
    if wish.jobs_in(member.slot):
        return "bluegreen_workers of scope slot restart with it"
    if stale:
        return "its program file has changed, which a start alone takes"
    if not started:
        return "it cannot be seen which release it was started with"
    changed = _changed(wish, place, started) or _remembered(wish)
    if changed:
        return changed
    if not catches(pid, wish.reload.signal):
        return f"its process (pid {pid}) does not catch {wish.reload.signal}"
    seen = shown(wish, member)
    if seen not in (slot.release, slot.current):
        what = f"release {seen}" if seen else "no release"
        return f"its answers to {wish.reload.path} show {what} in bluegreen_release_shown ({place_of(wish)}), and it runs {slot.release}"
    return ""


def _changed(wish: Wish, place: SlotPlace, started: str) -> str:
    """What of the wished release only a start takes, '' for nothing. What is not staged yet (in check mode) is taken to be alike."""
    text = _files.read(place.start_path(started))
    waiting = None if wish.rollback else _files.read(place.start_path(wish.release, ".next-"))
    wanted = waiting or _files.read(place.start_path(wish.release))
    if wanted is None:
        return ""
    if text is None:
        return "the start that it had is not there any more"
    what = difference(text, wanted)
    if what:
        return f"{what} changed, which a start alone takes"
    files = [name for name in _own_files(wanted) if _content(f"{place.release(started)}/{name}") != _content(f"{place.release(wish.release)}/{name}")]
    return f"{files[0]} changed, which a start alone reads" if files else ""


def difference(before: str, after: str) -> str:
    """What of a start is another, '' if nothing but the release is. Names alone: the values may be secrets."""
    if _RELEASE_LINE.sub("", before) == _RELEASE_LINE.sub("", after):
        return ""
    old, new = _program.exports(before), _program.exports(after)
    names = sorted(name for name in {**old, **new} if name != "BLUEGREEN_RELEASE" and old.get(name) != new.get(name))
    return f"bluegreen_environment ({', '.join(names)})" if names else "bluegreen_command"


def _own_files(start: str) -> Iterator[str]:
    """The words of a start's command that may name a file of the release: its main program, its settings."""
    for word in shlex.split(start.rpartition("\nexec ")[2]):
        name = word.rpartition("=")[2]
        if name and not name.startswith(("/", "-")) and ".." not in name.split("/"):
            yield name


def _content(path: str) -> Optional[bytes]:
    """The file, None where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def catches(pid: int, name: str) -> bool:
    """Whether the process has a handler for the signal. Without one most signals end it."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
            mask = next((line.split()[1] for line in status if line.startswith("SigCgt:")), "0")
    except OSError:
        return False
    return bool(int(mask, 16) >> (signal.Signals[f"SIG{name}"] - 1) & 1)


def workers(pid: int, member: Member) -> Identities:
    """The processes that do the work below ``pid``: those that hold its port, and have no child that does.

    The ones between, such as Swoole's manager, stay through a reload, and so do helpers without the port. A server of
    one process has none.
    """
    holding = _sockets.holding(_processes.tree(pid) - {pid}, member.port, member.address)
    return _processes.identities(frozenset(one for one in holding if holding.isdisjoint(_processes.children(one))))


def shown(wish: Wish, member: Member) -> Optional[str]:
    """The release that an answer names, on a connection of its own; '' if it names none, None if there is no answer."""
    health = wish.health
    try:
        connection = http.client.HTTPConnection(member.address, _health.port(member, health), timeout=health.timeout)
        _status, headers, body = _health.fetch(connection, wish.reload.path, health.request_headers, health.timeout)
    except (OSError, http.client.HTTPException):
        return None
    return named(wish.reload.shown, headers, body.encode())


def place_of(wish: Wish) -> str:
    """Where answers show their release, in words."""
    return ", ".join(f"{kind}: {name}" for kind, name in wish.reload.shown.items())


# What is remembered.


def note_taken(wish: Wish, slot: str, pid: int, release: str, since: int) -> None:
    """It is proven: this very process runs the release, and was told to ``since`` then (ticks since boot)."""
    about = {"pid": pid, "start": _processes.start_time(pid), "release": release, "since": since}
    _files.write(_processes.reloaded_note(f"{wish.root}/{slot}"), json.dumps(about) + "\n", 0o644)


def note_vain(wish: Wish, slot: str, release: str, why: str) -> None:
    _files.write(_vain_note(wish, slot), json.dumps({"release": release, "why": why}) + "\n", 0o644)


def _remembered(wish: Wish) -> str:
    """What became of an earlier attempt with this release, in any slot of this host: the same code meets the same end."""
    for member in wish.members:
        try:
            found: Dict[str, str] = json.loads(_files.read(_vain_note(wish, member.slot)) or "{}")
        except (ValueError, Refusal):
            continue
        if isinstance(found, dict) and found.get("release") == wish.release:
            return f"it was tried in {member.slot}: {found.get('why')}"
    return ""


def _vain_note(wish: Wish, slot: str) -> str:
    return f"{wish.root}/{slot}/.vain"
