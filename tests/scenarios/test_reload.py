"""A release in place, by plays: gunicorn's workers are replaced, its process stays; back in the same way; a new environment is swapped."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools import bed as beds

APP = Path(__file__).parents[1] / "apps" / "reloads.py"
COMMAND = f"{Path(beds.PYTHON).parent / 'gunicorn'} --workers 2 --bind $BLUEGREEN_ADDRESS:$PORT reloads:app"


@dataclass(frozen=True)
class Service:
    bed: beds.Bed
    folder: Path

    def run(self, playbook: str, *words: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        common = {
            **plays.RELEASE,
            "bluegreen_service": "shop",
            "bluegreen_packages": False,
            "bluegreen_strategy": "reload",
            "bluegreen_runtime": "gunicorn",
            "bluegreen_command": COMMAND,
            "bluegreen_source": {"directory": str(self.folder / "app")},
        }
        given = {f"bluegreen_{name}": value for name, value in extra.items()}
        playbook = playbook if "/" in playbook else f"hotswap.bluegreen.{playbook}"
        result = plays.run(self.folder / "plays", playbook, {"app1": self.bed.variables}, {**common, **given}, *words)
        print(result.stdout, result.stderr)
        return result

    def running(self) -> set[str]:
        return {(self.bed.path / "srv" / slot / "current").readlink().name for slot in ("blue", "green")}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory(prefix="bg-") as name, beds.Bed(Path(name) / "app1") as bed:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "app").mkdir()
        shutil.copy(APP, folder / "app")
        made = Service(bed, folder)
        site = folder / "site.yml"
        site.write_text(json.dumps([{"import_playbook": f"hotswap.bluegreen.{name}"} for name in ("install", "release")]))
        assert made.run(str(site)).returncode == 0
        yield made


@pytest.mark.full
def test_a_release_leaves_the_processes_in_place(service: Service) -> None:
    before = plays.pids(service.bed)
    done = service.run("release", release="v2")
    assert done.returncode == 0
    assert "2 workers replaced by 2, 6 answers in a row show v2" in done.stdout
    assert service.running() == {"v2"} and plays.pids(service.bed) == before


@pytest.mark.full
def test_and_so_does_its_rollback(service: Service) -> None:
    before = plays.pids(service.bed)
    back = service.run("rollback")
    assert back.returncode == 0
    assert "6 answers in a row show v1" in back.stdout
    assert service.running() == {"v1"} and plays.pids(service.bed) == before


@pytest.mark.full
def test_check_mode_a_second_run_and_a_new_environment(service: Service) -> None:
    picture, before = plays.picture(service.bed), plays.pids(service.bed)
    planned = service.run("release", "--check", release="v3")
    assert planned.returncode == 0 and "signal it to take the release" in planned.stdout
    assert "switch the balancer away" not in planned.stdout
    assert plays.picture(service.bed) == picture

    assert service.run("release", release="v3").returncode == 0
    again = service.run("release", release="v3")
    assert again.returncode == 0 and plays.changed(again) == 0
    assert plays.pids(service.bed) == before

    swapped = service.run("release", release="v4", environment={"TOKEN": "hidden"})
    assert swapped.returncode == 0 and "swapped, not reloaded: bluegreen_environment (TOKEN) changed" in swapped.stdout
    assert "hidden" not in swapped.stdout
    assert service.running() == {"v4"} and plays.pids(service.bed) != before
    assert "everything is as it should be" in service.run("status").stdout
