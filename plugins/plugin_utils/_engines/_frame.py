# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands around a release on an engine, as on hosts: its journal and report, its messages, its probe, its hooks."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Hook
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._kinds import Settings

from .. import _journal, _message, _notify_rules, _post, _probe_rules, _probing
from .._plain import plain
from .._runner import Tell
from ._course import Ended
from ._engine import Call
from ._resolve import Run
from ._seen import Replica, Seen
from ._service import Service


@dataclass
class Frame:
    """Around one run. ``way`` is release or rollback, ``host`` the one that speaks to the engine; ``probe`` is None until it runs."""

    service: Service
    run: Run
    way: str
    host: str
    owner: Mapping[str, Any]
    journal: _journal.Journal
    tell: Tell
    warn: Callable[[str], Any]
    probe: _probing.Probe | None = None
    began: float = 0.0
    told: bool = False

    def begin(self, before: Seen, idle: bool, collection: str, probe: _probing.Probe | None) -> None:
        """The first lines of the journal, the message, the probe. :class:`Refusal` if the probe has no right answer."""
        self.began = time.time()
        lead = {"service": self.service.name, "release": self.service.release, "way": self.way, "by": _lock.who(dict(self.owner)), "collection": collection}
        self.journal.write("run", **lead, reason=self.way, hosts=[self.host], serial=[str(self.service.batch)], strategy="rolling", on_failure="fleet")
        self.look("before", before)
        if idle:
            return
        self._send(_message.at_start(way=self.way, at=self.began, **self._about()))
        self.told = True
        if probe is not None:
            self._start(probe, before)

    def look(self, when: str, seen: Seen) -> None:
        """The replicas as members of the report, by number: an engine has other names for them each time."""
        places = self._places(seen)
        rows = {
            place: {
                "release": replica.release,
                "state": replica.state,
                "pid": int(replica.healthy),  # the report asks only whether there is a process
                "healthy": replica.healthy,
                "serving": replica.healthy and not replica.aside,
                "balancers": [replica.node] if replica.healthy and not replica.aside and replica.node else [],
            }
            for place, replica in places.items()
        }
        self.journal.write("members", when=when, members=rows, maintenance={})

    def _places(self, seen: Seen) -> dict[str, Replica]:
        best = sorted(
            seen.replicas, key=lambda replica: (replica.aside, not replica.healthy, replica.release != self.service.release, replica.since, replica.name)
        )
        return {f"{self.service.name}/{number}": replica for number, replica in enumerate(best[: max(seen.wanted, 1)], 1)}

    def _replaced(self, before: Seen, after: Seen) -> None:
        """That a replica has taken the place of another one, when it began to run."""
        former = self._places(before)
        for place, replica in self._places(after).items():
            if replica.healthy and (place not in former or former[place].name != replica.name):
                at = max(replica.since, self.began)
                self.journal.tell(Event("replace", place, "ok", at, 0.0, f"{replica.name} on {replica.node}" if replica.node else replica.name))

    def end(self, ended: Ended | None, failure: str) -> dict[str, Any]:
        """The probe's result, the last lines of the journal, the message. What is told of it, for the task's result."""
        result = self._stop()
        if ended is not None:
            if ended.changed and not failure:
                self._replaced(ended.before, ended.after)
            if ended.after.image:
                self.journal.write("note", text=f"image: {ended.after.image}")
            self.look("after", ended.after)
            outcome = {"failed": True, "msg": failure} if failure else {}
            self.journal.phase("finish", time.time(), outcome, "")
        self.journal.write("verdict", booked={self.host: failure} if failure else {}, changed=bool(ended and ended.changed))
        back = {self.service.name: ended.after.release} if ended and ended.back else {}
        reached = ended is not None
        message = _message.at_end(
            _message.Ended(reached, bool(ended and ended.changed), {self.host: failure} if failure else {}, back),
            self.way,
            self.told,
            at=time.time(),
            seconds=time.time() - self.began,
            report=self.journal.folder,
            **self._about(),
        )
        if message is not None:
            self._send(message)
        return result

    def _about(self) -> dict[str, Any]:
        return {
            "service": self.service.name,
            "release": self.service.release,
            "who": _lock.who(dict(self.owner)),
            "hosts": (self.host,),
            "members": self.service.replicas,
        }

    def _send(self, message: _message.Message) -> None:
        """Whatever goes wrong with a message is a warning; the text of an error may hold a token."""
        targets = [target for target in self.run.notify if set(target.occasions).intersection(message.occasions)]
        try:
            outcome = _post.send(targets, message) if targets else {}
        except Exception as error:
            self.warn(f"no message was sent, by a mistake of ours: {type(error).__name__}")
            return
        for number, why in outcome.items():
            self.journal.write("note", text=f"{targets[number].name}: {f'not sent: {why}' if why else f'sent ({message.result})'}")
            if why:
                self.warn(f"{targets[number].name} ({message.result}) was not sent: {why}")

    def _start(self, probe: _probing.Probe, before: Seen) -> None:
        wanted = self.run.probe
        if wanted is None:
            return
        probe.stop()  # one that a run left behind which lost its controller
        if self.way == "rollback" and wanted.down == "refuse":
            wanted = Settings(wanted.kinds, wanted.release, wanted.limit, "allow")
        told = probe.start(wanted)
        if told["begins"]:
            self.probe = probe
            self.tell(f"probe: {len(wanted.kinds)} kinds of requests, from {probe.on}")
        elif before.healthy():
            raise Refusal(f"{'; '.join(f'{name}: {why}' for name, why in told['down'].items())}: the probe has no right answer, before anything is begun.")
        else:
            self.tell("probe: left out, because nothing of the service runs yet")

    def _stop(self) -> dict[str, Any]:
        if self.probe is None:
            return {}
        try:
            result: dict[str, Any] = self.probe.stop()["result"]
        except Exception as error:  # a release is worth more than what was counted
            self.warn(f"what the probe counted is not known: {type(error).__name__}")
            return {}
        for line in _probing.summary(result):
            self.tell(line)
        if result:
            self.journal.write("probe", result=result)
        return result


def lacking(run: Run, task_vars: Mapping[str, Any]) -> list[str]:
    """What stands against the run's evidence on the controller, before anything is begun."""
    return [
        text for text in (_journal.problem(run.report_dir), _notify_rules.lacking(run.notify), _probing.lacking(run.probe, run.probe_on, task_vars)) if text
    ]


@dataclass
class Hooks:
    """The user's commands, on the play's host or on the controller; each is told what hooks on hosts are told."""

    call: Call
    keep: Callable[[float], None]
    service: Service
    hooks: tuple[Hook, ...]
    host: str
    basedir: str
    tell: Tell
    warn: Callable[[str], Any]

    def __call__(self, moment: str, previous: str) -> str:
        """Run those of a moment, one after the other. Why the first that must not fail did, '' if none did."""
        for hook in (hook for hook in self.hooks if hook.at == moment):
            self.keep(hook.timeout)
            began = time.time()
            told = {
                "BLUEGREEN_HOOK": moment,
                "BLUEGREEN_SERVICE": self.service.name,
                "BLUEGREEN_HOST": self.host,
                "BLUEGREEN_RELEASE": self.service.release,
                "BLUEGREEN_PREVIOUS_RELEASE": previous,
            }
            why, said = self._here(hook, told) if hook.on == _probe_rules.CONTROLLER else self._there(hook, told)
            fatal = bool(why) and hook.on_failure != "warn"
            outcome = "failed" if fatal else "overtime" if why else "ok"
            self.tell(Event(moment, self.service.name, outcome, began, time.time() - began, why or said))
            if fatal:
                return why
            if why:
                self.warn(f"bluegreen_{moment} {hook.shown!r}: {why}")
        return ""

    def _here(self, hook: Hook, told: Mapping[str, str]) -> tuple[str, str]:
        try:
            done = subprocess.run(
                _timed(hook),
                cwd=self.basedir,
                env={**os.environ, **told},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except OSError as error:
            return f"it could not be run on the controller: {error.strerror or error}", ""
        return _judged(hook, done.returncode, done.stdout + done.stderr)

    def _there(self, hook: Hook, told: Mapping[str, str]) -> tuple[str, str]:
        result = self.call("ansible.builtin.command", {"argv": _timed(hook)}, environment=told)
        return _judged(hook, int(result.get("rc", 1)), f"{result.get('stdout', '')}{result.get('stderr', '') or result.get('msg', '')}")


def _timed(hook: Hook) -> list[str]:
    words = ["/bin/sh", "-c", hook.command[0]] if len(hook.command) == 1 else list(hook.command)
    return ["timeout", "--kill-after=5", f"{hook.timeout:g}", *words]


def _judged(hook: Hook, status: int, output: str) -> tuple[str, str]:
    """(why it failed, what it said last)."""
    said = plain(output.strip().splitlines()[-1] if output.strip() else "")
    if status == 0:
        return "", said
    if status in (124, 137):
        return f"it did not end within {hook.timeout:g} s", said
    return f"it ended with {status}: {said or 'it said nothing'}", said


def told(failure: Failure) -> str:
    """A failure as the message of a task: what was expected, what was seen, the last lines of the log."""
    log = "".join(f"\n  {plain(line)}" for line in failure.log)
    return (
        f"{failure.member}: {failure.step} failed. Expected: {failure.expected}. Seen: {plain(failure.seen)}.{f'{chr(10)}Its last lines:{log}' if log else ''}"
    )


def aimed(service: Service, release: str, image: str) -> Service:
    """The service as a rollback wants it."""
    return replace(service, release=release, image=image, rollback=True)
