"""The demo as a person runs it: nothing fails, the report tells it, and nothing is left, also after a Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Counts

REPORT = ROOT / "demo" / "out" / "report.json"


@dataclass
class Demo:
    """A demo that has ended. ``processes`` and ``files`` are what it left."""

    status: int
    output: str
    processes: list[str]
    files: list[str]


@contextlib.contextmanager
def _started(temporary: str) -> Iterator[subprocess.Popen[str]]:
    """The demo in a process group of its own, as a terminal starts it, without standard input; surely ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": temporary},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # it cleans up
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _processes_of(folder: str) -> list[str]:
    """Every process that has to do with the directory: by its command, its environment, its directory or an open file."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                words = [command, (entry / "environ").read_bytes(), os.fsencode(os.readlink(entry / "cwd"))]
                for name in os.listdir(entry / "fd"):
                    with contextlib.suppress(OSError):
                        words.append(os.fsencode(os.readlink(entry / "fd" / name)))
                if any(os.fsencode(folder) in word for word in words):
                    found.append(f"{entry.name} {command.decode(errors='replace')}")
    return found


def _ended(process: subprocess.Popen[str], temporary: str, seconds: float) -> Demo:
    output, _ = process.communicate(timeout=seconds)
    files = [str(path) for path in Path(temporary).rglob("*")]
    return Demo(process.returncode, output, _processes_of(temporary), files)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    REPORT.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="bgd-") as temporary, _started(temporary) as process:
        yield _ended(process, temporary, 600)


@pytest.fixture
def report(demo: Demo) -> dict[str, Any]:
    assert REPORT.exists(), demo.output[-5000:]
    found: dict[str, Any] = json.loads(REPORT.read_text())
    return found


def test_a_release_and_a_broken_one_under_load_lose_no_request(demo: Demo, report: dict[str, Any], counts: Counts) -> None:
    counts.add("requests of the demo", report["requests"])
    counts.add("of them failed", report["failed"])
    assert report["failures"] == []
    assert report["wrong"] == []
    assert (report["failed"], report["reloads"], demo.status) == (0, 0, 0), demo.output[-5000:]


def test_every_request_sent_was_answered_by_a_release_that_works(demo: Demo, report: dict[str, Any]) -> None:
    assert report["requests"] > 1000
    assert report["requests"] == report["answered"] == sum(report["by_release"].values())
    assert set(report["by_release"]) == {"v1", "v2"}
    assert report["swap_seconds"] > 0


def test_all_sorts_of_clients_took_part(demo: Demo, report: dict[str, Any]) -> None:
    sorts = {"keep-alive GET", "keep-alive POST", "new connection", "3-second", "20-s upload", "WebSocket"}
    assert {name for name, seen in report["by_client"].items() if seen["answered"]} == sorts


def test_slow_uploads_were_under_way_during_switches_and_arrived_whole(demo: Demo, report: dict[str, Any]) -> None:
    assert report["uploads"]["answered"] >= 2
    assert report["uploads"]["seconds"] >= 20
    assert report["uploads"]["switches"] > 0


def test_websockets_are_closed_only_when_their_drain_time_is_over_and_come_back_at_once(demo: Demo, report: dict[str, Any]) -> None:
    sockets = report["websockets"]
    assert sockets["closed_when_drain_time_was_over"] >= 2
    assert (sockets["cut_without_drain"], sockets["not_back_in_time"]) == (0, 0)
    assert sockets["slowest_back"] <= 1


def test_the_broken_release_is_put_back_and_both_slots_serve_the_one_before(demo: Demo, report: dict[str, Any]) -> None:
    assert report["put_back"]
    assert report["answers_at_the_end"] == {"blue": "v2 blue", "green": "v2 green"}


def test_each_release_and_the_ordinary_script_have_a_page(demo: Demo) -> None:
    pages = re.findall(r"Report: (\S+/report\.html)", demo.output)
    assert [Path(page).parent.name.rpartition("-")[2] for page in pages] == ["v1", "v2", "v3", "script"]
    words = ["Release v1 of shop is on both members", "Release v2 of shop is on both members", "was taken back", "requests that were sent meanwhile failed"]
    assert [word in Path(page).read_text() for word, page in zip(words, pages, strict=True)] == [True] * 4


def test_the_ordinary_script_fails_some_under_the_same_load(demo: Demo, report: dict[str, Any]) -> None:
    assert report["naive"]["requests"] > 1000
    assert report["naive"]["failed"] > 0


def test_without_a_terminal_the_demo_prints_plain_text(demo: Demo) -> None:
    assert [line for line in demo.output.splitlines() if not line.isprintable()] == []
    assert "The bill" in demo.output


def test_the_demo_leaves_no_process_and_no_file(demo: Demo) -> None:
    assert demo.processes == []
    assert demo.files == []


@pytest.mark.full
def test_a_ctrl_c_in_the_middle_of_a_swap_leaves_nothing_behind() -> None:
    with tempfile.TemporaryDirectory(prefix="bgd-") as temporary, _started(temporary) as process:
        assert process.stdout
        deadline = time.monotonic() + 120
        for line in process.stdout:
            assert time.monotonic() < deadline
            if "app1/blue  drain   wait" in line:
                break
        else:
            pytest.fail(f"the demo ended with {process.wait()} before it drained anything")
        assert _processes_of(temporary), "nothing ran that could have been left"
        os.killpg(process.pid, signal.SIGINT)
        ended = _ended(process, temporary, 60)
        assert (ended.processes, ended.files) == ([], [])
        assert ended.status == 128 + signal.SIGINT
        assert "Traceback" not in ended.output
