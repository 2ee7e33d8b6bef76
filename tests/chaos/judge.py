"""Which failed requests the fault itself excuses; every other one is ours. Pure.

Excused is what met the damage: a request that was under way at some moment of it, and that was answered by a process
that the fault killed, or sent by nginx to a member that it cut off, or asked of an entry host whose own nginx it hit.
The number is bounded as well: by the clients, and by how often each may have tried again while it lasted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from .record import Record


@dataclass(frozen=True)
class Damage:
    """What a fault did, from ``began`` to ``ended`` (``time.monotonic()``, ended: healed and seen to answer again)."""

    host: str = ""
    began: float = math.inf
    ended: float = -math.inf
    pids: frozenset[int] = frozenset()  # the application's processes that it killed
    members: frozenset[str] = frozenset()  # address:port of the members it cut off, as any balancer knows them
    entry: bool = False  # whether the host's own nginx could not be asked, or had nobody to ask

    @property
    def seconds(self) -> float:
        return max(0.0, self.ended - self.began)


@dataclass(frozen=True)
class Verdict:
    """``lost`` are the failed requests that nothing excuses, ``wrong`` the answers that nobody should have got."""

    requests: int
    lost: list[Record] = field(default_factory=list)
    excused: list[Record] = field(default_factory=list)
    wrong: list[Record] = field(default_factory=list)
    bound: int = 0

    @property
    def good(self) -> bool:
        return not self.lost and not self.wrong and len(self.excused) <= self.bound


def judge(records: Iterable[Record], damage: Damage, clients: int, clients_of_entry: int, back_off: float, forbidden: tuple[str, ...] = ()) -> Verdict:
    """``clients`` are all at once, ``clients_of_entry`` those of one entry; ``back_off`` is how long each waits after a failure.

    ``forbidden`` are ``release host/slot``, from whom nobody may get an answer: a release that fails its check there.
    """
    found = list(records)
    failed = [record for record in found if record.failed]
    excused = [record for record in failed if is_excused(record, damage)]
    return Verdict(
        requests=len(found),
        lost=[record for record in failed if not is_excused(record, damage)],
        excused=excused,
        wrong=[record for record in found if f"{record.release} {record.host}/{record.slot}" in forbidden],
        bound=bound(damage, clients, clients_of_entry, back_off),
    )


def is_excused(record: Record, damage: Damage) -> bool:
    """Whether the failed request met the damage."""
    if record.end < damage.began or record.start > damage.ended:
        return False
    if damage.entry and record.entry == damage.host:
        return True
    if record.pid:
        return record.pid in damage.pids and record.host == damage.host
    last = record.upstream.split(",")[-1].strip()  # whom nginx asked last: its failure is the answer
    return last in damage.members


def bound(damage: Damage, clients: int, clients_of_entry: int, back_off: float) -> int:
    """How many requests the fault can have cost at most.

    One for each client, and one more for its next try; each client of an entry that is out goes on trying.
    """
    if not damage.host:
        return 0
    return 2 * clients + (clients_of_entry * math.ceil(damage.seconds / back_off) if damage.entry else 0)
