"""Which releases go: after any mix of good and failed releases, prepared ones and rollbacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history, _retention
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_history import failed, released, rolled_back, slot


def gone(staged: dict[str, float | None], lines: list[dict[str, Any]], keep: int, *needed: str) -> tuple[str, ...]:
    tried = frozenset(line["release"] for line in lines)
    return _retention.superfluous(staged, _history.ever_completed(lines), tried, keep, frozenset(needed))


def on_disk(*names: str) -> dict[str, float | None]:
    """Complete releases, staged one after the other."""
    return {name: float(number) for number, name in enumerate(names, 1)}


def test_the_oldest_successful_ones_go_and_as_many_as_wished_stay() -> None:
    assert gone(on_disk("1", "2", "3", "4"), released("1", "2", "3", "4"), 2, "4", "3") == ("1", "2")


def test_a_failed_one_goes_first_and_does_not_count() -> None:
    lines = [*released("1"), *failed("2", "1"), *released("3")]
    assert gone(on_disk("1", "2", "3"), lines, 2, "3", "1") == ("2",)
    assert gone(on_disk("1", "2", "3"), lines, 1, "3") == ("2", "1")


def test_what_is_needed_stays_however_old() -> None:
    assert gone(on_disk("1", "2", "3", "4"), released("1", "2", "3", "4"), 1, "4", "1") == ("2", "3")


def test_a_release_that_was_released_again_is_young() -> None:
    assert gone(on_disk("1", "2", "3"), released("1", "2", "3", "1"), 2, "1") == ("2",)


def test_a_failed_one_that_came_through_later_counts() -> None:
    assert gone(on_disk("1", "2"), [*released("1"), *failed("2", "1"), *released("2")], 2, "2", "1") == ()


def test_one_that_was_prepared_stays_until_it_is_older_than_all_that_stay() -> None:
    lines = released("1", "3")
    assert gone(on_disk("1", "2", "3"), lines, 2, "3", "1") == ()
    assert gone(on_disk("1", "2", "3", "4"), [*lines, *released("4")], 2, "4", "3") == ("2", "1")


def test_what_a_cut_off_removal_left_goes_and_does_not_count() -> None:
    assert gone({**on_disk("1", "2", "3"), "1": None}, released("1", "2", "3"), 2, "3", "2") == ("1",)


def test_what_one_left_of_the_release_in_use_stays() -> None:
    assert gone({"1": None}, released("1"), 1, "1") == ()


@dataclass
class Host:
    """A host of one slot, as far as its disk and history go."""

    keep: int
    staged: dict[str, float | None] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    current: str = ""
    previous: str = ""
    clock: int = 0

    def stage(self, release: str) -> None:
        self.clock += 1
        self.staged.setdefault(release, float(self.clock))

    def do(self, what: str, release: str) -> None:
        if what == "roll back":
            target = self.target()
            if target and target in self.staged:
                self.lines += rolled_back(target)
                self.point(target)
                self.finish()
            return
        self.stage(release)
        if what == "fail":
            self.lines += failed(release, self.current)
        elif what == "cut off":
            self.lines.append(slot("good", release))
            self.point(release)
        elif what == "release":
            self.lines += released(release)
            self.point(release)
            self.finish()

    def point(self, release: str) -> None:
        if release != self.current:
            self.current, self.previous = release, self.current

    def target(self) -> str | None:
        return _history.target({"app1": _history.past(self.lines)}, {"app1/blue": self.current or None}).release

    def needed(self) -> set[str]:
        return {name for name in (self.current, self.previous, self.target()) if name}

    def finish(self) -> None:
        """What the end of a run does, held against what it may do."""
        before, needed, good = dict(self.staged), self.needed(), _history.ever_completed(self.lines)
        removed = gone(self.staged, self.lines, self.keep, *needed)
        for name in removed:
            del self.staged[name]
        assert len(set(removed)) == len(removed) and before.keys() >= set(removed)
        assert not needed & set(removed), "what runs, was before, or is gone back to"
        there = [name for name in good if name in before]
        assert [name for name in good if name in self.staged][-self.keep :] == there[-self.keep :], "the newest successful ones stay"
        beyond = [name for name in self.staged if name in good and name not in there[-self.keep :] and name not in needed]
        assert beyond == [], "no older successful one stays"
        tried = {line["release"] for line in self.lines}
        assert [name for name in self.staged if name in tried and name not in good and name not in needed] == [], "no failed one stays"
        assert gone(self.staged, self.lines, self.keep, *needed) == (), "a second time there is nothing to do"


@given(
    keep=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(["release", "release", "fail", "cut off", "prepare", "roll back"]), st.sampled_from("abcdefgh")), max_size=25),
)
def test_after_any_mix_what_is_needed_stays_and_the_rest_goes(keep: int, steps: list[tuple[str, str]]) -> None:
    host = Host(keep)
    for what, release in steps:
        host.do(what, release)
