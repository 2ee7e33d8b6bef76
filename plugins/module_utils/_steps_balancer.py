# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps on a balancer: declare pools, switch members away, let their connections end, enable them again.

The guards: those who stay answer now, from here, and are enough; who comes answers now, from here.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple

from . import _declare, _health, _maintenance, _nginx, _site, _sockets
from ._frame import LOOK, Failed, Frame, Overtime
from ._model import Refusal, Step, Wish
from ._parts import Health, Member

if TYPE_CHECKING:
    from ._steps_member import MemberSteps

_QUIET_LOOKS = 3  # a drain is over when this many looks in a row see no connection
_LONG_LOOK = 0.2  # seconds between looks, at most, where clients take their time to leave
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
        moved = self._move(lambda: _nginx.switch(self.wish, step.members, (), guard))
        if self.wish.goodbye.is_said:  # who is here before they are told
            self.frame.found["drain"] = {"there": self._connections(leaving)}
        return self._serving() if moved else None

    def drain(self, step: Step) -> str:
        """Wait until this balancer has no connection to the members, ``drain_timeout`` at most, or the step's own time, where clients were told to leave."""
        members = [self._member(name) for name in step.members]
        for member in members:
            _nginx.must_be_out(self.wish, member)
        told, limit = step.seconds > 0, step.seconds or self.wish.drain_timeout
        end = self.frame.clock.now() - step.elapsed + limit
        quiet, most, look = 0, step.resume.get("there", {}), LOOK
        while quiet < _QUIET_LOOKS:
            counts = self._connections(members)
            most = {name: max(count, most.get(name, 0)) for name, count in counts.items()}
            busy, there = sum(counts.values()), sum(most.values())
            quiet = 0 if busy else quiet + 1
            left = f"{busy} of {_connections(there)} left" if told else f"{_connections(busy)} left"
            if busy and self.frame.clock.now() >= end:
                gone = f", {there - busy} left by themselves" if told else ""
                if self.wish.on_drain_timeout == "stop":
                    slow = next(name for name, count in counts.items() if count)
                    name = f"bluegreen_{'long_' if limit != self.wish.drain_timeout else ''}drain_timeout"
                    raise Failed(f"no connection from the balancer within {name} ({limit:g} s)", f"{left} after {limit:g} s{gone}", slow)
                raise Overtime(f"{left} after {limit:g} s{gone}; going on, they will be cut (bluegreen_on_drain_timeout is go_on)")
            if quiet < _QUIET_LOOKS:
                look = min(look * 1.5, _LONG_LOOK) if told and busy else LOOK  # a thousand connections take 10 ms to be counted
                self.frame.pause(f"{left}, of {limit:g} s", look, there=most)
        others = sum(_sockets.incoming(member.ports.values()) for member in members if self._is_own(member))
        gone = f", {there} left by themselves" if told and there else ""
        return f"no connection left{gone}{f', {others} not from the balancer' if others else ''}"

    def _connections(self, members: Sequence[Member]) -> Dict[str, int]:
        """How many connections this balancer has to each of them."""
        nginx = _nginx.processes(self.wish.nginx)
        return {member.id: _sockets.outgoing([(member.address, port) for port in member.ports.values()], nginx) for member in members}

    def enable(self, step: Step) -> str:
        """Let the balancer serve the members again, after one more look: they may have died, or be out of this host's reach."""
        self._must_be_right(step)
        self._move(lambda: _nginx.switch(self.wish, (), step.members))
        self._settle(step)
        return self._serving()

    def shift(self, step: Step) -> Optional[str]:
        """Give some of the requests, or all, to the members instead of those who leave, after one more look at them."""
        self._must_be_right(step)
        guard = functools.partial(self._must_not_undercut, step)
        moved = self._move(lambda: _nginx.shift(self.wish, step.members, step.leaving, step.weight, guard))
        if step.weight in (0, 100) and self.wish.strategy == "canary":
            from . import _answers

            _answers.empty(_site.canary_log(self.wish))
            self._must_be_written(step)
        if step.weight == 100:
            self._settle(step)
        if not moved:
            return None
        return self._serving() if step.weight == 100 else f"{step.weight:g} % of the requests" if step.weight else "nobody but testers"

    def _must_be_written(self, step: Step) -> None:
        """:class:`Refusal` if a canary begins and nginx's workers do not have its log open: nothing could be judged."""
        log = os.path.realpath(_site.canary_log(self.wish))
        workers = _nginx.workers(self.wish.nginx)
        if step.weight == 0 and not all(_nginx.holds_open(pid, log) for pid in workers):
            raise Refusal(
                f"nginx on {self.wish.host} does not write the canary's answers to {log}, so nothing could be judged. Was the file taken away? "
                f"kill -USR1 {_nginx.master(self.wish.nginx)} lets nginx open it again; else see that the service's location file is included."
            )

    def smoke(self, step: Step) -> Optional[str]:
        """Ask the members what the user wants to know of a release before clients reach it, and ask it through nginx as a tester."""
        from . import _smoke  # for those who have one

        right, wrong = _smoke.ask(self.wish, [self._member(name) for name in step.members], self.frame.clock.sleep)
        if wrong:
            wanted, where, member, seen = wrong
            raise Failed(f"bluegreen_smoke: {_health.expectation(wanted).split(', ')[0]}, asked from {self.wish.host} at {where}", seen, member)
        return f"{right} right answers"

    def _must_be_right(self, step: Step) -> None:
        """:class:`Failed` unless those who come answer rightly now, from here."""
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

    def _settle(self, step: Step) -> None:
        """What came is good: this balancer is the last of its own host's that had to say so."""
        for name in step.members:
            member = self._member(name)
            if self.members and self._is_own(member) and not self.wish.others:
                self.members.settle(step, member)

    def _move(self, change: Callable[[], bool]) -> bool:
        """Change who serves; a pool that is not there, because somebody else did so, too, is declared first."""
        for _turn in range(_DECLARATIONS):
            try:
                return change()
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
