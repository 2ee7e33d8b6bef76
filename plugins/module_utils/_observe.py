# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at one host: what runs in each slot, what its balancer serves. Changes nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable, Dict, Optional, Tuple

from . import _nginx
from ._model import HostState, JobState, SlotState, Wish

if TYPE_CHECKING:
    from ._supervisor import Client


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
    if not wish.limits.any:
        return HostState(wish.host, time.time(), slots, balancer, jobs)
    from . import _limits

    return HostState(wish.host, time.time(), slots, balancer, jobs, *_limits.look(wish.limits))
