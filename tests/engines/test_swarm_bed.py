"""The Swarm bed: a real swarm, and nothing of it left when it is not needed any more."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Counts
from tests.engines import or_not_run
from tests.engines.leftovers import left, processes
from tools.bed import ROOT, alive, wait_until
from tools.engines import EngineError, images, swarm
from tools.engines.box import place
from tools.hosts.place import HostsError
from tools.probe import Kind, Probe

_FRONT = """
daemon off; pid /run/nginx.pid; error_log stderr; events {}
http {
  resolver 127.0.0.11 valid=1s ipv6=off;
  server {
    listen 80; access_log off; set $web web;
    location / {
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_connect_timeout 1s; proxy_next_upstream error timeout http_503;
      proxy_pass http://$web:8080;
    }
  }
}
"""
_HOLDER = """
import sys
from tools.engines import EngineError, images, swarm
try:
    with swarm.cluster() as bed:
        bed.load(images.app("1"))
        bed.docker("service", "create", "--detach", "--name", "web", "--no-resolve-image", images.app("1").name)
        print(bed.box.folder, flush=True)
        input()
except EngineError as error:
    print(f"none: {error}", flush=True)
"""


def create(bed: swarm.Swarm, name: str, *words: str) -> None:
    """A service on a network of tasks, and wait until it runs."""
    bed.docker("service", "create", "--detach=false", "-q", "--name", name, "--network", "front", "--no-resolve-image", *words)


def update(bed: swarm.Swarm, image: images.Image, *words: str) -> str:
    """Give the service web another image; how the update ended."""
    bed.docker("service", "update", "--detach=false", "-q", "--no-resolve-image", "--image", image.name, *words, "web", check=False)
    return bed.docker("service", "inspect", "--format", "{{.UpdateStatus.State}}", "web").stdout.strip()


def releases(bed: swarm.Swarm) -> list[str]:
    """The images of the tasks that are to run."""
    return sorted(bed.docker("service", "ps", "--filter", "desired-state=running", "--format", "{{.Image}}", "web").stdout.split())


@pytest.fixture(scope="module")
def bed() -> Iterator[swarm.Swarm]:
    """Three nodes with a service of three tasks, and nginx in front of it on each node."""
    with or_not_run("updates on a swarm of three nodes", swarm.cluster(nodes=3)) as made:
        first = images.app("1")
        made.load(first, images.app("2"), images.app("3", "500"), images.nginx())
        made.docker("network", "create", "--driver", "overlay", "front")
        made.docker("config", "create", "front", "-", stdin=_FRONT)
        rolling = ("--update-order", "start-first", "--update-monitor", "5s", "--update-failure-action", "rollback", "--rollback-order", "start-first")
        create(made, "web", "--endpoint-mode", "dnsrr", "--replicas", "3", "--stop-grace-period", "15s", *rolling, first.name)
        config = ("--config", "source=front,target=/etc/nginx/nginx.conf", "--entrypoint", "nginx")
        create(made, "front", "--mode", "global", "--publish", "mode=host,target=80,published=8080", *config, images.nginx().name)
        yield made


def hold() -> tuple[subprocess.Popen[str], Path]:
    """A process of its own with a cluster, and the cluster's directory."""
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    line = holder.stdout.readline().strip()
    if line.startswith("none: "):
        holder.communicate()
        pytest.skip(f"NOT RUN: the end of a swarm: {line.removeprefix('none: ')}")
    folder = Path(line)
    wait_until(lambda: any("/usr/local/bin/app" in process for process in processes(folder)), 60, "a task")
    return holder, folder


def test_nothing_is_left_when_whoever_holds_the_cluster_is_killed() -> None:
    holder, folder = hold()
    with holder:
        assert left(folder)
        holder.kill()
    wait_until(lambda: not left(folder), 60, "the end of the cluster")


def test_where_there_can_be_no_cluster_the_reason_is_in_the_closing_lines() -> None:
    @contextlib.contextmanager
    def none() -> Iterator[None]:
        raise EngineError("this kernel has no VXLAN")
        yield

    with pytest.raises(pytest.skip.Exception, match="NOT RUN: a swarm: this kernel has no VXLAN"), or_not_run("a swarm", none()):
        pass


@pytest.mark.full
def test_the_next_run_takes_away_what_a_killed_keeper_left() -> None:
    holder, folder = hold()
    with holder:
        keeper = next(int(process.split()[0]) for process in processes(folder) if " keep swarm " in process and "sudo" not in process)
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not alive(keeper), what="the keeper's end")
        holder.kill()
    wait_until(lambda: not processes(folder), 60, "the end of the cluster's processes")
    assert left(folder)
    with swarm.cluster():
        assert not left(folder)


@pytest.mark.full
def test_a_cluster_of_the_command_line_lives_until_it_is_taken_down(tmp_path: Path) -> None:
    command, state = [sys.executable, "-m", "tools.engines"], tmp_path / "state.json"
    subprocess.run([*command, "up", "swarm", "--nodes", "2", "--state", str(state)], cwd=ROOT, check=True, stdin=subprocess.DEVNULL, timeout=120)
    told = json.loads(state.read_text())
    listed = subprocess.run(["docker", "-H", told["hosts"][0], "node", "ls", "-q"], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert len(listed.stdout.split()) == len(told["addresses"]) == 2
    subprocess.run([*command, "down", "--state", str(state)], cwd=ROOT, check=True, stdin=subprocess.DEVNULL, timeout=120)
    assert not state.exists()
    assert not left(Path(told["folder"]))


@pytest.mark.full
def test_updates_under_load_lose_nothing_and_a_broken_one_is_rolled_back_by_the_engine(bed: swarm.Swarm, counts: Counts) -> None:
    nodes = bed.docker("service", "ps", "--format", "{{.Node}}", "web").stdout.split()
    assert sorted(nodes) == ["node1", "node2", "node3"]
    load = [Kind(f"node{number}", f"http://{address}:8080/", rate=40, connections=2) for number, address in enumerate(bed.addresses, 1)]
    with Probe("swarm-bed", load, {"header": "X-Release"}) as probe:
        assert update(bed, images.app("2")) == "completed"
        assert releases(bed) == [images.app("2").name] * 3
        assert update(bed, images.app("3", "500")) == "rollback_completed"
        assert releases(bed) == [images.app("2").name] * 3
    counts.add("requests to a swarm while it was updated", probe.result["due"])
    assert probe.result["failures"] == []
    assert probe.result["answered"] == probe.result["due"] > 1000
    assert sorted(probe.result["by_release"]) == ["1", "2"]


@pytest.mark.full
def test_the_load_sees_tasks_that_end_with_requests_under_way(bed: swarm.Swarm) -> None:
    assert update(bed, images.app("2"), "--stop-signal", "KILL") == "completed"
    # Longer than the 2 s for which Swarm lets a task go on whose address it has withdrawn.
    slow = Kind("slow", f"http://{bed.address}:8080/slow?seconds=6", method="POST", rate=3, connections=30, timeout=30)
    with Probe("swarm-bed", [slow], {"header": "X-Release"}) as probe:
        assert update(bed, images.app("1")) == "completed"
    assert probe.result["failures"]


@pytest.mark.full
def test_an_image_that_is_not_there_is_refused_at_once_because_there_is_no_way_to_a_registry(bed: swarm.Swarm) -> None:
    with pytest.raises(HostsError, match="docker pull nowhere:1 failed"):
        bed.docker("pull", "nowhere:1", seconds=20)


@pytest.mark.full
def test_a_keeper_that_has_no_rights_says_so_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # a directory of the run that is this test's alone
    without = ["setpriv", "--bounding-set", "-sys_admin", sys.executable, "-c", _HOLDER]
    done = subprocess.run(without, cwd=ROOT, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    assert done.stdout.startswith("none: no namespaces for a cluster on this machine: unshare: "), done.stderr
    wait_until(lambda: not place().run.exists(), what="the end of the keeper")
