"""The driver of Docker Swarm, on a real one: a good and a broken release under load, the way back, and what must not change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._course import Course, Ended
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._seen import Seen
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import File, Service
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._swarm import Swarm

from tests.conftest import Counts
from tests.engines import or_not_run
from tests.engines.calling import Modules
from tools.engines import images, swarm
from tools.probe import Kind, Probe

_NGINX = {"image": images.nginx().name, "replicas": 1, "extra": "", "publish": [{"published": 8080, "port": "http", "mode": "host"}]}


def _relaxed(seconds: float) -> None:
    """Every look costs a process: half as many will do here."""
    time.sleep(2 * seconds)


@dataclass
class Bed:
    """A swarm, and a service on it by our driver."""

    swarm: swarm.Swarm
    told: list[Any] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        return {"docker_host": self.swarm.docker_host, "nginx": _NGINX}

    def service(self, release: str, broken: str = "", **more: Any) -> Service:
        given: dict[str, Any] = {
            "environment": {"PORT": "8080", "DRAIN": "1", "TEMPLATE": "{{.Task.Slot}}"},
            "boot_timeout": 20.0,
            "drain_timeout": 5.0,
            "stop_timeout": 5,
            "watch": 2.0,
            "files": (File("/etc/shop/app.conf", f"of {release}".encode(), 0o444),),
            "options": self.options,
        }
        return Service("shop", release, images.app(release, broken).name, **{**given, **more})

    def driver(self, **how: bool) -> Swarm:
        """A run's own: what an earlier one has seen is not known to it."""
        return Swarm(Modules(**how), "shop", self.options, sleep=_relaxed)

    def run(self, service: Service) -> Ended:
        driver = self.driver()
        assert driver.problems(service, driver.look()) == []
        return Course(driver, service, self.told.append, lambda _seconds: None, lambda _moment, _release: "", "somebody", _relaxed).run(driver.look())

    def docker(self, *words: str) -> str:
        return self.swarm.docker(*words).stdout.strip()

    def configs(self) -> list[str]:
        return sorted(self.docker("config", "ls", "--format", "{{.Name}}").split())


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with or_not_run("the driver of Docker Swarm", swarm.cluster()) as made:
        made.load(images.app("1"), images.app("2"), images.app("3", "500"), images.nginx())
        yield Bed(made)


@pytest.fixture(scope="module")
def shop(bed: Bed) -> Bed:
    """With its first release, behind nginx."""
    ended = bed.run(bed.service("1"))
    assert ended.failure is None, ended.failure
    return bed


def serving(seen: Seen) -> list[tuple[str, bool]]:
    return [(replica.release, replica.healthy) for replica in seen.replicas if not replica.problem]


def test_a_release_replaces_the_tasks_without_a_failed_request_and_a_broken_one_is_taken_back_by_swarm(shop: Bed, counts: Counts) -> None:
    load = [Kind("shop", f"http://{shop.swarm.address}:8080/", rate=40, connections=2)]
    with Probe("swarm-driver", load, {"header": "X-Release"}) as probe:
        good = shop.run(shop.service("2"))
        assert good.failure is None, good.failure
        assert good.after.state == "settled"
        assert serving(good.after) == [("2", True)] * 2

        broken = shop.run(shop.service("3", "500"))
        assert broken.failure
        assert broken.back
        assert broken.after.state == "rolled_back"
        assert serving(broken.after) == [("2", True)] * 2
        assert "its health check failed" in broken.failure.seen
        assert any("3: started" in line for line in broken.failure.log)
    counts.add("requests to Docker Swarm while our driver updated", probe.result["due"])
    assert probe.result["failures"] == []
    assert probe.result["answered"] == probe.result["due"] > 200
    assert sorted(probe.result["by_release"]) == ["1", "2"]

    before = shop.docker("service", "inspect", "shop", "--format", "{{.Version.Index}}"), shop.configs()
    again = shop.run(shop.service("2"))
    assert (again.failure, again.changed) == (None, False)
    assert (shop.docker("service", "inspect", "shop", "--format", "{{.Version.Index}}"), shop.configs()) == before
    assert [(past.release, past.outcome) for past in again.after.past] == [("3", "failed"), ("2", "good"), ("1", "good")]
