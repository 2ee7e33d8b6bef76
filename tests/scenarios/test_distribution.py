"""The distribution's own nginx and supervisor, as apt installs them, on a private host of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools import bed, private_host

pytestmark = pytest.mark.full  # molecule's scenarios run on the distribution's nginx and supervisor each day


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    script = Path(__file__).with_name("on_distribution.py")
    playbook = str(Path(bed.PYTHON).parent / "ansible-playbook")
    command = [bed.PYTHON, "/run/inside", playbook, str(bed.collections_path())]
    result = private_host.run(script, command, ["nginx", "supervisor", "iproute2"])
    assert result.returncode == 0, result.stdout + result.stderr
    line = next(line for line in result.stdout.splitlines() if line.startswith("SEEN "))
    return dict(json.loads(line.removeprefix("SEEN ")))


def test_a_release_under_load_loses_no_request(seen: dict[str, Any]) -> None:
    assert seen["first"] == [200, "v1"]
    assert seen["second"] == [200, "v2"]
    assert seen["load"]["failures"] == []
    assert seen["load"]["sent"] > 50


def test_the_roles_and_the_release_change_nothing_the_second_time(seen: dict[str, Any]) -> None:
    assert seen["install changed"] > 0
    assert seen["install again changed"] == seen["again changed"] == seen["install after release changed"] == 0


def test_what_others_have_on_the_host_goes_on(seen: dict[str, Any]) -> None:
    assert seen["default site"] == 200
    assert seen["other's pid kept"]


def test_a_colleagues_bare_supervisorctl_update_restarts_nothing(seen: dict[str, Any]) -> None:
    assert seen["pids kept over a bare update"]


def test_the_program_runs_as_its_user_and_its_secrets_are_its_own(seen: dict[str, Any]) -> None:
    assert seen["user"] == seen["www-data"]
    assert seen["start mode"] == 0o700
    assert seen["readable secrets"] == []
    assert not seen["output has the secret"]
