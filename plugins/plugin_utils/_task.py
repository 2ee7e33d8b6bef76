# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our actions share: the task they stand in, the facts they leave for each other, failures in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish

from . import _hostvars, _journal, _owner, _progress
from ._runner import Abandoned, Tell


def refuse_keywords(action: ActionBase, name: str) -> None:
    """:class:`Refusal` for what would break the walk through the fleet into pieces."""
    play = _hostvars.play(action)
    task = action._task
    found = []
    if getattr(play, "strategy", "linear") == "free" or str(getattr(play, "strategy", "")).endswith(".free"):
        found.append("strategy: free")
    if getattr(play, "serial", None):
        found.append("serial")
    if name == "swap":
        found += [word for word in ("loop", "delegate_to") if getattr(task, word, None)]
    if found:
        raise Refusal(
            f"{' and '.join(found)} cannot be used with hotswap.bluegreen.swap: it walks all hosts of the play in one task, one member at a time. Take it away."
        )


def fact(task_vars: Mapping[str, Any], host: str, name: str) -> Any:
    """A fact that a task of ours set on ``host``, None without one. Where facts are injected as variables or not."""
    return task_vars["hostvars"][host].get("ansible_facts", {}).get(name)


def unknown(task_vars: Mapping[str, Any], host: str) -> list[str]:
    """What a check before the first installation cannot know of a host."""
    return list(fact(task_vars, host, "bluegreen_unknown") or [])


def left_out(task_vars: Mapping[str, Any], host: str) -> str:
    """Why the run leaves the host out, '' if it does not: unreachable when it was looked at, or when it was to be fenced."""
    return str(fact(task_vars, host, "bluegreen_unreachable") or lock(task_vars).get("left_out", {}).get(host, ""))


def rollback(action: ActionBase, task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """What the task hotswap.bluegreen.rollback decided in this play, {} without one: its ``release`` is the wished one, whatever the variables say."""
    found = task_vars.get("ansible_facts", {}).get("bluegreen_rollback")
    return dict(found) if found and found["play"] == getattr(_hostvars.play(action), "_uuid", None) else {}


def lock(task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """The lock that an earlier task of the run took, {} if none did: a fact of whichever host that task was booked on, the latest of them.

    A fact cache also has the lock of an earlier run that was cut off.
    """
    found = (fact(task_vars, host, "bluegreen_lock") for host in task_vars["ansible_play_hosts_all"])
    mine = (one for one in found if one and one.get("run") == _owner.run())
    return dict(max(mine, key=lambda lock: lock["token"], default={}))


def verdict(task_vars: Mapping[str, Any]) -> dict[str, str]:
    """What failed in this run so far, by the host that it is booked on; {} if nothing did."""
    found = (fact(task_vars, host, "bluegreen_verdict") for host in task_vars["ansible_play_hosts_all"])
    return next((dict(booked) for booked in found if booked), {})


def swapped(task_vars: Mapping[str, Any]) -> bool:
    """Whether the swap of this run has changed anything."""
    return any(fact(task_vars, host, "bluegreen_swapped") for host in task_vars["ansible_play_hosts_all"])


def returned(task_vars: Mapping[str, Any]) -> dict[str, str]:
    """The hosts with members that the swap of this run has put back, and the release that they run now."""
    found = (fact(task_vars, host, "bluegreen_returned") for host in task_vars["ansible_play_hosts_all"])
    return next((dict(hosts) for hosts in found if hosts), {})


def previous_release(task_vars: Mapping[str, Any]) -> str:
    """The release that clients had when the swap of this run began, '' if it was the wished one, or the swap was not reached."""
    found = (fact(task_vars, host, "bluegreen_previous_release") for host in task_vars["ansible_play_hosts_all"])
    return next((str(release) for release in found if release), "")


def gone(task_vars: Mapping[str, Any], hosts: Collection[str]) -> list[str]:
    """Those of the run's ``hosts`` that failed in an earlier task; not those that it leaves out."""
    out = [host for host in task_vars["ansible_play_hosts_all"] if host not in task_vars["ansible_play_hosts"]]
    return [host for host in out if host in hosts and not left_out(task_vars, host)]


def jobs(task_vars: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The single jobs that the run's swap saw at its end, by host."""
    return dict(_at_the_end(task_vars).get("hosts", {}))


def left_alone(task_vars: Mapping[str, Any]) -> list[str]:
    """The hosts of which the run's swap saw every member in maintenance."""
    return list(_at_the_end(task_vars).get("left_alone", []))


def _at_the_end(task_vars: Mapping[str, Any]) -> dict[str, Any]:
    return _of_run(task_vars, "bluegreen_jobs")


def reached_the_end(task_vars: Mapping[str, Any]) -> bool:
    """Whether the swap of this run came to an end, a good or a bad one."""
    return bool(_at_the_end(task_vars))


def told(task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """What this run has told of its beginning: ``at`` (epoch seconds), and whether messages were ``sent``; {} without the task."""
    return _of_run(task_vars, "bluegreen_told")


def changed(task_vars: Mapping[str, Any]) -> bool:
    """Whether this run has changed anything: swapped a member, or brought a release to its end that another run had swapped in."""
    return swapped(task_vars) or bool(_of_run(task_vars, "bluegreen_finished").get("changed"))


def _of_run(task_vars: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A fact that a task of this run left, on whichever host; {} without it, or if it is another run's."""
    token = lock(task_vars).get("token", 0)
    found = (fact(task_vars, host, name) for host in task_vars["ansible_play_hosts_all"])
    return next((dict(one) for one in found if one and one["token"] == token), {})


def in_run(wishes: Sequence[Wish], task_vars: Mapping[str, Any]) -> list[Wish]:
    """Those of the wishes with members that this run works on: without the hosts that could not be told of its lock."""
    gone = lock(task_vars).get("left_out", {})
    return [wish for wish in wishes if wish.members and wish.host not in gone]


def teller(action: ActionBase, task_vars: Mapping[str, Any], journal: _journal.Journal | None = None) -> Tell:
    """What the runner tells, as lines on the terminal and in the run's journal: the one that its facts name, or ``journal``."""
    lines, journal = _progress.Lines(planned=bool(action._task.check_mode)), journal or _journal.of(task_vars)

    def tell(item: Any) -> None:
        journal.tell(item)
        for line in lines(item):
            if line.level:
                action._display.v(line.text)
            else:
                action._display.display(line.text, color=line.color or None)

    return tell


def controller_lives() -> Callable[[], None]:
    """Stops a walk when ansible-playbook is gone: on some versions this process would run on, unseen."""
    parent = os.getppid()

    def proceed() -> None:
        if os.getppid() != parent:
            raise Abandoned("ansible-playbook is gone; nothing more is changed. Run again to go on.")

    return proceed


def is_later(action: ActionBase) -> bool:
    """Whether what fails is only noted, for hotswap.bluegreen.verdict to book it on the host whose fault it was."""
    when = action._task.args.get("verdict", "now")
    if when not in ("now", "later"):
        raise Refusal(f"verdict is {when!r}; now or later is expected.")
    return bool(when == "later")


def failed(booked: Mapping[str, str], later: bool) -> dict[str, Any]:
    """What failed, by host, as a part of a task's result: as its failure, or noted for later; nothing if nothing did."""
    if not booked:
        return {}
    text = "\n".join(booked.values())
    return {"msg": text, "ansible_facts": {"bluegreen_verdict": dict(booked)}} if later else {"failed": True, "msg": text}
