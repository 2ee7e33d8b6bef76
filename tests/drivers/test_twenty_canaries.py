"""Twenty canaries of each kind, on real nginx and supervisord under load: what is worse is found by the figures, what is as good goes all the way."""

from __future__ import annotations

import time

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary_rules import Weight

from tests.conftest import Counts
from tests.drivers.shop import Shop, words
from tests.drivers.test_flip import canary, judged, shop  # noqa: F401  # the fixtures

TIMES = 20
STEPS = (Weight(20.0, 1.0, 400),)  # by answers, not by time: so many of the canary's say as much on a slow machine as on a quick one
STABLE = {"TAKES": "0.04", "ERRORS": "0.002"}


@pytest.mark.full
@pytest.mark.parametrize(
    ("kind", "changes", "worse"), [("as good", {}, False), ("with 5 % errors", {"ERRORS": "0.05"}, True), ("twice as slow", {"TAKES": "0.08"}, True)]
)
def test_twenty_canaries_are_judged_right(canary: Shop, counts: Counts, kind: str, changes: dict[str, str], worse: bool) -> None:  # noqa: F811  # a fixture of that name
    canary.released(**STABLE)
    found, requests, began = [], 0, time.monotonic()
    for number in range(TIMES):
        done, load = judged(canary, f"r{number}", STEPS, clients=12, **{**STABLE, **changes})
        requests += load.total
        assert done.ok or done.failures[0].step == "judge", words(done, canary)
        found.append(not done.ok)
        counts.add(f"canaries {kind}, {'judged right' if found[-1] == worse else 'JUDGED WRONG'}")
        print(kind, "taken back" if found[-1] else "through", done.failures[0].seen if found[-1] else "")
    print(
        f"{TIMES} canaries {kind}: {found.count(worse)} judged right, {found.count(not worse)} wrong; {requests} requests in {time.monotonic() - began:.0f} s"
    )
    assert found == [worse] * TIMES
