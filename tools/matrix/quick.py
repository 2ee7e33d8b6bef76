"""The quick release: an installation and releases under requests, with any ansible-core, any Python there and any on the host.

The host is a private one of tools/bed.py, reached with the local connection; supervisord and the application run with the Python
of whoever calls, ansible-playbook with the pair's, our modules with the host's.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import bed as beds
from tools.matrix.interpreters import Python
from tools.probe import Kind, Probe

SECONDS = 900.0
FEWEST = {"install": 4, "release": 8}  # modules that a playbook runs at least
_OURS: dict[str, Any] = {
    "bluegreen_command": f"{beds.PYTHON} app.py",
    "bluegreen_source": {"directory": str(beds.ROOT / "tests" / "apps" / "plain")},
    "bluegreen_start_seconds": 0,
}


class Faulty(Exception):
    """What is not as it should be, with the end of what was said."""


@dataclass(frozen=True)
class Ansible:
    """How a playbook is run: ``programs`` is the directory of ansible-playbook."""

    programs: Path
    pipelining: bool


class Quick:
    """A service on a bed, of which there is a new release each time."""

    def __init__(self, bed: beds.Bed) -> None:
        self.bed, self.number, self.requests = bed, -1, 0

    def release(self, ansible: Ansible, host: Python, installation: Python | None = None) -> None:
        """A new release with this Python on the host, after an installation with that one; under requests if there was one before."""
        self.number += 1
        books = {**({"install": installation} if installation else {}), "release": host}
        if self.number == 0:
            self._play(ansible, books)
        else:
            with Probe(f"matrix-{self.bed.port}", [Kind("get", self.bed.url, rate=10.0, timeout=30.0)], {"json": "release"}) as probe:
                self._play(ansible, books)
            failed = probe.result["failed"]
            if failed or not probe.result["due"]:
                raise Faulty(f"{failed} of {probe.result['due']} requests failed: {probe.result['failures'][:5]}")
            self.requests += int(probe.result["due"])
        if self.serving() != {self.name}:
            raise Faulty(f"the members run {self.serving()}, not {self.name}")

    def again(self, ansible: Ansible, host: Python) -> None:
        """The release once more changes nothing."""
        output = self._play(ansible, {"release": host})
        if re.findall(r"changed=(\d+)", output) != ["0"]:
            raise Faulty(f"the second run of a release changed something:\n{output[-4000:]}")

    @property
    def name(self) -> str:
        return f"1.{self.number}.0"

    def serving(self) -> set[str]:
        """The releases that the members' processes answer with."""
        return {_release(port) for port in (self.bed.blue, self.bed.green)}

    def _play(self, ansible: Ansible, books: dict[str, Python]) -> str:
        """Run playbooks of the collection one after the other, each with its Python on the host, and see that it did run with it."""
        book, log = self.bed.path / "site.json", self.bed.path / "pythons"
        log.write_text("")
        interpreters = {name: str(self._noting(name, python)) for name, python in books.items()}
        book.write_text(
            json.dumps([{"import_playbook": f"hotswap.bluegreen.{name}", "vars": {"ansible_python_interpreter": path}} for name, path in interpreters.items()])
        )
        file = self.bed.path / "variables.json"
        file.write_text(json.dumps({**self.bed.variables, **_OURS, "bluegreen_release": self.name}))
        settings = beds.environment(
            ANSIBLE_DEPRECATION_WARNINGS="True", ANSIBLE_PIPELINING=str(ansible.pipelining), ANSIBLE_HOME=str(self.bed.path / "ansible")
        )
        command = [str(ansible.programs / "ansible-playbook"), "-i", str(self.bed.inventory("app1 ansible_connection=local\n")), str(book), "-e", f"@{file}"]
        done = subprocess.run(
            command, cwd=self.bed.path, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        if done.returncode:
            raise Faulty(f"ansible-playbook ended with {done.returncode}:\n{done.stdout[-4000:]}")
        # Nothing here gives Ansible a reason to warn, so each warning is about our code.
        complaints = [line for line in done.stdout.splitlines() if re.match(r"\[(DEPRECATION )?WARNING\]", line)]
        if complaints:
            raise Faulty("\n".join(["there are warnings:", *complaints]))
        ran = Counter(log.read_text().splitlines())
        if set(ran) != {f"{name} {python.version}" for name, python in books.items()} or any(
            ran[f"{name} {python.version}"] < FEWEST[name] for name, python in books.items()
        ):
            raise Faulty(f"the modules ran with {dict(ran)}")
        return done.stdout

    def _noting(self, book: str, python: Python) -> Path:
        """The interpreter by a name under which it notes that it was used."""
        path = self.bed.path / f"python-{book}"
        path.write_text(f'#!/bin/sh\necho {book} {python.version} >>{self.bed.path}/pythons\nexec {python.path} "$@"\n')
        path.chmod(0o755)
        return path


def _release(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
        return str(json.load(answer)["release"])


def play(programs: Path, hosts: Sequence[Python], pipelining: bool) -> int:
    """An installation and a release with the first of these Pythons on the host, a release with each other one, the last one again.

    How many requests were sent. Faulty says what went wrong.
    """
    with beds.temporary() as bed:
        quick, ansible = Quick(bed), Ansible(programs, pipelining)
        quick.release(ansible, hosts[0], installation=hosts[0])
        for host in hosts[1:] or hosts:
            quick.release(ansible, host)
        quick.again(ansible, hosts[-1])
    return quick.requests
