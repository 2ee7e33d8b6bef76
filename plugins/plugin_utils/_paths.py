# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths inside a release, as the user wrote them: what is shared, what is writable, what is configuration. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Layout

from ._rules import Problems
from ._values import show

_MODE = re.compile(r"0?[4-7][0-7][0-7]\Z")
_SHARED_FORM = "a path below the release is expected, or a dictionary with path and type (directory or file)"


@dataclass(frozen=True)
class ConfigFile:
    """One entry of C(bluegreen_config_files): ``kind`` is src, template or content, ``given`` the path or the text itself, which may be secret."""

    kind: str
    given: str = field(repr=False)
    dest: str
    mode: int


def layout(values: Mapping[str, Any], problems: Problems) -> Layout:
    """What is shared and what is writable."""
    kinds: dict[str, list[str]] = {"directory": [], "file": []}
    shared = []
    for number, entry in enumerate(values["shared_paths"], 1):
        where = f"bluegreen_shared_paths, entry {number}"
        given = {"path": entry} if isinstance(entry, str) else entry
        if not problems.unless(isinstance(given, Mapping) and set(given) <= {"path", "type"} and "path" in given, f"{where} is {show(entry)}; {_SHARED_FORM}."):
            continue
        kind = given.get("type", "directory")
        problems.unless(kind in kinds, f"{where}: type is {show(kind)}; one of directory, file is expected.")
        problems.unless(
            kind != "file" or not str(given["path"]).endswith("/"), f"{where}: {show(given['path'])} ends with a slash and has the type file; take one away."
        )
        path = _below(where, given["path"], problems)
        if path:
            shared.append(path)
            kinds.get(kind, []).append(path)
    writable = [
        path for number, entry in enumerate(values["writable_paths"], 1) for path in [_below(f"bluegreen_writable_paths, entry {number}", entry, problems)]
    ]
    writable = [path for path in writable if path]
    _apart("bluegreen_shared_paths", shared, problems)
    _apart("bluegreen_writable_paths", writable, problems)
    for path in writable:
        for outer in shared:
            problems.unless(not _inside(path, outer), f"bluegreen_writable_paths: {path} is in the shared path {outer}, which is writable anyway; take it out.")
    return Layout(tuple(kinds["directory"]), tuple(kinds["file"]), tuple(writable))


def config_files(values: Mapping[str, Any], shape: Layout, problems: Problems) -> tuple[ConfigFile, ...]:
    """The configuration to render. What is in ``content`` is in no sentence."""
    found = []
    for number, entry in enumerate(values["config_files"], 1):
        where = f"bluegreen_config_files, entry {number}"
        kinds = [kind for kind in ("src", "template", "content") if entry.get(kind) is not None]
        problems.unless(
            len(kinds) == 1, f"{where} has {' and '.join(kinds) or 'neither src nor template nor content'}; one of src, template, content is expected."
        )
        problems.unless(
            entry.get("content") is None or isinstance(entry["content"], str),
            f"{where}: content is {_kind(entry.get('content'))}; a text is expected: put it in quotes.",
        )
        mode = entry["mode"]
        usable = isinstance(mode, str) and _MODE.match(mode)
        problems.unless(usable, f'{where}: mode is {show(mode)}; three octal digits that let the owner read, in quotes, such as "0600", are expected.')
        problems.unless(entry.get("dest") is not None, f"{where} has no dest; a path below the release is expected.")
        dest = _below(f"{where}: dest", entry["dest"], problems) if entry.get("dest") is not None else ""
        problems.unless(not str(entry.get("dest")).endswith("/"), f"{where}: dest is {show(entry.get('dest'))}, a directory; name the file in it.")
        if dest and usable and len(kinds) == 1:
            found.append(ConfigFile(kinds[0], str(entry[kinds[0]]), dest, int(mode, 8)))
    dests = [file.dest for file in found]
    _apart("bluegreen_config_files", dests, problems)
    for dest in dests:
        for path in (*shape.directories, *shape.files):
            problems.unless(
                not _inside(dest, path),
                f"bluegreen_config_files: {dest} is in the shared path {path}, which all releases have in common: it would change under the one that runs.",
            )
            problems.unless(not path.startswith(f"{dest}/"), f"bluegreen_config_files: {dest} is a file, and the shared path {path} is below it.")
        for path in shape.writable:
            problems.unless(
                not _inside(path, dest), f"bluegreen_config_files: {dest} is a file, and the writable path {path} is {'it' if path == dest else 'below it'}."
            )
    return tuple(found)


def _below(where: str, given: Any, problems: Problems) -> str:
    """The path without ``.`` and slashes that say nothing; '' if it is none below the release."""
    if not problems.unless(
        isinstance(given, str) and given.strip(), f"{where} is {show(given) if given != '' else 'empty'}; a path below the release is expected."
    ):
        return ""
    if not problems.unless(given.isprintable(), f"{where} is {show(given)}; a path without control characters is expected."):
        return ""
    problems.unless(
        not given.startswith(("/", "~")), f"{where} is {show(given)}; a path below the release, such as {show(given.strip('~/') or 'storage')}, is expected."
    )
    problems.unless(".." not in given.split("/"), f"{where} is {show(given)}, which climbs out of the release; a path without '..' is expected.")
    if given.startswith(("/", "~")) or ".." in given.split("/"):
        return ""
    path = os.path.normpath(given)
    return path if problems.unless(path != ".", f"{where} is {show(given)}, the whole release; a path below it is expected.") else ""


def _apart(name: str, paths: Iterable[str], problems: Problems) -> None:
    for one, other in combinations(paths, 2):
        inner, outer = (one, other) if _inside(one, other) else (other, one)
        problems.unless(inner != outer, f"{name}: {inner} is named twice; take one out.")
        problems.unless(inner == outer or not _inside(inner, outer), f"{name}: {inner} is inside {outer}; name one of them only.")


def _inside(path: str, outer: str) -> bool:
    return path == outer or path.startswith(f"{outer}/")


def _kind(value: Any) -> str:
    return show(value) if isinstance(value, (Mapping, list, tuple)) else "a number" if isinstance(value, (int, float)) else "no text"
