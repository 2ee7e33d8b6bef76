# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build a release's tree from the contents that came and those of the releases staged before.

An unchanged file is a hard link to the one of an earlier release: both are root's, and nobody writes into either. Where a
build runs in the release, it is a copy. Every content is hashed before it is used, whoever sent it or has had it (measured:
3,000 files of 3 to 10 KB take 0.08 s): an earlier release that somebody changed by hand cannot spoil a later one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tarfile
from typing import Callable, Dict, Iterable, Mapping, Sequence, Tuple

from . import _archive, _copies, _manifest
from ._manifest import DIRECTORY, LINK, Entry
from ._model import Refusal
from ._release import Place

_CHUNK = 1 << 20  # bytes

Known = Mapping[str, Tuple[str, ...]]  # a content, and the files of this host that should have it
Stamp = Tuple[int, int, int]


class Lacking(Exception):
    """The host does not have, after all, what it said it has: all of it must be sent."""


def known(pristine: Place) -> Known:
    """The contents of the releases staged before; of equal ones the file of the youngest release comes first."""
    records = pristine.records()
    found: Dict[str, Tuple[str, ...]] = {}
    for release in sorted(records, key=lambda name: float(records[name].get("staged", 0))):
        for path, content in pristine.contents(release).items():
            found[content] = (f"{pristine.release(release)}/{path}", *found.get(content, ())[:1])
    return found


def receive(archive: str, into: str, name: str, expected: str, may_come: Callable[[Sequence[Entry]], None] = lambda _entries: None) -> Tuple[Entry, ...]:
    """Unpack what the controller sent: the manifest, which must have the digest ``expected``, and contents, each a file below ``into`` named by its digest.

    ``may_come`` is given the manifest before any content is written, and may refuse it.
    """
    with _archive.errors(name), tarfile.open(archive) as tar:
        members = iter(tar)
        first = next(members, None)
        text = tar.extractfile(first) if first is not None and first.name == _manifest.MANIFEST else None
        if text is None:
            raise Refusal(f"{name}: what came is no tree of contents. Stage it again.")
        try:
            entries = _manifest.load(text.read().decode("utf-8", "surrogateescape"))
        except (TypeError, ValueError):
            raise Refusal(f"{name}: its list of files was damaged on the way. Stage it again.") from None
        if _manifest.digest(entries) != expected:
            raise Refusal(f"{name}: its list of files has another digest than was announced. Stage it again.")
        _manifest.check(entries, name)
        may_come(entries)
        wanted = {entry.content for entry in _manifest.files(entries)}
        for content in members:
            source = tar.extractfile(content)
            if content.name not in wanted or source is None:
                raise Refusal(f"{name}: {content.name!r} came and is in no place of it. Stage it again.")
            _archive.write(source, f"{into}/{content.name}", 0o600)
            os.utime(f"{into}/{content.name}", (content.mtime, content.mtime))
            if _archive.checksum(f"{into}/{content.name}", "sha256") != content.name:
                raise Refusal(f"{name}: a file of it was damaged on the way. Stage it again.")
        _archive.check_end(tar, name)
    return entries


def build(entries: Sequence[Entry], came: str, have: Known, into: str, link: bool) -> None:
    """Make the tree ``into``. :class:`Lacking` if a content neither ``came`` nor is where it should be. ``link``: nobody writes into the release."""
    placed: Dict[str, str] = {}
    for entry in entries:
        place = f"{into}/{entry.path}"
        if entry.kind == DIRECTORY:
            os.mkdir(place, 0o755)
            os.chmod(place, entry.mode | 0o700)
        elif entry.kind == LINK:
            os.symlink(entry.content, place)
        elif entry.content in placed:
            _copy(placed[entry.content], place, entry.mode)
        elif os.path.exists(f"{came}/{entry.content}"):
            os.rename(f"{came}/{entry.content}", place)
            os.chmod(place, entry.mode)
            placed[entry.content] = place
        elif not any(_take(old, place, entry, link) for old in have.get(entry.content, ())):
            raise Lacking(entry.path)


def _take(old: str, place: str, entry: Entry, link: bool) -> bool:
    """Put the content of an earlier release's file at ``place``; False if it is not what it was."""
    try:
        handle = os.open(old, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    with os.fdopen(handle, "rb", buffering=0) as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode) or about.st_size != entry.size:
            return False
        total = hashlib.sha256()
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            total.update(chunk)
    if total.hexdigest() != entry.content:
        return False
    if link and about.st_mode & 0o7777 == entry.mode and about.st_uid == os.geteuid():
        with contextlib.suppress(OSError):  # too many links, another file system: a copy does as well
            os.link(old, place, follow_symlinks=False)
            return True
    _copy(old, place, entry.mode)
    return True


def _copy(old: str, place: str, mode: int) -> None:
    _copies.copy_file(old, place)
    os.chmod(place, mode)


def stamps(entries: Iterable[Entry], tree: str) -> Dict[str, Stamp]:
    """By which each file of the tree is known again."""
    found = {}
    for entry in _manifest.files(entries):
        with contextlib.suppress(OSError):
            about = os.lstat(f"{tree}/{entry.path}")
            found[entry.path] = (about.st_ino, about.st_size, about.st_mtime_ns)
    return found


def untouched(entries: Iterable[Entry], before: Mapping[str, Stamp], tree: str) -> str:
    """The contents that the tree still has as they came, as a text for :meth:`Place.contents`; a build may have changed the others."""
    now = stamps(entries, tree)
    same = [entry for entry in _manifest.files(entries) if entry.path in now and now[entry.path] == before.get(entry.path)]
    return json.dumps({entry.path: entry.content for entry in same})
