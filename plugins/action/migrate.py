# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a release's migration once in the whole fleet, or take back those that a rollback has left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Hook
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _fleet, _journal, _moments, _remote, _task
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Abandoned, Lost

_NOTHING = "No member was touched."
_STAYS = "The members are back; the migration is not taken back. Mend the cause, then run the same command again."


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.migrate): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"state", "verdict"})

    @_journal.recorded("migrate")
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        state = self._task.args.get("state", "up")
        try:
            if state not in ("up", "down"):
                raise Refusal(f"state is {state!r}; up or down is expected.")
            later = _task.is_later(self)
            if _task.verdict(variables):
                return {**result, "skipped": True, "skip_reason": "the run has failed"}
            fleet = _fleet.of(self, variables)
            wishes = _task.in_run(fleet.wishes, variables)
            work = self._up if state == "up" else self._down
            return {**result, **work(fleet, wishes, variables, later)}
        except (Refusal, Lost, Abandoned) as error:
            return {**result, "failed": True, "msg": f"{error}\n{_NOTHING if state == 'up' else _STAYS}"}

    def _up(self, fleet: _fleet.Fleet, wishes: list[Wish], variables: dict[str, Any], later: bool) -> dict[str, Any]:
        found = _migration("migrate", wishes)
        if not found:
            return {"skipped": True, "skip_reason": "bluegreen_migrate is not set"}
        wish, hook = found
        remote = self._remote(fleet, variables)
        done = self._ask(remote, fleet, "seen")
        known = next((entry for entry in done if entry["release"] == fleet.release), None)
        if known:
            return {"changed": False, "msg": f"the migration of release {fleet.release} succeeded before; it is not run again"}
        if self._task.check_mode:
            return {"changed": True, "msg": f"would run bluegreen_migrate on {wish.host}"}
        previous = _moments.previous(remote.observe(wish), fleet.release)
        failed = self._run(variables, remote, wish, hook, fleet.release, previous)
        if failed:
            text = f"{failed}\n{_NOTHING} What the migration has changed until then stays as it is."
            return {"changed": True, **_task.failed({wish.host: text}, later)}
        return {"changed": True, "migrated": self._ask(remote, fleet, "done", fleet.release, variables), "host": wish.host}

    def _down(self, fleet: _fleet.Fleet, wishes: list[Wish], variables: dict[str, Any], later: bool) -> dict[str, Any]:
        remote = self._remote(fleet, variables)
        left = _moments.previous(remote.observe(wishes[0]), fleet.release)
        behind = _behind(self._ask(remote, fleet, "seen"), _task.rollback(self, variables).get("since", 0), left)
        if not behind:
            return {"changed": False, "msg": "no migration came after this release"}
        found = _migration("migrate_down", wishes)
        names = ", ".join(behind)
        if not found:
            text = f"the migration of release {names} is not taken back: bluegreen_migrate_down is not set."
            return {"changed": False, "msg": text, "warnings": [text]}
        if self._task.check_mode:
            return {"changed": True, "msg": f"would run bluegreen_migrate_down for release {names}"}
        for release in behind:
            failed = self._run(variables, remote, *found, release, fleet.release)
            if failed:
                return {"changed": True, **_task.failed({found[0].host: f"{failed}\n{_STAYS}"}, later)}
            self._ask(remote, fleet, "undone", release, variables)
        return {"changed": True, "msg": f"the migration of release {names} was taken back"}

    def _remote(self, fleet: _fleet.Fleet, variables: dict[str, Any]) -> _remote.Hosts:
        lock = _task.lock(variables)
        if not lock and not self._task.check_mode:
            raise Refusal("a migration needs the service's lock: run hotswap.bluegreen.lock first, as release.yml does.")
        return _remote.Hosts(self, variables, lock.get("token", 0), fleet.keeper if lock else None)

    def _run(self, variables: dict[str, Any], remote: _remote.Hosts, wish: Wish, hook: Hook, release: str, previous: str) -> str:
        """Run it on the host; why it failed, '' if it did not."""
        ran = _moments.Ran()
        _moments.Moment(hook.at, release, previous, remote, _task.teller(self, variables), _task.controller_lives()).one(wish, replace(hook, on=""), ran)
        return "\n".join(ran.booked.values())

    def _ask(self, remote: _remote.Hosts, fleet: _fleet.Fleet, state: str, release: str = "", variables: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The migrations that the lock's host remembers, after it was told of this one."""
        arguments = {"state": state, "release": release, "wish": dump(fleet.keeper), "token": _task.lock(variables or {}).get("token", 0) if variables else 0}
        return list(remote.module(fleet.keeper.host, "migrate", arguments)["migrated"])


def _migration(moment: str, wishes: list[Wish]) -> tuple[Wish, Hook] | None:
    """The command and the host that it runs on: the named one, or the first of the run."""
    hook = next((hook for hook in wishes[0].hooks if hook.at == moment), None)
    if hook is None:
        return None
    named = hook.on or wishes[0].host
    host = next((wish for wish in wishes if wish.host == named), None)
    if host is None:
        names = ", ".join(wish.host for wish in wishes)
        raise Refusal(f"bluegreen_{moment} shall run on {named}, where this run stages nothing; it works on {names}. Take --limit away, or name one of those.")
    return host, hook


def _behind(migrated: list[dict[str, Any]], since: int, left: str) -> list[str]:
    """The releases whose migrations came after the run ``since``, the youngest first; where that is not known, only that of the release that was left."""
    return [entry["release"] for entry in migrated if (entry["token"] > since if since else entry["release"] == left)][::-1]
