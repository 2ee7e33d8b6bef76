"""A service on a bed, driven through the collection's own Python: installed, staged, swapped, asked.

No Ansible in between: :class:`InProcess` is the runner's way to the host, with the same JSON in between as in a play.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _install, _nginx, _observe, _processes, _sockets, _stage, _steps, _supervisor, _workers
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Step, Wish, dump, load
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Member, Nginx, Program, Site, Supervisor
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

from tools.bed import NGINX, PYTHON, Bed, alive, free_ports, wait_until

APPS = Path(__file__).resolve().parents[1] / "apps"
WEB = (PYTHON, "-S", "web.py")


@dataclass(frozen=True)
class Reply:
    """What came back for a request: ``body`` is the application's own account of it, {} if it was not its answer."""

    status: int
    body: dict[str, Any]
    text: str
    headers: dict[str, str]

    @property
    def slot(self) -> str:
        return str(self.body.get("slot"))

    @property
    def release(self) -> str:
        return str(self.body.get("release"))


def read(answer: http.client.HTTPResponse) -> Reply:
    text = answer.read().decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    return Reply(answer.status, body if isinstance(body, dict) else {}, text, dict(answer.getheaders()))


def ask(port: int, path: str = "/", body: bytes | None = None, seconds: float = 20, **headers: str) -> Reply:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("POST" if body is not None else "GET", path, body, headers)
        return read(connection.getresponse())
    finally:
        connection.close()


@contextlib.contextmanager
def running(
    *command: str, cwd: Path = APPS, ready: Callable[[int], Any] = bool, seconds: float = 10.0, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the test's own, in a session of its own; it and what it started end with the block."""
    process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: ready(process.pid), seconds, f"the start of {command[-1]}")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def web(port: int, slot: str = "blue", release: str = "v1", **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The small application on a port, without a supervisor."""
    names = {"PORT": str(port), "BLUEGREEN_SLOT": slot, "BLUEGREEN_RELEASE": release, **environment}
    with running(*WEB, ready=lambda pid: port in _sockets.listening_ports(_processes.tree(pid)), **names) as process:
        yield process


@contextlib.contextmanager
def ended(pids: Sequence[int]) -> Iterator[None]:
    """Whatever happens in the block, these processes are gone after it."""
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: not alive(pid), what=f"the end of {pid}")


def make_wish(bed: Bed, service: str, ports: Sequence[int], **changes: Any) -> Wish:
    """A wish for two slots on a bed, with short times. ``ports``: nginx's, then one a slot; the second slot stands by."""
    slots = [("blue", False), ("green", True), ("red", False), ("grey", False)]
    members = tuple(Member("app1", name, {"http": port}, backup=backup) for (name, backup), port in zip(slots, ports[1:], strict=False))
    root = f"{bed.path}/srv/{service}"
    wish = Wish(
        service=service,
        host="app1",
        root=root,
        release="",
        members=members,
        pool=members,
        balancers=("app1",),
        program=Program(command=WEB, start_seconds=0, stop_timeout=5, log_dir=f"{root}/log"),
        health=Health(interval=0.02, successes=3, timeout=2.0),
        site=Site(listen={"http": f"127.0.0.1:{ports[0]}"}, idle=0.1),
        nginx=Nginx(
            command=(NGINX, "-e", f"{bed.path}/nginx-error.log"),
            config=f"{bed.path}/nginx.conf",
            conf_dir=f"{bed.path}/conf.d",
            state_dir=f"{bed.path}/bluegreen",
            pid_file=f"{bed.path}/nginx.pid",
            error_log=f"{bed.path}/nginx-error.log",
        ),
        supervisor=Supervisor(config=f"{bed.path}/supervisord.conf", program_dir=f"{bed.path}/programs"),
        boot_timeout=15.0,
        drain_timeout=15.0,
    )
    return altered(wish, **changes)


def altered(wish: Wish, **changes: Any) -> Wish:
    """The wish with other values; a dictionary changes fields of a part (``site={"idle": 2}``)."""
    parts = {name: replace(getattr(wish, name), **value) if isinstance(value, dict) else value for name, value in changes.items()}
    return replace(wish, **parts)


@dataclass
class InProcess:
    """The runner's remote, for hosts that are here: as in a play, all that passes is JSON."""

    clients: Mapping[str, _supervisor.Client]
    seconds: float = 2.0
    calls: int = 0

    def observe(self, wish: Wish) -> HostState:
        return state_of(_observe.host(wish, self.clients.get(wish.host)))

    def walk(self, wish: Wish, steps: Sequence[Step]) -> _runner.Answer:
        self.calls += 1
        if any(step.restore for step in steps):  # a test lets a release fail early; what is put back may take its time on a busy machine
            wish = replace(wish, boot_timeout=max(wish.boot_timeout, 30.0))
        done = _steps.run(passed(Wish, wish), self.clients.get(wish.host), [passed(Step, step) for step in steps], self.seconds)
        waiting = passed(Step, done.waiting) if done.waiting else None
        return _runner.Answer(state_of(done.state), done.events, waiting, done.failure, done.found)

    def together(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        with ThreadPoolExecutor(max(len(jobs), 1)) as pool:
            return [job.result() for job in [pool.submit(job) for job in jobs]]


def state_of(seen: HostState) -> HostState:
    state: HostState = passed(HostState, seen)
    return state


def passed(kind: type[Any], value: Any) -> Any:
    """The object as it comes out at the other end of the connection."""
    return load(kind, json.loads(json.dumps(dump(value))))


@dataclass
class Shop:
    """A service on a bed."""

    bed: Bed
    wish: Wish
    told: list[Any] = field(default_factory=list)

    @cached_property
    def client(self) -> _supervisor.Client:
        return _supervisor.connect(self.wish.supervisor)

    @property
    def port(self) -> int:
        return int(self.wish.site.listen["http"].split(":")[1])

    def install(self) -> None:
        _install.programs(self.wish)
        _install.balancer(self.wish)

    def stage(self, release: str, **environment: str) -> Wish:
        """The wish for a release, which is staged; ``environment`` says what is wrong with it."""
        wish = replace(self.wish, release=release)
        archive = self.bed.path / "web.tar"
        if not archive.exists():
            with tarfile.open(archive, "w") as tar:
                tar.add(APPS / "web.py", "web.py")
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        _stage.stage(wish, _stage.Source("web.tar", f"sha256:{digest}", str(archive)), _stage.Build(), environment)
        return wish

    def swap(self, release: str, seconds: float = 2.0, **environment: str) -> _runner.Result:
        """Stage and swap, as a play does."""
        wish = self.stage(release, **environment)
        return _runner.swap([wish], InProcess({wish.host: self.client}, seconds), self.told.append)

    def released(self, release: str = "v1", **environment: str) -> Shop:
        """Both slots on a release: where most tests begin."""
        self.install()
        done = self.swap(release, **environment)
        assert done.ok, _runner.message(done, [self.wish])
        return self

    def do(self, slot: str, *names: str, release: str = "v1", seconds: float = 60.0) -> _steps.Outcome:
        """Steps on one member, without a planner that takes care."""
        steps = [Step(name, self.wish.host, (self.id(slot),), release) for name in names]
        return _steps.run(replace(self.wish, release=release), self.client, steps, seconds)

    def id(self, slot: str) -> str:
        return next(member.id for member in (*self.wish.members, *self.wish.pool) if member.slot == slot)

    def serve(self, *slots: str) -> bool:
        """Let the balancer serve exactly these."""
        wanted, now = {self.id(slot) for slot in slots}, set(_nginx.observe(self.wish).serving)
        return _nginx.switch(self.wish, leave=now - wanted, enter=wanted - now)

    def serving(self) -> set[str]:
        return {member.partition("/")[2] for member in _nginx.observe(self.wish).serving}

    def state(self, release: str = "") -> HostState:
        return _observe.host(replace(self.wish, release=release), self.client)

    def pid(self, slot: str) -> int:
        return self.client.process(f"{self.wish.service}-{slot}").pid

    def pids(self) -> dict[str, int]:
        return {member.slot: self.pid(member.slot) for member in self.wish.members}

    def releases(self) -> dict[str, str | None]:
        return {slot: seen.release for slot, seen in self.state().slots.items()}

    def ask(self, path: str = "/", body: bytes | None = None, **headers: str) -> Reply:
        return ask(self.port, path, body, **headers)

    def workers(self) -> set[int]:
        return set(_nginx.workers(self.wish.nginx))

    def remove(self) -> None:
        """End its programs, take them out of supervisor, and end what they left on its ports; nginx's files go with the bed."""
        if "client" not in self.__dict__:
            return
        for member in self.wish.members:
            own = f"{self.wish.service}-{member.slot}"
            for name in (own, *_workers.programs(self.wish, member.slot)):
                wait_until(lambda name=name: self._is_removed(name), 15, f"the end of {name}")
                Path(_workers.path(self.wish, name)).unlink(missing_ok=True)
            with ended(_sockets.listener(member.port, member.address, frozenset()).others):
                pass
        self.client.reread()

    def _is_removed(self, name: str) -> bool:
        """Told so again and again: between a program's end and its automatic restart, supervisor takes no stop."""
        self.client.stop(name)
        try:
            self.client.remove(name)
        except Refusal:  # it still runs
            return False
        return True


def words(done: _runner.Result, shop: Shop) -> str:
    """The message of a failed run, as the user reads it."""
    return _runner.message(done, [replace(shop.wish, release="v2")])


@dataclass
class Load:
    """Clients with keep-alive connections that ask all the time, alternately GET and POST; they count what failed."""

    port: int
    clients: int = 6
    pause: float = 0.002  # seconds between two requests of a client: the processor is left to what is tested
    answered: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(self.clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    @property
    def total(self) -> int:
        return sum(self.answered.values()) + len(self.failed)

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        count = 0
        while not self._end.is_set():
            count += 1
            body = b"x" * 2000 if (count + number) % 2 else None
            try:
                connection.request("POST" if body else "GET", "/", body)
                reply = read(connection.getresponse())
                self._note(reply, "" if reply.status == 200 and reply.body.get("bytes") == len(body or b"") else f"status {reply.status}")
            except (OSError, http.client.HTTPException) as error:
                self._note(None, repr(error))
                connection.close()
            self._end.wait(self.pause)
        connection.close()

    def _note(self, reply: Reply | None, wrong: str) -> None:
        with self._lock:
            if wrong or reply is None:
                self.failed.append(wrong)
            else:
                who = f"{reply.slot} {reply.release}"
                self.answered[who] = self.answered.get(who, 0) + 1


class Asking(threading.Thread):
    """One request in the background; :meth:`reply` waits for what became of it (an exception is raised there)."""

    def __init__(self, port: int, path: str, body: bytes | None = None) -> None:
        super().__init__(daemon=True)
        self._port, self._path, self._body = port, path, body
        self._reply: Reply | None = None
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._reply = ask(self._port, self._path, self._body, seconds=40)
        except (OSError, http.client.HTTPException) as error:
            self._error = error

    def reply(self) -> Reply:
        self.join(45)
        if self._error:
            raise self._error
        assert self._reply is not None
        return self._reply


def new_ports(slots: int = 2) -> list[int]:
    return free_ports(1 + slots)


def snapshot(*folders: str | Path) -> dict[str, tuple[int, bytes]]:
    """Every file below: when it was last written, and its content."""
    found = {}
    for folder in folders:
        for path in sorted(Path(folder).rglob("*")):
            if path.is_symlink():
                found[str(path)] = (path.lstat().st_mtime_ns, os.readlink(path).encode())
            elif path.is_file():
                found[str(path)] = (path.stat().st_mtime_ns, path.read_bytes())
    return found
