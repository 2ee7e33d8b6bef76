"""A variable arrives wherever the user wrote it, and per host where hosts differ, in the user's own play as in ours."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools import bed as beds

PLAY = {
    "hosts": "app",
    "gather_facts": False,
    "vars": {"bluegreen_command": "{{ python }} app.py from-play-vars"},
    "vars_files": ["settings.yml"],
    "pre_tasks": [{"ansible.builtin.set_fact": {"bluegreen_stop_timeout": 17}}],
    "roles": ["shop_defaults", "hotswap.bluegreen.release"],
    "tasks": [{"hotswap.bluegreen.swap": {}}],
}


@dataclass(frozen=True)
class Project:
    """A user's directory: inventory, group_vars, host_vars, a role and playbooks; two hosts with an nginx and a supervisord each."""

    path: Path
    hosts: dict[str, beds.Bed]

    def write(self, name: str, content: Any) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    def run(self, playbook: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(beds.PYTHON).parent / "ansible-playbook"), "-i", "inventory.yml", playbook, *words]
        result = subprocess.run(
            command, cwd=self.path, env=beds.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300
        )
        print(result.stdout, result.stderr)
        return result

    def answers(self) -> dict[str, dict[str, Any]]:
        return {name: answer(bed) for name, bed in self.hosts.items()}


def answer(bed: beds.Bed) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", bed.port, timeout=10)
    try:
        connection.request("GET", "/")
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()


def lease(bed: beds.Bed) -> dict[str, Any]:
    return dict(json.loads((bed.path / "bluegreen" / "shop" / "lease.json").read_text()))


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bg-")))
        folder.chmod(0o755)
        hosts = {name: stack.enter_context(beds.Bed(folder / name)) for name in ("app1", "app2")}
        project = Project(folder / "project", hosts)
        # A host of the inventory that is none of the service's, and that nobody can reach.
        inventory = {"app": {"hosts": dict.fromkeys(hosts)}, "db": {"hosts": {"db1": {"ansible_connection": "ssh", "ansible_host": "192.0.2.1"}}}}
        project.write("inventory.yml", inventory)
        project.write("group_vars/all.yml", {"python": beds.PYTHON, "ansible_python_interpreter": beds.PYTHON, "bluegreen_group": "app"})
        project.write(
            "group_vars/app.yml",
            {"ansible_connection": "local", "bluegreen_start_seconds": 0, "bluegreen_environment": {"WORD": "{{ word }} of {{ inventory_hostname }}"}},
        )
        for name, bed in hosts.items():
            project.write(f"host_vars/{name}.yml", {**bed.variables, "word": f"host_vars-{name}"})
        project.write("settings.yml", {"bluegreen_health_path": "/from-vars-files"})
        project.write("roles/shop_defaults/defaults/main.yml", {"bluegreen_health_successes": 2, "bluegreen_source": {"directory": str(plays.APP)}})
        project.write("site.yml", [PLAY])
        project.write("install.yml", [{"import_playbook": "hotswap.bluegreen.install", "vars": {"bluegreen_group": "app"}}])
        assert project.run("install.yml").returncode == 0
        yield project


@pytest.fixture(scope="module")
def released(project: Project) -> tuple[Project, str]:
    """The user's own play, with variables from everywhere; and what it printed."""
    result = project.run("site.yml", "-e", "bluegreen_release=v1")
    assert result.returncode == 0
    return project, result.stdout


def test_extra_vars_arrive(released: tuple[Project, str]) -> None:
    assert {name: seen["release"] for name, seen in released[0].answers().items()} == {"app1": "v1", "app2": "v1"}


def test_group_vars_arrive_with_the_host_vars_that_they_name_of_each_host(released: tuple[Project, str]) -> None:
    words = {name: seen["word"] for name, seen in released[0].answers().items()}
    assert words == {"app1": "host_vars-app1 of app1", "app2": "host_vars-app2 of app2"}


def test_host_vars_that_differ_arrive_per_host(released: tuple[Project, str]) -> None:
    for bed in released[0].hosts.values():
        assert set(plays.pids(bed)) == {"shop-blue", "shop-green", "nginx", "workers", "supervisord"}
        assert {slot: os.readlink(bed.path / "srv" / slot / "current") for slot in ("blue", "green")} == {"blue": "v1", "green": "v1"}


def test_play_vars_arrive(released: tuple[Project, str]) -> None:
    for bed in released[0].hosts.values():
        pid = plays.pids(bed)["shop-blue"].rstrip(",")
        assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-2] == b"from-play-vars"


def test_vars_files_and_role_defaults_arrive(released: tuple[Project, str]) -> None:
    assert released[1].count(": 2 × GET /from-vars-files answers 200\n") == 4


def test_facts_that_were_set_arrive(released: tuple[Project, str]) -> None:
    for bed in released[0].hosts.values():
        assert "stopwaitsecs=17\n" in (bed.path / "programs" / "shop-blue.conf").read_text()


def test_hosts_outside_the_group_are_left_alone(released: tuple[Project, str]) -> None:
    assert "db1" not in released[1]


def test_a_play_of_role_and_swap_gives_its_lock_back_and_a_second_run_changes_nothing(released: tuple[Project, str]) -> None:
    project, _output = released
    before = {name: plays.pids(bed) for name, bed in project.hosts.items()}
    assert lease(project.hosts["app1"])["until"] <= time.time()

    again = project.run("site.yml", "-e", "bluegreen_release=v1")

    assert again.returncode == 0
    assert plays.changed(again) == 0
    assert {name: plays.pids(bed) for name, bed in project.hosts.items()} == before


@pytest.fixture(scope="module")
def staged(released: tuple[Project, str]) -> Project:
    """A play of the role alone, with variables in the role's own entry: v2 is staged, the lock was not given back."""
    project, _output = released
    entry = {"role": "hotswap.bluegreen.release", "bluegreen_release": "v2", "vars": {"bluegreen_environment": {"WORD": "role entry"}}}
    project.write("stage.yml", [{**{key: value for key, value in PLAY.items() if key != "tasks"}, "roles": ["shop_defaults", entry]}])
    assert project.run("stage.yml").returncode == 0
    return project


def test_vars_of_the_role_s_own_entry_arrive(staged: Project) -> None:
    for bed in staged.hosts.values():
        assert "export WORD='role entry'\n" in (bed.path / "srv" / "blue" / ".launch" / "v2").read_text()


def test_staging_alone_swaps_nothing_and_leaves_its_lock(staged: Project) -> None:
    assert lease(staged.hosts["app1"])["until"] > time.time()
    assert {seen["release"] for seen in staged.answers().values()} == {"v1"}


@pytest.mark.full
def test_import_playbook_s_vars_arrive_and_the_lock_of_a_play_that_is_gone_is_taken_over(staged: Project) -> None:
    variables = {
        "bluegreen_group": "app",
        "bluegreen_release": "v2",
        "bluegreen_command": "{{ python }} app.py from-import-playbook",
        "bluegreen_source": {"directory": str(plays.APP)},
        "bluegreen_environment": {"WORD": "import_playbook on {{ inventory_hostname }}"},
        "bluegreen_health_path": "/from-import-playbook",
    }
    staged.write("release.yml", [{"import_playbook": "hotswap.bluegreen.release", "vars": variables}])

    result = staged.run("release.yml")

    assert result.returncode == 0
    assert result.stdout.count(": 3 × GET /from-import-playbook answers 200\n") == 4
    assert {name: (seen["release"], seen["word"]) for name, seen in staged.answers().items()} == {
        "app1": ("v2", "import_playbook on app1"),
        "app2": ("v2", "import_playbook on app2"),
    }
    assert lease(staged.hosts["app1"])["until"] <= time.time()
