"""One machine for all three ways: sshd, supervisord and nginx of our own, with two slots for each way, in a directory.

Each way has members, links and programs of its
own, so that none finds what another left.
"""

from __future__ import annotations

from pathlib import Path

from tools.bed import free_ports, wait_until

from .servers import PYTHON, Servers, is_free

FIRST_STOCK_PORT = 22100  # vanilla-slot.yml: the slots of alias host h listen on 22100 + 2 h and 22101 + 2 h


def _free_alias() -> int:
    """The first alias host whose two ports are free."""
    for alias in range(400):
        if all(is_free(FIRST_STOCK_PORT + 2 * alias + slot) for slot in (0, 1)):
            return alias
    raise RuntimeError(f"no free pair of ports from {FIRST_STOCK_PORT}")


class Bed(Servers):
    """``with Bed(path) as bed`` starts all of it and ends it by pid; the directory is the caller's."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.alias = _free_alias()
        self.stock_ports = [FIRST_STOCK_PORT + 2 * self.alias + slot for slot in (0, 1)]
        ports = [port for port in free_ports(9) if port not in self.stock_ports]
        self.stock_listen, self.our_listen, self.script_listen, *rest = ports
        self.our_ports, self.script_ports = rest[:2], rest[2:4]

    def start(self) -> None:
        """As vanilla/README.md's bed has it, with what the other two ways need beside it."""
        super().start()
        programs = {}
        for prefix, ports in (f"h{self.alias}", self.stock_ports), ("script", self.script_ports):
            for slot, port in enumerate(ports):
                folder = self.path / prefix / f"slot{slot}"
                folder.mkdir(parents=True)
                (folder / "current").symlink_to(self.path / "releases" / "A")
                programs[f"{prefix}-slot{slot}"] = f"{PYTHON} -E -S {folder}/current/app.py {port}"
        self.start_supervisor(programs)
        wait_until(lambda: all(self.answers(port) for port in (*self.stock_ports, *self.script_ports)), what="the start of the programs")
        servers = "".join(f"    server 127.0.0.1:{port} max_fails=0;\n" for port in self.stock_ports)
        (self.path / "etc" / "upstream.conf").write_text(f"upstream app {{\n{servers}}}\n")
        (self.path / "conf.d").mkdir()
        (self.path / "conf.d" / "script.conf").write_text(self._script_switch())
        http = (
            f"include {self.path}/etc/upstream.conf;\n"
            f"server {{ listen 127.0.0.1:{self.stock_listen}; location / {{ proxy_pass http://app; }} }}\ninclude {self.path}/conf.d/*.conf;"
        )
        self.start_nginx("nginx", http, self.stock_listen)

    def _script_switch(self) -> str:
        """The switch without a reload for the bare script, by hand."""
        zero, one = self.script_ports
        pools = {"all": (zero, one), "no0": (one,), "no1": (zero,)}
        folder = self.path / "script"
        for pool in pools:
            (folder / "pools" / f"script_{pool}").mkdir(parents=True)
        (folder / "active").symlink_to("pools/script_all")
        upstreams = "".join(
            f"upstream script_{pool} {{ {' '.join(f'server 127.0.0.1:{port};' for port in ports)} keepalive 32; keepalive_timeout 1s; }}\n"
            for pool, ports in pools.items()
        )
        return (
            f'{upstreams}map $realpath_root $script_pool {{ "~/(?<found>[^/]+)$" $found; }}\nserver {{ listen 127.0.0.1:{self.script_listen};\n'
            f"location / {{ root {folder}/active; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_pass http://$script_pool; }} }}\n"
        )

    @property
    def error_log(self) -> Path:
        return self.path / "log" / "nginx.err"

    def ssh(self, control: str) -> list[str]:
        """ssh as vanilla/ansible.cfg sets it up, nothing read of the user's own configuration."""
        options = ["ControlMaster=auto", "ControlPersist=60s", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        words = [word for option in (*options, f"ControlPath={self.path}/run/{control}") for word in ("-o", option)]
        return ["ssh", "-F", "/dev/null", *words, "-i", f"{self.path}/etc/id", "-p", str(self.ssh_port), f"{self.user}@127.0.0.1"]

    def reloads(self) -> int:
        """nginx's reloads so far, in its own words."""
        return self.error_log.read_text(encoding="utf-8", errors="replace").count(", reconfiguring")

    def is_idle(self, ports: list[int]) -> bool:
        """Whether no connection to the ports has anything left to say (as in module_utils/_sockets.py)."""
        ends = {f":{port:04X}" for port in ports}
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return not any(row[1][-5:] in ends and row[3] in ("01", "04", "05", "08", "09", "0B") for row in rows)
