"""Workers beside a slot, on a real supervisord: they stop, start and go back with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _processes, _workers
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Job
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

from tests.drivers.conftest import MakeShop
from tests.drivers.shop import APPS, InProcess, Shop, snapshot
from tools.bed import PYTHON, alive, wait_until

MAIL = Job("mail", (PYTHON, "-S", f"{APPS}/job.py"), start_seconds=0, stop_timeout=5)


@pytest.fixture
def mail_shop(make_shop: MakeShop, tmp_path: Path) -> Callable[..., Shop]:
    """A service of one slot with a worker beside it, on its first release."""

    def make(release: str = "v1", **environment: str) -> Shop:
        shop = make_shop(slots=1, jobs=(MAIL,), min_serving=0)
        return shop.released(release, LEDGER=str(tmp_path), **environment)

    return make


def pid(shop: Shop, slot: str = "blue") -> int:
    return shop.client.process(f"{shop.wish.service}-{slot}-mail").pid


def release_of(shop: Shop) -> str | None:
    return _processes.running_release(pid(shop), f"{shop.wish.root}/blue")


def test_a_worker_restarts_with_its_slot_and_runs_its_release(mail_shop: Callable[..., Shop], tmp_path: Path) -> None:
    shop = mail_shop()
    first = pid(shop)
    assert release_of(shop) == "v1"
    assert shop.swap("v2", LEDGER=str(tmp_path)).ok
    assert not alive(first)
    assert release_of(shop) == "v2"
    row = next(row for row in _workers.seen(shop.wish, shop.client) if row["id"] == "worker:mail")
    assert (row["scope"], row["slot"], row["state"], row["pid"], row["release"]) == ("slot", "blue", "RUNNING", pid(shop), "v2")


def test_the_same_release_again_leaves_the_worker_alone(mail_shop: Callable[..., Shop], tmp_path: Path) -> None:
    shop = mail_shop()
    before, files = pid(shop), snapshot(shop.wish.root)
    done = shop.swap("v1", LEDGER=str(tmp_path))
    assert done.ok and not done.changed
    assert (pid(shop), snapshot(shop.wish.root)) == (before, files)


def test_a_worker_that_ended_is_started_again_by_the_next_run_with_its_slot(mail_shop: Callable[..., Shop], tmp_path: Path) -> None:
    shop = mail_shop()
    shop.client.stop(f"{shop.wish.service}-blue-mail")
    wait_until(lambda: not pid(shop), what="the worker's end")
    assert shop.swap("v1", LEDGER=str(tmp_path)).changed
    assert release_of(shop) == "v1"


def test_a_worker_that_crashes_fails_its_member_with_its_last_words_and_the_way_back_brings_the_old_one(mail_shop: Callable[..., Shop], tmp_path: Path) -> None:
    shop = mail_shop()
    shop.wish = replace(shop.wish, jobs=(replace(MAIL, start_seconds=1),), boot_timeout=4.0)
    done = shop.swap("v2", LEDGER=str(tmp_path), JOB_FAULT="crash")
    (failure,) = done.failures
    assert (failure.member, failure.step) == ("app1/blue", "check")
    assert f"{shop.wish.service}-blue-mail" in failure.expected + failure.seen
    assert "cannot find the queue" in failure.log
    assert shop.releases() == {"blue": "v1"}
    assert release_of(shop) == "v1"
    assert shop.serving() == {"blue"}


def test_a_worker_that_is_wished_no_more_ends_with_the_next_swap_and_comes_back_with_a_put_back(mail_shop: Callable[..., Shop], tmp_path: Path) -> None:
    shop = mail_shop()
    first, file = pid(shop), Path(_workers.path(shop.wish, f"{shop.wish.service}-blue-mail"))
    shop.wish = replace(shop.wish, jobs=())
    assert not shop.swap("v2", LEDGER=str(tmp_path), FAULT="crash").ok
    assert not alive(first), "it was stopped with its slot"
    assert file.exists() and release_of(shop) == "v1", "and is back with it"
    assert shop.swap("v3", LEDGER=str(tmp_path)).ok
    assert not file.exists()
    assert shop.client.process(f"{shop.wish.service}-blue-mail").state == "ABSENT"


def test_going_back_to_a_release_that_has_no_worker_runs_without_it(make_shop: MakeShop, tmp_path: Path) -> None:
    shop = make_shop(slots=1, min_serving=0).released("v1", LEDGER=str(tmp_path))
    shop.wish = replace(shop.wish, jobs=(MAIL,))
    assert shop.swap("v2", LEDGER=str(tmp_path)).ok and pid(shop)
    back = replace(shop.wish, release="v1", rollback=True)
    done = _runner.swap([back], InProcess({back.host: shop.client}), shop.told.append)
    assert done.ok and shop.releases() == {"blue": "v1"}
    assert pid(shop) == 0 and not _workers.installed(shop.wish, "blue")


def test_a_program_file_of_somebody_else_is_never_written(make_shop: MakeShop, tmp_path: Path) -> None:
    shop = make_shop(slots=1, jobs=(MAIL,), min_serving=0)
    file = Path(_workers.path(shop.wish, f"{shop.wish.service}-blue-mail"))
    file.write_text("; a colleague's\n")
    try:
        shop.install()
        done = shop.swap("v1", LEDGER=str(tmp_path))
        assert "was not written for a worker of" in done.failures[0].seen
        assert file.read_text() == "; a colleague's\n"
        with pytest.raises(Refusal, match="take that file away"):
            _workers.refuse_foreign(shop.wish, "blue", file.stem)
    finally:
        file.unlink()


def test_what_was_there_before_is_kept_once_however_often_a_swap_begins_anew(mail_shop: Callable[..., Shop], tmp_path: Path) -> None:
    shop = mail_shop()
    path = Path(_workers.path(shop.wish, f"{shop.wish.service}-blue-mail"))
    before = path.read_text()
    shop.stage("v2", LEDGER=str(tmp_path))
    for seconds in (6, 7):
        shop.client.stop(path.stem)
        wait_until(lambda: not pid(shop), what="the worker's end")
        wish = replace(shop.wish, jobs=(replace(MAIL, stop_timeout=seconds),))
        _workers.start(wish, shop.client, "blue", "v2", restore=False)
        assert f"stopwaitsecs={seconds}\n" in path.read_text()
    shop.client.stop(path.stem)
    wait_until(lambda: not pid(shop), what="the worker's end")
    _workers.start(shop.wish, shop.client, "blue", "v1", restore=True)
    assert path.read_text() == before
