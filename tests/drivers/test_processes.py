"""Processes by pid: the tree, the identity, and which release one runs."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _processes

from tests.drivers.shop import PYTHON, running
from tools.bed import alive, wait_until

SLEEP = "import time; time.sleep(60)"


def test_a_tree_holds_children_and_grandchildren_and_nobody_else() -> None:
    with running("/bin/sh", "-c", "sh -c 'sleep 60; true' & sleep 60; true") as shell, running("/bin/sleep", "60") as other:
        tree = wait_until(lambda: found if len(found := _processes.tree(shell.pid)) == 4 else None, what="four processes")
        assert shell.pid in tree and other.pid not in tree
        assert {_processes.parents()[pid] for pid in tree - {shell.pid}} <= tree
    assert _processes.tree(shell.pid) == frozenset()


def test_children_of_a_thread_that_is_not_the_first_belong_to_the_tree() -> None:
    code = f"import subprocess, threading, time; threading.Thread(target=lambda: (subprocess.Popen(['sleep', '60']), time.sleep(60))).start(); {SLEEP}"
    with running(PYTHON, "-c", code) as process:
        wait_until(lambda: len(_processes.tree(process.pid)) == 2, what="the thread's child")


def test_a_zombie_is_gone() -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        wait_until(lambda: Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "Z", what="the zombie")
        assert _processes.start_time(process.pid) == 0
        assert _processes.tree(process.pid) == frozenset()


def test_a_pid_that_another_process_got_is_not_the_one_that_was_known() -> None:
    with running("/bin/sleep", "60") as process:
        known = _processes.identities(frozenset([process.pid]))
        assert _processes.alive(known) == (process.pid,)
        ((pid, start),) = known
        assert _processes.alive(((pid, start - 1),)) == ()
        process.kill()
        process.wait()
        assert _processes.alive(known) == ()


def test_a_name_with_blanks_and_brackets_is_no_trouble(tmp_path: Path) -> None:
    odd = tmp_path / "a) R (b"
    odd.symlink_to("/bin/sleep")
    with running(str(odd), "60") as process:
        assert _processes.parents()[process.pid] == os.getpid()
        assert _processes.start_time(process.pid) > 0
        wait_until(lambda: _processes.title(process.pid), what="its command line")
        assert _processes.describe(process.pid) == f"pid {process.pid} ({f'{odd} 60'[:80]})"


@pytest.fixture
def slot(tmp_path: Path) -> Path:
    """A slot's directory behind a symbolic link, as a root on another disk may be."""
    real = tmp_path / "disk" / "blue"
    (real / "v1" / "public").mkdir(parents=True)
    (real / "current").symlink_to("v1")
    (tmp_path / "srv").symlink_to("disk")
    return tmp_path / "srv" / "blue"


def test_the_running_release_is_what_the_launcher_exported(slot: Path) -> None:
    with running("/bin/sleep", "60", BLUEGREEN_RELEASE="v7", cwd=Path("/")) as process:
        wait_until(lambda: _processes.running_release(process.pid, str(slot)) == "v7", what="the exec")


@pytest.mark.parametrize("below", ["", "public"])
def test_a_process_without_its_environment_is_known_by_its_directory(slot: Path, below: str) -> None:
    with running("/usr/bin/env", "-i", PYTHON, "-c", SLEEP, cwd=slot / "current" / below) as process:
        wait_until(lambda: _processes.title(process.pid).endswith(SLEEP) and PYTHON in _processes.title(process.pid).split()[0], what="the exec")
        assert "BLUEGREEN_RELEASE" not in _processes.environment(process.pid)
        assert _processes.running_release(process.pid, str(slot)) == "v1"


def test_a_process_that_wrote_over_its_environment_is_known_by_its_directory(slot: Path) -> None:
    """As setproctitle does: the memory from argv[0] on becomes the title, to the end of the environment."""
    code = (
        "import ctypes; stat = open('/proc/self/stat').read().rpartition(')')[2].split(); "
        f"start, end = int(stat[47]), int(stat[48]); ctypes.memset(start, 0, end - start); {SLEEP}"
    )
    with running(PYTHON, "-c", code, cwd=slot / "current", BLUEGREEN_RELEASE="v1") as process:
        wait_until(lambda: process.poll() is not None or _processes.environment(process.pid) == {}, what="the memory to be written over")
        assert process.poll() is None
        assert _processes.running_release(process.pid, str(slot)) == "v1"


def test_a_process_elsewhere_without_an_environment_runs_no_release_of_the_slot(slot: Path) -> None:
    with running("/usr/bin/env", "-i", "/bin/sleep", "60", cwd=Path("/")) as process:
        assert _processes.running_release(process.pid, str(slot)) is None


def test_a_process_that_is_gone_has_nothing_to_say(slot: Path) -> None:
    with running("/bin/sleep", "60") as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not alive(process.pid)
    assert _processes.environment(process.pid) == {}
    assert _processes.title(process.pid) == _processes.directory(process.pid) == ""
    assert _processes.running_release(process.pid, str(slot)) is None
    assert _processes.describe(process.pid) == f"pid {process.pid}"
