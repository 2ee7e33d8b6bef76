"""The driver of Docker Swarm, on a real one: a good and a broken release under load, the way back, and what must not change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Hook
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._course import Course, Ended
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._engine import Grip, Refused
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._seen import Seen
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import File, Resources, Service, Worker
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
    name: str = "shop"
    told: list[Any] = field(default_factory=list)

    @property
    def options(self) -> dict[str, Any]:
        return {"docker_host": self.swarm.docker_host, "nginx": _NGINX if self.name == "shop" else {}}

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
        return Service(self.name, release, images.app(release, broken).name, **{**given, **more})

    def driver(self, **how: bool) -> Swarm:
        """A run's own: what an earlier one has seen is not known to it."""
        return Swarm(Modules(**how), self.name, self.options, sleep=_relaxed)

    def run(self, service: Service, sleep: Callable[[float], Any] = _relaxed) -> Ended:
        driver = self.driver()
        assert driver.problems(service, driver.look()) == []
        return Course(driver, service, self.told.append, lambda _seconds: None, lambda _moment, _release: "", "somebody", sleep).run(driver.look())

    def docker(self, *words: str) -> str:
        return self.swarm.docker(*words).stdout.strip()

    def tasks(self, service: str = "") -> list[str]:
        """Images' tags of the tasks that run."""
        words = ("ps", "--filter", "desired-state=running", "--format", "{{.Image}} {{.CurrentState}}", service or self.name)
        return sorted(line.split()[0].rpartition(":")[2] for line in self.docker("service", *words).splitlines() if line.split()[1] == "Running")

    def everything(self) -> list[str]:
        """All objects of the Swarm with the version that each change counts up."""
        found = []
        for kind in ("service", "config", "secret", "network"):
            ids = self.docker(kind, "ls", "-q").split()
            version = "{{.Id}} {{.Name}}" if kind == "network" else "{{.ID}} {{.Spec.Name}} {{.Version.Index}}"
            found += self.docker("inspect", "--type", kind, "--format", version, *ids).splitlines() if ids else []
        return sorted(found)

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


@pytest.mark.full
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


# ---- by hand, with make test-engines


class Interrupted(BaseException):
    """The controller is gone."""


def another(bed: Bed, name: str) -> Bed:
    """A service of its own on the same swarm."""
    return Bed(bed.swarm, name)


def good(ended: Ended) -> Ended:
    assert ended.failure is None, ended.failure
    return ended


@pytest.mark.full
def test_a_rollback_brings_back_configs_secrets_and_workers_and_a_migration_runs_once_for_a_release(bed: Bed) -> None:
    mine = another(bed, "mine")
    workers = (Worker("mail", ("app", "work")), Worker("clock", ("app", "work"), "fleet"))

    def service(release: str, **more: Any) -> Service:
        files = (File("/etc/a.conf", f"of {release}".encode(), 0o444), File("/run/key", f"key of {release}".encode(), 0o400, True))
        return mine.service(release, files=files, workers=workers, migrate=(Hook("migrate", ("app", "migrate")),), **more)

    good(mine.run(service("1")))
    assert (mine.tasks(), mine.tasks("mine-mail"), mine.tasks("mine-clock")) == (["1"] * 2, ["1"] * 2, ["1"])
    before = mine.everything()
    assert good(mine.run(service("1"))).changed is False
    assert mine.everything() == before  # no second migration, no new record

    good(mine.run(replace(service("2"), workers=workers[:1])))
    assert mine.tasks("mine-mail") == ["2"] * 2
    assert "mine-clock" not in mine.docker("service", "ls", "--format", "{{.Name}}").split()
    jobs = [name for name in mine.docker("service", "ls", "--format", "{{.Name}}").split() if name.startswith("mine-migrate")]
    assert len(jobs) == 2

    ended = good(mine.run(replace(service("1"), rollback=True, environment={}, files=())))
    assert (mine.tasks(), mine.tasks("mine-mail"), mine.tasks("mine-clock")) == (["1"] * 2, ["1"] * 2, ["1"])
    task = next(replica for replica in ended.after.replicas if replica.healthy).name.rpartition(".")[2]
    container = mine.docker("inspect", "--type", "task", "--format", "{{.Status.ContainerStatus.ContainerID}}", task)
    assert mine.docker("exec", container, "cat", "/etc/a.conf", "/run/key") == "of 1key of 1"
    assert {past.release: past.outcome for past in mine.driver().look().past} == {"1": "returned", "2": "left"}

    assert any("key" in name for name in mine.driver().prune(service("1", keep_releases=1)).what)
    assert [past.release for past in mine.driver().look().past] == ["1"]
    assert len(mine.docker("secret", "ls", "-q", "--filter", "label=hotswap.bluegreen.service=mine").split()) == 1


@pytest.mark.full
def test_a_migration_that_fails_shows_its_lines_touches_no_task_and_is_tried_again(bed: Bed) -> None:
    mine = another(bed, "moving")
    good(mine.run(mine.service("1")))
    failing = replace(mine.service("2"), migrate=(Hook("migrate", ("sh", "-c", "echo no such table; exit 7")),))
    for _time in range(2):
        ended = mine.run(failing)
        assert ended.failure
        assert "has failed: task" in ended.failure.seen
        assert ended.failure.log == ("no such table",)
        assert mine.tasks() == ["1"] * 2


@pytest.mark.full
def test_a_worker_that_does_not_stay_is_told_with_its_lines_while_the_release_serves(bed: Bed) -> None:
    mine = another(bed, "working")
    broken = Worker("mail", ("sh", "-c", "sleep 1; echo no queue; exit 4"))
    ended = mine.run(mine.service("1", replicas=1, boot_timeout=5.0, workers=(broken,)))
    assert ended.failure
    assert ended.failure.step == "workers"
    assert "The service working-mail does not run" in ended.failure.seen
    assert "no queue" in ended.failure.log
    assert mine.tasks() == ["1"]


@pytest.mark.full
def test_a_paused_update_is_told_goes_on_when_asked_again_and_is_left_by_a_rollback(bed: Bed) -> None:
    mine = another(bed, "pausing")
    good(mine.run(mine.service("1")))
    stop = mine.service("3", "500", on_failure="stop")
    ended = mine.run(stop)
    assert ended.failure
    assert ended.after.state == "paused"
    assert mine.tasks().count("1") >= 1
    assert mine.run(stop).failure  # it goes on where it stopped, and fails as before
    good(mine.run(replace(mine.service("1", on_failure="stop"), rollback=True)))
    assert mine.tasks() == ["1"] * 2


@pytest.mark.full
@pytest.mark.parametrize("looks", [0, 1])
def test_a_run_that_was_cut_off_is_completed_by_the_next(bed: Bed, looks: int) -> None:
    mine = another(bed, f"cut{looks}")
    good(mine.run(mine.service("1")))
    left = iter(range(looks))

    def cut(seconds: float) -> None:
        if next(left, None) is None:
            raise Interrupted
        _relaxed(seconds)

    with pytest.raises(Interrupted):
        mine.run(mine.service("2"), cut)
    good(mine.run(mine.service("2")))
    assert mine.tasks() == ["2"] * 2
    assert [(past.release, past.outcome) for past in mine.driver().look().past] == [("2", "good"), ("1", "good")]


@pytest.mark.full
def test_of_many_who_want_the_lock_one_gets_it(bed: Bed) -> None:
    drivers = [another(bed, "locked").driver() for _number in range(4)]
    for _round in range(2):
        grip = drivers[0].grip()
        with ThreadPoolExecutor(len(drivers)) as pool:
            got = list(pool.map(lambda number, driver, grip=grip: driver.take(grip, {"run": number}), range(len(drivers)), drivers))
        assert got.count(True) == 1
        held = drivers[0].grip()
        assert held.holder == {"run": got.index(True)}
        assert drivers[1].take(Grip(), {"run": "late"}) is False
        assert drivers[got.index(True)].take(held, {})
        assert drivers[0].grip().holder == {}


@pytest.mark.full
def test_a_check_changes_nothing_and_shows_no_secret(bed: Bed) -> None:
    mine = another(bed, "checked")
    secret = {"files": (File("/run/key", b"hunter2", 0o400, True),), "environment": {"PORT": "8080", "PASSWORD": "hunter2"}}
    for service in (mine.service("1", **secret), mine.service("2", **secret)):
        before = mine.everything()
        driver = mine.driver(check=True, diff=True)
        ended = Course(driver, service, mine.told.append, lambda _seconds: None, lambda _moment, _release: "").plan(driver.look())
        assert ended.changed
        assert any(diff["before"] != diff["after"] for diff in ended.diff) or service.release == "1"
        assert "hunter2" not in f"{ended.diff} {ended.what}"
        assert mine.everything() == before
        good(mine.run(mine.service("1")))


@pytest.mark.full
def test_what_cannot_work_is_told_before_anything_is_changed(bed: Bed) -> None:
    bed.docker("service", "create", "-d", "--name", "theirs", "--no-resolve-image", images.app("1").name)
    bed.swarm.load(images.app("1", health=False))
    theirs = another(bed, "theirs")
    before = bed.everything()

    def told(mine: Bed, service: Service) -> str:
        return "\n".join(mine.driver().problems(service, mine.driver().look()))

    assert "a service theirs in the Swarm that was not made by hotswap.bluegreen" in told(theirs, theirs.service("1"))
    new = another(bed, "new")
    service = new.service("1")

    def with_options(**options: Any) -> Service:
        return replace(service, options={**service.options, **options})

    assert told(new, service) == ""
    assert "app:9, which the manager does not have and cannot fetch: " in told(new, new.service("9"))
    assert "which has no HEALTHCHECK" in told(new, replace(service, image=images.app("1", health=False).name))
    assert "healthcheck is NONE" in told(new, with_options(healthcheck=["NONE"]))
    assert "names nowhere, which the Swarm does not have" in told(new, with_options(networks=["nowhere"]))
    assert "names bridge, a bridge network of one node" in told(new, with_options(networks=["bridge"]))
    assert "None of the 1 nodes of the Swarm meets" in told(new, with_options(constraints=["node.role==worker"]))
    assert "have room for 0" in told(new, replace(service, resources=Resources("1000")))
    assert "service sets env" in told(new, with_options(service={"env": {}}))
    assert "names the port ws; a name of bluegreen_ports (http)" in told(new, with_options(publish=[{"published": 80, "port": "ws"}]))
    everywhere = replace(with_options(networks=["nowhere"]), image=images.app("9").name)
    assert len(told(new, everywhere).splitlines()) == 2
    assert bed.everything() == before

    with pytest.raises(Refused, match="Docker does not answer there"):
        Swarm(Modules(), "new", {"docker_host": "unix:///nowhere.sock"}).look()


@pytest.mark.full
def test_a_port_that_another_service_has_published_is_told(shop: Bed) -> None:
    mine = another(shop, "second")
    service = replace(mine.service("1"), options={**mine.options, "publish": [{"published": 8080, "mode": "host"}]}, replicas=1)
    told = mine.driver().problems(service, mine.driver().look())
    assert any("port 8080, which the service shop-nginx has published" in problem for problem in told)


@pytest.mark.full
def test_three_nodes_share_the_tasks_and_only_a_manager_is_asked(counts: Counts) -> None:
    with or_not_run("the driver of Docker Swarm on three nodes", swarm.cluster(nodes=3)) as made:
        mine = Bed(made)
        made.load(images.app("1"), images.app("2"), images.app("3", "exit"), images.nginx())
        good(mine.run(mine.service("1", replicas=3)))
        front = made.docker("service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}", "shop-nginx").stdout.strip()
        address = made.addresses[int(front.removeprefix("node")) - 1]
        with Probe("swarm-three", [Kind("shop", f"http://{address}:8080/", rate=40, connections=2)], {"header": "X-Release"}) as probe:
            ended = good(mine.run(mine.service("2", replicas=3)))
            broken = mine.run(mine.service("3", "exit", replicas=3))
        counts.add("requests to three nodes of Docker Swarm while our driver updated", probe.result["due"])
        assert probe.result["failures"] == []
        assert {replica.node for replica in ended.after.replicas} == {"node1", "node2", "node3"}
        assert broken.failure
        assert broken.back
        assert "3" in broken.failure.seen
        assert mine.tasks() == ["2"] * 3
        with pytest.raises(Refused, match="is no manager of a Swarm"):
            Swarm(Modules(), "shop", {"docker_host": made.box.hosts[1]}).look()
