# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration that comes with a release: files rendered by the controller, written into the release while staging.

Their contents may be secrets: they travel as one text, are in no result, and a record keeps only a digest of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Sequence, Tuple

from . import _copies, _layout
from ._model import Refusal


@dataclass(frozen=True)
class File:
    """A file at ``dest`` below the release."""

    dest: str
    mode: int
    content: bytes = field(repr=False)


def dump(files: Sequence[File]) -> str:
    """All in one text, as the controller sends it."""
    return json.dumps([[file.dest, file.mode, base64.b64encode(file.content).decode("ascii")] for file in files])


def load(text: str) -> Tuple[File, ...]:
    """The files from :func:`dump`'s text."""
    return tuple(File(dest, mode, base64.b64decode(content)) for dest, mode, content in json.loads(text))


def digest(files: Sequence[File]) -> str:
    """``sha256:…`` over places, modes and contents, '' for no file. Who may read it can try guesses: it is for files of root's."""
    return f"sha256:{hashlib.sha256(dump(sorted(files, key=lambda file: file.dest)).encode()).hexdigest()}" if files else ""


def write(files: Sequence[File], content: str) -> None:
    """Put the files into the tree ``content``, instead of what the release has at their places."""
    for file in files:
        place = _layout.real(content, file.dest, "bluegreen_config_files")
        if os.path.isdir(place) and not os.path.islink(place):
            raise Refusal(f"bluegreen_config_files: {file.dest} is a directory of the release. Name a file in it.")
        os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
        _copies.remove(place)  # never through a link, nor into a file that another release has in common
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(file.content)
            os.fchmod(opened.fileno(), file.mode)
