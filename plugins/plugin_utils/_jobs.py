# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The single jobs of a run, between Ansible and :mod:`_singles`: what the swap saw of them, and what hosts beyond the ``--limit`` have."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, load
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState

from . import _fleet, _remote, _singles, _task
from ._runner import Lost


def move(action: ActionBase, fleet: _fleet.Fleet, wishes: Sequence[Wish], variables: Mapping[str, Any], remote: _remote.Hosts) -> _singles.Moved:
    """Bring the jobs that run once a host, or once in the fleet, onto the release that serves now. ``wishes`` are the hosts that may be changed.

    Those in maintenance are asked and left as they are.
    """
    hosts = {wish.host for wish in wishes}
    inside = {wish.host: wish for wish in wishes if wish.host not in _task.left_alone(variables)}
    seen = {host: load(HostState, {"host": host, "time": 0, "slots": {}, "jobs": jobs}) for host, jobs in _task.jobs(variables).items() if host in hosts}
    silent = {**fleet.unreachable, **_task.lock(variables).get("left_out", {})}
    beyond = [wish for wish in fleet.outside if any(one.fleet_jobs for one in wishes)]
    unseen = [*(wish for wish in wishes if wish.host not in seen), *beyond]
    answers = remote.together([functools.partial(_look, remote, wish) for wish in unseen])
    for wish, answer in zip(unseen, answers, strict=True):
        if isinstance(answer, str):
            silent[wish.host] = answer
        else:
            seen[wish.host] = answer
    moves = _singles.decide(_singles.Sight(inside, seen, silent, fleet.rollout.workers_absent))
    if action._task.check_mode:
        for one in moves:
            action._display.display(_singles.words(one))
        return _singles.Moved(would=bool(moves))
    known = {wish.host: wish for wish in (*wishes, *beyond)}
    return _singles.carry_out(moves, known, fleet.release, remote, _task.teller(action, variables), _task.controller_lives())


def _look(remote: _remote.Hosts, wish: Wish) -> HostState | str:
    """A host that the swap did not look at, or why it cannot be asked."""
    try:
        return remote.observe(wish)
    except (Lost, Refusal) as error:
        return str(error)
