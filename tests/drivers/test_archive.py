"""Archives: what is unpacked, and what is refused before anything of it can do harm."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _archive
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

Entry = tuple[str, bytes, int, str]  # name, tar's type, mode, content or where a link points to

FILE, FOLDER, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
GOOD: tuple[Entry, ...] = (
    ("app", FOLDER, 0o755, ""),
    ("app/bin", FOLDER, 0o755, ""),
    ("app/bin/server", FILE, 0o755, "#!/bin/sh\n"),
    ("app/größe.txt", FILE, 0o600, "x" * 5000),
    ("app/current", LINK, 0o777, "bin/server"),
    ("app/up", LINK, 0o777, "../app/größe.txt"),
    ("app/same", HARD, 0o644, "app/bin/server"),
    ("app/empty", FOLDER, 0o700, ""),
)


def tar(entries: Sequence[Entry]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, kind, mode, text in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, mode, 1_700_000_000
            content = text.encode() if kind == FILE else b""
            info.size = len(content)
            info.linkname = text if kind in (LINK, HARD) else ""
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def zipped(entries: Sequence[Entry]) -> bytes:
    made = io.BytesIO()
    kinds = {FILE: stat.S_IFREG, FOLDER: stat.S_IFDIR, LINK: stat.S_IFLNK, tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR}
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, kind, mode, text in entries:
            if kind == HARD:
                continue  # zip has none
            info = zipfile.ZipInfo(name + ("/" if kind == FOLDER else ""))
            info.create_system = 3
            info.external_attr = (kinds[kind] | mode) << 16
            archive.writestr(info, text)
    return made.getvalue()


PACKERS: dict[str, Callable[[Sequence[Entry]], bytes]] = {
    "tar": tar,
    "tar.gz": lambda entries: gzip.compress(tar(entries)),
    "tar.bz2": lambda entries: bz2.compress(tar(entries)),
    "tar.xz": lambda entries: lzma.compress(tar(entries)),
    "zip": zipped,
}
packed = pytest.mark.parametrize("kind", PACKERS)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """The directory to unpack into, with a neighbour that nobody may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("as it was")
    path = tmp_path / "into"
    path.mkdir()
    return path


def unpack(data: bytes, into: Path, strip: int = 0) -> None:
    path = into.parent / "archive"  # the name says nothing about the kind
    path.write_bytes(data)
    _archive.unpack(str(path), str(into), "shop.tar.gz", strip)


def refused(data: bytes, into: Path) -> str:
    """What is said; and that nothing outside was touched."""
    with pytest.raises(Refusal) as refusal:
        unpack(data, into)
    assert {path.name for path in into.parent.iterdir()} == {"outside", "into", "archive"}
    assert [(path.name, path.read_text()) for path in (into.parent / "outside").iterdir()] == [("precious", "as it was")]
    text = str(refusal.value)
    assert text.startswith("shop.tar.gz") and "Traceback" not in text
    return text


@packed
def test_every_kind_is_unpacked_with_its_modes_and_links(into: Path, kind: str) -> None:
    unpack(PACKERS[kind](GOOD), into)
    app = into / "app"
    assert (app / "bin" / "server").read_text() == "#!/bin/sh\n"
    assert stat.S_IMODE((app / "bin" / "server").stat().st_mode) == 0o755
    assert stat.S_IMODE((app / "größe.txt").stat().st_mode) == 0o600
    assert os.readlink(app / "current") == "bin/server"
    assert (app / "up").read_text() == "x" * 5000
    assert (app / "empty").is_dir()
    if kind != "zip":
        assert (app / "same").stat().st_ino == (app / "bin" / "server").stat().st_ino


def test_no_bit_beyond_read_write_and_execute_is_taken_over(into: Path) -> None:
    unpack(tar([("suid", FILE, 0o6777, "x"), ("folder", FOLDER, 0o7777, "")]), into)
    assert stat.S_IMODE((into / "suid").stat().st_mode) == 0o755
    assert stat.S_IMODE((into / "folder").stat().st_mode) == 0o755


@packed
def test_leading_directories_are_stripped(into: Path, kind: str) -> None:
    unpack(PACKERS[kind]([entry for entry in GOOD if entry[0] != "app/up"]), into, strip=1)
    assert (into / "bin" / "server").exists() and not (into / "app").exists()
    assert os.readlink(into / "current") == "bin/server"


@packed
def test_a_link_that_points_outside_once_directories_are_stripped_is_refused(into: Path, kind: str) -> None:
    with pytest.raises(Refusal, match=r"its link 'up' points to '\.\./app"):
        unpack(PACKERS[kind](GOOD), into, strip=1)


def test_of_an_entry_that_comes_twice_the_later_one_counts(into: Path) -> None:
    twice = [("a", FILE, 0o644, "1"), ("l", LINK, 0o777, "a"), ("h", HARD, 0o644, "a"), ("b", FILE, 0o644, "2")]
    unpack(tar([*twice, ("l", LINK, 0o777, "b"), ("h", HARD, 0o644, "b"), ("a", FILE, 0o644, "3")]), into)
    assert [(into / name).read_text() for name in "ablh"] == ["3", "2", "2", "2"]


def test_a_content_size_is_that_of_the_files(into: Path) -> None:
    for pack in (tar, zipped):
        (into.parent / "archive").write_bytes(pack([("a", FILE, 0o644, "x" * 1000), ("b", FILE, 0o644, "x" * 24)]))
        assert _archive.content_size(str(into.parent / "archive"), "shop.tar.gz") == 1024


@packed
@pytest.mark.parametrize("name", ["../outside/evil", "a/../../outside/evil", "..", "/tmp/../etc/evil"])
def test_an_entry_that_would_land_outside_is_refused(into: Path, kind: str, name: str) -> None:
    entry: Entry = (name, FILE, 0o644, "evil")
    assert "would land outside the release" in refused(PACKERS[kind]([("good", FILE, 0o644, "good"), entry]), into)


@packed
def test_an_absolute_entry_is_refused(into: Path, kind: str) -> None:
    assert "would land outside the release" in refused(PACKERS[kind]([(str(into.parent / "outside" / "evil"), FILE, 0o644, "evil")]), into)


@packed
@pytest.mark.parametrize("to", ["../outside", "/etc/passwd", "a/../../outside/precious", ".."])
def test_a_link_that_points_outside_is_refused(into: Path, kind: str, to: str) -> None:
    assert "points to" in refused(PACKERS[kind]([("link", LINK, 0o777, to)]), into)


@packed
def test_an_entry_that_goes_through_a_link_stays_inside(into: Path, kind: str) -> None:
    """A link inside may be gone through; one that is turned outwards in two steps may not."""
    unpack(PACKERS[kind]([("a", FOLDER, 0o755, ""), ("b", LINK, 0o777, "a"), ("b/file", FILE, 0o644, "x")]), into)
    assert (into / "a" / "file").read_text() == "x"


@packed
def test_links_that_lead_outside_together_are_refused(into: Path, kind: str) -> None:
    entries = [
        ("a", FOLDER, 0o755, ""),
        ("a/b", FOLDER, 0o755, ""),
        ("c", LINK, 0o777, "a/b"),
        ("c/up", LINK, 0o777, "../../.."),
        ("c/up/outside/evil", FILE, 0o644, "x"),
    ]
    refused(PACKERS[kind](entries), into)


@packed
def test_a_link_whose_way_leads_through_another_link_does_not_get_outside(into: Path, kind: str) -> None:
    """``d -> c/../..`` reads as inside, and is outside: ``c`` is a link to a directory further up."""
    entries = [
        ("x", FOLDER, 0o755, ""),
        ("x/y", FOLDER, 0o755, ""),
        ("x/y/c", LINK, 0o777, "../.."),
        ("x/y/d", LINK, 0o777, "c/../outside"),
        ("x/y/d/evil", FILE, 0o644, "evil"),
    ]
    refused(PACKERS[kind](entries), into)


def test_a_file_over_a_link_replaces_the_link(into: Path) -> None:
    unpack(tar([("a", FILE, 0o644, "a"), ("b", LINK, 0o777, "a"), ("b", FILE, 0o644, "b")]), into)
    assert (into / "a").read_text() == "a" and (into / "b").read_text() == "b" and not (into / "b").is_symlink()


@pytest.mark.parametrize("to", ["../outside/precious", "/etc/passwd"])
def test_a_hard_link_to_a_file_outside_is_refused(into: Path, to: str) -> None:
    refused(tar([("hard", HARD, 0o644, to)]), into)


def test_a_hard_link_through_a_symbolic_one_is_refused(into: Path) -> None:
    assert "has no file" in refused(tar([("soft", LINK, 0o777, "nothing"), ("hard", HARD, 0o644, "soft")]), into)


def test_a_hard_link_without_its_file_is_refused(into: Path) -> None:
    assert "has no file 'missing' before it" in refused(tar([("hard", HARD, 0o644, "missing")]), into)


@pytest.mark.parametrize("pack", [tar, zipped])
@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_device_or_a_pipe_is_refused(into: Path, pack: Callable[[Sequence[Entry]], bytes], kind: bytes) -> None:
    assert "is a device or a pipe" in refused(pack([("good", FILE, 0o644, "good"), ("odd", kind, 0o644, "")]), into)


@packed
def test_an_archive_that_is_cut_short_anywhere_is_refused(into: Path, kind: str) -> None:
    data = PACKERS[kind](GOOD)
    if kind == "tar":
        data = data[: (len(data.rstrip(b"\0")) // 512 + 1) * 512 + 511]  # beyond that there are only zeros
    for length in [1, 10, *range(100, len(data), max(1, len(data) // 23)), len(data) - 1]:
        refused(data[:length], into)
        shutil.rmtree(into)
        into.mkdir()


def test_a_plain_tar_that_ends_between_two_entries_is_refused(into: Path) -> None:
    whole = tar([("a", FILE, 0o644, "a" * 512), ("b", FILE, 0o644, "b")])
    assert "the end of the archive is missing" in refused(whole[: 2 * 512], into)
    assert "the end of the archive is missing" in refused(gzip.compress(whole[: 2 * 512]), into)


@packed
def test_an_archive_with_a_flipped_byte_in_its_middle_is_refused_or_unpacked_whole(into: Path, kind: str) -> None:
    """Without a checksum a changed byte of a plain tar is not seen; what has its own checksum is refused."""
    data = bytearray(PACKERS[kind]([("a", FILE, 0o644, "".join(str(n * n) for n in range(2000)))]))
    data[len(data) // 2] ^= 0xFF
    if kind == "tar":
        unpack(bytes(data), into)
    else:
        refused(bytes(data), into)


@packed
def test_an_archive_without_a_file_is_refused(into: Path, kind: str) -> None:
    assert "is an archive without a file" in refused(PACKERS[kind]([]), into)


@pytest.mark.parametrize("data", [b"", b"hello", b"<html>404</html>" * 1000, b"\x1f\x8b nonsense", b"PK\x03\x04 nonsense", bytes(100)])
def test_what_is_no_archive_is_refused(into: Path, data: bytes) -> None:
    refused(data, into)


def test_an_encrypted_zip_is_refused(into: Path) -> None:
    data = bytearray(zipped([("a", FILE, 0o644, "text")]))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    assert "encrypted" in refused(bytes(data), into)


def test_the_checksum_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(b"content")
    for name in ("sha256", "sha384", "sha512"):
        digest = hashlib.new(name, b"content").hexdigest()
        _archive.verify(str(path), f"{name}:{digest.upper()}", "shop.tar.gz")
        with pytest.raises(Refusal, match=f"shop.tar.gz has the checksum {name}:{digest}, expected {name}:0{digest[1:]}. Nothing was unpacked."):
            _archive.verify(str(path), f"{name}:0{digest[1:]}", "shop.tar.gz")


@pytest.mark.parametrize("checksum", ["", "sha256:", "md5:9a0364b9e99bb480dd25e1f0284c8555", "9a0364b9e99bb480"])
def test_a_checksum_of_another_form_is_refused(tmp_path: Path, checksum: str) -> None:
    path = tmp_path / "archive"
    path.write_bytes(b"content")
    with pytest.raises(Refusal, match="is not of the form sha256:"):
        _archive.verify(str(path), checksum, "shop.tar.gz")
