"""One run at a time for a service on an engine: who gets the lock, how long it lasts, who takes it over, how it is broken."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _owner
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _lock
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._engine import Grip
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Abandoned

from tests.unit.engines.memory import Memory


def owner(**more: Any) -> dict[str, Any]:
    return {**_owner.of({}), "user": "kim", **more}


def lock(engine: Memory, **more: Any) -> _lock.Lock:
    return _lock.Lock(engine, "shop", owner(**more), "release v2")


def taken(engine: Memory, seconds: float = 60.0, **more: Any) -> _lock.Lock:
    found = lock(engine, **more)
    found.take(0.0, seconds, lambda _text: None)
    return found


def test_a_second_run_is_refused_and_told_who_has_it_and_what_for() -> None:
    engine = Memory()
    taken(engine, user="robin")

    with pytest.raises(Refusal, match=r"another run holds the lock of shop: robin.*release v2, for \d+ s more at most"):
        taken(engine)


def test_given_back_it_is_free() -> None:
    engine = Memory()
    taken(engine).give_back()

    assert taken(engine).held


def test_a_run_whose_process_is_gone_is_taken_over_at_once() -> None:
    engine, said = Memory(), []
    taken(engine, pid=2**22 + 1)

    lock(engine).take(0.0, 60.0, said.append)

    assert "the run that has the lock of shop is gone, it is taken over" in said[0]


def test_one_of_another_controller_is_taken_over_when_its_time_is_over_and_not_before() -> None:
    engine = Memory()
    taken(engine, place="elsewhere")
    with pytest.raises(Refusal):
        taken(engine)

    engine.held = {**engine.held, "until": time.time() - 1}
    assert taken(engine).held


def test_it_waits_as_long_as_it_is_told_to_and_says_for_whom() -> None:
    engine, said = Memory(), []
    other = taken(engine, user="robin", place="elsewhere")

    def say(text: str) -> None:
        said.append(text)
        other.give_back()

    lock(engine).take(30.0, 60.0, say)

    assert "waiting for the lock of shop" in said[0] and "robin" in said[0]


def test_of_two_who_see_it_free_one_gets_it() -> None:
    engine = Memory()
    seen = engine.grip()
    assert engine.take(seen, {"token": "one"})
    assert not engine.take(seen, {"token": "two"})


class Late(Memory):
    """Somebody else is quicker, once."""

    def take(self, grip: Grip, holder: Any) -> bool:
        if not self.held and self.version == 0:
            super().take(grip, {"token": "other", "user": "robin", "place": "elsewhere", "until": time.time() + 60})
            return False
        return super().take(grip, holder)


def test_who_was_too_late_does_not_believe_to_have_it() -> None:
    engine = Late()
    with pytest.raises(Refusal, match="robin"):
        taken(engine)
    assert engine.held["token"] == "other"


def test_a_run_whose_lock_was_broken_changes_nothing_more_and_gives_nothing_back() -> None:
    engine = Memory()
    mine = taken(engine)
    assert "kim" in _lock.end(engine, "shop", "it hangs")
    other = taken(engine, user="robin")

    with pytest.raises(Abandoned, match=r"the lock of shop is not this run's any more \(robin.*\): nothing more is changed\."):
        mine.keep(60.0)
    mine.give_back()

    assert other.held and engine.held["user"] == "robin"


def test_what_another_run_has_meanwhile_is_not_given_back_by_this_one() -> None:
    engine = Memory()
    mine = taken(engine)
    _lock.end(engine, "shop", "it hangs")
    taken(engine, user="robin")

    mine.give_back()

    assert engine.held["user"] == "robin"


def test_it_is_broken_with_a_reason_only() -> None:
    with pytest.raises(Refusal, match="breaking a lock needs a reason"):
        _lock.end(Memory(), "shop", " ")
    assert _lock.end(Memory(), "shop", "it hangs") == ""


def test_it_lasts_for_as_long_as_the_part_that_it_is_kept_for() -> None:
    engine = Memory()
    mine = taken(engine, seconds=10.0)
    mine.keep(1000.0)
    assert engine.held["until"] > time.time() + 900
    assert os.getpid() != engine.held["pid"], "the run is ansible-playbook, of which an action is a child"
