# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watched paths hold now: a picture of it, and what is different in another.

The file system's events only say when to look. What changed is found by looking, so that no lost event, overflowing queue or directory that was
taken away and came back can hide a change.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Set, Tuple

from ._ignore import Ignore

_HASHED = 1 << 20  # bytes up to which a file's content is compared; a larger one has changed when its time or size has


@dataclass(frozen=True)
class Stamp:
    """A file: what tells cheaply that it was written, and its content."""

    written: Tuple[int, int, int, int]
    content: str


@dataclass(frozen=True)
class Picture:
    """Files by path; the directories that hold them, and what each is on the disk; what cannot be read."""

    files: Dict[str, Stamp] = field(default_factory=dict)
    folders: Dict[str, Tuple[int, int]] = field(default_factory=dict)
    closed: Tuple[str, ...] = ()


def look(paths: Iterable[str], ignore: Ignore, before: Optional[Picture] = None) -> Picture:
    """What is there now. Of ``before`` the contents of files are taken over that were not written since."""
    known = before.files if before else {}
    files: Dict[str, Stamp] = {}
    folders: Dict[str, Tuple[int, int]] = {}
    closed: List[str] = []
    for path in paths:
        if os.path.isfile(path):
            _add(files, path, known)
            folders.update(_identity(os.path.dirname(path)))
        elif os.path.isdir(path):
            _walk(path, ignore, known, files, folders, closed)
    return Picture(files, folders, tuple(closed))


def _walk(root: str, ignore: Ignore, known: Dict[str, Stamp], files: Dict[str, Stamp], folders: Dict[str, Tuple[int, int]], closed: List[str]) -> None:
    met: Set[Tuple[int, int]] = set()  # a link to a directory above would never end
    ahead = [root]
    while ahead:
        folder = ahead.pop()
        found = _identity(folder)
        if not found or found[folder] in met:
            continue
        met.add(found[folder])
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            closed.append(folder)
            continue
        folders.update(found)
        for entry in listed:
            is_folder = _is_folder(entry)
            if not ignore.entry(entry.path[len(root) + 1 :], is_folder):
                if is_folder:
                    ahead.append(entry.path)
                else:
                    _add(files, entry.path, known)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: str) -> Dict[str, Tuple[int, int]]:
    try:
        about = os.stat(folder)
    except OSError:
        return {}
    return {folder: (about.st_dev, about.st_ino)}


def _add(files: Dict[str, Stamp], path: str, known: Dict[str, Stamp]) -> None:
    try:
        about = os.stat(path)
    except OSError:  # a link to nothing, or it is gone
        return
    written = (about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino)
    if path in known and known[path].written == written:
        files[path] = known[path]
    elif os.path.isfile(path):  # a pipe would wait for its writer for ever
        files[path] = Stamp(written, _content(path, about))


def _content(path: str, about: os.stat_result) -> str:
    if about.st_size <= _HASHED:
        try:
            with open(path, "rb") as file:
                return hashlib.blake2b(file.read(_HASHED + 1), digest_size=16).hexdigest()
        except OSError:
            pass
    return f"{about.st_mtime_ns} {about.st_size}"


def changes(before: Picture, after: Picture) -> List[str]:
    """The files whose content differs, that came, or that are gone, by name."""
    contents = {path: stamp.content for path, stamp in before.files.items()}
    differ = {path for path, stamp in after.files.items() if contents.get(path) != stamp.content}
    return sorted(differ | (before.files.keys() - after.files.keys()))


def moved(paths: Iterable[str], picture: Picture) -> bool:
    """Whether one of the watched paths itself came, went, or is another directory than it was. Cheap enough for each half second."""
    for path in paths:
        if os.path.isdir(path):
            if _identity(path).get(path) != picture.folders.get(path) and path not in picture.closed:
                return True
        elif os.path.isfile(path):
            parent = os.path.dirname(path)
            if path not in picture.files or _identity(parent).get(parent) != picture.folders.get(parent):
                return True
        elif path in picture.folders or path in picture.files:
            return True
    return False
