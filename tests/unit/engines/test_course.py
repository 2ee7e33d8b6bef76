"""The course of a release on an engine, in each way that it can take; the engine is one in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Hook
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._course import Course

from tests.unit.engines.memory import SHOP, Interrupted, Memory, Run, settled

MIGRATING = replace(SHOP, migrate=(Hook("migrate", ("bin/migrate",), timeout=60.0),))


def after(fate: str = "good", **more: Any) -> Run:
    """A run that releases v2 where v1 is."""
    return Run(Memory(settled("v1"), fate), **more)


def test_a_release_brings_all_replicas_then_workers_then_the_hook_and_is_noted_as_good() -> None:
    run = after(service=MIGRATING)

    ended = run.go()

    assert ended.failure is None and ended.changed and not ended.back
    assert run.engine.asked == [
        "before_release", "migrate v2 0", "apply v2 shop:v2", "companions", "prune", "after_release", "mark v2 good",
    ]  # fmt: skip
    assert (ended.before.release, ended.after.release, ended.after.state) == ("v1", "v2", "settled")
    assert run.outcomes("update") == ["waiting", "ok"]


def test_a_second_run_asks_for_nothing_new_and_runs_no_hook_and_no_migration() -> None:
    run = after(service=MIGRATING)
    run.go()
    again = Run(run.engine, MIGRATING)
    run.engine.asked.clear()

    ended = again.go()

    assert not ended.changed and ended.failure is None
    assert run.engine.asked == ["companions", "prune"]  # which find what is there
    assert again.outcomes("update") == ["unchanged"]


def test_other_configuration_of_the_same_release_is_rolled_out() -> None:
    run = Run(Memory(settled("v2", "v2 of last week")))

    assert run.go().changed
    assert "apply v2 shop:v2" in run.engine.asked


def test_an_engine_that_has_gone_back_by_itself_is_a_failure_and_what_was_before_serves() -> None:
    run = after("goes back")

    ended = run.go()

    assert ended.back and ended.after.release == "v1"
    assert run.engine.asked == ["before_release", "apply v2 shop:v2", "mark v2 failed", "on_rollback"]  # the engine needs nobody for it
    (failure,) = run.failures
    assert "the engine has gone back to release v1: task failed" in failure.seen
    assert "it exits with 1, three times" in failure.seen
    assert failure.log == ("cannot read its configuration",)


@pytest.mark.parametrize(("fate", "words"), [("pauses", "the engine has paused the update"), ("sticks", "the engine cannot go on: deadline")])
def test_an_engine_that_stops_in_the_midst_is_asked_for_what_was_before(fate: str, words: str) -> None:
    run = after(fate)

    ended = run.go()

    assert ended.failure and words in ended.failure.seen
    assert ended.back and ended.after.release == "v1"
    assert run.engine.asked[1:] == ["apply v2 shop:v2", "apply v1 shop:v1", "mark v2 failed", "on_rollback"]
    assert run.outcomes("undo") == ["waiting", "ok"]


def test_with_on_failure_stop_it_is_left_as_it_is() -> None:
    run = after("pauses", service=replace(SHOP, on_failure="stop"))

    ended = run.go()

    assert ended.failure and not ended.back
    assert run.engine.asked == ["before_release", "apply v2 shop:v2", "mark v2 failed"]


def test_a_rollout_without_end_is_given_up_after_its_time() -> None:
    clock = iter(range(0, 100_000, 10))
    run = after("hangs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: float(next(clock)))
        ended = run.go()

    assert ended.failure and "it is not done after" in ended.failure.seen
    assert ended.back


def test_the_first_release_that_fails_has_nothing_to_go_back_to() -> None:
    run = Run(Memory(fate="sticks"))

    ended = run.go()

    assert ended.failure and not ended.back
    assert run.engine.asked == ["before_release", "apply v2 shop:v2", "mark v2 failed"]


def test_a_service_that_is_taken_away_meanwhile_is_a_failure_and_is_not_put_back() -> None:
    run = after("vanishes")

    ended = run.go()

    assert ended.failure and "somebody has removed it" in ended.failure.seen
    assert not any("v1" in asked for asked in run.engine.asked)


def test_what_somebody_else_asks_for_meanwhile_is_not_undone() -> None:
    run = after("is overtaken")

    ended = run.go()

    assert ended.failure and "somebody else has asked for release v9" in ended.failure.seen
    assert run.engine.asked == ["before_release", "apply v2 shop:v2", "mark v2 failed"]


@pytest.mark.parametrize(("fate", "step"), [("apply", "update"), ("migrate", "migrate")])
def test_what_the_engine_refuses_is_told_and_no_replica_is_touched(fate: str, step: str) -> None:
    run = after(fate, service=MIGRATING)

    ended = run.go()

    assert ended.failure and ended.failure.step == step
    assert not any(asked.startswith(("apply", "mark", "companions")) for asked in run.engine.asked)
    assert run.engine.look().release == "v1"


def test_a_migration_that_fails_shows_its_last_lines_and_is_tried_again_by_the_next_run() -> None:
    run = after("migrate", service=MIGRATING)

    ended = run.go()
    assert ended.failure and (ended.failure.seen, ended.failure.log) == ("it ended with 3", ("no such table",))

    run.engine.fate = "good"
    assert Run(run.engine, MIGRATING).go().failure is None
    assert run.engine.migrated == ["v2 0"]


def test_a_hook_that_fails_before_the_release_leaves_all_as_it_is() -> None:
    run = after(refused="before_release", service=MIGRATING)

    ended = run.go()

    assert ended.failure and ended.failure.expected == "bluegreen_before_release ends with 0"
    assert run.engine.asked == ["before_release"]


def test_a_worker_that_does_not_run_is_a_failure_of_a_release_that_serves() -> None:
    run = after("workers")

    ended = run.go()

    assert ended.failure and (ended.failure.step, ended.failure.seen) == ("workers", "mail does not run")
    assert ended.after.release == "v2" and not ended.back
    assert "after_release" not in run.hooks


def test_a_rollback_asks_for_what_the_engine_has_kept_and_migrates_nothing() -> None:
    run = Run(Memory(settled("v2")), replace(MIGRATING, release="v1", image="", rollback=True))

    ended = run.go()

    assert ended.failure is None and ended.after.release == "v1"
    assert run.engine.asked == ["apply v1 shop:v1", "companions", "prune", "on_rollback", "mark v2 left", "mark v1 returned"]


def test_the_release_that_an_engine_went_back_to_may_be_released_again() -> None:
    engine = Memory(settled("v1"), "goes back")
    Run(engine).go()
    engine.fate = "good"

    ended = Run(engine, replace(SHOP, release="v1", image="shop:v1")).go()

    assert ended.failure is None and not ended.changed


def test_a_bad_configuration_of_the_same_release_that_the_engine_takes_back_is_a_failure() -> None:
    engine = Memory(replace(settled("v2", "v2 of last week"), state="rolled_back"), "goes back")

    ended = Run(engine).go()

    assert ended.failure and ended.back
    assert ended.after.mark == "v2 of last week"


@pytest.mark.parametrize("late", [False, True])
def test_interrupted_at_any_moment_and_run_again_it_comes_to_the_same_end(late: bool) -> None:
    whole = after(service=MIGRATING)
    whole.go()
    for cut in range(len(whole.engine.asked)):
        engine = Memory(settled("v1"), cut=cut, late=late)
        first = Run(engine, MIGRATING)
        with pytest.raises(Interrupted):
            first.go()
        engine.cut = -1

        ended = Run(engine, MIGRATING, hooks=first.hooks).go()

        assert ended.failure is None, cut
        assert engine.look().release == "v2" and engine.look().state == "settled"
        assert [past.outcome for past in engine.past] == ["good"]
        assert engine.migrated == ["v2 0"], "once for the release"
        assert {"before_release", "after_release"} <= set(engine.asked), f"cut after {engine.asked[: cut + 1]}"


def test_a_run_that_has_lost_its_lock_does_nothing_more() -> None:
    whole = after(service=MIGRATING)
    whole.go()
    for lost in range(whole.kept):
        run = after(service=MIGRATING, lost=lost)
        with pytest.raises(Interrupted):
            run.go()
        assert run.engine.asked == whole.engine.asked[: len(run.engine.asked)]
        assert len(run.engine.asked) < len(whole.engine.asked)


def test_a_check_asks_the_engine_for_its_own_and_says_which_migration_it_would_run() -> None:
    run = after(service=MIGRATING)
    course = Course(run.engine, MIGRATING, run.told.append, run._keep, run._hook, sleep=lambda _seconds: None)

    ended = course.plan(run.engine.look())

    assert "would run bluegreen_migrate 1" in [text.replace("bluegreen_migrate 0", "bluegreen_migrate 1") for text in ended.what]
    assert run.hooks == [] and run.engine.migrated == []
