# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which releases a host needs no more, and their removal.

The record goes first, so what a cut-off removal leaves is no release; the tree in ``releases`` goes last, so the next
removal finds what is left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from typing import Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from . import _files, _history, _info, _processes, _program, _workers
from ._model import Refusal, Wish
from ._parts import WORKERS
from ._release import RESERVED_RELEASES, Place, SlotPlace, releases
from ._supervisor import Client

_PATIENCE = 1.0  # seconds for somebody who stages at this moment


@dataclass(frozen=True)
class Removed:
    """The releases that are gone, and what could not be removed, a sentence each."""

    releases: Tuple[str, ...] = ()
    problems: Tuple[str, ...] = ()


def superfluous(staged: Mapping[str, Optional[float]], completed: Sequence[str], tried: FrozenSet[str], keep: int, needed: FrozenSet[str]) -> Tuple[str, ...]:
    """The releases to remove, in the order in which they go: what is incomplete or failed first, then the oldest.

    ``staged``: every release on disk with the time when it was staged, None if it is not complete. ``completed`` are those
    that succeeded once, the last one last, ``tried`` all that were ever begun, ``needed`` those that must stay.
    ``keep`` of the successful ones stay. One that nobody has tried yet was prepared for later: it stays as long as it was
    staged after the oldest successful one that stays.
    """
    complete = {release: moment for release, moment in staged.items() if moment is not None}
    good = [release for release in completed if release in complete]
    kept = good[-keep:]
    since = min((complete[release] for release in kept), default=0.0)
    failed = [release for release in staged if release not in good and (release in tried or release not in complete)]
    forgotten = [release for release, moment in complete.items() if release not in good and release not in tried and moment < since]
    order = [*failed, *forgotten, *(release for release in good if release not in kept)]
    return tuple(release for release in order if release not in needed)


def prune(wish: Wish, client: Client) -> Removed:
    """Remove what the host needs no more. Nothing where ``keep_releases`` is 0."""
    if not wish.keep_releases:
        return Removed()
    try:
        with _files.locked(f"{wish.root}/releases/.lock", _PATIENCE):
            return _prune(wish, client)
    except Refusal as error:
        return Removed(problems=(f"no old release was removed: {error}",))


def _prune(wish: Wish, client: Client) -> Removed:
    lines = _history.read(wish.root)
    tried = frozenset(line["release"] for line in lines if line.get("release") and line.get("event") != _history.ROLLING_BACK)
    found = superfluous(_staged(wish), _history.ever_completed(lines), tried, wish.keep_releases, _needed(wish, client, lines))
    problems = [problem for release in found for problem in _remove(wish, release)]
    return Removed(found, tuple(problems))


def _places(wish: Wish) -> List[SlotPlace]:
    return [SlotPlace(wish.root, name) for name in (*(member.slot for member in wish.members), WORKERS)]


def _staged(wish: Wish) -> Dict[str, Optional[float]]:
    """What lies in ``releases``, whose names are all releases', the oldest first."""
    place = releases(wish.root)
    complete = _info.on_disk(wish)
    with contextlib.suppress(OSError):
        bare = [name for name in sorted(os.listdir(place.path)) if not name.startswith(".") and name not in complete]
        return {**dict.fromkeys(bare), **{release: None if place.path in about["lacking"] else about["staged"] for release, about in complete.items()}}
    return {}


def _needed(wish: Wish, client: Client, lines: Sequence[_history.Line]) -> FrozenSet[str]:
    """What runs, what a slot uses or used before, where a rollback would go; and this run's own release."""
    found = {wish.release}
    live: Dict[str, Optional[str]] = {}
    for place in _places(wish):
        found.update(filter(None, (place.current, place.previous)))
    for member in wish.members:
        pid = client.process(_program.program_name(wish.service, member.slot)).pid
        slot_dir = f"{wish.root}/{member.slot}"
        live[member.id] = _processes.running_release(pid, slot_dir) if pid else None
        found.add(_processes.started_release(pid, slot_dir) or wish.release)  # its working directory, whatever it took in place since
    found.update(filter(None, live.values()))
    found.update(row["release"] for row in _workers.seen(wish, client) if row["release"])
    found.update(filter(None, [_history.target({wish.host: _history.past(lines)}, live).release]))
    return frozenset(found)


def _remove(wish: Wish, release: str) -> List[str]:
    """The release out of every place; what could not be removed, in words."""
    if not release or release in RESERVED_RELEASES or "/" in release or release.startswith("."):
        raise Refusal(f"{release!r} is no name of a release; it is not removed.")
    pristine = releases(wish.root)
    places: List[Place] = [*_places(wish), pristine]
    try:
        for place in reversed(places):
            place.forget_record(release)
    except OSError as error:
        return [f"release {release} could not be removed: {error}"]
    problems = []
    for place in places:
        if isinstance(place, SlotPlace):
            for prefix in ("", ".next-", ".previous-"):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    os.unlink(place.start_path(release, prefix))
        try:
            shutil.rmtree(place.release(release))
        except FileNotFoundError:
            pass
        except OSError as error:
            problems.append(f"{place.release(release)} is no release any more, but could not be removed: {error.strerror or error} ({error.filename})")
    return problems
