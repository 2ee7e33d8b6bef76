"""What a service is on Kubernetes, as manifests: without one."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Hook
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _kubernetes_rules as rules
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_names import Offer, offer, selector
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_plan import fetching, job_name, kept_plan, migration, names_used, plan
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_pod import contents, env_name
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import Cron, Resources

from tests.unit.engines.kubernetes_shop import NEW, OLD, SHOP, WITH_COMPANIONS, WITH_FILES, container_of, part, pod_of


def test_no_replica_is_taken_away_before_another_one_serves() -> None:
    spec = part(plan(replace(SHOP, replicas=6, batch=2, watch=4.2), OLD), "Deployment")["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}
    assert (spec["replicas"], spec["minReadySeconds"]) == (6, 5)


def test_the_deadline_leaves_a_replica_the_time_to_boot_and_to_be_watched() -> None:
    spec = part(plan(replace(SHOP, boot_timeout=90, watch=30), OLD), "Deployment")["spec"]
    assert spec["progressDeadlineSeconds"] == 130 > spec["minReadySeconds"]


def test_a_pod_waits_before_it_is_told_to_stop_and_has_draining_and_stopping_together_until_it_is_killed() -> None:
    pod = pod_of(replace(SHOP, drain_timeout=30, drain_pause=4.5, stop_timeout=20))
    assert pod["terminationGracePeriodSeconds"] == 50
    assert pod["containers"][0]["lifecycle"] == {"preStop": {"exec": {"command": ["sleep", "5"]}}}


def test_a_cluster_that_can_sleep_itself_needs_no_sleep_in_the_image() -> None:
    assert container_of(SHOP, NEW)["lifecycle"] == {"preStop": {"sleep": {"seconds": 5}}}
    assert "exec" in container_of(SHOP, replace(NEW, minor=29))["lifecycle"]["preStop"]


def test_without_a_pause_there_is_no_hook() -> None:
    assert "lifecycle" not in container_of(replace(SHOP, drain_pause=0))


def test_probes_are_the_health_check_in_whole_seconds() -> None:
    health = Health(path="/ready", request_headers={"Host": "shop"}, port="admin", timeout=2.5, interval=0.05, successes=2)
    container = container_of(replace(SHOP, ports={"http": 80, "admin": 81}, health=health, boot_timeout=45))
    request = {"path": "/ready", "port": "admin", "httpHeaders": [{"name": "Host", "value": "shop"}]}
    assert container["readinessProbe"] == {"httpGet": request, "periodSeconds": 1, "timeoutSeconds": 3, "successThreshold": 2, "failureThreshold": 3}
    assert container["startupProbe"] == {"httpGet": request, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 45}


def test_a_replica_whose_database_is_away_is_not_restarted_for_it() -> None:
    assert "httpGet" not in container_of(SHOP)["livenessProbe"]


def test_another_liveness_probe_is_the_users_to_choose() -> None:
    own = {"httpGet": {"path": "/alive", "port": "http"}}
    chosen = replace(SHOP, options={"container": {"livenessProbe": own}})
    assert container_of(chosen)["livenessProbe"] == own
    assert rules.problems(chosen) == []


def test_what_the_api_offers_decides_about_versions() -> None:
    assert part(plan(WITH_COMPANIONS, OLD), "PodDisruptionBudget")["apiVersion"] == "policy/v1beta1"
    assert part(plan(WITH_COMPANIONS, OLD), "CronJob", "shop-tidy")["apiVersion"] == "batch/v1beta1"
    assert {one["apiVersion"] for one in plan(WITH_COMPANIONS, NEW).main} == {"apps/v1", "v1", "policy/v1"}


@pytest.mark.parametrize(("minor", "said"), [("20", 20), ("31+", 31), ("", 0)])
def test_the_offer_is_read_from_what_the_cluster_says(minor: str, said: int) -> None:
    apis = {"policy/v1": {"PodDisruptionBudget": {}}, "batch/v1": {"Job": {}}, "batch/v1beta1": {"CronJob": {}}}
    found = offer({"apis": apis, "version": {"server": {"kubernetes": {"minor": minor, "gitVersion": "v0.0.0-master"}}}})
    assert found == Offer("policy/v1", "batch/v1beta1", said)


def test_objects_bear_the_labels_of_the_ecosystem_and_the_users() -> None:
    thing = part(plan(replace(SHOP, release="2026/11+x", options={"labels": {"team": "a", "year": 2026, "critical": True}}), OLD), "Service")
    assert thing["metadata"]["labels"] == {
        "app.kubernetes.io/name": "shop",
        "app.kubernetes.io/instance": "shop",
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/part-of": "shop",
        "app.kubernetes.io/version": "2026_11_x",
        "app.kubernetes.io/managed-by": "hotswap.bluegreen",
        "team": "a",
        "year": "2026",
        "critical": "true",
    }
    assert thing["metadata"]["annotations"]["hotswap.bluegreen/release"] == "2026/11+x"


def test_no_secret_is_in_the_description_or_in_the_plan_that_is_kept() -> None:
    wished = plan(WITH_FILES, OLD)
    shown = json.dumps([*wished.rollout(), wished.kept]) + repr(WITH_FILES)
    for secret in ("se-cret", "pri-vate"):
        assert secret not in shown
        assert base64.b64encode(secret.encode()).decode() not in shown


def test_files_stand_alone_at_their_paths_with_their_modes() -> None:
    pod = pod_of(WITH_FILES)
    assert [(mount["mountPath"], mount["subPath"]) for mount in pod["containers"][0]["volumeMounts"]] == [("/app/a.conf", "file"), ("/app/key", "file")]
    plain, secret = pod["volumes"]
    assert (plain["configMap"]["defaultMode"], secret["secret"]["defaultMode"]) == (0o600, 0o400)


def test_all_that_a_pod_refers_to_is_brought_before_it() -> None:
    brought = {one["metadata"]["name"] for one in contents(WITH_FILES)}
    assert names_used(plan(WITH_FILES, OLD).rollout()) == brought
    assert len(brought) == 3


def test_another_content_is_another_object_and_another_description() -> None:
    changed = replace(SHOP, environment={**SHOP.environment, "TOKEN": "other"})
    assert env_name(changed) != env_name(SHOP)
    assert plan(changed, OLD).mark != plan(SHOP, OLD).mark
    assert plan(replace(SHOP), OLD).mark == plan(SHOP, OLD).mark


def test_a_kept_plan_comes_back_as_it_was_and_with_as_many_replicas_as_there_are_now() -> None:
    wished = plan(WITH_COMPANIONS, OLD)
    back = kept_plan("shop", json.loads(json.dumps(wished.kept)))
    assert (back.mark, back.release) == (wished.mark, "7")
    (deployment,) = (one for one in back.rollout(5) if one["kind"] == "Deployment")
    assert deployment["spec"]["replicas"] == 5
    assert deployment["metadata"]["annotations"]["hotswap.bluegreen/plan"] == wished.kept["metadata"]["name"]
    assert {one["metadata"]["name"]: one["spec"].get("replicas") for one in back.followers(5)} == {
        "shop-mail": 5,
        "shop-agent": None,
        "shop-clock": 1,
        "shop-tidy": None,
    }


def test_a_singleton_is_stopped_before_its_successor_starts() -> None:
    clock = part(plan(WITH_COMPANIONS, OLD), "Deployment", "shop-clock")["spec"]
    assert (clock["replicas"], clock["strategy"]) == (1, {"type": "Recreate"})
    assert clock["template"]["spec"]["terminationGracePeriodSeconds"] == 90


def test_workers_are_of_the_release_and_get_no_requests() -> None:
    wished = plan(WITH_COMPANIONS, OLD)
    agent, mail = part(wished, "DaemonSet", "shop-agent"), part(wished, "Deployment", "shop-mail")
    assert mail["spec"]["replicas"] == SHOP.replicas
    for thing in (agent, mail):
        pod = thing["spec"]["template"]
        assert pod["spec"]["containers"][0]["image"] == SHOP.image
        assert not selector("shop").items() <= pod["metadata"]["labels"].items()


def test_what_a_user_adds_to_the_container_is_in_all_that_run_the_image_but_for_a_check_of_the_port() -> None:
    mount = {"name": "data", "mountPath": "/data"}
    options = {"container": {"volumeMounts": [mount], "workingDir": "/srv", "livenessProbe": {"tcpSocket": {"port": 80}}}}
    one = replace(WITH_COMPANIONS, options=options, migrate=(Hook("migrate", ("app migrate",)),))
    wished = plan(one, NEW)
    pods = [part(wished, "Deployment", "shop-mail")["spec"]["template"], part(wished, "DaemonSet", "shop-agent")["spec"]["template"]]
    pods += [part(wished, "CronJob", "shop-tidy")["spec"]["jobTemplate"]["spec"]["template"], migration(one, 0)["spec"]["template"]]
    for container in (pod["spec"]["containers"][0] for pod in pods):
        assert mount in container["volumeMounts"]
        assert container["workingDir"] == "/srv"
        assert "livenessProbe" not in container


def test_of_a_cron_job_there_is_one_at_a_time() -> None:
    spec = part(plan(WITH_COMPANIONS, NEW), "CronJob", "shop-tidy")["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("0 3 * * *", "Forbid")
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_a_migration_is_one_job_for_the_release_and_another_for_a_mended_command() -> None:
    one = replace(SHOP, migrate=(Hook("migrate", ("app migrate",)),))
    assert migration(one, 0)["spec"]["template"]["spec"]["containers"][0]["command"] == ["sh", "-c", "app migrate"]
    assert migration(one, 0)["spec"]["backoffLimit"] == 0
    mended = replace(SHOP, migrate=(Hook("migrate", ("app", "migrate", "--again")),))
    assert len({job_name(one, 0), job_name(mended, 0), job_name(replace(one, release="8"), 0)}) == 3
    assert job_name(replace(one, environment={"X": "1"}), 0) == job_name(one, 0)


def test_what_tries_the_image_has_its_logins_and_nodes_and_nothing_of_the_release() -> None:
    options = {"pull_secrets": ["registry"], "node_selector": {"disk": "ssd"}, "pod": {"volumes": [{"name": "x"}]}}
    spec = fetching(replace(WITH_FILES, options=options))["spec"]["template"]["spec"]
    assert (spec["imagePullSecrets"], spec["nodeSelector"]) == ([{"name": "registry"}], {"disk": "ssd"})
    assert "volumes" not in spec
    strict = {"container": {"securityContext": {"runAsNonRoot": True}}}
    assert fetching(replace(SHOP, options=strict))["spec"]["template"]["spec"]["containers"][0]["securityContext"] == {"runAsNonRoot": True}
    assert not {"envFrom", "volumeMounts"} & spec["containers"][0].keys()
    assert fetching(SHOP)["metadata"]["name"] != fetching(replace(SHOP, release="8"))["metadata"]["name"]


def test_memory_means_the_same_as_with_docker() -> None:
    resources = container_of(replace(SHOP, resources=Resources(cpu="0.5", memory="256M", memory_limit="1G")))["resources"]
    assert resources == {"requests": {"cpu": "0.5", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}


def test_names_are_short_enough_for_the_api() -> None:
    long = "s" * 32
    service = replace(WITH_FILES, name=long, crons=(Cron("c" * 16, "@daily", ("x",)),), migrate=(Hook("migrate", ("x",)),))
    wished = plan(service, OLD)
    names = [one["metadata"]["name"] for one in (*wished.main, *wished.companions, wished.kept, *contents(service), migration(service, 0))]
    assert max(map(len, names)) <= 63
    assert len(f"{long}-{'c' * 16}") <= 52  # a CronJob adds eleven for its Jobs
