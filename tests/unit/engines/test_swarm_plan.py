"""What a service is on Docker Swarm, as arguments of modules, and what is read out of Docker's answers: without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Hook
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _swarm_look as look
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _swarm_names as names
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _swarm_nginx as nginx
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _swarm_plan as plan
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _swarm_room as room
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._seen import Past
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import File, Resources, Service, Worker
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._swarm_docker import meaning, read_json
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._swarm_why import health

SHOP = Service(name="shop", release="7", image="registry.example/shop:7", environment={"PORT": "8080"})
FRONT = {"image": "nginx:1", "publish": [{"published": 80, "port": "http"}]}


def with_options(service: Service = SHOP, /, **options: Any) -> Service:
    return replace(service, options={**service.options, **options})


# ---- what the modules are told


def test_no_task_goes_before_its_successor_serves_and_one_failed_task_ends_the_update() -> None:
    told = plan.whole(replace(SHOP, replicas=6, batch=2, watch=2.5))
    assert told["update_config"] == {"parallelism": 2, "order": "start-first", "monitor": "2500ms", "max_failure_ratio": 0.0, "failure_action": "rollback"}
    assert told["rollback_config"] == {**told["update_config"], "failure_action": "pause"}
    assert plan.whole(replace(SHOP, on_failure="stop"))["update_config"]["failure_action"] == "pause"
    assert plan.whole(replace(SHOP, strategy="recreate"))["update_config"]["order"] == "stop-first"


def test_a_delay_is_never_told_as_the_module_takes_one_of_no_seconds_for_a_change() -> None:
    assert not any("delay" in part for part in plan.whole(SHOP)["update_config"].keys() | plan.whole(SHOP)["rollback_config"].keys())
    assert plan.whole(SHOP)["limits"] == plan.whole(SHOP)["reservations"] == {}


def test_a_task_has_the_time_to_drain_and_to_stop() -> None:
    told = plan.whole(replace(SHOP, drain_timeout=7.5, stop_timeout=10, stop_signal="QUIT"))
    assert (told["stop_signal"], told["stop_grace_period"]) == ("SIGQUIT", "18s")


def test_resources_are_reservations_and_limits() -> None:
    told = plan.whole(replace(SHOP, resources=Resources("0.5", "256M", memory_limit="1G")))
    assert told["reservations"] == {"cpus": 0.5, "memory": "256M"}
    assert told["limits"] == {"memory": "1G"}


def test_values_of_the_environment_are_meant_as_they_are_though_swarm_knows_templates() -> None:
    assert plan.whole(replace(SHOP, environment={"GREETING": "{{.Service.Name}}"}))["env"] == ['GREETING={{"{{"}}.Service.Name}}']


def test_a_health_check_of_the_users_is_asked_once_a_second_at_most_and_fails_only_after_the_boot() -> None:
    assert plan.whole(SHOP)["healthcheck"] is None  # the image's own
    told = plan.whole(with_options(replace(SHOP, boot_timeout=30, health=Health(interval=0.05, timeout=5)), healthcheck=["curl", "-f", "localhost"]))[
        "healthcheck"
    ]
    assert told == {"test": ["CMD", "curl", "-f", "localhost"], "interval": "1s", "timeout": "5s", "retries": 3, "start_period": "30s"}
    assert plan.whole(with_options(healthcheck="curl -f localhost"))["healthcheck"]["test"] == ["CMD-SHELL", "curl -f localhost"]


def test_files_are_configs_and_secrets_named_by_service_and_content_and_owned_by_the_tasks_user() -> None:
    service = replace(SHOP, user="1000:50", files=(File("/app/a.conf", b"a", 0o640), File("/run/key", b"k", 0o400, secret=True)))
    told = plan.whole(service)
    (config,), (secret,) = told["configs"], told["secrets"]
    assert config == {"config_name": config["config_name"], "filename": "/app/a.conf", "mode": 0o640, "uid": "1000", "gid": "50"}
    assert secret["filename"] == "/run/key"
    other = replace(service, files=(File("/app/a.conf", b"b"), service.files[1]))
    assert plan.whole(other)["configs"][0]["config_name"] != config["config_name"]
    assert plan.whole(other)["secrets"] == told["secrets"]
    assert names.file("a", File("/b-c", b"same")) != names.file("a-b", File("/c", b"same"))


def test_one_content_at_two_places_is_one_config() -> None:
    assert len(list(plan.files(replace(SHOP, files=(File("/a/x.conf", b"same"), File("/b/x.conf", b"same")))))) == 1


@pytest.mark.parametrize("name", ["a" * 200, "x.conf", "ü", "..."])
def test_names_are_what_swarm_takes(name: str) -> None:
    found = names.file("s" * 60, File(f"/app/{name}", b"content"))
    assert len(found) <= 63
    assert found.replace("-", "").replace("_", "").isalnum()
    assert found.isascii()


def test_a_service_without_networks_has_one_of_its_own() -> None:
    assert plan.whole(SHOP)["networks"] == ["bluegreen-shop"]
    assert plan.network(SHOP)
    named = with_options(networks=["web"])
    assert (plan.whole(named)["networks"], plan.network(named)) == (["web"], None)


def test_ports_are_published_by_name_or_number() -> None:
    service = with_options(replace(SHOP, ports={"http": 8080, "ws": 9000}), publish=[{"published": 80}, {"published": 81, "port": "ws", "mode": "host"}])
    assert plan.whole(service)["publish"] == [
        {"published_port": 80, "target_port": 8080, "protocol": "tcp", "mode": "ingress"},
        {"published_port": 81, "target_port": 9000, "protocol": "tcp", "mode": "host"},
    ]


def test_what_is_passed_through_does_not_replace_what_we_say() -> None:
    told = plan.whole(with_options(service={"hosts": {"db": "10.0.0.1"}, "image": "other"}, labels={"team": "web", names.SERVICE: "mine"}))
    assert (told["hosts"], told["image"]) == ({"db": "10.0.0.1"}, "registry.example/shop:7")
    assert (told["labels"]["team"], told["labels"][names.SERVICE]) == ("web", "shop")


def test_another_description_has_another_mark_and_tasks_are_replaced_only_for_what_they_have() -> None:
    first, quicker, other = (plan.whole(one)["labels"] for one in (SHOP, replace(SHOP, watch=1), replace(SHOP, environment={"PORT": "1"})))
    assert len({found[names.MARK] for found in (first, quicker, other)}) == 3
    assert first[names.TASK] == quicker[names.TASK] != other[names.TASK]
    assert plan.whole(SHOP)["labels"] == first
    assert names.MARK not in plan.whole(SHOP)["container_labels"]


def test_a_singleton_is_ended_before_its_successor_starts() -> None:
    slot, host, fleet = (plan.worker(replace(SHOP, replicas=3), Worker("mail", ("app", "mail"), scope)) for scope in ("slot", "host", "fleet"))
    assert (slot["mode"], slot["replicas"], slot["update_config"]["order"]) == ("replicated", 3, "start-first")
    assert (host["mode"], host["update_config"]["order"]) == ("global", "stop-first")
    assert (fleet["mode"], fleet["replicas"], fleet["update_config"]["order"]) == ("replicated", 1, "stop-first")
    assert {worker["healthcheck"]["test"][0] for worker in (slot, host, fleet)} == {"NONE"}
    assert not any(worker.get("publish") for worker in (slot, host, fleet))


def test_a_migration_is_one_task_that_is_not_started_again() -> None:
    service = replace(SHOP, migrate=(Hook("migrate", ("make tables",)), Hook("migrate", ("app", "migrate"))))
    told = plan.migration(service, 0)
    assert (told["mode"], told["replicas"], told["restart_config"]) == ("replicated-job", 1, {"condition": "none"})
    assert (told["command"], plan.migration(service, 1)["command"]) == (["sh", "-c", "make tables"], ["app", "migrate"])
    assert "update_config" not in told  # Swarm refuses one for a job
    of_each = {plan.migration(one, number)["name"] for one in (service, replace(service, release="8")) for number in (0, 1)}
    assert len(of_each) == 4


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (2.5, "2500ms"), (0, "0s")])
def test_durations_are_written_as_docker_reads_them(seconds: float, text: str) -> None:
    assert (plan.span(seconds), plan.seconds(text)) == (text, seconds)


# ---- nginx in front


def test_nginx_asks_dockers_dns_while_it_serves() -> None:
    text = nginx.config("shop", [8080], "proxy_read_timeout 5m;")
    assert "resolver 127.0.0.11 valid=1s" in text
    assert "set $tasks tasks.shop;" in text
    assert "proxy_pass http://$tasks:8080;" in text
    assert "        proxy_read_timeout 5m;\n" in text
    assert text.count("{") == text.count("}")


def test_behind_nginx_the_name_is_the_tasks_own_addresses() -> None:
    assert plan.front(SHOP) is None
    assert plan.whole(with_options(nginx=FRONT))["endpoint_mode"] == "dnsrr"
    assert plan.whole(with_options(nginx=FRONT, publish=[{"published": 81}]))["endpoint_mode"] == "vip"
    assert plan.whole(SHOP)["endpoint_mode"] == "vip"


def test_nginx_does_not_change_with_a_release_and_one_that_holds_a_port_of_its_node_goes_before_its_successor() -> None:
    first, other = plan.front(with_options(nginx=FRONT)), plan.front(with_options(replace(SHOP, release="8", image="shop:8"), nginx=FRONT))
    assert first == other
    assert first
    assert (first[1]["publish"][0]["target_port"], first[1]["update_config"]["order"], first[1]["endpoint_mode"]) == (8080, "start-first", "vip")
    held = plan.front(with_options(nginx={**FRONT, "publish": [{"published": 80, "mode": "host"}]}))
    assert held
    assert (held[1]["update_config"]["order"], held[1]["endpoint_mode"]) == ("stop-first", "dnsrr")


# ---- what Docker tells

OURS = plan.whole(SHOP)["labels"]
FORMER = plan.whole(replace(SHOP, release="6"))["labels"]


def found(labels: dict[str, str] = OURS, replicas: int = 2, **more: Any) -> dict[str, Any]:
    spec = {"Name": "shop", "Labels": labels, "Mode": {"Replicated": {"Replicas": replicas}}, "TaskTemplate": {"ContainerSpec": {"Image": "shop:7"}}}
    return {"ID": "s", "Spec": spec, **more}


def task(
    name: str, state: str = "running", desired: str = "running", labels: dict[str, str] = OURS, created: str = "2026-01-01T00:00:05.5Z", **status: Any
) -> dict[str, Any]:
    told = {"State": state, "Timestamp": created, **status}
    return {"ID": name, "Slot": 1, "NodeID": "n1", "CreatedAt": created, "DesiredState": desired, "Spec": {"ContainerSpec": {"Labels": labels}}, "Status": told}


def state(service: dict[str, Any] | None, *tasks: dict[str, Any], **more: Any) -> str:
    return look.seen("shop", service, tasks, {}, **more).state


def test_a_service_is_settled_when_all_its_tasks_are_as_asked_for() -> None:
    assert state(None) == "absent"
    assert state(found({})) == "foreign"
    assert state(found(plan.whole(replace(SHOP, name="other"))["labels"])) == "foreign"
    assert state(found(), task("a"), task("b")) == "settled"
    assert state(found(), task("a")) == "rolling"
    assert state(found(), task("a"), task("b", "starting")) == "rolling"
    assert state(found(), task("a"), task("b", labels=FORMER)) == "rolling"


@pytest.mark.parametrize(
    ("says", "means"),
    [
        ("updating", "rolling"),
        ("completed", "settled"),
        ("paused", "paused"),
        ("rollback_paused", "paused"),
        ("rollback_started", "rolling_back"),
        ("rollback_completed", "rolled_back"),
    ],
)
def test_how_an_update_goes_is_told_apart(says: str, means: str) -> None:
    seen = look.seen(
        "shop", found(UpdateStatus={"State": says, "StartedAt": "2026-01-01T00:00:00Z", "Message": "said"}), [task("a"), task("b")], {"n1": "node1"}
    )
    assert (seen.state, seen.message, seen.release, seen.mark, seen.wanted) == (means, "said", "7", OURS[names.MARK], 2)
    assert {replica.node for replica in seen.replicas} == {"node1"}


def test_a_release_that_was_taken_back_is_history_once_it_is_noted_or_was_there_before_this_run() -> None:
    service = found(UpdateStatus={"State": "rollback_completed", "StartedAt": "then"})
    tasks = (task("a"), task("b"))
    assert state(service, *tasks) == "rolled_back"
    assert state(service, *tasks, past=(Past("8", "shop:8", outcome=""),)) == "rolled_back"
    assert state(service, *tasks, past=(Past("8", "shop:8", outcome="failed"),)) == "settled"
    assert state(service, *tasks, over="then") == "settled"
    assert state(service, *tasks, over="earlier", past=(Past("8", "shop:8", outcome="failed"),)) == "rolled_back"


def test_tasks_that_failed_are_shown_as_long_as_they_are_of_this_update() -> None:
    service = found(UpdateStatus={"State": "updating", "StartedAt": "2026-01-01T00:00:05.123456789Z"})
    failed = task("new", "failed", "shutdown", created="2026-01-01T00:00:05.2Z", Err="task: non-zero exit (3)", ContainerStatus={"ExitCode": 3})
    told = task("told", "complete", "shutdown", created="2026-01-01T00:00:06Z")
    former = task("old", "failed", "shutdown", created="2026-01-01T00:00:05.1Z")
    drained = task("drained", "shutdown", "shutdown", created="2026-01-01T00:00:06Z")
    seen = look.seen("shop", service, [former, failed, told, drained, task("a")], {})
    assert [(replica.name, replica.problem, replica.healthy) for replica in seen.replicas] == [
        ("shop.1.a", "", True),
        ("shop.1.told", "it ended, with exit status 0", False),
        ("shop.1.new", "task: non-zero exit (3)", False),
    ]


def test_a_task_that_waits_says_what_for() -> None:
    assert (
        look.problem(task("a", "pending", Message="pending task scheduling", Err="no suitable node (1 node not available)"))
        == "no suitable node (1 node not available)"
    )
    assert look.problem(task("a", "starting", Message="starting")) == ""


def test_of_a_release_that_was_there_more_than_once_the_latest_record_counts() -> None:
    def record(number: str, release: str, outcome: str) -> dict[str, Any]:
        return {"Labels": {names.NUMBER: number, names.RELEASE: release, names.OUTCOME: outcome, names.AT: number}}

    past = look.past([record("9", "6", "good"), record("10", "7", "failed"), record("11", "6", "good")])
    assert [(one.release, one.outcome, one.at) for one in past] == [("6", "good", 11.0), ("7", "failed", 10.0)]


def test_what_a_failed_health_check_said_is_told() -> None:
    container = {"State": {"Health": {"FailingStreak": 4, "Log": [{"ExitCode": 0, "Output": "fine"}, {"ExitCode": 22, "Output": "curl:  500\n"}]}}}
    assert health(container) == "; its health check failed 4 times in a row, last with exit status 22 (curl: 500)"
    assert health({"State": {}}) == ""


def test_what_docker_says_is_told_with_what_it_means() -> None:
    assert meaning("Got permission denied while trying\nto connect").startswith("the user of this connection may not use Docker")
    assert "docker node ls" in meaning("Error response from daemon: This node is not a swarm manager.")
    assert meaning("Failed to import the required Python library (Docker SDK for Python) on h").startswith("the Python library docker is not there")
    assert meaning("something\nelse") == "something else"
    assert read_json('[1]\n[]\n{"a": 2}\n') == [[1], [], {"a": 2}]


# ---- room


def node(name: str = "node1", state: str = "ready", availability: str = "active", cpus: float = 4, gigabytes: int = 8, **labels: str) -> dict[str, Any]:
    has = {"NanoCPUs": int(cpus * 1e9), "MemoryBytes": gigabytes << 30}
    return {
        "ID": name,
        "Spec": {"Role": "worker", "Availability": availability, "Labels": labels},
        "Status": {"State": state},
        "Description": {"Hostname": name, "Resources": has, "Platform": {"OS": "linux"}},
    }


def test_more_than_the_nodes_have_is_told_with_what_there_is_room_for() -> None:
    asked = replace(SHOP, replicas=4, resources=Resources("2", "1G"))
    assert list(room.lacking([node(), node("node2"), node("node3")], asked)) == []
    (told,) = room.lacking([node(), node("node2"), node("node3", availability="drain")], asked)
    assert "are 5 tasks of 2 cores and 1G each; the 2 nodes that may run them have room for 4" in told
    assert list(room.lacking([node()], SHOP)) == []


def test_a_port_of_a_node_has_one_owner_so_an_update_needs_one_node_more() -> None:
    held = with_options(publish=[{"published": 80, "mode": "host"}])
    assert len(list(room.lacking([node(), node("node2")], held))) == 1
    assert list(room.lacking([node(), node("node2"), node("node3")], held)) == []


def test_constraints_that_no_node_meets_are_told() -> None:
    disks = with_options(constraints=["node.labels.disk == ssd", "node.role!=manager"])
    assert list(room.lacking([node(disk="ssd")], disks)) == []
    (told,) = room.lacking([node(disk="hdd")], disks)
    assert told.startswith("None of the 1 nodes of the Swarm meets bluegreen_swarm: constraints (node.labels.disk == ssd, ")
    assert room.meets(node(), "engine.labels.what==ever")  # the scheduler's to know
    (told,) = room.lacking([node(state="down")], SHOP)
    assert "is ready and active" in told


@pytest.mark.parametrize(("text", "bytes_"), [("", 0), ("5", 5), ("2K", 2048), ("1G", 1 << 30)])
def test_sizes_are_dockers(text: str, bytes_: int) -> None:
    assert room.size(text) == bytes_
