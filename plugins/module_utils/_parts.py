# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a wish: what the user's variables say of one subject each, resolved and checked.

Frozen dataclasses, as in :mod:`_model`, which tells how they travel. Times are seconds, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Tuple


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
