"""Jobs that run once a host or once in the fleet, on several hosts, each with a supervisord of its own; and runs that are killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _cron, _permit, _processes, _supervisor, _workers
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import WORKERS, Job
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner, _singles

from tests.drivers.shop import APPS, InProcess, Shop, make_wish
from tools.bed import PYTHON, Bed, end, free_ports, wait_until

QUEUE = Job("queue", (PYTHON, "-S", f"{APPS}/job.py"), scope="fleet", start_seconds=0, stop_timeout=2)
REPORT = Job("report", (PYTHON, "-S", f"{APPS}/job.py"), scope="fleet", schedule="*/5 * * * *")

_CHANGES = {"os.rename", "os.remove", "os.symlink"}
_ORDERS = {"startProcess", "stopProcess", "addProcessGroup", "removeProcessGroup", "reloadConfig"}


@dataclass
class Herd:
    """The hosts of a service, by name. ``ledger`` is a directory that all of its jobs write to."""

    hosts: dict[str, Shop]
    ledger: Path
    told: list[Any] = field(default_factory=list)

    @classmethod
    def make(cls, service: str, beds: Mapping[str, Bed], ledger: Path, *jobs: Job) -> Herd:
        return cls({name: Shop(bed, _wish(service, name, bed, tuple(beds), jobs)) for name, bed in beds.items()}, ledger)

    def wished(self, *jobs: Job) -> None:
        """Other jobs from now on."""
        for shop in self.hosts.values():
            shop.wish = replace(shop.wish, jobs=jobs)

    def stage(self, release: str, **environment: str) -> None:
        for name, shop in self.hosts.items():
            for folder in ("releases", "log", "blue/.launch"):  # without the slot's program: a supervisord that restarts would start it, too
                Path(shop.wish.root, folder).mkdir(parents=True, exist_ok=True)
            shop.stage(release, LEDGER=str(self.ledger), HOST=name, **environment)

    def run(self, release: str, *limit: str, lost: Collection[str] = (), absent: Mapping[str, str] | None = None) -> _singles.Moved:
        """What the end of a run does, over all hosts by default."""
        clients = {name: _supervisor.connect(shop.wish.supervisor) for name, shop in self.hosts.items() if name not in lost}
        remote, wishes = InProcess(clients, 0.5), {name: replace(shop.wish, release=release) for name, shop in self.hosts.items()}
        seen: dict[str, HostState] = {name: remote.observe(wishes[name]) for name in clients}
        inside = {name: wishes[name] for name in limit or wishes if name in clients}
        moves = _singles.decide(_singles.Sight(inside, seen, dict.fromkeys(lost, "does not answer"), absent or {}))
        return _singles.carry_out(moves, wishes, release, remote, self.told.append, lambda: None)

    def release(self, release: str, *limit: str, **environment: str) -> _singles.Moved:
        self.stage(release, **environment)
        return self.run(release, *limit)

    def where(self) -> dict[str, str | None]:
        """Which release of the queue runs on which host. A process that supervisord has just made is not yet the program."""
        pids = {name: self.pid(name) for name in self.hosts}
        return {name: wait_until(lambda name=name, pid=pid: self._release(name, pid), what=f"a release of {name}'s queue") for name, pid in pids.items() if pid}

    def _release(self, host: str, pid: int) -> str | None:
        return _processes.running_release(pid, f"{self.hosts[host].wish.root}/{WORKERS}")

    def pid(self, host: str) -> int:
        return _supervisor.connect(self.hosts[host].wish.supervisor).process(f"{self.hosts[host].wish.service}-queue").pid

    def permits(self, job: Job = QUEUE) -> set[str]:
        return {name for name, shop in self.hosts.items() if job.id in _permit.here(shop.wish)}

    def file(self, host: str) -> Path:
        """The queue's program file on a host."""
        return Path(_workers.path(self.hosts[host].wish, f"{self.hosts[host].wish.service}-queue"))

    def cron(self, host: str) -> Path:
        return Path(_cron.path(self.hosts[host].wish))

    def do(self, host: str, name: str, job: str, release: str = "", **fields: Any) -> _runner.Answer:
        """One step, without anybody who decides."""
        shop = self.hosts[host]
        wish = replace(shop.wish, release=release)
        return InProcess({host: shop.client}, 30).walk(wish, [Step(name, host, (f"{host}/{job}",), release, **fields)])

    def recorded(self, word: str) -> list[str]:
        """The ledger's lines of this kind."""
        path = self.ledger / "ledger"
        return [line for line in path.read_text().splitlines() if line.startswith(f"{word} ")] if path.exists() else []

    def restart(self, host: str, force: bool = False) -> None:
        """supervisord ends, in order or by a SIGKILL that leaves its programs behind, and starts again."""
        bed = self.hosts[host].bed
        if force:
            pid = bed.supervisor_pid
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not bed.supervisor_pid, what="supervisord's end")
            (bed.path / "supervisor.sock").unlink(missing_ok=True)
        else:
            end(bed.supervisor_pid, 40)
        bed.start_supervisor()
        self.hosts[host].__dict__.pop("client", None)

    def remove(self) -> None:
        """End all that it runs."""
        for shop in self.hosts.values():
            for job in _permit.here(shop.wish):
                for pid in _permit.holders(shop.wish, job):
                    name = f"{shop.wish.service}-queue"
                    shop.client.stop(name)
                    end(pid, 3)
            for name in _workers.installed(shop.wish, WORKERS):
                wait_until(lambda shop=shop, name=name: shop._is_removed(name), 15, f"the end of {name}")
                Path(_workers.path(shop.wish, name)).unlink(missing_ok=True)
            shop.client.reread()


def _wish(service: str, host: str, bed: Bed, hosts: tuple[str, ...], jobs: tuple[Job, ...]) -> Wish:
    (bed.path / "cron.d").mkdir(exist_ok=True)
    wish = make_wish(bed, service, free_ports(2), host=host, pool=(), balancers=("lb1",), cron_dir=f"{bed.path}/cron.d", jobs=jobs, fleet=hosts)
    members = tuple(replace(member, host=host) for member in wish.members)
    return replace(wish, members=members, program=replace(wish.program, stop_timeout=2))


def cut_off(work: Callable[[], object], at: int) -> bool:
    """Do ``work`` in a process that is killed before its ``at``-th effect: a change of a file, a permit, an order to supervisor. Whether it came to that."""
    child = os.fork()
    if child == 0:
        seen, real = [0], _supervisor.Client._call

        def count() -> None:
            seen[0] += 1
            if seen[0] == at:
                os.kill(os.getpid(), signal.SIGKILL)

        def watch(name: str, arguments: tuple[Any, ...]) -> None:
            creates = name == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
            if name in _CHANGES or creates:
                count()

        def call(client: _supervisor.Client, method: str, *arguments: Any) -> Any:
            if method in _ORDERS:
                count()
            return real(client, method, *arguments)

        try:
            sys.addaudithook(watch)
            _supervisor.Client._call = call  # type: ignore[method-assign]  # in this process, which ends here
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the work itself failed"
    return os.WIFSIGNALED(status)
