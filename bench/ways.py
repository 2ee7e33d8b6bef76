"""The three ways to bring a release into two slots, each as one call that returns what it took: a Sample.

stock: the playbook in vanilla/. ours: hotswap.bluegreen.release. script: swap_slot.py. Both playbooks are run by the
same ansible-playbook with the same configuration, over the same connection.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from tools.bed import NGINX, wait_until

from .bed import Bed
from .figures import Sample, ours_sample, stock_sample
from .play import finish, play, ssh_variables
from .servers import PYTHON, VANILLA

HERE = Path(__file__).resolve().parent
CONNECTIONS = ("ssh", "local")
OUR_DEFAULT_SUCCESSES = 3


class Ways:
    """``ansible`` is the ansible-playbook of both playbooks."""

    def __init__(self, bed: Bed, ansible: Path) -> None:
        self.bed = bed
        self.ansible = ansible
        self._variables = bed.path / "variables.json"
        self._variables.write_text(json.dumps(self._our_variables()))

    def install_ours(self) -> None:
        """Pools and programs, once; what a release finds there."""
        self._playbook("ours", "local", "hotswap.bluegreen.install")

    def _ports(self, way: str) -> list[int]:
        return {"stock": self.bed.stock_ports, "script": self.bed.script_ports}.get(way, self.bed.our_ports)

    def drain(self, way: str) -> float:
        """Wait until nobody is connected to the way's members; the seconds. Then a run's seconds hold no drain."""
        began = time.monotonic()
        wait_until(lambda: self.bed.is_idle(self._ports(way)), what="the end of all connections")
        return time.monotonic() - began

    def run(self, way: str, connection: str, release: str) -> Sample:
        """Bring ``release`` into both slots. RuntimeError if it is not there afterwards."""
        ports = self._ports(way)
        reloads = self.bed.reloads()
        if way == "stock":
            sample = self._stock(connection, release)
        elif way == "script":
            sample = self._script(connection, release)
        else:
            sample = self._ours(connection, release, 1 if way == "ours" else OUR_DEFAULT_SUCCESSES)
        found = [self.bed.answers(port) for port in ports]
        if found != [release] * len(ports):
            raise RuntimeError(f"{way} over {connection} ended well, but its members answer {found} and not {release}")
        return Sample(**{**sample.__dict__, "reloads": max(sample.reloads, self.bed.reloads() - reloads)})

    def _stock(self, connection: str, release: str) -> Sample:
        seconds, timeline = self._playbook("stock", connection, str(VANILLA / "vanilla.yml"), release=release)
        return stock_sample(timeline, seconds)

    def _ours(self, connection: str, release: str, successes: int) -> Sample:
        seconds, timeline = self._playbook("ours", connection, "hotswap.bluegreen.release", bluegreen_release=release, bluegreen_health_successes=successes)
        left = [member for member, state in timeline["swap"]["members"].items() if not state["serving"]]
        if left:
            raise RuntimeError(f"ours ended well, but {left} do not serve")
        return ours_sample(timeline, seconds)

    def _script(self, connection: str, release: str) -> Sample:
        slots = [0, 1]
        began = time.monotonic()
        if connection == "local":
            first, later = self._call_script([PYTHON, "-E", "-S"], slots, release, quote=False)
            return Sample(later, first, time.monotonic() - began)
        seconds = []
        for slot in slots:
            start = time.monotonic()
            self._call_script([*self.bed.ssh("cp-script"), PYTHON, "-E", "-S"], [slot], release, quote=True)
            seconds.append(time.monotonic() - start)
        return Sample(seconds[1], seconds[0], time.monotonic() - began)

    def _call_script(self, command: list[str], slots: list[int], release: str, quote: bool) -> list[float]:
        folder = self.bed.path / "script"
        order = json.dumps(
            {
                "slots": [
                    {"name": str(slot), "port": self.bed.script_ports[slot], "program": f"script-slot{slot}", "current": f"{folder}/slot{slot}/current"}
                    for slot in slots
                ],
                "release": release,
                "target": str(self.bed.path / "releases" / release),
                "active": f"{folder}/active",
                "pools": {"0": "pools/script_no0", "1": "pools/script_no1"},
                "all": "pools/script_all",
                "socket": str(self.bed.socket),
            }
        )
        words = [*command, str(HERE / "swap_slot.py"), f"'{order}'" if quote else order]
        seconds: list[float] = json.loads(finish(words, self.bed.path, dict(os.environ)))
        return seconds

    def _playbook(self, way: str, connection: str, playbook: str, **extra: object) -> tuple[float, dict[str, Any]]:
        """(wall seconds of the whole ansible-playbook, its timeline)."""
        inventory = self.bed.path / f"{way}-{connection}"
        inventory.write_text(self._stock_inventory(connection) if way == "stock" else self._our_inventory(connection))
        words = [str(self.ansible), "-i", str(inventory), playbook, "-e", json.dumps(extra)]
        if way == "ours":
            words[4:4] = ["-e", f"@{self._variables}"]
        return play(self.bed, words)

    def _connection(self, host: str, connection: str) -> str:
        if connection == "local":
            return "ansible_connection=local"
        return " ".join(f"{name}='{value}'" for name, value in ssh_variables(self.bed, host).items())

    def _stock_inventory(self, connection: str) -> str:
        return (
            f"[app]\napp0 h={self.bed.alias} {self._connection('app0', connection)}\n[lb]\nlb0 {self._connection('lb0', connection)}\n"
            f"[all:vars]\nbed={self.bed.path}\nansible_python_interpreter={PYTHON}\n"
        )

    def _our_inventory(self, connection: str) -> str:
        return f"shop0 ansible_python_interpreter={PYTHON} {self._connection('shop0', connection)}\n"

    def _our_variables(self) -> dict[str, Any]:
        """The same application, boot, startsecs and health check as the stock playbook's, on slots of our own.

        The stock playbook looks for the release in the answer; ours reads it from the process that listens.
        """
        path = self.bed.path
        return {
            "bluegreen_service": "shop",
            "bluegreen_command": f"{PYTHON} -E -S app.py $PORT",
            "bluegreen_source": {"directory": f"{path}/releases/{{{{ bluegreen_release }}}}"},
            "bluegreen_root": f"{path}/srv",
            "bluegreen_slots": [{"name": name, "port": port} for name, port in zip(("blue", "green"), self.bed.our_ports, strict=True)],
            "bluegreen_listen": f"127.0.0.1:{self.bed.our_listen}",
            "bluegreen_start_seconds": 0,
            "bluegreen_health_path": "/",
            "bluegreen_packages": False,
            "bluegreen_nginx_command": f"{NGINX} -e {self.bed.error_log}",
            "bluegreen_nginx_config": f"{path}/etc/nginx.conf",
            "bluegreen_nginx_conf_dir": f"{path}/conf.d",
            "bluegreen_nginx_state_dir": f"{path}/bluegreen",
            "bluegreen_nginx_pid_file": f"{path}/run/nginx.pid",
            "bluegreen_nginx_error_log": str(self.bed.error_log),
            "bluegreen_supervisor_config": f"{path}/etc/supervisord.conf",
            "bluegreen_supervisor_program_dir": f"{path}/programs",
        }
