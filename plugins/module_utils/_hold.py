# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a changing call must hold: the run's lease where it is kept, and a token that no younger run has overtaken."""

from __future__ import annotations

from . import _lock, _site
from ._model import Refusal, Wish

HEARTBEAT = 60.0  # seconds a lease lasts after each sign of life inside the swap


def lease_folder(wish: Wish) -> str:
    """Where the service's lease is kept: beside the link, on the fleet's first balancer."""
    return _site.state_dir(wish)


def hold(wish: Wish, token: int, keeps_lease: bool, seconds: float = HEARTBEAT) -> None:
    """:class:`Refusal` unless this run may change this host now."""
    if token <= 0:
        raise Refusal("a changing call needs the run's lock: run hotswap.bluegreen.lock first.")
    if keeps_lease:
        _lock.extend(lease_folder(wish), token, seconds)
    _lock.fence(wish.root, token)
