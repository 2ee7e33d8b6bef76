# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The course of a release on an engine, the same for both: files, migration, update, wait, workers; and the way back.

The engine replaces the replicas. This asks for it, tells how far it is, and judges; whatever is repeated after an
interruption finds what is there already.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure

from .._runner import Tell
from ._engine import Done, Engine, Refused
from ._judge import DONE, WAITING, Verdict, culprit, is_back, judge
from ._seen import FAILED, GOOD, LEFT, RETURNED, Replica, Seen
from ._service import Service

_LOOK = 1.0  # seconds between two looks
_RELAXED = 3.0  # and between two of a rollout that has gone on for a while
_WHILE = 30.0  # seconds
_MOMENTS = 60.0  # seconds that the lock is kept for what takes a moment


@dataclass
class Ended:
    """How the course ended. ``failure`` is None for a good one; ``back`` whether the release before serves again, ``unseen`` whether
    no client has reached the one that failed, ``before`` and ``after`` what was seen."""

    changed: bool = False
    what: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    failure: Failure | None = None
    back: bool = False
    unseen: bool = False
    before: Seen = field(default_factory=Seen)
    after: Seen = field(default_factory=Seen)
    warnings: list[str] = field(default_factory=list)

    def add(self, done: Done) -> None:
        self.changed |= done.changed
        self.what += done.what
        self.diff += [dict(part) for part in done.diff]


@dataclass
class Course:
    """One release of a service on an engine.

    ``keep`` keeps the run's lock for some seconds, and raises where it is lost. ``hook`` keeps it as well, runs the user's
    commands of a moment, and says why one failed. ``by`` is who releases, for the history.
    """

    engine: Engine
    service: Service
    tell: Tell
    keep: Callable[[float], None]
    hook: Callable[[str, str], str]
    by: str = ""
    sleep: Callable[[float], Any] = time.sleep

    def run(self, before: Seen) -> Ended:
        """All of it, from what was seen before."""
        ended = Ended(before=before, after=before)
        idle = self.engine.wished(self.service, before)
        try:
            self._prepare(ended, idle)
            if not ended.failure:
                self._update(ended)
            if not ended.failure:
                self._switch(ended)
            if not ended.failure:
                self._finish(ended, idle)
        except Refused as error:
            ended.failure = ended.failure or Failure(self.service.name, "update", "the engine does what it is asked for", str(error))
        return ended

    def plan(self, before: Seen) -> Ended:
        """What it would do: the engine is asked in its own check mode. Nothing is changed."""
        ended = Ended(before=before, after=before)
        for ask in (self._bring, self._ask, self._turn, self._companions):
            ended.add(ask())
        if not self.engine.wished(self.service, before):
            ended.what += [f"would run bluegreen_migrate {number}" for number, _hook in enumerate(self.service.migrate, 1) if not self.service.rollback]
        return ended

    # What is done, part by part.

    def _prepare(self, ended: Ended, idle: bool) -> None:
        """What comes before the first replica is touched."""
        if not idle and not self.service.rollback:
            self._hooks("before_release", ended)
            if ended.failure:
                return
        self.keep(_MOMENTS)
        if not self.service.rollback:
            ended.add(self._step("files", self._bring, ended))
        for number, hook in enumerate(self.service.migrate):
            if not ended.failure and not idle and not self.service.rollback:
                self.keep(hook.timeout)
                ended.add(self._step("migrate", partial(self._migrate, number), ended))

    def _update(self, ended: Ended) -> None:
        self.keep(self.service.patience)
        done = self._step("update", self._ask, ended, quiet=True)
        ended.add(done)
        if ended.failure:
            return
        began = time.time()
        verdict, ended.after, looks = self._wait(ended.before, began, done.changed)
        if verdict.what == DONE:
            outcome = "ok" if ended.changed else "unchanged"
            self.tell(Event("update", self.service.name, outcome, began, time.time() - began, verdict.text))
            return
        ended.changed = True
        ended.failure = self._failure(verdict, looks)
        ended.unseen = bool(new := looks[-1].of(self.service.release)) and all(replica.aside for replica in new)
        self.tell(Event("update", self.service.name, "failed", began, time.time() - began, verdict.text))
        self.tell(ended.failure)
        if verdict.ours and self.service.on_failure == "rollback" and ended.before.state not in ("absent", "foreign"):
            self._undo(ended)
        ended.back = is_back(ended.before, ended.after)
        self._note(FAILED, ended)
        if ended.back:
            self._hooks("on_rollback", ended)

    def _switch(self, ended: Ended) -> None:
        """With blue_green, all requests at once to what is healthy now; what served before stays warm for a while."""
        self.keep(self.service.keep_old + _MOMENTS)
        done = self._step("switch", self._turn, ended)
        ended.add(done)
        if ended.failure or not done.changed:
            return
        ended.after = self.engine.look()
        began = time.time()
        while not self.service.rollback and (left := began + self.service.keep_old - time.time()) > 0:
            self.tell(Event("keep_old", self.service.name, "waiting", began, time.time() - began, f"the former release stays warm: {left:.0f} s left"))
            self.sleep(min(left, _RELAXED))
            self.keep(left + _MOMENTS)

    def _finish(self, ended: Ended, idle: bool) -> None:
        """What comes when all replicas serve. That it went well is noted last: until then, a run that goes on where this one ended does all of it."""
        outcome = RETURNED if self.service.rollback else GOOD
        noted = _is_noted(self.service.release, outcome, ended.after)
        self.keep(self.service.patience)
        ended.add(self._step("workers", self._companions, ended))
        if ended.failure:
            return
        ended.add(self._step("prune", lambda: self.engine.prune(self.service), ended))
        if not idle or ended.changed or not noted or ended.before.state == "rolling":
            self._hooks("on_rollback" if self.service.rollback else "after_release", ended)
        if not ended.failure and not noted:
            # What runs is noted last: it is the latest of the history, which keep_releases counts from.
            if self.service.rollback and ended.before.release != self.service.release:
                self._note(LEFT, ended, ended.before.release)
            self._note(outcome, ended)

    def _bring(self) -> Done:
        return Done() if self.service.rollback else self.engine.files(self.service)

    def _migrate(self, number: int) -> Done:
        return self.engine.migrate(self.service, number, self._say("migrate"))

    def _ask(self) -> Done:
        return self.engine.back(self.service.release) if self.service.rollback else self.engine.apply(self.service)

    def _turn(self) -> Done:
        return self.engine.switch(self.service)

    def _companions(self) -> Done:
        return self.engine.companions(self.service, self._say("workers"))

    def _undo(self, ended: Ended) -> None:
        """Back to what was asked for before, where the engine does not do that by itself."""
        began = time.time()
        done = self.engine.undo(self.service, ended.before)
        if not done.changed:
            return
        former = replace(self.service, release=ended.before.release, rollback=True)
        while True:
            seen = ended.after = self.engine.look()
            waited = time.time() - began
            if is_back(ended.before, seen):
                self.tell(Event("undo", self.service.name, "ok", began, waited, f"{seen.healthy(former.release)} of {seen.wanted} healthy on {former.release}"))
                return
            if waited > former.patience:
                self.tell(Event("undo", self.service.name, "failed", began, waited, judge(former, seen, seen, waited).text))
                return
            self.tell(Event("undo", self.service.name, "waiting", began, waited, judge(former, seen, seen, waited).text))
            self.sleep(_LOOK)

    def _wait(self, before: Seen, began: float, asked: bool) -> tuple[Verdict, Seen, list[Seen]]:
        """Until it is decided. The looks that had a problem come with it: an engine that goes back takes its evidence away."""
        looks: list[Seen] = []
        while True:
            seen = self.engine.look()
            waited = time.time() - began
            verdict = judge(self.service, seen, before, waited, asked)
            if culprit(self.service.release, seen):
                looks = [*looks[-1:], seen]
            if verdict.what != WAITING:
                return verdict, seen, [*looks, seen]
            self.tell(Event("update", self.service.name, "waiting", began, waited, verdict.text))
            self.sleep(_LOOK if waited < _WHILE else _RELAXED)

    # How it is told.

    def _step(self, name: str, do: Callable[[], Done], ended: Ended, quiet: bool = False) -> Done:
        """A part of the course, as an event; what the engine refuses is its failure."""
        began = time.time()
        try:
            done = do()
        except Refused as error:
            seen, _line, log = str(error).partition("\n")
            self.tell(Event(name, self.service.name, "failed", began, time.time() - began, seen))
            ended.failure = Failure(self.service.name, name, _EXPECTED[name], seen, tuple(log.splitlines()))
            self.tell(ended.failure)
            return Done()
        if not quiet and (done.changed or done.what):
            self.tell(Event(name, self.service.name, "ok" if done.changed else "unchanged", began, time.time() - began, ", ".join(done.what)))
        return done

    def _say(self, step: str) -> Callable[[str], None]:
        began = time.time()
        return lambda text: self.tell(Event(step, self.service.name, "waiting", began, time.time() - began, text))

    def _hooks(self, moment: str, ended: Ended) -> None:
        why = self.hook(moment, ended.before.release)
        if why and not ended.failure:
            ended.failure = Failure(self.service.name, moment, f"bluegreen_{moment} ends with 0", why)
            self.tell(ended.failure)

    def _failure(self, verdict: Verdict, looks: list[Seen]) -> Failure:
        """With all that the engine knows of one replica that did not come."""
        expected = f"{self.service.replicas} healthy replicas of release {self.service.release}"
        replica = culprit(self.service.release, *looks)
        if replica is None:
            return Failure(self.service.name, "update", expected, verdict.text)
        why, log = self._ask_why(replica)
        node = f" on {replica.node}" if replica.node else ""
        return Failure(
            self.service.name,
            "update",
            expected,
            f"{verdict.text.rstrip('.')}; {replica.name}{node}: {(why or replica.problem or replica.state).rstrip('.')}",
            log,
        )

    def _ask_why(self, replica: Replica) -> tuple[str, tuple[str, ...]]:
        try:
            return self.engine.why(replica), self.engine.log(replica)
        except Refused as error:  # it may be gone already
            return f"{replica.problem or replica.state} (more is not known: {error})", ()

    def _note(self, outcome: str, ended: Ended, release: str = "") -> None:
        """How a release ended, this one's or another's, in the engine's own history; once."""
        about = replace(self.service, release=release or self.service.release)
        if _is_noted(about.release, outcome, ended.after):
            return
        try:
            self.engine.mark(about, outcome, self.by)
        except Refused as error:
            ended.warnings.append(f"how release {about.release} ended could not be noted: {error}")


_EXPECTED = {
    "files": "configs and secrets are kept by the engine",
    "migrate": "bluegreen_migrate ends with 0",
    "update": "the engine takes the release",
    "switch": "all requests go to the new replicas",
    "workers": "workers and cron jobs run as wished",
    "prune": "what nobody needs any more is removed",
}


def _is_noted(release: str, outcome: str, seen: Seen) -> bool:
    """Whether the engine's own history says so already."""
    return any(past.release == release and past.outcome == outcome for past in seen.past)
