# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walk a release through all members of the play's hosts: glue between Ansible and the runner."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _pools
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import BalancerState, HostState, SlotState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import (
    _ending,
    _fleet,
    _journal,
    _judges,
    _lease,
    _pauses,
    _probing,
    _remote,
    _result,
    _runner,
    _task,
    _watching,
)


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.swap): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"verdict"})

    @_journal.recorded("swap")
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        began = time.monotonic()
        try:
            _task.refuse_keywords(self, "swap")
            later = _task.is_later(self)
            if later and _task.verdict(variables):
                return {**result, "skipped": True, "skip_reason": "the run has failed before a member was touched"}
            fleet = _fleet.of(self, variables)
            _refuse_failed(fleet, variables)
        except Refusal as error:
            if _task.lock(variables).get("until") == "swap":
                _lease.release(self, variables, _task.lock(variables))
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed."}
        for host, why in fleet.topology.absent.items():
            self._display.warning(f"{host} is left out: {why} (bluegreen_balancers_absent)")
        try:
            done = self._preview(fleet, variables) if self._task.check_mode else self._swap(fleet, variables)
        except (Refusal, _runner.Lost, _runner.Abandoned) as error:
            return {**result, "failed": True, "msg": str(error)}
        result |= _report(done)
        result["seconds"] = round(time.monotonic() - began, 3)
        if not self._task.check_mode:
            self._display.display("\n".join(_ending.table(done, fleet.wishes)))
            if not done.ok:
                message = _runner.message(done, fleet.wishes)
                self._display.display(message)
                result |= {"failed": not later, "msg": message, "booked": _runner.booked(done)}
        if later:
            result["ansible_facts"] = {
                "bluegreen_verdict": result.get("booked", {}),
                "bluegreen_swapped": done.changed,
                "bluegreen_returned": _returned(done),
                "bluegreen_previous_release": _result.served_before(done, fleet.release),
                "bluegreen_jobs": {
                    "token": _task.lock(variables).get("token", 0),
                    "hosts": {host: [dump(job) for job in state.jobs] for host, state in done.states.items()},
                    "left_alone": _left_alone(done),
                },
            }
        return result

    def _swap(self, fleet: _fleet.Fleet, variables: dict[str, Any]) -> _runner.Result:
        held = _task.lock(variables)
        lock = held or _lease.take(self, variables, f"swap of release {fleet.release}", _lease.PATIENCE)
        left_out = lock.get("left_out", {})
        wishes = [wish for wish in fleet.wishes if wish.host not in left_out]
        watch = _watching.of(fleet.rollout.limits, wishes, _probing.running(self, variables), self._display.warning)
        remote = _remote.Hosts(self, variables, lock["token"], fleet.keeper)
        policy = _runner.Policy(fleet.rollout.serial, fleet.rollout.on_failure, apart=watch is not None, terms=self._terms(fleet, remote))
        try:
            tell, proceed = _task.teller(self, variables), _task.controller_lives()
            if watch:
                watch.prepare(tell, proceed)
            return _runner.swap(wishes, remote, tell, policy, proceed, watch)
        finally:
            if not held or held.get("until") == "swap":
                _lease.release(self, variables, lock)

    def _terms(self, fleet: _fleet.Fleet, remote: _remote.Hosts) -> _pauses.Terms:
        """How the run waits between the steps of a flip, and whom it hears then."""
        told = {"BLUEGREEN_SERVICE": fleet.service, "BLUEGREEN_RELEASE": fleet.release}
        panel = _judges.Panel(fleet.rollout.canary.judges, told, self._loader.get_basedir(), self._display.warning) if fleet.rollout.canary.judges else None
        return _pauses.Terms(fleet.rollout.canary, fleet.rollout.keep_old, remote, panel, self._display.warning)

    def _preview(self, fleet: _fleet.Fleet, variables: dict[str, Any]) -> _runner.Result:
        remote = _remote.Hosts(self, variables)
        known = {wish.host: wish for wish in fleet.wishes if not _task.unknown(variables, wish.host)}
        states = remote.all(list(known), lambda host: remote.observe(known[host]))
        for wish in fleet.wishes:
            for text in _task.unknown(variables, wish.host):
                self._display.display(f"{wish.host}: not known before hotswap.bluegreen.install: {text}")
            waiting = _task.fact(variables, wish.host, "bluegreen_would_wait") or []
            states[wish.host] = _assume_staged(states.get(wish.host) or _bare(wish), waiting)
        watched = _watching.of(fleet.rollout.limits, fleet.wishes, None, self._display.warning) is not None
        policy = _runner.Policy(fleet.rollout.serial, fleet.rollout.on_failure, apart=watched)
        done = _runner.preview(fleet.wishes, states, policy)
        tell = _task.teller(self, variables)
        for step in done.planned:
            tell(step)
        for text in _runner.not_in_place(done.planned, states):
            tell(text)
        tell(done.blocked or ("nothing to do: every member is as wished" if not done.planned else f"{len(done.planned)} steps planned, none done"))
        return done


def _refuse_failed(fleet: _fleet.Fleet, variables: dict[str, Any]) -> None:
    """:class:`Refusal` if a host has failed before: the play goes on without it, unless any_errors_fatal ends it (ansible-core 2.16 goes on even then)."""
    gone = [host for host in variables["ansible_play_hosts_all"] if host in fleet.topology.hosts and host not in variables["ansible_play_hosts"]]
    if gone:
        raise Refusal(f"{', '.join(gone)} failed in an earlier task of this play, so no host is swapped. Mend the cause, then run the same command again.")


def _bare(wish: Wish) -> HostState:
    """A host on which nothing is installed yet."""
    everyone = tuple(sorted(member.id for member in wish.pool))
    pools = tuple(map(_pools.name, _pools.foreseen(everyone, wish.batches)))
    balancer = BalancerState(_pools.name(everyone), everyone, pools, True) if everyone else None
    return HostState(wish.host, 0.0, {member.slot: SlotState("ABSENT") for member in wish.members}, balancer)


def _assume_staged(state: HostState, waiting: Collection[str]) -> HostState:
    """In check mode nothing was staged; the plan is that of a release whose stage went well.

    ``waiting`` are the slots whose running release it would have given another start.
    """
    slots = {name: replace(slot, staged=True, pending=slot.pending or name in waiting) for name, slot in state.slots.items()}
    return replace(state, slots=slots)


def _left_alone(done: _runner.Result) -> list[str]:
    """The hosts of which every member is in maintenance."""
    marked = {member for state in done.states.values() if state.balancer for member in state.balancer.maintenance}
    return [host for host, state in done.states.items() if state.slots and all(f"{host}/{slot}" in marked for slot in state.slots)]


def _returned(done: _runner.Result) -> dict[str, str]:
    """The hosts with members that went back, and the release that they run now."""
    found = {}
    for member in done.returned:
        host, _slash, slot = member.partition("/")
        found[host] = done.states[host].slots[slot].release or ""
    return found


def _report(done: _runner.Result) -> dict[str, Any]:
    members = {name: {**seen, "lost": name.partition("/")[0] in done.lost} for name, seen in _runner.members(done.states).items()}
    return {
        "changed": done.changed,
        "events": [dump(event) for event in done.events],
        "failures": [dump(failure) for failure in done.failures],
        "lost": done.lost,
        "planned": [f"{step.member} {step.name}" for step in done.planned],
        "members": members,
        "reloads": done.reloads,
        "calls": done.calls,
        "walks": done.walks,
    }
