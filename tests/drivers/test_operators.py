"""Two operators at the same balancer at the same moment, in processes of their own: what serves is never too little."""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _steps
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step, Wish

from tests.conftest import Counts
from tests.drivers.conftest import MakeFleet
from tests.drivers.fleet import Fleet, workers
from tests.drivers.shop import Load
from tools.bed import wait_until

_PATIENCE = 60.0  # seconds for a round, on a busy machine
_SPAWN = multiprocessing.get_context("spawn")  # the two have nothing in common but the balancer

Round = Callable[[], dict[str, str]]


def operate(wish: Wish, member: str, together: Barrier, told: Any) -> None:
    """An operator: takes the member out at the moment at which the other one takes out another, again and again."""
    with contextlib.suppress(threading.BrokenBarrierError):  # the test is over
        while True:
            together.wait(_PATIENCE)
            failure = _steps.run(wish, None, [Step("switch", wish.host, (member,))]).failure
            told.put((member, failure.seen if failure else ""))


@contextlib.contextmanager
def operators(fleet: Fleet, *slots: str) -> Iterator[Round]:
    """A call lets them all act at once; it returns what each was refused for, '' if it was not."""
    together, told = _SPAWN.Barrier(len(slots) + 1), _SPAWN.Queue()
    people = [_SPAWN.Process(target=operate, args=(fleet.lb.wish, fleet.member(slot).id, together, told), daemon=True) for slot in slots]

    def act() -> dict[str, str]:
        together.wait(_PATIENCE)
        return dict(told.get(timeout=_PATIENCE) for _ in slots)

    for person in people:
        person.start()
    try:
        yield act
    finally:
        together.abort()
        for person in people:
            person.join(10)
            person.kill()


# With a third member that is dead, as many would be left in the pool as must be: they are asked, and the dead one does not count.
@pytest.mark.parametrize(
    ("slots", "rounds", "refusal"),
    [
        ("blue green", 40, "0 would serve"),
        ("blue green red", 10, "app3/red would have to serve"),
        pytest.param("blue green", 200, "0 would serve", marks=pytest.mark.full),
        pytest.param("blue green red", 50, "app3/red would have to serve", marks=pytest.mark.full),
    ],
)
def test_of_two_who_take_out_the_last_two_at_the_same_moment_exactly_one_is_refused(
    fleet_of: MakeFleet, counts: Counts, slots: str, rounds: int, refusal: str
) -> None:
    fleet = fleet_of(slots, min_serving=1).declare()
    before = workers(fleet)
    everybody = slots.split()
    with fleet.answering("blue", "green"), operators(fleet, "blue", "green") as act, Load(fleet.lb.port, clients=1) as load:
        wait_until(lambda: load.total > 20, what="the load")
        for number in range(rounds):
            said = act()
            serving = fleet.lb.serving() - {"red"}
            refused = {member.partition("/")[2]: why for member, why in said.items() if why}
            assert len(serving) == len(refused) == 1, f"round {number}: {serving} serve, {said}"
            assert serving == set(refused), "the one that could not be taken out"
            assert refusal in "".join(refused.values())
            fleet.lb.serve(*everybody)
    counts.add("moments at which two operators took out the last two members", rounds)
    assert load.failed == [], "there was always one to answer"
    assert workers(fleet) == before, "nginx was reloaded"
