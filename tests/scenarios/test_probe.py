"""A release under the probe, and a naive restart under the same one; a target that is down before anything begins."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Counts
from tests.scenarios import plays
from tools import bed as beds
from tools.bed import wait_until

TOKEN = "s3cret-of-the-probe"
KINDS: list[dict[str, Any]] = [
    {"name": "front", "headers": {"Authorization": f"Bearer {TOKEN}"}, "rate": 60, "connections": 6},
    {"name": "new connection", "connection": "new", "rate": 20, "connections": 4},
]
RELEASE = {"json": "release"}


@pytest.fixture(scope="module")
def bed() -> Iterator[beds.Bed]:
    """A service whose first release was made with a probe that found nothing there."""
    with beds.temporary() as bed:
        for playbook in ("install", "release"):
            done = release(bed, "v1", playbook=playbook)
            assert done.returncode == 0, done.stdout + done.stderr
        assert "probe: left out, because nothing of the service runs yet" in done.stdout
        yield bed


def release(bed: beds.Bed, name: str, *words: str, playbook: str = "release", **more: Any) -> Any:
    probe = {"bluegreen_probe": KINDS, "bluegreen_probe_url": bed.url, "bluegreen_probe_release": RELEASE}
    given = {**bed.variables, **plays.RELEASE, "bluegreen_release": name, **probe, **{f"bluegreen_{key}": value for key, value in more.items()}}
    return plays.run(bed.path / "plays", f"hotswap.bluegreen.{playbook}", {"app1": {}}, given, *words)


def nowhere() -> dict[str, Any]:
    """A kind that nobody answers."""
    return {"name": "search", "url": f"http://127.0.0.1:{beds.free_ports(1)[0]}/", "rate": 5}


def left() -> list[str]:
    """Directories of probes that were left behind, in the place for temporary files."""
    folder = Path(f"{tempfile.gettempdir()}/bluegreen-probe-{os.getuid()}")
    return [path.name for path in folder.iterdir() if path.name in ("shop", "restart")] if folder.is_dir() else []


@pytest.mark.parametrize(("on", "down"), [("controller", "refuse"), ("app1", "allow")])
def test_a_release_under_the_probe_loses_no_request_and_shows_no_token(bed: beds.Bed, on: str, down: str, counts: Counts) -> None:
    reports = bed.path / f"reports-{on}"
    kinds = [*KINDS, *([nowhere()] if down == "allow" else [])]
    done = release(bed, f"under-{on}", "-vvv", probe=kinds, probe_on=on, probe_down=down, report_dir=str(reports))
    assert done.returncode == 0, done.stdout + done.stderr

    (folder,) = reports.iterdir()
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    (result,) = (line["result"] for line in lines if line["kind"] == "probe")
    gone = result["kinds"].pop("search", {"due": 0, "by_class": {}})
    counts.add("requests of probes", result["due"] - gone["due"])
    assert [failure for failure in result["failures"] if failure["kind"] != "search"] == []
    assert result["answered"] == result["due"] - gone["due"] > 100
    assert (down == "allow") == bool(gone["due"]) == ("probe: search has no right answer before it begins: refused" in done.stdout)
    assert gone["by_class"] == {"refused": gone["due"]} or down == "refuse"
    assert len(result["by_release"]) == 2 and result["by_release"][f"under-{on}"] > 0
    assert f"{result['due']:,} requests due" in done.stdout
    assert TOKEN not in done.stdout + done.stderr + "".join(path.read_text() for path in folder.iterdir() if path.is_file())
    assert left() == []


def test_a_naive_restart_under_the_same_probe_fails_with_counts(bed: beds.Bed) -> None:
    supervisorctl = [beds.PYTHON, "-m", "supervisor.supervisorctl", "-c", f"{bed.path}/supervisord.conf"]
    probe = {"id": "restart", "state": "started", "url": bed.url, "kinds": KINDS, "release": RELEASE}
    seen = f"{bed.path}/seen.json"
    play = {
        "tasks": [
            {"hotswap.bluegreen.probe": probe},
            {"name": "Let it ask", "ansible.builtin.wait_for": {"timeout": 1}},
            {"name": "Restart what serves", "ansible.builtin.command": {"argv": [*supervisorctl, "restart", "all"]}},
            {"name": "Count", "hotswap.bluegreen.probe": {"id": "restart", "state": "stopped"}, "register": "seen"},
            {"name": "Keep it", "ansible.builtin.copy": {"content": "{{ seen.result | to_json }}", "dest": seen, "mode": "0600"}},
            {"name": "No request may have failed", "ansible.builtin.assert": {"that": "seen.result.failed == 0"}},
        ]
    }
    done = plays.run(bed.path / "plays", plays.book(bed.path / "plays", play), {"app1": {}}, {})

    assert done.returncode == 2, done.stdout + done.stderr
    assert "Assertion failed" in done.stdout
    result = json.loads(Path(seen).read_text())
    assert result["failed"] == sum(result["by_class"].values()) > 10
    assert result["by_class"]["status"] > 10  # nginx answers 502 while nobody is there
    assert result["due"] == result["answered"] + result["failed"]
    assert f"{result['failed']:,} failed (" in done.stdout
    assert "× front: status: 502, not 200; server nginx" in done.stdout
    assert left() == []


def test_a_target_that_is_down_before_the_release_is_said_and_nothing_begins(bed: beds.Bed) -> None:
    wait_until(lambda: bed.supervisorctl("status").count("RUNNING") == 2)
    before = {**plays.picture(bed, folders=False), **plays.pids(bed)}

    done = release(bed, "v9", probe=[*KINDS, nowhere()])

    assert done.returncode == 2
    assert "The probe has no right answer before it begins:" in done.stdout
    assert "search: refused: the connection was refused" in done.stdout
    assert "bluegreen_probe_down: allow" in done.stdout
    assert "front:" not in plays.failures(done)["Let the probe ask"]
    assert {**plays.picture(bed, folders=False), **plays.pids(bed)} == before
    assert left() == []
