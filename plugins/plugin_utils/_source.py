# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of the controller as a tree told by its contents, and the archive of those that a host lacks."""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _manifest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._archive import checksum
from ansible_collections.hotswap.bluegreen.plugins.module_utils._manifest import Entry
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal


@dataclass(frozen=True)
class Tree:
    """A directory and what is in it."""

    folder: Path
    entries: tuple[Entry, ...]

    @property
    def digest(self) -> str:
        return _manifest.digest(self.entries)


def read(directory: Path, exclude: Iterable[str] = ()) -> Tree:
    """The directory with its contents' digests. :class:`Refusal` if nothing is in it, or something that no release can have."""
    found = tuple(_entry(path, str(path.relative_to(directory))) for path in paths(directory, exclude))
    if not found:
        raise Refusal(f"bluegreen_source: the directory {directory} is empty.")
    return Tree(directory, found)


def paths(directory: Path, exclude: Iterable[str]) -> Iterator[Path]:
    """Everything below the directory that is not excluded, in a stable order; links are not followed."""
    patterns = tuple(exclude)
    for folder, folders, files in os.walk(directory):
        kept = sorted(name for name in folders if not _matches(name, patterns))
        folders[:] = [name for name in kept if not os.path.islink(os.path.join(folder, name))]
        yield from (Path(folder, name) for name in kept)
        yield from (Path(folder, name) for name in sorted(files) if not _matches(name, patterns))


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _entry(path: Path, name: str) -> Entry:
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        return Entry(name, _manifest.LINK, 0, os.readlink(path))
    if stat.S_ISDIR(about.st_mode):
        return Entry(name, _manifest.DIRECTORY, about.st_mode & 0o755)
    if not stat.S_ISREG(about.st_mode):
        raise Refusal(f"bluegreen_source: {path} is neither a file, nor a directory, nor a link. Take it away, or exclude it.")
    return Entry(name, _manifest.FILE, about.st_mode & 0o755 | 0o600, checksum(str(path), "sha256"), about.st_size)


def pack(tree: Tree, lacking: Iterable[str], to: Path) -> None:
    """A tar.gz of the manifest and the contents that are lacking, each once; :class:`Refusal` if one is no longer what it was."""
    wanted = set(lacking)
    manifest = _manifest.dump(tree.entries).encode()
    with tarfile.open(to, "w:gz", compresslevel=1) as tar:
        head = tarfile.TarInfo(_manifest.MANIFEST)
        head.size = len(manifest)
        tar.addfile(head, io.BytesIO(manifest))
        for entry in _manifest.files(tree.entries):
            if entry.content in wanted:
                wanted.remove(entry.content)
                _add(tar, tree.folder / entry.path, entry)


def packed(tree: Tree, lacking: Iterable[str], folder: Path) -> Path:
    """The archive of :func:`pack`. ``folder`` is shared by a run's workers, one a host: the first packs it, the others find it."""
    wanted = sorted(lacking)
    name = hashlib.sha256("\n".join([tree.digest, *wanted]).encode()).hexdigest()
    archive = folder / f"bluegreen-{name}.tar.gz"
    with open(f"{archive}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            draft = Path(f"{archive}.draft")
            pack(tree, wanted, draft)
            draft.replace(archive)
    return archive


def _add(tar: tarfile.TarFile, path: Path, entry: Entry) -> None:
    info = tarfile.TarInfo(entry.content)
    info.size = entry.size
    try:
        with open(path, "rb") as file:
            info.mtime = int(os.fstat(file.fileno()).st_mtime)
            seen = _Hashed(file)
            tar.addfile(info, seen)
    except OSError as error:
        raise Refusal(f"bluegreen_source: {path} changed or went away while it was being sent ({error.strerror or error}). Run again.") from None
    if seen.digest != entry.content:
        raise Refusal(f"bluegreen_source: {path} changed while it was being sent. Run again.")


class _Hashed(io.RawIOBase):
    """A file that tells the digest of what was read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._total = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._total.hexdigest()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._total.update(content)
        return content
