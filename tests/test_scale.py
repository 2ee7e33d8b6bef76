"""What the bench says about growth: remote calls are counted, not timed."""

from __future__ import annotations

import pytest

from bench import scale

LOOKS_AND_CALLS = {
    "two slots a host, own nginx": (0.5, 0.5),
    "one slot a host, two balancers": (1.0, 3.0),
    "the same, ten at a time": (1.0, 1.2),
}


@pytest.mark.parametrize("kind", LOOKS_AND_CALLS)
def test_calls_and_looks_grow_with_the_members_and_no_faster(kind: str) -> None:
    found = scale.measure((20, 40, 80), kinds=[kind])[kind]
    looks, calls = LOOKS_AND_CALLS[kind]
    assert [row["calls"] - found[0]["calls"] for row in found] == [0, 20 * calls, 60 * calls]
    assert [row["looks"] - found[0]["looks"] for row in found] == [0, 20 * looks, 60 * looks]


def test_the_table_has_a_line_for_each_size_and_says_how_far_from_linear_it_is() -> None:
    row = {"members": 10, "hosts": 12, "seconds": 0.01, "simulation": 0.1, "memory": 1_000_000, "calls": 30, "looks": 12}
    lines = scale.table({"a fleet": [row, {**row, "members": 20, "seconds": 0.04, "memory": 2_000_000, "calls": 60}]})
    assert lines[-2].split() == ["10", "members", "on", "12", "hosts", "0.010", "1000", "µs", "1.00", "1.0", "MB", "1.00", "30", "3.000", "12"]
    assert lines[-1].split() == ["20", "members", "on", "12", "hosts", "0.040", "2000", "µs", "2.00", "2.0", "MB", "1.00", "60", "3.000", "12"]
