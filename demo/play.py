"""ansible-playbook as a person runs it, its lines on the screen as they come, and what the swap answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.bed import Bed, environment

from .screen import Screen

_FATAL = re.compile(r"^(fatal: \[[^]]+\]: \w+!) => \{.*$")
_LONGEST = 1 << 22  # bytes of a line: a failed task prints its whole result in one


@dataclass(frozen=True)
class Played:
    """A playbook that ended. ``answer`` is the swap's result, empty if it did not come to that."""

    status: int
    seconds: float
    answer: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


async def play(bed: Bed, screen: Screen, playbook: str, **extra: Any) -> Played:
    """Run a playbook against the bed; ``extra`` are extra vars without the prefix."""
    answer = bed.path / "answer.json"
    answer.unlink(missing_ok=True)
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *bed.command(playbook, **extra),
        cwd=bed.path,
        env=_environment(bed.path, answer),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=_LONGEST,
        start_new_session=True,  # a Ctrl-C is ours to pass on
    )
    try:
        lines = await _show(process, screen)
        status = await process.wait()
    except BaseException:
        await _end(process)
        raise
    return Played(status, time.monotonic() - began, json.loads(answer.read_text()) if answer.exists() else {}, tuple(lines))


def _environment(folder: Path, answer: Path) -> dict[str, str]:
    """Nothing of it is written outside ``folder``; a module that is ended halfway leaves its payload in TMPDIR."""
    temporary = folder / "ansible" / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return environment(
        folder,
        ANSIBLE_HOME=str(folder / "ansible"),
        ANSIBLE_REMOTE_TEMP=str(folder / "ansible" / "remote"),
        ANSIBLE_CALLBACK_PLUGINS=str(Path(__file__).parent / "callback"),
        ANSIBLE_CALLBACKS_ENABLED="swap_answer",
        ANSIBLE_DISPLAY_SKIPPED_HOSTS="False",
        DEMO_ANSWER=str(answer),
        LC_ALL="C.UTF-8",
        TMPDIR=str(temporary),
    )


async def _show(process: asyncio.subprocess.Process, screen: Screen) -> list[str]:
    """Show what it says, but for what it says twice: a failed task's message as [ERROR] and as JSON once more."""
    assert process.stdout
    lines: list[str] = []
    repeated = False
    async for raw in process.stdout:
        line = raw.decode(errors="replace").rstrip()
        lines.append(line)
        repeated = (repeated or line.startswith("[ERROR]: Task failed: Action failed: Release ")) and not _FATAL.match(line)
        if line and not repeated:
            screen.line(_FATAL.sub(r"\1", re.sub(r" \*{2,}$", "", line)), indent="   | ")
    return lines


async def _end(process: asyncio.subprocess.Process) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(sign)
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
            return
