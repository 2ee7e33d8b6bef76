# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a release's copy is not simply its own: links to what outlives releases, and who may write where.

``<root>/shared/<path>`` is seeded once, from the first release that has something there, and from then on the
application's. A copy's link to it is relative: the service's root can be mounted elsewhere, and a copy of it that was
restored beside it does not write into the live one.
"""

from __future__ import annotations

import os
from typing import FrozenSet, Iterable, Optional, Tuple

from . import _copies, _users
from ._model import Refusal, Wish
from ._parts import Layout

_DIRECTORY, _EXECUTABLE, _FILE = 0o750, 0o750, 0o640  # u=rwX,g=rX,o=


def check(wish: Wish, content: str) -> None:
    """:class:`Refusal` if a path of the layout cannot be in the release, or what is in ``shared`` is of another kind."""
    layout = wish.layout
    found = {real(content, path, name): path for name, paths in _named(layout) for path in paths}
    for place, path in found.items():
        for other, outer in found.items():
            if place.startswith(f"{other}/") and not (outer in layout.writable and path not in layout.writable):
                raise Refusal(f"bluegreen_shared_paths: {path} is inside {outer}, through a link of release {wish.release}. Name one of them only.")
    for name, paths in _named(layout):
        for path in paths:
            place = real(content, path, name)
            if os.path.islink(place):
                continue
            if path in layout.files and os.path.isdir(place):
                raise Refusal(f"{name}: {path} is a directory in release {wish.release}; give it the type directory.")
            if path not in layout.files and os.path.exists(place) and not os.path.isdir(place):
                hint = "; give it the type file" if path in layout.directories else ""
                raise Refusal(f"{name}: {path} is a file in release {wish.release}{hint}.")
    for path in (*layout.directories, *layout.files):
        _check_shared(shared(wish.root, path), path in layout.files, path)


def real(content: str, path: str, name: str) -> str:
    """Where ``path`` of the tree ``content`` is, its parents' links followed; :class:`Refusal` if they lead outside."""
    root, parent = os.path.realpath(content), os.path.realpath(os.path.dirname(f"{content}/{path}"))
    if parent != root and not parent.startswith(f"{root}/"):
        raise Refusal(f"{name}: {path} leads out of the release, through a link of it. Name a path that stays inside.")
    upward = parent
    while not os.path.lexists(upward):
        upward = os.path.dirname(upward)
    if not os.path.isdir(upward):
        raise Refusal(f"{name}: {path} goes through {os.path.relpath(upward, root)}, which is a file of the release.")
    return f"{parent}/{os.path.basename(path)}"


def apply(wish: Wish, content: str, copy: str) -> None:
    """Put the links into the release's ``copy``, and what they lead to into ``shared`` where it is not there yet; ``content`` is the release as staged."""
    uid, gid = _users.owner(wish.program.user)
    for path in (*wish.layout.directories, *wish.layout.files):
        _seed(wish, content, path)
        target = real(copy, path, "bluegreen_shared_paths")
        _copies.remove(target)
        _make_folders(os.path.dirname(target), uid, gid)
        os.symlink(os.path.relpath(shared(os.path.realpath(wish.root), path), os.path.dirname(target)), target)
        _own(target, uid, gid)
    for path in wish.layout.writable:
        _make_folders(real(copy, path, "bluegreen_writable_paths"), uid, gid)


def seal(wish: Wish, copy: str, configuration: Iterable[str]) -> None:
    """With writable paths, make the rest of the copy root's, and readable for the user's group; the ``configuration`` stays the user's."""
    if not wish.layout.writable:
        return
    _other, gid = _users.owner(wish.program.user)
    uid = 0 if os.geteuid() == 0 else None
    kept = frozenset([*(real(copy, path, "bluegreen_writable_paths") for path in wish.layout.writable), *_real(copy, configuration)])
    for folder, folders, files in os.walk(os.path.realpath(copy)):
        folders[:] = [name for name in folders if f"{folder}/{name}" not in kept]
        _seal_one(folder, uid, gid)
        for name in [*files, *(name for name in folders if os.path.islink(f"{folder}/{name}"))]:
            if f"{folder}/{name}" not in kept:
                _seal_one(f"{folder}/{name}", uid, gid)


def shared(root: str, path: str) -> str:
    """Where the shared path is."""
    return f"{root}/shared/{path}"


def _named(layout: Layout) -> Tuple[Tuple[str, Tuple[str, ...]], ...]:
    return ("bluegreen_shared_paths", (*layout.directories, *layout.files)), ("bluegreen_writable_paths", layout.writable)


def _real(copy: str, paths: Iterable[str]) -> FrozenSet[str]:
    return frozenset(real(copy, path, "bluegreen_config_files") for path in paths)


def _check_shared(place: str, as_file: bool, path: str) -> None:
    if not os.path.lexists(place):
        return
    if not os.path.exists(place):
        raise Refusal(f"bluegreen_shared_paths: {place} is a link to nothing. Make what it leads to, or remove it.")
    if os.path.isdir(place) == as_file:
        kinds = ("a directory", "file") if as_file else ("a file", "directory")
        raise Refusal(f"bluegreen_shared_paths: {place} is {kinds[0]}, and {path} shall be a {kinds[1]}. Move it away, or change the type.")


def _seed(wish: Wish, content: str, path: str) -> None:
    """What the release has at ``path``, or an empty one, becomes the shared one, in one rename; never a second time."""
    place = shared(wish.root, path)
    if os.path.exists(place):
        return
    folder, name = os.path.split(place)
    os.makedirs(folder, 0o755, exist_ok=True)
    draft = f"{folder}/.staging-{name}"
    _copies.remove(draft)  # of a stage that was cut off
    uid, gid = _users.owner(wish.program.user)
    origin = real(content, path, "bluegreen_shared_paths")
    if os.path.islink(origin) or not os.path.exists(origin):
        _make_empty(draft, path in wish.layout.files, uid, gid)
    elif path in wish.layout.files:
        _copies.copy_file(origin, draft, uid, gid)
    else:
        _copies.copy(origin, draft, uid, gid)
    os.rename(draft, place)


def _make_empty(path: str, as_file: bool, uid: Optional[int], gid: Optional[int]) -> None:
    if as_file:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
        os.fchmod(handle, 0o640)
        os.close(handle)
    else:
        os.mkdir(path, 0o755)
    _own(path, uid, gid)


def _make_folders(path: str, uid: Optional[int], gid: Optional[int]) -> None:
    """The directory with the parents that are missing, all the user's."""
    if os.path.isdir(path):
        return
    _make_folders(os.path.dirname(path), uid, gid)
    os.mkdir(path, 0o755)
    _own(path, uid, gid)


def _own(path: str, uid: Optional[int], gid: Optional[int]) -> None:
    if uid is not None:
        os.lchown(path, uid, -1 if gid is None else gid)


def _seal_one(path: str, uid: Optional[int], gid: Optional[int]) -> None:
    about = os.lstat(path)
    if uid is not None:
        os.lchown(path, uid, about.st_gid if gid is None else gid)
    if os.path.islink(path):
        return
    os.chmod(path, _DIRECTORY if os.path.isdir(path) else _EXECUTABLE if about.st_mode & 0o111 else _FILE)
