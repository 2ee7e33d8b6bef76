"""What both engines do alike, each on a real cluster: the tests of test_release_on_swarm.py and test_release_on_kubernetes.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.engines.scenario import DATA, Scene
from tools.bed import wait_until

_MIGRATES = {"migrate": f"MIGRATIONS={DATA}/migrations app migrate"}
_SECRET = "not to be shown"


def configured(colour: str) -> dict[str, Any]:
    """A config and a secret of a release, its migration, and a worker of which there is one in the cluster."""
    return {
        "config_files": [
            {"dest": "/etc/shop/shop.conf", "content": f"colour {colour}", "mode": "0444"},
            {"dest": "/etc/shop/token", "content": f"{_SECRET} {colour}", "mode": "0400", "secret": True},
        ],
        "workers": [{"name": "mail", "command": ["sh", "-c", f"exec app work >>{DATA}/mail"], "scope": "fleet"}],
        **_MIGRATES,
    }


def starts_and_ends(lines: list[str]) -> list[str]:
    """What a worker has said, without its times and its heartbeats."""
    return [said for said in (line.partition(" ")[2] for line in lines) if not said.endswith("still works")]


class Releases:
    """``shop`` is a service of a module's own cluster, of which there is nothing yet."""

    @pytest.mark.full
    def test_a_rollback_brings_back_image_configuration_secret_and_worker_and_no_migration_runs_twice(self, shop: Scene) -> None:
        shop.release("1", **configured("blue")).good()
        self._is_all(shop, "1", "blue")
        there = shop.release("2", **configured("green")).good()
        shop.lossless(there)
        self._is_all(shop, "2", "green")
        assert Path(there.rollout["ansible_stats"]["data"]["bluegreen_report"]).exists()

        before = shop.pieces()
        again = shop.release("2", **configured("green")).good()
        assert (again.changed, shop.pieces()) == (0, before)
        assert again.rollout["ansible_stats"]["data"]["bluegreen_verdict"] == "unchanged"

        back = shop.play("rollback").good()
        shop.lossless(back)
        self._is_all(shop, "1", "blue")
        shop.play("status", expect="1").good()
        unmet = shop.play("status", expect="2").bad()
        assert f"{shop.name} is asked to run 1, and 2 is expected." in unmet.message

        named = shop.play("rollback", rollback_to="2").good()
        shop.lossless(named)
        self._is_all(shop, "2", "green")
        assert shop.written("migrations") == ["1", "2"]
        released = ["1", "2", "1", "2"]
        worked = [words for release in released for words in (f"{release}: works", f"{release}: ended its work")]
        assert starts_and_ends(shop.written("mail")) == worked[:-1]  # never two at a time

    def _is_all(self, shop: Scene, release: str, colour: str) -> None:
        assert shop.serves() == release
        assert shop.get("/file?path=/etc/shop/shop.conf") == f"colour {colour}"
        assert shop.get("/file?path=/etc/shop/token") == f"{_SECRET} {colour}"
        assert shop.get("/env?name=BLUEGREEN_RELEASE") == release
        wait_until(lambda: [line.split()[1] for line in shop.written("mail")[-1:]] == [f"{release}:"], 60, f"the worker of release {release}")

    @pytest.mark.full
    def test_a_run_that_is_killed_leaves_the_engine_at_work_and_the_next_one_completes_it(self, shop: Scene) -> None:
        asked = {**_MIGRATES, "probe": []}  # that of a run would end with it
        shop.release("1", **asked).good()
        with shop.load() as probe:
            with shop.begin("release", release="2", **asked) as killed:
                killed.until("update  waiting")
                killed.kill()
            wait_until(lambda: shop.serves() == "2", 120, "the engine, which goes on by itself")
            rest = shop.release("2", **asked).good()
        shop.whole(probe.result)
        assert "is gone, it is taken over" in rest.said
        assert shop.serves() == "2"
        assert shop.written("migrations") == ["1", "2"]
        assert shop.release("2", **asked).good().changed == 0

    @pytest.mark.full
    def test_of_two_runs_the_second_is_refused_and_a_broken_lock_ends_the_first(self, shop: Scene) -> None:
        shop.release("1").good()
        go = shop.folder / "go"
        waits = {"command": f"echo >{go}.begun; until [ -e {go} ]; do sleep 0.2; done", "on": "controller", "timeout": 900}
        with shop.begin("release", release="2", before_release=[waits]) as first:
            wait_until(lambda: (shop.folder / "go.begun").exists(), 300, "the first run, with the lock")
            second = shop.release("2").bad()
            assert f"another run holds the lock of {shop.name}: " in second.message
            assert f"(pid {first.process.pid})" in second.message
            assert "release 2" in second.message
            shop.play("unlock", unlock_reason="it is to be tried").good()
            go.touch()
            ended = first.end().bad()
        assert f"the lock of {shop.name} is not this run's any more" in ended.message
        shop.lossless(ended)
        assert shop.serves() == "1"  # it has changed nothing more
        shop.release("2").good()
        assert shop.serves() == "2"

    @pytest.mark.full
    def test_a_check_changes_nothing_and_shows_no_secret(self, shop: Scene) -> None:
        first = shop.release("1", "--check", "--diff", **configured("blue")).good()
        assert shop.pieces() == []
        shop.release("1", **configured("blue")).good()
        before = shop.pieces()
        hidden = {"environment": {"DRAIN": "1", "TOKEN": _SECRET}}
        second = shop.release("2", "--check", "--diff", **configured("green"), **hidden).good()
        assert shop.pieces() == before
        for told in (first, second):
            assert told.rollout["planned"], told.said
            assert _SECRET not in told.said
        assert "bluegreen_migrate" in json.dumps(second.rollout["planned"])
        assert shop.serves() == "1"

    @pytest.mark.full
    def test_an_application_that_ends_at_once_is_told_with_its_last_words(self, shop: Scene) -> None:
        first = shop.release("4-exit").bad()
        assert "cannot start: the database does not know this release" in first.message
        shop.release("1").good()  # and nothing of it is in the way
        later = shop.release("4-exit").bad()
        shop.lossless(later)
        assert "cannot start: the database does not know this release" in later.message
        assert "Release 1 serves again, with 2 of 2 replicas." in later.message
        assert shop.serves() == "1"

    @pytest.mark.full
    def test_a_migration_that_fails_touches_no_replica_and_is_tried_again(self, shop: Scene) -> None:
        shop.release("1").good()
        replicas = shop.replicas()
        failed = shop.release("2", migrate=f"MIGRATIONS={DATA}/migrations MIGRATE_STATUS=7 app migrate").bad()
        shop.lossless(failed)
        assert "migrate failed" in failed.message
        assert "2: migrated" in failed.message
        assert (shop.serves(), shop.replicas()) == ("1", replicas)
        shop.release("2", **_MIGRATES).good()
        assert shop.written("migrations") == ["2", "2"]
        assert shop.serves() == "2"

    @pytest.mark.full
    def test_requests_under_way_are_lost_without_time_to_drain_and_not_with_it(self, shop: Scene) -> None:
        """So that a probe that counts no failure has seen something."""
        # Longer than the 2 s for which Swarm lets a task go on whose address it has withdrawn
        slow = {"name": "slow", "url": f"{shop.url}/slow?seconds=6", "method": "POST", "rate": 4, "connections": 40, "timeout": 30}
        drained = {"probe": [slow], "drain_timeout": 15}
        hurried = {"probe": [slow], "drain_timeout": 0.1, "stop_timeout": 0.5}
        shop.release("1", **drained).good()
        shop.release("2", **hurried).good()
        assert shop.release("1", **drained).good().rollout["probe"]["failed"] > 0  # the tasks of 2 have no time
        whole = shop.release("2", **drained).good()
        assert whole.rollout["probe"]["failed"] == 0, whole.said
