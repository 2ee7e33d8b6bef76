"""The history of a host as a stack of releases, and where a rollback goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history, _model, _release

_clock = iter(range(1, 10_000_000))


def run(event: str, release: str, token: int = 0, **more: Any) -> dict[str, Any]:
    now = next(_clock)
    return {"time": float(now), "event": event, "release": release, "by": "mia@laptop", "token": token or now, **more}


def slot(result: str, release: str, name: str = "blue") -> dict[str, Any]:
    return {"time": float(next(_clock)), "slot": name, "release": release, "result": result}


def released(*releases: str) -> list[dict[str, Any]]:
    return [line for release in releases for line in (slot("good", release), run("released", release))]


def rolled_back(release: str) -> list[dict[str, Any]]:
    return [run("rolling back", release), slot("good", release), run("rolled back", release)]


def failed(release: str, back_to: str = "") -> list[dict[str, Any]]:
    return [slot("failed", release), *([slot("put back", back_to)] if back_to else []), run("failed", release, why="status 500")]


def goes_to(lines: list[dict[str, Any]], *live: str | None) -> str | None:
    return _history.target({"app1": _history.past(lines)}, {f"app1/{number}": release for number, release in enumerate(live)}).release


def test_releases_stack_up_and_one_that_is_released_again_moves_to_the_end() -> None:
    assert _history.completed(released("1", "2", "3", "2")) == ("1", "3", "2")


def test_a_rollback_cuts_off_what_came_after() -> None:
    lines = [*released("1", "2", "3"), *rolled_back("2")]
    assert _history.completed(lines) == ("1", "2")
    assert _history.ever_completed(lines) == ("1", "3", "2")


def test_a_rollback_goes_to_the_release_before_and_a_second_one_further() -> None:
    lines = released("1", "2", "3")
    assert goes_to(lines, "3", "3") == "2"
    lines += rolled_back("2")
    assert goes_to(lines, "2", "2") == "1"
    lines += rolled_back("1")
    assert goes_to(lines, "1", "1") is None


def test_after_a_release_that_was_not_completed_it_goes_to_the_last_completed_one() -> None:
    assert goes_to([*released("1", "2"), *failed("3", "2")], "2", "2") == "2"
    assert goes_to([*released("1", "2"), slot("good", "3")], "3", "2") == "2", "the run was cut off"
    assert goes_to([*released("1", "2"), run("failed", "3")], "2", "2") == "2", "the run failed before any member"


def test_members_that_run_something_else_go_to_the_last_completed_one() -> None:
    assert goes_to(released("1", "2"), "2", "1") == "2"


def test_a_dead_member_does_not_keep_the_others_on_a_bad_release() -> None:
    assert goes_to(released("1", "2"), "2", None) == "1"


def test_a_failed_run_of_the_same_release_is_not_another_one() -> None:
    assert goes_to([*released("1", "2"), *failed("2")], "2", "2") == "1"


def test_a_rollback_that_was_cut_off_goes_on_to_where_it_went() -> None:
    lines = [*released("1", "2", "3"), run("rolling back", "1"), slot("good", "1")]
    assert goes_to(lines, "1", "3") == "1"
    assert goes_to([*lines, slot("put back", "3"), run("failed", "1")], "3", "3") == "1", "it failed, and is tried again"
    assert goes_to([*lines, *failed("4")], "3", "3") == "3", "somebody has tried another release since"
    assert goes_to([*lines, *released("4")], "4", "4") == "3"


def test_without_a_release_before_there_is_none_and_the_sentence_says_so() -> None:
    only = _history.target({"app1": _history.past(released("1"))}, {"app1/blue": "1"})
    assert only.release is None
    assert only.why == "there is no release to go back to: 1 is the only one that was completed on app1."
    none = _history.target({"app1": _history.past(failed("1"))}, {"app1/blue": "1"})
    assert (none.release, none.why) == (None, "there is no release to go back to: none was ever completed on app1.")


def fleet(app1: list[dict[str, Any]], app2: list[dict[str, Any]], *live: str) -> _history.Target:
    return _history.target({"app1": _history.past(app1), "app2": _history.past(app2)}, dict(zip(("app1/blue", "app2/blue"), live, strict=True)))


def test_of_hosts_that_differ_the_answer_is_what_all_of_them_had() -> None:
    both = released("1", "2")
    found = fleet(both, [*both, *released("3")], "2", "3")
    assert found == _history.Target("2", "app2 alone went on to 3")


def test_hosts_that_took_turns_go_to_what_they_last_had_in_common() -> None:
    both = released("1", "2")
    assert fleet(both, [*both, *released("1")], "2", "1").release == "2"
    again = [*both, *released("1")]
    assert fleet(again, [*both, *released("1")], "1", "1").release == "2", "both went to 1 after 2"


def test_a_host_without_the_release_is_named() -> None:
    found = fleet(released("1", "2"), released("3"), "2", "3")
    assert found.release is None
    assert found.why == "there is no release to go back to that was completed on all of these hosts: app1 has 1, 2; app2 has 3."


def test_a_clock_that_was_set_back_does_not_reorder_a_fleet() -> None:
    app1 = [run("released", "1", token=1), run("released", "2", token=2)]
    app2 = [run("released", "1", token=1), {**run("released", "2", token=2), "time": 0.5}]
    assert fleet(app1, app2, "2", "2").release == "1"


def test_a_torn_or_foreign_line_is_none_and_the_next_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_bytes(b'7\n[]\n{"time": "noon"}\n\xff\xfe\n{"time": 1, "event": "released", "release": 3}\n{"time": 1.5, "event": "rele')
    _release.remember(str(tmp_path), event="released", release="2")
    assert _history.completed(_history.read(str(tmp_path))) == ("2",)


def test_a_past_survives_json_and_reaches_fifty_releases_deep() -> None:
    found = _history.past([*released(*map(str, range(60))), run("rolling back", "58")])
    assert [release for release, _token, _time in found.stack] == list(map(str, range(10, 60)))
    assert _model.load(_history.Past, json.loads(json.dumps(_model.dump(found)))) == found


def test_a_run_that_came_between_the_choice_and_the_beginning_is_noticed(tmp_path: Path) -> None:
    root = str(tmp_path)
    _history.begin(root, 0, event="rolling back", release="1")
    with pytest.raises(_model.Refusal, match="another run has changed the service"):
        _history.begin(root, 0, event="rolling back", release="1")
    assert len(_history.read(root)) == 1
    _history.begin(root, 1, event="rolling back", release="1")


def test_a_host_without_a_history_has_no_lines(tmp_path: Path) -> None:
    assert _history.read(str(tmp_path)) == []


def test_a_line_in_words_says_when_what_and_by_whom() -> None:
    assert _history.words({**run("failed", "1.4.0", why="status 500\nits log"), "time": 0.0}).endswith("  failed 1.4.0, by mia@laptop: status 500")
    assert _history.words({**run("released", "1.4.0"), "commit": "0123456789abcdef", "time": 0.0}).endswith(
        "  released 1.4.0 (commit 0123456789), by mia@laptop"
    )
    assert _history.words({**slot("good", "1.4.0"), "time": 0.0}).endswith("  blue: good 1.4.0")
    assert _history.words({"job": "worker:queue", "result": "good", "release": "1.4.0", "time": 0.0}).endswith("  worker:queue: good 1.4.0")
