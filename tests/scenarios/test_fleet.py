"""A user's project with a balancer of its own: what belongs to the service is known from one group's variables alone."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _lock

from tests.scenarios import plays
from tests.scenarios.test_variables import answer
from tools import bed as beds

HOSTS = {"lb1": beds.BalancerBed, "app1": beds.AppBed, "app2": beds.AppBed}
APPS = ("app1", "app2")
# Nobody can reach them. Whoever tries is unreachable, or waits for ten seconds.
STRANGERS = {f"db{number}": {"ansible_connection": "ssh", "ansible_host": "192.0.2.1"} for number in (1, 2)}


@dataclass(frozen=True)
class Project:
    """A user's directory: every variable of the service stands in group_vars of the hosts that run it; playbooks are for all hosts."""

    path: Path
    hosts: dict[str, beds.Bed]

    def write(self, name: str, content: Any) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    def run(self, playbook: str, *words: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        variables = json.dumps({f"bluegreen_{name}": value for name, value in extra.items()})
        command = [str(Path(beds.PYTHON).parent / "ansible-playbook"), "-i", "inventory.yml", f"hotswap.bluegreen.{playbook}", "-e", variables, *words]
        result = subprocess.run(
            command, cwd=self.path, env=beds.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300
        )
        print(result.stdout, result.stderr)
        return result

    def own_variables(self, host: str, **more: Any) -> None:
        """The host's own variables: its directories, and its slot's port, because all hosts are one machine here."""
        bed = self.hosts[host]
        ours = ("root", "supervisor_config", "supervisor_program_dir")
        slot = {"name": "blue", "port": bed.blue}
        self.write(f"host_vars/{host}.yml", {**{f"bluegreen_{name}": bed.variables[f"bluegreen_{name}"] for name in ours}, "bluegreen_slots": [slot], **more})

    def releases(self) -> dict[str, str]:
        return {host: os.readlink(self.hosts[host].path / "srv" / "blue" / "current") for host in APPS}

    def pids(self) -> dict[str, str]:
        return {host: self.hosts[host].supervisorctl("pid", "shop-blue").strip() for host in APPS}

    @property
    def state(self) -> Path:
        """What the balancer keeps of the service."""
        return self.hosts["lb1"].path / "bluegreen" / "shop"

    def pools(self) -> set[str]:
        return {path.name for path in (self.state / "pools").iterdir()}

    def workers(self) -> str:
        pid = self.hosts["lb1"].nginx_pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text()


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bg-")))
        folder.chmod(0o755)
        hosts = {name: stack.enter_context(kind(folder / name)) for name, kind in HOSTS.items()}
        project = Project(folder / "project", hosts)
        app = {"hosts": dict.fromkeys(APPS), "vars": {"ansible_connection": "local"}}
        project.write("inventory.yml", {"db": {"hosts": STRANGERS}, "lb": {"hosts": {"lb1": {"ansible_connection": "local"}}}, "app": app})
        project.write("group_vars/all.yml", {"ansible_python_interpreter": beds.TARGET})
        balancer = {name: value for name, value in hosts["lb1"].variables.items() if "nginx" in name or name in ("bluegreen_service", "bluegreen_listen")}
        service = {"bluegreen_group": "app", "bluegreen_balancers": "lb", "bluegreen_address": "127.0.0.1", "bluegreen_packages": False}
        project.write("group_vars/app.yml", {**plays.RELEASE, **balancer, **service})
        for name in APPS:
            project.own_variables(name)
        assert project.run("install").returncode == 0
        yield project


@pytest.fixture(scope="module")
def released(project: Project) -> tuple[Project, str]:
    """The first release, by a play for all hosts; and what it printed."""
    result = project.run("release")
    assert result.returncode == 0
    return project, result.stdout


def test_a_balancer_without_variables_of_its_own_has_those_of_the_service(released: tuple[Project, str]) -> None:
    project, _output = released
    assert answer(project.hosts["lb1"])["release"] == "v1"
    assert len(project.pools()) == 3, "both members, and each alone"
    assert project.releases() == {"app1": "v1", "app2": "v1"}


def test_each_host_has_its_own_part_alone(released: tuple[Project, str]) -> None:
    project, _output = released
    assert not (project.hosts["lb1"].path / "programs").exists() and not (project.hosts["lb1"].path / "srv").exists()
    assert [name for name in APPS for part in ("conf.d", "bluegreen", "nginx.conf") if (project.hosts[name].path / part).exists()] == []


def test_strangers_of_the_inventory_are_never_connected_to(released: tuple[Project, str]) -> None:
    """bluegreen_group stands in group_vars, where a playbook's `hosts` cannot see it: the play has everybody."""
    recap = [line for line in released[1].splitlines() if line.startswith("db")]
    assert len(recap) == 2
    assert all("ok=1 " in line and "unreachable=0 " in line and "failed=0 " in line for line in recap)


@pytest.mark.full
def test_a_limit_selects_what_is_swapped_and_nothing_else(released: tuple[Project, str]) -> None:
    project, _output = released
    pools, workers, pids = project.pools(), project.workers(), project.pids()
    result = project.run("release", "--limit", "app2", release="v2")
    assert result.returncode == 0
    assert project.releases() == {"app1": "v1", "app2": "v2"}
    assert project.pids()["app1"] == pids["app1"] != project.pids()["app2"]
    assert (project.pools(), project.workers()) == (pools, workers)


@pytest.mark.full
def test_under_a_limit_the_lock_is_where_it_always_is(released: tuple[Project, str]) -> None:
    """Held here by somebody who swaps the other host."""
    project, _output = released
    now = json.loads((project.state / "lease.json").read_text())
    held = _lock.acquire(str(project.state), {"user": "mia", "controller": "laptop", "pid": 1}, "release v9 on app1", 600)
    try:
        result = project.run("release", "--limit", "app2", release="v3")
        assert result.returncode != 0
        assert "mia" in result.stdout and "release v9 on app1" in result.stdout
        assert project.releases()["app2"] == "v2"
    finally:
        _lock.release(str(project.state), held.token)
    assert held.token == now["token"] + 1, "it is the lease that the runs before had"


@pytest.mark.full
def test_under_a_limit_those_who_are_not_swapped_are_counted_and_must_answer(released: tuple[Project, str]) -> None:
    project, _output = released
    pids = project.pids()
    project.hosts["app1"].supervisorctl("stop", "shop-blue")
    try:
        result = project.run("release", "--limit", "app2", release="v3")
    finally:
        project.hosts["app1"].supervisorctl("start", "shop-blue")
    assert result.returncode != 0
    assert "app1/blue" in result.stdout and "bluegreen_min_serving is 1" in result.stdout
    assert project.pids()["app2"] == pids["app2"]
    assert project.releases()["app2"] == "v2"


def test_hosts_that_say_different_things_of_their_balancers_are_refused(released: tuple[Project, str]) -> None:
    project, _output = released
    before = project.pids()
    project.own_variables("app2", bluegreen_balancers="app1")
    try:
        result = project.run("release", release="v4")
    finally:
        project.own_variables("app2")
    assert result.returncode != 0
    assert "set bluegreen_group, bluegreen_balancers and bluegreen_local_balancer alike for all hosts of the service" in result.stdout
    assert "Nothing was changed." in result.stdout
    assert project.pids() == before
    assert [host for host in APPS if (project.hosts[host].path / "srv" / "releases" / "v4").exists()] == []
