"""Staging on a real disk: complete, the same again, other content, failed, and cut off at every operation."""

from __future__ import annotations

import http.server
import os
import pwd
import signal
import socket
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _release, _stage
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from tests.drivers.shop import altered, snapshot
from tests.drivers.staging import FILES, Stage
from tools.bed import alive, wait_until


def cut_off(work: Callable[[], object], at: int) -> bool:
    """Do ``work`` in a process that is killed before its ``at``-th change of the file system. Whether it came to that."""
    changes = {"os.rename", "os.mkdir", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "os.link", "os.utime", "os.truncate", "shutil.rmtree"}
    seen = 0

    def watch(name: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = name == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if name in changes or writes:
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            sys.addaudithook(watch)
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the work itself failed"
    return os.WIFSIGNALED(status)


def test_a_release_is_staged_to_releases_and_to_each_slot(stage: Stage) -> None:
    stage.environment = {"GREETING": 'it\'s % "here"\nund größer'}
    done = stage.stage()
    assert done == _stage.Staged(changed=True, release_new=True)
    assert stage.is_staged()
    for place in stage.places():
        assert {str(path.relative_to(place)): path.read_text() for path in place.rglob("*") if path.is_file()} == FILES
        assert os.access(place / "bin/server", os.X_OK)
    for slot in ("blue", "green"):
        start = stage.root / slot / ".launch" / "v1"
        assert start.stat().st_mode & 0o777 == 0o700, "it may hold secrets"
        assert "GREETING=" in start.read_text()
        assert not (stage.root / slot / "current").is_symlink(), "nothing that serves is touched"


def test_the_same_again_changes_nothing(stage: Stage) -> None:
    stage.stage()
    before = snapshot(stage.root)
    assert stage.stage() == _stage.Staged(changed=False, release_new=False)
    assert snapshot(stage.root) == before


def test_other_content_under_the_same_name_is_refused(stage: Stage) -> None:
    stage.stage()
    before = snapshot(stage.root)
    with pytest.raises(Refusal, match=r"release v1 is already in .*/releases with other content .* Give the new content a new bluegreen_release\."):
        stage.stage(stage.source("other.tar.gz", **{"more.txt": "more"}))
    with pytest.raises(Refusal, match=r"release v1 is already in .*, built with ''"):
        stage.stage(command=("true",))
    assert snapshot(stage.root) == before


def test_another_environment_waits_beside_the_start_in_use(stage: Stage) -> None:
    stage.stage()
    place = _release.SlotPlace(str(stage.root), "blue")
    place.point("v1")
    before = (stage.root / "blue" / ".launch" / "v1").read_text()
    stage.environment = {"COLOUR": "red"}
    assert stage.stage().pending == ("blue",), "green does not use it: there it is written at once"
    assert (stage.root / "blue" / ".launch" / "v1").read_text() == before
    assert "COLOUR" in (stage.root / "green" / ".launch" / "v1").read_text()
    stage.environment = {}
    assert stage.stage().pending == (), "back to what it was: nothing waits any more"


def test_copies_do_not_share_a_byte(stage: Stage) -> None:
    stage.stage()
    pristine, blue, green = stage.places()
    with open(blue / "public/größe.txt", "r+") as file:
        file.write("changed in place")
    os.chmod(green / "bin/server", 0o700)
    (green / "runtime" / "app.pid").write_text("4711")
    assert (pristine / "public/größe.txt").read_text() == (green / "public/größe.txt").read_text() == "x" * 3000
    assert not (blue / "runtime" / "app.pid").exists() and not (pristine / "runtime" / "app.pid").exists()
    assert pristine.joinpath("bin/server").stat().st_mode & 0o777 == 0o755
    assert not stage.stage().changed, "what an application writes into its copy is its own"


# What is no release


def test_a_wrong_checksum_is_told_before_anything_is_unpacked(stage: Stage) -> None:
    path = stage.folder / "shop.tar.gz"
    path.write_bytes(b"not even an archive")
    source = _stage.Source("shop.tar.gz", "sha256:x", str(path), checksum="sha256:" + "0" * 64)
    with pytest.raises(Refusal, match=r"shop\.tar\.gz has the checksum sha256:[0-9a-f]{64}, expected sha256:0{64}\. Nothing was unpacked\."):
        stage.stage(source)
    assert stage.is_clean()


def test_an_archive_that_is_cut_short_leaves_nothing(stage: Stage) -> None:
    source = stage.source()
    path = Path(source.path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(Refusal, match="cut short"):
        stage.stage(source)
    assert stage.is_clean()


def test_a_release_without_its_command_is_refused(stage: Stage) -> None:
    stage.wish = altered(stage.wish, program={"command": ("venv/bin/gunicorn",)})
    with pytest.raises(Refusal, match=r"release v1 has no venv/bin/gunicorn\."):
        stage.stage()
    assert stage.is_clean()


def test_a_release_in_a_directory_of_its_archive_is_hinted_at(stage: Stage) -> None:
    path = stage.folder / "deep.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("shop-1.0/bin/server")
        info.mode = 0o755
        tar.addfile(info)
    source = _stage.Source("deep.tar", "sha256:y", str(path))
    with pytest.raises(Refusal, match=r"It is below shop-1\.0/: set bluegreen_source's strip to 1\."):
        stage.stage(source)
    assert stage.stage(replace(source, strip=1)).changed


def test_a_command_that_is_not_executable_is_refused(stage: Stage) -> None:
    stage.wish = altered(stage.wish, program={"command": ("public/größe.txt",)})
    with pytest.raises(Refusal, match="is not an executable file"):
        stage.stage()
    assert stage.is_clean()


def test_a_host_that_is_not_installed_is_told_so(stage: Stage) -> None:
    stage.wish = replace(stage.wish, root=f"{stage.folder}/none")
    with pytest.raises(Refusal, match=r"is not there: run hotswap\.bluegreen\.install"):
        stage.stage()


def test_a_release_that_the_disk_cannot_hold_is_refused(stage: Stage) -> None:
    free = os.statvfs(stage.root)
    with pytest.raises(Refusal, match=r"MB free; the release needs \d+ MB"):
        _stage.check_space(str(stage.root), free.f_bavail * free.f_frsize, "the release")
    _stage.check_space(str(stage.root), 0, "nothing")


# From a URL


@pytest.fixture
def server(stage: Stage) -> Iterator[str]:
    """The stage's directory over HTTP; ``/short`` announces more than it sends."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/short":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"short")
            else:
                super().do_GET()

        def log_message(self, *words: object) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *words: Handler(*words, directory=str(stage.folder))) as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join(10)


def test_an_archive_is_fetched_and_its_checksum_verified(stage: Stage, server: str) -> None:
    source = stage.source()
    assert stage.stage(replace(source, path="", url=f"{server}/shop.tar.gz", checksum=source.digest)).changed
    assert stage.is_staged()
    with pytest.raises(Refusal, match="Nothing was unpacked"):
        stage.stage(replace(source, path="", url=f"{server}/shop.tar.gz", checksum="sha256:" + "1" * 64), release="v2")
    assert stage.is_clean("v2")


@pytest.mark.parametrize(
    ("path", "said"), [("/none.tar.gz", "cannot fetch shop.tar.gz: File not found"), ("/short", "cannot fetch shop.tar.gz: 5 of 1000 bytes came")]
)
def test_a_download_that_fails_leaves_nothing(stage: Stage, server: str, path: str, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        stage.stage(_stage.Source("shop.tar.gz", "sha256:x", url=server + path))
    assert stage.is_clean()


def test_a_server_that_is_not_there_is_said_so(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Refusal, match=r"cannot fetch shop\.tar\.gz: .*refused"):
        stage.stage(_stage.Source("shop.tar.gz", "sha256:x", url=f"http://127.0.0.1:{port}/"))


# The build


def test_a_build_runs_in_the_release_and_every_slot_has_what_it_made(stage: Stage) -> None:
    stage.environment = {"COLOUR": "green"}
    stage.stage(command=('echo "$COLOUR $BLUEGREEN_SERVICE $BLUEGREEN_RELEASE" > built',))
    assert [(place / "built").read_text() for place in stage.places()] == ["green shop v1\n"] * 3


def test_a_build_in_words_runs_without_a_shell(stage: Stage) -> None:
    stage.stage(command=("touch", "a; b $HOME"))
    assert (stage.places()[0] / "a; b $HOME").exists()


def test_a_build_may_make_the_command(stage: Stage) -> None:
    stage.wish = altered(stage.wish, program={"command": ("venv/bin/app",)})
    stage.stage(command=("mkdir -p venv/bin && cp bin/server venv/bin/app",))
    assert stage.is_staged(command=("mkdir -p venv/bin && cp bin/server venv/bin/app",))


def test_a_build_in_each_slot_runs_at_its_final_path_with_the_slots_variables(stage: Stage) -> None:
    stage.stage(command=('pwd > where; echo "$PORT $BLUEGREEN_SLOT" >> where',), in_slot=True)
    pristine, blue, green = stage.places()
    assert (blue / "where").read_text() == f"{blue}\n9502 blue\n"
    assert (green / "where").read_text() == f"{green}\n9503 green\n"
    assert not (pristine / "where").exists()


@pytest.mark.parametrize("in_slot", [False, True])
def test_a_build_that_fails_is_shown_and_leaves_nothing_to_run(stage: Stage, in_slot: bool) -> None:
    with pytest.raises(Refusal, match=r"(?s)ended with exit status 3 in release v1.*\n  no such package$"):
        stage.stage(command=("touch half; echo no such package >&2; exit 3",), in_slot=in_slot)
    assert not any(place.exists() for place in stage.places()[1:])
    assert not stage.is_staged(command=("touch half; echo no such package >&2; exit 3",), in_slot=in_slot)
    assert stage.places()[0].exists() == in_slot, "the pristine release itself was not built, and is right"


def test_a_build_in_a_slot_that_failed_once_can_succeed_later(stage: Stage) -> None:
    flag = stage.folder / "flag"
    command = (f"test -e {flag} && touch done",)
    with pytest.raises(Refusal, match="exit status 1"):
        stage.stage(command=command, in_slot=True)
    flag.touch()
    assert stage.stage(command=command, in_slot=True).changed
    assert [(place / "done").exists() for place in stage.places()] == [False, True, True]


def test_a_build_in_a_slot_that_failed_can_be_mended_under_the_same_name(stage: Stage) -> None:
    with pytest.raises(Refusal):
        stage.stage(command=("exit 3",), in_slot=True)
    assert stage.stage(command=("echo mended > built",), in_slot=True).changed
    with pytest.raises(Refusal, match="built with 'echo mended > built"):
        stage.stage(command=("echo other > built",), in_slot=True)


def test_a_build_that_takes_too_long_ends_with_all_its_processes(stage: Stage) -> None:
    pids = stage.folder / "pids"
    command = (f"sleep 60 & echo $! > {pids}; (trap '' TERM; sleep 61 & echo $! >> {pids}; wait) & wait",)
    with pytest.raises(Refusal, match=r"took longer than bluegreen_build_timeout \(0\.5 s\)"):
        stage.stage(command=command, timeout=0.5)
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) == 2
    for pid in found:
        wait_until(lambda pid=pid: not alive(pid), what=f"the end of {pid}")
    assert stage.is_clean()


def test_what_a_build_leaves_running_is_ended(stage: Stage) -> None:
    stage.stage(command=(f"sleep 60 > /dev/null 2>&1 & echo $! > {stage.folder}/pid",))
    pid = int((stage.folder / "pid").read_text())
    wait_until(lambda: not alive(pid), what="the end of the build's child")


def test_the_service_user_owns_its_copies_and_nobody_but_root_the_release(stage: Stage) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    user = "nobody" if os.geteuid() == 0 else me  # without root all stays ours
    for folder in (stage.folder, *stage.folder.parents[:2]):
        folder.chmod(0o755)
    stage.wish = altered(stage.wish, program={"user": user})
    stage.stage(command=("id -un > who",))
    pristine, blue, green = stage.places()
    assert (blue / "who").read_text() == f"{user}\n"
    assert {path.owner() for place in (blue, green) for path in [place, *place.rglob("*")]} == {user}
    assert {path.owner() for path in [pristine, *pristine.rglob("*")]} == {me}
    assert (stage.root / "blue" / ".launch" / "v1").owner() == user


# Cut off


@pytest.mark.parametrize(
    "build", [{}, {"command": ("echo built > built",)}, {"command": ("echo built > built",), "in_slot": True}], ids=["plain", "built", "built in slot"]
)
def test_a_stage_that_is_killed_at_any_operation_is_no_release_and_the_next_one_completes_it(stage: Stage, build: dict[str, Any]) -> None:
    source = stage.source()
    at, changes = 0, 0
    while True:
        at += 1
        release = f"v{at}"
        if not cut_off(lambda release=release: stage.stage(source, release, **build), at):
            break
        changes += 1
        # Whatever is taken for a release is a whole one.
        for place, record in zip(stage.places(release), records(stage, release), strict=True):
            if record:
                assert content(place) >= set(FILES) | ({"built"} if built_here(build, place) else set()), f"cut off at change {at}"
        stage.stage(source, release, **build)
        assert stage.is_staged(release, **build)
        for place in stage.places(release):
            assert content(place) == set(FILES) | ({"built"} if built_here(build, place) else set())
    assert changes > 20, "it was cut off more than once"
    assert not list(stage.root.rglob(".staging-*"))


def records(stage: Stage, release: str) -> list[dict[str, Any]]:
    return [_release.releases(stage.wish.root).record(release), *(_release.SlotPlace(stage.wish.root, slot).record(release) for slot in ("blue", "green"))]


def built_here(build: dict[str, Any], place: Path) -> bool:
    return bool(build) and not (build.get("in_slot") and place.parent.name == "releases")


def content(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def test_a_directory_without_a_record_is_no_release(stage: Stage) -> None:
    for place in stage.places():
        place.mkdir()
        (place / "half").touch()
    assert not stage.is_staged()
    stage.stage()
    assert not any((place / "half").exists() for place in stage.places())
    assert stage.is_staged()


def test_a_copy_in_use_whose_record_was_lost_is_not_thrown_away(stage: Stage) -> None:
    stage.stage()
    place = _release.SlotPlace(str(stage.root), "blue")
    place.point("v1")
    place.forget_record("v1")
    inode = stage.places()[1].stat().st_ino
    stage.stage()
    assert stage.places()[1].stat().st_ino == inode and place.record("v1")
