"""The lease and the fencing token: one run at a time, a dead one's lock ends by itself, a run overtaken is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _task

ANNA: dict[str, Any] = {"user": "anna", "controller": "desk", "pid": 1}
BERT: dict[str, Any] = {"user": "bert", "controller": "ci", "pid": 2}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_second_run_is_refused_and_told_who_holds_the_lock_and_why(tmp_path: Path, clock: Clock) -> None:
    _lock.acquire(str(tmp_path), ANNA, "release v2", 60, clock=clock)
    with pytest.raises(_lock.Held, match=r"anna@desk \(pid 1\), release v2"):
        _lock.acquire(str(tmp_path), BERT, "release v3", 60, clock=clock)


def test_a_released_lock_is_free_and_its_token_is_never_given_again(tmp_path: Path, clock: Clock) -> None:
    first = _lock.acquire(str(tmp_path), ANNA, "x", 60, clock=clock)
    _lock.release(str(tmp_path), first.token, clock=clock)
    assert _lock.acquire(str(tmp_path), BERT, "y", 60, clock=clock).token > first.token


def test_a_dead_owners_lock_ends_by_itself(tmp_path: Path, clock: Clock) -> None:
    _lock.acquire(str(tmp_path), ANNA, "x", 60, clock=clock)
    clock.now += 61
    assert _lock.holder(str(tmp_path), clock=clock) is None
    assert _lock.acquire(str(tmp_path), BERT, "y", 60, clock=clock).owner == BERT


def test_a_sign_of_life_keeps_it(tmp_path: Path, clock: Clock) -> None:
    lease = _lock.acquire(str(tmp_path), ANNA, "x", 60, clock=clock)
    for _ in range(5):
        clock.now += 50
        _lock.extend(str(tmp_path), lease.token, 60, clock=clock)
    assert _lock.holder(str(tmp_path), clock=clock) == _lock.extend(str(tmp_path), lease.token, 60, clock=clock)


def test_a_run_that_wakes_up_after_another_took_over_is_refused(tmp_path: Path, clock: Clock) -> None:
    old = _lock.acquire(str(tmp_path), ANNA, "x", 60, clock=clock)
    clock.now += 61
    with pytest.raises(Refusal, match="lost its lock"):
        _lock.extend(str(tmp_path), old.token, 60, clock=clock)
    new = _lock.acquire(str(tmp_path), BERT, "y", 60, clock=clock)
    with pytest.raises(Refusal, match=r"lost its lock .* now: bert@ci"):
        _lock.extend(str(tmp_path), old.token, 60, clock=clock)
    _lock.release(str(tmp_path), old.token, clock=clock)
    assert _lock.holder(str(tmp_path), clock=clock) == new, "it cannot give away what is another's"


def test_a_host_that_has_seen_a_younger_run_refuses_the_older_one(tmp_path: Path) -> None:
    _lock.fence(str(tmp_path), 3)
    _lock.fence(str(tmp_path), 3)
    _lock.fence(str(tmp_path), 7)
    with pytest.raises(Refusal, match=r"token 3\) has been overtaken by a younger one \(token 7\)"):
        _lock.fence(str(tmp_path), 3)


def test_of_many_at_the_same_moment_exactly_one_gets_it(tmp_path: Path) -> None:
    def attempt(number: int) -> int:
        try:
            return _lock.acquire(str(tmp_path), {**ANNA, "pid": number}, "x", 60).token
        except _lock.Held:
            return 0

    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(attempt, range(50)))
    assert sorted(tokens)[-2:] == [0, 1]


def test_only_a_process_of_this_controller_that_is_no_more_counts_as_gone() -> None:
    mine = {"user": "anna", "controller": "desk", "pid": 10}
    dead, alive = 2**22 - 1, 1
    assert _task.is_gone({**mine, "pid": dead}, mine)
    assert not _task.is_gone({**mine, "pid": alive}, mine)
    assert not _task.is_gone({**mine, "pid": dead, "controller": "ci"}, mine)
    assert not _task.is_gone(mine, mine)
