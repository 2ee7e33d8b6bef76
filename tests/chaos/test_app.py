"""The application and the load of the chaos test: what they claim, seen on this machine's loopback."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.load import CLIENTS, SLOW, Load
from tests.chaos.record import KINDS
from tools.bed import end, free_ports, wait_until

APP = Path(__file__).with_name("app") / "app.py"


@contextlib.contextmanager
def running(port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    names = {"PORT": str(port), "BLUEGREEN_SLOT": "blue", "BLUEGREEN_RELEASE": "v2", **environment}
    process = subprocess.Popen(
        [sys.executable, str(APP)], env={**os.environ, **names}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        yield process
    finally:
        end(process.pid)
        process.communicate()


def status(port: int, path: str) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


def test_every_kind_of_request_is_answered_and_recorded_and_a_graceful_stop_finishes_what_is_under_way(port: int) -> None:
    with running(port) as app:
        wait_until(lambda: status(port, "/health") == 200, what="the application")
        with Load({"here": ("127.0.0.1", port)}) as load:
            wait_until(lambda: {record.kind for record in list(load.records)} == set(KINDS), 30, "a record of each kind")
            slow = max(record.end for record in load.records if record.kind == "slow")
            wait_until(lambda: time.monotonic() > slow + 0.5, what="the next slow request being well under way")
            before = len(load.records)
            stopped = time.monotonic()
            app.send_signal(signal.SIGTERM)
            app.wait(20)
        assert app.returncode == 0
    records = load.records
    assert not [record for record in records[:before] if record.failed]
    assert {(record.release, record.slot, record.pid) for record in records if not record.failed} == {("v2", "blue", app.pid)}
    assert all(record.end - record.start >= SLOW for record in records[:before] if record.kind == "slow")
    under_way = [record for record in records if record.start < stopped - 0.1 and record.end > stopped]
    assert {record.kind for record in under_way} >= {"slow"} and not [record for record in under_way if record.failed]
    refused = [record for record in records if record.start > stopped + SLOW + 0.5]
    assert all("Refused" in record.error for record in refused)


def test_an_abrupt_stop_cuts_what_is_under_way_and_the_load_says_so(port: int) -> None:
    with running(port, STOP="abrupt") as app:
        wait_until(lambda: status(port, "/health") == 200, what="the application")
        with Load({"here": ("127.0.0.1", port)}) as load:
            wait_until(lambda: len(load.records) > 20, what="the load")
            app.send_signal(signal.SIGTERM)
            wait_until(lambda: len([record for record in list(load.records) if record.failed]) >= len(CLIENTS), what="failures")
    assert {"slow", "stream"} <= {record.kind for record in load.records if record.failed}
    cut = next(record for record in load.records if record.failed and record.kind == "stream")
    assert (cut.status, cut.pid) == (200, app.pid), "who was answering is known though the answer was cut"


def test_a_failed_client_backs_off(port: int) -> None:
    with Load({"nobody": ("127.0.0.1", port)}) as load:
        time.sleep(1.2)  # the time itself is what is tested
    assert len(CLIENTS) < len(load.records) <= 3 * len(CLIENTS) + len(CLIENTS)


def test_an_ill_release_answers_everything_but_its_health_check(port: int) -> None:
    with running(port, FAULT="v2/blue=ill"):
        wait_until(lambda: status(port, "/") == 200, what="the application")
        assert status(port, "/health") == 503


def test_a_release_that_crashes_says_why_and_another_slot_or_release_does_not(port: int) -> None:
    with running(port, FAULT="v2/blue=crash") as app:
        assert "broken on purpose" in app.communicate(timeout=20)[1].decode()
        assert app.returncode == 1
    for other in ("v1/blue=crash", "v2/green=crash", ""):
        with running(port, FAULT=other):
            wait_until(lambda: status(port, "/health") == 200, what=f"the application with {other or 'no fault'}")
