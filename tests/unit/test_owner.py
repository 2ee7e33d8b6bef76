"""Whose lock may be taken over: only that of a process which this very machine and container can see to be gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _processes
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _owner

from tools.bed import wait_until


@pytest.fixture
def mine() -> dict[str, Any]:
    return _owner.of({})


@pytest.fixture
def other(mine: dict[str, Any]) -> Iterator[tuple[dict[str, Any], subprocess.Popen[bytes]]]:
    """The owner of a run that another process of this place makes, and that process."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield {**mine, "pid": process.pid, "started": _processes.start_time(process.pid)}, process


def end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()


def test_a_run_whose_process_is_there_is_not_gone(mine: dict[str, Any], other: tuple[dict[str, Any], subprocess.Popen[bytes]]) -> None:
    assert not _owner.is_gone(other[0], mine)
    assert not _owner.is_gone(mine, mine)


def test_a_run_is_itself_and_no_other(mine: dict[str, Any], other: tuple[dict[str, Any], subprocess.Popen[bytes]]) -> None:
    assert _owner.is_same(mine, mine)
    assert not _owner.is_same(other[0], mine)
    for elsewhere in ({"place": "another"}, {"started": 1}, {"pid": 1}):
        assert not _owner.is_same({**mine, **elsewhere}, mine)
    assert not _owner.is_same({"place": ""}, {**mine, "place": ""})


def test_a_run_whose_process_has_ended_is_gone(mine: dict[str, Any], other: tuple[dict[str, Any], subprocess.Popen[bytes]]) -> None:
    end(other[1])
    assert _owner.is_gone(other[0], mine)


def test_a_run_whose_process_is_a_zombie_is_gone(mine: dict[str, Any], other: tuple[dict[str, Any], subprocess.Popen[bytes]]) -> None:
    owner, process = other
    assert process.stdin
    process.stdin.close()
    wait_until(lambda: not _processes.start_time(process.pid), what="the end of the process, which nobody has asked after")
    assert _owner.is_gone(owner, mine)


def test_a_run_whose_pid_belongs_to_a_later_process_is_gone(mine: dict[str, Any]) -> None:
    assert _owner.is_gone({**mine, "started": mine["started"] - 1}, mine)


@pytest.mark.parametrize("elsewhere", [{"place": "another boot or container"}, {"place": ""}, {"place": None}, {"pid": "x"}, {"started": None}])
def test_what_cannot_be_known_is_not_gone(mine: dict[str, Any], other: tuple[dict[str, Any], subprocess.Popen[bytes]], elsewhere: dict[str, Any]) -> None:
    end(other[1])
    assert not _owner.is_gone({**other[0], **elsewhere}, mine)


def test_a_controller_of_the_same_name_in_another_container_is_another_place(mine: dict[str, Any]) -> None:
    """A process namespace of its own, which is what a container has; the host's name is the same in both."""
    code = "import socket; from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _owner; print(socket.gethostname()); print(_owner.place())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    inside = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert inside[0] == mine["controller"]
    assert inside[1].split()[0] == mine["place"].split()[0], "the same machine since the same boot"
    assert inside[1] != mine["place"]


@pytest.mark.parametrize("prefix", ["awx", "tower"])
def test_a_job_of_awx_is_named_by_its_user_and_number(prefix: str) -> None:
    owner = _owner.of({f"{prefix}_job_id": 42, f"{prefix}_user_name": "anna"})
    assert (owner["user"], owner["job"]) == ("anna", "42")


def test_a_scheduled_job_of_awx_has_no_user_and_is_named_by_its_schedule() -> None:
    assert _owner.of({"awx_job_id": 42, "awx_schedule_name": "nightly"})["user"] == "schedule nightly"
    assert _owner.of({"awx_job_id": 42})["user"] == "schedule"


def test_a_user_without_a_name_is_known_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user may have a number alone."""

    def nobody() -> str:
        raise KeyError("uid")

    monkeypatch.setattr(_owner.getpass, "getuser", nobody)
    assert _owner.of({})["user"] == f"uid {os.getuid()}"
