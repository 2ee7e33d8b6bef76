"""A command that outlasts its call: found again, ended in its time, and no younger run begins while it works."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _detached, _fence, _hooks
from ansible_collections.hotswap.bluegreen.plugins.module_utils._frame import Clock, Failed, Frame, Waiting
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Hook

from tools.bed import alive, end, wait_until


@pytest.fixture
def fence(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path)
    _fence.leave()


def command(text: str, folder: Path, seconds: float = 20) -> _detached.Command:
    return _detached.Command(("/bin/sh", "-c", text), str(folder), seconds)


def step(at: str, text: str, seconds: float = 20) -> Step:
    return Step(at, "web1", (), "v1", hook=Hook(at, (text,), timeout=seconds))


def ended(folder: str, process: dict[str, int]) -> int:
    codes: list[int] = []

    def is_over() -> bool:
        code = _detached.status(folder, process)
        codes.extend([] if code is None else [code])
        return code is not None

    wait_until(is_over, 20, "the command's end")
    return codes[0]


def overtakes(fence: str) -> bool:
    """Whether a younger run may begin at this moment, asked by a process of its own."""
    script = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return subprocess.run([sys.executable, "-c", script, f"{fence}/.fence.lock"], capture_output=True, check=False).returncode == 0


def test_its_words_and_its_status_are_found_by_a_later_call(tmp_path: Path) -> None:
    folder = str(tmp_path / "job")
    process = _detached.begin(folder, command("echo one; echo two >&2; exit 7", tmp_path))
    assert ended(folder, process) == 7
    assert _detached.output(folder) == ["one", "two"]


def test_it_ends_when_its_time_is_over_with_nobody_looking(tmp_path: Path) -> None:
    folder = str(tmp_path / "job")
    process = _detached.begin(folder, command("echo $$ > pid; sleep 600", tmp_path, seconds=1))
    assert ended(folder, process) == _detached.TOO_LONG
    assert not alive(int((tmp_path / "pid").read_text()))


def test_no_younger_run_begins_while_it_works_and_a_daemon_of_it_keeps_nobody_away(fence: str, tmp_path: Path) -> None:
    _fence.enter(fence, 1)
    folder = str(tmp_path / "job")
    process = _detached.begin(folder, command("(sleep 300 & echo $! > daemon); until test -e go; do sleep 0.02; done", tmp_path))
    _fence.leave()  # the call that began it has ended
    try:
        wait_until(lambda: (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text().strip(), 20, "its daemon")
        assert not overtakes(fence)
        (tmp_path / "go").touch()
        assert ended(folder, process) == 0
        wait_until(lambda: overtakes(fence), 20, "the lock of its shell")
    finally:
        end(int((tmp_path / "daemon").read_text()))


def test_one_that_was_killed_is_said_to_be_gone(tmp_path: Path) -> None:
    folder = str(tmp_path / "job")
    process = _detached.begin(folder, command("echo $$ > pid; exec sleep 600", tmp_path))
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), 20, "its pid")
    subprocess.run(["kill", "-9", str(process["pid"])], check=True)
    with pytest.raises(Exception, match="gone without an exit status"):
        wait_until(lambda: _detached.status(folder, process) is not None, 20)
    end(int((tmp_path / "pid").read_text()))


def test_a_slice_hands_a_hook_back_and_the_next_one_goes_on_with_the_same_process(tmp_path: Path) -> None:
    told = step("after_start", "")
    run = command("echo begun >> log; until test -e go; do sleep 0.02; done; echo done", tmp_path)
    clock = Clock()
    with pytest.raises(Waiting) as waiting:
        _hooks.work(told, Frame(clock, clock.now() + 0.3), run, str(tmp_path / "job"))
    (tmp_path / "go").touch()
    again = Step(told.name, told.host, (), told.release, hook=told.hook, resume=waiting.value.resume)
    assert _hooks.work(again, Frame(clock, clock.now() + 20), run) == "done"
    assert (tmp_path / "log").read_text() == "begun\n"
    assert not (tmp_path / "job").exists()


def test_a_migration_that_ended_well_without_its_controller_is_not_run_again_and_one_that_failed_is(tmp_path: Path) -> None:
    clock, folder = Clock(), str(tmp_path / ".migrate-v1")
    run = command("echo up >> log", tmp_path)
    ended(folder, _detached.begin(folder, run))  # its controller is gone: nobody asks
    assert _hooks.work(step("migrate", ""), Frame(clock, clock.now() + 20), run, folder) == "it had succeeded when an earlier run was cut off"
    assert (tmp_path / "log").read_text() == "up\n"
    ended(folder, _detached.begin(folder, command("exit 3", tmp_path)))
    _hooks.work(step("migrate", ""), Frame(clock, clock.now() + 20), run, folder)
    assert (tmp_path / "log").read_text() == "up\nup\n"
    with pytest.raises(Failed, match="exit status 4"):
        _hooks.work(step("migrate", ""), Frame(clock, clock.now() + 20), command("exit 4", tmp_path), str(tmp_path / ".migrate-v2"))
