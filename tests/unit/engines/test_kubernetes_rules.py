"""What Kubernetes cannot take, what it says no with, and which rights it asks for: without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _kubernetes_errors as errors
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _kubernetes_rules as rules
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import Cron, File, Resources, Service, Worker

from tests.unit.engines.kubernetes_shop import SHOP, WITH_COMPANIONS, WITH_FILES, pod_of


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
            STATUS % r"x is forbidden: User \\\"eve\\\" cannot create resource \\\"deployments\\\" in API group \\\"apps\\\" in the namespace \\\"web\\\"",
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
