# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpack an archive into a directory, and nothing anywhere else. Standard library only."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from lzma import LZMAError
from typing import IO

from ._model import Refusal

_CHUNK = 1 << 20  # bytes


def checksum(path: str, algorithm: str) -> str:
    """The hexadecimal digest of a file's content."""
    digest = hashlib.new(algorithm)
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def verify(path: str, expected: str, name: str) -> None:
    """:class:`Refusal` unless the file has the checksum ``algorithm:hexdigest``. ``name`` is how a person knows it."""
    algorithm, _other, value = expected.partition(":")
    if algorithm not in ("sha256", "sha384", "sha512") or not value:
        raise Refusal(f"checksum {expected!r} is not of the form sha256:… (or sha384, sha512).")
    seen = checksum(path, algorithm)
    if seen != value.lower():
        raise Refusal(f"{name} has the checksum {algorithm}:{seen}, expected {algorithm}:{value.lower()}. Nothing was unpacked.")


def content_size(path: str, name: str) -> int:
    """How many bytes the archive's files take once they are unpacked."""
    if not os.path.getsize(path):
        raise Refusal(f"{name} is empty. Was it uploaded completely?")
    with errors(name):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return sum(info.file_size for info in archive.infolist())
        with tarfile.open(path) as tar:
            return sum(entry.size for entry in tar if entry.isfile())


def unpack(path: str, into: str, name: str, strip: int = 0) -> None:
    """Unpack a tar (plain, gz, bz2, xz) or zip archive into the directory ``into``.

    ``strip`` leading directories of each entry are left out, as tar's --strip-components does. Refused: an entry
    that would land outside, a link that points outside, a device, an archive that is empty, cut short or none.
    The caller throws ``into`` away when this raises.
    """
    with errors(name):
        if zipfile.is_zipfile(path):
            _unpack_zip(path, into, name, strip)
        else:
            _unpack_tar(path, into, name, strip)
    if not os.listdir(into):
        raise Refusal(f"{name} is an archive without a file.")


class errors:  # it is used as a verb
    """Tell what is wrong with the archive in the words of a person."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, _trace: object) -> None:
        told = str(error).partition(":\n")[0]  # what follows are the words of every decompressor that was tried
        if isinstance(error, (EOFError, gzip.BadGzipFile, zlib.error, LZMAError, zipfile.BadZipFile)) or (
            isinstance(error, tarfile.ReadError) and "unexpected end" in str(error)
        ):
            raise Refusal(f"{self._name} is cut short or damaged: {told}. Was it uploaded completely?") from None
        if isinstance(error, tarfile.TarError):
            raise Refusal(f"{self._name} is not an archive that can be unpacked (tar.gz, tar.bz2, tar.xz, zip): {told}") from None
        if isinstance(error, RuntimeError):
            raise Refusal(f"{self._name} cannot be unpacked: {told}") from None
        if isinstance(error, OSError) and "data stream" in str(error).lower():
            raise Refusal(f"{self._name} is cut short or damaged: {told}.") from None


def inside(entry: str, archive: str, strip: int = 0) -> str:
    """The entry's path without ``strip`` directories, ``.`` if nothing is left; :class:`Refusal` if it is outside."""
    path = os.path.normpath(entry)
    if entry.startswith(("/", "\\")) or path == ".." or path.startswith("../") or "\0" in entry:
        raise Refusal(f"{archive}: its entry {entry!r} would land outside the release. Nothing of it is used.")
    return "/".join(path.split("/")[strip:]) or "."


def check_link(path: str, to: str, archive: str) -> None:
    """:class:`Refusal` if the link at ``path`` of the archive points outside of it."""
    landing = os.path.normpath(os.path.join(os.path.dirname(path), to))
    if to.startswith("/") or landing == ".." or landing.startswith("../"):
        raise Refusal(f"{archive}: its link {path!r} points to {to!r}, outside the release. Nothing of it is used.")


def _parent(into: str, path: str, archive: str) -> str:
    """The real directory for an entry; a link among its parents may not lead outside."""
    folder = os.path.dirname(os.path.join(into, path))
    os.makedirs(folder, exist_ok=True)
    real, root = os.path.realpath(folder), os.path.realpath(into)
    if real != root and not real.startswith(root + "/"):
        raise Refusal(f"{archive}: its entry {path!r} would land outside the release through a link. Nothing of it is used.")
    return os.path.join(real, os.path.basename(path))


def _unpack_tar(path: str, into: str, name: str, strip: int) -> None:
    count = 0
    with tarfile.open(path) as tar:
        for entry in tar:
            count += 1
            inner = inside(entry.name, name, strip)
            if inner == ".":
                continue
            place = _parent(into, inner, name)
            if entry.isdir():
                os.makedirs(place, exist_ok=True)
                os.chmod(place, (entry.mode & 0o755) | 0o700)
            elif entry.issym():
                check_link(inner, entry.linkname, name)
                _clear(place)
                os.symlink(entry.linkname, place)
            elif entry.islnk():
                source = _parent(into, inside(entry.linkname, name, strip), name)
                if not os.path.isfile(source) or os.path.islink(source):
                    raise Refusal(f"{name}: its hard link {entry.name!r} has no file {entry.linkname!r} before it.")
                if source != place:
                    _clear(place)
                    os.link(source, place)
            elif entry.isfile():
                source_file = tar.extractfile(entry)
                if source_file is None:
                    raise Refusal(f"{name}: its entry {entry.name!r} cannot be read.")
                write(source_file, place, entry.mode & 0o755)
                os.utime(place, (entry.mtime, entry.mtime))
            else:
                raise Refusal(f"{name}: its entry {entry.name!r} is a device or a pipe. Nothing of it is used.")
        if not count:
            raise Refusal(f"{name} is an archive without a file.")
        check_end(tar, name)


def check_end(tar: tarfile.TarFile, name: str) -> None:
    """A tar cut short between two entries reads as complete to tarfile: a block of zeros must close it."""
    if tar.fileobj is None:
        return
    tar.fileobj.seek(tar.offset)  # where reading stopped
    if tar.fileobj.read(tarfile.BLOCKSIZE) != b"\0" * tarfile.BLOCKSIZE:
        raise Refusal(f"{name} is cut short: the end of the archive is missing. Was it uploaded completely?")
    while tar.fileobj.read(_CHUNK):  # to the compression's own end, where its checksum stands
        pass


def _unpack_zip(path: str, into: str, name: str, strip: int) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            inner = inside(info.filename, name, strip)
            mode = info.external_attr >> 16
            if inner == ".":
                continue
            place = _parent(into, inner, name)
            if info.is_dir():
                os.makedirs(place, exist_ok=True)
            elif stat.S_ISLNK(mode):
                to = archive.read(info).decode("utf-8", "surrogateescape")
                check_link(inner, to, name)
                _clear(place)
                os.symlink(to, place)
            elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise Refusal(f"{name}: its entry {info.filename!r} is a device or a pipe. Nothing of it is used.")
            else:
                with archive.open(info) as source:
                    write(source, place, (mode & 0o755) or 0o644)


def write(source: IO[bytes], place: str, mode: int) -> None:
    """A new file: what an earlier entry put there is not written through."""
    _clear(place)
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
        os.fchmod(file.fileno(), mode | 0o600)


def _clear(place: str) -> None:
    """An entry that comes twice: the later one counts, as with tar."""
    if os.path.lexists(place):
        os.unlink(place)
