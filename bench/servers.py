"""Servers of our own in a directory: an sshd that everybody reaches, and what a bed starts beside it, ended by pid.

The programs are the distribution's, the processes children of this one.
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
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from tools.bed import NGINX, alive, end, free_ports, wait_until

VANILLA = Path(__file__).resolve().parent / "vanilla"
PYTHON = "/usr/bin/python3"
S = TypeVar("S", bound="Servers")
RELEASES = ("A", "B")
SESSION_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


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


class Servers:
    """``with Servers(path) as servers`` starts all of it and ends it by pid; the directory is the caller's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ssh_port, self.spare = free_ports(2)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._made_run = False

    def __enter__(self: S) -> S:
        try:
            self.path.chmod(0o755)
            for name in ("run", "log", "etc", "home", "controller", "programs"):
                (self.path / name).mkdir()
            for release in RELEASES:
                self.make_release(release)
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        """What a bed is made of."""
        self.start_sshd()

    def make_release(self, name: str, files: int = 0) -> None:
        """The application, and beside it as many files of 8 kB as a release of some size has."""
        folder = self.path / "releases" / name
        folder.mkdir(parents=True)
        shutil.copy(VANILLA / "app.py", folder)
        for number in range(files):
            (folder / f"{number:04}.bin").write_bytes(os.urandom(8192))

    def launch(self, name: str, *command: str) -> None:
        """In a session of its own: a Ctrl-C is for us, and we end it."""
        quiet = subprocess.DEVNULL
        with open(self.path / "log" / f"{name}.out", "wb") as output:
            self._processes[name] = subprocess.Popen(command, stdin=quiet, stdout=output, stderr=output, start_new_session=True)

    def start_sshd(self) -> None:
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
        self.launch("sshd", "/usr/sbin/sshd", "-D", "-e", "-f", f"{etc}/sshd_config")
        wait_until(lambda: not is_free(self.ssh_port), what="sshd's start")

    def start_supervisor(self, programs: Mapping[str, str]) -> None:
        """supervisord with these programs (name: command); what is in ``programs/`` is included."""
        text = (
            f"[unix_http_server]\nfile={self.socket}\n"
            f"[supervisord]\npidfile={self.path}/run/supervisord.pid\nlogfile={self.path}/log/sup.log\nchildlogdir={self.path}/log\n"
            f"{'user=root' if os.geteuid() == 0 else ''}\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{self.socket}\n[include]\nfiles = {self.path}/programs/*.conf\n"
        )
        for name, command in programs.items():
            text += f"[program:{name}]\ncommand={command}\nstartsecs=0\nautorestart=true\nstdout_logfile=/dev/null\nstderr_logfile=/dev/null\n"
        (self.path / "etc" / "supervisord.conf").write_text(text)
        self.launch("supervisord", "/usr/bin/supervisord", "-n", "-c", f"{self.path}/etc/supervisord.conf")
        wait_until(self.socket.exists, what="supervisord's start")

    def start_nginx(self, name: str, http: str, port: int, workers: int = 2) -> None:
        """An nginx of that name (etc/NAME.conf, run/NAME.pid, log/NAME.err) with this text in its http block; it listens on the port."""
        error_log = self.path / "log" / f"{name}.err"
        temp = " ".join(f"{kind}_temp_path {self.path}/run;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.geteuid() == 0 else ""
        (self.path / "etc" / f"{name}.conf").write_text(
            f"{user}daemon off;\nworker_processes {workers};\npid {self.path}/run/{name}.pid;\nerror_log {error_log} notice;\n"
            f"events {{ worker_connections 512; }}\nhttp {{ access_log off; {temp}\n{http} }}\n"
        )
        self.launch(name, NGINX, "-e", str(error_log), "-c", f"{self.path}/etc/{name}.conf")
        wait_until(lambda: not is_free(port), what=f"the start of {name}")

    @property
    def socket(self) -> Path:
        return self.path / "run" / "sup.sock"

    @property
    def user(self) -> str:
        return getpass.getuser()

    def answers(self, port: int) -> str:
        """The release that the member itself answers, '' without an answer."""
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Connection": "close"})
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

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
