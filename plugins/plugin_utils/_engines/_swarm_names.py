# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our objects in a Swarm are called, and the labels by which they are known as ours. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from ._service import File

_LONGEST = 63  # Swarm takes 64 letters for a config, and DNS 63 for a service
_OURS = "hotswap.bluegreen."
SERVICE = f"{_OURS}service"  # on every object
RELEASE = f"{_OURS}release"  # on services, their tasks, and the records of the history
MARK = f"{_OURS}mark"  # on a service: its whole description; what is in no task may differ without a task being replaced
TASK = f"{_OURS}task"  # on a service and its tasks: that part of the description that a task has
PART = f"{_OURS}part"  # file, record, lock, worker, migration, front or network; the service itself has none
IMAGE, AT, OUTCOME, BY, NUMBER = (f"{_OURS}{word}" for word in ("image", "at", "outcome", "by", "number"))  # on records
HOLDER = f"{_OURS}holder"  # on the lock, in JSON


def digest(*parts: Any) -> str:
    """Names a description: the same of the same parts, on every controller."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


def labels(service: str, part: str = "") -> dict[str, str]:
    """What tells an object of ours from anybody else's."""
    return {SERVICE: service, **({PART: part} if part else {})}


def file(service: str, file: File) -> str:
    """A config or secret. Its owner is in the digest: two services never share one, so that one's clearing up is nothing to the other."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", PurePosixPath(file.path).name).strip("-_") or "file"
    return _short(f"{service}-{stem}", hashlib.sha256(f"{service}\0{file.secret}\0".encode() + file.content).hexdigest()[:12])


def network(service: str) -> str:
    """The network of a service that names none."""
    return _short(f"bluegreen-{service}")


def migration(service: str, release: str, hook: int, *parts: Any) -> str:
    """The job that is one migration of one release: another image or command is another one."""
    return _short(f"{service}-migrate", digest(release, hook, *parts))


def companion(service: str, worker: str) -> str:
    """The service of a worker."""
    return f"{service}-{worker}"


def front(service: str) -> str:
    """The service of the nginx in front."""
    return f"{service}-nginx"


def front_config(service: str, text: str) -> str:
    """The configuration of the nginx in front."""
    return _short(f"{service}-nginx-conf", digest(text))


def record(service: str, number: int) -> str:
    """The record of a release."""
    return f"{service}-release-{number}"


def lock(service: str, number: int) -> str:
    """The service's lock, as it was written for the nth time."""
    return f"{service}-lock-{number}"


def is_ours(found: Mapping[str, Any], service: str) -> bool:
    """Whether an object with these labels belongs to this service."""
    return found.get(SERVICE) == service


def _short(name: str, end: str = "") -> str:
    """Within what Swarm takes; what is cut off is in the end, or comes as a digest, so that two names stay two."""
    full = f"{name}-{end}" if end else name
    if len(full) <= _LONGEST:
        return full
    end = end or digest(name)
    return f"{name[: _LONGEST - len(end) - 1].rstrip('-_')}-{end}"
