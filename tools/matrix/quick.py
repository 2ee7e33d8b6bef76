"""The quick release of a pair: installed, 1.0.0, and newer ones under requests, each with another Python on the host.

The host is a private one of tools/bed.py, reached with the local connection; supervisord and the application run with the Python
of whoever calls, ansible-playbook with the pair's, our modules with the host's.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import bed as beds
from tools.matrix import interpreters
from tools.matrix.table import Pair
from tools.probe import Kind, Probe

APP = beds.ROOT / "tests" / "apps" / "plain"
SECONDS = 600.0


class Faulty(Exception):
    """What is not as it should be, with the end of what was said."""


@dataclass
class Quick:
    """A bed and a pair. ``output`` is all that ansible-playbook said."""

    bed: beds.Bed
    pair: Pair
    programs: Path
    pipelining: bool
    output: str = ""

    def release(self, number: int, target: interpreters.Python) -> None:
        """1.0.0, 1.1.0 …; the first one brings the installation with it."""
        common = {**self.bed.variables, **_OURS, "bluegreen_release": f"1.{number}.0", "ansible_python_interpreter": str(self._told(target))}
        names = ("install", "release") if number == 0 else ("release",)
        book = self.bed.path / "site.json"
        book.write_text(json.dumps([{"import_playbook": f"hotswap.bluegreen.{name}"} for name in names]))
        self._play(str(book), common)
        ran = self.pythons()
        if set(ran) != {target.version} or ran[target.version] < 10:
            raise Faulty(f"the modules ran with {ran}, not with Python {target.version}")

    def release_under_requests(self, number: int, target: interpreters.Python) -> int:
        """The same, while requests are sent: how many. None of them may fail."""
        wanted = [Kind("get", self.bed.url, rate=20.0, timeout=20.0)]
        with Probe(f"matrix-{self.pair.name}", wanted, {"json": "release"}) as probe:
            self.release(number, target)
        due, failed = probe.result["due"], probe.result["failed"]
        if failed or not due:
            raise Faulty(f"{failed} of {due} requests failed: {probe.result['failures'][:5]}")
        return int(due)

    def again(self, number: int, target: interpreters.Python) -> None:
        """The same release once more changes nothing."""
        self.release(number, target)
        changed = re.findall(r"changed=(\d+)", self.output)[-1:]
        if changed != ["0"]:
            raise Faulty(f"the second run of a release has changed={changed}")

    def complaints(self) -> list[str]:
        """Every warning. Nothing here gives Ansible a reason to warn, so each is about our code."""
        return [line for line in self.output.splitlines() if re.match(r"\[(DEPRECATION )?WARNING\]", line)]

    def serving(self) -> str:
        """The release that every member's process answers with."""
        found = {json.loads(_get(f"http://127.0.0.1:{port}/"))["release"] for port in (self.bed.blue, self.bed.green)}
        return " and ".join(sorted(found))

    def pythons(self) -> Counter[str]:
        """How many modules ran with which Python in the run that was last."""
        log = self.bed.path / "pythons"
        return Counter(log.read_text().split() if log.exists() else ())

    def _told(self, target: interpreters.Python) -> Path:
        """The interpreter by a name under which it notes that it was used."""
        (self.bed.path / "pythons").unlink(missing_ok=True)
        path = self.bed.path / f"python{target.version}"
        path.write_text(f'#!/bin/sh\necho {target.version} >>{self.bed.path}/pythons\nexec {target.path} "$@"\n')
        path.chmod(0o755)
        return path

    def _play(self, book: str, variables: Mapping[str, Any]) -> None:
        file = self.bed.path / "variables.json"
        file.write_text(json.dumps(variables))
        inventory = self.bed.inventory("app1 ansible_connection=local\n")
        settings = beds.environment(
            ANSIBLE_DEPRECATION_WARNINGS="True", ANSIBLE_PIPELINING=str(self.pipelining), ANSIBLE_HOME=str(self.bed.path / "ansible"), PYTHONWARNINGS=""
        )
        command = [str(self.programs / "ansible-playbook"), "-i", str(inventory), book, "-e", f"@{file}"]
        done = subprocess.run(
            command, cwd=self.bed.path, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        self.output += done.stdout
        if done.returncode:
            raise Faulty(f"ansible-playbook ended with {done.returncode}:\n{done.stdout[-4000:]}")


_OURS: dict[str, Any] = {
    "bluegreen_command": f"{beds.PYTHON} app.py",
    "bluegreen_source": {"directory": str(APP)},
    "bluegreen_start_seconds": 0,
}


def _get(url: str) -> bytes:
    import urllib.request

    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def targets(pair: Pair) -> tuple[list[interpreters.Python], dict[str, str]]:
    """The host's Pythons that can be had, and why the others cannot."""
    found, missing = [], {}
    for version in pair.targets:
        try:
            found.append(interpreters.get(version))
        except interpreters.Missing as error:
            missing[version] = str(error)
    return found, missing


def play(pair: Pair, programs: Path, hosts: Sequence[interpreters.Python], pipelining: bool, again: bool) -> int:
    """Release with each of these Pythons on the host; how many requests were sent. Faulty says what went wrong."""
    with beds.temporary() as bed:
        quick = Quick(bed, pair, programs, pipelining)
        quick.release(0, hosts[0])
        sent = 0
        for number, host in enumerate(hosts[1:] or hosts[:1], 1):
            sent += quick.release_under_requests(number, host)
        if again:
            quick.again(number, hosts[-1])
        if quick.serving() != f"1.{number}.0":
            raise Faulty(f"the members run {quick.serving()}, not 1.{number}.0")
        if quick.complaints():
            raise Faulty("\n".join(["there are warnings:", *quick.complaints()]))
    return sent
