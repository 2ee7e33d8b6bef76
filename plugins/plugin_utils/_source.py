# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack a directory of the controller into an archive, and tell its content by a digest."""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible_collections.hotswap.bluegreen.plugins.module_utils._archive import checksum
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal


def entries(directory: Path, exclude: Iterable[str]) -> Iterator[Path]:
    """Everything below the directory that is not excluded, in a stable order; links are not followed."""
    patterns = tuple(exclude)
    for folder, folders, files in os.walk(directory):
        kept = sorted(name for name in folders if not _matches(name, patterns))
        folders[:] = [name for name in kept if not os.path.islink(os.path.join(folder, name))]
        yield from (Path(folder, name) for name in kept)
        yield from (Path(folder, name) for name in sorted(files) if not _matches(name, patterns))


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def digest(directory: Path, exclude: Iterable[str]) -> str:
    """``sha256:…`` over names, kinds, execute bits and content: what makes one release differ from another."""
    total = hashlib.sha256()
    found = False
    for path in entries(directory, exclude):
        found = True
        name = str(path.relative_to(directory))
        if path.is_symlink():
            content = "link", os.readlink(path)
        elif path.is_dir():
            content = "directory", ""
        else:
            content = f"file {path.stat().st_mode & 0o100:o}", checksum(str(path), "sha256")
        total.update("\0".join((name, *content, "\n")).encode("utf-8", "surrogateescape"))
    if not found:
        raise Refusal(f"bluegreen_source: the directory {directory} is empty.")
    return f"sha256:{total.hexdigest()}"


def pack(directory: Path, exclude: Iterable[str], to: Path) -> None:
    """A tar.gz of the directory's entries, owners left out."""
    with tarfile.open(to, "w:gz", compresslevel=1) as tar:
        for path in entries(directory, exclude):
            tar.add(path, str(path.relative_to(directory)), recursive=False, filter=_nobody)


def packed(directory: Path, exclude: Iterable[str], digest: str, folder: Path) -> Path:
    """The archive of the directory with this digest. ``folder`` is shared by a run's workers, one a host: the first packs it, the others find it."""
    archive = folder / f"bluegreen-{digest.rpartition(':')[2]}.tar.gz"
    with open(f"{archive}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            draft = Path(f"{archive}.draft")
            pack(directory, exclude, draft)
            draft.replace(archive)
    return archive


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
