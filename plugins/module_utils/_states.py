# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen on one host: its slots, what its nginx serves, its jobs.

Frozen dataclasses, as in :mod:`_model`, which tells how they travel. Times are seconds, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Tuple

DEAD_STATES = frozenset({"STOPPED", "EXITED", "FATAL", "ABSENT", "UNKNOWN"})  # supervisor's words for a program that neither runs nor is about to


@dataclass(frozen=True)
class SlotState:
    """One slot as seen: ``state`` is supervisor's word, or ``ABSENT``; ``release`` is what the running process says.

    ``staged``: the wished release is complete in this slot. ``pending``: launcher or program file wait to be put in
    place. ``listener``: ``own``, ``none`` or ``foreign``, with ``holders`` naming who else holds the port.
    ``mark``: ``good`` or ``failed``, how the release ``current`` last ended here.
    ``connections`` come from the host's own balancer, ``others`` from elsewhere. ``expected`` is the answer that the
    running release was found good by, where that is another than the wished one's. ``unreloadable`` says why the process
    cannot take the wished release in place, '' where it may, or where nobody asks.
    """

    state: str
    pid: int = 0
    uptime: float = 0.0
    release: Optional[str] = None
    current: Optional[str] = None
    previous: Optional[str] = None
    mark: Optional[str] = None
    staged: bool = False
    pending: bool = False
    listener: str = "none"
    holders: Tuple[str, ...] = ()
    connections: int = 0
    others: int = 0
    healthy: bool = False
    seen: str = ""
    expected: Dict[str, Any] = field(default_factory=dict)
    unreloadable: str = ""

    @property
    def running(self) -> bool:
        return self.pid > 0


@dataclass(frozen=True)
class BalancerState:
    """What one nginx serves: name and member ids of the active pool, the declared pools' names, and whether the workers have them.

    ``maintenance`` has who works on which member, why, and since when: ``by``, ``why``, ``since``. While two releases
    share the requests ``serving`` has the members of both, ``entering`` the new one's alone, and ``step`` is where
    among the weights it stands (0: testers only), else -1. ``weights`` are those that nginx was told.
    """

    active: str = ""
    serving: Tuple[str, ...] = ()
    pools: Tuple[str, ...] = ()
    loaded: bool = False
    problem: str = ""
    maintenance: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    entering: Tuple[str, ...] = ()
    step: int = -1
    weights: Tuple[float, ...] = ()


@dataclass(frozen=True)
class JobState:
    """A single job, by its id, as seen on a host that has anything of it: permit, program file or line for cron, process.

    ``right``: it is all as wished; ``seen`` says in words what is not.
    """

    id: str
    pid: int = 0
    release: Optional[str] = None
    right: bool = False
    seen: str = ""


@dataclass(frozen=True)
class HostState:
    """All that was seen on one host at ``time`` (its own clock, seconds since the epoch); ``balancer`` where it is one, ``jobs`` the single ones.

    ``crossed`` are the limits that it crosses, as what was expected and what was seen; ``marks`` say how far its logs were read.
    ``answers`` are those of both sides since the last look, while a canary goes on.
    """

    host: str
    time: float
    slots: Dict[str, SlotState]
    balancer: Optional[BalancerState] = None
    jobs: Tuple[JobState, ...] = ()
    crossed: Tuple[Tuple[str, str], ...] = ()
    marks: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    answers: Dict[str, Dict[str, Any]] = field(default_factory=dict)

    def job(self, name: str) -> Optional[JobState]:
        """The single job with this id; None if nothing of it is here."""
        return next((found for found in self.jobs if found.id == name), None)

    def serves(self, member: str) -> bool:
        """Whether this host's nginx gives requests to the member."""
        return self.balancer is not None and member in self.balancer.serving
