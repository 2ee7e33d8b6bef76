# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs this, in a way that another run can tell whether that process is still there."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _processes


def of(task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """The owner of what this run takes: the AWX user and job if there is one; user, controller and process.

    ``place`` is where a pid means what it means here, ``started`` tells the process from a later one with its pid.
    """
    pid = os.getppid()  # actions run in a child of ansible-playbook
    owner = {"user": _user(), "controller": socket.gethostname(), "pid": pid, "started": _processes.start_time(pid), "place": place()}
    for prefix in ("awx", "tower"):
        if f"{prefix}_job_id" in task_vars:
            user = task_vars.get(f"{prefix}_user_name") or f"schedule {task_vars.get(f'{prefix}_schedule_name', '')}".strip()
            return {**owner, "user": str(user), "job": str(task_vars[f"{prefix}_job_id"])}
    return owner


def run() -> str:
    """Names this run of ansible-playbook."""
    pid = os.getppid()
    return f"{place()} {pid} {_processes.start_time(pid)}"


def place() -> str:
    """Names this machine, since its boot, and this container: two containers of one name are two places."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # a controller without Linux's /proc has no containers either
        return f"{socket.gethostname()} {uuid.getnode():x}"


def is_same(holder: Mapping[str, Any], mine: Mapping[str, Any]) -> bool:
    """Whether the owner of a lease is this very run."""
    return bool(holder.get("place")) and all(holder.get(key) == mine[key] for key in ("place", "pid", "started"))


def is_gone(holder: Mapping[str, Any], mine: Mapping[str, Any]) -> bool:
    """Whether the owner of a lease was a process of this very place that is no more. False wherever that cannot be known."""
    if not holder.get("place") or holder["place"] != mine["place"]:
        return False
    try:
        pid, started = int(holder["pid"]), int(holder["started"])
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, KeyError, ValueError, TypeError):
        return False
    return started > 0 and _processes.start_time(pid) != started  # its pid has been given again, or it is a zombie


def _user() -> str:
    """Who runs this. In a container, a user may have a number and no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"uid {os.getuid()}"
