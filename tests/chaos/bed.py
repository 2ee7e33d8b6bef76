"""A case on real hosts: its inventory, its playbooks, and what each host says of itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.bed import PYTHON, environment
from tools.hosts import Fleet

from .draw import BOTH, SLOTS, Case
from .play import Play

HERE = Path(__file__).parent
ON_HOST = (HERE / "on_host.py").read_text()
PORT = 80


class ChaosBed:
    """The hosts of one case, and the collection's playbooks on them; ``ended`` breaks it off."""

    def __init__(self, case: Case, fleet: Fleet, ended: threading.Event) -> None:
        self.case, self.fleet, self.ended = case, fleet, ended
        self.names = case.app_hosts + case.balancer_hosts
        self.ports = dict(SLOTS[: case.slots])
        self.folder = Path(fleet.folder) / f"seed-{case.seed}"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "inventory.json").write_text(json.dumps(self._inventory(), indent=1))
        self.plays: list[Play] = []

    def _inventory(self) -> Any:
        case = self.case
        environment_of_all = {"STOP": case.stop}
        variables: dict[str, Any] = {
            "bluegreen_service": "shop",
            "bluegreen_packages": False,
            "bluegreen_command": "/usr/bin/python3 -E -S app.py",
            "bluegreen_source": {"directory": str(HERE / "app")},
            "bluegreen_slots": [{"name": name, "port": port, "backup": case.standby and name == SLOTS[1][0]} for name, port in self.ports.items()],
            "bluegreen_start_seconds": 0,
            "bluegreen_environment": environment_of_all,
            "bluegreen_min_serving": case.min_serving,
            "bluegreen_serial": case.serial,
            "bluegreen_on_failure": case.on_failure,
            "bluegreen_boot_timeout": 8 if case.fault == "release is ill" else 30,  # an ill one is given all of it
            "bluegreen_health_timeout": 8,  # the machine may have much else to do
            # One that stops abruptly has nothing but the drain; one that finishes its work is cut short on purpose.
            "bluegreen_drain_timeout": 12 if case.stop == "abrupt" else 1.5,
            "bluegreen_server_name": "shop.test",
            "bluegreen_server_extra": "add_header X-Upstream $upstream_addr always;",
            "bluegreen_proxy_connect_timeout": 1,
            "bluegreen_proxy_read_timeout": 15,
        }
        groups: dict[str, list[str]] = {"shop": list(case.app_hosts)}
        if case.balancers:
            groups["balancers"] = list(case.balancer_hosts)
            variables["bluegreen_balancers"] = "balancers"
            variables["bluegreen_local_balancer"] = case.topology == BOTH
        host_variables: dict[str, dict[str, Any]] = {}
        if case.is_broken:
            host, slot = case.target.split("/")
            what = "crash" if case.fault == "release crashes" else "ill"
            host_variables[host] = {"bluegreen_environment": {**environment_of_all, "FAULT": f"v2/{slot}={what}"}}
        return self.fleet.inventory(groups=groups, variables=variables, host_variables=host_variables)

    @property
    def entries(self) -> dict[str, tuple[str, int]]:
        return {host: (self.fleet[host].address, PORT) for host in self.case.entries}

    def members_of(self, host: str) -> frozenset[str]:
        """The addresses of its members, as nginx on any host names them."""
        return frozenset(f"{address}:{port}" for address in (self.fleet[host].address, "127.0.0.1") for port in self.ports.values())

    def play(self, playbook: str, *words: str, moment: Callable[[str], bool] = lambda _line: False) -> Play:
        command = [
            str(Path(PYTHON).parent / "ansible-playbook"),
            "-i",
            str(self.folder / "inventory.json"),
            "-f",
            "10",
            f"hotswap.bluegreen.{playbook}",
            *words,
        ]
        play = Play(playbook, command, self.folder, environment(ANSIBLE_PIPELINING=str(self.case.pipelining)), moment, self.ended)
        self.plays.append(play)
        return play

    def release(self, release: str, *words: str, moment: Callable[[str], bool] = lambda _line: False) -> Play:
        return self.play("release", "-v", "-e", f"bluegreen_release={release}", *words, moment=moment)  # -v has a line as a step begins, too

    def on(self, host: str, *words: str) -> Any:
        """What our script says on a host."""
        return json.loads(self.fleet[host].run("python3", "-c", ON_HOST, *words, check=True).stdout)

    def look(self) -> dict[str, dict[str, Any]]:
        """Every host as it says it is, all asked at once."""
        ports = json.dumps(self.ports)
        with ThreadPoolExecutor(len(self.names)) as pool:
            return dict(zip(self.names, pool.map(lambda host: self.on(host, "look", ports if host in self.case.app_hosts else "{}"), self.names), strict=True))

    def background(self, host: str, *words: str) -> None:
        """Let our script run on a host; what it says is there for :meth:`watched`."""
        self.fleet[host].write("/root/on_host.py", ON_HOST)
        self.fleet[host].run("sh", "-c", f"setsid python3 /root/on_host.py {' '.join(words)} >/root/watched </dev/null 2>&1 &", check=True)

    def watched(self, host: str) -> list[tuple[float, list[str]]]:
        """(time, members in use) since the watch began, at each change."""
        return [(stamp, members) for stamp, members in map(json.loads, self.fleet[host].read("/root/watched").splitlines())]

    def finish(self) -> None:
        for play in self.plays:
            play.finish()
