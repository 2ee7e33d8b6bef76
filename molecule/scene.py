"""The hosts that molecule made, for the programs that a scenario's verify runs: playbooks on them, load, and what they say of themselves.

The parts are those of the chaos test (tests/chaos); a scenario says what is to happen, it draws it.
"""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.chaos import on_host
from tests.chaos.judge import Damage, judge
from tests.chaos.load import BACK_OFF, Load
from tests.chaos.play import Play
from tools.bed import PYTHON, environment, wait_until
from tools.hosts import Fleet
from tools.probe import Kind, Probe

LIMIT = 300.0  # seconds for one playbook, on a machine that has much else to do
SERVICE = "shop"
KINDS = ("get", "post", "slow", "stream")
_PATHS = {"get": "/", "post": "/", "slow": "/slow?seconds=3", "stream": "/stream?seconds=3"}
_OF: dict[str, dict[str, Any]] = {  # rates as light as two cores need that do everything else as well
    "get": {"rate": 20.0, "expect_json": {"bytes": 0}},
    "post": {"rate": 20.0, "method": "POST", "body": "x" * 2000, "expect_json": {"bytes": 2000}},
    "slow": {"rate": 0.3, "expect_json": {"bytes": 0}},
    "stream": {"rate": 0.3, "expect_body": '"bytes": 0'},
}
_SCRIPT = Path(on_host.__file__).read_text()
_RECAP = re.compile(r"(\S+)\s+: ok=\d.*")

Seen = dict[str, dict[str, Any]]  # by host: what on_host.py says of it


class Run:
    """A playbook that has ended: its status, its lines, and the hosts that Ansible's recap shows red."""

    def __init__(self, play: Play, status: int) -> None:
        self.status, self.output = status, "".join(line[9:] for line in play.lines)
        recap = [line for line in self.output.splitlines() if _RECAP.match(line)]
        self.recap = {line.split()[0]: {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)} for line in recap}
        self.changed = sum(numbers["changed"] for numbers in self.recap.values())

    @property
    def red(self) -> list[str]:
        return sorted(host for host, numbers in self.recap.items() if numbers["failed"] or numbers["unreachable"])

    @property
    def message(self) -> str:
        """What the swap said at its end."""
        return self.output[self.output.find("was not completed.") :]

    def good(self) -> Run:
        assert self.status == 0, f"the playbook ended with {self.status}:\n{self.output[-6000:]}"
        return self

    def bad(self, *red: str) -> Run:
        """It failed, and it is booked on exactly these hosts."""
        assert self.status not in (0, None), f"the playbook should have failed:\n{self.output[-6000:]}"
        assert self.red == sorted(red), f"{self.red} are red, not {sorted(red)}:\n{self.output[-6000:]}"
        return self

    def says(self, *words: str) -> Run:
        flat = " ".join(self.output.split())
        missing = [text for text in words if text not in flat]
        assert not missing, f"{missing} is not in:\n{self.output[-6000:]}"
        return self


class Scene:
    """The hosts of a scenario."""

    def __init__(self, scenario: Path, ephemeral: Path) -> None:
        made = json.loads((ephemeral / "hosts.json").read_text())
        self.fleet = Fleet.load(Path(made["folder"]))
        self.folder, self.scenario = ephemeral, scenario
        self._inventory = (scenario / "inventory.yml", scenario.parent / "shared" / "connections.py")
        self.apps = sorted(name for name in self.fleet.hosts if name.startswith("app"))
        self.balancers = sorted(name for name in self.fleet.hosts if name.startswith("lb"))
        self._slots: dict[str, int] = {}
        self._plays: list[Play] = []
        self._last = 0

    # Playbooks.

    def play(self, playbook: str, *words: str, moment: Callable[[str], bool] = lambda _line: False, **variables: Any) -> Play:
        """A playbook under way, with these extra variables."""
        name = playbook if playbook.endswith(".yml") else f"hotswap.bluegreen.{playbook}"
        sources = [word for path in self._inventory for word in ("-i", str(path))]
        command = [str(Path(PYTHON).parent / "ansible-playbook"), *sources, "-f", "10", name, *words, "-e", json.dumps(variables)]
        settings = environment(ANSIBLE_PIPELINING="True", ANSIBLE_HOME=str(self.folder / "ansible"))
        play = Play(playbook, command, self.folder, settings, moment, threading.Event())
        self._plays.append(play)
        return play

    def ended(self, play: Play, seconds: float = LIMIT) -> Run:
        status = play.wait(seconds)
        assert status is not None, f"the playbook did not end within {seconds:g} s:\n{play.tail()}"
        play.read()
        print(f"    {time.monotonic() - play.began:5.1f} s  {' '.join(play.name.split())}, status {status}")
        return Run(play, status)

    def run(self, playbook: str, *words: str, **variables: Any) -> Run:
        return self.ended(self.play(playbook, *words, **variables))

    def start_release(self, release: str, *words: str, moment: Callable[[str], bool] = lambda _line: False, **variables: Any) -> Play:
        """``variables`` are those of bluegreen_, and ``faults`` of the scenario's own."""
        own = {"faults": variables.pop("faults", {})}
        given = {f"bluegreen_{name}": value for name, value in {"release": release, **variables}.items()}
        return self.play("release", *words, moment=moment, **given, **own)

    def release(self, release: str, *words: str, **variables: Any) -> Run:
        """The playbook release with these ``bluegreen_`` variables, at its end."""
        return self.ended(self.start_release(release, *words, **variables))

    def reach(self, play: Play) -> None:
        """Wait for the line that is the playbook's moment."""
        wait_until(lambda: play.over or play.reached.is_set(), LIMIT, "the moment, or the playbook's end")
        play.read(0.1 if play.reached.is_set() else 3)
        assert play.reached.is_set(), f"the playbook ended before its moment:\n{play.tail(60)}"

    def cut(self, play: Play, sign: signal.Signals) -> None:
        """End ansible-playbook, and wait until what it leaves behind has noticed. SIGINT goes to all of its processes, as from a terminal."""
        play.send(sign, group=sign == signal.SIGINT)
        if play.wait(20) is None:
            play.send(signal.SIGKILL, group=True)  # ansible-core 2.19 may hang after a SIGINT: who waits at a terminal sends another
        wait_until(lambda: not self._workers(play), 60, "the end of the worker that lost its ansible-playbook")

    @staticmethod
    def _workers(play: Play) -> list[int]:
        found = []
        for pid in play.processes():
            with suppress(OSError):
                if b"ansible-playbook" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def finish(self) -> None:
        for play in self._plays:
            play.finish()

    # What the hosts say.

    @property
    def slots(self) -> dict[str, int]:
        """The slots of an app host and their ports, as installed."""
        if not self._slots:
            names = self.fleet[self.apps[0]].sh(f"cd /srv/{SERVICE} && ls -d */launcher").stdout.replace("/launcher", "").split()
            self._slots = {name: 9502 if name in ("main", "blue") else 9503 for name in names if name != "workers"}
        return self._slots

    @property
    def members(self) -> list[str]:
        return [f"{app}/{slot}" for app in self.apps for slot in self.slots]

    def everywhere(self, call: Callable[[str], Any]) -> dict[str, Any]:
        names = [*self.balancers, *self.apps]
        with ThreadPoolExecutor(len(names)) as pool:
            return dict(zip(names, pool.map(call, names), strict=True))

    def on(self, host: str, *words: str) -> Any:
        return json.loads(self.fleet[host].run("python3", "-c", _SCRIPT, *words).stdout)

    def look(self) -> Seen:
        """Every host as it says it is, past ssh: members with what their processes answer, pools, lock."""
        return self.everywhere(lambda host: self.on(host, "look", json.dumps(self.slots if host in self.apps else {})))

    def releases(self, seen: Seen | None = None) -> dict[str, Any]:
        """The release that each member's process answers with."""
        found = seen or self.look()
        return {f"{app}/{slot}": found[app]["slots"][slot].get("release") for app in self.apps for slot in self.slots}

    def everywhere_the_same(self) -> str:
        """The one release that all members run."""
        (found,) = set(self.releases().values())
        return str(found)

    def new_release(self) -> str:
        """A name that nobody runs or ran since this began."""
        self._last = max(self._last, *(int(str(name or "v0")[1:]) for name in self.releases().values())) + 1
        return f"v{self._last}"

    def whole(self, release: str | Mapping[str, str]) -> Seen:
        """Every member runs its release (of all, or by host or member), healthy, in use on every balancer, alone on its port; no lock is left."""
        seen = self.look()
        wrong = []
        for member in self.members:
            host, slot = member.split("/")
            about = seen[host]["slots"][slot]
            wished = release if isinstance(release, str) else release.get(member, release.get(host))
            pid = about["supervised"]
            expected = {"release": wished, "current": wished, "state": "RUNNING", "health": 200, "listeners": [pid], "pid": pid}
            wrong += [f"{member}: {name} is {about.get(name)!r}, not {value!r}" for name, value in expected.items() if about.get(name) != value]
        for host, about in seen.items():
            if host in self.balancers and about["serving"] != self.members:
                wrong.append(f"{host} serves {about['serving']}, not {self.members}")
            if about["strays"]:
                wrong.append(f"{host}: processes that supervisor does not know: {about['strays']}")
            if held(about):
                wrong.append(f"{host}: the lock is held: {about['lease']}")
        assert not wrong, "\n".join(wrong)
        return seen

    def sound(self, seen: Seen, balancers: Sequence[str] = ()) -> None:
        """Wherever a run was cut off: who is served was checked. It runs what its link names, alone on its port, and is healthy."""
        for balancer in balancers or self.balancers:
            serving = seen[balancer]["serving"]
            assert serving, f"{balancer} serves nobody"
            for member in serving:
                host, slot = member.split("/")
                about = seen[host]["slots"][slot]
                pid = about["supervised"]
                found = {name: about.get(name) for name in ("health", "pid", "listeners", "release")}
                assert found == {"health": 200, "pid": pid, "listeners": [pid], "release": about["current"]}, f"{balancer} serves {member}: {about}"

    def pids(self, seen: Seen) -> dict[str, int]:
        return {f"{app}/{slot}": seen[app]["slots"][slot]["supervised"] for app in self.apps for slot in self.slots}

    def watch(self) -> None:
        """Each balancer notes from now on what it serves; :meth:`watched` has it."""
        for host in self.balancers:
            self.fleet[host].write("/root/on_host.py", _SCRIPT)
            self.fleet[host].sh("[ ! -e /root/watch ] || kill $(cat /root/watch) || true")  # an earlier one
            self.fleet[host].sh("setsid python3 /root/on_host.py watch 600 >/root/watched </dev/null 2>&1 & echo $! >/root/watch")

    def watched(self, host: str) -> list[list[str]]:
        """The members served, at each change."""
        return [json.loads(line)[1] for line in self.fleet[host].read("/root/watched").splitlines()]

    # Load.

    @contextmanager
    def load(self, kinds: Sequence[str] = KINDS[:2]) -> Iterator[None]:
        """A probe at every balancer. None of its requests may fail."""
        wanted = [
            Kind(f"{name} {host}", f"http://{self.fleet[host].address}{_PATHS[name]}", **{"headers": {"Host": "shop.test"}, "timeout": 40.0, **_OF[name]})
            for host in self.balancers
            for name in kinds
        ]
        with Probe("scene", wanted, {"json": "release"}) as probe:
            yield
        due, failed = probe.result["due"], probe.result["failed"]
        print(f"    {due} requests, {failed} lost")
        assert due > 0 and not failed, "\n".join(["requests failed:", *(str(failure) for failure in probe.result["failures"][:10])])

    @contextmanager
    def load_at_fault(self, damages: Sequence[Damage], kinds: Sequence[str] = KINDS[:2]) -> Iterator[Load]:
        """Keep-alive clients at every balancer, each request of which is remembered. None may fail, but for what a fault itself costs."""
        with Load({host: (self.fleet[host].address, 80) for host in self.balancers}, kinds) as load:
            wait_until(lambda: len(load.records) > 4 * len(self.balancers), 30, "the load's first answers")
            began = time.monotonic()
            yield load
        records = list(load.records)
        failed = [record for record in records if record.failed]
        excused: list[Any] = []
        for damage in damages:
            verdict = judge(failed, damage, load.clients, len(kinds), BACK_OFF)
            assert len(verdict.excused) <= verdict.bound, (
                f"{len(verdict.excused)} requests failed by the fault on {damage.host}, it can have cost {verdict.bound}"
            )
            excused += verdict.excused
        lost = [record for record in failed if record not in excused]
        print(f"    {len(records)} requests, {len(lost)} lost, {len(excused)} excused by a fault")
        assert not lost, "\n".join(["requests failed, and nothing excuses it:", *(record.words(began) for record in lost[:10])])

    def address(self, app: str) -> frozenset[str]:
        """The members of a host as nginx names them."""
        return frozenset(f"{self.fleet[app].address}:{port}" for port in self.slots.values())


def held(about: Mapping[str, Any]) -> bool:
    """Whether a run holds the lock that this host keeps."""
    lease = about["lease"]
    return bool(lease and lease["until"] > about["now"])
