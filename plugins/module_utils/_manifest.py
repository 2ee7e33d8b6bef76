# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree of files told by its contents: what the controller sends of it, and what the host has of it already. Pure.

A content's name is its sha256. The host says what it has in sixteen of its digits each: what that could confuse is found by
the whole one, which the host computes itself of everything that it puts into a release.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import astuple, dataclass
from typing import FrozenSet, Iterable, Sequence, Tuple

from . import _archive
from ._model import Refusal

FILE, DIRECTORY, LINK = "file", "directory", "link"
MANIFEST = "manifest"  # the first entry of an archive that holds a tree by its contents; the others are named by their digest
_SHORT = 16
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Entry:
    """``path`` below the tree; ``content`` is a file's sha256, or what a link points to; ``size`` in bytes, ``mode`` without what a release never has."""

    path: str
    kind: str
    mode: int = 0
    content: str = ""
    size: int = 0


def digest(entries: Iterable[Entry]) -> str:
    """``sha256:…`` over names, kinds, execute bits and contents: what makes one release differ from another."""
    total = hashlib.sha256()
    for entry in entries:
        kind = f"{FILE} {entry.mode & 0o100:o}" if entry.kind == FILE else entry.kind
        total.update("\0".join((entry.path, kind, entry.content, "\n")).encode("utf-8", "surrogateescape"))
    return f"sha256:{total.hexdigest()}"


def dump(entries: Iterable[Entry]) -> str:
    """The entries as a text of JSON."""
    return json.dumps([astuple(entry) for entry in entries])


def load(text: str) -> Tuple[Entry, ...]:
    """The entries of :func:`dump`'s text; ValueError or TypeError if it is none."""
    return tuple(Entry(*row) for row in json.loads(text))


def check(entries: Sequence[Entry], name: str) -> None:
    """:class:`Refusal` unless each entry stays inside the tree and its parents are directories that came before it."""
    folders = {""}
    seen = set()
    for entry in entries:
        parent = entry.path.rpartition("/")[0]
        if _archive.inside(entry.path, name) != entry.path or parent not in folders or entry.path in seen:
            raise Refusal(f"{name}: its entry {entry.path!r} comes without its directory, or twice. Nothing of it is used.")
        seen.add(entry.path)
        if entry.kind == DIRECTORY:
            folders.add(entry.path)
        elif entry.kind == LINK:
            _archive.check_link(entry.path, entry.content, name)
        elif entry.kind != FILE or not _SHA256.match(entry.content):
            raise Refusal(f"{name}: its entry {entry.path!r} is neither a file, nor a directory, nor a link. Nothing of it is used.")


def files(entries: Iterable[Entry]) -> Tuple[Entry, ...]:
    """The files among the entries."""
    return tuple(entry for entry in entries if entry.kind == FILE)


def shortened(contents: Iterable[str]) -> str:
    """The contents that a host has, in one text."""
    return "".join(sorted({content[:_SHORT] for content in contents}))


def lacking(entries: Iterable[Entry], has: str) -> FrozenSet[str]:
    """The contents that a host lacks which has those of :func:`shortened`'s text."""
    there = {has[at : at + _SHORT] for at in range(0, len(has), _SHORT)}
    return frozenset(entry.content for entry in files(entries) if entry.content[:_SHORT] not in there)
