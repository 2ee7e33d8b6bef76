# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words that controller and targets speak: what one host shall run, the steps to it, how they went, and why not.

Every class here, in :mod:`_parts` (what a wish is made of) and in :mod:`_states` (what was seen) is a frozen dataclass
that survives JSON (:func:`dump`, :func:`load`). Times are seconds, sizes bytes. A member's id is ``host/slot``.
Python 3.8 and the standard library only: this file travels to the targets.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, is_dataclass
from functools import lru_cache
from typing import Any, Dict, Mapping, Optional, Tuple, Type, TypeVar, Union, get_args, get_origin, get_type_hints

from ._parts import WORKERS, Goodbye, Health, Hook, HostLimits, Job, Layout, Member, Mixing, Monitoring, Nginx, Program, Reload, Site, Supervisor

T = TypeVar("T")


class Refusal(Exception):
    """Something a person can mend: the text says what, where, what was expected, what was seen and what to do."""


@dataclass(frozen=True)
class Wish:
    """What one host shall run, resolved and checked: all that the swap and its modules know of the user's variables.

    ``members`` are this host's slots, none on a host that is only a balancer. ``pool`` are all members that this
    host's nginx may serve, none where it is not a balancer of the service; ``min_serving`` of them always serve, and
    ``batches`` are the sets of them (by id) that a release takes out together. ``balancers`` are the hosts that serve
    this host's members; ``jobs`` are its programs without a port, ``fleet`` all hosts that could run one of the fleet's.
    ``lifting`` are members whose maintenance this run ends; ``adopt`` names, by slot, another's program that the first
    release takes over.
    ``rollback``: the release is on the hosts already, and is taken as it was good. ``keep_releases`` 0 keeps all.
    ``strategy`` is rolling, blue_green, canary or reload; ``smoke`` is what a release is asked before clients reach it,
    ``retire`` whether the slot that was replaced is stopped at the end. ``runtime`` is the application server's kind.
    It holds no secret: the environment goes straight into the launchers while staging.
    """

    service: str
    host: str
    root: str
    release: str
    members: Tuple[Member, ...]
    pool: Tuple[Member, ...]
    program: Program
    health: Health = field(default_factory=Health)
    site: Site = field(default_factory=Site)
    nginx: Nginx = field(default_factory=Nginx)
    supervisor: Supervisor = field(default_factory=Supervisor)
    boot_timeout: float = 60.0
    drain_timeout: float = 30.0
    on_drain_timeout: str = "go_on"
    goodbye: Goodbye = field(default_factory=Goodbye)
    min_serving: int = 1
    balancers: Tuple[str, ...] = ()
    batches: Tuple[Tuple[str, ...], ...] = ()
    hooks: Tuple[Hook, ...] = ()
    lifting: Tuple[str, ...] = ()
    adopt: Dict[str, str] = field(default_factory=dict)
    rollback: bool = False
    keep_releases: int = 0
    jobs: Tuple[Job, ...] = ()
    cron_dir: str = "/etc/cron.d"
    fleet: Tuple[str, ...] = ()
    layout: Layout = field(default_factory=Layout)
    monitoring: Monitoring = field(default_factory=Monitoring)
    limits: HostLimits = field(default_factory=HostLimits)
    strategy: str = "rolling"
    mixing: Mixing = field(default_factory=Mixing)
    smoke: Tuple[Health, ...] = ()
    retire: bool = True
    runtime: str = "generic"
    reload: Reload = field(default_factory=Reload)

    @property
    def flips(self) -> bool:
        """Whether one slot of each host serves and another one takes over, where all of them serve otherwise."""
        return self.strategy in ("blue_green", "canary")

    @property
    def singles(self) -> Tuple[Job, ...]:
        """The jobs that run once a host or once in the fleet."""
        return tuple(job for job in self.jobs if job.scope != "slot")

    @property
    def fleet_jobs(self) -> Tuple[Job, ...]:
        """The jobs that run once in the fleet."""
        return tuple(job for job in self.jobs if job.scope == "fleet")

    @property
    def places(self) -> Tuple[Member, ...]:
        """Where this host keeps copies of a release: its slots, and beside them, without a port, the place of the single jobs."""
        return (*self.members, *([Member(self.host, WORKERS, {})] if self.members and self.singles else []))

    def jobs_in(self, slot: str) -> Tuple[Job, ...]:
        """The jobs that run from this slot's copy of the release."""
        return self.singles if slot == WORKERS else tuple(job for job in self.jobs if job.scope == "slot")

    @property
    def others(self) -> Tuple[str, ...]:
        """The balancers of this host's members that are other hosts."""
        return tuple(name for name in self.balancers if name != self.host)

    def member(self, slot: str) -> Member:
        return next(m for m in self.places if m.slot == slot)

    def single(self, job: str) -> Optional[Job]:
        """The single job with this id, None if it is not wished."""
        return next((found for found in self.singles if found.id == job), None)


@dataclass(frozen=True)
class Step:
    """One thing to do on ``host``: with one member of its own, or, as a balancer, with several ``members`` at once.

    ``release`` is the code (point, start, check, enable); ``restore`` says that launcher and program file of before
    this swap come back, too. ``pools`` are the pools to declare, as sets of member ids. ``expected`` says what a member
    answers rightly where that is not the wish's (switch: those who stay; enable: those who come). ``out_of`` are the
    other hosts that said, after they switched, that they do not serve the member: without all of them it is not
    stopped. ``hook`` is the command of a step that is the user's own, ``previous`` the release that is replaced.
    ``leaving`` are those whose requests ``members`` take over, by ``weight`` percent (shift).
    ``seconds`` is what a drain may take where that is not the wish's, because clients were told to leave.
    ``elapsed`` and ``resume`` are filled in when a wait goes on in a further call.
    """

    name: str
    host: str
    members: Tuple[str, ...]
    release: str = ""
    restore: bool = False
    pools: Tuple[Tuple[str, ...], ...] = ()
    expected: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    out_of: Tuple[str, ...] = ()
    hook: Optional[Hook] = None
    previous: str = ""
    leaving: Tuple[str, ...] = ()
    weight: float = 100.0
    seconds: float = 0.0
    elapsed: float = 0.0
    resume: Dict[str, Any] = field(default_factory=dict)

    @property
    def member(self) -> str:
        """The members in words; the id, where there is one."""
        return ", ".join(self.members)

    @property
    def slot(self) -> str:
        """The slot of a step with one member, or the single job."""
        return self.members[0].partition("/")[2]

    @property
    def of_job(self) -> bool:
        """Whether it is about a single job, or their place."""
        return len(self.members) == 1 and (":" in self.slot or self.slot == WORKERS)


@dataclass(frozen=True)
class Event:
    """A step as it went on ``host``: ``outcome`` is ``ok``, ``unchanged``, ``waiting``, ``overtime``, ``vain`` or ``failed``."""

    step: str
    member: str
    outcome: str
    start: float
    seconds: float
    detail: str = ""
    host: str = ""


@dataclass(frozen=True)
class Failure:
    """Why a step failed on ``host``: what was expected, what was seen last, and the program's last log lines.

    ``member`` is the one at fault, '' if it is the host or no single one.
    """

    member: str
    step: str
    expected: str
    seen: str
    log: Tuple[str, ...] = ()
    host: str = ""


def dump(value: Any) -> Dict[str, Any]:
    """The plain dictionary of a model object, ready for JSON."""
    return asdict(value)


def load(kind: Type[T], data: Mapping[str, Any]) -> T:
    """Build the dataclass ``kind`` from what :func:`dump` gave and JSON made of it. Unknown keys are an error (TypeError)."""
    hints = _hints(kind)  # type: ignore[arg-type]  # a class can be a key
    return kind(**{key: _typed(hints[key], value) if key in hints else value for key, value in data.items()})


_hints = lru_cache(maxsize=None)(get_type_hints)


def _typed(hint: Any, value: Any) -> Any:
    """A value of JSON as the field's type has it: dataclasses and tuples are made again, everything else is what it is."""
    if is_dataclass(hint):
        return load(hint, value) if isinstance(value, Mapping) else value  # type: ignore[arg-type]  # a class here, never an instance
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Union and value is not None:  # of ours there is only Optional
        return _typed(inner[0], value)
    if origin is tuple and isinstance(value, (list, tuple)):
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        return tuple(_typed(kind, item) for kind, item in zip(kinds, value))
    if origin is dict and isinstance(value, Mapping):
        return {key: _typed(inner[1], item) for key, item in value.items()}
    return value
