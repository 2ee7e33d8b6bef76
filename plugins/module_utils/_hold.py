# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a changing call must hold: the run's lease where it is kept, and a token that no younger run has overtaken."""

from __future__ import annotations

from . import _fence, _lock, _site
from ._model import Refusal, Wish

HEARTBEAT = 60.0  # seconds a lease lasts after each sign of life inside the swap


def staging_seconds(build_timeout: float) -> float:
    """How long a host may take to stage: a build for the release and one for each slot, and ten minutes for the copies."""
    return build_timeout * 3 + 600


def lease_folder(wish: Wish) -> str:
    """Where the service's lease is kept: beside the link, on the fleet's first balancer."""
    return _site.state_dir(wish)


def fence_folder(wish: Wish) -> str:
    """Where a host keeps the highest token it has seen: the service's root, on a host that is only a balancer beside the link."""
    return wish.root if wish.members else _site.state_dir(wish)


def hold(wish: Wish, token: int, keeps_lease: bool, seconds: float = HEARTBEAT) -> None:
    """:class:`Refusal` unless this run may change this host now, and for as long as this process lives."""
    _needed(token)
    if keeps_lease:
        _lock.extend(lease_folder(wish), token, seconds)
    _fence.enter(fence_folder(wish), token)


def begin(wish: Wish, token: int, keeps_lease: bool, seconds: float) -> None:
    """:class:`Refusal` unless this run may begin something long here that changes nothing that serves; :func:`hold` comes before what does."""
    _needed(token)
    if keeps_lease:
        _lock.extend(lease_folder(wish), token, seconds, shorten=False)
    _fence.refuse_if(_fence.overtaken(fence_folder(wish), token))


def _needed(token: int) -> None:
    if token <= 0:
        raise Refusal("a changing call needs the run's lock: run hotswap.bluegreen.lock first.")
