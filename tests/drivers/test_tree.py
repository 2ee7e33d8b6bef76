"""A directory staged again with a few changes: only those are sent, and what is taken from an earlier release is what it was."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _release, _stage, _tree
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from tests.drivers.staging import FILES, Stage
from tests.drivers.test_stage import cut_off, records


@pytest.fixture
def tree(stage: Stage) -> Path:
    """The directory on the controller: 60 files, a link and an empty directory."""
    folder = stage.folder / "tree"
    for name, text in {**FILES, **{f"src/m{number % 6}/f{number}.py": f"print({number})\n" * 50 for number in range(57)}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "bin/server").chmod(0o755)
    (folder / "src/latest").symlink_to("m0/f0.py")
    (folder / "empty").mkdir()
    return folder


def change(tree: Path, count: int = 3) -> None:
    for number in range(count):
        (tree / f"src/m{number % 6}/f{number}.py").write_text(f"changed {number}\n")


def picture(folder: Path) -> dict[str, tuple[int, str]]:
    """Every entry below with its mode and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        text = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, text)
    return found


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_all_of_a_first_release_is_sent_and_only_what_changed_of_the_next(stage: Stage, tree: Path) -> None:
    first = stage.directory(tree)
    assert len(stage.sent) == 60
    stage.stage(first, "v1")
    change(tree)
    second = stage.directory(tree)
    assert len(stage.sent) == 3
    with tarfile.open(second.path) as archive:
        assert len(archive.getnames()) == 4, "the manifest, and what changed"
    stage.stage(second, "v2")

    for place in stage.places("v2"):
        assert picture(place) == picture(tree)


def test_what_did_not_change_is_one_file_in_the_releases_and_no_file_of_a_slot(stage: Stage, tree: Path) -> None:
    stage.stage(stage.directory(tree), "v1")
    change(tree)
    stage.stage(stage.directory(tree), "v2")
    (old, *_), (new, blue, green) = stage.places("v1"), stage.places("v2")

    assert inode(old / "src/m5/f5.py") == inode(new / "src/m5/f5.py")
    assert inode(old / "src/m0/f0.py") != inode(new / "src/m0/f0.py")
    assert all(path.stat().st_nlink == 1 for place in (blue, green) for path in place.rglob("*") if path.is_file())


def test_a_release_that_is_removed_leaves_the_later_one_whole(stage: Stage, tree: Path) -> None:
    stage.stage(stage.directory(tree), "v1")
    stage.stage(stage.directory(tree), "v2")
    pristine = _release.releases(stage.wish.root)
    pristine.forget_record("v1")
    for path in sorted(stage.places("v1")[0].rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    assert picture(stage.places("v2")[0]) == picture(tree)
    assert stage.directory(tree) and not stage.sent, "the later one has it all"
    assert not (stage.root / "releases" / ".v1.contents").exists()


def test_a_file_that_moved_or_comes_twice_is_not_sent(stage: Stage, tree: Path) -> None:
    stage.stage(stage.directory(tree), "v1")
    (tree / "src/m1").rename(tree / "src/moved")
    (tree / "again.py").write_text((tree / "src/m2/f2.py").read_text())
    second = stage.directory(tree)
    assert not stage.sent
    stage.stage(second, "v2")
    assert picture(stage.places("v2")[1]) == picture(tree)


def test_another_mode_is_a_file_of_its_own(stage: Stage, tree: Path) -> None:
    stage.stage(stage.directory(tree), "v1")
    (tree / "src/m5/f5.py").chmod(0o755)
    stage.stage(stage.directory(tree), "v2")
    (old, *_), (new, *_) = stage.places("v1"), stage.places("v2")
    assert (old / "src/m5/f5.py").stat().st_mode & 0o777 == 0o644
    assert (new / "src/m5/f5.py").stat().st_mode & 0o777 == 0o755


# An earlier release that is not what it was


def changed_in_place(path: Path) -> None:
    about = path.stat()
    path.write_bytes(b"#" * about.st_size)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def replaced_by_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("f11.py")


def replaced_by_a_pipe(path: Path) -> None:
    for place in (path, path.parents[2] / "runtime/.keep"):  # an empty file is as long as a pipe
        place.unlink()
        os.mkfifo(place)


@pytest.mark.parametrize("spoil", [changed_in_place, Path.unlink, replaced_by_a_link, replaced_by_a_pipe])
def test_an_earlier_release_that_somebody_changed_does_not_spoil_the_next(stage: Stage, tree: Path, spoil: Callable[[Path], None]) -> None:
    stage.stage(stage.directory(tree), "v1")
    spoil(stage.places("v1")[0] / "src/m5/f5.py")
    if spoil is replaced_by_a_pipe:
        (tree / "src/m5/f5.py").unlink()
    change(tree)
    with pytest.raises(_tree.Lacking):
        stage.stage(stage.directory(tree), "v2")
    assert stage.is_clean("v2")

    stage.stage(stage.directory(tree, whole=True), "v2")
    assert [picture(place) == picture(tree) for place in stage.places("v2")] == [True] * 3


def test_the_same_file_of_another_release_stands_in_for_one_that_was_changed(stage: Stage, tree: Path) -> None:
    stage.stage(stage.directory(tree), "v1")
    (tree / "src/m5/f5.py").chmod(0o755)  # so that v2 has a file of its own
    stage.stage(stage.directory(tree), "v2")
    changed_in_place(stage.places("v2")[0] / "src/m5/f5.py")
    stage.stage(stage.directory(tree), "v3")
    assert picture(stage.places("v3")[0]) == picture(tree)


# What a build may have changed


def test_a_build_in_the_release_writes_into_copies(stage: Stage, tree: Path) -> None:
    stage.stage(stage.directory(tree), "v1")
    before = picture(stage.places("v1")[0])
    stage.stage(stage.directory(tree), "v2", command=("echo built >> src/m5/f5.py; chmod 700 src/m4/f4.py",))

    assert picture(stage.places("v1")[0]) == before
    assert (stage.places("v2")[0] / "src/m5/f5.py").read_text().endswith("built\n")


def test_what_a_build_changed_is_sent_again_and_the_rest_is_not(stage: Stage, tree: Path) -> None:
    build = {"command": ("echo built >> src/m5/f5.py; rm src/m4/f4.py",)}
    stage.stage(stage.directory(tree), "v1", **build)
    change(tree, 1)
    second = stage.directory(tree)
    assert len(stage.sent) == 3
    stage.stage(second, "v2", **build)
    assert (stage.places("v2")[0] / "src/m5/f5.py").read_text().count("built") == 1


# What comes is verified


def test_a_content_that_was_damaged_on_the_way_is_not_used(stage: Stage, tree: Path) -> None:
    source = stage.directory(tree)
    forged = stage.folder / "forged.tar"
    with tarfile.open(source.path) as good, tarfile.open(forged, "w") as bad:
        for member in good:
            entry = tarfile.TarInfo(next(other for other in stage.sent if other != member.name) if member.name in stage.sent else member.name)
            entry.size = member.size
            bad.addfile(entry, good.extractfile(member))
    with pytest.raises(Refusal, match="damaged on the way"):
        stage.stage(_stage.Source("tree", source.digest, str(forged), tree=source.tree))
    assert stage.is_clean()


def test_a_list_that_is_not_the_announced_one_is_not_used(stage: Stage, tree: Path) -> None:
    source = stage.directory(tree)
    with pytest.raises(Refusal, match="another digest than was announced"):
        stage.stage(_stage.Source("tree", source.digest, source.path, tree="sha256:" + "0" * 64))
    with pytest.raises(Refusal, match="is no tree of contents"):
        stage.stage(_stage.Source("tree", source.digest, stage.source().path, tree=source.tree))
    Path(source.path).write_bytes(Path(source.path).read_bytes()[:-60])
    with pytest.raises(Refusal, match="cut short"):
        stage.stage(source)
    assert stage.is_clean()


def test_a_stage_that_is_killed_at_any_operation_is_no_release_and_the_next_one_completes_it(stage: Stage, tree: Path) -> None:
    stage.stage(stage.directory(tree), "v0")
    change(tree, 2)
    source = stage.directory(tree)
    at, was_cut_off = 1, True
    while was_cut_off:
        release = f"v{at}"
        was_cut_off = cut_off(lambda release=release, at=at: stage.stage(source, release), at)
        for place, record in zip(stage.places(release), records(stage, release), strict=True):
            assert not record or picture(place) == picture(tree), f"cut off at change {at}"
        stage.stage(source, release)
        assert [picture(place) == picture(tree) for place in stage.places(release)] == [True] * 3
        at += 29
    assert at > 200, "it was cut off more than once"
    assert not list(stage.root.rglob(".staging-*"))
