"""Run ansible-playbook against a bed: the same configuration for every way, nothing of the user's own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.bed import collections_path

from .servers import VANILLA, Servers

HERE = Path(__file__).resolve().parent


def finish(words: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float = 120) -> str:
    """Standard output of a command that must succeed; it is ended, with all it started, if we are."""
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=seconds)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode} of {' '.join(words[:4])} …\n{output[-3000:]}\n{errors[-2000:]}")
    return output


def play(servers: Servers, words: Sequence[str], seconds: float = 120) -> tuple[float, dict[str, Any]]:
    """(wall seconds of an ansible-playbook command, its timeline: see callback/timeline.py)."""
    timeline = servers.path / "timeline.json"
    began = time.monotonic()
    finish(words, servers.path, _environment(servers, timeline), seconds)
    return time.monotonic() - began, json.loads(timeline.read_text())


def _environment(servers: Servers, timeline: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {
        **kept,
        "HOME": str(servers.path / "controller"),
        "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin",
        "ANSIBLE_CONFIG": str(VANILLA / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "timeline",
        "ANSIBLE_NOCOLOR": "1",
        "BENCH_TIMELINE": str(timeline),
    }


def ssh_variables(servers: Servers, alias: str) -> dict[str, Any]:
    """How the inventory reaches a host. Each alias has a control path, so each opens its own ssh connection, as real hosts do."""
    return {
        "ansible_host": "127.0.0.1",
        "ansible_port": servers.ssh_port,
        "ansible_user": servers.user,
        "ansible_ssh_private_key_file": f"{servers.path}/etc/id",
        "ansible_ssh_common_args": "-F /dev/null",
        "ansible_control_path": f"{servers.path}/run/cp-{alias}",
    }
