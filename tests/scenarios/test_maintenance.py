"""drain.yml and enable.yml on a fleet with balancers of its own, under load: what leaves, what a release leaves alone, what comes back."""

from __future__ import annotations

import http.client
import json
import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.drivers.shop import APPS as APPS_OF_TESTS
from tests.drivers.shop import WEB, ask
from tests.scenarios import plays
from tests.scenarios.test_fleet import Project
from tools import bed as beds

HOSTS = {"lb1": beds.BalancerBed, "lb2": beds.BalancerBed, "app1": beds.AppBed}
LBS = ("lb1", "lb2")
SLOTS = ("blue", "green", "red")
APP = {"bluegreen_command": list(WEB), "bluegreen_source": {"directory": str(APPS_OF_TESTS)}}


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """A service of three slots behind two balancers, on release v1."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bg-")))
        folder.chmod(0o755)
        hosts = {name: stack.enter_context(kind(folder / name)) for name, kind in HOSTS.items()}
        project = Project(folder / "project", hosts)
        here = {"vars": {"ansible_connection": "local"}}
        # app2 has broken down: nobody answers there, neither on ssh nor on its slot's port.
        ssh, dead = beds.free_ports(2)
        gone = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": ssh, "bluegreen_slots": [{"name": "grey", "port": dead}]}
        project.write("inventory.yml", {"lb": {"hosts": dict.fromkeys(LBS), **here}, "app": {"hosts": {"app1": None, "app2": gone}, **here}})
        project.write("group_vars/all.yml", {"ansible_python_interpreter": beds.TARGET})
        service = {"bluegreen_service": "shop", "bluegreen_group": "app", "bluegreen_balancers": "lb", "bluegreen_address": "127.0.0.1"}
        project.write("group_vars/app.yml", {**plays.RELEASE, **APP, **service})
        for name in LBS:
            own = {key: value for key, value in hosts[name].variables.items() if "nginx" in key or key == "bluegreen_listen"}
            project.write(f"host_vars/{name}.yml", own)
        slots = [{"name": name, "port": port} for name, port in zip(SLOTS, beds.free_ports(3), strict=True)]
        project.own_variables("app1", bluegreen_slots=slots)
        for playbook in ("install", "release"):
            assert project.run(playbook, "--limit", "app1,lb", packages=False).returncode == 0
        yield project


def marks(project: Project) -> dict[str, dict[str, str]]:
    """Why who is in maintenance, by balancer."""
    files = {name: project.hosts[name].path / "bluegreen" / "shop" / "maintenance.json" for name in LBS}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values() if path.exists()} <= {0o600}
    found = {name: json.loads(path.read_text()) if path.exists() else {} for name, path in files.items()}
    return {name: {member: note["why"] for member, note in notes.items()} for name, notes in found.items()}


def serving(project: Project) -> list[set[str]]:
    """The slots that each balancer serves."""
    records = [project.hosts[name].path / "bluegreen" / "shop" / "active" / "members.json" for name in LBS]
    return [{member["slot"] for member in json.loads(record.read_text())} for record in records]


def slots(project: Project) -> dict[str, tuple[str, str]]:
    """Release and process of each slot."""
    app = project.hosts["app1"]
    return {name: (os.readlink(app.path / "srv" / name / "current"), app.supervisorctl("pid", f"shop-{name}").strip()) for name in SLOTS}


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
            end.wait(0.05)

    threads = [threading.Thread(target=go_on, args=(port,), daemon=True) for port in ports]
    for thread in threads:
        thread.start()
    yield failed
    end.set()
    for thread in threads:
        thread.join(30)


@pytest.mark.full
def test_a_member_is_drained_left_alone_by_a_release_and_brought_back_without_a_failed_request(project: Project) -> None:
    before = slots(project)
    with asked(*(project.hosts[name].port for name in LBS)) as failed:
        drained = project.run("drain", members="app1/green, app2", reason="disk change")
        assert drained.returncode == 0 and "It is taken out all the same." in drained.stdout
        assert serving(project) == [{"blue", "red"}] * 2
        assert marks(project) == {name: dict.fromkeys(["app1/green", "app2/grey"], "disk change") for name in LBS}
        assert slots(project) == before, "nobody's process was touched"

        left_alone = project.run("release", release="v2")
        assert left_alone.returncode == 0
        assert ": disk change): left alone on release v1" in left_alone.stdout
        assert "app2 is unreachable" in left_alone.stderr and "it is left out, because it is in maintenance" in " ".join(left_alone.stderr.split())
        assert {name: release for name, (release, _pid) in slots(project).items()} == {"blue": "v2", "green": "v1", "red": "v2"}
        assert slots(project)["green"] == before["green"]
        assert serving(project) == [{"blue", "red"}] * 2

        assert project.run("enable", members="app1/green").returncode == 0
        assert {release for release, _pid in slots(project).values()} == {"v2"}
        assert serving(project) == [set(SLOTS)] * 2
        assert marks(project) == {name: {"app2/grey": "disk change"} for name in LBS}
    assert failed == []
