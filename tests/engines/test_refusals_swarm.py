"""What Docker Swarm cannot take is told before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Counts
from tests.engines import or_not_run
from tests.engines.refusals import told
from tests.engines.scenario import OnSwarm
from tools.engines import images, swarm

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def bed() -> Iterator[swarm.Swarm]:
    """A manager and a worker, with a service of somebody else."""
    with or_not_run("refusals of Docker Swarm", swarm.cluster(nodes=2)) as made:
        made.load(images.app("1"), images.app("1", health=False), images.nginx())
        made.docker(
            "service", "create", "--detach", "--name", "theirs", "--no-resolve-image", "--publish", "mode=host,target=8080,published=8099", images.app("1").name
        )
        yield made


@pytest.fixture
def shop(bed: swarm.Swarm, tmp_path: Path, counts: Counts) -> OnSwarm:
    return OnSwarm("shop", tmp_path, f"http://{bed.address}:8080", counts, bed, 8080)


def test_each_thing_that_stands_against_a_release_is_told_and_nothing_is_changed(shop: OnSwarm) -> None:
    own = shop.options()
    theirs = shop.bed.docker("service", "inspect", "theirs").stdout
    found = told(
        shop,
        {
            "no Docker": {"swarm": {**own, "docker_host": "tcp://127.0.0.1:9"}},
            "a worker": {"swarm": {**own, "docker_host": shop.bed.box.hosts[1]}},
            "no image": {"image": "hotswap-bluegreen-none"},
            "no health check": {"release": "1-nohealth"},
            "no network": {"swarm": {**own, "networks": ["nowhere"]}},
            "not ours": {"service": "theirs"},
            "port": {"swarm": {**own, "nginx": {**own["nginx"], "publish": [{"published": 8099, "mode": "host"}]}}},
            "room": {"resources": {"cpu": "900"}},
            "placement": {"swarm": {**own, "constraints": ["node.labels.disk == fast"]}},
            "key of ours": {"swarm": {**own, "service": {"replicas": 7}}},
            "two at once": {"image": "hotswap-bluegreen-none", "resources": {"cpu": "900"}},
        },
    )
    expected = {
        "no Docker": "tcp://127.0.0.1:9",
        "a worker": "manager",
        "no image": "bluegreen_image is hotswap-bluegreen-none:1, which the manager does not have and cannot fetch: ",
        "no health check": "which has no HEALTHCHECK",
        "no network": "bluegreen_swarm: networks names nowhere, which the Swarm does not have: create it",
        "not ours": "There is a service theirs in the Swarm that was not made by hotswap.bluegreen",
        "port": "asks for port 8099, which the service theirs has published",
        "room": "are 3 tasks of 900 cores each",
        "placement": "meets bluegreen_swarm: constraints (node.labels.disk == fast)",
        "key of ours": "bluegreen_swarm: service sets replicas",
    }
    assert {name: found[name] for name, words in expected.items() if words not in found[name]} == {}
    assert [line.split()[0] for line in found["two at once"].splitlines()] == ["bluegreen_image", "bluegreen_replicas"]
    assert shop.pieces() == []
    assert shop.bed.docker("service", "inspect", "theirs").stdout == theirs
