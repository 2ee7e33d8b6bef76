"""The driver of Kubernetes, on a real one: a good and a broken release under load, the way back, and what must not change."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Hook
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _kubernetes_reads
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._course import Course, Ended
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._engine import Refused
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes import Kubernetes
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_plan import migration
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_pod import contents
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_rules import RULES
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._seen import Seen
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import Cron, File, Resources, Service, Worker

from tests.conftest import Counts
from tests.engines import or_not_run
from tests.engines.calling import COLLECTIONS, Modules
from tools.bed import wait_until
from tools.engines import images, kubernetes
from tools.galaxy import beside_ours
from tools.probe import Kind, Probe

pytestmark = pytest.mark.full  # every day, tests/engines/test_release_on_kubernetes.py has a good and a broken release by playbook

PORT = kubernetes.Bed.node_ports.start
_ALL = {
    "workers": (Worker("mail", ("app", "work")), Worker("agent", ("app", "work"), "host"), Worker("clock", ("app", "work"), "fleet")),
    "crons": (Cron("tidy", "0 3 * * *", ("app", "migrate")),),
}


class Near(Modules):
    """As on a controller that reads in its own process, and writes with the module."""

    def __call__(self, name: str, args: Mapping[str, Any], check_mode: bool | None = None, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        if name != _kubernetes_reads.MODULE:
            return super().__call__(name, args, check_mode, environment)
        from ansible_collections.kubernetes.core.plugins.lookup.k8s import LookupModule

        return _kubernetes_reads._answer(LookupModule(), args)


@dataclass
class Bed:
    """A cluster, and services on it by our driver."""

    cluster: kubernetes.Bed
    told: list[Any] = field(default_factory=list)

    def service(self, release: str, broken: str = "", **more: Any) -> Service:
        """One that ends in a second or two, on a port of the nodes."""
        given: dict[str, Any] = {
            "environment": {"PORT": "8080", "DRAIN": "1", "BLUEGREEN_RELEASE": release},
            "health": Health(successes=1),
            "boot_timeout": 10.0,
            "watch": 1.0,
            "drain_timeout": 4.0,
            "drain_pause": 2.0,
            "stop_timeout": 5,
            "options": self.options(),
        }
        return Service(more.pop("name", "shop"), release, more.pop("image", images.app(release, broken).name), **{**given, **more})

    def options(self, **more: Any) -> dict[str, Any]:
        return {"kubeconfig": str(self.cluster.kubeconfig), "service_type": "NodePort", "node_ports": {"http": PORT}, **more}

    def driver(self, service: Service, **how: bool) -> Kubernetes:
        """A run's own: what an earlier one has seen is not known to it."""
        return Kubernetes(Near(**how), service.name, service.options)

    def run(self, service: Service) -> Ended:
        driver = self.driver(service)
        return Course(driver, service, self.told.append, lambda _seconds: None, lambda _moment, _release: "", "somebody").run(driver.look())

    def refused(self, service: Service) -> str:
        """What the preflight says, which must change nothing."""
        before = self.versions(service.name)
        found = self.driver(service).problems(service, Seen())
        assert self.versions(service.name) == before
        return "\n".join(found)

    def versions(self, name: str = "shop") -> dict[str, str]:
        """All that is there of a service, each object in its version."""
        kinds = "deployments,daemonsets,services,configmaps,secrets,poddisruptionbudgets,cronjobs,jobs"
        found = self.cluster.get(kinds, "-A", "-l", f"app.kubernetes.io/instance={name}")["items"]
        return {f"{one['kind']} {one['metadata']['name']}": str(one["metadata"].get("generation") or one["metadata"]["resourceVersion"]) for one in found}

    def answer(self, path: str, pod: str) -> str:
        """What the application says in a pod."""
        return self.cluster.kubectl("exec", pod, "--", "curl", "-fsS", "-m", "10", f"http://127.0.0.1:8080{path}").stdout


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    beside_ours()
    if str(COLLECTIONS) not in sys.path:
        sys.path.insert(0, str(COLLECTIONS))
    with or_not_run("the driver of Kubernetes", kubernetes.cluster()) as made:
        made.load(images.app("1"), images.app("2"), images.app("3", "500"), images.app("3", "exit"))
        yield Bed(made)


@pytest.fixture(scope="module")
def shop(bed: Bed) -> Bed:
    """With its first release."""
    first = bed.service("1")
    assert bed.driver(first).problems(first, Seen()) == []
    ended = bed.run(first)
    assert ended.failure is None, ended.failure
    return bed


def serving(seen: Seen) -> list[tuple[str, bool]]:
    return [(replica.release, replica.healthy) for replica in seen.replicas if not replica.leaving]


@pytest.mark.full
def test_a_release_replaces_the_pods_without_a_failed_request_and_a_broken_one_is_taken_back(shop: Bed, counts: Counts) -> None:
    load = [Kind("shop", f"http://{shop.cluster.address}:{PORT}/", rate=40, connections=2)]
    with Probe("kubernetes-driver", load, {"header": "X-Release"}) as probe:
        good = shop.run(shop.service("2"))
        assert good.failure is None, good.failure
        assert serving(good.after) == [("2", True)] * 2

        broken = shop.run(shop.service("3", "500"))
        assert broken.failure
        assert broken.back
        assert serving(broken.after) == [("2", True)] * 2
        assert "Startup probe failed: HTTP probe failed with statuscode: 500" in broken.failure.seen
        assert any("3: started" in line for line in broken.failure.log)
    counts.add("requests to Kubernetes while our driver updated", probe.result["due"])
    assert probe.result["failures"] == []
    assert probe.result["answered"] == probe.result["due"] > 200
    assert sorted(probe.result["by_release"]) == ["1", "2"]

    before = shop.versions()
    again = shop.run(shop.service("2"))
    assert (again.failure, again.changed, again.what) == (None, False, [])
    assert shop.versions() == before
    assert [(past.release, past.outcome) for past in again.after.past] == [("2", "good"), ("3", "failed"), ("1", "good")]


def test_a_rollback_brings_files_variables_and_workers_of_that_release_and_todays_number_of_replicas(shop: Bed) -> None:
    files = (File("/app/a.conf", b"of four"), File("/app/key", b"hidden", 0o400, secret=True))
    assert shop.run(shop.service("4", image=images.app("1").name, files=files, **_ALL)).failure is None
    assert shop.run(shop.service("5", image=images.app("2").name, replicas=3)).failure is None
    assert not {"DaemonSet shop-agent", "CronJob shop-tidy", "Deployment shop-mail"} & shop.versions().keys()

    back = shop.run(shop.service("4", image=images.app("1").name, rollback=True))
    assert back.failure is None, back.failure
    assert serving(back.after) == [("4", True)] * 3
    pod = next(replica.name for replica in back.after.of("4") if not replica.leaving)
    assert (shop.answer("/file?path=/app/a.conf", pod).strip(), shop.answer("/file?path=/app/key", pod).strip()) == ("of four", "hidden")
    assert shop.answer("/env?name=BLUEGREEN_RELEASE", pod).strip() == "4"
    assert {"DaemonSet shop-agent", "CronJob shop-tidy", "Deployment shop-mail", "Deployment shop-clock"} <= shop.versions().keys()
    assert shop.cluster.get("deployment", "shop-mail")["spec"]["replicas"] == 3
    assert shop.run(shop.service("2")).failure is None


def test_a_release_that_is_not_known_is_told_with_those_that_are(shop: Bed) -> None:
    with pytest.raises(Refused, match=r"no ReplicaSet of release 99 of shop any more; it has .*2"):
        shop.driver(shop.service("1")).back("99")


@pytest.mark.parametrize(
    ("image", "says"),
    [("nowhere:9", "ImagePullBackOff"), (images.app("3", "exit").name, "it ended with status 3")],
    ids=["no image", "ends at once"],
)
def test_what_cannot_end_well_is_taken_back_before_its_deadline(shop: Bed, image: str, says: str) -> None:
    ended = shop.run(shop.service("6", image=image, boot_timeout=240.0))
    assert ended.failure
    assert says in ended.failure.seen
    assert ended.back
    update = next(event for event in reversed(shop.told) if isinstance(event, Event) and (event.step, event.outcome) == ("update", "failed"))
    assert update.seconds < 240


def test_a_migration_is_run_once_for_the_release_and_a_failed_one_again(shop: Bed) -> None:
    told: list[str] = []
    service = shop.service("7", image=images.app("1").name, migrate=(Hook("migrate", ("app", "migrate"), timeout=60),))
    shop.driver(service).files(service)
    first = shop.driver(service).migrate(service, 0, told.append)
    assert first.changed
    assert any("1: migrate" in line for line in first.log)
    assert not shop.driver(service).migrate(service, 0, told.append).changed

    failing = replace(service, migrate=(Hook("migrate", ("echo no table; exit 4",), timeout=60),))
    for _time in range(2):
        with pytest.raises(Refused, match=r"(?s)ended with status 4\.\nno table"):
            shop.driver(failing).migrate(failing, 0, told.append)
    slow = replace(service, migrate=(Hook("migrate", ("echo begun; sleep 90",), timeout=4),))
    with pytest.raises(Refused, match=r"(?s)has not ended after 4 s\.\nbegun"):
        shop.driver(slow).migrate(slow, 0, told.append)
    wait_until(lambda: len(shop.cluster.get("jobs")["items"]) == 2, 60, "the end of the Job that took too long")


def test_a_check_changes_nothing_and_shows_what_would_be_without_secrets(shop: Bed) -> None:
    before = shop.versions()
    service = shop.service("8", image=images.app("1").name, files=(File("/app/key", b"pri-vate", secret=True),), replicas=5, **_ALL)
    driver = shop.driver(service, check=True, diff=True)
    ended = Course(driver, service, shop.told.append, lambda _seconds: None, lambda _moment, _release: "").plan(driver.look())
    assert {"Deployment shop", "Deployment shop-clock", "CronJob shop-tidy"} <= set(ended.what)
    shown = str(ended.diff)
    assert "replicas: 5" in shown
    assert "pri-vate" not in shown and "cHJpLXZhdGU=" not in shown  # plain, and in base64
    assert shop.versions() == before


def test_what_the_cluster_does_not_take_is_told_before_anything_is_changed(shop: Bed) -> None:
    service = shop.service("9", image=images.app("1").name)
    elsewhere = replace(service, options=shop.options(namespace="nowhere"))
    assert "there is no namespace nowhere" in shop.refused(elsewhere)
    assert f"node port {PORT} is taken" in shop.refused(replace(service, name="other"))
    assert "Deployment shop" not in shop.refused(replace(service, name="other"))
    assert "cpu of 3000" in shop.refused(replace(service, resources=Resources(cpu="3000")))
    shop.cluster.kubectl("create", "deployment", "theirs", "--image=x", "--replicas=0")
    try:
        assert "Deployment theirs in namespace default is not of this collection" in shop.refused(
            replace(service, name="theirs", options=shop.options(node_ports={}))
        )
        assert shop.driver(replace(service, name="theirs")).look().state == "foreign"
    finally:
        shop.cluster.kubectl("delete", "deployment", "theirs")


def test_an_image_that_cannot_be_had_is_told_before_anything_is_changed(shop: Bed) -> None:
    for image, policy in (("nowhere:9", "IfNotPresent"), ("nowhere:9", "Never")):
        said = shop.refused(shop.service("9", image=image, options=shop.options(pull_policy=policy)))
        assert said.startswith("bluegreen_image: nowhere:9 cannot be had: ErrImage")
    assert shop.refused(shop.service("9", image=images.app("1").name)) == ""


def test_a_cluster_that_cannot_be_reached_is_told_with_its_address(shop: Bed, tmp_path: Path) -> None:
    closed = tmp_path / "kubeconfig"
    closed.write_text(shop.cluster.kubeconfig.read_text().replace(":6443", ":6555"))
    service = shop.service("9", image=images.app("1").name)
    assert f"nothing listens at {shop.cluster.address}:6555" in shop.refused(replace(service, options=shop.options(kubeconfig=str(closed))))
    assert "bluegreen_kubernetes: context" in shop.refused(replace(service, options=shop.options(context="moon")))
    assert "there is no kubeconfig" in shop.refused(replace(service, options=shop.options(kubeconfig=str(tmp_path / "none"))))


def test_a_user_with_our_rules_can_release_and_one_without_is_told_which(shop: Bed) -> None:
    exact = shop.cluster.user("deployer", [dict(rule) for rule in RULES], namespace="default")
    service = shop.service("10", image=images.app("1").name, options=shop.options(kubeconfig=str(exact)), **_ALL)
    service = replace(service, migrate=(Hook("migrate", ("app", "migrate"), timeout=60),))
    driver = shop.driver(service)
    before = driver.look().release
    assert driver.take(driver.grip(), {"by": "deployer"})
    assert shop.run(service).failure is None
    assert shop.run(shop.service(before, options=service.options, rollback=True)).failure is None
    assert driver.take(driver.grip(), {})
    assert driver.log(driver.look().of(before)[0])

    fewer = shop.cluster.user("reader", [{**rule, "verbs": [verb for verb in rule["verbs"] if verb in ("get", "list")]} for rule in RULES], namespace="default")
    said = shop.refused(replace(service, options=shop.options(kubeconfig=str(fewer))))
    assert "may not create, patch, delete deployments in namespace default; add to its Role the rule" in said
    nobody = shop.cluster.user("nobody", [], namespace="default")
    with pytest.raises(Refused, match=r"nobody may not get deployments in namespace default; add to its Role the rule"):
        shop.driver(replace(service, options=shop.options(kubeconfig=str(nobody)))).look()


def test_of_many_who_want_the_lock_one_gets_it(shop: Bed) -> None:
    services = [shop.service("1", name="locked") for _number in range(4)]
    for _round in range(2):  # the first time, there is no Lease yet
        drivers = [shop.driver(service) for service in services]
        grips = [driver.grip() for driver in drivers]
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda one: one[0].take(one[1], {"token": str(id(one[0]))}), zip(drivers, grips, strict=True)))
        assert got.count(True) == 1
        winner = drivers[got.index(True)]
        assert winner.grip().holder == {"token": str(id(winner))}
        assert winner.take(winner.grip(), {})
        assert winner.grip().holder == {}


def test_what_only_forgotten_releases_needed_goes(bed: Bed) -> None:
    def service(number: int) -> Service:
        files = (File("/app/a.conf", f"of {number}".encode()),)
        migrate = (Hook("migrate", ("app", "migrate", str(number)), timeout=60),)
        more = {"files": files, "migrate": migrate, "keep_releases": 1, "options": bed.options(node_ports={})}
        return bed.service(str(number), name="short", image=images.app("1").name, replicas=1, **more)

    def brought(*numbers: int) -> set[str]:
        things = (thing for number in numbers for thing in (*contents(service(number)), migration(service(number), 0)))
        return {f"{thing['kind']} {thing['metadata']['name']}" for thing in things}

    for number in (1, 2, 3):
        assert bed.run(service(number)).failure is None
    wait_until(lambda: len(bed.cluster.get("replicasets", "-l", "app.kubernetes.io/instance=short")["items"]) == 2, 60, "the end of the first ReplicaSet")
    assert bed.run(service(3)).failure is None
    there = bed.versions("short").keys()
    assert brought(2, 3) <= there
    assert not (brought(1) - brought(2, 3)) & there
    assert len([name for name in there if name.startswith("ConfigMap short-release")]) == 2


def test_what_a_quota_does_not_allow_is_told_in_its_words(bed: Bed) -> None:
    bed.cluster.kubectl("create", "namespace", "tight")
    try:
        bed.cluster.kubectl("create", "quota", "few", "-n", "tight", "--hard=pods=1")
        ended = bed.run(bed.service("1", name="small", boot_timeout=4.0, options=bed.options(namespace="tight", node_ports={})))
        assert ended.failure
        assert "exceeded quota: few" in ended.failure.seen
    finally:
        bed.cluster.kubectl("delete", "namespace", "tight", "--wait=false")
