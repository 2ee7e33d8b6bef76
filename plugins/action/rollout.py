# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release, or go back, on Docker Swarm or Kubernetes: its own controller replaces the replicas; this asks for it, watches and judges."""

from __future__ import annotations

import datetime
import hashlib
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _config_checks, _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _artifacts, _collection, _journal, _owner, _probing, _remote, _report, _task
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _calling, _frame, _judge, _mapping
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._course import Course, Ended
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._engine import Engine, Refused
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._lock import Lock
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._resolve import Run
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._seen import Seen
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import Service
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Abandoned, Lost, Tell

_FIRST = 240.0  # seconds that the lock is taken for; the parts of the course that may take longer keep it for longer


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.rollout): one task for all hosts of the play, on the first of them."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"engine", "way"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec(
            {"engine": {"choices": list(_mapping.TITLES), "required": True}, "way": {"choices": ["release", "rollback"], "default": "release"}}
        )
        try:
            _task.refuse_keywords(self, "rollout")
            return {**result, "changed": False, **self._run(given["engine"], given["way"], task_vars or {})}
        except (Refusal, Refused, Lost, Abandoned) as error:
            word = _artifacts.CHECKED if self._task.check_mode else _artifacts.REFUSED
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed.", "ansible_stats": _artifacts.stats(word, "", "", "")}

    def _run(self, name: str, way: str, variables: dict[str, Any]) -> dict[str, Any]:
        service, run = _calling.resolve(self, variables, name, live=way == "rollback")
        engine = _calling.make(self, variables, service, name)
        self._refuse_shut(run, way)
        problems = [*_frame.lacking(run, variables), *(self._unmet(run, variables) if way == "release" else ())]
        if problems:
            raise Refusal("\n".join(problems))
        if way == "release":
            service = _calling.with_contents(self, variables, service, run)
        before = engine.look()
        if way == "release" and not (before.state == "settled" and engine.wished(service, before)):
            found = engine.problems(service, before)
            if found:
                raise Refusal("\n".join(found))
        if way == "rollback":
            service = self._aimed(service, run, before)
        if self._task.check_mode:
            return self._checked(self._course(engine, service, run, variables, _task.teller(self, variables)).plan(before), service)
        return self._released(engine, service, run, way, before, variables)

    # Before anything is changed.

    def _refuse_shut(self, run: Run, way: str) -> None:
        closed = run.window.refusal(datetime.datetime.now(datetime.timezone.utc)) if run.window and way == "release" else ""
        if closed and (run.window_override or self._task.check_mode):
            why = f" It is released all the same: {run.window_override}" if run.window_override else ""
            self._display.warning(f"{closed.partition(';')[0]}{why}")
        elif closed:
            raise Refusal(closed)

    def _unmet(self, run: Run, variables: dict[str, Any]) -> list[str]:
        """What of bluegreen_config_checks does not answer, as far as a check may ask."""
        host, is_here = str(variables["inventory_hostname"]), self._connection.transport == "local"
        asked = [check for check in run.checks if not (self._task.check_mode and check.command)]
        here = [check for check in asked if is_here or check.on == "controller"]
        there = [] if is_here else [check for check in asked if check.on == "host"]
        found = [f"bluegreen_config_checks: for an engine the controller asks, and {host} is another host; write on: controller."] * bool(there)
        return [*_config_checks.findings(here, "", "the controller"), *found]

    def _aimed(self, service: Service, run: Run, before: Seen) -> Service:
        """What a rollback goes back to."""
        if before.state in ("absent", "foreign"):
            raise Refusal(f"there is no service {service.name} to go back with.")
        past, why = _judge.way_back(before, run.rollback_to)
        if past is None:
            raise Refusal(why)
        if past.release == before.release:
            self._display.display(f"{service.name} runs release {past.release} already ({why})")
        else:
            self._display.display(f"{service.name} goes back from release {before.release} to {past.release}: {why}")
        return _frame.aimed(service, past.release, past.image)

    # The run itself.

    def _course(self, engine: Engine, service: Service, run: Run, variables: dict[str, Any], tell: Tell, lock: Lock | None = None) -> Course:
        lives = _task.controller_lives()

        def keep(seconds: float) -> None:
            lives()
            if lock is not None:
                lock.keep(seconds)

        where = (str(variables["inventory_hostname"]), self._loader.get_basedir())
        hooks = _frame.Hooks(_calling.calls(self, variables), keep, service, run.hooks, *where, tell, self._display.warning)
        return Course(engine, service, tell, keep, hooks, by=_lock.who(_owner.of(variables)))

    def _released(self, engine: Engine, service: Service, run: Run, way: str, before: Seen, variables: dict[str, Any]) -> dict[str, Any]:
        owner = _owner.of(variables)
        lock = Lock(engine, service.name, owner, f"{way} {service.release}")
        lock.take(run.lock_timeout, _FIRST, self._display.display)
        journal = _journal.begin(run.report_dir, service.name, service.release) if run.report_dir else _journal.Journal()
        host = str(variables["inventory_hostname"])
        frame = _frame.Frame(service, run, way, host, owner, journal, _task.teller(self, variables, journal), self._display.warning)
        ended: Ended | None = None
        failure, result = "it was cut off", {}
        try:
            before = engine.look()  # under the lock
            if way == "rollback":
                service = frame.service = replace(service, release=self._still(service, run, before))
            idle = engine.wished(service, before) and before.state == "settled"
            frame.begin(before, idle, _collection.version(), self._probe(run, service, variables))
            ended = self._course(engine, service, run, variables, frame.tell, lock).run(before)
            failure = _frame.told(ended.failure) if ended.failure else ""
        except (Refusal, Refused, Lost, Abandoned) as error:
            failure = str(error)
        finally:
            result = frame.end(ended, failure)
            report = self._report(journal)
            self._give_back(lock)
        return self._told(service, way, ended, failure, report, result, before)

    def _still(self, service: Service, run: Run, before: Seen) -> str:
        """The release that it goes back to, now that nobody else changes anything."""
        past, why = _judge.way_back(before, run.rollback_to)
        if past is None:
            raise Refusal(why)
        if past.release != service.release:
            raise Refusal(f"another run has released meanwhile: it would go back to {past.release} now, not to {service.release}. Run again.")
        return past.release

    def _probe(self, run: Run, service: Service, variables: dict[str, Any]) -> _probing.Probe | None:
        if run.probe is None:
            return None
        name = f"{service.name}-{hashlib.sha256(f'{os.getppid()} {_owner.run()}'.encode()).hexdigest()[:8]}"
        return _probing.Probe(name, run.probe_on, _remote.Hosts(self, variables))

    def _report(self, journal: _journal.Journal) -> str:
        if not journal.folder:
            return ""
        try:
            html = str(_report.write(Path(journal.folder))[1])
        except Exception as error:  # a release is worth more than the picture of it
            self._display.warning(f"the report in {journal.folder} could not be made: {error}. Its journal can be made into one later: see docs/report.md.")
            return ""
        self._display.display(f"report: {html}")
        return html

    def _give_back(self, lock: Lock) -> None:
        try:
            lock.give_back()
        except (Refusal, Refused, Lost) as error:
            self._display.warning(f"the lock could not be given back, it ends by itself: {error}")

    # What is told of it.

    def _checked(self, ended: Ended, service: Service) -> dict[str, Any]:
        for text in ended.what:
            self._display.display(f"{service.name}: {text}")
        stats = _artifacts.stats(_artifacts.CHECKED, service.release, ended.before.release, "")
        return {
            "changed": ended.changed or bool(ended.what),
            "diff": ended.diff,
            "planned": ended.what,
            "ansible_stats": stats,
            "msg": _planned(ended, service),
        }

    def _told(self, service: Service, way: str, ended: Ended | None, failure: str, report: str, probe: dict[str, Any], before: Seen) -> dict[str, Any]:
        changed = bool(ended and ended.changed)
        previous = before.release if before.release != service.release else ""
        word = _artifacts.verdict(True, ended is not None, bool(failure), changed, way)
        after = ended.after if ended else Seen()
        found: dict[str, Any] = {
            "changed": changed,
            "release": after.release,
            "previous_release": previous,
            "image": after.image,
            "state": after.state,
            "replicas": [asdict(replica) for replica in after.replicas],
            "warnings": ended.warnings if ended else [],
            "diff": ended.diff if ended else [],
            "probe": {name: probe[name] for name in ("due", "answered", "failed") if name in probe},
            "ansible_stats": _artifacts.stats(word, service.release, previous, report),
        }
        if not failure:
            return {**found, "msg": _sentence(service, way, after, changed)}
        return {**found, "failed": True, "msg": f"{failure}\n{_how_it_stands(ended)}".rstrip()}


def _planned(ended: Ended, service: Service) -> str:
    return f"{len(ended.what)} things to do, none done" if ended.what else f"nothing to do: {service.name} is as wished"


def _sentence(service: Service, way: str, after: Seen, changed: bool) -> str:
    serves = f"{service.name} serves release {after.release} with {after.healthy(after.release)} of {after.wanted} replicas"
    if not changed:
        return f"nothing to do: {serves}"
    return f"{serves}, back from a later one" if way == "rollback" else serves


def _how_it_stands(ended: Ended | None) -> str:
    """What serves after a failure."""
    if ended is None:
        return "Run the same command again: it goes on where this one ended."
    after = ended.after
    if ended.back and ended.unseen:
        return f"No client has reached it: release {after.release} serves as before, with {after.healthy(after.release)} of {after.wanted} replicas."
    if ended.back:
        return f"Release {after.release} serves again, with {after.healthy(after.release)} of {after.wanted} replicas."
    if after.state == "absent":
        return "Nothing of the service runs."
    releases = sorted({replica.release for replica in after.replicas if replica.healthy and not replica.aside})
    return f"Release {' and '.join(releases)} {'serves' if len(releases) == 1 else 'serve'} now." if releases else "No replica of it is healthy."
