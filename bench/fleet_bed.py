"""Many hosts on one machine: alias hosts that reach the same sshd, each with a root, ports and programs of its own.

A balancer is an nginx process of its own. One supervisord runs the programs of all hosts. The services of ours and the
stock playbook's members have nothing in common but sshd, supervisord and nginx.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bed import NGINX, free_ports, wait_until

from .play import ssh_variables
from .servers import PYTHON, Servers


@dataclass(frozen=True)
class Layout:
    """A fleet: ``slots`` on each of ``hosts`` alias hosts, behind ``balancers`` other ones."""

    hosts: int
    slots: int
    balancers: int

    @property
    def service(self) -> str:
        """The name of ours, so that each layout is a service of its own."""
        return f"shop{self.hosts}x{self.slots}b{self.balancers}"

    @property
    def members(self) -> int:
        return self.hosts * self.slots


def host_names(count: int) -> list[str]:
    return [f"app{number:02}" for number in range(count)]


def balancer_names(count: int) -> list[str]:
    return [f"lb{number}" for number in range(count)]


class FleetBed(Servers):
    """``with FleetBed(path, layouts, stock) as bed``; ``stock`` is the largest layout that the stock playbook walks, if any."""

    def __init__(self, path: Path, layouts: Sequence[Layout], stock: Layout | None = None) -> None:
        super().__init__(path)
        self.layouts = layouts
        self.balancers = balancer_names(max(layout.balancers for layout in layouts))
        count = sum(layout.members + layout.balancers for layout in layouts)
        ports = iter(free_ports(count + len(self.balancers) + (stock.members if stock else 0)))
        self.stock_ports = {name: [next(ports) for _ in range(stock.slots)] for name in host_names(stock.hosts)} if stock else {}
        self.front = {name: next(ports) for name in self.balancers}
        self.our_ports = {layout: {name: [next(ports) for _ in range(layout.slots)] for name in host_names(layout.hosts)} for layout in layouts}
        self.listen = {layout: {name: next(ports) for name in balancer_names(layout.balancers)} for layout in layouts}

    def start(self) -> None:
        super().start()
        programs = {}
        for host, ports in self.stock_ports.items():
            for slot, port in enumerate(ports):
                folder = self.path / host / f"slot{slot}"
                folder.mkdir(parents=True)
                (folder / "current").symlink_to(self.path / "releases" / "A")
                programs[f"{host}-slot{slot}"] = f"{PYTHON} -E -S {folder}/current/app.py {port}"
        self.start_supervisor(programs)
        everyone = [port for ports in self.stock_ports.values() for port in ports]
        wait_until(lambda: all(map(self.answers, everyone)), what="the start of the programs")
        servers = "".join(f"    server 127.0.0.1:{port} max_fails=0;\n" for port in everyone) or "    server 127.0.0.1:9;\n"
        for name, port in self.front.items():
            (self.path / "etc" / f"{name}-upstream.conf").write_text(f"upstream app {{\n{servers}}}\n")
            (self.path / "conf.d" / name).mkdir(parents=True)
            http = (
                f"include {self.path}/etc/{name}-upstream.conf;\n"
                f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; }} }}\ninclude {self.path}/conf.d/{name}/*.conf;"
            )
            self.start_nginx(name, http, port, workers=1)

    def reloads(self) -> int:
        """The reloads of all balancers so far, in nginx's own words."""
        logs = [(self.path / "log" / f"{name}.err").read_text(encoding="utf-8", errors="replace") for name in self.balancers]
        return sum(log.count(", reconfiguring") for log in logs)

    def stock_inventory(self, layout: Layout) -> Path:
        hosts = {name: {"ports": self.stock_ports[name][: layout.slots]} for name in host_names(layout.hosts)}
        balancers: dict[str, dict[str, Any]] = {name: {} for name in balancer_names(layout.balancers)}
        return self._inventory("stock", layout, hosts, balancers, {"bed": str(self.path)})

    def our_inventory(self, layout: Layout) -> Path:
        """The same application and health check as the stock playbook's; programs have different names though supervisord is one."""
        hosts = {
            name: {
                "bluegreen_root": f"{self.path}/srv/{layout.service}/{name}",
                "bluegreen_slots": [{"name": f"{name}s{slot}", "port": port} for slot, port in enumerate(ports)],
            }
            for name, ports in self.our_ports[layout].items()
        }
        balancers = {
            name: {
                "bluegreen_listen": f"127.0.0.1:{port}",
                "bluegreen_nginx_command": f"{NGINX} -e {self.path}/log/{name}.err",
                "bluegreen_nginx_config": f"{self.path}/etc/{name}.conf",
                "bluegreen_nginx_conf_dir": f"{self.path}/conf.d/{name}",
                "bluegreen_nginx_state_dir": f"{self.path}/bluegreen/{name}",
                "bluegreen_nginx_pid_file": f"{self.path}/run/{name}.pid",
                "bluegreen_nginx_error_log": f"{self.path}/log/{name}.err",
            }
            for name, port in self.listen[layout].items()
        }
        shared = {
            "bluegreen_service": layout.service,
            "bluegreen_group": "app",
            "bluegreen_balancers": "lb",
            "bluegreen_command": f"{PYTHON} -E -S app.py $PORT",
            "bluegreen_source": {"directory": f"{self.path}/releases/{{{{ bluegreen_release }}}}"},
            "bluegreen_address": "127.0.0.1",
            "bluegreen_start_seconds": 0,
            "bluegreen_health_path": "/",
            "bluegreen_health_successes": 1,
            "bluegreen_packages": False,
            "bluegreen_supervisor_config": f"{self.path}/etc/supervisord.conf",
            "bluegreen_supervisor_program_dir": f"{self.path}/programs",
        }
        return self._inventory("ours", layout, hosts, balancers, shared)

    def _inventory(self, way: str, layout: Layout, hosts: dict[str, Any], balancers: dict[str, Any], shared: dict[str, Any]) -> Path:
        groups = {
            group: {"hosts": {name: {**ssh_variables(self, f"{way}-{name}"), **variables} for name, variables in members.items()}}
            for group, members in (("app", hosts), ("lb", balancers))
        }
        path = self.path / f"{way}-{layout.service}.json"
        path.write_text(json.dumps({"all": {"vars": {"ansible_python_interpreter": PYTHON, **shared}, "children": groups}}))
        return path

    def stock_answers(self, layout: Layout) -> set[str]:
        return {self.answers(port) for name in host_names(layout.hosts) for port in self.stock_ports[name][: layout.slots]}

    def our_answers(self, layout: Layout) -> set[str]:
        return {self.answers(port) for ports in self.our_ports[layout].values() for port in ports}
