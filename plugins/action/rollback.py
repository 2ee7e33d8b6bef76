# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide which release a rollback goes to; from then on it is the wished one of this play. Under the lock, note that it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history, _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _collection, _fleet, _hostvars, _owner, _remote, _rollback, _task, _variables, _whole
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _calling
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Abandoned, Lost


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.rollback): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"state"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _checked, given = self.validate_argument_spec({"state": {"choices": ["chosen", "begun"], "default": "chosen"}})
        try:
            _task.refuse_keywords(self, "rollback")
            if given["state"] == "begun":
                return {**result, "changed": False, **self._begin(variables)}
            left_out = _whole.left_out(self)
            if left_out:
                return {**result, "skipped": True, "skip_reason": left_out, "warnings": [left_out]}
            if _calling.named(self, variables) != _variables.HOSTS:
                return {**result, "changed": False, "msg": "the engine's own history says what to go back to"}
            if not self._task.run_once:
                raise Refusal("hotswap.bluegreen.rollback needs run_once: true, so that every host of the play gets to know the release.")
            return {**result, "changed": False, **self._choose(variables)}
        except (Refusal, Lost, Abandoned) as error:
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed."}

    def _choose(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Look at the hosts of the play that run members; those that do not answer are the preflight's to judge."""
        fleet = _fleet.live(self, variables)
        play = variables["ansible_play_hosts_all"]
        mine = {wish.host: wish for wish in fleet.wishes if wish.members and wish.host in play}
        if not mine:
            raise Refusal(f"none of the play's hosts runs the service; it runs on {', '.join(fleet.topology.hosts)}.")
        hosts = _remote.Hosts(self, variables)
        asked = {**mine, **{wish.host: wish for wish in fleet.wishes if wish.pool}}  # the balancers know who is in maintenance

        def look(host: str) -> dict[str, Any] | str:
            try:
                return hosts.module(host, "release_info", {"wish": dump(asked[host])})
            except Lost as error:
                return str(error)

        answers = hosts.all(list(asked), look)
        known = {host: answer for host, answer in answers.items() if isinstance(answer, dict)}
        seen = {host: answer for host, answer in known.items() if host in mine}
        alone = {member for answer in known.values() for member in (answer["state"]["balancer"] or {}).get("maintenance", ())}
        if not seen:
            raise Lost("\n".join(map(str, answers.values())))
        choice = _rollback.choose(seen, fleet.rollout.rollback_to, alone | _idle(fleet.wishes, known))
        self._say(fleet.service, choice, {hook.at for wish in mine.values() for hook in wish.hooks})
        fact = {
            "play": getattr(_hostvars.play(self), "_uuid", None),
            "release": choice.release,
            "settled": choice.settled,
            "since": choice.since,
            "lines": {host: answer["lines"] for host, answer in seen.items()},
        }
        return {"ansible_facts": {"bluegreen_rollback": fact}, "release": choice.release, "why": choice.why}

    def _say(self, service: str, choice: _rollback.Choice, moments: set[str]) -> None:
        if choice.settled:
            self._display.display(f"{service} runs release {choice.release} on every member already ({choice.why}): there is nothing to go back from.")
            return
        self._display.display(f"{service} goes back to release {choice.release}: {choice.why}")
        if "migrate" in moments and "migrate_down" not in moments:
            able = f"release {choice.release} must be able to work with what later ones made of the data"
            self._display.warning(f"Migrations are not taken back, because bluegreen_migrate_down is not set: {able}.")

    def _begin(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Note on each host where the run goes, so that one that is cut off goes on there. Refused where another run's lines came between."""
        fleet = _fleet.of(self, variables)
        back, lock = _task.rollback(self, variables), _task.lock(variables)
        mine = {wish.host: wish for wish in fleet.wishes if wish.members and wish.host not in lock.get("left_out", {})}
        late = [host for host in mine if host not in back.get("lines", {})]
        if late:
            raise Refusal(f"{', '.join(late)} did not answer when the release to go back to was chosen, and does now. Run again.")
        if self._task.check_mode or back["settled"]:
            return {}
        hosts = _remote.Hosts(self, variables, lock.get("token", 0), fleet.keeper)
        by = {"by": _lock.who(_owner.of(variables)), "token": lock.get("token", 0), "collection": _collection.version()}
        event = {"event": _history.ROLLING_BACK, "release": fleet.release, **by}

        def begin(host: str) -> dict[str, Any]:
            wanted = {"wish": dump(mine[host]), "token": lock.get("token", 0), "keeps_lease": host == fleet.keeper.host}
            return hosts.module(host, "rollback", {**wanted, "event": event, "lines": back["lines"][host]})

        hosts.all(list(mine), begin)
        return {"release": fleet.release}


def _idle(wishes: Sequence[Wish], known: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The slots that wait for the next release, where one of each host serves: what they still run says nothing."""
    balancers = {host: answer["state"]["balancer"] for host, answer in known.items() if answer["state"]["balancer"]}
    return {
        member.id
        for wish in wishes
        if wish.flips
        for member in wish.members
        if not any(member.id in balancers[name]["serving"] for name in wish.balancers if name in balancers)
    }
