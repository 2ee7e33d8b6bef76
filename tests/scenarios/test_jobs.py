"""Programs without a port through whole plays: on two hosts, on one of them, and when one is lost."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools import bed as beds

JOB = [beds.PYTHON, "-S", str(Path(__file__).parents[1] / "apps" / "job.py")]
NOBODY = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}  # refused at once


@dataclass
class Two:
    """Two hosts with one slot and a worker beside it, one queue and one entry of cron in the fleet."""

    hosts: dict[str, beds.Bed]
    folder: Path
    ledger: Path

    def run(self, playbook: str, *words: str, lost: str = "", **extra: Any) -> subprocess.CompletedProcess[str]:
        own = {
            name: {**bed.variables, "bluegreen_cron_dir": f"{bed.path}/cron.d", "bluegreen_slots": [{"name": "blue", "port": bed.blue}]}
            for name, bed in self.hosts.items()
        }
        if lost:
            own[lost] |= NOBODY
        shared = {
            **plays.RELEASE,
            "bluegreen_environment": {"LEDGER": str(self.ledger), "HOST": "{{ inventory_hostname }}", "JOB_FAULT": ""},
            "bluegreen_min_serving": 0,
            "bluegreen_workers": [
                {"name": "mail", "command": JOB, "stop_timeout": 5},
                {"name": "queue", "command": JOB, "scope": "fleet", "host": "web2", "stop_timeout": 5},
            ],
            "bluegreen_cron": [{"name": "report", "command": JOB, "schedule": "@daily", "scope": "fleet"}],
            **{f"bluegreen_{name}": value for name, value in extra.items()},
        }
        result = plays.run(self.folder, f"hotswap.bluegreen.{playbook}", own, shared, *words)
        print(result.stdout, result.stderr)
        return result

    def pid(self, host: str, program: str = "shop-queue") -> int:
        return int(self.hosts[host].supervisorctl("pid", program))

    def environment(self, host: str, program: str = "shop-queue") -> dict[str, str]:
        text = Path(f"/proc/{self.pid(host, program)}/environ").read_text()
        return dict(item.split("=", 1) for item in text.split("\0") if item)


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bg-")))
        folder.chmod(0o755)
        two = Two({name: stack.enter_context(beds.Bed(folder / name)) for name in ("web1", "web2")}, folder / "plays", folder)
        for bed in two.hosts.values():
            (bed.path / "cron.d").mkdir()
        assert two.run("install").returncode == 0
        yield two


@pytest.fixture(scope="module")
def cron(two: Two) -> Iterator[None]:
    """A process with the name of a cron daemon."""
    daemon = shutil.copy("/bin/sleep", two.ledger / "cron")
    with subprocess.Popen([daemon, "600"]) as process:
        try:
            yield
        finally:
            process.kill()


@pytest.fixture(scope="module")
def released(two: Two, cron: None) -> Two:
    result = two.run("release")
    assert result.returncode == 0
    return two


@pytest.mark.full
def test_each_slot_has_its_worker_and_the_fleet_one_queue_and_one_entry_of_cron(released: Two) -> None:
    for host in released.hosts:
        own = released.environment(host, "shop-blue-mail")
        assert (own["BLUEGREEN_RELEASE"], own["BLUEGREEN_SLOT"], own["HOST"]) == ("v1", "blue", host)
    assert released.environment("web2")["BLUEGREEN_RELEASE"] == "v1"
    assert not (released.hosts["web1"].path / "programs" / "shop-queue.conf").exists()
    assert [host for host, bed in released.hosts.items() if (bed.path / "cron.d" / "bluegreen-shop").exists()] == ["web1"]


@pytest.mark.full
def test_on_the_hosts_of_a_limit_jobs_move_with_the_release_and_beyond_it_they_stay(released: Two) -> None:
    old, line = released.pid("web2"), (released.hosts["web1"].path / "cron.d" / "bluegreen-shop").read_text()
    result = released.run("release", "--limit", "web2", release="v2")
    assert result.returncode == 0
    assert [result.stdout.count(f"web2/worker:queue  {step}") > 0 for step in ("stop", "start", "check")] == [True] * 3
    assert not beds.alive(old) and released.environment("web2")["BLUEGREEN_RELEASE"] == "v2"
    assert "cron:report stays as it is on web1, which this run does not change" in result.stdout
    assert (released.hosts["web1"].path / "cron.d" / "bluegreen-shop").read_text() == line


@pytest.mark.full
def test_a_queue_on_a_lost_host_is_started_nowhere_else_until_that_host_is_said_to_be_gone(released: Two) -> None:
    pid = released.pid("web2")
    result = released.run("release", lost="web2", release="v2", max_unreachable=1)
    assert result.returncode != 0
    assert "worker:queue is started nowhere: it is seen on no host, and it may run on web2, which cannot be asked" in result.stdout
    assert "bluegreen_workers_absent, as in {web2: burnt down}" in result.stdout
    assert released.pid("web2") == pid and not (released.hosts["web1"].path / "programs" / "shop-queue.conf").exists()
    released.hosts["web2"].supervisorctl("shutdown")  # and so it is
    beds.wait_until(lambda: not beds.alive(pid), 30, "the end of the lost host's queue")
    result = released.run("release", lost="web2", release="v2", max_unreachable=1, workers_absent={"web2": "burnt down"})
    assert result.returncode == 0
    assert released.environment("web1")["BLUEGREEN_RELEASE"] == "v2"
