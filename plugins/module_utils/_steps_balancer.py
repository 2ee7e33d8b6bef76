# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps on a balancer: declare pools, switch members away, let their connections end, enable them again.

The guards: those who stay answer now, from here, and are enough; who comes answers now, from here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple

from . import _declare, _health, _maintenance, _nginx, _sockets
from ._frame import Failed, Frame, Overtime
from ._model import Health, Member, Refusal, Step, Wish

if TYPE_CHECKING:
    from ._steps_member import MemberSteps

_QUIET_LOOKS = 3  # a drain is over when this many looks in a row see no connection
_AT_ONCE = 16  # members asked at the same time
_DECLARATIONS = 3  # times that a balancer may change under a step before it gives up


class BalancerSteps:
    """``members`` are the steps of this host's own slots, where it has some: they know more of those than an answer."""

    def __init__(self, wish: Wish, members: Optional[MemberSteps], frame: Frame) -> None:
        self.wish = wish
        self.members = members
        self.frame = frame

    def declare(self, step: Step) -> Optional[str]:
        """Declare pools that nobody foresaw: the one reload there is, before anything is touched."""
        return "nginx reloaded" if _declare.declare(self.wish, tuple(map(frozenset, step.pools))).reloaded else None

    def switch(self, step: Step) -> Optional[str]:
        """Take the members out: from here on they get no new request."""
        leaving = [self._member(name) for name in step.members]
        missed = any(self._answers(member, step) for member in leaving)  # taking out who does not answer anyway costs nothing
        guard = functools.partial(self._must_not_undercut, step) if missed else functools.partial(self._must_not_empty, leaving)
        moved = self._move(guard, leave=step.members)
        return self._serving() if moved else None

    def drain(self, step: Step) -> str:
        """Wait until this balancer has no connection to the members, ``drain_timeout`` at most."""
        members = [self._member(name) for name in step.members]
        for member in members:
            _nginx.must_be_out(self.wish, member)
        end = self.frame.clock.now() - step.elapsed + self.wish.drain_timeout
        quiet = 0
        while quiet < _QUIET_LOOKS:
            nginx = _nginx.processes(self.wish.nginx)
            counts = {member.id: _sockets.outgoing([(member.address, port) for port in member.ports.values()], nginx) for member in members}
            busy = sum(counts.values())
            quiet = 0 if busy else quiet + 1
            if busy and self.frame.clock.now() >= end:
                left = f"{_connections(busy)} left after {self.wish.drain_timeout:g} s"
                if self.wish.on_drain_timeout == "stop":
                    slow = next(name for name, count in counts.items() if count)
                    raise Failed(f"no connection from the balancer within bluegreen_drain_timeout ({self.wish.drain_timeout:g} s)", left, slow)
                raise Overtime(f"{left}; going on, they will be cut (bluegreen_on_drain_timeout is go_on)")
            if quiet < _QUIET_LOOKS:
                self.frame.pause(f"{_connections(busy)} left, of {self.wish.drain_timeout:g} s")
        others = sum(_sockets.incoming(member.ports.values()) for member in members if self._is_own(member))
        return f"no connection left{f', {others} not from the balancer' if others else ''}"

    def enable(self, step: Step) -> str:
        """Let the balancer serve the members again, after one more look: they may have died, or be out of this host's reach."""
        for name in step.members:
            member = self._member(name)
            if self.members and self._is_own(member):
                self.members.must_be_right(step, member)
            else:
                health = self._expectation(member, step)
                healthy, seen = _health.ask(member, health, sleep=self.frame.clock.sleep)
                if not healthy:
                    asked = f"{member.address}:{_health.port(member, health)}"
                    raise Failed(f"{_health.expectation(health)}, asked from {self.wish.host} at {asked}", seen, member.id)
        self._move(None, enter=step.members)
        for name in step.members:
            member = self._member(name)
            if self.members and self._is_own(member) and not self.wish.others:
                self.members.settle(step, member)
        return self._serving()

    def _move(self, guard: Optional[Callable[[FrozenSet[str]], None]], leave: Sequence[str] = (), enter: Sequence[str] = ()) -> bool:
        """Switch; a pool that is not there, because somebody else changed what is served, is declared first."""
        for _ in range(_DECLARATIONS):
            try:
                return _nginx.switch(self.wish, leave, enter, guard)
            except _nginx.Undeclared as missing:
                if _declare.declare(self.wish, (missing.pool,)).reloaded:
                    self.frame.reloads.append(f"nginx reloaded for a pool of {missing}")
        raise Refusal(
            f"nginx on {self.wish.host}: somebody else changes what it serves all the time, or its workers do not serve our pools: see its error log."
        )

    def _must_not_empty(self, leaving: Sequence[Member], stay: FrozenSet[str]) -> None:
        """Who does not answer its health path may be overloaded only: the last ones that take connections stay in."""
        taking = [member.id for member in leaving if _health.connects(member.address, member.port, self.wish.health.timeout)]
        if taking and not stay and self.wish.min_serving:
            raise Refusal(
                f"refused to take {', '.join(taking)} out: it does not answer {_health.expectation(self.wish.health).split(' within')[0]}, "
                "but it takes connections, and nobody else would serve. Repair another one, or accept the downtime with bluegreen_min_serving: 0."
            )

    def _must_not_undercut(self, step: Step, stay: FrozenSet[str]) -> None:
        """Those who stay must answer now, whatever they did when the plan was made."""
        need, left = self.wish.min_serving, sorted(stay - _maintenance.left_alone(self.wish).keys())  # who is worked on may be gone at any moment
        good = 0
        dead: List[str] = []
        while left and good < need:
            now, left = left[: need - good], left[need - good :]
            for name, healthy in self._ask(now, step):
                good += healthy
                dead += [] if healthy else [name]
        if good < need:
            asked = _health.expectation(self.wish.health).split(" within")[0]
            why = f"{', '.join(dead)} would have to serve and does not answer {asked}" if dead else f"{good} would serve"
            raise Refusal(f"refused to take {step.member} out: {why}; bluegreen_min_serving is {need}.")

    def _ask(self, names: Sequence[str], step: Step) -> List[Tuple[str, bool]]:
        if len(names) == 1:
            return [(names[0], self._answers(self._member(names[0]), step))]
        from concurrent.futures import ThreadPoolExecutor  # 8 ms of a call, for those who need it

        with ThreadPoolExecutor(min(_AT_ONCE, len(names))) as pool:
            return list(zip(names, pool.map(lambda name: self._answers(self._member(name), step), names)))

    def _answers(self, member: Member, step: Step) -> bool:
        if self.members and self._is_own(member):
            from . import _observe_slot

            return _observe_slot.answers(self.wish, member, self.members.client, self.frame.clock.sleep)
        return _health.ask(member, self._expectation(member, step), sleep=self.frame.clock.sleep)[0]

    def _expectation(self, member: Member, step: Step) -> Health:
        return _health.of_record(self.wish.health, step.expected.get(member.id, {}))

    def _is_own(self, member: Member) -> bool:
        return member.host == self.wish.host

    def _member(self, name: str) -> Member:
        known: Dict[str, Member] = {member.id: member for member in self.wish.pool}
        if name not in known:
            raise Refusal(f"{name} is not among the members that {self.wish.host} balances: {', '.join(sorted(known)) or 'none'}.")
        return known[name]

    def _serving(self) -> str:
        serving = _nginx.observe(self.wish).serving
        shown = ", ".join(serving[:8]) or "nobody"
        return f"serving {shown}{f' and {len(serving) - 8} more' if len(serving) > 8 else ''}"


def _connections(count: int) -> str:
    return f"{count} connection{'s' if count != 1 else ''}"
