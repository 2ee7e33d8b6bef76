# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the collection as data: what one host shall run, and what was seen on it.

Every class is a frozen dataclass that survives JSON (:func:`dump`, :func:`load`), because the controller and the
targets speak in exactly these shapes. Times are seconds, sizes bytes. A member's id is ``host/slot``.
Python 3.8 and the standard library only: this file travels to the targets.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Dict, Mapping, Optional, Tuple, Type, TypeVar

T = TypeVar("T")


class Refusal(Exception):
    """Something a person can mend: the text says what, where, what was expected, what was seen and what to do."""


@dataclass(frozen=True)
class Member:
    """One slot of one host, as a balancer and a supervisor see it. The first of ``ports`` is the main one."""

    host: str
    slot: str
    ports: Dict[str, int]
    address: str = "127.0.0.1"
    backup: bool = False
    weight: int = 1

    @property
    def id(self) -> str:
        return f"{self.host}/{self.slot}"

    @property
    def port(self) -> int:
        return next(iter(self.ports.values()))


@dataclass(frozen=True)
class Program:
    """How supervisor runs a slot: ``command`` in words as written, times in seconds."""

    command: Tuple[str, ...]
    user: str = ""
    autorestart: str = "true"
    start_seconds: int = 1
    stop_signal: str = "TERM"
    stop_timeout: int = 30
    stop_as_group: bool = False
    kill_as_group: bool = True
    log_dir: str = ""
    log_max_bytes: str = "50MB"
    log_backups: int = 10


@dataclass(frozen=True)
class Health:
    """What a member must answer, ``successes`` times in a row, before it is enabled."""

    path: str = "/health"
    statuses: Tuple[int, ...] = (200,)
    body: str = ""
    header: Dict[str, str] = field(default_factory=dict)
    request_headers: Dict[str, str] = field(default_factory=dict)
    port: str = ""
    timeout: float = 2.0
    interval: float = 0.05
    successes: int = 3


@dataclass(frozen=True)
class Goodbye:
    """How an application is told that its clients shall leave: by a ``signal``, or by a request for ``path``; with neither it is not told.

    ``window`` are the seconds over which they shall leave, ``timeout`` those that long connections may stay at all. A
    value of ``headers`` may refer to the environment of the release that is told, as in ``Bearer $TOKEN``.
    """

    signal: str = ""
    path: str = ""
    method: str = "POST"
    headers: Dict[str, str] = field(default_factory=dict)
    window: float = 10.0
    timeout: float = 60.0

    @property
    def is_said(self) -> bool:
        return bool(self.signal or self.path)


@dataclass(frozen=True)
class Reload:
    """How a running process takes another release in place: by ``signal``, '' for none, within ``timeout`` seconds.

    ``shown``: where its answer to ``path`` names the release that gave it, ``header`` with a name or ``json`` with a dotted path.
    """

    signal: str = ""
    timeout: float = 60.0
    path: str = "/health"
    shown: Dict[str, str] = field(default_factory=lambda: {"header": "X-Release"})


@dataclass(frozen=True)
class Site:
    """The server block of ours in front of the pools; ``listen`` maps a port's name to nginx's listen parameters."""

    enabled: bool = True
    listen: Dict[str, str] = field(default_factory=dict)
    server_name: str = "_"
    tls_certificate: str = ""
    tls_key: str = ""
    body_size: str = "50m"
    connect_timeout: int = 2
    read_timeout: int = 60
    send_timeout: int = 60
    next_upstream: str = "error timeout"
    cookie_path: str = ""
    extra: str = ""
    location: str = "/"
    keepalive: int = 32
    idle: float = 1.0
    max_fails: int = 0


@dataclass(frozen=True)
class Mixing:
    """How requests are shared while two releases serve: ``weights`` are the new one's percents, step by step, rising.

    A tester brings the ``header`` or ``cookie`` of that name with ``value``, or comes to the port of ``listen``, and
    always reaches the new one. ``sticky``: a client stays with its side. ``access_logs`` are nginx's own, which a log of
    ours in the location would switch off.
    """

    weights: Tuple[float, ...] = ()
    header: str = ""
    cookie: str = ""
    value: str = ""
    listen: str = ""
    sticky: bool = False
    access_logs: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Nginx:
    """Where the balancer's nginx is. ``command`` in words; ``reload_command`` empty means a HUP to the master."""

    command: Tuple[str, ...] = ("/usr/sbin/nginx",)
    config: str = "/etc/nginx/nginx.conf"
    conf_dir: str = "/etc/nginx/conf.d"
    state_dir: str = "/etc/nginx/bluegreen"
    pid_file: str = "/run/nginx.pid"
    error_log: str = "/var/log/nginx/error.log"
    reload_command: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Supervisor:
    """Where supervisor is. ``socket`` empty means: the one that ``config`` names."""

    config: str = "/etc/supervisor/supervisord.conf"
    socket: str = ""
    program_dir: str = "/etc/supervisor/conf.d"


@dataclass(frozen=True)
class Monitoring:
    """The exporter of metrics: ``state`` is present or absent, ``by`` cron or supervisor starts it, ``textfile_dir`` is node_exporter's."""

    state: str = "present"
    by: str = "cron"
    textfile_dir: str = "/var/lib/prometheus/node-exporter"


@dataclass(frozen=True)
class Job:
    """A program without a port: a worker, or, with a ``schedule``, an entry of cron. Times in seconds.

    ``scope``: ``slot`` runs beside each slot and restarts with it, ``host`` once on each host, ``fleet`` once in the
    whole fleet, on ``host`` if it may choose.
    """

    name: str
    command: Tuple[str, ...]
    scope: str = "slot"
    host: str = ""
    schedule: str = ""
    autorestart: str = "true"
    start_seconds: int = 1
    stop_signal: str = "TERM"
    stop_timeout: int = 30

    @property
    def id(self) -> str:
        """What the launcher is told to become: ``worker:queue`` or ``cron:report``."""
        return f"{'cron' if self.schedule else 'worker'}:{self.name}"

    @property
    def label(self) -> str:
        """How its user knows it: ``bluegreen_workers: queue``."""
        return f"{'bluegreen_cron' if self.schedule else 'bluegreen_workers'}: {self.name}"


DEAD_STATES = frozenset({"STOPPED", "EXITED", "FATAL", "ABSENT", "UNKNOWN"})  # supervisor's words for a program that neither runs nor is about to
WORKERS = "workers"  # the place, beside the slots, of what runs once a host or once in the fleet


@dataclass(frozen=True)
class Hook:
    """A command of the user at one moment of a release. ``command`` of one word is for ``sh``, several are run as they are.

    ``on`` is '' for the member's own host (or every host of the run), ``controller``, or an inventory host. ``timeout`` in
    seconds. ``on_failure``: ``stop``, or ``warn`` and go on.
    """

    at: str
    command: Tuple[str, ...]
    on: str = ""
    timeout: float = 60.0
    on_failure: str = "stop"

    @property
    def shown(self) -> str:
        """The command for a person."""
        return " ".join(self.command)


@dataclass(frozen=True)
class Layout:
    """What of a release's copies is not simply its own, as paths below it.

    ``directories`` and ``files`` are links to ``<root>/shared``, which outlives releases. With ``writable`` only these
    directories belong to the service's user, else the whole copy does.
    """

    directories: Tuple[str, ...] = ()
    files: Tuple[str, ...] = ()
    writable: Tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The layout for a person and for a record, '' for none."""
        shared = ", ".join([*self.directories, *(f"{path} (file)" for path in self.files)])
        parts = [f"shared: {shared}" if shared else "", f"writable: {', '.join(self.writable)}" if self.writable else ""]
        return "; ".join(part for part in parts if part)


@dataclass(frozen=True)
class ErrorLog:
    """A log of which at most so many new lines may match ``pattern`` while a swap goes on."""

    path: str
    pattern: str
    most: int = 0


@dataclass(frozen=True)
class HostLimits:
    """What a host may show while a swap goes on: ``memory`` in percent in use, ``load`` a core, 0 for no limit.

    ``marks`` say how far each log had been read when the host was last looked at.
    """

    logs: Tuple[ErrorLog, ...] = ()
    memory: float = 0.0
    load: float = 0.0
    marks: Dict[str, Dict[str, Any]] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        return bool(self.logs or self.memory or self.load)


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


_PARTS: Dict[str, Any] = {
    "program": Program,
    "health": Health,
    "goodbye": Goodbye,
    "site": Site,
    "mixing": Mixing,
    "reload": Reload,
    "nginx": Nginx,
    "supervisor": Supervisor,
    "balancer": BalancerState,
    "hook": Hook,
    "layout": Layout,
    "monitoring": Monitoring,
    "limits": HostLimits,
}


def load(kind: Type[T], data: Mapping[str, Any]) -> T:
    """Build ``kind`` from what :func:`dump` gave and JSON made of it. Unknown keys are an error (TypeError)."""
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # every T here is a dataclass
    return kind(**{key: _part(key, value) if key in known else value for key, value in data.items()})


def _part(key: str, value: Any) -> Any:
    if key in _PARTS and isinstance(value, Mapping):
        return load(_PARTS[key], value)
    if key == "logs":
        return tuple(load(ErrorLog, item) if isinstance(item, Mapping) else item for item in value)
    if key == "hooks":
        return tuple(load(Hook, item) if isinstance(item, Mapping) else item for item in value)
    if key == "smoke":
        return tuple(load(Health, item) if isinstance(item, Mapping) else item for item in value)
    if key in ("members", "pool"):
        return tuple(load(Member, item) if isinstance(item, Mapping) else item for item in value)
    if key == "slots":
        return {name: load(SlotState, item) for name, item in value.items()}
    if key == "jobs":
        return tuple(load(JobState if "right" in item else Job, item) if isinstance(item, Mapping) else item for item in value)
    if isinstance(value, (list, tuple)):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value
