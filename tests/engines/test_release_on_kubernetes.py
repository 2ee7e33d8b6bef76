"""Releases by the user's own commands on a real Kubernetes, under load from outside."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
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


@pytest.mark.full
def test_with_blue_green_all_requests_change_sides_at_once_and_a_broken_release_is_seen_by_nobody(shop: OnKubernetes) -> None:
    sides = {"strategy": "blue_green", "old": "stay"}
    shop.release("1").good()  # rolling, which it comes from
    first = shop.release("2", **sides).good()
    shop.lossless(first)
    assert (shop.serves(), shop.sides()) == ("2", {"": 2, "blue": 2})  # the former one stays warm
    before = shop.pieces()
    assert (shop.release("2", **sides).good().changed, shop.pieces()) == (0, before)

    broken = shop.release("3-500", boot_timeout=5, **sides).bad()
    shop.lossless(broken)
    assert "No client has reached it: release 2 serves as before, with 2 of 2 replicas." in broken.message
    assert "HTTP probe failed with statuscode: 500" in broken.message
    assert (shop.serves(), shop.sides()) == ("2", {"": 2, "blue": 2, "green": 0})

    shop.lossless(shop.release("1", **sides).good())
    assert (shop.serves(), shop.sides()) == ("1", {"": 0, "blue": 2, "green": 2})
    warm = shop.replicas()
    back = shop.play("rollback", **sides).good()
    shop.lossless(back)
    assert (shop.serves(), shop.replicas()) == ("2", warm)  # one switch: no pod was started or ended
    shop.play("status", expect="2", **sides).good()

    rolling = shop.release("1").good()
    shop.lossless(rolling)
    assert (shop.serves(), shop.sides()) == ("1", {"": 2, "blue": 0, "green": 0})


def _wrote_last(shop: OnKubernetes, release: str) -> bool:
    return shop.written("tidy")[-1:] == [release]


class TestReleases(Releases):
    """On Kubernetes."""

    @pytest.mark.full
    def test_a_cron_job_is_of_the_release_that_serves(self, shop: OnKubernetes) -> None:
        tidy = {"cron": [{"name": "tidy", "schedule": "* * * * *", "scope": "fleet", "command": ["sh", "-c", f"MIGRATIONS={DATA}/tidy app migrate"]}]}
        for release in ("1", "2"):
            shop.release(release, **tidy).good()
            wait_until(partial(_wrote_last, shop, release), 300, f"the cron job of release {release}")
        assert sorted(shop.written("tidy")) == shop.written("tidy")
        shop.release("2").good()
        assert shop.bed.get("cronjobs")["items"] == []
