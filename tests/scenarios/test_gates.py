"""What a release must pass before anything is touched: its window, and what the configuration must have; what is only warned about."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools import bed as beds

SECRET = "hunter2-marker"


@pytest.fixture(scope="module")
def bed() -> Iterator[beds.Bed]:
    with beds.temporary(beds.Bed) as bed:
        for playbook in ("install", "release"):
            done = plays.run(bed.path / "plays", f"hotswap.bluegreen.{playbook}", {"app1": {}}, {**bed.variables, **plays.RELEASE})
            assert done.returncode == 0, done.stdout + done.stderr
        yield bed


def release(bed: beds.Bed, *words: str, **given: Any) -> str:
    """A run of release v2; its output, behind a line with its exit status."""
    variables = {**bed.variables, **plays.RELEASE, "bluegreen_release": "v2", **{f"bluegreen_{name}": value for name, value in given.items()}}
    done = plays.run(bed.path / "plays", "hotswap.bluegreen.release", {"app1": {}}, variables, *words)
    return f"status {done.returncode}\n{done.stdout}{done.stderr}"


def closed_now() -> dict[str, str]:
    """A window of tomorrow."""
    return {"days": f"{datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1):%A}", "time_zone": "UTC"}


def test_what_does_not_pass_is_told_all_at_once_before_anything_is_touched_and_without_secrets(bed: beds.Bed) -> None:
    before = {**plays.picture(bed), **plays.pids(bed)}
    told = release(
        bed,
        "-vvv",
        window=closed_now(),
        config_checks=[
            {"url": f"{bed.url}/health?token={SECRET}", "body": "mail.url", "headers": {"Authorization": SECRET}},
            {"command": ["sh", "-c", f": {SECRET}; echo the key is missing; exit 4"]},
            {"command": ["sh", "-c", "echo from $PWD; false"], "on": "controller"},
            {"url": f"{bed.url}/health", "on": "controller"},
        ],
    )
    assert told.startswith("status 2\n")
    assert "bluegreen_window is " in told and "nothing is released now. It opens " in told
    assert f"entry 1 (GET {bed.url}/health?…), asked from app1: expected 200 with 'mail.url' in its body within 10 s; seen: status 200 with " in told
    assert "entry 2 (sh), asked from app1: expected exit status 0 within 10 s; seen: exit status 4, its last lines: the key is missing." in told
    assert "entry 3 (sh), asked from the controller: expected exit status 0 within 10 s; seen: exit status 1, its last lines: from /." in told
    assert "entry 4" not in told
    assert "Nothing was changed." in told
    assert SECRET not in told
    assert {**plays.picture(bed), **plays.pids(bed)} == before


def test_in_check_mode_the_window_is_a_warning_and_no_command_is_run(bed: beds.Bed, tmp_path: Path) -> None:
    ran, config = tmp_path / "ran", bed.path / "nginx.conf"
    text = config.read_text()
    config.write_text(text.replace("worker_connections", "worker_connections 9000000; #", 1))
    commands = [{"command": ["touch", str(ran)]}, {"command": ["touch", str(ran)], "on": "controller"}]
    try:
        told = " ".join(release(bed, "--check", window=closed_now(), config_checks=[*commands, {"url": f"{bed.url}/health", "status": 404}]).split())
    finally:
        config.write_text(text)
    assert "[WARNING]: bluegreen_window is " in told
    assert "entry 3" in told and "entry 1" not in told
    assert not ran.exists()
    # What may go wrong one day is a warning, too.
    assert "[WARNING]: app1: open files: supervisord lets a program have " in told
    assert "and worker_connections is 9000000: set worker_rlimit_nofile to at least 18000000." in told


@pytest.mark.full
def test_a_reason_opens_the_window_and_goes_to_the_history(bed: beds.Bed) -> None:
    ran = bed.path / "ran"
    told = release(
        bed, window=closed_now(), window_override="the shop sells nothing", config_checks=[{"command": ["touch", str(ran)]}, {"url": f"{bed.url}/health"}]
    )
    assert told.startswith("status 0\n"), told
    assert ran.exists()
    history = [json.loads(line) for line in (bed.path / "srv" / "history.jsonl").read_text().splitlines()]
    last = [event for event in history if event.get("event")][-1]
    assert (last["event"], last["release"]) == ("released", "v2")
    assert last["override"].endswith("UTC: the shop sells nothing")
