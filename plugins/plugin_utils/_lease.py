# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's lock, seen from the controller: taken where it is kept, with every host of the fleet told, and given back."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _lock, _orders
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump, load

from . import _fleet, _owner, _remote, _task, _whole
from ._runner import Abandoned, Lost

PATIENCE = 900.0  # seconds a lease lasts before the first phase extends it
_ASK = 2.0  # seconds between two attempts while another run has it
_LISTEN = 1.0  # seconds between two looks whether a run has heard
_TELL = 10.0  # seconds between two lines that say for whom this run waits


@dataclass(frozen=True)
class Holder:
    """Who takes the lock and why, for how long, and how to reach where it is kept."""

    remote: _remote.Hosts
    keeper: Wish
    owner: Mapping[str, Any]
    reason: str
    seconds: float = PATIENCE

    def ask(self, state: str, **more: Any) -> dict[str, Any]:
        """The answer of the host that keeps the lock."""
        arguments = {"state": state, "wish": dump(_short(self.keeper)), "owner": dict(self.owner), "reason": self.reason, "seconds": self.seconds, **more}
        try:
            return self.remote.module(self.keeper.host, "lock", arguments)
        except Lost as error:
            advice = "If it is gone for good, name it in bluegreen_balancers_absent, with the reason."
            raise Lost(f"{error}\n{self.keeper.host} keeps the lock of {self.keeper.service}. {advice}") from error


def take(action: ActionBase, variables: Mapping[str, Any], reason: str, seconds: float = PATIENCE) -> dict[str, Any]:
    """Take the lock for this run and tell every host of the fleet: its ``token``, the ``host`` that keeps it, and who was ``left_out`` and why.

    :class:`Refusal` names the owner if another run has it for longer than bluegreen_lock_timeout, and the hosts that
    cannot be told, if they are too many. Then the lock is given back.
    """
    fleet = _fleet.of(action, variables)
    holder = Holder(_remote.Hosts(action, variables), fleet.keeper, _owner.of(variables), reason, seconds)
    known = _task.lock(variables)
    mine = known.get("token", 0) if known.get("service") == fleet.service else 0
    lease = _wait(holder, mine, fleet.rollout.lock_timeout, action._display.display)
    try:
        token, left_out = _tell(holder, fleet, lease, action._display.warning)
    except BaseException:
        give_back(holder, lease["token"], action._display.warning)
        raise
    return {"token": token, "host": fleet.keeper.host, "service": fleet.service, "wish": dump(_short(fleet.keeper)), "left_out": left_out}


def _wait(holder: Holder, mine: int, patience: float, say: Callable[[str], Any]) -> dict[str, Any]:
    """The lease, once it is ours."""
    parent, service = os.getppid(), holder.keeper.service
    deadline, told = time.monotonic() + patience, (0, 0.0)
    while True:
        answer = holder.ask("held", token=mine)
        if answer["held_by"]:
            owner, token = answer["lease"]["owner"], answer["lease"]["token"]
            if _owner.is_gone(owner, holder.owner):
                say(f"the run that has the lock of {service} is gone, it is taken over: {answer['held_by']}")
                answer = holder.ask("held", dead=token)
            elif _owner.is_same(owner, holder.owner):  # an earlier play of it, whose facts this one does not see
                answer = holder.ask("held", dead=token)
        if not answer["held_by"]:
            return dict(answer["lease"])
        left = deadline - time.monotonic()
        if left <= 0:
            raise Refusal(
                f"another run holds the lock of {service}: {answer['held_by']}. Wait for its end, or let this run wait with bluegreen_lock_timeout. "
                "A dead run's lock ends by itself; hotswap.bluegreen.unlock breaks one that hangs."
            )
        if told[0] != answer["lease"]["token"] or time.monotonic() - told[1] > _TELL:
            say(f"waiting for the lock of {service}, for {left:.0f} s more: {answer['held_by']}")
            told = (answer["lease"]["token"], time.monotonic())
        time.sleep(min(_ASK, left))
        if os.getppid() != parent:
            raise Abandoned("ansible-playbook is gone; the lock is not taken.")


def _tell(holder: Holder, fleet: _fleet.Fleet, lease: Mapping[str, Any], warn: Callable[[str], Any]) -> tuple[int, dict[str, str]]:
    """Write the token to every host of the fleet: the token, and the hosts that could not be told and are left out.

    A host may have seen a higher token than the lock's host ever gave, if another balancer kept the lock before. While
    the lease is ours that is no run's, and ours becomes a higher one.
    """
    token = int(lease["token"])
    for _attempt in range(3):
        told = _fence(holder, (*fleet.wishes, *fleet.outside), token, _after(lease, holder.reason))
        highest = max((answer.get("highest", 0) for answer in told.values()), default=0)
        _refuse_bare(fleet, {host: f"{host}: {answer['absent']}" for host, answer in told.items() if answer.get("absent")}, warn)
        if highest <= token:
            return token, _silent(fleet, {host: answer["silent"] for host, answer in told.items() if answer.get("silent")}, warn)
        token = int(holder.ask("extended", token=token, above=highest, shorten=False)["lease"]["token"])
    raise Refusal("the hosts of the fleet have seen higher tokens each time they were asked: another run is at work without the lock. Find it, and run again.")


def _after(lease: Mapping[str, Any], reason: str) -> str:
    """The reason, for a run that was overtaken: it is told if its lock was broken, too."""
    broken = lease.get("broken")
    if not broken or broken["token"] != lease["token"] - 2:  # breaking takes the one between
        return reason
    return f"{reason}, after {_lock.who(broken['by'])} broke the lock of the run with token {broken['token']}: {broken['reason']}"


def _fence(holder: Holder, wishes: Sequence[Wish], token: int, reason: str) -> dict[str, dict[str, Any]]:
    """What each host says to the token, all asked at once; ``silent`` says why one did not answer."""
    by_host = {wish.host: wish for wish in wishes}

    def ask(host: str) -> dict[str, Any]:
        arguments = {"state": "fenced", "wish": dump(_short(by_host[host])), "token": token, "owner": dict(holder.owner), "reason": reason}
        try:
            answer = holder.remote.module(host, "lock", arguments)
        except Lost as error:
            return {"silent": str(error)}
        return answer

    return holder.remote.all(list(by_host), ask)


def _refuse_bare(fleet: _fleet.Fleet, bare: Mapping[str, str], warn: Callable[[str], Any]) -> None:
    """:class:`Refusal` if the service is not installed on a host of this run; on another host there is nothing to guard."""
    if any(wish.host in bare for wish in fleet.wishes):
        raise Refusal("\n".join(bare.values()))
    for why in bare.values():
        warn(why)


def _silent(fleet: _fleet.Fleet, silent: Mapping[str, str], warn: Callable[[str], Any]) -> dict[str, str]:
    """The hosts that this run leaves out because they did not answer. :class:`Refusal` if it cannot go on without them."""
    needed = {host: why for host, why in silent.items() if host in fleet.topology.balancers}
    mine = {host: why for host, why in silent.items() if host in {wish.host for wish in fleet.wishes}}
    allowed = fleet.rollout.max_unreachable - len(fleet.unreachable)
    swapped = [wish for wish in fleet.wishes if wish.members and wish.host not in mine]
    if needed or len(mine) > max(allowed, 0) or (mine and not swapped):
        lines = [*silent.values(), f"The lock was given back, because these hosts cannot be told who has it: {', '.join({**needed, **mine})}."]
        if needed:
            lines.append(f"{', '.join(needed)} balances the service; if it is gone for good, name it in bluegreen_balancers_absent, with the reason.")
        else:
            lines.append(f"bluegreen_max_unreachable is {fleet.rollout.max_unreachable}.")
        raise Refusal("\n".join(lines))
    for host, why in silent.items():
        left_out = "It is left out of this run." if host in mine else "It is not in this run. A run that was overtaken is not refused there."
        warn(f"{why}\n{left_out}")
    return mine


def seen(action: ActionBase, variables: Mapping[str, Any]) -> str:
    """Who holds the lock, in words; '' if nobody does or nothing is installed yet."""
    keeper = _fleet.bare(action, variables).keeper
    return str(Holder(_remote.Hosts(action, variables), keeper, {}, "").ask("seen")["held_by"])


def extend(action: ActionBase, variables: Mapping[str, Any], seconds: float) -> None:
    """Keep this run's lock for ``seconds`` from now, or for as long as it lasts anyway."""
    lock = _task.lock(variables)
    if not lock:
        raise Refusal(_whole.started_at() or "this run has no lock: run hotswap.bluegreen.lock first.")
    _of_fact(action, variables, lock).ask("extended", token=lock["token"], seconds=seconds, shorten=False)


def release(action: ActionBase, variables: Mapping[str, Any], lock: Mapping[str, Any]) -> None:
    """Give the lock back, if this run has it."""
    if lock:
        give_back(_of_fact(action, variables, lock), lock["token"], action._display.warning)


def give_back(holder: Holder, token: int, warn: Callable[[str], Any]) -> None:
    """End the lease. One that cannot be ended ends by itself, so that is no failure of the run."""
    try:
        holder.ask("released", token=token)
    except (Refusal, Lost) as error:
        warn(f"the lock of {holder.keeper.service} could not be given back, it ends by itself: {error}")


def end(action: ActionBase, variables: Mapping[str, Any], reason: str) -> str:
    """Break the lock of whoever holds it and tell every host: who held it, in words, '' if nobody did."""
    if not reason.strip():
        raise Refusal('breaking a lock needs a reason, which the run that holds it is told: -e bluegreen_unlock_reason="its controller is gone"')
    fleet = _fleet.bare(action, variables)
    holder = Holder(_remote.Hosts(action, variables), fleet.keeper, _owner.of(variables), reason)
    answer = holder.ask("broken")
    if answer["held_by"]:
        told = _fence(
            holder, fleet.wishes, answer["lease"]["token"], f"who broke the lock of the run with token {answer['lease']['broken']['token']}: {reason}"
        )
        for why in (said.get("silent") or said.get("absent") for said in told.values()):
            if why:
                action._display.warning(f"{why}\nA run that has not ended is not refused there.")
    return str(answer["held_by"])


def order(action: ActionBase, variables: Mapping[str, Any], wanted: str, reason: str, to: str, patience: float) -> tuple[str, str]:
    """Tell the run that has the lock to promote or abort its canary, and wait until it has: who that is, and what became of it, in words.

    :class:`Refusal` if no run is at work.
    """
    if wanted == _orders.ABORT and not reason.strip():
        raise Refusal('ending a canary needs a reason, which its run is told: -e bluegreen_reason="customers see old prices"')
    keeper = _fleet.bare(action, variables).keeper
    holder = Holder(_remote.Hosts(action, variables), keeper, _owner.of(variables), reason)
    answer = holder.ask("ordered", order=wanted, to=to)
    if not answer["held_by"]:
        raise Refusal(nobody_to_order(keeper.service))
    token, end = answer["lease"]["token"], time.monotonic() + patience
    while True:
        found = holder.ask("seen")
        if found["lease"].get("token") != token:
            return answer["held_by"], "It has ended."
        if not found["order"]:
            return answer["held_by"], "It has heard."
        left = end - time.monotonic()
        if left <= 0:
            return answer["held_by"], f"It has not heard within {patience:g} s: it does so while a step of a canary lasts, or the old release stays warm."
        time.sleep(min(_LISTEN, left))


def nobody_to_order(service: str) -> str:
    """What to do instead of ordering a run that is not there."""
    return (
        f"no run is at work on {service}, so there is nobody to tell. A canary that was cut off is completed by hotswap.bluegreen.release, "
        "and taken back by hotswap.bluegreen.rollback."
    )


def staging_seconds(variables: Mapping[str, Any], forks: int) -> float:
    """How long all hosts of the play may take to stage, as many at once as there are forks."""
    hosts = variables["ansible_play_hosts_all"]
    longest = max((_task.fact(variables, host, "bluegreen_staging_seconds") or 0.0 for host in hosts), default=0.0)
    return max(PATIENCE, float(longest) * math.ceil(len(hosts) / max(forks, 1)))


def _of_fact(action: ActionBase, variables: Mapping[str, Any], lock: Mapping[str, Any]) -> Holder:
    return Holder(_remote.Hosts(action, variables), load(Wish, lock["wish"]), _owner.of(variables), "")


def _short(wish: Wish) -> Wish:
    """The wish without the rest of the fleet, which the lock does not need."""
    return replace(wish, pool=(), batches=())
