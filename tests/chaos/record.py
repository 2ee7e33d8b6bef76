"""What a client saw of one request. Plain data, for the load that writes it and the judge that reads it."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("get", "post", "slow", "stream")


@dataclass(frozen=True)
class Record:
    """One request. Times are of ``time.monotonic()``, in seconds; what nobody told is empty or 0."""

    kind: str
    entry: str  # the host whose nginx was asked
    start: float
    end: float
    opened: float  # when its connection was
    status: int = 0
    host: str = ""  # who answered, by the application's own words
    slot: str = ""
    release: str = ""
    pid: int = 0
    upstream: str = ""  # the addresses that nginx tried, in its order, by its own words
    error: str = ""  # why it failed, '' for one that did not

    @property
    def failed(self) -> bool:
        return bool(self.error)

    def words(self, zero: float) -> str:
        """One line for whoever looks for the reason; times count from ``zero``."""
        by = f", by {self.host}/{self.slot} {self.release} pid {self.pid}" if self.pid else ""
        tried = f", nginx tried {self.upstream}" if self.upstream else ""
        age = "" if self.opened == self.start else f", connection since {self.opened - zero:.3f}"
        return f"{self.start - zero:8.3f}–{self.end - zero:.3f} s  {self.kind} at {self.entry}: {self.error or self.status}{by}{tried}{age}"
