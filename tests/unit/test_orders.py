"""Orders: what a person tells the run that has the lock. They reach that run, once, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _fence, _lock, _orders
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, dump

from tests.unit.test_lock import ANNA, BERT, Clock, module, wish


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    yield
    _fence.leave()


def test_the_run_that_has_the_lock_hears_an_order_with_who_gave_it_and_why(folder: str, clock: Clock) -> None:
    lease = _lock.acquire(folder, ANNA, "release v2", 60, clock=clock)
    assert _orders.heard(folder, lease.token) is None
    assert _orders.give(folder, "abort", BERT, " old\nprices ", clock=clock) == lease
    assert _orders.heard(folder, lease.token) == _orders.Order(lease.token, "abort", BERT, clock.now, "old prices")
    assert (Path(folder) / "order.json").stat().st_mode & 0o777 == 0o600


def test_another_run_does_not_hear_it(folder: str, clock: Clock) -> None:
    lease = _lock.acquire(folder, ANNA, "release v2", 60, clock=clock)
    _orders.give(folder, "promote", BERT, "", clock=clock)
    clock.now += 61
    late = _lock.acquire(folder, BERT, "release v3", 60, clock=clock)
    assert late.token > lease.token
    assert _orders.heard(folder, late.token) is None


def test_where_no_run_is_at_work_there_is_nobody_to_tell(folder: str, clock: Clock) -> None:
    assert _orders.give(folder, "promote", BERT, "", clock=clock) is None
    _lock.acquire(folder, ANNA, "release v2", 60, clock=clock)
    clock.now += 61
    assert _orders.give(folder, "abort", BERT, "too late", clock=clock) is None
    assert not (Path(folder) / "order.json").exists()


def test_the_last_order_is_the_one_that_counts_and_obeying_an_earlier_one_does_not_take_it_away(folder: str, clock: Clock) -> None:
    lease = _lock.acquire(folder, ANNA, "release v2", 60, clock=clock)
    _orders.give(folder, "promote", BERT, "", "all", clock=clock)
    first = _orders.heard(folder, lease.token)
    assert first and first.to == "all"
    clock.now += 1
    _orders.give(folder, "abort", BERT, "no, stop", clock=clock)
    _orders.obeyed(folder, lease.token, first.at)
    last = _orders.heard(folder, lease.token)
    assert last and last.order == "abort"
    _orders.obeyed(folder, lease.token + 1, last.at)
    assert _orders.heard(folder, lease.token) == last, "another run's is not ours to take away"
    _orders.obeyed(folder, lease.token, last.at)
    assert _orders.heard(folder, lease.token) is None
    assert sorted(path.name for path in Path(folder).iterdir()) == [".lease.lock", "lease.json"]


def test_an_abort_needs_a_reason(folder: str, clock: Clock) -> None:
    _lock.acquire(folder, ANNA, "release v2", 60, clock=clock)
    with pytest.raises(Refusal, match="needs a reason"):
        _orders.give(folder, "abort", BERT, " \n ", clock=clock)


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "5", '{"token": 1}', '{"token": 1, "order": "dance", "by": {}, "at": 1}', '{"token": 1, "order": "abort", "by": "me", "at": 1}',
     '{"token": 1, "order": "promote", "by": {}, "at": 1, "to": "the moon"}', '{"token": 1, "order": "promote", "by": {}, "at": 1, "reason": 5}'],
)  # fmt: skip
def test_what_is_no_order_is_none(folder: str, text: str) -> None:
    (Path(folder) / "order.json").write_text(text)
    assert _orders.heard(folder, 1) is None


def test_the_module_gives_an_order_the_run_hears_it_with_its_sign_of_life_and_obeys_it_once(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"wish": dump(wish(tmp_path))}
    token = module({**arguments, "reason": "release v2", "owner": ANNA})["lease"]["token"]
    assert module({**arguments, "state": "extended", "token": token})["order"] == {}

    told = module({**arguments, "state": "ordered", "order": "promote", "to": "all", "owner": BERT, "reason": "fine"})
    assert told["changed"]
    assert told["held_by"].startswith("anna@desk (pid 1), release v2, since ")
    order = module({**arguments, "state": "extended", "token": token})["order"]
    assert {name: order[name] for name in ("order", "to", "by", "reason")} == {"order": "promote", "to": "all", "by": BERT, "reason": "fine"}
    assert module({**arguments, "state": "seen"})["order"] == order

    module({**arguments, "state": "obeyed", "token": token, "at": order["at"]})
    assert module({**arguments, "state": "seen"})["order"] == {}


def test_an_order_that_came_too_late_goes_with_the_lock(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"wish": dump(wish(tmp_path))}
    token = module({**arguments, "reason": "release v2", "owner": ANNA})["lease"]["token"]
    module({**arguments, "state": "ordered", "order": "promote", "owner": BERT})
    module({**arguments, "state": "released", "token": token})
    assert not list(tmp_path.rglob("order.json"))


def test_without_a_run_or_without_an_order_the_module_changes_nothing(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"wish": dump(wish(tmp_path)), "state": "ordered", "owner": BERT}
    nobody = module({**arguments, "order": "promote"})
    assert (nobody["changed"], nobody["held_by"]) == (False, "")
    assert "an order is needed: promote or abort" in module(arguments)["msg"]
    module({**arguments, "state": "held", "owner": ANNA})
    checked = module({**arguments, "order": "abort"}, check=True)
    assert checked["changed"] and checked["held_by"].startswith("anna@desk"), "check mode says who would be told"
    assert "ending a canary needs a reason" in module({**arguments, "order": "abort"})["msg"]
    assert not list(tmp_path.rglob("order.json"))
