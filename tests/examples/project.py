"""An example as its reader has it: a copy of its files, played on a bed; what is this machine's own comes from extra vars."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools import bed as beds

EXAMPLES = beds.ROOT / "examples"
PLAYBOOK = str(Path(beds.PYTHON).parent / "ansible-playbook")
# Builds and programs find the distribution's tools, as on a host, and not those of the virtual environment of the tests.
PATH = ":".join(dict.fromkeys(("/usr/bin", "/bin", "/usr/sbin", "/sbin", *(str(Path(found).parent) for found in [shutil.which("npm")] if found))))


def variables(example: str) -> dict[str, Any]:
    """The example's variables of the service, as they stand there."""
    (path,) = (EXAMPLES / example / "inventory" / "group_vars").glob("*.yml")
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


def local(bed: beds.Bed) -> dict[str, Any]:
    """What is this machine's own: the private nginx and supervisor, ports that are free, no ssh."""
    here = {name: value for name, value in bed.variables.items() if name != "bluegreen_service"}
    here |= {"ansible_connection": "local", "ansible_python_interpreter": beds.PYTHON}
    return here | ({"bluegreen_user": ""} if os.geteuid() else {})


def wheels(example: str) -> Path:
    """A folder with the wheels of the example's requirements for the distribution's Python; fetched once for this checkout."""
    requirements = EXAMPLES / example / "app" / "requirements.txt"
    build = beds.BUILD / "examples"
    build.mkdir(parents=True, exist_ok=True)
    found = build / f"wheels-{example}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    with open(build / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.is_dir():
            with tempfile.TemporaryDirectory(dir=build) as folder:
                run("/usr/bin/python3", "-m", "venv", f"{folder}/venv")
                run(f"{folder}/venv/bin/pip", "wheel", "--quiet", "--wheel-dir", f"{folder}/wheels", "--requirement", str(requirements))
                Path(folder, "wheels").rename(found)
    return found


def run(*command: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed, with the environment of a play."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=beds.environment(**{"PATH": PATH, **environment}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done


@dataclass
class Project:
    """A copy of the example beside a bed that stands for its host."""

    folder: Path
    bed: beds.Bed
    settings: dict[str, str] = field(default_factory=dict)  # more of the environment of its plays

    @property
    def app(self) -> Path:
        return self.folder / "app"

    def play(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``ansible-playbook -i inventory …`` in the copy."""
        own = self.bed.path / "here.json"
        own.write_text(json.dumps(local(self.bed)))
        return subprocess.run(
            [PLAYBOOK, "-i", "inventory", *words, "-e", f"@{own}"],
            cwd=self.folder,
            env=beds.environment(**{"PATH": f"{PATH}:{self.folder}/.bin", "TMPDIR": f"{self.folder}/.tmp", **self.settings}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    def tool(self, name: str) -> None:
        """A program of the virtual environment that the example expects on its hosts, where its user can run it."""
        (self.folder / ".bin").mkdir(exist_ok=True)
        shutil.copy2(Path(beds.PYTHON).with_name(name), self.folder / ".bin" / name)

    def released(self, release: str, *before: str) -> str:
        """Release ``release``, after the playbooks ``before``; it must succeed. What the run printed."""
        done = self.play(*before, "release.yml", "-e", f"bluegreen_release={release}")
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done.stdout

    def ask(self, path: str = "/", method: str = "GET", body: str | None = None) -> tuple[int, str, str]:
        """Status, release and body of one request through nginx."""
        connection = http.client.HTTPConnection("127.0.0.1", self.bed.port, timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.getheader("X-Release", ""), answer.read().decode("utf-8", "replace")
        finally:
            connection.close()


@contextlib.contextmanager
def project(example: str) -> Iterator[Project]:
    """The example's copy and a bed, both gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bg-") as folder, beds.temporary() as bed:
        Path(folder).chmod(0o755)
        copy = Path(folder, example)
        shutil.copytree(EXAMPLES / example, copy, ignore=shutil.ignore_patterns("node_modules", "venv", "wheels", "__pycache__"))
        (copy / ".tmp").mkdir()
        (copy / ".tmp").chmod(0o1777)  # builds run as the service's user; not every machine's /tmp is for all
        yield Project(copy, bed)


@dataclass
class Load:
    """Clients that keep their connection and ask all the time, and one that asks for /slow; they count what failed, and who answered."""

    port: int
    path: str
    clients: int = 2
    answered: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._end = threading.Event()
        self._lock = threading.Lock()
        paths = [self.path] * self.clients + ["/slow"]
        self._threads = [threading.Thread(target=self._ask, args=(path,), daemon=True) for path in paths]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for _ in range(20_000):
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                answer.read()
                self._note(answer.status, f"{answer.getheader('X-Release')}{' slow' if path == '/slow' else ''}")
            except (OSError, http.client.HTTPException) as error:
                self._note(0, f"{path}: {error!r}")
                connection.close()
            if self._end.wait(0.1):  # leaves the processor to what is tested
                break
        connection.close()

    def _note(self, status: int, who: str) -> None:
        with self._lock:
            if status == 200:
                self.answered[who] += 1
            else:
                self.failed.append(f"{status} {who}")
