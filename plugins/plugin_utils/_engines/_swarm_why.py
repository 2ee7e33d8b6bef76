# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a task of a Swarm does not run: by its error, its exit status, and what its health check said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import _swarm_look as look
from ._seen import Replica
from ._swarm_docker import Docker

_LONGEST = 200  # letters of what a health check said


def why(docker: Docker, replica: Replica) -> str:
    """All that is known, for a person. What a health check said is known to the task's own node alone."""
    identity = replica.name.rpartition(".")[2]
    task: Mapping[str, Any] = next(iter(docker.inspect("task", identity)), {})
    container = look.container_of(task)
    found = next(iter(docker.inspect("container", container)), None) if container else None
    where = f"task {replica.name} on {replica.node}" if replica.node else f"task {replica.name}, which is on no node"
    said = replica.problem or f"it is {replica.state}"
    if found:
        return f"{where}: {said}{health(found)}"
    if container:
        return f"{where}: {said}; that node knows more (docker inspect {container[:12]})"
    return f"{where}: {said}"


def health(container: Mapping[str, Any]) -> str:
    """What its health check said last, if it failed."""
    state = (container.get("State") or {}).get("Health") or {}
    failed = [entry for entry in state.get("Log") or [] if entry.get("ExitCode")]
    if not failed:
        return ""
    times, last = state.get("FailingStreak") or len(failed), failed[-1]
    output = " ".join(str(last.get("Output") or "").split())[:_LONGEST]
    return f"; its health check failed {times} times in a row, last with exit status {last['ExitCode']}{f' ({output})' if output else ''}"
