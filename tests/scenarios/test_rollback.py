"""Going back: to the release before, further, to a version; after a release that never came up; for one host; and what is refused."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history

from tests.scenarios import plays
from tools import bed as beds

# What today's variables expect names today's release: a release that is gone back to would not answer so.
NAMED = {"bluegreen_health_body": '"release": "{{ bluegreen_release }}"', "bluegreen_health_path": "/"}


@dataclass(frozen=True)
class Service:
    """Two hosts, each its own balancer, with two slots. The second one joins the service late: a fleet is the hosts of the inventory."""

    path: Path
    hosts: dict[str, beds.Bed]

    def run(self, playbook: str, *words: str, fleet: str = "app1", without: tuple[str, ...] = (), **extra: Any) -> subprocess.CompletedProcess[str]:
        common = {
            **plays.RELEASE,
            **NAMED,
            "bluegreen_service": "shop",
            "bluegreen_packages": False,
            **{f"bluegreen_{name}": value for name, value in extra.items()},
        }
        variables = {name: value for name, value in common.items() if name not in without}
        playbook = playbook if "/" in playbook else f"hotswap.bluegreen.{playbook}"
        result = plays.run(self.path / "plays", playbook, {name: self.hosts[name].variables for name in fleet.split()}, variables, *words)
        print(result.stdout, result.stderr)
        return result

    def release(self, name: str, *words: str, **extra: Any) -> None:
        assert self.run("release", *words, release=name, **extra).returncode == 0

    def back(self, *words: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        """Without what only staging needs; today's variables name a release that nobody has."""
        return self.run("rollback", *words, without=("bluegreen_source", "bluegreen_command"), **{"release": "v9", **extra})

    def running(self, host: str = "app1") -> set[str]:
        """The releases that the host's members use."""
        return {(self.hosts[host].path / "srv" / slot / "current").readlink().name for slot in ("blue", "green")}

    def pids(self) -> dict[str, str]:
        return {f"{name} {key}": value for name, bed in self.hosts.items() for key, value in plays.pids(bed).items()}

    def history(self, host: str = "app1") -> list[dict[str, Any]]:
        return _history.read(str(self.hosts[host].path / "srv"))


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bg-")))
        folder.chmod(0o755)
        made = Service(folder, {name: stack.enter_context(beds.Bed(folder / name)) for name in ("app1", "app2")})
        assert made.run("install", fleet="app1 app2").returncode == 0
        for release in ("v1", "v2", "v3"):
            made.release(release)
        yield made


def test_it_goes_to_the_release_before_and_a_second_time_further(service: Service) -> None:
    first = service.back(migrate="true")
    assert first.returncode == 0
    assert service.running() == {"v2"}
    assert "shop goes back to release v2: it was the last completed one before v3" in first.stdout
    assert "Migrations are not taken back, because bluegreen_migrate_down is not set" in first.stderr
    assert [line["event"] for line in service.history() if "event" in line][-2:] == ["rolling back", "rolled back"]

    second = service.back()
    assert second.returncode == 0
    assert service.running() == {"v1"}


def test_it_goes_to_a_version_and_once_there_does_nothing(service: Service) -> None:
    assert service.back(rollback_to="v3").returncode == 0
    assert service.running() == {"v3"}

    before = service.pids()
    again = service.back(rollback_to="v3")
    assert again.returncode == 0
    assert "shop runs release v3 on every member already" in again.stdout
    assert plays.changed(again) == 0
    assert service.pids() == before
    assert [line["event"] for line in service.history() if "event" in line].count("rolled back") == 3


def test_status_needs_no_release_and_changes_nothing(service: Service) -> None:
    before = {name: plays.picture(bed) for name, bed in service.hosts.items()}
    found = service.run("status", without=("bluegreen_source", "bluegreen_command"))
    assert found.returncode == 0
    assert {name: plays.picture(bed) for name, bed in service.hosts.items()} == before
    assert "shop: release v3 was the last to be completed; 2 of 2 members serve in health" in found.stdout
    assert "everything is as it should be" in found.stdout
    assert plays.changed(found) == 0


def test_what_it_cannot_go_to_is_refused_in_a_sentence_and_nothing_is_changed(service: Service) -> None:
    marked = service.hosts["app1"].path / "srv" / "green" / ".v2.json"
    text = marked.read_text()
    marked.unlink()
    before = {name: (plays.picture(bed), plays.pids(bed)) for name, bed in service.hosts.items()}
    cases = {"unknown": "v7", "incomplete": "v2", "no name": "../v1"}
    tasks = plays.attempts({name: {"bluegreen_rollback_to": to} for name, to in cases.items()}, [{"hotswap.bluegreen.rollback": {}, "run_once": True}])
    try:
        told = plays.failures(service.run(plays.book(service.path / "plays", {"tasks": tasks})))
        assert {name: (plays.picture(bed), plays.pids(bed)) for name, bed in service.hosts.items()} == before
    finally:
        marked.write_text(text)
    there = "Complete on these hosts, for bluegreen_rollback_to: v1, v3.\nNothing was changed."
    assert told == {
        "unknown": f"release v7 is on none of the hosts of this run. {there}",
        "incomplete": f"release v2 is not complete, so nobody goes back to it; it is missing on app1: {marked.parent}. {there}",
        "no name": "bluegreen_rollback_to is '../v1'; a letter or digit and up to 127 letters, digits and . _ + - are expected.\nNothing was changed.",
    }


def test_after_a_release_that_never_came_up_it_goes_to_the_last_good_one_with_a_member_dead(service: Service) -> None:
    assert service.run("release", release="v4", health_body="never", boot_timeout=1).returncode != 0
    assert service.running() == {"v3"}
    service.hosts["app1"].supervisorctl("stop", "shop-green")

    result = service.back()
    assert result.returncode == 0
    assert "shop goes back to release v3: v4 came after it and was not completed" in result.stdout
    assert service.running() == {"v3"}
    assert {"app1 shop-blue", "app1 shop-green"} <= service.pids().keys()
    assert "app1: removed old releases: v4 (bluegreen_keep_releases is 5)" in result.stdout


@pytest.mark.full
def test_one_host_goes_back_alone_and_the_fleet_follows_to_what_all_had(service: Service) -> None:
    both = "app1 app2"
    service.release("v1", fleet="app2")
    service.release("v5", fleet=both)
    assert service.back("--limit", "app2", fleet=both).returncode == 0
    assert (service.running("app1"), service.running("app2")) == ({"v5"}, {"v1"})

    status = service.run("status", fleet=both, status_format="json")
    found = json.loads(status.stdout[status.stdout.index("{") : status.stdout.rindex("}") + 1])
    assert found["completed"] == ["v1"]
    assert "app1/blue runs v5; the last completed release is v1" in found["drift"]

    together = service.back(fleet=both, keep_releases=1)
    assert together.returncode == 0
    assert "shop goes back to release v1: app1 alone went on to v5" in together.stdout
    assert service.running("app1") == service.running("app2") == {"v1"}
    assert "app1: removed old releases: v2, v3 (bluegreen_keep_releases is 1)" in together.stdout
    for bed in service.hosts.values():
        for place in ("releases", "blue", "green"):
            assert {path.name for path in (bed.path / "srv" / place).glob("v*")} == {"v1", "v5"}, "what runs, and what each slot ran before"
