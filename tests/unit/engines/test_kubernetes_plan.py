"""What a service is on Kubernetes, as manifests, and what is read out of Kubernetes' answers: without one."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Hook
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _kubernetes_errors as errors
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _kubernetes_rules as rules
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_names import Offer, labels, offer, selector
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_plan import Plan, job_name, kept_plan, migration, names_used, plan
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_pod import contents, env_name
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_seen import seen
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import Cron, File, Resources, Service, Worker

SHOP = Service(name="shop", release="7", image="registry.example/shop:7", environment={"PORT": "8080", "TOKEN": "se-cret"}, drain_pause=5)
OLD, NEW = Offer("policy/v1beta1", "batch/v1beta1", 20), Offer("policy/v1", "batch/v1", 30)
WITH_FILES = replace(SHOP, files=(File("/app/a.conf", b"a"), File("/app/key", b"pri-vate", 0o400, secret=True)))
WITH_COMPANIONS = replace(
    SHOP,
    workers=(Worker("mail", ("app", "mail")), Worker("agent", ("app", "agent"), "host"), Worker("clock", ("app", "clock"), "fleet", stop_timeout=90)),
    crons=(Cron("tidy", "0 3 * * *", ("app", "tidy")),),
)


def part(wished: Plan, kind: str, name: str = "shop") -> dict[str, Any]:
    """The manifest of this kind and name."""
    (found,) = (one for one in (*wished.rollout(), *wished.followers()) if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def pod_of(service: Service, offered: Offer = OLD) -> dict[str, Any]:
    """The spec of the pods that serve."""
    spec: dict[str, Any] = part(plan(service, offered), "Deployment")["spec"]["template"]["spec"]
    return spec


def container_of(service: Service, offered: Offer = OLD) -> dict[str, Any]:
    container: dict[str, Any] = pod_of(service, offered)["containers"][0]
    return container


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
    thing = part(plan(replace(SHOP, release="2026/11+x", options={"labels": {"team": "a"}}), OLD), "Service")
    assert thing["metadata"]["labels"] == {
        "app.kubernetes.io/name": "shop",
        "app.kubernetes.io/instance": "shop",
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/part-of": "shop",
        "app.kubernetes.io/version": "2026_11_x",
        "app.kubernetes.io/managed-by": "hotswap.bluegreen",
        "team": "a",
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


# What cannot be done, and what the nodes have


@pytest.mark.parametrize(
    ("service", "says"),
    [
        (replace(SHOP, stop_signal="QUIT"), "bluegreen_stop_signal is QUIT"),
        (replace(SHOP, health=Health(path="")), "bluegreen_health_path is empty"),
        (replace(SHOP, user="www-data"), "bluegreen_user is www-data"),
        (replace(SHOP, options={"node_ports": {"ws": 30000}, "service_type": "NodePort"}), "node_ports has ws"),
        (replace(SHOP, options={"node_ports": {"http": 30000}}), "service_type is ClusterIP"),
        (replace(SHOP, options={"pod": {"affinity": {}}}), "pod has affinity"),
        (replace(SHOP, options={"container": {"image": "x"}}), "container has image"),
        (replace(SHOP, files=(File("/big", bytes(1_100_000)),)), "/big has 1100000 bytes"),
        (replace(WITH_COMPANIONS, crons=(Cron("mail", "@daily", ("x",)),)), "both have mail"),
        (replace(SHOP, workers=(Worker("mail", ("x",), stop_signal="INT"),)), "stop_signal of mail is INT"),
    ],
)
def test_what_kubernetes_has_no_way_to_do_is_told_by_its_variable(service: Service, says: str) -> None:
    (said,) = rules.problems(service)
    assert says in said


def test_a_good_service_is_taken() -> None:
    full = replace(WITH_COMPANIONS, files=WITH_FILES.files, user="1000", options={"pod": {"hostNetwork": False, "volumes": [{"name": "x"}]}})
    assert rules.problems(full) == []
    assert [volume["name"] for volume in pod_of(full)["volumes"]][-1] == "x"


def node(cpu: str, memory: str, **spec: Any) -> dict[str, Any]:
    return {"spec": spec, "status": {"allocatable": {"cpu": cpu, "memory": memory}}}


@pytest.mark.parametrize(
    ("resources", "fits"),
    [(Resources(cpu="1"), True), (Resources(cpu="1.5"), False), (Resources(memory="1G"), True), (Resources(memory="2G"), False), (Resources(), True)],
)
def test_more_than_the_nodes_have_is_told_before(resources: Resources, fits: bool) -> None:
    service = replace(SHOP, replicas=2, batch=1, resources=resources)
    nodes = [node("2", "3000Mi"), node("1900m", "2000000Ki"), node("64", "64Gi", unschedulable=True)]
    assert (rules.room(service, nodes) == []) is fits


# What the API says no with

STATUS = 'Failed to create object: b\'{"kind":"Status","status":"Failure","message":"%s","reason":"X","code":1}\\n\''


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            STATUS
            % r"deployments.apps is forbidden: User \\\"eve\\\" cannot create resource \\\"deployments\\\" in API group \\\"apps\\\" in the namespace \\\"web\\\"",
            'eve may not create deployments in namespace web; add to its Role the rule {apiGroups: ["apps"], resources: ["deployments"], verbs: ["create"]}.',
        ),
        (STATUS % r"namespaces \\\"web\\\" not found", "there is no namespace web"),
        (
            STATUS % r"Service \\\"shop\\\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated",
            "node port 30080 is taken",
        ),
        (
            "HTTPSConnectionPool(host='10.0.0.1', port=6443): Max retries exceeded (Caused by X: [Errno 111] Connection refused'))",
            "nothing listens at 10.0.0.1:6443",
        ),
        ("Failed to import the required Python library (kubernetes) on x's Python /usr/bin/python3.", "pip install kubernetes"),
        (STATUS % "Unauthorized", "does not know who asks"),
        ("something new", "Kubernetes said: something new"),
    ],
)
def test_a_no_is_a_sentence(text: str, says: str) -> None:
    assert says in errors.sentence(text, "Applying Deployment shop")


def test_missing_rights_are_told_with_the_rules_that_give_them() -> None:
    granted = [dict(rule) for rule in rules.RULES if "replicasets" not in rule["resources"]]
    review = {"status": {"resourceRules": [*granted, {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get"]}]}}
    (said,) = errors.missing_rights(review, rules.RULES, "web")
    assert said.startswith("The kubeconfig's user may not list, patch replicasets in namespace web")
    everything = {"status": {"resourceRules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}}
    assert errors.missing_rights(everything, rules.RULES, "web") == []


def test_rights_on_single_objects_are_not_enough() -> None:
    rights = [{**rule, "resourceNames": ["other"]} for rule in rules.RULES]
    assert len(errors.missing_rights({"status": {"resourceRules": rights}}, rules.RULES, "web")) == sum(len(rule["resources"]) for rule in rules.RULES)


def test_an_answer_that_does_not_claim_to_be_whole_proves_nothing() -> None:
    assert errors.missing_rights({"status": {"incomplete": True, "resourceRules": [{"apiGroups": [], "resources": [], "verbs": []}]}}, rules.RULES, "web") == []


# How it is seen


def deployment(status: Mapping[str, Any], conditions: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A Deployment of release 7 and two replicas in its second generation."""
    thing = part(plan(SHOP, OLD), "Deployment")
    told = [{"type": "Progressing", "reason": reason, "message": message} for reason, message in (conditions or {}).items()]
    thing["metadata"] |= {"generation": 2, "annotations": {**thing["metadata"]["annotations"], "deployment.kubernetes.io/revision": "2"}}
    return {**thing, "spec": {**thing["spec"], **spec}, "status": {"observedGeneration": 2, **status, "conditions": told}}


def replica_set(release: str, revision: int, **annotations: str) -> dict[str, Any]:
    template = part(plan(replace(SHOP, release=release, image=f"shop:{release}"), OLD), "Deployment")["spec"]["template"]
    noted = {"deployment.kubernetes.io/revision": str(revision), **{f"hotswap.bluegreen/{key}": value for key, value in annotations.items()}}
    metadata = {"name": f"shop-{revision}", "labels": {"pod-template-hash": str(revision)}, "annotations": noted, "creationTimestamp": "2026-11-21T22:00:00Z"}
    return {"metadata": metadata, "spec": {"template": template}}


def pod(release: str, state: Mapping[str, Any], revision: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"shop-{revision}-x",
            "labels": {"pod-template-hash": str(revision)},
            "annotations": {"hotswap.bluegreen/release": release},
            **more.pop("metadata", {}),
        },
        "spec": {"nodeName": "node1"},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "Ready", "status": str(more.pop("ready", False))}],
            "containerStatuses": [{"state": state, **more}],
        },
    }


DONE = {"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}
SETS = (replica_set("6", 1, outcome="good", by="ann"), replica_set("7", 2))


@pytest.mark.parametrize(
    ("thing", "state"),
    [
        (deployment(DONE), "settled"),
        (deployment({**DONE, "replicas": 3}), "rolling"),
        (deployment({**DONE, "availableReplicas": 1}), "rolling"),
        (deployment({**DONE, "availableReplicas": 1}, {"NewReplicaSetAvailable": ""}), "settled"),
        (deployment({**DONE, "observedGeneration": 1}), "rolling"),
        (deployment({**DONE, "observedGeneration": 1}, {"ProgressDeadlineExceeded": ""}), "rolling"),
        (deployment({**DONE, "updatedReplicas": 1}, {"ProgressDeadlineExceeded": "too late"}), "stuck"),
        (deployment(DONE, paused=True), "paused"),
        (None, "absent"),
        ({"metadata": {"labels": {"app": "shop"}}, "spec": {"template": {"spec": {"containers": [{}]}}}}, "foreign"),
        ({"metadata": {"labels": labels("other", "server")}, "spec": {"template": {"spec": {"containers": [{}]}}}}, "foreign"),
    ],
)
def test_the_state_is_what_the_deployments_controller_does(thing: Any, state: str) -> None:
    assert seen("shop", thing, SETS, ()).state == state


@pytest.mark.parametrize(
    ("state", "more", "certain"),
    [
        ({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}, {}, True),
        ({"waiting": {"reason": "ErrImageNeverPull"}}, {}, True),
        ({"waiting": {"reason": "ErrImagePull"}}, {}, False),
        ({"waiting": {"reason": "CreateContainerConfigError"}}, {}, True),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"restartCount": 3}, True),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, {"restartCount": 2}, False),
        ({"waiting": {"reason": "ContainerCreating"}}, {}, False),
        ({"waiting": {"reason": "ImagePullBackOff"}}, {"revision": 1}, False),
        ({"waiting": {"reason": "ImagePullBackOff"}}, {"metadata": {"deletionTimestamp": "x"}}, False),
    ],
)
def test_a_rollout_that_cannot_end_well_is_stuck_before_its_deadline(state: Any, more: Any, certain: bool) -> None:
    found = seen("shop", deployment({**DONE, "availableReplicas": 1}), SETS, [pod("7", state, **more)])
    assert found.state == ("stuck" if certain else "rolling")


def test_a_pod_tells_how_its_container_ended() -> None:
    crashed = pod("7", {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, lastState={"terminated": {"exitCode": 3, "reason": "Error"}})
    (replica,) = seen("shop", deployment(DONE), SETS, [crashed]).replicas
    assert (replica.state, replica.problem) == ("CrashLoopBackOff", "CrashLoopBackOff: back-off 10s; it ended with status 3 (Error)")


def test_a_pod_that_no_node_takes_says_so() -> None:
    waiting = pod("7", {})
    waiting["status"]["conditions"].append({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient cpu."})
    (replica,) = seen("shop", deployment(DONE), SETS, [waiting]).replicas
    assert "Insufficient cpu" in replica.problem


def test_a_ready_pod_is_healthy_until_it_is_told_to_end() -> None:
    pods = [pod("7", {"running": {}}, ready=True), pod("6", {"running": {}}, ready=True, revision=1, metadata={"deletionTimestamp": "x"})]
    found = seen("shop", deployment(DONE), SETS, pods)
    assert (found.healthy(), found.healthy("7"), found.healthy("6")) == (1, 1, 0)


def test_history_is_what_the_replica_sets_tell_the_latest_first_and_each_release_once() -> None:
    sets = [replica_set("5", 1, outcome="good"), replica_set("6", 2, outcome="failed"), replica_set("5", 3, outcome="good", by="ann"), replica_set("7", 4)]
    found = seen("shop", deployment(DONE), sets, ())
    assert [(past.release, past.outcome, past.by, past.image) for past in found.past] == [
        ("7", "", "", "shop:7"),
        ("5", "good", "ann", "shop:5"),
        ("6", "failed", "", "shop:6"),
    ]
    assert (found.release, found.was) == ("7", "5")
