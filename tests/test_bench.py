"""The bench's arithmetic on canned samples. Nothing is timed here."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import line, staging
from bench.figures import FIRST_TASK, WAYS, Sample, comparison, ours_sample, report, stock_sample, summary, table, task_seconds, verdict
from bench.fleet import hosts
from bench.fleet_figures import PHASES, Rolling, balancers_table, growth, is_cheap, is_short_of_words, our_rolling, phases, stock_rolling
from bench.fleet_figures import comparison as comparison_of_fleets

BOOT = 0.5
SAMPLES = {
    "stock": [Sample(4.5, 6.5, 12.0, 4), Sample(8.5, 9.0, 20.0, 4), Sample(4.0, 6.0, 11.0, 4)],
    "ours": [Sample(0.9, 0.9, 6.0), Sample(1.0, 1.0, 7.0), Sample(5.0, 5.0, 30.0)],
    "ours_default": [Sample(1.5, 1.5, 8.0)] * 3,
    "script": [Sample(0.75, 0.75, 1.0)] * 3,
}


def test_a_task_lasts_until_the_next_one_begins_and_the_last_one_until_the_end() -> None:
    timeline = {"tasks": [["a", 10.0], ["b", 10.5], ["c", 12.5]], "end": 13.0}

    assert task_seconds(timeline) == [("a", 0.5), ("b", 2.0), ("c", 0.5)]


def test_a_stock_slot_is_the_sum_of_its_tasks_and_what_comes_before_the_first_belongs_to_none() -> None:
    timeline = {
        "tasks": [["Swap slot", 0.0], [FIRST_TASK, 1.0], ["Stop program", 3.0], [FIRST_TASK, 6.0], ["Stop program", 7.0], ["Stop program", 7.5]],
        "end": 9.0,
    }

    sample = stock_sample(timeline, release=10.0)

    assert sample == Sample(slot=3.0, first_slot=5.0, release=10.0, tasks={FIRST_TASK: 1.0, "Stop program": 2.0})


def test_a_stock_run_that_did_not_walk_two_slots_is_no_sample() -> None:
    with pytest.raises(ValueError, match="walked 1 slots, not 2"):
        stock_sample({"tasks": [[FIRST_TASK, 1.0]], "end": 2.0}, release=3.0)


def _event(member: str, step: str, seconds: float) -> dict[str, Any]:
    return {"member": member, "step": step, "seconds": seconds}


def _timeline(events: list[dict[str, Any]], reloads: int = 0) -> dict[str, Any]:
    swap = {"walks": {"shop0": 1.0}, "events": events, "reloads": reloads}
    return {"tasks": [["Take the lock", 0.0], ["Swap", 1.0], ["Take the lock", 3.0]], "end": 3.5, "swap": swap}


def test_a_slot_of_ours_bears_half_of_the_one_call_in_which_both_travel() -> None:
    events = [_event("shop0/blue", "drain", 0.1), _event("shop0/green", "drain", 0.2), _event("shop0/green", "check", 0.3), _event("shop0/green", "check", 0.1)]

    sample = ours_sample(_timeline(events, reloads=1), release=4.0)

    assert (sample.slot, sample.first_slot, sample.release, sample.reloads) == (0.5, 0.5, 4.0, 1)
    assert sample.tasks == {"Take the lock": 1.5, "Swap": 2.0}
    assert sample.steps == {"drain": 0.2, "check": pytest.approx(0.4)}


def test_a_run_of_ours_that_swapped_one_slot_is_no_sample() -> None:
    with pytest.raises(ValueError, match="walked 1 slots on 1 hosts"):
        ours_sample(_timeline([_event("shop0/blue", "check", 0.1)]), release=4.0)


def test_a_summary_has_medians_without_the_boot_and_counts_every_reload() -> None:
    found = summary(SAMPLES["stock"], BOOT)

    assert (found["slot"], found["slot_with_boot"], found["first_slot"], found["release"], found["reloads"]) == (4.0, 4.5, 6.0, 12.0, 12)


def test_a_task_that_not_every_round_had_has_the_median_of_those_that_did() -> None:
    samples = [replace(SAMPLES["ours"][0], tasks=tasks) for tasks in ({"a": 1.0}, {"a": 3.0, "b": 7.0}, {"a": 2.0})]

    assert summary(samples, 0.0)["tasks"] == {"a": 2.0, "b": 7.0}


def test_the_ratios_are_those_of_the_medians_and_the_boot_is_taken_off_both_sides() -> None:
    found = comparison(SAMPLES, BOOT)

    assert found["ratio"] == (1.0 - 0.5) / (4.5 - 0.5)
    assert found["ratio_release"] == pytest.approx(7 / 12, abs=1e-4)
    assert found["ratio_script"] == 2.0


def test_an_eighth_without_a_reload_reaches_it() -> None:
    assert comparison(SAMPLES, BOOT)["reached"] == {"slot": True, "release": True}


@pytest.mark.parametrize(
    ("way", "sample", "reached"),
    [
        ("ours", Sample(1.1, 1.1, 7.0), {"slot": False, "release": True}),  # slower than an eighth
        ("ours", Sample(1.0, 1.0, 12.1), {"slot": True, "release": False}),  # slower than the stock playbook
        ("ours", Sample(1.0, 1.0, 7.0, 1), {"slot": False, "release": True}),  # one reload
        ("ours_default", Sample(1.5, 1.5, 8.0, 1), {"slot": False, "release": True}),  # one, with our own defaults
    ],
)
def test_what_is_too_slow_or_reloads_does_not_reach_it(way: str, sample: Sample, reached: dict[str, bool]) -> None:
    found = comparison({**SAMPLES, way: [sample] * 3}, BOOT)

    assert found["reached"] == reached


def _report() -> dict[str, Any]:
    slower = {way: [replace(sample, slot=sample.slot * 2) for sample in samples] for way, samples in SAMPLES.items()}
    return report({"ssh": SAMPLES, "local": slower}, [0.4, 0.5, 0.9], [0.0, 0.0, 0.0], {"nginx": "1.22.1"})


def test_a_report_has_ssh_at_the_top_and_all_samples_below() -> None:
    found = _report()

    assert (found["ours"]["slot"], found["local"]["ours"]["slot"]) == (0.5, 1.5)
    assert found["ratio"] == found["ours"]["slot"] / found["stock"]["slot"]
    assert found["app"] == {"boot": 0.5, "drain": 0.0}
    assert (found["rounds"], found["reloads"], found["versions"]) == (3, 0, {"nginx": "1.22.1"})
    assert {connection: {way: len(rows) for way, rows in ways.items()} for connection, ways in found["samples"].items()} == {
        connection: dict.fromkeys(WAYS, 3) for connection in ("ssh", "local")
    }


def test_the_table_has_a_line_for_each_way_and_connection_and_a_verdict() -> None:
    lines = table(_report())

    assert sum(line.startswith("stock playbook ") for line in lines) == 2
    assert sum(line.startswith("ours, 1 health check ") for line in lines) == 2
    assert [line.partition(":")[0] for line in lines[-2:]] == ["reached", "reached"]


def test_a_missed_reach_is_said_in_words() -> None:
    found = _report()
    found["reached"]["slot"] = False

    assert verdict(found)[0].startswith("MISSED: a slot over ssh costs 0.125 of the stock playbook's")


def _walk(checks: list[float], calls: int, seconds: float = 4.0) -> dict[str, Any]:
    events = [{**_event(f"app{number}/main", "check", 0.1), "start": start} for number, start in enumerate(checks)]
    swap = {"walks": {}, "events": events, "reloads": 0, "calls": calls, "seconds": seconds}
    return {"tasks": [["Take the lock", 0.0], ["Swap the release in", 1.0], ["Release the lock", 7.0]], "end": 7.5, "swap": swap}


def test_a_further_member_of_ours_lasts_from_one_health_check_to_the_next() -> None:
    sample = our_rolling(_walk([10.0, 11.0, 12.5, 13.0], calls=9), members=4, release=9.0)

    assert sample == Rolling(member=1.0, share=1.5, release=9.0, calls=9)


def test_a_further_member_of_the_stock_playbook_is_one_behind_the_first() -> None:
    starts = [["Swap slot", 0.0], [FIRST_TASK, 1.0], ["Stop program", 3.0], [FIRST_TASK, 8.0], ["Stop program", 9.0], [FIRST_TASK, 11.0]]

    sample = stock_rolling({"tasks": starts, "end": 15.0}, members=3, release=16.0)

    assert sample == Rolling(member=3.5, share=pytest.approx(14 / 3), release=16.0)


@pytest.mark.parametrize("rolling", [lambda: our_rolling(_walk([1.0], calls=2), 2, 3.0), lambda: stock_rolling({"tasks": [], "end": 1.0}, 2, 3.0)])
def test_a_run_that_did_not_walk_every_member_is_no_sample(rolling: Any) -> None:
    with pytest.raises(ValueError, match="members, not 2"):
        rolling()


def test_the_seconds_of_a_release_are_told_by_phase() -> None:
    found = phases(_walk([1.0], calls=2), PHASES)

    assert found == {"preflight": 0, "lock": 1.0, "stage": 0, "swap": 6.0, "unlock": 0.5, "rest": 0}


def _case(ours: Rolling, balancers: int = 1) -> dict[str, Any]:
    stock = Rolling(4.5, 5.0, 20.0, reloads=4)
    return {**comparison_of_fleets({"stock": [stock], "ours": [ours]}, BOOT), "members": 3, "balancers": balancers}


@pytest.mark.parametrize(
    ("ours", "cheap", "few"),
    [
        (Rolling(1.3, 2.0, 9.0, calls=7), True, True),  # a fifth, without the boot; two calls a member and one at the end
        (Rolling(1.4, 2.0, 9.0, calls=7), False, True),  # dearer than a fifth
        (Rolling(1.0, 2.0, 9.0, calls=7, reloads=1), False, True),  # one reload
        (Rolling(1.0, 2.0, 9.0, calls=8), True, False),  # one call too many
    ],
)
def test_a_member_behind_separate_balancers_is_to_cost_a_fifth_and_few_calls(ours: Rolling, cheap: bool, few: bool) -> None:
    cases = {"1 balancer, 1 slot": _case(ours)}

    lines = balancers_table(cases, BOOT, rounds=1)

    assert [line.partition(":")[0] for line in lines[-2:]] == ["reached" if good else "MISSED" for good in (cheap, few)]
    assert (is_cheap(cases), is_short_of_words(cases)) == (cheap, few)


def test_growth_is_told_by_the_host_and_by_what_is_there_once() -> None:
    assert growth([5, 20], [3.0, 10.5]) == (0.5, 0.5)


@pytest.mark.full
def test_each_part_that_needs_no_stock_playbook_runs_in_a_tiny_size() -> None:
    """community.general, which the stock playbook needs, is in an environment that only the bench itself makes."""
    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bgb-") as folder:  # a short path: there are sockets in it
        found, lines, reached = hosts(Path(folder), Path(sys.executable).parent / "ansible-playbook", 1, said.append, sizes=(2,), staged=2, files=3)

    assert found["releases"][2][0]["calls"] == 2 * 2 + 1  # two a member and one at the end
    assert found["staged"]["phases"]["stage"] > 0
    assert any(line.startswith("2 hosts at once") for line in lines)
    assert reached


def test_what_the_call_of_any_module_takes_is_told_beside_the_ratio_of_two_stagings() -> None:
    kinds = {"first": [{"stage": 12.0, "ping": 0.5}, {"stage": 90.0, "ping": 9.0}, {"stage": 11.0, "ping": 0.5}], "next": [{"stage": 3.0, "ping": 0.5}] * 3}
    found, lines, _ = staging.report({"loopback": kinds, "10 Mbit/s": kinds}, 3000, 20_000_000, 3)

    assert found["lines"]["10 Mbit/s"] == {"first": 12.0, "next": 3.0, "ratio": 4.0, "call": 0.5, "own ratio": 4.6}
    assert lines[-1].split() == ["10", "Mbit/s", "12.00", "3.00", "4.0", "0.50", "4.6"]


def test_the_slow_line_is_as_slow_as_it_says() -> None:
    pieces = iter([b"x" * 5000, b"y" * 5000, b""])
    there: list[bytes] = []
    began = time.monotonic()
    line.relay(lambda _size: next(pieces), there.append, bits=400_000)

    assert time.monotonic() - began >= 0.2
    assert b"".join(there) == b"x" * 5000 + b"y" * 5000
