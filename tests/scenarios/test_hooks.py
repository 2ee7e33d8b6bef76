"""The user's own commands around a release: when they run, what they are told, what their failure leaves, and the migration that runs once.

One host for all of it, in this order: each test goes on from the release that the one before has left.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools import bed as beds

from . import plays

TELL = 'env | grep ^BLUEGREEN_ | sort | tr "\\n" " " >> {log}; echo "PORT=$PORT CODE=$(test -f app.py && echo here)" >> {log}'
MOMENTS = ("before_release", "before_stop", "after_start", "after_enable", "after_release", "on_rollback")


@pytest.fixture(scope="module")
def bed() -> Iterator[beds.Bed]:
    with beds.temporary() as bed:
        result = bed.playbook("hotswap.bluegreen.install", **{key.removeprefix("bluegreen_"): value for key, value in plays.RELEASE.items()})
        assert result.returncode == 0, result.stdout
        yield bed


def release(bed: beds.Bed, name: str, *words: str, playbook: str = "release", **extra: Any) -> subprocess.CompletedProcess[str]:
    variables = {key.removeprefix("bluegreen_"): value for key, value in plays.RELEASE.items()}
    return bed.playbook(f"hotswap.bluegreen.{playbook}", *words, **{**variables, "release": name, **extra})


def told(log: Path) -> list[dict[str, str]]:
    """What each hook that ran was told, in order."""
    return [dict(word.partition("=")[::2] for word in line.split()) for line in log.read_text().splitlines()]


def test_every_hook_runs_at_its_moment_and_is_told_what_happens_also_on_the_first_release(bed: beds.Bed) -> None:
    log = bed.path / "told"
    hooks = {moment: TELL.format(log=log) for moment in MOMENTS}
    result = release(bed, "v1", **hooks)
    assert result.returncode == 0, result.stdout
    first = told(log)
    of_member = ["after_start", "after_enable"]
    assert [one["BLUEGREEN_HOOK"] for one in first] == ["before_release", *of_member, *of_member, "after_release"]
    assert {(one["BLUEGREEN_RELEASE"], one["BLUEGREEN_PREVIOUS_RELEASE"], one["CODE"]) for one in first} == {("v1", "", "here")}
    assert [one["BLUEGREEN_SLOT"] for one in first[1:5:2]] == ["green", "blue"]
    log.unlink()
    result = release(bed, "v2", **hooks)
    assert result.returncode == 0, result.stdout
    second = told(log)
    of_member = ["before_stop", "after_start", "after_enable"]
    assert [one["BLUEGREEN_HOOK"] for one in second] == ["before_release", *of_member, *of_member, "after_release"]
    assert {(one["BLUEGREEN_RELEASE"], one["BLUEGREEN_PREVIOUS_RELEASE"], one["CODE"]) for one in second} == {("v2", "v1", "here")}
    ports = {(one["BLUEGREEN_SLOT"], one["PORT"]) for one in second if one["BLUEGREEN_HOOK"] == "after_start"}
    assert ports == {("blue", str(bed.blue)), ("green", str(bed.green))}
    log.unlink()
    assert plays.changed(release(bed, "v2", **hooks)) == 0
    assert not log.exists()


def test_a_hook_that_fails_puts_its_member_back_and_a_veto_is_asked_until_it_agrees(bed: beds.Bed) -> None:
    count = bed.path / "count"
    veto = f"echo x >> {count}; test $(wc -l < {count}) -ge 3"
    result = release(bed, "v3", before_stop={"command": veto, "timeout": 20}, after_start="echo no cache; exit 3", on_rollback=f"env > {bed.path}/back")
    assert result.returncode == 2
    assert (
        "green failed at after_start: expected: bluegreen_after_start 'echo no cache; exit 3' ends with 0 within 60 s; seen: it ended with exit status 3"
        in result.stdout
    )
    assert "no cache" in result.stdout
    assert "/green is back on release v2 and serves" in result.stdout
    assert count.read_text() == "x\n" * 3
    back = (bed.path / "back").read_text()
    assert "BLUEGREEN_RELEASE=v2" in back and "BLUEGREEN_PREVIOUS_RELEASE=v3" in back
    result = release(bed, "v4", before_stop={"command": "echo busy; false", "timeout": 2})
    assert result.returncode == 2
    assert "bluegreen_before_stop 'echo busy; false' ends with 0 within 2 s" in result.stdout
    assert "/green is back on release v2 and serves; the others were not touched" in result.stdout


@pytest.mark.full
def test_a_hook_that_hangs_ends_with_its_time_and_one_that_may_only_warns(bed: beds.Bed) -> None:
    hang = {"command": "echo begun; sleep 613.7", "timeout": 2}
    result = release(bed, "v5", before_release=hang)
    assert result.returncode == 2
    assert "it took longer; its last lines:" in result.stdout and "begun" in result.stdout and "No member was touched." in result.stdout
    result = release(bed, "v5", before_release={**hang, "on_failure": "warn"}, after_enable={"command": ["no-such-program", "x"], "on_failure": "warn"})
    assert result.returncode == 0, result.stdout
    assert "on_failure is warn" in result.stdout and "(there is no such command)" in result.stdout
    left = subprocess.run(["pgrep", "-f", "^sleep 613.7$"], capture_output=True, text=True, check=False).stdout
    assert not left


@pytest.mark.full
def test_hooks_run_on_the_controller_and_on_another_host(bed: beds.Bed) -> None:
    here = f'echo "$BLUEGREEN_HOOK $BLUEGREEN_MEMBER $BLUEGREEN_RELEASE" >> {bed.path}/controller'
    result = release(bed, "v6", after_enable={"command": here, "on": "controller"}, before_release={"command": here, "on": "controller"})
    assert result.returncode == 0, result.stdout
    lines = (bed.path / "controller").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["before_release", "after_enable", "after_enable"]
    assert lines[0].endswith("v6") and lines[1].endswith("/green v6")
    result = release(bed, "v7", after_enable={"command": here, "on": "nobody"})
    assert result.returncode == 2
    assert "bluegreen_after_enable: on is 'nobody', which is no host of the inventory" in result.stdout


@pytest.mark.full
def test_a_migration_runs_once_for_a_release_and_its_failure_leaves_all_as_it_was(bed: beds.Bed) -> None:
    log, before = bed.path / "migrated", plays.pids(bed)
    result = release(bed, "v8", migrate=f"echo $BLUEGREEN_RELEASE >> {log}; echo half; exit 5")
    assert result.returncode == 2
    assert "it ended with exit status 5" in result.stdout and "half" in result.stdout and "No member was touched." in result.stdout
    assert plays.pids(bed) == before
    migrate = f"echo $BLUEGREEN_RELEASE $SECRET >> {log}; echo the secret is $SECRET"
    result = release(bed, "v8", migrate=migrate, environment={"SECRET": "tell-nobody"})
    assert result.returncode == 0, result.stdout
    assert "tell-nobody" not in result.stdout
    assert log.read_text().splitlines() == ["v8", "v8 tell-nobody"]
    result = release(bed, "v8", migrate=migrate, environment={"SECRET": "tell-nobody"})
    assert plays.changed(result) == 0, result.stdout
    assert "it is not run again" in result.stdout or len(log.read_text().splitlines()) == 2
    assert json.loads(next(bed.path.rglob("migrated.json")).read_text())[0]["release"] == "v8"


@pytest.mark.full
def test_a_hook_that_cannot_run_is_told_before_anything_is_touched(bed: beds.Bed) -> None:
    plain = bed.path / "notify"
    plain.write_text("#!/bin/sh\n")
    before = plays.pids(bed)
    result = release(bed, "v9", after_start=str(plain), before_release=["/no/such/program", "word"])
    assert result.returncode == 2
    assert f"bluegreen_after_start: {plain} is not an executable file" in result.stdout
    assert "bluegreen_before_release: /no/such/program is not there." in result.stdout
    result = release(bed, "v9", after_release=["bin/tell", "all"])
    assert result.returncode == 2
    assert "bluegreen_after_release: " in result.stdout and "/v9/bin/tell is not there." in result.stdout
    result = release(bed, "v9", after_enable={"command": str(plain), "on": "controller"})
    assert result.returncode == 2
    assert f"{plain} is not an executable file: chmod +x, or name its interpreter first. (on the controller)" in result.stdout
    assert plays.pids(bed) == before


@pytest.mark.full
def test_a_rollback_warns_of_the_migration_and_takes_it_back_where_it_can(bed: beds.Bed) -> None:
    log = bed.path / "schema"
    up = f"echo up $BLUEGREEN_RELEASE >> {log}"
    assert release(bed, "v10", migrate=up).returncode == 0
    result = release(bed, "unused", playbook="rollback", on_rollback=f"echo back to $BLUEGREEN_RELEASE from $BLUEGREEN_PREVIOUS_RELEASE >> {log}")
    assert result.returncode == 0, result.stdout
    assert "the migration of release v10 is not taken back: bluegreen_migrate_down is not set." in result.stdout + result.stderr
    assert release(bed, "v10", migrate=up).returncode == 0
    assert log.read_text().splitlines() == ["up v10", "back to v8 from v10"]
    down = f"echo down $BLUEGREEN_RELEASE to $BLUEGREEN_PREVIOUS_RELEASE >> {log}"
    result = release(bed, "unused", playbook="rollback", rollback_to="v6", migrate_down=down)
    assert result.returncode == 0, result.stdout
    assert log.read_text().splitlines()[2:] == ["down v10 to v6", "down v8 to v6"]
    assert release(bed, "v10", migrate=up).returncode == 0
    assert log.read_text().splitlines()[4:] == ["up v10"]


@pytest.mark.full
def test_check_mode_says_what_would_be_run_and_runs_nothing_also_before_the_first_installation() -> None:
    with beds.temporary() as bed:
        log = bed.path / "told"
        hooks = {moment: TELL.format(log=log) for moment in (*MOMENTS, "migrate")}
        before = release(bed, "v1", "--check", **hooks)
        assert before.returncode == 0, before.stdout
        assert "green  after_start the user's command" in before.stdout
        assert not log.exists()
        assert release(bed, "v1", playbook="install", **hooks).returncode == 0
        assert release(bed, "v1", **hooks).returncode == 0
        log.unlink()
        again = release(bed, "v1", "--check", **hooks)
        assert again.returncode == 0, again.stdout
        assert plays.changed(again) == 0, again.stdout
        assert not log.exists()
