# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the course of a release needs of an engine; and how an engine runs its modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ._seen import Replica, Seen
from ._service import Service

Call = Callable[..., dict[str, Any]]
"""Runs a module on the play's host, as ``call("community.docker.docker_config", {…}, check_mode=None)``: its result, failed or not.

A module that is not there is a :class:`Refusal` that says how to install its collection. With the play's own check mode
and diff; ``check_mode`` False runs it for real in a check as well, for modules that only look; ``environment`` are
variables for it."""


class Refused(Exception):
    """The engine has said no to what it was asked for. The text says what, why, and what to do."""


@dataclass(frozen=True)
class Done:
    """What came of asking an engine for something. ``diff`` are before and after as ``--diff`` shows them, without secrets."""

    changed: bool = False
    what: tuple[str, ...] = ()
    diff: tuple[Mapping[str, str], ...] = ()
    log: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Grip:
    """The service's lock as the engine keeps it. ``version`` is the engine's, so that only one of two who want it gets it; '' where there is none."""

    holder: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""


class Engine(Protocol):
    """Docker Swarm or Kubernetes, for one service. Each method raises :class:`Refused` if the engine says no."""

    title: str

    def problems(self, service: Service, seen: Seen) -> list[str]:
        """Why the engine cannot take this service, a sentence each; [] if nothing is known against it. Changes nothing.

        Not reachable, not a manager, no right (verb and resource), namespace or network missing, a service of that name that
        is not ours, image not there, no health check, port taken, more asked for than the nodes have.
        """

    def look(self) -> Seen:
        """The service as it is now."""

    def wished(self, service: Service, seen: Seen) -> bool:
        """Whether the engine is asked for exactly this service already, by the mark; where it goes back, by the release."""

    def files(self, service: Service) -> Done:
        """Bring configs and secrets, each named by its content; what is there already stays as it is."""

    def migrate(self, service: Service, hook: int, say: Callable[[str], None]) -> Done:
        """Run the migration with this number in ``service.migrate`` in a container of the new release, once for the release, and wait for its end."""

    def apply(self, service: Service) -> Done:
        """Ask for the release, as one change: from here on the engine replaces the replicas. Does not wait."""

    def switch(self, service: Service) -> Done:
        """With ``blue_green``: once all of it is healthy, send all requests there, in one change. Nothing where clients have reached it already."""

    def undo(self, service: Service, to: Seen) -> Done:
        """Ask for what was seen before this run. For an engine that does not do that by itself."""

    def back(self, release: str) -> Done:
        """Ask for a release that the engine has had, with the configs and secrets that it had then. Does not wait."""

    def companions(self, service: Service, say: Callable[[str], None]) -> Done:
        """Workers and cron jobs of the release, once its replicas serve; those that are no longer wished go. Waits until they run."""

    def mark(self, service: Service, outcome: str, by: str) -> None:
        """Note how the release ended, where the engine keeps its history."""

    def prune(self, service: Service) -> Done:
        """Forget what only releases beyond ``keep_releases`` needed."""

    def log(self, replica: Replica, lines: int = 20) -> tuple[str, ...]:
        """The last lines that a replica wrote."""

    def why(self, replica: Replica) -> str:
        """Why a replica does not run, by all that the engine knows (events, exit status, health check)."""

    def grip(self) -> Grip:
        """Who has the service's lock."""

    def take(self, grip: Grip, holder: Mapping[str, Any]) -> bool:
        """Write ``holder`` ({} gives the lock back) where ``grip`` was seen; False if somebody else was quicker."""
