"""Releases by the user's own commands on a real Docker Swarm, under load from outside."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import Counts
from tests.engines import or_not_run
from tests.engines.releases import Releases
from tests.engines.scenario import OnSwarm, gone_at_the_end
from tools.engines import images, swarm

_numbers = count()


@pytest.fixture(scope="module")
def bed() -> Iterator[swarm.Swarm]:
    with or_not_run("releases on Docker Swarm by playbook", swarm.cluster()) as made:
        made.load(images.app("1"), images.app("2"), images.app("3", "500"), images.app("4", "exit"), images.nginx())
        yield made


@pytest.fixture
def shop(bed: swarm.Swarm, tmp_path: Path, counts: Counts) -> Iterator[OnSwarm]:
    number = next(_numbers)
    port = 8080 + number
    scene = OnSwarm(f"shop{number}", tmp_path, f"http://{bed.address}:{port}", counts, bed, port)
    with gone_at_the_end(scene):
        yield scene


def test_a_release_replaces_the_tasks_without_a_failed_request_and_a_broken_one_is_taken_back(shop: OnSwarm) -> None:
    shop.release("1").good()
    good = shop.release("2").good()
    shop.lossless(good)
    assert shop.serves() == "2"

    broken = shop.release("3-500").bad()
    shop.lossless(broken)
    assert shop.serves() == "2"
    assert "the engine has gone back to release 2" in broken.message
    assert "its health check failed" in broken.message
    assert "3: started" in broken.message
    assert "Release 2 serves again, with 2 of 2 replicas." in broken.message


class TestReleases(Releases):
    """On Docker Swarm."""
