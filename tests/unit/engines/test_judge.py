"""How a service that is seen on an engine is judged, which replica is asked why, and where a rollback goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _judge
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._seen import Past, Replica, Seen

from tests.unit.engines.memory import SHOP, running, settled

BEFORE = settled("v1")
HALF = replace(settled("v2"), state="rolling", replicas=(*running("v1"), *running("v2", 1)))


def verdict(seen: Seen, waited: float = 1.0, asked: bool = True) -> tuple[str, str]:
    found = _judge.judge(SHOP, seen, BEFORE, waited, asked)
    return found.what, found.text


def test_it_is_done_when_the_engine_has_settled_and_all_are_healthy() -> None:
    assert verdict(settled("v2")) == ("done", "2 of 2 healthy on v2")


@pytest.mark.parametrize("state", ["paused", "stuck", "rolled_back", "absent", "foreign"])
def test_no_other_end_is_taken_for_a_good_one(state: str) -> None:
    assert verdict(replace(settled("v2"), state=state))[0] == "failed"


def test_settled_with_a_replica_that_is_not_healthy_is_not_done() -> None:
    ill = Replica("shop.v2.2", "v2", state="running")
    assert verdict(replace(settled("v2"), replicas=(*running("v2", 1), ill)))[0] == "waiting"


def test_the_former_release_is_waited_for_while_the_engine_has_not_shown_the_new_one_but_not_for_ever() -> None:
    assert verdict(BEFORE, 1)[0] == "waiting"
    assert verdict(BEFORE, 6)[0] == "failed"


def test_what_somebody_else_asks_for_is_no_business_of_this_run() -> None:
    found = _judge.judge(SHOP, settled("v9"), BEFORE, 1.0)
    assert (found.what, found.ours) == ("failed", False)


def test_progress_says_how_far_it_is_and_what_the_first_problem_is() -> None:
    ill = replace(HALF, replicas=(*HALF.replicas, Replica("shop.v2.9", "v2", problem="no such image"), Replica("shop.v2.8", "v2")))
    assert _judge.progress(SHOP, ill) == "1 of 2 healthy on v2, 1 starting, 2 still on v1; no such image"


def test_a_way_back_of_the_engine_itself_is_waited_for() -> None:
    assert verdict(replace(BEFORE, state="rolling_back", message="update failed"))[0] == "waiting"


def test_the_replica_that_is_asked_why_is_one_of_this_release_with_a_problem_as_seen_last() -> None:
    first, last = Replica("a", "v2", problem="starting"), Replica("b", "v2", problem="exit status 1")
    looks = [replace(HALF, replicas=(first,)), replace(HALF, replicas=(Replica("c", "v1", problem="old"), last)), replace(HALF, replicas=())]
    assert _judge.culprit("v2", *looks) == last
    assert _judge.culprit("v3", *looks) is None


def test_back_means_all_of_the_release_before_serves() -> None:
    assert _judge.is_back(BEFORE, replace(BEFORE, state="rolled_back"))
    assert not _judge.is_back(BEFORE, replace(BEFORE, state="rolled_back", replicas=running("v1", 1)))
    assert not _judge.is_back(BEFORE, replace(HALF, release="v1"))


def history(*entries: tuple[str, str]) -> Seen:
    return replace(settled("v4"), past=tuple(Past(release, f"shop:{release}", outcome=outcome) for release, outcome in entries))


def test_a_rollback_goes_to_the_last_good_release_before_this_one() -> None:
    past, why = _judge.way_back(history(("v4", "good"), ("v3", "failed"), ("v2", "good"), ("v1", "good")), "")
    assert past and (past.release, why) == ("v2", "it is the last one that ended well before v4")


def test_a_rollback_goes_where_it_is_told_to_if_the_engine_knows_it() -> None:
    seen = history(("v4", "good"), ("v3", "failed"))
    assert _judge.way_back(seen, "v3")[0] == seen.past[1]
    assert _judge.way_back(seen, "v0") == (None, "bluegreen_rollback_to is v0, which the engine does not know (any more); it knows v3.")


def test_without_a_good_one_it_says_what_there_is() -> None:
    past, why = _judge.way_back(history(("v4", "good"), ("v3", "failed")), "")
    assert past is None and "the engine knows v3, and none of them ended well" in why


def test_after_a_rollback_the_next_one_stays_where_it_is_and_a_new_release_goes_back_to_a_good_one() -> None:
    back = replace(history(("v2", "left"), ("v1", "returned"), ("v0", "good")), release="v1")
    assert _judge.way_back(back, "")[0] == back.past[1]
    assert _judge.way_back(back, "v0")[0] == back.past[2]
    onward = history(("v4", "good"), ("v2", "left"), ("v1", "returned"))
    assert _judge.way_back(onward, "")[0] == onward.past[2], "what was left is nothing to go back to"


def test_a_second_rollback_stays_where_the_first_one_went() -> None:
    seen = replace(
        settled("v1"), past=(Past("v1", "shop:v1", outcome="returned"), Past("v2", "shop:v2", outcome="left"), Past("v0", "shop:v0", outcome="good"))
    )
    past, why = _judge.way_back(seen, "")
    assert past == seen.past[0] and "bluegreen_rollback_to goes further" in why


def test_what_a_rollback_has_left_is_not_gone_to() -> None:
    past, _why = _judge.way_back(history(("v4", "good"), ("v3", "left"), ("v2", "good")), "")
    assert past and past.release == "v2"
