"""Going back: to the release before, further, to a version; after a release that never came up; for one host; and what is refused."""

from __future__ import annotations

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
    """Two hosts, each its own balancer, with two slots."""

    path: Path
    hosts: dict[str, beds.Bed]

    def run(self, playbook: str, *words: str, without: tuple[str, ...] = (), **extra: Any) -> subprocess.CompletedProcess[str]:
        common = {
            **plays.RELEASE,
            **NAMED,
            "bluegreen_service": "shop",
            "bluegreen_packages": False,
            **{f"bluegreen_{name}": value for name, value in extra.items()},
        }
        variables = {name: value for name, value in common.items() if name not in without}
        result = plays.run(self.path / "plays", f"hotswap.bluegreen.{playbook}", {name: bed.variables for name, bed in self.hosts.items()}, variables, *words)
        print(result.stdout, result.stderr)
        return result

    def release(self, name: str, *words: str, **extra: Any) -> None:
        assert self.run("release", *words, release=name, **extra).returncode == 0

    def back(self, *words: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        """Without what only staging needs; today's variables name a release that nobody has."""
        return self.run("rollback", *words, without=("bluegreen_source", "bluegreen_command"), **{"release": "v9", **extra})

    def running(self) -> dict[str, str]:
        """The release that each member's directory points to, and that its process was started in."""
        return {f"{name}/{slot}": (bed.path / "srv" / slot / "current").readlink().name for name, bed in self.hosts.items() for slot in ("blue", "green")}

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
        assert made.run("install").returncode == 0
        for release in ("v1", "v2", "v3"):
            made.release(release)
        yield made


def test_it_goes_to_the_release_before_and_a_second_time_further(service: Service) -> None:
    first = service.back()
    assert first.returncode == 0
    assert set(service.running().values()) == {"v2"}
    assert "shop goes back to release v2: it was the last completed one before v3" in first.stdout
    assert "Migrations of the database are not taken back" in first.stderr
    assert [line["event"] for line in service.history() if "event" in line][-2:] == ["rolling back", "rolled back"]

    second = service.back()
    assert second.returncode == 0
    assert set(service.running().values()) == {"v1"}

    third = service.back()
    assert third.returncode != 0
    assert "there is no release to go back to: v1 is the only one that was completed on app1, app2." in third.stdout
    assert "Nothing was changed." in third.stdout
