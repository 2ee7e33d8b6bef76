# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a Swarm cannot take a service, before anything is changed; and why a task of it does not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._seen import Replica, Seen
from ._service import Service
from ._swarm_docker import Docker


def problems(docker: Docker, service: Service, seen: Seen, things: Sequence[Mapping[str, Any]]) -> list[str]:
    return []


def why(docker: Docker, replica: Replica) -> str:
    """All that Swarm knows; what the health check said, if the task is on the node that is asked."""
    said = replica.problem or f"its task is {replica.state}"
    checked = _health(docker, replica)
    return f"task {replica.name} on {replica.node or 'no node'}: {said}{checked}"


def _health(docker: Docker, replica: Replica) -> str:
    return ""
