"""A slot's links on a real disk: current and previous are right over an interruption between any two renames."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _release
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from tests.drivers.test_stage import cut_off


@pytest.fixture
def slot(tmp_path: Path) -> _release.SlotPlace:
    """A slot with three staged releases, v1 in use."""
    place = _release.SlotPlace(str(tmp_path), "blue")
    (tmp_path / "blue" / ".launch").mkdir(parents=True)
    for release in ("v1", "v2", "v3"):
        add(place, release)
    place.point("v1")
    return place


def add(place: _release.SlotPlace, release: str) -> None:
    Path(place.release(release)).mkdir()
    Path(place.start_path(release)).write_text(f"start {release}\n")
    place.write_record(release, {"staged": 1})


def start(place: _release.SlotPlace, release: str) -> str:
    return Path(place.start_path(release)).read_text()


def test_pointing_names_the_release_and_the_one_before(slot: _release.SlotPlace) -> None:
    assert (slot.current, slot.previous) == ("v1", None)
    slot.point("v2")
    assert (slot.current, slot.previous) == ("v2", "v1")
    slot.point("v2")
    assert (slot.current, slot.previous) == ("v2", "v1")


def test_a_release_that_failed_here_is_never_the_previous_one(slot: _release.SlotPlace) -> None:
    slot.point("v2")
    slot.set_mark("v2", _release.FAILED)
    slot.point("v3")
    assert (slot.current, slot.previous) == ("v3", "v1")


def test_a_release_that_is_not_complete_is_not_pointed_to(slot: _release.SlotPlace) -> None:
    slot.forget_record("v2")
    with pytest.raises(Refusal, match="/blue/v2 is not a complete release; stage it first"):
        slot.point("v2")
    with pytest.raises(Refusal, match="not a complete release"):
        slot.point("v9")
    assert (slot.current, slot.previous) == ("v1", None)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_record_that_cannot_be_read_makes_no_release(slot: _release.SlotPlace, text: str) -> None:
    Path(slot.path, ".v2.json").write_text(text)
    assert slot.record("v2") == {}


def test_a_pointing_that_is_killed_at_any_rename_leaves_the_old_or_the_new_and_completes_by_doing_it_again(slot: _release.SlotPlace) -> None:
    kills = 0
    old = "v1"
    for number in range(10, 30):
        new = f"v{number}"
        add(slot, new)
        Path(slot.start_path(new, ".next-")).write_text(f"next {new}\n")
        before = slot.previous
        killed = cut_off(lambda new=new: slot.point(new), number - 9)
        assert slot.current in (old, new)
        assert slot.previous in ((before, old) if slot.current == old else (old,))
        if slot.current == new:
            assert start(slot, new) == f"next {new}\n", "current moves last: its start is in place"
        slot.point(new)
        assert (slot.current, slot.previous) == (new, old)
        assert start(slot, new) == f"next {new}\n" and not slot.pending(new)
        assert Path(slot.start_path(new, ".previous-")).read_text() == f"start {new}\n"
        kills += killed
        old = new
        if not killed:
            break
    assert not killed and kills >= 6, "there is an end, and it was cut off on the way"


def test_a_putting_back_that_is_killed_at_any_rename_completes_by_doing_it_again(slot: _release.SlotPlace) -> None:
    kills = 0
    for at in range(1, 10):
        Path(slot.start_path("v1")).write_text("start v1\n")
        Path(slot.start_path("v1", ".next-")).write_text("next v1\n")
        slot.point("v1")  # the release it has, with another start
        assert start(slot, "v1") == "next v1\n"
        killed = cut_off(lambda: slot.restore("v1"), at)
        assert start(slot, "v1") in ("next v1\n", "start v1\n")
        slot.restore("v1")
        slot.restore("v1")
        assert start(slot, "v1") == "start v1\n"
        assert slot.current == "v1"
        kills += killed
        if not killed:
            break
    assert not killed and kills >= 1


def test_a_release_that_is_good_keeps_no_other_start(slot: _release.SlotPlace) -> None:
    Path(slot.start_path("v1", ".next-")).write_text("next v1\n")
    slot.point("v1")
    slot.settle("v1", {})
    assert slot.mark("v1") == _release.GOOD
    slot.restore("v1")
    assert start(slot, "v1") == "next v1\n"


def test_marks_belong_to_the_slot_and_stay_with_the_record(slot: _release.SlotPlace) -> None:
    slot.set_mark("v2", _release.FAILED)
    assert slot.record("v2") == {"staged": 1, "mark": "failed"}
    slot.set_mark("v9", _release.FAILED)
    assert slot.mark("v9") is None and slot.record("v9") == {}
    assert slot.mark(None) is None


def test_the_history_is_one_line_an_event(tmp_path: Path) -> None:
    _release.remember(str(tmp_path), slot="blue", release="v1", result="good")
    _release.remember(str(tmp_path), slot="blue", release="v2", result="failed", why="größer\nals gedacht")
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["result"] for line in lines] == ["good", "failed"]
    _release.remember(f"{tmp_path}/none", slot="blue")  # a host that cannot write it still swaps
