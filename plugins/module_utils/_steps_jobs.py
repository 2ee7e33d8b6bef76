# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of single jobs on their host: stop, vouch, point, start, check. Each guards itself here, on the spot.

Never two at a time, and never again by itself: what would bring a job back goes before the job does, and what lets it
run comes before its program. A member is ``host/worker:queue`` or ``host/cron:report``, or ``host/workers`` for their place.
"""

from __future__ import annotations

import contextlib
import os
from typing import List

from . import _cron, _files, _halt, _permit, _processes, _program, _release, _workers
from ._frame import Failed, Frame
from ._model import Refusal, Step, Wish
from ._parts import WORKERS, Job
from ._states import DEAD_STATES
from ._supervisor import Client, waits_for_nothing

_LOOK_AGAIN = 0.1  # seconds between two looks at all processes of the host


class JobSteps:
    """The steps of the single jobs of one host."""

    def __init__(self, wish: Wish, client: Client, frame: Frame) -> None:
        self.wish = wish
        self.client = client
        self.frame = frame
        self._place = _release.SlotPlace(wish.root, WORKERS)

    def note_failure(self, step: Step, error: Exception) -> List[str]:
        """The worker's last log lines, where it was started."""
        if step.name not in ("start", "check") or step.slot.startswith("cron:"):
            return []
        _release.remember(self.wish.root, job=step.slot, release=step.release, result="failed", why=str(error))
        return self.client.log(_workers.single_name(self.wish, step.slot))

    def stop(self, step: Step) -> str | None:
        """Stop the job for good: nothing starts it again, and every process of it is gone.

        With a release, it comes back on this host and keeps its permit; without one the permit goes, too.
        """
        job = step.slot
        if not step.resume and not self._traces(job):
            return None
        how = self._end_entry(step, job) if job.startswith("cron:") else self._end_worker(step, job)
        if step.release:
            return how
        if not _permit.withdraw(self.wish, job):
            raise Failed(f"nobody holds the permit of {job}", self._who(job))
        return f"{how}; it runs here no more"

    def _end_worker(self, step: Step, job: str) -> str:
        name = _workers.single_name(self.wish, job)
        limit = step.resume.get("limit") or self._limit(name)
        halt = _halt.Halt(self.client, self.frame.clock, [name], step.resume.get("pids", ()))
        if not step.resume:
            _workers.refuse_foreign(self.wish, WORKERS, name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_workers.path(self.wish, name))  # first: a supervisord that restarts now does not bring it back
            halt.begin()
        end = self.frame.clock.now() - step.elapsed + limit + _halt.SPARE
        while True:
            over = halt.is_over()
            if over:  # only then it is worth a look at all processes of the host
                halt.add(_permit.holders(self.wish, job))
                over = halt.is_over() and _permit.is_free(self.wish, job)
            if over:
                break
            seen = "; ".join(halt.words())
            if self.frame.clock.now() >= end:
                raise Failed(f"{name} stopped and all its processes gone within {limit} s", f"{seen}. It is started nowhere until they are gone")
            self.frame.pause(f"{seen}, of {limit} s", pids=halt.pids, limit=limit)
        self.client.remove(name)
        self.client.reread()
        return f"{len(halt.pids)} process{'es' if len(halt.pids) != 1 else ''} gone"

    def _limit(self, name: str) -> int:
        """Seconds that the program which runs now may take to stop, as supervisor has it."""
        return int(self.client.groups().get(name, {}).get("stopwaitsecs", self.wish.program.stop_timeout))

    def _end_entry(self, step: Step, job: str) -> str:
        """cron starts it no more; a run in progress is waited for."""
        _cron.take(self.wish, job)
        limit = self.wish.program.stop_timeout
        end = self.frame.clock.now() - step.elapsed + limit
        while not _permit.is_free(self.wish, job):
            seen = self._who(job)
            if self.frame.clock.now() >= end:
                raise Failed(f"the run of {job} in progress ended within bluegreen_stop_timeout ({limit} s)", f"{seen}. It is scheduled nowhere until then")
            self.frame.pause(f"{seen}, of {limit} s", _LOOK_AGAIN, limit=limit)
        return "its line is gone, and no run is in progress"

    def _who(self, job: str) -> str:
        found = _permit.holders(self.wish, job)
        return f"still there: {', '.join(map(_processes.describe, found)) or 'a process that this user may not see'}"

    def _traces(self, job: str) -> List[str]:
        """What there is of the job on this host, in words."""
        if job.startswith("cron:"):
            files = ["its line for cron"] if job in _cron.lines(self.wish) else []
        else:
            files = ["its program file"] if _workers.single_name(self.wish, job) in _workers.installed(self.wish, WORKERS) else []
        return [*(["its permit"] if job in _permit.here(self.wish) else []), *files, *self._running(job)]

    def _running(self, job: str) -> List[str]:
        """The job's processes on this host, whoever started them, in words."""
        process = self.client.process(_workers.single_name(self.wish, job)) if job.startswith("worker:") else None
        by_supervisor = [f"supervisor says {process.state}, pid {process.pid}"] if process and not waits_for_nothing(process) else []
        return [*by_supervisor, *map(_processes.describe, _permit.holders(self.wish, job))]

    def vouch(self, step: Step) -> str:
        """Say that nothing of the job is on this host, for one that shall run it; under the fence, so nothing will be."""
        found = self._traces(step.slot)
        if found:
            raise Failed(f"nothing of {step.slot} on {self.wish.host}", "; ".join(found))
        return f"not on {self.wish.host}"

    def point(self, step: Step) -> str | None:
        """Make ``step.release`` the one that jobs start with. A rollback may be to one from before there were any."""
        before = self._place.current
        if self.wish.rollback and not self._place.record(step.release):
            return None
        if before == step.release and (self.wish.rollback or not self._place.pending(step.release)):
            return None
        self._place.point(step.release, with_waiting=not self.wish.rollback)
        return f"{before or 'nothing'} → {step.release}"

    def start(self, step: Step) -> str | None:
        """Let the job run here: its permit first, then what starts it. A release that does not have it runs without."""
        job = self.wish.single(step.slot)
        if job is None:
            raise Refusal(f"{step.slot} is no job of {self.wish.service} any more; it is not started.")
        if not self._is_known(job.id, step.release):
            return self._without(job, step.release)
        if self._place.current != step.release:
            raise Refusal(f"{self._place.path}/current is {self._place.current or 'not there'}, not {step.release}; {job.id} is not started.")
        self._must_be_alone(step, job)
        if job.schedule:
            _permit.grant(self.wish, job.id)
            _cron.put(self.wish, job)
            return f"{job.schedule}, in {_cron.path(self.wish)}"
        self._start_worker(job)
        return f"{_workers.single_name(self.wish, job.id)} with release {step.release}"

    def _start_worker(self, job: Job) -> None:
        name = _workers.single_name(self.wish, job.id)
        _workers.refuse_foreign(self.wish, WORKERS, name)
        running = self._running(job.id)
        if running or not _permit.is_free(self.wish, job.id):
            raise Failed(f"nothing of {job.id} runs before its start", "; ".join(running) or self._who(job.id))
        _permit.grant(self.wish, job.id)
        self.client.remove(name)
        _files.write(_workers.path(self.wish, name), _program.job_file(self.wish, WORKERS, job), 0o644)
        self.client.reread()
        self.client.add(name)
        self.client.start(name)

    def _without(self, job: Job, release: str) -> str | None:
        """The release does not have the job, so nothing of it stays here."""
        was_here = job.id in _permit.here(self.wish)
        if job.schedule:
            _cron.take(self.wish, job.id)
        _permit.withdraw(self.wish, job.id)
        return f"release {release} does not have it, so it runs nowhere" if was_here else None

    def _is_known(self, job: str, release: str) -> bool:
        return bool(self._place.record(release)) and job in _program.jobs_known(_files.read(self._place.start_path(release)) or "")

    def _must_be_alone(self, step: Step, job: Job) -> None:
        """:class:`Refusal` unless no other host can have it: this one has its permit, or all others have said that they have nothing of it."""
        if job.scope == "host" or job.id in _permit.here(self.wish):
            return
        silent = sorted(set(self.wish.fleet) - {self.wish.host} - set(step.out_of))
        if silent:
            raise Refusal(f"{job.id} may run on {', '.join(silent)}, which did not say that it does not; it is not started here.")

    def check(self, step: Step) -> str | None:
        """Wait until the worker runs the release, for its ``start_seconds``."""
        job, name = self.wish.single(step.slot), _workers.single_name(self.wish, step.slot)
        if job is None or not self._is_known(step.slot, step.release):
            return None
        end = self.frame.clock.now() - step.elapsed + self.wish.boot_timeout + job.start_seconds
        while True:
            process = self.client.process(name)
            if process.state in DEAD_STATES:
                raise Failed(f"{name} runs", f"supervisor says {process.state}: {process.problem or 'it ended'}")
            found = _processes.running_release(process.pid, self._place.path) if process.pid else None
            if process.state == "RUNNING" and found == step.release:
                self._place.settle(step.release, {})
                _release.remember(self.wish.root, job=step.slot, release=step.release, result="good")
                return f"runs release {found}, pid {process.pid}"
            seen = f"supervisor says {process.state}, its process runs release {found or '(not known yet)'}"
            if self.frame.clock.now() >= end:
                raise Failed(f"{name} runs release {step.release} for {job.start_seconds} s, within bluegreen_boot_timeout", seen)
            self.frame.pause(seen)
