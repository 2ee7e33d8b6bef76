"""A release under the probe, and a naive restart under the same one; a target that is down before anything begins."""

from __future__ import annotations

import json
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
    return plays.run(bed.path / "plays", f"hotswap.bluegreen.{playbook}", {"app1": {}}, given, *words, TMPDIR=str(temporary(bed)))


def nowhere() -> dict[str, Any]:
    """A kind that nobody answers."""
    return {"name": "search", "url": f"http://127.0.0.1:{beds.free_ports(1)[0]}/", "rate": 5}


def left(bed: beds.Bed) -> list[str]:
    """What probes have left behind, in the place for temporary files."""
    return [path.name for path in temporary(bed).rglob("bluegreen-probe*")]


def temporary(bed: beds.Bed) -> Path:
    folder = bed.path / "temporary"
    folder.mkdir(exist_ok=True)
    return folder


def counted(bed: beds.Bed, done: Any, reports: Path) -> dict[str, Any]:
    """What the probe of a run counted, by the run's journal; nowhere is a token, and nothing is left."""
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = reports.iterdir()
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    (result,) = (line["result"] for line in lines if line["kind"] == "probe")
    assert f"{result['due']:,} requests due" in done.stdout
    assert TOKEN not in done.stdout + done.stderr + "".join(path.read_text() for path in folder.iterdir() if path.is_file())
    assert left(bed) == []
    return dict(result)


def test_a_release_under_the_probe_loses_no_request_and_shows_no_token(bed: beds.Bed, counts: Counts) -> None:
    reports = bed.path / "reports"
    result = counted(bed, release(bed, "v2", "-vvv", report_dir=str(reports)), reports)

    counts.add("requests of probes", result["due"])
    assert result["failures"] == []
    assert result["due"] == result["answered"] > 100
    assert sorted(result["by_release"]) == ["v1", "v2"]


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
    done = plays.run(bed.path / "plays", plays.book(bed.path / "plays", play), {"app1": {}}, {}, TMPDIR=str(temporary(bed)))

    assert done.returncode == 2, done.stdout + done.stderr
    assert "Assertion failed" in done.stdout
    result = json.loads(Path(seen).read_text())
    assert result["failed"] == sum(result["by_class"].values()) > 10
    assert result["by_class"]["status"] > 10  # nginx answers 502 while nobody is there
    assert result["due"] == result["answered"] + result["failed"]
    assert f"{result['failed']:,} failed (" in done.stdout
    assert "× front: status: 502, not 200; server nginx" in done.stdout
    assert left(bed) == []


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
    assert left(bed) == []


@pytest.mark.full
def test_a_rollback_begins_all_the_same_and_its_probe_may_run_on_a_host(bed: beds.Bed) -> None:
    reports = bed.path / "back"
    done = release(bed, "v2", "-vvv", playbook="rollback", probe=[*KINDS, nowhere()], probe_on="app1", report_dir=str(reports))
    result = counted(bed, done, reports)

    assert "probe: search has no right answer before it begins: refused" in done.stdout
    gone = result["kinds"]["search"]
    assert gone["by_class"] == result["by_class"] == {"refused": gone["due"]}
    assert sorted(result["by_release"]) == ["v1", "v2"]
