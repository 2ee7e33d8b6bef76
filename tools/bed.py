"""A private host in a directory: nginx and supervisord of our own, unprivileged, on ports that were free.

The demo, the driver tests and the bench stand on it. Everything lives below one directory and ends with it; only
processes that were started here are ended, by their pid.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
GUARD = ROOT / "tools" / "guard.py"
PYTHON = sys.executable
TARGET = os.environ.get("HOTSWAP_TARGET_PYTHON") or PYTHON  # that our modules run with on a bed; tools/matrix sets another one
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "/usr/sbin/nginx"


_reserved: list[socket.socket] = []


def _reserve(port: int) -> bool:
    """Keep the port from other processes of ours until this one ends, by a name in the abstract namespace."""
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0hotswap.bluegreen-port-{port}")
    except OSError:
        mark.close()
        return False
    _reserved.append(mark)
    return True


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, outside the range that the kernel gives to clients; each given only once."""
    found: list[int] = []
    start = (os.getpid() * 997) % 12000
    for port in (20000 + (start + number) % 12000 for number in range(12000)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if _reserve(port):
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports from 20000 to 32000")


def collections_path(build: Path = BUILD) -> Path:
    """A collections path on which this checkout is hotswap.bluegreen, made in ``build``."""
    path = build / "collections"
    link = path / "ansible_collections" / "hotswap" / "bluegreen"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        with contextlib.suppress(FileExistsError):
            link.symlink_to(ROOT)
    return path


def wait_until(condition: Callable[[], Any], seconds: float = 10.0, what: str = "the condition") -> Any:
    """What ``condition`` returns once it is true; TimeoutError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {seconds:g} s")
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def end(pid: int, seconds: float = 10.0) -> None:
    """End one process by its pid, with force if it does not go."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not alive(pid), seconds, f"the end of {pid}")
            return


def _daemon(*command: str) -> None:
    """Run a command that goes to the background, in a session of its own: a Ctrl-C does not end it halfway there."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)


_FOLDERS = {"nginx": ("conf.d", "temp"), "supervisor": ("programs",)}


class Bed:
    """One host with a service ``shop`` on two slots. ``with Bed(path) as bed`` starts it and ends all of it."""

    service = "shop"
    parts: tuple[str, ...] = ("nginx", "supervisor")
    worker = "root"  # the user of nginx's workers, where we are root
    connections = 1000  # of each of nginx's two workers
    log_level = "warn"  # at "notice", nginx's error log also tells of every reload

    def __init__(self, path: Path, **variables: Any) -> None:
        self.path = path
        self._guard: subprocess.Popen[bytes] | None = None
        self.port, self.blue, self.green = free_ports(3)
        self.variables: dict[str, Any] = {
            "bluegreen_service": self.service,
            "bluegreen_root": str(path / "srv"),
            "bluegreen_slots": [{"name": "blue", "port": self.blue}, {"name": "green", "port": self.green, "backup": True}],
            "bluegreen_listen": f"127.0.0.1:{self.port}",
            "bluegreen_packages": False,
            "bluegreen_nginx_command": f"{NGINX} -e {path}/nginx-error.log",
            "bluegreen_nginx_config": f"{path}/nginx.conf",
            "bluegreen_nginx_conf_dir": f"{path}/conf.d",
            "bluegreen_nginx_state_dir": f"{path}/bluegreen",
            "bluegreen_nginx_pid_file": f"{path}/nginx.pid",
            "bluegreen_nginx_error_log": f"{path}/nginx-error.log",
            "bluegreen_supervisor_config": f"{path}/supervisord.conf",
            "bluegreen_supervisor_program_dir": f"{path}/programs",
            **variables,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Bed:
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o755)
        for name in (name for part in self.parts for name in _FOLDERS[part]):
            (self.path / name).mkdir(exist_ok=True)
        # Whatever ends this process, what it has started here ends with it.
        self._guard = subprocess.Popen([PYTHON, "-I", "-S", str(GUARD), str(self.path)], stdin=subprocess.PIPE, start_new_session=True)
        try:
            for part in self.parts:
                getattr(self, f"start_{part}")()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start_nginx(self) -> None:
        temp = "\n".join(f"    {kind}_temp_path {self.path}/temp/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = f"user {self.worker};\n" if os.geteuid() == 0 else ""
        (self.path / "nginx.conf").write_text(
            f"{user}worker_processes 2;\npid {self.path}/nginx.pid;\nerror_log {self.path}/nginx-error.log {self.log_level};\n"
            f"events {{ worker_connections {self.connections}; }}\nhttp {{\n    access_log off;\n{temp}\n    include {self.path}/conf.d/*.conf;\n}}\n"
        )
        _daemon(NGINX, "-e", f"{self.path}/nginx-error.log", "-c", f"{self.path}/nginx.conf")
        # A reload before its first worker would be forgotten: the master looks at its signals only after that.
        wait_until(lambda: self.nginx_pid and Path(f"/proc/{self.nginx_pid}/task/{self.nginx_pid}/children").read_text(), what="nginx's start")

    def start_supervisor(self) -> None:
        (self.path / "supervisord.conf").write_text(
            f"[unix_http_server]\nfile={self.path}/supervisor.sock\nchmod=0700\n"
            f"[supervisord]\npidfile={self.path}/supervisord.pid\nlogfile={self.path}/supervisord.log\nchildlogdir={self.path}\n"
            f"{'user=root' if os.geteuid() == 0 else ''}\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{self.path}/supervisor.sock\n[include]\nfiles = {self.path}/programs/*.conf\n"
        )
        _daemon(PYTHON, "-m", "supervisor.supervisord", "-c", f"{self.path}/supervisord.conf")
        wait_until(lambda: (self.path / "supervisor.sock").exists() and self.supervisor_pid, what="supervisord's start")

    def _pid(self, name: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.path / name).read_text())
            return pid if alive(pid) else 0
        return 0

    @property
    def nginx_pid(self) -> int:
        return self._pid("nginx.pid")

    @property
    def supervisor_pid(self) -> int:
        return self._pid("supervisord.pid")

    def stop(self) -> None:
        """End supervisord with its programs, and nginx."""
        for pid in (self.supervisor_pid, self.nginx_pid):
            if pid:
                end(pid, 40)
        if self._guard and self._guard.stdin:
            self._guard.kill()
            self._guard.stdin.close()
            self._guard.wait()

    def supervisorctl(self, *words: str) -> str:
        command = [PYTHON, "-m", "supervisor.supervisorctl", "-c", f"{self.path}/supervisord.conf", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def inventory(self, lines: str = "") -> Path:
        path = self.path / "inventory"
        path.write_text(lines or f"app1 ansible_connection=local ansible_python_interpreter={TARGET}\n")
        return path

    def playbook(
        self, playbook: str = "hotswap.bluegreen.release", *words: str, variables: Mapping[str, Any] | None = None, **extra: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook on this host; ``extra`` are extra vars without the prefix, ``variables`` replace the bed's."""
        command = self.command(playbook, *words, variables=variables, **extra)
        return subprocess.run(command, cwd=self.path, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600)

    def command(self, playbook: str, *words: str, variables: Mapping[str, Any] | None = None, **extra: Any) -> list[str]:
        values = {**(self.variables if variables is None else variables), **{f"bluegreen_{name}": value for name, value in extra.items()}}
        path = self.path / "variables.json"
        path.write_text(json.dumps(values))
        executable = str(Path(PYTHON).parent / "ansible-playbook")
        return [executable, "-i", str(self.inventory()), playbook, "-e", f"@{path}", *words]


def _empty_config(build: Path) -> Path:
    """A configuration of nothing: ansible.cfg of the working directory or the home are not asked."""
    path = build / "ansible.cfg"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text("[defaults]\n")
    return path


def environment(build: Path = BUILD, **more: str) -> dict[str, str]:
    """The environment for ansible-playbook: this checkout's collection, no colours, nothing of the user's own set-up.

    What it needs is made in ``build``, for a checkout that may not be written to.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    log = os.environ.get("HOTSWAP_ANSIBLE_LOG")  # tools/matrix looks there for warnings of what will not work any more
    told = {"ANSIBLE_LOG_PATH": log} if log else {}
    return {
        **kept,
        "ANSIBLE_COLLECTIONS_PATH": str(collections_path(build)),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CONFIG": str(_empty_config(build)),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_DEPRECATION_WARNINGS": str(bool(log)),
        "PYTHONDONTWRITEBYTECODE": "1",
        **told,
        **more,
    }


class BalancerBed(Bed):
    """A host that has an nginx and runs no programs."""

    parts = ("nginx",)


class AppBed(Bed):
    """A host that runs programs and has no nginx."""

    parts = ("supervisor",)


@contextlib.contextmanager
def temporary(kind: type[Bed] = Bed, **variables: Any) -> Iterator[Bed]:
    """A bed in a directory of its own that is gone afterwards."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="bg-") as folder, kind(Path(folder), **variables) as bed:
        yield bed
