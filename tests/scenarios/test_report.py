"""The report of whole releases: one that went well, and one whose ansible-playbook was killed. What the probe adds is in test_watch.py."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _journal

from tests.scenarios import plays
from tools import bed as beds


@pytest.fixture(scope="module")
def bed() -> Iterator[beds.Bed]:
    with beds.temporary() as bed:
        done = plays.run(bed.path / "plays", "hotswap.bluegreen.install", {"app1": {}}, {**bed.variables, **plays.RELEASE})
        assert done.returncode == 0, done.stdout + done.stderr
        yield bed


def variables(bed: beds.Bed, release: str, **more: Any) -> dict[str, Any]:
    report = {"bluegreen_report_dir": f"{bed.path}/reports", "bluegreen_release": release}
    return {**bed.variables, **plays.RELEASE, **report, **{f"bluegreen_{name}": value for name, value in more.items()}}


def folder(bed: beds.Bed, release: str) -> Path:
    return next((bed.path / "reports").glob(f"shop-*-{release}"))


def report(bed: beds.Bed, release: str) -> dict[str, Any]:
    return dict(json.loads((folder(bed, release) / "report.json").read_text()))


def test_a_release_leaves_its_report_for_its_user_alone_and_says_where(bed: beds.Bed) -> None:
    done = plays.run(bed.path / "plays", "hotswap.bluegreen.release", {"app1": {}}, variables(bed, "v1"))
    assert done.returncode == 0, done.stdout + done.stderr
    found, here = report(bed, "v1"), folder(bed, "v1")
    assert f"report: {here}/report.html" in done.stdout
    assert found["outcome"] == "released"
    assert found["sentence"].startswith("Release v1 of shop is on both members, in ")
    lanes = {row["member"]: [span["state"] for span in row["lane"]] for row in found["members"]}
    assert list(lanes) == ["app1/blue", "app1/green"]
    for states in lanes.values():
        assert states == ["stopped", "booting", "checked", "serving"]
    assert [phase["name"] for phase in found["phases"] if phase["outcome"] == "ok"] == ["lock", "stage", "swap", "finish"]
    assert found["sentence"].replace("'", "&#39;") in (here / "report.html").read_text()
    assert [stat.S_IMODE(path.stat().st_mode) & 0o037 for path in sorted(here.iterdir())] == [0, 0, 0]
    assert stat.S_IMODE(here.stat().st_mode) == 0o700


def test_a_run_that_was_killed_gets_its_report_afterwards(bed: beds.Bed) -> None:
    given = variables(bed, "v2", environment={"BOOT_SECONDS": "8"})
    command = bed.command("hotswap.bluegreen.release", variables=given)
    run = subprocess.Popen(
        command, cwd=bed.path, env=beds.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        beds.wait_until(lambda: any("check" in line.get("step", "") for line in lines(bed, "v2")), 60, "the first check")
    finally:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    here = folder(bed, "v2")
    assert not (here / "report.json").exists()
    ansible = [str(Path(beds.PYTHON).parent / "ansible"), "localhost", "-m", "hotswap.bluegreen.report", "-a"]
    made = subprocess.run(
        [*ansible, f"path={here}"], cwd=bed.path, env=beds.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr
    found = report(bed, "v2")
    assert (found["outcome"], found["complete"]) == ("cut off", False)
    assert "with app1/green in work" in found["sentence"]
    wrong = subprocess.run(
        [*ansible, "path=no/where"], cwd=bed.path, env=beds.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert (
        "no/where, of which no report can be made: No such file or directory; the directory of a run, with a journal.jsonl in it, is expected." in wrong.stdout
    )


def test_a_report_that_cannot_be_made_is_a_warning_and_fails_nothing(tmp_path: Path) -> None:
    fact = {"name": "A journal that is gone", "ansible.builtin.set_fact": {"bluegreen_report": f"{tmp_path}/gone", "cacheable": True}}
    book = plays.book(tmp_path, {"tasks": [fact, {"name": "Report", "hotswap.bluegreen.report": {}}]})
    done = plays.run(tmp_path, book, {"app1": {}}, {})
    assert done.returncode == 0, done.stdout
    told = " ".join((done.stdout + done.stderr).split())
    assert f"the report in {tmp_path}/gone could not be made" in told
    assert "see docs/report.md" in told


def lines(bed: beds.Bed, release: str) -> list[dict[str, Any]]:
    found = list((bed.path / "reports").glob(f"shop-*-{release}"))
    return _journal.read(found[0]) if found and (found[0] / _journal.NAME).exists() else []
