"""The record of a run: what happened in one sentence, each member's lane, and nothing that a journal may hold makes it raise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _journal, _lanes, _page, _record
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import journals
from tests.unit.journals import BEGAN, Run, release, seen

Line = dict[str, Any]


def of(lines: list[Line]) -> dict[str, Any]:
    found = _record.record(lines)
    json.dumps(found, allow_nan=False).encode()
    return found


def states(found: dict[str, Any], member: str) -> list[str]:
    """A lane as words: each state, and the release of those that serve."""
    lane = next(row["lane"] for row in found["members"] if row["member"] == member)
    return [f"{span['state']} {span['release']}" if span["state"] in _lanes.SERVING else span["state"] for span in lane]


def results(found: dict[str, Any]) -> dict[str, str]:
    return {row["member"]: row["result"] for row in found["members"]}


def test_a_release_is_told_with_its_members_its_time_and_its_requests() -> None:
    found = of(release(4))
    probe = found["probe"]
    assert found["outcome"] == "released"
    assert (
        found["sentence"]
        == f"Release v2 of shop is on all 4 members, in {found['seconds']:.0f} s; {probe['due']:,} requests were sent meanwhile and none failed."
    )
    assert states(found, "app1/green") == ["serving v1", "draining", "stopped", "booting", "checked", "serving v2"]
    assert set(results(found).values()) == {"released"}
    assert [batch["members"] for batch in found["batches"]] == [[name] for name in journals.names(4)]


def test_without_a_probe_nothing_is_said_of_requests() -> None:
    found = of(release(2, probe=False))
    assert found["probe"] is None
    assert found["sentence"].endswith("is on both members, in 11 s.")


def test_a_member_that_fails_and_is_put_back_is_named_with_what_was_seen() -> None:
    found = of(release(6, fails=3))
    assert found["outcome"] == "failed"  # the members before it have the release
    assert found["sentence"].startswith(
        "Release v2 of shop was not completed: app2/blue failed at check (expected status 200; seen status 500); it serves on release v1, "
        "3 others serve on v2, app3/green and app3/blue were not touched."
    )
    assert results(found)["app2/blue"] == "put back"
    assert states(found, "app2/blue")[-1] == "put back v1"
    assert states(found, "app3/blue") == ["serving v1"]


def test_a_release_that_nobody_has_in_the_end_was_taken_back() -> None:
    found = of(release(4, fails=0, probe=False))
    assert found["outcome"] == "taken back"
    assert found["sentence"].startswith("Release v2 of shop was taken back: app1/green failed at check")
    assert found["sentence"].endswith("it serves on release v1, 3 others were not touched.")


def test_a_member_that_cannot_be_put_back_stays_failed_to_the_end() -> None:
    run = Run(members=journals.names(2)).begin()
    run.look("before")
    run.batch(["app1/green"], 1, 2, fails="app1/green")
    run.now += 1
    found = of(run.end({"app1": "app1/green failed"}))
    assert states(found, "app1/green")[-2:] == ["booting", "failed"]
    assert results(found) == {"app1/green": "failed", "app1/blue": "not touched"}
    assert "it stays out of the balancer" in found["sentence"]


def test_a_fleet_of_a_hundred_in_batches_of_ten() -> None:
    found = of(release(100, 10))
    assert len(found["members"]) == 100
    assert [batch["of"] for batch in found["batches"]] == [10] * 10
    assert all(0 < row["out"] < 10 for row in found["members"])
    assert "on all 100 members" in found["sentence"]


def test_a_run_that_was_cut_off_says_where_and_who_was_in_work(tmp_path: Path) -> None:
    text = "".join(json.dumps(line) + "\n" for line in release(8)[:40])
    (tmp_path / _journal.NAME).write_text(text[:-30])  # the last line is half written
    found = of(_journal.read(tmp_path))
    assert found["outcome"] == "cut off"
    assert "app3/green in work" in found["sentence"]
    assert "4 of 8 members had the release" in found["sentence"]
    assert results(found)["app3/green"] == "in work"


def test_a_wait_that_was_not_over_is_told_of_a_run_that_was_cut_off() -> None:
    run = Run().begin()
    run.look("before")
    run.step("switch", "app1/green", 0.1)
    at = run.now
    for seconds in (2.0, 4.0):
        run.step("drain", "app1/green", seconds, "waiting", "3 connections", start=at)
    found = of(run.lines)
    assert [(wait["step"], wait["seconds"]) for wait in found["waiting"]] == [("drain", 4.0)]
    assert states(found, "app1/green") == ["serving v1", "draining"]


def test_a_rollback_says_where_the_service_is_again() -> None:
    run = Run("v1", "rollback", members=journals.names(2)).begin()
    run.look("before")
    for number, member in enumerate(run.members, 1):
        run.batch([member], number, 2)
    found = of(run.end())
    assert found["outcome"] == "rolled back"
    assert found["sentence"].startswith("shop is back on release v1 on both members, in ")
    assert states(found, "app1/blue")[0::5] == ["serving v2", "serving v1"]


def test_a_probe_that_missed_requests_says_which_though_the_release_went_well() -> None:
    found = of(release(4, failing=[(0.4, "refused", 3), (0.6, "timeout", 1)]))
    assert found["outcome"] == "released"
    assert found["sentence"].endswith(f"4 of the {found['probe']['due']:,} requests that were sent meanwhile failed (3 refused, 1 timeout).")


def test_a_limit_that_was_crossed_takes_the_member_back() -> None:
    run = Run(members=journals.names(2)).begin()
    run.look("before")
    run.batch(["app1/green"], 1, 2)
    run.write("failure", member="app1/green", step="watch", expected="at most 1% of requests failed", seen="4.2%", log=[], host="app1")
    run.put_back("app1/green")
    found = of(run.end({"app1": "a limit"}))
    assert "app1/green crossed a limit (expected at most 1% of requests failed; seen 4.2%)" in found["sentence"]
    assert states(found, "app1/green")[-1] == "put back v1"


def test_hooks_and_migration_are_steps_and_what_fails_before_the_swap_is_said() -> None:
    found = of(release(2, hooks=True))
    assert {"before_release", "migrate", "before_stop"} <= {step["step"] for step in found["steps"]}
    run = Run(members=journals.names(2)).begin()
    run.phase("migrate", 1.0, "failed", "of no interest")
    failed = of(run.end({"app1": "app1 failed at migrate: exit status 3\nand more"}))
    assert failed["sentence"] == "Release v2 of shop was not completed: migrate failed (app1 failed at migrate: exit status 3)."


def test_a_task_that_failed_outright_is_a_failure_though_nothing_was_booked() -> None:
    run = Run(members=journals.names(2)).begin()
    run.phase("stage", 1.0, "failed", "no space left", host="app2")
    run.write("verdict", booked={}, changed=False)
    found = of(run.lines)
    assert (found["outcome"], found["sentence"]) == ("failed", "Release v2 of shop was not completed: stage failed on app2 (no space left).")


def test_a_host_that_does_not_answer_is_named_and_long_reasons_are_cut() -> None:
    run = Run(members=journals.names(4)).begin()
    swap = run.now
    run.look("before")
    run.batch(["app1/green"], 1, 4)
    found = of(run.end({"app2": "app2 does not answer: timed out.\nThe spread ended there."}, swap=swap))
    assert found["sentence"] == "Release v2 of shop was not completed: swap failed (app2 does not answer: timed out)."
    long = Run().begin()
    long.write("failure", member="app1/green", step="check", expected="x" * 999, seen="first\nsecond", log=[], host="app1")
    sentence = of(long.end({"app1": "x"}))["sentence"]
    assert f"(expected {'x' * 199}…; seen first)" in sentence


def test_what_fails_after_the_swap_does_not_hide_that_all_have_the_release() -> None:
    lines = release(2, probe=False)
    finish = next(line for line in lines if line.get("name") == "finish")
    finish.update(outcome="failed", detail="app1: no space left for the history")
    found = of(lines)
    assert found["outcome"] == "failed"
    assert found["sentence"] == "Release v2 of shop is on both members, but the run failed: finish failed (app1: no space left for the history)."


def test_a_step_that_fails_while_the_member_serves_takes_nothing_from_it() -> None:
    run = Run(members=journals.names(2)).begin()
    run.look("before")
    run.step("switch", "app1/green", 0.1, "failed", "app1/blue does not answer", host="lb1")
    run.now += 1
    found = of(run.end({"app1": "app1/green failed at switch"}))
    assert states(found, "app1/green") == ["serving v1"]


def test_a_run_that_never_came_to_its_last_phase_is_not_called_a_success() -> None:
    run = Run().begin()
    run.write("verdict", booked={}, changed=False)
    assert of(run.lines)["sentence"] == "Release v2 of shop was not completed: it ended early, and no failure was noted."


def test_a_run_with_nothing_to_do_says_so() -> None:
    run = Run("v1", members=journals.names(2)).begin()
    run.look("before")
    found = of(run.end(changed=False))
    assert found["sentence"] == "There was nothing to do: release v1 of shop was there already on both members."


def test_a_member_in_maintenance_is_left_alone_and_named() -> None:
    run = Run(members=journals.names(2)).begin()
    run.states["app1/blue"]["serving"] = False
    mark = {"app1/blue": {"by": "ana", "why": "memory", "since": BEGAN}}
    run.look("before", **mark)
    run.batch(["app1/green"], 1, 1)
    found = of(run.end())
    assert states(found, "app1/blue") == ["maintenance"]
    assert found["sentence"].endswith("is on 1 of 2 members, in 7.4 s. app1/blue is in maintenance and was left alone.")


def test_a_member_without_a_process_does_not_serve_though_a_balancer_names_it_and_was_never_out() -> None:
    run = Run(members=["app1/blue"]).begin()
    run.states["app1/blue"] = seen(None, pid=0)
    run.look("before")
    for step in ("switch", "drain", "start", "check", "enable"):
        run.step(step, "app1/blue", 1)
    run.states["app1/blue"] = seen("v2")
    found = of(run.end())
    assert states(found, "app1/blue") == ["stopped", "booting", "checked", "serving v2"]
    assert (found["members"][0]["out"], results(found)["app1/blue"]) == (0, "released")


def test_two_balancers_take_a_member_out_with_the_first_and_back_with_the_first() -> None:
    run = Run(members=["app1/blue"]).begin()
    run.look("before")
    for balancer in ("lb1", "lb2"):
        run.step("switch", "app1/blue", 0.1, host=balancer)
    run.step("stop", "app1/blue", 1)
    run.step("start", "app1/blue", 1)
    run.step("check", "app1/blue", 1)
    for balancer in ("lb1", "lb2"):
        run.step("enable", "app1/blue", 0.1, host=balancer)
    run.states["app1/blue"] = seen("v2")
    found = of(run.end())
    assert states(found, "app1/blue") == ["serving v1", "draining", "stopped", "booting", "checked", "serving v2"]
    assert found["members"][0]["out"] == pytest.approx(3.2, abs=0.01)


def test_letters_that_steer_terminals_or_turn_lines_are_written_as_what_they_are() -> None:
    assert _record.text("a\x1b[2Jb\u202ec\ud800\n好 é") == "a\\x1b[2Jb\\u202ec\\ud800\n好 é"


# Whatever a journal holds.

NAMES = st.sampled_from(["app1/green", "app1/blue", "app2/green", "", "<b>x</b>/<i>", "a, b"])
NUMBERS = st.one_of(st.floats(BEGAN - 10, BEGAN + 500), st.floats(), st.integers(), st.none(), st.text(max_size=3), st.booleans())
WORDS = st.sampled_from(["switch", "drain", "stop", "point", "start", "check", "enable", "after_start", "before_stop", "watch", "declare", "migrate", "?"])
OUTCOMES = st.sampled_from(["ok", "unchanged", "waiting", "overtime", "failed", "?", None])
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=8), part, max_size=3),
)
KINDS = st.sampled_from(["run", "phase", "members", "batch", "event", "note", "failure", "returned", "verdict", "probe", "?"])
KEYS = st.sampled_from(["at", "start", "seconds", "members", "member", "when", "result", "step", "outcome", "booked", "log", "release", "hosts", "number"])


def mixed(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(strategy, strategy, strategy, ANYTHING)


EVENTS = st.fixed_dictionaries(
    {
        "kind": st.just("event"),
        "at": NUMBERS,
        "step": WORDS,
        "member": NAMES,
        "outcome": OUTCOMES,
        "start": NUMBERS,
        "seconds": NUMBERS,
        "host": NAMES,
        "detail": ANYTHING,
    }
)
SEEN = st.fixed_dictionaries({"release": mixed(st.sampled_from(["v1", "v2"])), "serving": st.booleans(), "pid": NUMBERS, "balancers": ANYTHING})
LOOKS = st.fixed_dictionaries(
    {
        "kind": st.just("members"),
        "at": NUMBERS,
        "when": st.sampled_from(["before", "after"]),
        "members": mixed(st.dictionaries(NAMES, SEEN, max_size=3)),
        "maintenance": ANYTHING,
    }
)
POINTS = st.fixed_dictionaries(
    {"due": NUMBERS, "by_release": mixed(st.dictionaries(NAMES, NUMBERS, max_size=2)), "failed": ANYTHING, "p50": NUMBERS, "p95": NUMBERS}
)
SERIES = st.fixed_dictionaries({"start": NUMBERS, "width": NUMBERS, "points": mixed(st.lists(POINTS, max_size=5))})
PROBES = st.fixed_dictionaries(
    {
        "kind": st.just("probe"),
        "at": NUMBERS,
        "result": mixed(st.fixed_dictionaries({"began": NUMBERS, "ended": NUMBERS, "due": NUMBERS, "series": mixed(SERIES), "failures": ANYTHING})),
    }
)
OTHERS = st.builds(lambda kind, line: {**line, "kind": kind}, KINDS, st.dictionaries(KEYS, mixed(NUMBERS), max_size=6))
JOURNALS = st.lists(st.one_of(EVENTS, EVENTS, LOOKS, PROBES, OTHERS, ANYTHING), max_size=25)


@settings(max_examples=150, deadline=None)
@given(JOURNALS)
def test_no_journal_makes_it_raise_and_lanes_cover_the_run_without_a_gap_or_an_overlap(lines: list[Any]) -> None:
    found = of(lines)
    for row in found["members"]:
        edges = [found["began"]]
        for span in row["lane"]:
            assert span["start"] == edges[-1] < span["end"]
            assert span["state"] in _lanes.STATES
            edges.append(span["end"])
        assert edges[-1] == found["ended"]
    _page.page(found)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 80))
def test_a_journal_that_ends_anywhere_or_lacks_a_line_still_has_a_sentence(end: int, gone: int) -> None:
    lines = [line for number, line in enumerate(release(6, 2, fails=4, hooks=True)) if number != gone]
    found = of(lines[:end])
    assert found["sentence"].endswith(".")
    assert found["complete"] == any(line["kind"] == "verdict" for line in lines[:end])
