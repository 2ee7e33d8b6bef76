"""One case from beginning to end: install, release v1, load, release v2 and the fault, heal, run again, judge."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tools import hosts
from tools.bed import BUILD, wait_until

from . import faults
from .bed import ChaosBed
from .draw import Case, draw
from .invariants import complaints, undercut
from .judge import Damage, Verdict, judge
from .load import BACK_OFF, CLIENTS, Load
from .play import Ended, Moment, Play

SEEDS = tuple(range(30))  # of `make test-chaos`
LOGS = BUILD / "chaos"
RUN_LIMIT = 300.0  # seconds for one playbook, on a machine that has much else to do
OLD, NEW = "v1", "v2"


@dataclass
class Outcome:
    """What became of a case. ``wrong`` is empty if all is well; each entry is a sentence."""

    case: Case
    wrong: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=lambda: Verdict(0))
    struck: bool = False
    first: int | None = None  # exit status of the run that was hit
    times: dict[str, float] = field(default_factory=dict)  # seconds of each part

    @property
    def logs(self) -> Path:
        return LOGS / f"seed-{self.case.seed}"

    def __str__(self) -> str:
        fault = "" if self.case.fault == "none" or self.case.is_broken else ", struck" if self.struck else ", over before its moment"
        counted = f"{self.verdict.requests} requests, {len(self.verdict.lost)} lost, {len(self.verdict.excused)} excused (at most {self.verdict.bound})"
        times = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.times.items())
        lines = [
            f"{'FAIL' if self.wrong else 'ok  '}  {self.case}",
            f"      {counted}; first run ended with {self.first}{fault}; {sum(self.times.values()):.0f} s ({times})",
        ]
        if self.wrong:
            lines += [f"      {line}" for text in self.wrong for line in text.splitlines()]
            lines += [f"      output: {self.logs}", f"      replay: python -m tests.chaos {self.case.seed}"]
        return "\n".join(lines)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.times[name] = self.times.get(name, 0.0) + time.monotonic() - began


def run_all(seeds: Sequence[int], at_once: int = 1) -> Iterator[Outcome]:
    """The cases of these seeds, each as it ends; most of a case is waiting, so two cores have time for more than one.

    Whoever stops asking, or is interrupted, ends those under way.
    """
    ended = threading.Event()
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(run, seed, ended) for seed in seeds]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            ended.set()
            pool.shutdown(cancel_futures=True)


def run(seed: int, ended: threading.Event | None = None) -> Outcome:
    """The case of a seed, on hosts of its own; ``ended`` breaks it off."""
    case = draw(seed)
    outcome = Outcome(case)
    shutil.rmtree(outcome.logs, ignore_errors=True)
    outcome.logs.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        with outcome.timed("hosts"):
            fleet = stack.enter_context(hosts.up(*case.app_hosts, *case.balancer_hosts))
        bed = ChaosBed(case, fleet, ended or threading.Event())
        trial = _Trial(bed, outcome)
        try:
            trial.go()
        except (TimeoutError, Ended, hosts.HostsError, OSError, ValueError) as error:
            outcome.wrong.append(f"the case could not go on: {type(error).__name__}: {error}")
        finally:
            bed.finish()
            trial.keep()
    return outcome


class _Trial:
    def __init__(self, bed: ChaosBed, outcome: Outcome) -> None:
        self.bed, self.outcome, self.case = bed, outcome, bed.case
        self.zero = time.monotonic()

    def go(self) -> None:
        case, outcome = self.case, self.outcome
        with outcome.timed("services"):
            self._services()
        with outcome.timed("install"):
            if not self._good(self.bed.play("install")):
                return
        with outcome.timed("v1"):
            # All at once: nobody is served yet, and it is the next release that is tested.
            if not self._good(self.bed.release(OLD, "-e", "bluegreen_serial=100%")):
                return
        self._watch()
        with Load(self.bed.entries) as load:
            wait_until(lambda: len(load.records) > 4 * len(self.bed.entries), 20, "the load's first answers")
            self.zero = time.monotonic()
            with outcome.timed("v2"):
                damage = self._first_run()
            with outcome.timed("again"):
                self._run_again()
            load.stop()
            with outcome.timed("look"):
                self._expect(OLD if case.is_broken else NEW, "after running again")
                self._floor()
        last = OLD if case.is_broken else NEW
        answered = {record.entry for record in load.records if record.release == last and not record.failed}
        outcome.wrong += [f"{entry}: nobody got an answer of release {last} there" for entry in case.entries if entry not in answered]
        forbidden = (f"{NEW} {case.target}",) if case.is_broken else ()
        outcome.verdict = judge(load.records, damage, load.clients, len(CLIENTS), BACK_OFF, forbidden)
        self._judge()

    def _services(self) -> None:
        def start(host: str) -> None:
            self.bed.fleet[host].start("nginx", *(["supervisor"] if host in self.case.app_hosts else []))

        with ThreadPoolExecutor(len(self.bed.names)) as pool:
            list(pool.map(start, self.bed.names))

    def _good(self, play: Play) -> bool:
        """Wait for a playbook that must go well."""
        status = play.wait(RUN_LIMIT)
        if status != 0:
            how = "did not end" if status is None else f"ended with {status}"
            self.outcome.wrong.append(f"playbook {len(self.bed.plays)} ({play.name}) {how}:\n{play.tail()}")
        return status == 0

    def _first_run(self) -> Damage:
        """The release with the fault in it; then all is healed."""
        case, outcome = self.case, self.outcome
        play = self.bed.release(NEW, moment=Moment(case.moment.step, case.moment.nth))
        damage = Damage()
        if case.fault != "none" and not case.is_broken:
            outcome.struck = self._await_moment(play)
            if outcome.struck:
                damage = faults.strike(self.bed, play)
        outcome.first = play.wait(RUN_LIMIT)
        if outcome.first is None:
            outcome.wrong.append(f"the run that was hit did not end within {RUN_LIMIT:g} s:\n{play.tail()}")
            play.finish()
        if not outcome.struck and not case.is_broken and outcome.first:
            outcome.wrong.append(f"nothing was wrong, and the run ended with {outcome.first}:\n{play.tail()}")
        if outcome.first == 0:
            self._expect(NEW, "after a run that ended with 0")
        if case.is_broken:
            self._policy()
        return damage

    def _await_moment(self, play: Play) -> bool:
        """Whether the moment came before the run was over."""
        moment = self.case.moment
        if moment.step:
            wait_until(lambda: play.over or play.reached.is_set(), RUN_LIMIT, "the step or the run's end")
        due = moment.seconds + (time.monotonic() if moment.step else play.began)
        wait_until(lambda: play.over or time.monotonic() >= due, RUN_LIMIT, "the moment or the run's end")
        return not play.over

    def _policy(self) -> None:
        """What a broken release leaves: the failed member on the old one, and what the policy says of the others."""
        case, seen = self.case, self.bed.look()
        if not self.outcome.first:
            self.outcome.wrong.append("the release was broken, and the run ended with 0")
        host = case.target.partition("/")[0]
        old = {"stop": [case.target], "host": [m for m in case.members if m.startswith(f"{host}/")], "fleet": list(case.members)}[case.on_failure]
        self._complain(complaints(case, seen, dict.fromkeys(old, OLD)), f"after a broken release with on_failure {case.on_failure}")

    def _run_again(self) -> None:
        """The same command again; for a broken release, the one with the old release."""
        play = self.bed.release(OLD if self.case.is_broken else NEW)
        if self._good(play) and self.outcome.first == 0 and play.changed:
            self.outcome.wrong.append(f"all was done, and running again changed {play.changed}:\n{play.tail()}")

    def _expect(self, release: str, when: str) -> None:
        self._complain(complaints(self.case, self.bed.look(), release), when)

    def _complain(self, found: list[str], when: str) -> None:
        self.outcome.wrong += [f"{when}: {text}" for text in found]

    def _watch(self) -> None:
        """Each balancer notes from now on what it serves."""
        for host in self.case.entries:
            self.bed.background(host, "watch", "900")

    def _floor(self) -> None:
        """No balancer ever had fewer members in use than it must."""
        for host in self.case.entries:
            self.outcome.wrong += undercut(self.case, host, self.bed.watched(host))

    def _judge(self) -> None:
        verdict = self.outcome.verdict
        for title, records in (("failed, and nothing excuses it", verdict.lost), ("was answered by a release that failed its check", verdict.wrong)):
            if records:
                lines = [record.words(self.zero) for record in records[:10]]
                self.outcome.wrong.append("\n".join([f"{len(records)} x a request {title}:", *lines]))
        if len(verdict.excused) > verdict.bound:
            self.outcome.wrong.append(f"{len(verdict.excused)} requests were excused, the fault can have cost {verdict.bound}")

    def keep(self) -> None:
        """What the playbooks said, for whoever looks for the reason."""
        for number, play in enumerate(self.bed.plays, 1):
            (self.outcome.logs / f"{number}-{play.name}.log").write_text(play.output)
        (self.outcome.logs / "case.txt").write_text(f"{self.outcome}\n")
        inventory = self.bed.folder / "inventory.json"
        (self.outcome.logs / "inventory.json").write_text(inventory.read_text())
        lost = [record.words(self.zero) for record in (*self.outcome.verdict.lost, *self.outcome.verdict.excused)]
        (self.outcome.logs / "requests.json").write_text(json.dumps(lost, indent=1, ensure_ascii=False))
