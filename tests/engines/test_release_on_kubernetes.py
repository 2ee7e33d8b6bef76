"""Releases by the user's own commands on a real Kubernetes, under load from outside."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import Counts
from tests.engines import or_not_run
from tests.engines.releases import Releases
from tests.engines.scenario import DATA, OnKubernetes, gone_at_the_end
from tools.bed import wait_until
from tools.engines import images, kubernetes

_numbers = count()


@pytest.fixture(scope="module")
def bed() -> Iterator[kubernetes.Bed]:
    with or_not_run("releases on Kubernetes by playbook", kubernetes.cluster()) as made:
        made.load(images.app("1"), images.app("2"), images.app("3", "500"), images.app("4", "exit"))
        yield made


@pytest.fixture
def shop(bed: kubernetes.Bed, tmp_path: Path, counts: Counts) -> Iterator[OnKubernetes]:
    number = next(_numbers)
    port = kubernetes.Bed.node_ports.start + number
    scene = OnKubernetes(f"shop{number}", tmp_path, f"http://{bed.address}:{port}", counts, bed, port)
    with gone_at_the_end(scene):
        yield scene


def test_a_release_replaces_the_pods_without_a_failed_request_and_a_broken_one_is_taken_back(shop: OnKubernetes) -> None:
    shop.release("1").good()
    good = shop.release("2").good()
    shop.lossless(good)
    assert shop.serves() == "2"

    broken = shop.release("3-500").bad()
    shop.lossless(broken)
    assert shop.serves() == "2"
    assert "ReplicaSet" in broken.message
    assert "timed out progressing" in broken.message
    assert "HTTP probe failed with statuscode: 500" in broken.message
    assert "3: started" in broken.message
    assert "Release 2 serves again, with 2 of 2 replicas." in broken.message


class TestReleases(Releases):
    """On Kubernetes."""

    @pytest.mark.full
    def test_a_cron_job_is_of_the_release_that_serves(self, shop: OnKubernetes) -> None:
        tidy = {"cron": [{"name": "tidy", "schedule": "* * * * *", "command": ["sh", "-c", f"MIGRATIONS={DATA}/tidy app migrate"]}]}
        for release in ("1", "2"):
            shop.release(release, **tidy).good()
            wait_until(lambda release=release: shop.written("tidy")[-1:] == [release], 300, f"the cron job of release {release}")  # type: ignore[misc]
        assert sorted(shop.written("tidy")) == shop.written("tidy")
        shop.release("2").good()
        assert shop.bed.get("cronjobs")["items"] == []
