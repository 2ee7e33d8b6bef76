"""A release that boots and is healthy, and is stopped all the same by what its host and its clients show."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools import bed as beds


@pytest.fixture(scope="module")
def bed() -> Iterator[beds.Bed]:
    with beds.temporary(beds.Bed) as bed:
        for playbook in ("install", "release"):
            done = plays.run(bed.path / "plays", f"hotswap.bluegreen.{playbook}", {"app1": {}}, {**bed.variables, **plays.RELEASE})
            assert done.returncode == 0, done.stdout + done.stderr
        yield bed


def answering(bed: beds.Bed) -> set[str]:
    found = set()
    for port in (bed.port, bed.blue, bed.green):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            found.add(json.loads(answer.read())["release"])
    return found


def test_a_report_that_cannot_be_written_is_said_before_anything_starts(bed: beds.Bed) -> None:
    before = {**plays.picture(bed), **plays.pids(bed)}
    Path(bed.path, "file").touch()
    given = {"bluegreen_release": "v2", "bluegreen_report_dir": f"{bed.path}/file/reports"}
    done = plays.run(bed.path / "plays", "hotswap.bluegreen.release", {"app1": {}}, {**bed.variables, **plays.RELEASE, **given})
    assert done.returncode == 2
    assert "/file/reports, where no report can be written" in done.stdout
    Path(bed.path, "file").unlink()
    assert {**plays.picture(bed), **plays.pids(bed)} == before


def test_errors_in_a_log_take_the_member_back_and_the_journal_has_it(bed: beds.Bed) -> None:
    log, reports = bed.path / "app.log", bed.path / "reports"
    log.write_text("ERROR of yesterday\n" * 10)
    given: dict[str, Any] = {
        "bluegreen_release": "v2",
        "bluegreen_environment": {"COMPLAINTS": str(log)},
        "bluegreen_error_logs": [{"path": str(log), "pattern": "ERROR"}],
        "bluegreen_watch": 0.5,
        "bluegreen_report_dir": str(reports),
    }
    done = plays.run(bed.path / "plays", "hotswap.bluegreen.release", {"app1": {}}, {**bed.variables, **plays.RELEASE, **given})
    told = done.stdout + done.stderr
    assert done.returncode == 2, told
    assert "app1/green failed at watch: expected: at most 0 new lines of" in told
    assert "the first: ERROR in v2: no price list" in told
    assert "app1/green is back on release v1 and serves; the others were not touched." in told
    assert answering(bed) == {"v1"}
    (folder,) = reports.iterdir()
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds[0] == "run" and {"phase", "members", "batch", "event", "failure", "returned"} <= set(kinds)
    assert [line["member"] for line in lines if line["kind"] == "failure"] == ["app1/green"]
    phases = {line["name"]: line["outcome"] for line in lines if line["kind"] == "phase"}
    assert phases == {"lock": "ok", "stage": "ok", "before_release": "skipped", "migrate": "skipped", "swap": "failed", "finish": "ok"}
    after = [line["members"] for line in lines if line["kind"] == "members" and line["when"] == "after"]
    assert {member["release"] for member in after[0].values()} == {"v1"}

    # As many as are allowed do not stop it.
    given["bluegreen_error_logs"] = [{"path": str(log), "pattern": "ERROR", "max": 100_000}]
    done = plays.run(bed.path / "plays", "hotswap.bluegreen.release", {"app1": {}}, {**bed.variables, **plays.RELEASE, **given})
    assert done.returncode == 0, done.stdout + done.stderr
    assert answering(bed) == {"v2"}


@pytest.mark.parametrize(
    ("ill", "limits", "sentence"),
    [
        ({"FAILS": "500"}, {"bluegreen_max_failed": "1%"}, "at most 1 % of the probe's requests fail (bluegreen_max_failed); seen: "),
        pytest.param(
            {"SLOW": "0.2"},
            {"bluegreen_max_slowdown": 2},
            "p95 of the probe's requests is at most 2 times what it was before the swap (bluegreen_max_slowdown)",
            marks=pytest.mark.full,
        ),
    ],
)
def test_what_the_clients_see_takes_the_member_back_and_the_report_shows_it(bed: beds.Bed, ill: dict[str, str], limits: dict[str, Any], sentence: str) -> None:
    reports = bed.path / "reports" / next(iter(ill))
    before = answering(bed)
    given = {
        "bluegreen_release": f"v3-{next(iter(ill))}",
        "bluegreen_environment": ill,
        "bluegreen_probe": [{"name": "front", "path": "/", "rate": 40}],
        "bluegreen_probe_url": bed.url,
        "bluegreen_probe_release": {"json": "release"},
        "bluegreen_watch": 4,
        "bluegreen_report_dir": str(reports),
        **limits,
    }
    done = plays.run(bed.path / "plays", "hotswap.bluegreen.release", {"app1": {}}, {**bed.variables, **plays.RELEASE, **given})
    told = done.stdout + done.stderr
    assert done.returncode == 2 and sentence in told, told
    assert "app1/green is back on release" in told and "could not be put back" not in told
    assert answering(bed) == before
    (page,) = reports.glob("*/report.html")
    record = json.loads((page.parent / "report.json").read_text())
    assert record["probe"]["due"] == record["probe"]["answered"] + record["probe"]["failed"] > 40
    assert bool(record["probe"]["failed"]) is ("FAILS" in ill)
    assert "bluegreen_max_" in page.read_text()
