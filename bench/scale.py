"""How planner and runner grow with the fleet: a release through simulated hosts, measured in time, memory and remote calls."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tools.bed import ROOT, collections_path

SIZES = (125, 250, 500, 1000)  # members
_ROUNDS = 3  # the fastest counts: the others had the processor for themselves less


@dataclass(frozen=True)
class Growth:
    """One fleet of ``members``: seconds and bytes that planner and runner took beyond the simulated hosts' own, and calls."""

    members: int
    hosts: int
    seconds: float
    simulation: float
    memory: int
    calls: int
    looks: int


def _fleets() -> Mapping[str, Callable[[int], Any]]:
    for path in (str(ROOT), str(collections_path())):
        if path not in sys.path:
            sys.path.insert(0, path)
    from tests.unit.simulation import fleet, one_slot, two_slots

    return {
        "two slots a host, own nginx": lambda members: fleet({f"app{number}": two_slots() for number in range(members // 2)}),
        "one slot a host, two balancers": lambda members: fleet({f"app{number}": one_slot() for number in range(members)}, ["lb1", "lb2"], local=False),
        "the same, ten at a time": lambda members: fleet(
            {f"app{number}": one_slot() for number in range(members)}, ["lb1", "lb2"], local=False, serial=("10",)
        ),
    }


class _Timed:
    """The simulated hosts, with a clock that tells their own time from the planner's and the runner's."""

    def __init__(self, there: Any) -> None:
        self._there = there
        self.seconds = 0.0
        self.together = there.together

    def observe(self, wish: Any) -> Any:
        return self._time(lambda: self._there.observe(wish))

    def walk(self, wish: Any, steps: Any) -> Any:
        return self._time(lambda: self._there.walk(wish, steps))

    def _time(self, job: Callable[[], Any]) -> Any:
        began = time.process_time()
        try:
            return job()
        finally:
            self.seconds += time.process_time() - began


def _swap(make: Callable[[int], Any], members: int, serial: Sequence[str]) -> tuple[Any, float, float]:
    """The fleet after a release, the processor's seconds for all of it, and the simulated hosts' share."""
    from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

    there = make(members)
    there.watching, there.width = False, members
    remote = _Timed(there)
    gc.collect()
    began = time.process_time()
    done = _runner.swap(there.wishes, remote, lambda _item: None, _runner.Policy(tuple(serial)))
    took = time.process_time() - began
    if not done.ok or done.reloads:
        raise RuntimeError(f"{members} members were not swapped as planned: {done.blocked or done.failures or done.lost}, {done.reloads} reloads")
    return there, took, remote.seconds


def grow(make: Callable[[int], Any], members: int, serial: Sequence[str] = ("1",)) -> Growth:
    """Measure one fleet: time and memory in runs of their own, because each disturbs the other."""
    found = [_swap(make, members, serial)[1:] for _ in range(_ROUNDS)]
    whole, hosts = min(found, key=lambda pair: pair[0] - pair[1])
    tracemalloc.start()
    try:
        there, _, _ = _swap(make, members, serial)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return Growth(members, len(there.hosts), whole - hosts, hosts, peak, there.calls, there.looks)


def measure(sizes: Sequence[int] = SIZES, kinds: Collection[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """For each kind of fleet (all of them, by default), each size."""
    chosen = {name: make for name, make in _fleets().items() if name in (kinds or _fleets())}
    return {name: [asdict(grow(make, size, ("10",) if "ten" in name else ("1",))) for size in sizes] for name, make in chosen.items()}


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """For the terminal; ``ratio`` is time or memory beside the smallest fleet's, a member: 1 is linear."""
    lines = ["planner and runner against simulated fleets (processor time without the simulated hosts' own)"]
    for name, rows in found.items():
        lines += ["", f"{name:<32}{'seconds':>9}{'a member':>11}{'ratio':>7}{'memory':>11}{'ratio':>7}{'calls':>7}{'a member':>10}{'looks':>7}"]
        first = rows[0]
        for row in rows:
            size = row["members"]
            times, sizes = (row[key] / size / (first[key] / first["members"]) for key in ("seconds", "memory"))
            cells = f"{row['seconds']:>9.3f}{row['seconds'] / size * 1e6:>8.0f} µs{times:>7.2f}{row['memory'] / 1e6:>8.1f} MB{sizes:>7.2f}"
            lines.append(f"  {size:>4} members on {row['hosts']:>4} hosts    {cells}{row['calls']:>7}{row['calls'] / size:>10.3f}{row['looks']:>7}")
    return lines


if __name__ == "__main__":
    print("\n".join(table(measure())))
