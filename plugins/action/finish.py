# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes after the swap, on all hosts of the run; after one that failed, only that it did is written down."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history, _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _collection, _fleet, _jobs, _journal, _moments, _owner, _remote, _singles, _task
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Abandoned, Lost


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.finish): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset()

    @_journal.recorded("finish")
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        booked = _task.verdict(variables)
        try:
            fleet = _fleet.of(self, variables)
            return {**result, **self._finish(fleet, variables, booked)}
        except (Refusal, Lost, Abandoned) as error:
            return {**result, "failed": not booked, "msg": str(error)}

    def _finish(self, fleet: _fleet.Fleet, variables: dict[str, Any], booked: dict[str, str]) -> dict[str, Any]:
        wishes = _task.in_run(fleet.wishes, variables)
        remote = _remote.Hosts(self, variables, _task.lock(variables).get("token", 0), fleet.keeper)
        moved = _singles.Moved() if booked else _jobs.move(self, fleet, wishes, variables, remote)
        jobs = {"events": [dump(event) for event in moved.done], "changed": moved.changed}
        if moved.problems:
            return {**jobs, "ansible_facts": {"bluegreen_verdict": moved.booked}, "msg": "\n".join(moved.booked.values())}
        moments = self._moments(fleet, wishes, variables, remote, booked)
        late: dict[str, str] = {}
        events: list[dict[str, Any]] = jobs["events"]
        for moment, hosts in moments:
            ran = moment.run(hosts)
            events += [dump(event) for event in ran.events]
            late |= ran.booked
        if booked:
            for text in late.values():
                self._display.warning(text)
            self._end(fleet, wishes, variables, remote, {"event": _history.FAILED, "why": "\n".join(booked.values())})
            return {"changed": bool(events), "events": events, "msg": "the swap failed, which was written to the history"}
        if late:
            return {"ansible_facts": {"bluegreen_verdict": late}, "changed": True, "events": events, "msg": "\n".join(late.values())}
        event = _history.ROLLED_BACK if fleet.wishes[0].rollback else _history.RELEASED
        done = self._end(fleet, wishes, variables, remote, {"event": event}, prune=True)
        late = {host: answer for host, answer in done.items() if isinstance(answer, str)}
        if late:
            return {"ansible_facts": {"bluegreen_verdict": late}, "changed": bool(events), "events": events, "msg": "\n".join(late.values())}
        answers = {host: answer for host, answer in done.items() if isinstance(answer, dict)}
        self._tell_removed(answers, fleet)
        changed = moved.changed or bool(events) or any(answer["changed"] for answer in answers.values())
        facts = {"bluegreen_finished": {"token": _task.lock(variables).get("token", 0), "changed": changed}}
        return {"ansible_facts": facts, "changed": changed, "events": events, "removed": {host: answer["removed"] for host, answer in answers.items()}}

    def _moments(
        self, fleet: _fleet.Fleet, wishes: list[Wish], variables: dict[str, Any], remote: _remote.Hosts, booked: dict[str, str]
    ) -> list[tuple[_moments.Moment, list[Wish]]]:
        """The user's commands that come now, and the hosts they are for: none after a run that had nothing to do."""
        name = "on_rollback" if booked or fleet.wishes[0].rollback else "after_release"
        returned = _task.returned(variables)
        concerned = [wish for wish in wishes if wish.host in returned] if booked else wishes
        if not _moments.any_at(name, concerned) or (not booked and not self._due(fleet, wishes, variables, remote)):
            return []
        if self._task.check_mode:
            self._display.display(f"would run bluegreen_{name}")
            return []
        if booked:
            release, previous = returned[concerned[0].host], fleet.release
        else:
            release, previous = fleet.release, _moments.previous(remote.observe(wishes[0]), fleet.release)
        return [(_moments.Moment(name, release, previous, remote, _task.teller(self, variables), _task.controller_lives()), concerned)]

    def _due(self, fleet: _fleet.Fleet, wishes: list[Wish], variables: dict[str, Any], remote: _remote.Hosts) -> bool:
        """Whether the release is to be brought to its end: this run has swapped it in, or one that was cut off has."""
        if _task.swapped(variables) or _task.rollback(self, variables).get("settled"):
            return _task.swapped(variables)  # a rollback that found all as the hosts remember it has nothing to bring to an end
        looks = remote.all([wish.host for wish in wishes], lambda host: remote.module(host, "finish", {"wish": dump(fleet.of(host)), "look": True}))
        return any(look["due"] for look in looks.values())

    def _end(
        self, fleet: _fleet.Fleet, wishes: list[Wish], variables: dict[str, Any], remote: _remote.Hosts, how: dict[str, Any], prune: bool = False
    ) -> dict[str, dict[str, Any] | str]:
        """Each host's line in its history, and what it removed; the text of why it did not."""
        lock = _task.lock(variables)
        overridden = [why for wish in wishes for why in [_task.fact(variables, wish.host, "bluegreen_overridden")] if why]
        event = {**how, **({"override": overridden[0]} if overridden else {}), "release": fleet.release}
        event |= {"by": _lock.who(_owner.of(variables)), "token": lock.get("token", 0), "collection": _collection.version()}
        if _task.rollback(self, variables).get("settled") and prune:
            event = {}  # it was as the hosts remember it, so there is nothing to remember
        shared = {"token": lock.get("token", 0), "event": event, "swapped": _task.swapped(variables), "prune": prune}

        def end(host: str) -> dict[str, Any] | str:
            try:
                return remote.module(host, "finish", {**shared, "wish": dump(fleet.of(host)), "keeps_lease": host == fleet.keeper.host})
            except (Lost, Refusal) as error:
                return str(error)

        return remote.all([wish.host for wish in wishes], end)

    def _tell_removed(self, answers: dict[str, dict[str, Any]], fleet: _fleet.Fleet) -> None:
        """A line for all hosts that removed the same, and what could not be removed."""
        keep = {wish.host: wish.keep_releases for wish in fleet.wishes}
        same: dict[str, list[str]] = {}
        for host, answer in answers.items():
            if answer["removed"]:
                same.setdefault(f"removed old releases: {', '.join(answer['removed'])} (bluegreen_keep_releases is {keep[host]})", []).append(host)
            for problem in answer["problems"]:
                self._display.warning(f"{host}: {problem}")
        for line, hosts in same.items():
            self._display.display(f"{', '.join(hosts)}: {line}")
