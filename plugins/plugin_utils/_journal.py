# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in a run, line by line as it happens: the one source of its report.

A journal is a file of JSON objects, one a line, in the run's directory below ``bluegreen_report_dir`` on the controller.
Each line is appended in one write, by whichever process of ansible-playbook it happens in, so what a killed run has
done can be read afterwards. The fact ``bluegreen_report`` names the directory; without it nothing is written. The kinds
of lines are in docs/report.md. Times are seconds since the epoch, by the controller's clock.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Refusal, Step, dump

from ._result import Looked, Returned, Turn, marks, members

FACT = "bluegreen_report"
NAME = "journal.jsonl"

Run = TypeVar("Run", bound=Callable[..., dict[str, Any]])


@dataclass(frozen=True)
class Journal:
    """The journal in ``folder``; '' writes nothing."""

    folder: str = ""

    def write(self, kind: str, **line: Any) -> None:
        """Append one line. A disk that is full, or a directory that is gone, does not end a release."""
        if not self.folder:
            return
        text = json.dumps({"kind": kind, "at": time.time(), **line}, ensure_ascii=False) + "\n"
        with contextlib.suppress(OSError):
            file = os.open(Path(self.folder, NAME), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                os.write(file, text.encode("utf-8", "replace"))
            finally:
                os.close(file)

    def lines(self) -> list[dict[str, Any]]:
        """What was written so far."""
        with contextlib.suppress(OSError):
            return read(self.folder) if self.folder else []
        return []

    def tell(self, item: Event | Step | Turn | Looked | Returned | Failure | str) -> None:
        """What the runner tells. That a step begins is not written: its event has the time."""
        if isinstance(item, str):
            self.write("note", text=item)
        elif isinstance(item, Turn):
            self.write("batch", members=list(item.members), number=item.number, of=item.of)
        elif isinstance(item, Event):
            self.write("event", **dump(item))
        elif isinstance(item, Looked):
            self.write("members", when=item.when, members=members(item.states), maintenance=marks(item.states))
        elif isinstance(item, Returned):
            self.write("returned", members=[item.member])
        elif isinstance(item, Failure):
            self.write("failure", **dump(item))

    def phase(self, name: str, start: float, result: Mapping[str, Any], host: str) -> None:
        """A task of the run that is over, as its result has it."""
        failed = result.get("failed") or result.get("ansible_facts", {}).get("bluegreen_verdict")
        outcome = "failed" if failed else "skipped" if result.get("skipped") else "ok"
        detail = str(result.get("msg") or result.get("skip_reason") or "")
        self.write("phase", name=name, start=start, seconds=round(time.time() - start, 3), outcome=outcome, detail=detail, host=host)


def begin(directory: str, service: str, release: str) -> Journal:
    """A new journal below ``directory``, which is made. :class:`Refusal` if it cannot be written."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name = f"{service}-{stamp}-{release or 'none'}"
    for number in range(1, 100):
        folder = Path(directory, name if number == 1 else f"{name}-{number}")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
            return Journal(str(folder))
        except FileExistsError:
            if not folder.is_dir():
                raise Refusal(unusable(directory, "it is no directory")) from None
        except OSError as error:
            raise Refusal(unusable(directory, error.strerror or str(error))) from error
    raise Refusal(unusable(directory, f"it holds 100 reports of {name}"))


def unusable(directory: str, why: str) -> str:
    """The sentence for a directory that takes no report."""
    advice = "Name a directory of the controller that the user of ansible-playbook may write to, or take it away for no report."
    return f"bluegreen_report_dir is {directory}, where no report can be written: {why}. {advice}"


def problem(directory: str) -> str:
    """Why no report can be written there, '' if it can: tried on the nearest directory that is there, and nothing is made."""
    if not directory:
        return ""
    found = Path(directory)
    while not found.exists() and found != found.parent:
        found = found.parent
    if not found.is_dir():
        return unusable(directory, f"{found} is no directory")
    return "" if os.access(found, os.W_OK | os.X_OK) else unusable(directory, f"{found} may not be written to")


def of(task_vars: Mapping[str, Any], result: Mapping[str, Any] | None = None) -> Journal:
    """The run's journal: the fact of whichever host its lock was booked on, or of ``result``."""
    found = (result or {}).get("ansible_facts", {}).get(FACT)
    facts = (task_vars["hostvars"][host].get("ansible_facts", {}).get(FACT) for host in task_vars.get("ansible_play_hosts_all", ()))
    return Journal(str(found if found is not None else max(filter(None, facts), default="")))


def recorded(name: str) -> Callable[[Run], Run]:
    """An action's ``run`` as a phase of the journal."""

    def decorate(run: Run) -> Run:
        @functools.wraps(run)
        def recording(self: Any, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
            start = time.time()
            result = run(self, tmp, task_vars)
            variables = task_vars or {}
            of(variables, result).phase(name, start, result, "" if self.BYPASS_HOST_LOOP else str(variables.get("inventory_hostname", "")))
            return result

        return recording  # type: ignore[return-value]  # it takes what an action's run takes

    return decorate


def read(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of a journal. What was cut off while it was written is left out."""
    lines = []
    for text in Path(folder, NAME).read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            if isinstance(line, dict) and "kind" in line:
                lines.append(line)
    return lines
