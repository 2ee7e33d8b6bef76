"""drain.yml and enable.yml on a fleet with balancers of its own, under load: what leaves, what a release leaves alone, what comes back."""

from __future__ import annotations

import http.client
import json
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.shop import APPS as APPS_OF_TESTS
from tests.drivers.shop import WEB, ask
from tests.scenarios import plays
from tests.scenarios.test_fleet import APPS, Project
from tools import bed as beds

HOSTS = {"lb1": beds.BalancerBed, "lb2": beds.BalancerBed, "app1": beds.AppBed, "app2": beds.AppBed}
LBS = ("lb1", "lb2")
APP = {"bluegreen_command": list(WEB), "bluegreen_source": {"directory": str(APPS_OF_TESTS)}}


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """A service of two hosts behind two balancers, on release v1."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bg-")))
        folder.chmod(0o755)
        hosts = {name: stack.enter_context(kind(folder / name)) for name, kind in HOSTS.items()}
        project = Project(folder / "project", hosts)
        here = {"vars": {"ansible_connection": "local"}}
        groups = {"lb": {"hosts": dict.fromkeys(LBS), **here}, "app": {"hosts": dict.fromkeys(APPS), **here}}
        project.write("inventory.yml", groups)
        project.write("group_vars/all.yml", {"ansible_python_interpreter": beds.PYTHON})
        project.write(
            "group_vars/app.yml",
            {**plays.RELEASE, **APP, "bluegreen_service": "shop", "bluegreen_group": "app", "bluegreen_balancers": "lb", "bluegreen_address": "127.0.0.1"},
        )
        for name in LBS:
            own = {key: value for key, value in hosts[name].variables.items() if "nginx" in key or key == "bluegreen_listen"}
            project.write(f"host_vars/{name}.yml", own)
        for name in APPS:
            project.own_variables(name)
        two = [{"name": "blue", "port": hosts["app1"].blue}, {"name": "green", "port": hosts["app1"].green}]
        project.own_variables("app1", bluegreen_slots=two)
        for playbook in ("install", "release"):
            assert project.run(playbook, packages=False).returncode == 0
        yield project


def marks(project: Project) -> dict[str, Any]:
    """Who is in maintenance, by balancer."""
    files = {name: project.hosts[name].path / "bluegreen" / "shop" / "maintenance.json" for name in LBS}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values() if path.exists()} <= {0o600}
    return {name: json.loads(path.read_text()) if path.exists() else {} for name, path in files.items()}


def serving(project: Project) -> dict[str, set[str]]:
    """The hosts that each balancer serves."""
    folders = {name: project.hosts[name].path / "bluegreen" / "shop" for name in LBS}
    records = {name: json.loads((folder / "active" / "members.json").read_text()) for name, folder in folders.items()}
    return {name: {member["host"] for member in members} for name, members in records.items()}


@contextmanager
def asked(*ports: int) -> Iterator[list[str]]:
    """Somebody asks these ports all the time, each request on a connection of its own; what failed."""
    failed: list[str] = []
    end = threading.Event()

    def go_on(port: int) -> None:
        while not end.is_set():
            try:
                reply = ask(port)
                failed.extend([] if reply.status == 200 else [f"{port}: status {reply.status}"])
            except (OSError, http.client.HTTPException) as error:
                failed.append(f"{port}: {error!r}")
            end.wait(0.01)

    threads = [threading.Thread(target=go_on, args=(port,), daemon=True) for port in ports]
    for thread in threads:
        thread.start()
    yield failed
    end.set()
    for thread in threads:
        thread.join(30)


def test_a_member_is_drained_left_alone_by_a_release_and_brought_back_without_a_failed_request(project: Project) -> None:
    pids = project.pids()
    with asked(*(project.hosts[name].port for name in LBS)) as failed:
        drained = project.run("drain", members="app2", reason="disk change")
        assert drained.returncode == 0
        assert serving(project) == {"lb1": {"app1"}, "lb2": {"app1"}}
        assert {name: note["app2/blue"]["why"] for name, note in marks(project).items()} == {"lb1": "disk change", "lb2": "disk change"}

        both = project.run("drain", members=["app1", "app2/blue"], reason="more")
        assert both.returncode != 0 and plays.changed(both) == 0
        assert "app1/blue and app1/green cannot be taken out: 0 would serve on lb1, bluegreen_min_serving is 1" in both.stdout
        assert project.pids() == pids, "nobody's process was touched"

        left_alone = project.run("release", release="v2")
        assert left_alone.returncode == 0
        assert ": disk change): left alone on release v1" in left_alone.stdout
        assert project.releases() == {"app1": "v2", "app2": "v1"}
        assert project.pids()["app2"] == pids["app2"]
        assert serving(project) == {"lb1": {"app1"}, "lb2": {"app1"}}

        back = project.run("enable", members="app2")
        assert back.returncode == 0
        assert project.releases() == {"app1": "v2", "app2": "v2"}
        assert serving(project) == {"lb1": {"app1", "app2"}, "lb2": {"app1", "app2"}}
        assert marks(project) == {"lb1": {}, "lb2": {}}
    assert failed == []
