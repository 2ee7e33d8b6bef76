"""A directory of the controller as a tree of contents, and what of it is sent."""

from __future__ import annotations

import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _manifest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._manifest import Entry
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _source


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "app.py").write_text("print(1)\n")
    return folder


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def everything(tree: _source.Tree) -> frozenset[str]:
    return _manifest.lacking(tree.entries, "")


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def test_the_workers_of_a_run_pack_a_release_once(release: Path, shared: Path) -> None:
    tree = _source.read(release)

    def work(_host: int) -> int:
        return _source.packed(tree, everything(tree), shared).stat().st_ino

    with ThreadPoolExecutor(8) as hosts:
        archives = set(hosts.map(work, range(8)))

    assert len(archives) == 1
    assert names(next(shared.glob("*.tar.gz"))) == ["manifest", tree.entries[0].content]


def test_hosts_that_lack_the_same_share_an_archive_and_others_do_not(release: Path, shared: Path) -> None:
    before = _source.read(release)
    (release / "more.py").write_text("print(2)\n")
    tree = _source.read(release)
    has = _manifest.shortened(entry.content for entry in before.entries)

    some = _source.packed(tree, _manifest.lacking(tree.entries, has), shared)

    assert some != _source.packed(tree, everything(tree), shared)
    assert names(some) == ["manifest", tree.entries[1].content]


def test_an_archive_that_was_cut_off_is_made_anew(release: Path, shared: Path) -> None:
    tree = _source.read(release)
    archive = _source.packed(tree, everything(tree), shared)
    archive.rename(f"{archive}.draft")
    Path(f"{archive}.draft").write_bytes(b"half")

    assert len(names(_source.packed(tree, everything(tree), shared))) == 2


def test_equal_files_are_sent_once(release: Path, shared: Path) -> None:
    for number in range(3):
        (release / f"copy{number}.py").write_text("print(1)\n")
    tree = _source.read(release)

    assert len(names(_source.packed(tree, everything(tree), shared))) == 2
    assert len(tree.entries) == 4


def test_the_digest_is_of_names_kinds_execute_bits_and_contents(release: Path) -> None:
    seen = {_source.read(release).digest}
    for change in (
        lambda: (release / "app.py").write_text("print(2)\n"),
        lambda: (release / "app.py").chmod(0o755),
        lambda: (release / "app.py").rename(release / "main.py"),
        lambda: (release / "empty").mkdir(),
        lambda: (release / "link").symlink_to("main.py"),
    ):
        change()
        seen.add(_source.read(release).digest)
    os.utime(release / "main.py", (1, 1))

    assert len(seen) == 6
    assert _source.read(release).digest in seen, "a time is no content"


def test_what_no_release_can_have_is_refused(release: Path) -> None:
    os.mkfifo(release / "pipe")
    with pytest.raises(Refusal, match=r"pipe is neither a file, nor a directory, nor a link"):
        _source.read(release)
    assert len(_source.read(release, ["pipe"]).entries) == 1, "it may be excluded"


def test_an_empty_directory_is_refused(shared: Path) -> None:
    with pytest.raises(Refusal, match="is empty"):
        _source.read(shared)


@pytest.mark.parametrize("text", ["print(2)\n", "print(1234)\n", ""], ids=["as long", "longer", "shorter"])
def test_a_file_that_changes_while_it_is_sent_is_told(release: Path, shared: Path, text: str) -> None:
    tree = _source.read(release)
    (release / "app.py").write_text(text)
    with pytest.raises(Refusal, match=r"app\.py changed"):
        _source.packed(tree, everything(tree), shared)


def test_a_manifest_survives_json() -> None:
    entries = (Entry("größe\udcff", "directory", 0o755), Entry("größe\udcff/a", "file", 0o644, "a" * 64, 7), Entry("l", "link", 0, "größe\udcff"))
    assert _manifest.load(_manifest.dump(entries)) == entries


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (Entry("../up", "directory"), "outside"),
        (Entry("/etc", "directory"), "outside"),
        (Entry("a/b", "file", 0o644, "a" * 64), "without its directory"),
        (Entry("link/b", "file", 0o644, "a" * 64), "without its directory"),
        (Entry("link", "directory"), "twice"),
        (Entry("a//b", "directory"), "without its directory"),
        (Entry("out", "link", 0, "../etc"), "outside"),
        (Entry("file", "file", 0o644, "../../etc/passwd"), "neither a file"),
        (Entry("file", "device", 0o644, "a" * 64), "neither a file"),
    ],
)
def test_a_manifest_that_leads_out_of_the_release_is_refused(entry: Entry, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        _manifest.check([Entry("link", "link", 0, "."), entry], "shop")
