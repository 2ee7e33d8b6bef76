"""What was asked and what came of it: every request due ends as answered or as failed, with its class."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

_DETAILS = 20  # failures of a client and a kind that are kept in words; all are counted


@dataclass(frozen=True)
class Failure:
    """``client`` is the kind of client, ``kind`` the class of the failure, ``at`` seconds since the load began."""

    client: str
    kind: str
    detail: str
    at: float


@dataclass
class Visit:
    """One WebSocket from its first line to its end. Times are seconds since the epoch; 0 is not yet."""

    release: str
    slot: str
    opened: float
    ended: float = 0.0
    how: str = ""
    back: float = 0.0  # seconds until the client had its next first line
    by_client: bool = False


@dataclass(frozen=True)
class Upload:
    """A slow upload that was answered, from its first byte to its answer."""

    began: float
    ended: float
    release: str
    slot: str


@dataclass
class Tally:
    """The counts of one load."""

    began: float = field(default_factory=time.time)
    sent: Counter[str] = field(default_factory=Counter)  # by kind of client, as the following two
    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    by_release: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)  # seconds since the load began, of every failure
    visits: list[Visit] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    slowest: float = 0.0  # seconds, of the requests that are quick by themselves

    @property
    def total(self) -> int:
        return self.sent.total()

    @property
    def open(self) -> int:
        """Requests that are under way."""
        return self.total - self.answered.total() - self.failed.total()

    def succeed(self, client: str, release: str) -> None:
        self.answered[client] += 1
        self.by_release[release] += 1

    def fail(self, client: str, kind: str, detail: str, when: float = 0.0) -> None:
        """``when`` in seconds since the epoch; now, if it is not given."""
        at = round((when or time.time()) - self.began, 3)
        self.failed[client] += 1
        self.failed_at.append(at)
        if sum((failure.client, failure.kind) == (client, kind) for failure in self.failures) < _DETAILS:
            self.failures.append(Failure(client, kind, detail, at))

    def words(self) -> str:
        return f"{self.total:,} requests sent, {self.answered.total():,} answered, {self.failed.total():,} failed, {self.open} under way"

    def counts(self) -> dict[str, Any]:
        """As the report has it."""
        clients = {name: {"sent": self.sent[name], "answered": self.answered[name], "failed": self.failed[name]} for name in sorted(self.sent)}
        return {
            "requests": self.total,
            "answered": self.answered.total(),
            "failed": self.failed.total(),
            "by_release": dict(sorted(self.by_release.items())),
            "by_client": clients,
            "slowest_quick_request": round(self.slowest, 3),
            "failures": [asdict(failure) for failure in self.failures],
            "uploads": [asdict(upload) for upload in self.uploads],
        }
