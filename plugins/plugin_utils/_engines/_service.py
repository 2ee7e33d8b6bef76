# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What shall run on an engine, resolved and checked: the one model that both engines are described from.

Frozen dataclasses. Times are seconds, sizes as Kubernetes and Docker write them. What may be secret is in no ``repr``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Hook


@dataclass(frozen=True)
class File:
    """A file of the release in its containers, at the absolute ``path``; a ``secret`` one is kept as the engine keeps secrets."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o600
    secret: bool = False

    @property
    def digest(self) -> str:
        """Names the content: another content is another object of the engine, and the former one stays for a rollback."""
        return hashlib.sha256(self.content).hexdigest()[:12]


@dataclass(frozen=True)
class Worker:
    """A program without a port, of the release's image. ``scope``: ``slot`` as many as replicas, ``host`` one a node, ``fleet`` one in the cluster."""

    name: str
    command: tuple[str, ...]
    scope: str = "slot"
    stop_signal: str = "TERM"
    stop_timeout: int = 30


@dataclass(frozen=True)
class Cron:
    """A program that the engine starts by the clock, at most one at a time."""

    name: str
    schedule: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Resources:
    """What a replica asks of its node, and what it may use at most; '' for no word about it. ``cpu`` in cores (``0.5``), ``memory`` as in ``256M``."""

    cpu: str = ""
    memory: str = ""
    cpu_limit: str = ""
    memory_limit: str = ""


@dataclass(frozen=True)
class Service:
    """A service on an engine.

    ``image`` is the full reference that the user means, with its tag; ``command`` empty is the image's own. ``ports``
    are the container's, by name, the first is the main one. ``batch`` are the replicas that are replaced at once, on top
    of ``replicas``: none is taken away before another one serves. ``boot_timeout`` are the seconds a replica may take
    until it is healthy, ``watch`` those it must stay so before the next batch. After ``stop_signal`` it has ``stop_timeout``
    seconds to end what it serves; where the engine's routes lag behind, it is told only after ``drain_pause`` seconds.
    ``user`` is '' for the image's own.
    With the strategy blue_green the side that served before stays for ``keep_old`` seconds, or, with ``old_stays``, until the next release.
    ``on_failure`` is rollback or stop. ``options`` are the engine's own (``bluegreen_swarm``, ``bluegreen_kubernetes``), typed.
    ``rollback``: the release is one that the engine has had already.
    """

    name: str
    release: str
    image: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: Mapping[str, int] = field(default_factory=lambda: {"http": 8080})
    health: Health = field(default_factory=Health)
    boot_timeout: float = 60.0
    drain_timeout: float = 30.0
    drain_pause: float = 0.0
    stop_signal: str = "TERM"
    stop_timeout: int = 30
    user: str = ""
    replicas: int = 2
    batch: int = 1
    watch: float = 5.0
    on_failure: str = "rollback"
    strategy: str = "rolling"
    keep_old: float = 0.0
    old_stays: bool = False
    files: tuple[File, ...] = ()
    workers: tuple[Worker, ...] = ()
    crons: tuple[Cron, ...] = ()
    migrate: tuple[Hook, ...] = ()
    resources: Resources = field(default_factory=Resources)
    keep_releases: int = 5
    options: Mapping[str, Any] = field(default_factory=dict)
    rollback: bool = False

    @property
    def main_port(self) -> int:
        return next(iter(self.ports.values()))

    @property
    def grace(self) -> int:
        """Seconds from the moment at which a replica begins to end until it is killed."""
        return math.ceil(self.drain_timeout + self.stop_timeout)

    @property
    def batches(self) -> int:
        """In how many batches all replicas are replaced."""
        return -(-self.replicas // max(self.batch, 1))

    @property
    def patience(self) -> float:
        """Seconds after which a rollout of all replicas cannot be expected to end well any more: each batch boots, is watched, and the former ones drain."""
        return self.batches * (self.boot_timeout + self.watch) + self.grace + 30
