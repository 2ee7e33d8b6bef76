# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take members out of every balancer and mark them; bring them back to the live release and take the marks away."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history, _lock, _maintenance
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _collection, _fleet, _hostvars, _maintained, _owner, _remote, _runner, _task, _whole
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Abandoned, Lost


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.maintenance): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"state", "members", "reason"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        states = {"draining": self._draining, "drained": self._drained, "enabling": self._enabling, "enabled": self._enabled}
        _checked, given = self.validate_argument_spec(
            {"state": {"choices": list(states), "required": True}, "members": {"type": "raw"}, "reason": {"default": ""}}
        )
        try:
            _task.refuse_keywords(self, "maintenance")
            left_out = _whole.left_out(self)
            if left_out:
                return {**result, "skipped": True, "skip_reason": left_out, "warnings": [left_out]}
            if given["state"].endswith("ing") and not self._task.run_once:
                raise Refusal(f"state {given['state']} of hotswap.bluegreen.maintenance needs run_once: true, so that every host of the play gets to know it.")
            return {**result, "changed": False, **states[given["state"]](given, variables)}
        except (Refusal, Lost, Abandoned) as error:
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed."}

    # Before the lock.

    def _draining(self, given: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        members = _maintained.members(given["members"], _fleet.live(self, variables).wishes)
        return self._decided(members, None, reason=_maintained.reason(given["reason"]))

    def _enabling(self, given: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Find the live release and whether the members' hosts have it. Hosts that do not answer have no say in what is live."""
        fleet = _fleet.live(self, variables)
        members = _maintained.members(given["members"], fleet.wishes)
        mine = {wish.host: wish for wish in fleet.wishes if wish.members}
        hosts = _remote.Hosts(self, variables)

        def look(host: str) -> dict[str, Any] | str:
            try:
                return hosts.module(host, "release_info", {"wish": dump(mine[host])})
            except Lost as error:
                return str(error)

        answers = hosts.all(list(mine), look)
        silent = {host: answer for host, answer in answers.items() if isinstance(answer, str)}
        needed = [why for host, why in silent.items() if any(member.startswith(f"{host}/") for member in members)]
        if needed:
            raise Lost("\n".join(needed))
        for why in silent.values():
            self._display.warning(f"{why}\nIt was not asked which release is live.")
        seen = {host: answer for host, answer in answers.items() if isinstance(answer, dict)}
        release, why = _maintained.live(seen)
        _maintained.refuse_unstaged(release, members, seen, {host: wish.root for host, wish in mine.items()})
        self._display.display(f"{', '.join(members)}: back to release {release}, {why}")
        return {**self._decided(members, release), "release": release}

    def _decided(self, members: tuple[str, ...], release: str | None, **more: str) -> dict[str, Any]:
        """For the tasks that come after in this play: its release is the wished one, and it is about these members."""
        fact = {"play": getattr(_hostvars.play(self), "_uuid", None), "release": release, "members": list(members), **more}
        return {"ansible_facts": {"bluegreen_rollback": fact}, "members": list(members)}

    # Under the lock.

    def _drained(self, _given: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        about = self._about(variables)
        fleet, members = _fleet.of(self, variables), about["members"]
        hosts = {member.partition("/")[0] for member in members}
        wishes = [*fleet.wishes, *(wish for wish in fleet.outside if wish.host in hosts)]
        remote = self._remote(fleet, variables)
        done = _runner.take_out(wishes, members, remote, _task.teller(self, variables), _task.controller_lives(), self._task.check_mode)
        if not done.ok:
            return self._failed(done, wishes, f"{', '.join(members)} could not be drained.")
        note = {"by": _owner.of(variables).get("user", ""), "why": about["reason"], "since": round(time.time(), 3)}
        marked = self._on_hosts(fleet, variables, mark=dict.fromkeys(members, note))
        known = _runner.marks(done.states)
        for member in () if self._task.check_mode else members:
            self._display.display(f"{member}: {_maintenance.words(known.get(member, note))}{', already' if member in known else ', out of every balancer'}")
        return {"changed": done.changed or marked, "members": members, "events": [dump(event) for event in done.events]}

    def _enabled(self, _given: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        fleet, members = _fleet.of(self, variables), self._about(variables)["members"]
        # As a swap, not as a rollback: a start that was staged meanwhile is put in place.
        wishes = [replace(wish, rollback=False, lifting=tuple(members)) for wish in fleet.wishes]
        remote = self._remote(fleet, variables)
        policy = _runner.Policy(chosen=frozenset(members))
        if self._task.check_mode:
            states = remote.all([wish.host for wish in wishes], lambda host: remote.observe(next(wish for wish in wishes if wish.host == host)))
            done = _runner.preview(wishes, states, policy)
            tell = _task.teller(self, variables)
            for step in done.planned:
                tell(step)
        else:
            done = _runner.swap(wishes, remote, _task.teller(self, variables), policy, _task.controller_lives())
        if not done.ok:
            return self._failed(
                done, wishes, f"{', '.join(members)} could not be brought back to release {fleet.release}; whoever does not serve stays marked."
            )
        lock = _task.lock(variables)
        by = {"by": _lock.who(_owner.of(variables)), "token": lock.get("token", 0), "collection": _collection.version()}
        event = {"event": _history.RELEASED, "release": fleet.release, "why": "enabled after maintenance", **by}
        lifted = self._on_hosts(fleet, variables, lift=members, event=event)
        return {"changed": done.changed or lifted, "members": members, "release": fleet.release, "events": [dump(event) for event in done.events]}

    def _about(self, variables: dict[str, Any]) -> dict[str, Any]:
        about = _task.rollback(self, variables)
        if "members" not in about:
            raise Refusal(
                _whole.started_at() or "nobody said which members: run hotswap.bluegreen.maintenance with the state draining or enabling before the lock."
            )
        return about

    def _remote(self, fleet: _fleet.Fleet, variables: dict[str, Any]) -> _remote.Hosts:
        lock = _task.lock(variables)
        if not lock and not self._task.check_mode:
            raise Refusal("a changing call needs the run's lock: run hotswap.bluegreen.lock first.")
        return _remote.Hosts(self, variables, lock.get("token", 0), None if self._task.check_mode else fleet.keeper)

    def _on_hosts(self, fleet: _fleet.Fleet, variables: dict[str, Any], **change: Any) -> bool:
        """Change the marks wherever the members may be served, and what their own hosts remember. Whether that changed a mark."""
        if self._task.check_mode:
            return False
        remote, token = self._remote(fleet, variables), _task.lock(variables)["token"]
        about = frozenset(self._about(variables)["members"])
        mine = {wish.host: wish for wish in fleet.wishes if about.intersection(member.id for member in (*wish.pool, *wish.members))}

        def tell(host: str) -> bool:
            given = {"wish": dump(mine[host]), "token": token, "keeps_lease": host == fleet.keeper.host}
            return bool(remote.module(host, "maintenance", {**given, **change})["changed"])

        return any(remote.all(list(mine), tell).values())

    def _failed(self, done: _runner.Result, wishes: list[Wish], what: str) -> dict[str, Any]:
        message = _runner.message(done, wishes, what)
        self._display.display(message)
        return {"failed": True, "changed": done.changed, "msg": message, "events": [dump(event) for event in done.events]}
