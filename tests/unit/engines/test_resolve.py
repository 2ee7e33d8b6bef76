"""From the user's variables to the service of an engine: what is made of them, and a sentence for each rule that is broken."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _variables
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _resolve
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import Service

NEEDED = {"engine": "kubernetes", "service": "shop", "release": "1.4.2", "image": "registry.example/shop"}


def resolved(**given: Any) -> tuple[Service, _resolve.Run]:
    """What is made of these variables, named without the prefix, beside those that are needed."""
    variables = {f"bluegreen_{name}": value for name, value in {**NEEDED, **given}.items()}
    values = _variables.collect(variables, lambda value: value, _variables.ENGINE)
    return _resolve.resolve(values, _variables.given(variables, lambda value: value))


def service(**given: Any) -> Service:
    return resolved(**given)[0]


def refused(**given: Any) -> list[str]:
    with pytest.raises(Refusal) as told:
        resolved(**given)
    return str(told.value).splitlines()


def test_four_variables_are_enough() -> None:
    found = service()
    assert (found.image, found.replicas, found.batch, found.on_failure, found.drain_pause) == ("registry.example/shop:1.4.2", 2, 1, "rollback", 5.0)
    assert found.environment == {"PORT": "8080", "PORT_HTTP": "8080", "BLUEGREEN_SERVICE": "shop", "BLUEGREEN_RELEASE": "1.4.2"}


@pytest.mark.parametrize(
    ("image", "meant"),
    [
        ("shop", "shop:1.4.2"),
        ("registry.example:5000/team/shop", "registry.example:5000/team/shop:1.4.2"),
        ("shop:stable", "shop:stable"),
        (f"shop@sha256:{'0' * 64}", f"shop@sha256:{'0' * 64}"),
    ],
)
def test_the_release_is_the_tag_of_an_image_that_has_none(image: str, meant: str) -> None:
    assert service(image=image).image == meant


def test_a_batch_is_a_number_or_a_share_of_the_replicas() -> None:
    assert service(replicas=10, serial="25%").batch == 2
    assert service(replicas=3, serial=2).batch == 2
    assert service(replicas=3, serial="1%").batch == 1


def test_ports_are_a_number_or_named_and_each_is_told_to_the_program() -> None:
    found = service(ports={"http": 3000, "ws": 3001})
    assert found.main_port == 3000
    assert {name: found.environment[name] for name in ("PORT", "PORT_HTTP", "PORT_WS")} == {"PORT": "3000", "PORT_HTTP": "3000", "PORT_WS": "3001"}


def test_the_pause_before_a_pod_is_told_to_stop_is_no_longer_than_draining_may_take() -> None:
    assert service(drain_timeout=2).drain_pause == 2
    assert service(kubernetes={"drain_pause": 0}).drain_pause == 0
    assert service(engine="swarm").drain_pause == 0


def test_the_time_until_a_replica_is_killed_is_that_of_draining_and_stopping() -> None:
    assert service(drain_timeout=20, stop_timeout=40).grace == 60


def test_files_are_placed_in_the_image_or_at_their_absolute_path() -> None:
    _service, run = resolved(image_dir="/srv", config_files=[{"content": "x", "dest": "a.ini"}, {"content": "y", "dest": "/etc/key", "secret": True}])
    assert [(file.dest, secret) for file, secret in run.configuration] == [("/srv/a.ini", False), ("/etc/key", True)]


def test_an_engines_user_may_be_a_number_and_a_hosts_may_not() -> None:
    assert service(user="1000").user == "1000"
    assert service(engine="swarm", user="1000:1000").user == "1000:1000"
    assert refused(user="1000; id") == ["bluegreen_user is '1000; id', which is no user name."]


def test_an_nginx_without_an_image_is_none() -> None:
    assert service(engine="swarm").options["nginx"] == {}
    assert service(engine="swarm", swarm={"nginx": {"image": "nginx:1.27", "publish": [{"published": 80}]}}).options["nginx"]["publish"][0]["published"] == 80


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"replicas": 0}, r"bluegreen_replicas is 0; 1 or more is expected\."),
    ({"min_serving": 3}, r"bluegreen_min_serving is 3, and bluegreen_replicas 2: make one larger or the other smaller\."),
    ({"on_failure": "host"}, r"bluegreen_on_failure is host, and an engine's replicas have no host of theirs; stop or fleet is expected\."),
    ({"serial": [1, 5]}, r"bluegreen_serial is .*; an engine's batches are all alike: one number or percentage is expected\."),
    ({"image": "Shop"}, r"bluegreen_image is 'Shop'; an image such as registry\.example/shop, in lower-case letters, .* is expected\."),
    ({"image": "shop latest"}, r"bluegreen_image is 'shop latest'; an image such as .*"),
    ({"release": "1.4+dirty"}, r"bluegreen_release is '1\.4\+dirty', and bluegreen_image has no tag of its own: as a tag, letters, digits and .*"),
    ({"ports": {}}, r"bluegreen_ports is empty; .* is expected\."),
    ({"ports": {"Http": 80}}, r"bluegreen_ports: 'Http' is no name of a port; .*"),
    ({"ports": {"http": 70000}}, r"bluegreen_ports: http is 70000; a port from 1 to 65535 is expected\."),
    ({"ports": {"http": 80, "ws": 80}}, r"bluegreen_ports has one port under two names; name each once\."),
    ({"ports": True}, r"bluegreen_ports: http is true; a port from 1 to 65535 is expected\."),
    ({"health_port": "admin"}, r"bluegreen_health_port is 'admin', which bluegreen_ports has not; it has http\."),
    ({"health_status": 404}, r"bluegreen_health_status is 404; a probe of Kubernetes takes 200 to 399 for good, and nothing else\."),
    ({"environment": {"PORT": "1"}}, r"bluegreen_environment: PORT is set by the collection itself; take it out\."),
    ({"resources": {"cpu": "half"}}, r"bluegreen_resources: cpu is 'half'; such as 0\.5 is expected\."),
    ({"resources": {"memory_limit": "1 gig"}}, r"bluegreen_resources: memory_limit is '1 gig'; such as 256M is expected\."),
    ({"workers": [{"name": "Mail", "command": "bin/mail"}]}, r"bluegreen_workers, entry 1: name is 'Mail'; a lower-case letter and .* are expected\."),
    ({"workers": [{"name": "a", "command": "b"}, {"name": "a", "command": "c"}]}, r"bluegreen_workers: a is there twice; take one out\."),
    ({"cron": [{"name": "a", "command": "b", "schedule": "daily", "scope": "fleet"}]}, r"bluegreen_cron, entry 1: schedule is 'daily'; five fields .*"),
    ({"cron": [{"name": "a", "command": "b", "schedule": "@daily", "scope": "host"}]}, r"bluegreen_cron, entry 1: scope is host, and an engine .*"),
    ({"image_dir": "app"}, r"bluegreen_image_dir is 'app'; an absolute path without '\.\.' is expected\."),
    ({"report_dir": "reports"}, r"bluegreen_report_dir is 'reports'; an absolute path on the controller is expected\."),
    ({"kubernetes": {"drain_pause": 60}}, r"bluegreen_kubernetes: drain_pause is 60; 0 to bluegreen_drain_timeout \(30\) is expected\."),
    ({"migrate": {"command": "bin/m", "on": "db1"}}, r"bluegreen_migrate: on has no meaning on an engine, .* Take it away\."),
    (
        {"before_release": {"command": "bin/x", "on": "web2"}},
        r"bluegreen_before_release: on is 'web2'; host \(the play's first one\) or controller is expected .*",
    ),
    ({"strategy": "canary"}, r"bluegreen_strategy is canary, and Kubernetes has rolling, or blue_green .*: .*"),
    ({"engine": "swarm", "swarm": {"nginx": {"publish": [{"published": 80}]}}}, r"bluegreen_swarm: nginx has no image, and publishes ports; .*"),
]


@pytest.mark.parametrize(("given", "sentence"), BROKEN, ids=[re.sub(r"\W+", " ", str(given))[:40] for given, _sentence in BROKEN])
def test_each_rule_is_told_by_the_variables_name(given: dict[str, Any], sentence: str) -> None:
    assert [line for line in refused(**given) if not re.fullmatch(sentence, line)] == []


def test_all_faults_are_told_at_once() -> None:
    assert len(refused(replicas=0, image="Shop", strategy="canary", smoke=[{"path": "/"}])) >= 4


def test_a_variable_that_nobody_knows_is_told_with_the_one_that_may_be_meant() -> None:
    (line,) = refused(replica=3)
    assert "bluegreen_replica is no variable" in line and "bluegreen_replicas" in line


def test_no_value_of_the_environment_is_shown() -> None:
    assert "s3cret" not in repr(service(environment={"TOKEN": "s3cret"}))
    assert not [line for line in refused(environment={"TOKEN": "s3cret", "PORT": "s3cret"}) if "s3cret" in line]
