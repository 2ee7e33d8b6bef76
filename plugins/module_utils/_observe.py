# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at one host: what runs in each slot, what its balancer serves. Changes nothing."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Callable, Dict, Optional, Tuple

from . import _nginx, _site
from ._model import Wish
from ._states import HostState, JobState, SlotState

if TYPE_CHECKING:
    from ._supervisor import Client

CANARY = "canary"  # the mark of the log that nginx writes while two releases share the requests


def host(wish: Wish, client: Optional[Client], sleep: Callable[[float], None] = time.sleep) -> HostState:
    """All of the host. The health of a running member is asked; of a dead one it is known. ``client`` is needed where there are members."""
    balancer = _nginx.observe(wish) if wish.pool else None
    slots: Dict[str, SlotState] = {}
    jobs: Tuple[JobState, ...] = ()
    if client:
        from . import _observe_slot, _workers  # a host that only balances is spared a quarter of its call

        nginx = _nginx.processes(wish.nginx) if wish.pool else frozenset()
        serving = frozenset(balancer.serving) if balancer else frozenset()
        slots = {member.slot: _observe_slot.slot_state(wish, member, client, serving, nginx, sleep) for member in wish.members}
        jobs = tuple(_workers.singles(wish, client))
    state = HostState(wish.host, time.time(), slots, balancer, jobs)
    if wish.limits.any:
        from . import _limits

        crossed, marks = _limits.look(wish.limits)
        state = replace(state, crossed=crossed, marks=marks)
    return _with_answers(wish, state) if wish.strategy == "canary" and balancer and balancer.step > 0 else state


def _with_answers(wish: Wish, state: HostState) -> HostState:
    """What both sides have answered since the last look; at the first one only what comes from now on counts."""
    from . import _answers

    log = _site.canary_log(wish)
    mark = wish.limits.marks.get(CANARY)
    found = _answers.read(log, mark) if mark else _answers.Answers(mark=_answers.end(log))
    return replace(state, marks={**state.marks, CANARY: found.mark}, answers={name: asdict(side) for name, side in found.sides.items()})
