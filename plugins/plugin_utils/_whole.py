# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a playbook of ours is run as a whole: a part of it (--tags, --start-at-task) is no release.

The first task of each has the tag C(always), so that it can say what becomes of the rest.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from . import _hostvars, _owner, _task

FACT = "bluegreen_run"  # which run has checked the host: with a fact cache, hosts have the facts of earlier runs as well
_OF_A_RUN: Mapping[str, Any] = {  # what each run finds out anew, on whichever host it is booked
    "bluegreen_verdict": {},
    "bluegreen_swapped": False,
    "bluegreen_returned": {},
    "bluegreen_previous_release": "",
    "bluegreen_report": "",
}
_NAME = "hotswap.bluegreen"
_PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"


def left_out(action: ActionBase) -> str:
    """Why the rest of the playbook of ours that the task begins is not run, '' if it is.

    :class:`Refusal` if that playbook is what the user runs; imported into another one, it may be left out.
    """
    play = _hostvars.play(action)
    only, skip = frozenset(getattr(play, "only_tags", ())), frozenset(getattr(play, "skip_tags", ()))
    name = _playbook(action)
    if not name or "always" not in action._task.tags or selected(play.tags, only, skip):
        return ""
    words = " ".join([f"--tags {','.join(sorted(only))}"] * (only != {"all"}) + [f"--skip-tags {','.join(sorted(skip))}"] * bool(skip))
    if _is_run(name):
        raise Refusal(f"{words} would leave out every task of {name} but this one; a part of it is of no use. Take {words} away.")
    return f"{name} is not run, because of {words}. To choose it by a tag, give the tag to its import_playbook."


def selected(tags: Collection[str], only: Collection[str], skip: Collection[str]) -> bool:
    """Whether Ansible runs a task with these tags (the rule of its Taggable.evaluate_tags)."""
    mine = frozenset(tags) or frozenset(["untagged"])
    wanted = "always" in mine or "all" in only or mine.intersection(only) or ("tagged" in only and tags)
    if "all" in skip:
        unwanted: object = "always" not in mine or "always" in skip
    else:
        unwanted = mine.intersection(skip) or ("tagged" in skip and tags)
    return bool(wanted) and not unwanted


def is_checked(task_vars: Mapping[str, Any], host: str) -> bool:
    """Whether hotswap.bluegreen.preflight has looked at the host in this run."""
    return bool(_task.fact(task_vars, host, FACT) == _owner.run())


def begun(task_vars: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The facts with which a run begins on a host: a fact cache may have what an earlier run found out."""
    return {FACT: _owner.run(), **({} if is_checked(task_vars, host) else _OF_A_RUN)}


def unchecked(host: str) -> str:
    """What to do about a host that was not checked in this run."""
    if started_at():
        return f"{host} was not checked, because {started_at()}"
    return f"{host} was not checked in this run: run hotswap.bluegreen.preflight (or its role) before this task; did it fail there?"


def started_at() -> str:
    """That the run began in the middle, and what to do; '' if it did not."""
    task = context.CLIARGS.get("start_at_task")
    if not task:
        return ""
    return f"--start-at-task {task!r} has left out what comes before. Run it without: what is done already is seen, and not done again."


def refuse_beginning(action: ActionBase) -> None:
    """:class:`Refusal` if the run began at this very task, which has nothing to end then."""
    if fnmatch.fnmatch(action._task.name, context.CLIARGS.get("start_at_task") or ""):
        raise Refusal(started_at())


def _playbook(action: ActionBase) -> str:
    """The name of the playbook of ours that the task stands in, '' if it is none of ours."""
    path = Path(str(action._task.get_path()).rpartition(":")[0])
    return f"{_NAME}.{path.stem}" if path.parent.resolve() == _PLAYBOOKS else ""


def _is_run(name: str) -> bool:
    """Whether the user has named this playbook on the command line, by its name or its path."""
    path = _PLAYBOOKS / f"{name.rpartition('.')[2]}.yml"
    return any(given == name or Path(str(given)).resolve() == path for given in context.CLIARGS.get("args") or ())
