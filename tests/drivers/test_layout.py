"""Shared and writable paths, and configuration, in the copies of a release on a real disk."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _release
from ansible_collections.hotswap.bluegreen.plugins.module_utils._configuration import File, dump, load
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Job, Layout

from tests.drivers.shop import altered, snapshot
from tests.drivers.staging import Stage

ROOT = os.geteuid() == 0
ME = pwd.getpwuid(os.geteuid()).pw_name
USER, SEALED = ("nobody", "root") if ROOT else (ME, ME)  # without root all stays ours


@pytest.fixture
def shared(stage: Stage) -> Callable[..., Path]:
    """Sets the wish's layout, and its user; gives the directory of what is shared."""

    def layout(*directories: str, files: tuple[str, ...] = (), writable: tuple[str, ...] = ()) -> Path:
        stage.wish = altered(stage.wish, layout=Layout(directories, files, writable), program={"user": USER})
        return stage.root / "shared"

    for folder in (stage.folder, *stage.folder.parents[:2]):
        folder.chmod(0o755)
    return layout


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


# What is shared


def test_a_shared_directory_begins_as_the_release_s_own_and_outlives_releases(stage: Stage, shared: Callable[..., Path]) -> None:
    place = shared("public") / "public"
    stage.stage(stage.source("a.tar.gz"), "v1")
    (place / "upload.jpg").write_text("picture")
    (place / "größe.txt").unlink()
    stage.stage(stage.source("b.tar.gz", more="x"), "v2")

    for release in ("v1", "v2"):
        for copy in stage.places(release)[1:]:
            assert [path.name for path in (copy / "public").iterdir()] == ["upload.jpg"], "seeded once, and from then on the application's"
    assert place.owner() == USER
    assert (stage.places("v2")[0] / "public/größe.txt").exists(), "the release itself is as it came"


def test_what_the_release_does_not_have_begins_empty(stage: Stage, shared: Callable[..., Path]) -> None:
    place = shared("var/log", "storage", files=(".env", "config/local.ini"))
    stage.stage()
    blue = stage.places()[1]

    assert (place / "var/log").is_dir() and not any((place / "var/log").iterdir())
    assert mode(place / ".env") == mode(place / "config/local.ini") == 0o640
    assert (place / ".env").owner() == (place / "storage").owner() == (blue / "config").owner() == USER
    for path in ("var/log", "storage", ".env", "config/local.ini"):
        assert (blue / path).samefile(place / path)
        assert not os.readlink(blue / path).startswith("/"), "the root can be mounted elsewhere"


def test_a_shared_file_begins_as_the_release_s_own(stage: Stage, shared: Callable[..., Path]) -> None:
    place = shared(files=("settings.ini",))
    stage.stage(stage.source(**{"settings.ini": "first"}), "v1")
    (place / "settings.ini").write_text("changed by hand")
    stage.stage(stage.source("b.tar.gz", **{"settings.ini": "second"}), "v2")
    assert (stage.places("v2")[2] / "settings.ini").read_text() == "changed by hand"


def test_the_place_of_single_jobs_has_the_same_links(stage: Stage, shared: Callable[..., Path]) -> None:
    place = shared("storage")
    stage.wish = altered(stage.wish, jobs=(Job("queue", ("bin/server",), "host"),))
    stage.stage()
    assert (stage.root / "workers/v1/storage").samefile(place / "storage")


def test_the_same_layout_again_changes_nothing_and_another_is_refused(stage: Stage, shared: Callable[..., Path]) -> None:
    shared("storage")
    stage.stage()
    before = snapshot(stage.root)
    assert not stage.stage().changed
    shared("storage", "cache")
    with pytest.raises(
        Refusal, match=r"already in .* with other bluegreen_shared_paths or bluegreen_writable_paths \(shared: storage; now shared: storage, cache\)"
    ):
        stage.stage()
    assert snapshot(stage.root) == before


def test_what_an_administrator_put_elsewhere_is_used(stage: Stage, shared: Callable[..., Path]) -> None:
    place = shared("storage")
    (stage.folder / "mounted").mkdir()
    place.mkdir()
    (place / "storage").symlink_to(stage.folder / "mounted")
    stage.stage()
    assert (stage.places()[1] / "storage").samefile(stage.folder / "mounted")


def a_link_out(stage: Stage, content: Path) -> None:
    (content / "out").symlink_to(stage.folder)


def a_link_inside(_stage: Stage, content: Path) -> None:
    (content / "out").symlink_to("public")


def nothing(_stage: Stage, _content: Path) -> None:
    """The release as it is."""


@pytest.mark.parametrize(
    ("prepare", "layout", "said"),
    [
        (a_link_out, Layout(("out/data",)), "bluegreen_shared_paths: out/data leads out of the release, through a link of it"),
        (a_link_out, Layout((), ("out/data/.env",)), "bluegreen_shared_paths: out/data/.env leads out of the release"),
        (a_link_out, Layout(writable=("out/data",)), "bluegreen_writable_paths: out/data leads out of the release"),
        (a_link_inside, Layout(("public", "out/data")), "bluegreen_shared_paths: out/data is inside public, through a link of release v1"),
        (nothing, Layout(("bin/server",)), "bluegreen_shared_paths: bin/server is a file in release v1; give it the type file"),
        (nothing, Layout((), ("bin",)), "bluegreen_shared_paths: bin is a directory in release v1; give it the type directory"),
        (nothing, Layout(("bin/server/data",)), "bluegreen_shared_paths: bin/server/data goes through bin/server, which is a file of the release"),
        (nothing, Layout(writable=("bin/server",)), "bluegreen_writable_paths: bin/server is a file in release v1."),
    ],
)
def test_a_path_that_the_release_cannot_have_is_refused_and_nothing_is_there(
    stage: Stage, prepare: Callable[[Stage, Path], None], layout: Layout, said: str
) -> None:
    tree = stage.folder / "tree"
    tree.mkdir()
    subprocess.run(["tar", "-xf", stage.source().path, "-C", tree], check=True)
    prepare(stage, tree) if prepare is a_link_inside else None
    build = {"command": (f"ln -s {stage.folder} out",)} if prepare is a_link_out else {}  # an archive cannot have it, a build can make it
    stage.wish = altered(stage.wish, layout=layout)
    with pytest.raises(Refusal) as told:
        stage.stage(stage.directory(tree), **build)
    assert str(told.value).startswith(said)
    assert stage.is_clean()
    assert not (stage.root / "shared").exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("x"), "is a file, and storage shall be a directory"),
        (lambda path: path.symlink_to("nowhere"), "is a link to nothing"),
    ],
)
def test_what_is_shared_already_must_be_of_the_kind(stage: Stage, shared: Callable[..., Path], make: Callable[[Path], object], said: str) -> None:
    place = shared("storage")
    place.mkdir()
    make(place / "storage")
    with pytest.raises(Refusal, match=said):
        stage.stage()
    assert stage.is_clean()


# Who may write


def test_with_writable_paths_the_user_reads_all_and_writes_only_there(stage: Stage, shared: Callable[..., Path]) -> None:
    shared("storage", writable=("runtime", "var/cache"))
    stage.stage()
    for copy in stage.places()[1:]:
        group = pwd.getpwnam(USER).pw_gid
        for path in [copy, *copy.rglob("*")]:
            mine = path.name in ("runtime", ".keep", "cache")
            assert pwd.getpwuid(path.lstat().st_uid).pw_name == (USER if mine else SEALED), path
            assert mine or not ROOT or path.lstat().st_gid == group
        assert (mode(copy), mode(copy / "bin/server"), mode(copy / "public/größe.txt")) == (0o750, 0o750, 0o640)
        may = "cat public/* bin/* && echo x > runtime/a && echo x > var/cache/b && echo x > storage/c"
        must_not = " && ! echo x > new && ! echo x >> bin/server && ! rm public/*" if ROOT else ""
        become = ["setpriv", f"--reuid={USER}", f"--regid={group}", "--clear-groups"] if ROOT else []
        command = [*become, "sh", "-c", may + must_not]
        done = subprocess.run(command, cwd=copy, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_build_in_a_slot_writes_everywhere_before_the_copy_is_sealed(stage: Stage, shared: Callable[..., Path]) -> None:
    shared(writable=("runtime",))
    stage.stage(command=("mkdir venv && echo built > venv/app && chmod 700 venv/app && echo >> bin/server",), in_slot=True)
    copy = stage.places()[1]
    assert (copy / "venv/app").owner() == SEALED
    assert (mode(copy / "venv"), mode(copy / "venv/app")) == (0o750, 0o750)
    assert (copy / "runtime").owner() == USER


# Configuration


def test_configuration_is_in_every_copy_and_only_for_the_service_s_user(stage: Stage, shared: Callable[..., Path]) -> None:
    shared()
    stage.configuration = (File("config/secret.ini", 0o600, b"password=s3cret\n"), File("public/größe.txt", 0o640, "größer".encode()))
    stage.stage()
    pristine, *copies = stage.places()
    for copy in copies:
        assert (copy / "config/secret.ini").read_bytes() == b"password=s3cret\n"
        assert (copy / "public/größe.txt").read_text() == "größer", "it stands in the place of the release's own"
        assert (copy / "config/secret.ini").owner() == USER
        assert (mode(copy / "config/secret.ini"), mode(copy / "public/größe.txt")) == (0o600, 0o640)
    assert mode(pristine / "config/secret.ini") == 0o600
    assert mode(stage.root / "releases/.v1.json") == 0o600, "who reads a digest can try guesses"
    assert "s3cret" not in "".join(path.read_text() for path in stage.root.rglob(".v1*") if path.is_file())


def test_configuration_stays_the_user_s_in_a_sealed_copy(stage: Stage, shared: Callable[..., Path]) -> None:
    shared(writable=("runtime",))
    stage.configuration = (File("config/secret.ini", 0o600, b"x"),)
    stage.stage()
    for copy in stage.places()[1:]:
        assert ((copy / "config/secret.ini").owner(), mode(copy / "config/secret.ini")) == (USER, 0o600)
        assert ((copy / "config").owner(), mode(copy / "config")) == (SEALED, 0o750)


def test_a_build_sees_the_configuration(stage: Stage, shared: Callable[..., Path]) -> None:
    shared()
    stage.configuration = (File("app.ini", 0o600, b"colour=red\n"),)
    stage.stage(command=("cp app.ini built",))
    assert (stage.places()[1] / "built").read_text() == "colour=red\n"


def test_the_same_release_with_other_configuration_is_refused_and_another_release_may_have_it(stage: Stage) -> None:
    stage.configuration = (File("app.ini", 0o600, b"colour=red\n"),)
    stage.stage()
    assert not stage.stage().changed
    before = snapshot(stage.root)
    for other in ((), (File("app.ini", 0o600, b"colour=blue\n"),), (File("app.ini", 0o640, b"colour=red\n"),)):
        stage.configuration = other
        with pytest.raises(
            Refusal, match=r"already in .* with other configuration \(bluegreen_config_files\)\. Give code with new configuration a new bluegreen_release\."
        ):
            stage.stage()
    assert snapshot(stage.root) == before
    stage.configuration = (File("app.ini", 0o600, b"colour=blue\n"),)
    stage.stage(release="v2")
    assert [(stage.root / "blue" / release / "app.ini").read_text() for release in ("v1", "v2")] == ["colour=red\n", "colour=blue\n"]


def test_configuration_is_never_written_into_an_earlier_release_s_file(stage: Stage) -> None:
    tree = stage.folder / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/server").write_text("#!/bin/sh\n")
    (tree / "bin/server").chmod(0o755)
    (tree / "app.ini").write_text("the release's own\n")
    stage.stage(stage.directory(tree), "v1")
    stage.configuration = (File("app.ini", 0o644, b"rendered\n"),)
    stage.stage(stage.directory(tree), "v2")
    assert [(stage.places(release)[0] / "app.ini").read_text() for release in ("v1", "v2")] == ["the release's own\n", "rendered\n"]
    assert "app.ini" not in _release.releases(stage.wish.root).contents("v2")


@pytest.mark.parametrize(("dest", "said"), [("public", "is a directory of the release"), ("bin/server/x", "goes through bin/server, which is a file")])
def test_configuration_that_has_no_place_is_refused(stage: Stage, dest: str, said: str) -> None:
    stage.configuration = (File(dest, 0o600, b"x"),)
    with pytest.raises(Refusal, match=f"bluegreen_config_files: {dest} {said}"):
        stage.stage()
    assert stage.is_clean()


def test_any_bytes_reach_the_host_as_they_are() -> None:
    files = (File("a", 0o600, bytes(range(256))), File("größe", 0o640, b""))
    assert load(dump(files)) == files
    assert "content" not in repr(files)


def test_a_root_behind_a_link_can_be_mounted_elsewhere_too(stage: Stage, shared: Callable[..., Path]) -> None:
    place = shared("storage")
    (stage.folder / "deep" / "data").mkdir(parents=True)
    stage.root.rename(stage.folder / "deep/data/shop")
    stage.root.symlink_to("deep/data/shop")
    stage.stage()
    assert (stage.places()[1] / "storage").samefile(place / "storage")
    assert os.readlink(stage.places()[1] / "storage") == "../../shared/storage"
