# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen of a service on an engine, in words that both engines share. Frozen dataclasses; times are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass

GOOD, FAILED, RETURNED, LEFT = "good", "failed", "returned", "left"


@dataclass(frozen=True)
class Replica:
    """A task of Swarm, a pod of Kubernetes. ``state`` is the engine's own word, ``problem`` its reason for one that does not run;
    one that is ``leaving`` was told to end, and to one that is ``aside`` no request goes, healthy or not."""

    name: str
    release: str
    node: str = ""
    state: str = ""
    healthy: bool = False
    problem: str = ""
    since: float = 0.0
    leaving: bool = False
    aside: bool = False


@dataclass(frozen=True)
class Past:
    """A release that the engine could still go back to. ``outcome`` is how its last run ended, '' where it did not reach its end.

    ``returned`` is a good one that a rollback went to, ``left`` one that a rollback went away from.
    """

    release: str
    image: str
    at: float = 0.0
    outcome: str = ""
    by: str = ""


@dataclass(frozen=True)
class Seen:
    """A service as it is. ``state``: what the engine's own controller does with it.

    - ``absent``: there is none, ``foreign``: there is one of that name that is not ours
    - ``settled``: it is as asked for
    - ``rolling``: replicas are being replaced
    - ``paused``: the engine has stopped in the midst, and waits for a person
    - ``rolling_back`` and ``rolled_back``: it goes, or went, back to what ran before
    - ``stuck``: it cannot go on (Kubernetes' deadline has passed), and does not go back by itself

    ``release`` is what the engine is asked for now, ``mark`` tells one description of a service from another (of the
    same release, too), ``was`` is the release before. ``message`` is the engine's own sentence. ``past`` has the latest first.
    ``pending`` is a release that was brought beside it, has not ended well, and that no client has reached.
    """

    state: str = "absent"
    release: str = ""
    was: str = ""
    mark: str = ""
    image: str = ""
    message: str = ""
    wanted: int = 0
    replicas: tuple[Replica, ...] = ()
    past: tuple[Past, ...] = ()
    pending: str = ""

    def of(self, release: str) -> tuple[Replica, ...]:
        """The replicas of a release."""
        return tuple(replica for replica in self.replicas if replica.release == release)

    def healthy(self, release: str = "") -> int:
        """How many replicas are healthy, of all releases or of one."""
        return sum(replica.healthy for replica in self.replicas if not release or replica.release == release)
