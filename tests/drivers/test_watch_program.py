"""The watch of development, as the one file that is installed, beside a real supervisord and a program with code in a directory."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _pack, _supervisor
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Supervisor
from ansible_collections.hotswap.bluegreen.plugins.module_utils._watch import _checks, _settings

from tests.drivers.conftest import next_service
from tools.bed import PYTHON, Bed, alive, end, wait_until

PATIENCE = 60.0  # seconds for what takes one at most
LONG = 3.0  # seconds of quiet that no test waits for, when it shows that many changes are one
# Notes each start and each reload, with the code that it finds then; a "slow" one takes a second to stop.
APP = """
import pathlib, signal, sys, time
code, told = map(pathlib.Path, sys.argv[1:3])
def load(how, *_):
    value = {}
    exec((code / "value.py").read_text(), value)
    with told.open("a") as out:
        out.write(f"{how} {value['VALUE']}\\n")
def stop(*_):
    told.with_name("stopping").touch()
    time.sleep(1 if "slow" in sys.argv else 0)
    sys.exit()
signal.signal(signal.SIGUSR1, lambda *_: load("reload"))
signal.signal(signal.SIGTERM, stop)
load("start")
while True:
    time.sleep(60)
"""
FEW = 'echo 2 > /proc/sys/user/max_inotify_watches && exec "$@"'  # in a user namespace of its own: the machine's limit stays
PYTHONS = (_checks.Check(("*.py",), (PYTHON, *_checks.DEFAULT[1].command[1:])),)


@functools.lru_cache
def packed() -> bytes:
    return _pack.pack("_watch._main")


class Edited:
    """A program that runs from a directory, and the watch of that directory."""

    def __init__(self, bed: Bed, path: Path, *words: str) -> None:
        self.path, self.name = path, next_service()
        self.code, self.told, self.log = path / "code", path / "told", path / "watch.log"
        self.watch: subprocess.Popen[bytes] | None = None
        where = Supervisor(config=f"{bed.path}/supervisord.conf", program_dir=f"{bed.path}/programs")
        self.client = _supervisor.connect(where)
        self.settings = _settings.Settings(program=self.name, paths=(str(self.code),), reload="USR1", debounce=0.2, checks=PYTHONS, supervisor=where)
        self.code.mkdir()
        self.save(1)
        (path / "app.py").write_text(APP)
        self.program = bed.path / "programs" / f"{self.name}.conf"
        self.program.write_text(
            f"[program:{self.name}]\ncommand={PYTHON} {path}/app.py {self.code} {self.told} {' '.join(words)}\nstartsecs=0\nstartretries=0\n"
            f"redirect_stderr=true\nstdout_logfile={path}/app.log\n"
        )
        self.client.reread()
        self.client.add(self.name)
        self.loads("start 1")

    def begin(self, *words: str, **changes: Any) -> Edited:
        """Start the watch; ``words`` come before its command."""
        (self.path / "watch.pyz").write_bytes(packed())
        (self.path / "watch.json").write_text(_settings.dumps(replace(self.settings, **changes)))
        with self.log.open("wb") as log:
            command = [*words, PYTHON, "-I", "-B", f"{self.path}/watch.pyz", f"{self.path}/watch.json"]
            self.watch = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.says("watching ")
        return self

    def lines(self) -> list[str]:
        """What the log says after the line that tells of the beginning, without the times of day."""
        return [line.split(" ", 2)[2] for line in self.log.read_text().splitlines() if " watching " not in line]

    def says(self, *words: str, times: int = 1) -> str:
        """The line that has these words, once it is there so often."""

        def found() -> str:
            fit = [line for line in self.log.read_text().splitlines() if all(word in line for word in words)]
            return fit[-1] if len(fit) >= times else ""

        with contextlib.suppress(TimeoutError):
            return str(wait_until(found, PATIENCE))
        raise AssertionError(f"{words} is not in:\n{self.log.read_text()}")

    def loads(self, *wanted: str) -> None:
        """The program has loaded these, and no others since its start."""
        wait_until(lambda: self.told.exists() and len(self.told.read_text().splitlines()) >= len(wanted), PATIENCE, f"{wanted}")
        assert self.told.read_text().splitlines() == list(wanted)

    def save(self, value: object, name: str = "value.py") -> None:
        (self.code / name).write_text(f"VALUE = {value}\n")

    def remove(self) -> None:
        if self.watch and self.watch.poll() is None:
            self.watch.kill()
            self.watch.wait()
        _supervisor.forget(self.client, self.name)
        self.program.unlink()


@pytest.fixture
def edited(app_bed: Bed, tmp_path: Path) -> Iterator[Edited]:
    one = Edited(app_bed, tmp_path)
    yield one
    one.remove()


@pytest.fixture
def slow(app_bed: Bed, tmp_path: Path) -> Iterator[Edited]:
    """One whose program takes a second to stop."""
    one = Edited(app_bed, tmp_path, "slow")
    yield one
    one.remove()


def test_a_save_is_loaded_once_by_the_signal_and_one_line_tells_of_it(edited: Edited) -> None:
    edited.begin()

    edited.save(2)

    assert edited.says("loaded: value.py; checked ", ", reloaded ", "(USR1 to pid ")
    edited.loads("start 1", "reload 2")
    assert edited.watch
    edited.watch.send_signal(signal.SIGTERM)
    assert edited.watch.wait(PATIENCE) == 0
    assert len(edited.log.read_text().splitlines()) == 2


def test_a_checkout_of_five_hundred_files_is_one_reload(edited: Edited) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=dev", "-c", "user.email=dev@localhost", "-c", "init.defaultBranch=main")
        subprocess.run(["git", *who, *words], cwd=edited.code, check=True, stdin=subprocess.DEVNULL, capture_output=True)

    git("init")
    for number in range(499):
        (edited.code / f"{number}.txt").write_text("one\n")
    git("add", ".")
    git("commit", "-m", "one")
    git("checkout", "-b", "other")
    for number in range(499):
        (edited.code / f"{number}.txt").write_text("two\n")
    edited.save(2)
    git("commit", "-a", "-m", "two")
    git("checkout", "main")
    edited.begin(debounce=LONG / 2)

    git("checkout", "other")

    edited.says("loaded: 0.txt and 499 more; ")
    edited.loads("start 1", "reload 2")
    assert len(edited.lines()) == 1


def test_the_atomic_saves_of_vim_and_jetbrains_are_one_change_of_the_file(edited: Edited) -> None:
    edited.begin()
    file = edited.code / "value.py"

    (edited.code / "4913").touch()
    (edited.code / "4913").unlink()
    file.rename(edited.code / "value.py~")
    edited.save(2)
    (edited.code / "value.py~").unlink()
    edited.says("loaded: value.py; ")
    edited.save(3, "value.py___jb_tmp___")
    file.rename(edited.code / "value.py___jb_old___")
    (edited.code / "value.py___jb_tmp___").rename(file)
    (edited.code / "value.py___jb_old___").unlink()

    edited.says("loaded: value.py; ", times=2)
    edited.loads("start 1", "reload 2", "reload 3")


def test_a_syntax_error_is_shown_and_not_loaded_until_it_is_mended_whatever_else_is_saved(edited: Edited) -> None:
    edited.begin()

    (edited.code / "broken.py").write_text("def f(:\n")
    assert "not loaded: broken.py:1: SyntaxError: " in edited.says("not loaded")
    edited.save(2)
    assert "broken.py:1" in edited.says("not loaded", "broken.py and 1 more")
    edited.loads("start 1")
    assert list(edited.code.rglob("*.pyc")) == []
    (edited.code / "broken.py").write_text("def f(): ...\n")

    edited.says(" loaded: broken.py and 1 more; ")
    edited.loads("start 1", "reload 2")
    assert len(edited.lines()) == 3


def test_what_is_put_back_as_it_runs_is_not_loaded_and_a_touch_neither(edited: Edited) -> None:
    edited.begin()

    os.utime(edited.code / "value.py")
    edited.save("(")
    edited.says("not loaded: value.py:1")
    edited.save(1)
    edited.says("as it runs again")
    os.utime(edited.code / "value.py")
    edited.save(2)

    edited.says(" loaded: value.py; ")
    edited.loads("start 1", "reload 2")
    assert len(edited.lines()) == 3


def test_a_directory_that_is_taken_away_and_comes_back_is_watched_again(edited: Edited) -> None:
    (edited.code / "part").mkdir()
    (edited.code / "part" / "a.txt").write_text("one")
    edited.begin()

    shutil.rmtree(edited.code / "part")
    edited.says("loaded: part/a.txt; ")
    (edited.code / "part").mkdir()
    (edited.code / "part" / "a.txt").write_text("two")
    edited.says("loaded: part/a.txt; ", times=2)
    shutil.rmtree(edited.code / "part")
    (edited.code / "part").mkdir()  # at once: the same name, another directory
    (edited.code / "part" / "a.txt").write_text("three")
    edited.says("loaded: part/a.txt; ", times=3)
    (edited.code / "part" / "a.txt").write_text("four")
    edited.says("loaded: part/a.txt; ", times=4)

    edited.code.rename(edited.path / "away")
    edited.code.mkdir()
    edited.save(2)
    edited.says("loaded: part/a.txt and 1 more; ")
    edited.save(3)
    edited.says("loaded: value.py; ")


def test_a_path_that_is_not_there_yet_a_link_and_a_single_file_are_watched(edited: Edited) -> None:
    current, file = edited.path / "current", edited.path / "one.ini"
    for name in ("old", "new"):
        (edited.path / name).mkdir()
        (edited.path / name / "a.txt").write_text(name)
    edited.begin(paths=(str(edited.code), str(current), str(file)))
    assert f"not there yet: {current}, {file}" in edited.says("watching ")

    current.symlink_to("old")
    edited.says("loaded: a.txt; ")
    (edited.path / "draft").symlink_to("new")
    (edited.path / "draft").rename(current)
    edited.says("loaded: a.txt; ", times=2)
    (edited.path / "new" / "a.txt").write_text("newer")
    edited.says("loaded: a.txt; ", times=3)
    file.write_text("one")
    edited.says(f"loaded: {file}; ")
    file.with_name("draft.ini").write_text("two")
    file.with_name("draft.ini").rename(file)
    edited.says(f"loaded: {file}; ", times=2)


def test_a_build_that_fails_is_shown_and_not_loaded(edited: Edited) -> None:
    (edited.path / "build.sh").write_text("echo compiling\n[ -e made ] || { echo 'app.ts(3): no such type'; exit 2; }\n")
    edited.begin(build=("sh", f"{edited.path}/build.sh"))

    edited.save(2)
    assert edited.says("not loaded: the build fails: compiling | app.ts(3): no such type (value.py; checked ", ", built ")
    edited.loads("start 1")
    (edited.code / "made").touch()

    edited.says(" loaded: made and 1 more; ", ", built ")
    edited.loads("start 1", "reload 2")


def test_what_is_saved_during_a_build_is_loaded_by_another_round(edited: Edited) -> None:
    hold = edited.path / "hold"
    hold.touch()
    (edited.path / "build.sh").write_text(f"touch {edited.path}/building\nwhile [ -e {hold} ]; do sleep 0.05; done\n")
    edited.begin(build=("sh", f"{edited.path}/build.sh"))

    edited.save(2)
    wait_until((edited.path / "building").exists, PATIENCE)
    edited.save(3, "other.py")
    hold.unlink()

    edited.says(" loaded: value.py; ")
    edited.says(" loaded: other.py; ")
    edited.loads("start 1", "reload 2", "reload 2")


def test_at_the_kernels_limit_it_says_which_and_goes_on_by_looking(edited: Edited) -> None:
    for name in "abcd":
        (edited.code / name).mkdir()
    edited.begin("unshare", "--user", "--map-root-user", "sh", "-c", FEW, "sh")

    assert edited.says("watches no more directories", "5 are to be watched", "fs.inotify.max_user_watches = ", "fs.inotify.max_user_instances = ")
    (edited.code / "d" / "x.txt").touch()

    edited.says(" loaded: d/x.txt; ")
    assert len(edited.lines()) == 2


def test_where_the_file_system_tells_nothing_it_looks_by_the_clock(edited: Edited) -> None:
    edited.begin(poll=0.1)

    edited.save(2)

    edited.says(" loaded: value.py; ")
    edited.loads("start 1", "reload 2")


def test_a_restart_is_another_process_and_one_that_does_not_come_back_is_shown_with_its_last_words(edited: Edited) -> None:
    edited.begin(reload=_settings.RESTART)
    before = edited.client.process(edited.name).pid

    edited.save(2)
    assert edited.says(f"(restart, pid {before} → ").endswith(f"→ {edited.client.process(edited.name).pid})")
    edited.save("nothing")
    edited.says("NOT WELL: ", f"{edited.name} does not stay up: ", "NameError: name 'nothing' is not defined", "value.py")
    edited.save(3)

    edited.says(" loaded: value.py; ", times=2)
    assert edited.told.read_text().splitlines()[-1] == "start 3"  # supervisor may have tried it, too


def test_a_signal_that_the_program_does_not_know_is_told(edited: Edited) -> None:
    edited.begin(reload="USR2")

    edited.save(2)

    assert edited.says("NOT WELL: USR2 ended ", "watch_reload: restart")


class Health(http.server.BaseHTTPRequestHandler):
    """Answers with the status of the moment."""

    status = 500

    def do_GET(self) -> None:
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        pass


def test_a_program_that_runs_and_is_not_healthy_is_told_and_one_that_is_as_well(edited: Edited) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server, contextlib.ExitStack() as at_the_end:
        at_the_end.callback(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/health"
        edited.begin(health_url=url, start_timeout=1.0)

        edited.save(2)
        assert edited.says("NOT WELL: ", f"{edited.name} runs and is not healthy: {url}: 500 Internal Server Error")
        Health.status = 204
        edited.save(3)
        assert edited.says(" loaded: value.py; ", ", healthy)")


def test_a_program_that_somebody_stopped_stays_stopped(edited: Edited) -> None:
    edited.begin(reload=_settings.RESTART)
    edited.client.stop(edited.name)

    edited.save(2)

    edited.says(f"{edited.name} is stopped, and left so")
    edited.loads("start 1")


def test_a_checker_that_is_not_there_is_told_once(edited: Edited) -> None:
    edited.begin(checks=(_checks.Check(("*.py",), ("no-such-checker", "{file}")),))

    for value in (2, 3):
        edited.save(value)
        edited.says(" loaded: value.py; ", times=value - 1)

    assert [line for line in edited.lines() if "cannot check" in line] == [
        "cannot check: no-such-checker: No such file or directory. Its files are loaded without a check; install it, or set watch_checks"
    ]


def test_told_to_end_it_ends_with_the_build_that_runs(edited: Edited) -> None:
    (edited.path / "build.sh").write_text(f"sleep 600 & echo $! > {edited.path}/draft; mv {edited.path}/draft {edited.path}/child; wait\n")
    edited.begin(build=("sh", f"{edited.path}/build.sh"))
    edited.save(2)
    wait_until((edited.path / "child").exists, PATIENCE)
    child = int((edited.path / "child").read_text())
    assert edited.watch

    try:
        edited.watch.send_signal(signal.SIGTERM)
        assert edited.watch.wait(PATIENCE) == 0
        wait_until(lambda: not alive(child), PATIENCE)
    finally:
        end(child)
    edited.loads("start 1")


def test_told_to_end_during_a_restart_it_does_not_leave_the_program_down(slow: Edited) -> None:
    slow.begin(reload=_settings.RESTART)
    slow.save(2)
    wait_until((slow.path / "stopping").exists, PATIENCE)
    assert slow.watch

    slow.watch.send_signal(signal.SIGTERM)

    assert slow.watch.wait(PATIENCE) == 0
    slow.loads("start 1", "start 2")
