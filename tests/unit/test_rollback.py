"""Which release a rollback goes to, and why one is refused: decided by what the hosts told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Program
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _rollback, _runner

from tests.unit.test_history import failed, released, run


def host(lines: list[dict[str, Any]], live: str | None, *on_disk: str, lacking: tuple[str, ...] = (), marks: dict[str, str] | None = None) -> dict[str, Any]:
    """What a host of one slot answers."""
    places = {release: ["/srv/shop/blue"] if release in lacking else [] for release in on_disk}
    return {
        "past": dump(_history.past(lines)),
        "state": {"slots": {"blue": {"release": live, "current": live, "pid": 7 if live else 0}}},
        "releases": {
            release: {"staged": number, "marks": {"blue": (marks or {}).get(release, "good")}, "lacking": where}
            for number, (release, where) in enumerate(places.items())
        },
    }


def refusal(seen: dict[str, Any], wanted: str = "") -> str:
    with pytest.raises(Refusal) as refused:
        _rollback.choose(seen, wanted)
    return str(refused.value)


def test_it_goes_to_the_release_before() -> None:
    chosen = _rollback.choose({"app1": host(released("1", "2"), "2", "1", "2")})
    assert (chosen.release, chosen.why, chosen.settled) == ("1", "it was the last completed one before 2", False)


def test_it_goes_to_the_one_that_is_wanted_forward_again_too() -> None:
    lines = [*released("1", "2"), run("rolling back", "1"), run("rolled back", "1")]
    assert _rollback.choose({"app1": host(lines, "1", "1", "2")}, "2") == _rollback.Choice("2", "as bluegreen_rollback_to says", False)


def test_where_every_member_runs_it_and_the_hosts_remember_it_so_there_is_nothing_to_do() -> None:
    after_a_failure = host([*released("1", "2"), *failed("3", "2")], "2", "1", "2", "3")
    chosen = _rollback.choose({"app1": after_a_failure})
    assert (chosen.release, chosen.why, chosen.settled) == ("2", "3 came after it and was not completed", True)
    cut_off = host([*released("1", "2"), run("rolling back", "1")], "1", "1", "2")
    assert not _rollback.choose({"app1": cut_off}).settled, "the history does not say yet that it is over"
    dead = host(released("1"), None, "1")
    assert not _rollback.choose({"app1": dead}, "1").settled


def test_what_a_member_in_maintenance_runs_says_nothing_of_the_others() -> None:
    both = released("1", "2")
    seen = {"app1": host(both, "2", "1", "2"), "app2": host(both, "1", "1", "2")}
    assert _rollback.choose(seen).release == "2"
    assert _rollback.choose(seen, left_alone={"app2/blue"}).release == "1"
    assert _rollback.choose(seen, "2", {"app2/blue"}).settled


def test_an_unknown_release_is_refused_with_the_list_of_what_is_there() -> None:
    assert refusal({"app1": host(released("1", "2"), "2", "1", "2")}, "9") == (
        "release 9 is on none of the hosts of this run. Complete on these hosts, for bluegreen_rollback_to: 1, 2."
    )


def test_a_release_that_is_not_complete_everywhere_is_refused_with_the_places() -> None:
    seen = {"app1": host(released("1", "2"), "2", "1", "2"), "app2": host(released("1", "2"), "2", "1", "2", lacking=("1",))}
    told = "release 1 is not complete, so nobody goes back to it; it is missing on app2: /srv/shop/blue."
    assert refusal(seen, "1").startswith(told)
    assert refusal(seen).startswith(told), "the one that it would go to by itself, too"
    new = {"app1": host(released("1", "2"), "2", "1", "2"), "app2": host(released("2"), "2", "2")}
    assert refusal(new, "1").startswith("release 1 is not complete, so nobody goes back to it; it is missing on app2: any place.")


def test_a_release_that_was_never_good_is_refused() -> None:
    seen = {"app1": host([*released("1"), *failed("2", "1")], "1", "1", "2", marks={"2": "failed"})}
    assert refusal(seen, "2").startswith("release 2 failed in app1/blue; a rollback goes to one that was good.")
    staged = host(released("1"), "1", "1", "2")
    staged["releases"]["2"]["marks"] = {}
    assert refusal({"app1": staged}, "2").startswith("release 2 was never completed on app1; a rollback goes to one that was good.")


def test_a_host_that_lost_its_history_still_knows_by_its_marks_what_was_good() -> None:
    assert _rollback.choose({"app1": host([], "2", "1", "2")}, "1").release == "1"
    assert "none was ever completed on app1" in refusal({"app1": host([], "2", "1", "2")})


def test_a_host_with_no_release_says_so() -> None:
    assert refusal({"app1": host([], None)}) == (
        "there is no release to go back to: none was ever completed on app1. There is no complete release on these hosts that was ever completed."
    )


def test_a_rollback_that_fails_is_called_one() -> None:
    wish = Wish("shop", "app1", "/srv/shop", "1", (), (), Program(("true",)), rollback=True)
    done = _runner.Result(blocked="nginx on app1 does not run.", blocked_on="app1")
    assert _runner.message(done, [wish]).startswith("The rollback of shop to release 1 was not completed.\n")
    assert _runner.message(done, [replace(wish, rollback=False)]).startswith("Release 1 of shop was not completed.\n")
