"""One machine for all three ways: sshd, supervisord and nginx of our own, with two slots for each way, in a directory.

The programs are the distribution's, the processes children of this one. Each way has members, links and programs of its
own, so that none finds what another left.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from tools.bed import NGINX, alive, end, free_ports, wait_until

VANILLA = Path(__file__).resolve().parent / "vanilla"
PYTHON = "/usr/bin/python3"
RELEASES = ("A", "B")
SESSION_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FIRST_STOCK_PORT = 22100  # vanilla-slot.yml: the slots of alias host h listen on 22100 + 2 h and 22101 + 2 h


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_alias() -> int:
    """The first alias host whose two ports are free."""
    for alias in range(400):
        if all(_is_free(FIRST_STOCK_PORT + 2 * alias + slot) for slot in (0, 1)):
            return alias
    raise RuntimeError(f"no free pair of ports from {FIRST_STOCK_PORT}")


def children(pid: int) -> list[int]:
    """All descendants of a process, the youngest generation last."""
    parents = {}
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit():
                parents[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
    found, fresh = [], [pid]
    while fresh:
        fresh = [child for child, parent in parents.items() if parent in fresh]
        found += fresh
    return found


class Bed:
    """``with Bed(path) as bed`` starts all of it and ends it by pid; the directory is the caller's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.alias = _free_alias()
        self.stock_ports = [FIRST_STOCK_PORT + 2 * self.alias + slot for slot in (0, 1)]
        ports = [port for port in free_ports(11) if port not in self.stock_ports]
        self.ssh_port, self.stock_listen, self.our_listen, self.script_listen, self.spare, *rest = ports
        self.our_ports, self.script_ports = rest[:2], rest[2:4]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._made_run = False

    def __enter__(self) -> Bed:
        try:
            self._lay_out()
            self._start_sshd()
            self._start_supervisor()
            self._start_nginx()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _lay_out(self) -> None:
        self.path.chmod(0o755)
        for name in ("run", "log", "etc", "home", "controller", "conf.d", "programs"):
            (self.path / name).mkdir()
        for release in RELEASES:
            (self.path / "releases" / release).mkdir(parents=True)
            shutil.copy(VANILLA / "app.py", self.path / "releases" / release)
        for folder in (f"h{self.alias}", "script"):
            for slot in (0, 1):
                (self.path / folder / f"slot{slot}").mkdir(parents=True)
                (self.path / folder / f"slot{slot}" / "current").symlink_to(self.path / "releases" / "A")

    def _start(self, name: str, *command: str) -> None:
        """In a session of its own: a Ctrl-C is for us, and we end it."""
        quiet = subprocess.DEVNULL
        with open(self.path / "log" / f"{name}.out", "wb") as output:
            self._processes[name] = subprocess.Popen(command, stdin=quiet, stdout=output, stderr=output, start_new_session=True)

    # Three configurations as vanilla/README.md's bed has them, with what the other two ways need beside it.

    def _start_sshd(self) -> None:
        etc = self.path / "etc"
        for key in ("id", "hk"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", etc / key], check=True, stdin=subprocess.DEVNULL)
        shutil.copy(etc / "id.pub", etc / "authorized_keys")
        (etc / "sshd_config").write_text(
            f"Port {self.ssh_port}\nListenAddress 127.0.0.1\nHostKey {etc}/hk\nPidFile {self.path}/run/sshd.pid\n"
            f"AuthorizedKeysFile {etc}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"SetEnv HOME={self.path}/home PATH={SESSION_PATH}\nPermitRootLogin prohibit-password\nMaxStartups 500:30:1000\n"
            "MaxSessions 500\nSubsystem sftp internal-sftp\n"
        )
        privileged = Path("/run/sshd")  # where a root's sshd goes for its privilege separation
        if os.geteuid() == 0 and not privileged.exists():
            privileged.mkdir(mode=0o755)
            self._made_run = True
        self._start("sshd", "/usr/sbin/sshd", "-D", "-e", "-f", f"{etc}/sshd_config")
        wait_until(lambda: not _is_free(self.ssh_port), what="sshd's start")

    def _start_supervisor(self) -> None:
        text = (
            f"[unix_http_server]\nfile={self.socket}\n"
            f"[supervisord]\npidfile={self.path}/run/supervisord.pid\nlogfile={self.path}/log/sup.log\nchildlogdir={self.path}/log\n"
            f"{'user=root' if os.geteuid() == 0 else ''}\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{self.socket}\n[include]\nfiles = {self.path}/programs/*.conf\n"
        )
        for prefix, folder, ports in (f"h{self.alias}", f"h{self.alias}", self.stock_ports), ("script", "script", self.script_ports):
            for slot, port in enumerate(ports):
                text += (
                    f"[program:{prefix}-slot{slot}]\ncommand={PYTHON} -E -S {self.path}/{folder}/slot{slot}/current/app.py {port}\n"
                    "startsecs=0\nautorestart=true\nstdout_logfile=/dev/null\nstderr_logfile=/dev/null\n"
                )
        (self.path / "etc" / "supervisord.conf").write_text(text)
        self._start("supervisord", "/usr/bin/supervisord", "-n", "-c", f"{self.path}/etc/supervisord.conf")
        wait_until(lambda: all(self.answers(port) for port in (*self.stock_ports, *self.script_ports)), what="supervisord's start")

    def _start_nginx(self) -> None:
        servers = "".join(f"    server 127.0.0.1:{port} max_fails=0;\n" for port in self.stock_ports)
        (self.path / "etc" / "upstream.conf").write_text(f"upstream app {{\n{servers}}}\n")
        (self.path / "conf.d" / "script.conf").write_text(self._script_switch())
        temp = " ".join(f"{kind}_temp_path {self.path}/run;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.geteuid() == 0 else ""
        (self.path / "etc" / "nginx.conf").write_text(
            f"{user}daemon off;\nworker_processes 2;\npid {self.path}/run/nginx.pid;\nerror_log {self.error_log} notice;\n"
            f"events {{ worker_connections 512; }}\nhttp {{ access_log off; {temp}\ninclude {self.path}/etc/upstream.conf;\n"
            f"server {{ listen 127.0.0.1:{self.stock_listen}; location / {{ proxy_pass http://app; }} }}\ninclude {self.path}/conf.d/*.conf; }}\n"
        )
        self._start("nginx", NGINX, "-e", str(self.error_log), "-c", f"{self.path}/etc/nginx.conf")
        wait_until(lambda: not _is_free(self.stock_listen), what="nginx's start")

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
    def socket(self) -> Path:
        return self.path / "run" / "sup.sock"

    @property
    def error_log(self) -> Path:
        return self.path / "log" / "nginx.err"

    @property
    def user(self) -> str:
        return getpass.getuser()

    def ssh(self, control: str) -> list[str]:
        """ssh as vanilla/ansible.cfg sets it up, nothing read of the user's own configuration."""
        options = ["ControlMaster=auto", "ControlPersist=60s", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        words = [word for option in (*options, f"ControlPath={self.path}/run/{control}") for word in ("-o", option)]
        return ["ssh", "-F", "/dev/null", *words, "-i", f"{self.path}/etc/id", "-p", str(self.ssh_port), f"{self.user}@127.0.0.1"]

    def reloads(self) -> int:
        """nginx's reloads so far, in its own words."""
        return self.error_log.read_text(encoding="utf-8", errors="replace").count(", reconfiguring")

    def answers(self, port: int) -> str:
        """The release that the member itself answers, '' without an answer."""
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Connection": "close"})
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def is_idle(self, ports: list[int]) -> bool:
        """Whether no connection to the ports has anything left to say (as in module_utils/_sockets.py)."""
        ends = {f":{port:04X}" for port in ports}
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return not any(row[1][-5:] in ends and row[3] in ("01", "04", "05", "08", "09", "0B") for row in rows)

    def boot(self) -> float:
        """Seconds from the application's start to its first answered connection, with nothing around it."""
        began = time.monotonic()
        process = subprocess.Popen([PYTHON, "-E", "-S", f"{self.path}/releases/A/app.py", str(self.spare)], stdin=subprocess.DEVNULL)
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.spare), timeout=1):
                    return time.monotonic() - began
                if process.poll() is not None or time.monotonic() - began > 30:
                    raise RuntimeError("the application does not start")
                time.sleep(0.001)
        finally:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """End every process of ours; an impatient second Ctrl-C comes through when they are gone."""
        impatience = {signal.SIGINT, signal.SIGTERM}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, impatience)
        try:
            self._end_all()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _end_all(self) -> None:
        """ssh's masters, what runs in sessions, then the servers with their programs."""
        for control in (self.path / "run").glob("cp-*"):
            command = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={control}", "-O", "exit", "127.0.0.1"]
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        for name, process in self._processes.items():
            below = children(process.pid) if process.poll() is None else []
            if name == "sshd":
                for pid in reversed(below):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pid in filter(alive, below):
                end(pid, 5)
        self._processes.clear()
        if self._made_run:
            with contextlib.suppress(OSError):
                Path("/run/sshd").rmdir()
