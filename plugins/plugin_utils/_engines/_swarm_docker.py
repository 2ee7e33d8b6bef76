# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a Swarm is asked on the play's host: by the modules of ``community.docker`` for what they do, by the command ``docker`` for the rest.

By the command: what is only looked at (one step over the connection in place of four, many times in a release), logs,
objects whose creation must fail if they are there already, and the way on from a pause. No module does these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ._engine import Call, Refused

COMMAND = "ansible.builtin.command"
_LOGS = 20  # seconds that lines of a task are waited for

# A service, its tasks, and whatever of it is gone by now: two lists of JSON, the second one missing if there are no tasks.
_LOOK = 'docker service inspect "$1" && docker service ps -q --no-trunc "$1" | xargs -r docker inspect --type task 2>/dev/null; exit 0'
_THINGS = """\
set -e
label=$1
shift
for kind in "$@"; do
    [ $kind != network ] || continue
    docker $kind ls -q --filter "label=$label" | xargs -r docker $kind inspect --format \\
        "{\\"kind\\":\\"$kind\\",\\"ID\\":{{json .ID}},\\"Name\\":{{json .Spec.Name}},\\"Labels\\":{{json .Spec.Labels}}}"
done
case " $* " in *" network "*) ;; *) exit 0 ;; esac
docker network ls -q --filter "label=$label" | xargs -r docker network inspect --format \\
    "{\\"kind\\":\\"network\\",\\"ID\\":{{json .Id}},\\"Name\\":{{json .Name}},\\"Labels\\":{{json .Labels}}}"
"""
_NODES = "docker node ls -q | xargs -r docker node inspect"
_PORTS = 'docker service ls -q | xargs -r docker service inspect --format \'{"Name":{{json .Spec.Name}},"Ports":{{json .Spec.EndpointSpec.Ports}}}\''

# What Docker says, and what it means to somebody on call
_MEANINGS = (
    (("permission denied",), "the user of this connection may not use Docker there: become root, or add the user to the group docker"),
    (
        (
            "cannot connect to the docker daemon",
            "error during connect",
            "connection refused",
            "dial unix",
            "dial tcp",
            "error while fetching server api version",
        ),
        "Docker does not answer there: start it, or correct bluegreen_swarm.docker_host",
    ),
    (
        ("not a swarm manager", "can't be used to view or modify cluster state"),
        "that host is no manager of a Swarm: put a manager first into the play's hosts (docker node ls shows them), or make one by docker swarm init",
    ),
    (
        ("no such file or directory: 'docker'", 'no such file or directory: b"docker"', "docker: not found", "docker: command not found"),
        "the command docker is not there: install Docker's client on that host",
    ),
    (
        ("failed to import the required python library (docker", "no module named 'docker'", "docker sdk for python"),
        "the Python library docker is not there: install it on that host, for the Python that Ansible uses (python3-docker, or pip install docker)",
    ),
)


@dataclass(frozen=True)
class Answer:
    """What a command said. ``skipped``: it was not run, as nothing is to change."""

    rc: int = 0
    out: str = field(default="", repr=False)
    err: str = ""
    skipped: bool = False

    @property
    def good(self) -> bool:
        return self.rc == 0


class Docker:
    """Docker of the play's host. ``host`` is its address, '' for the host's own."""

    def __init__(self, call: Call, host: str = "") -> None:
        self._call = call
        self._environment = {"DOCKER_HOST": host} if host else {}

    def ask(self, *words: str) -> Answer:
        """A command that only looks: it is run in a check as well."""
        return self._run(["docker", *words], False)

    def lines(self, task: str, number: int) -> tuple[str, ...]:
        """The last lines of a task. They come from its node, which may be gone: not for longer than some seconds."""
        argv = ["timeout", str(_LOGS), "docker", "service", "logs", "--raw", "--no-trunc", "--tail", str(number), task]
        answer = self._run(argv, False)
        return tuple((answer.out if answer.out.strip() else answer.err).splitlines()[-number:])

    def do(self, *words: str, stdin: str | None = None) -> Answer:
        """A command that changes something."""
        return self._run(["docker", *words], None, stdin)

    def module(self, name: str, args: Mapping[str, Any], to: str) -> dict[str, Any]:
        """A module of community.docker. ``to`` completes "Docker Swarm could not …"."""
        result = self._call(f"community.docker.{name}", {key: value for key, value in args.items() if value is not None}, environment=self._environment)
        if result.get("failed"):
            raise Refused(f"Docker Swarm could not {to}: {meaning(str(result.get('msg') or result))}")
        return result

    def look(self, service: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """The service of this name and its tasks. None where there is none. :class:`Refused` if that cannot be told."""
        answer = self._script(_LOOK, service)
        lists = read_json(answer.out)
        found = next((one for one in (lists[0] if lists else []) if one["Spec"]["Name"] == service), None)
        if found is None and "no such service" not in answer.err.lower():
            self.refuse(answer, f"tell of the service {service}")
        return found, lists[1] if found and len(lists) > 1 else []

    def things(self, label: str, *kinds: str) -> list[dict[str, Any]]:
        """Services, configs, secrets and networks (or only some of these kinds) with this label: kind, ID, Name and Labels of each."""
        answer = self._script(_THINGS, label, *(kinds or ("service", "config", "secret", "network")))
        if not answer.good:
            self.refuse(answer, f"list what has the label {label}")
        return [{**thing, "Labels": thing.get("Labels") or {}} for thing in read_json(answer.out)]

    def nodes(self) -> list[dict[str, Any]]:
        """The nodes of the Swarm."""
        answer = self._script(_NODES)
        if not answer.good:
            self.refuse(answer, "list its nodes")
        return [node for found in read_json(answer.out) for node in found]

    def published(self) -> list[dict[str, Any]]:
        """All services of the Swarm: Name and Ports of each."""
        return read_json(self._script(_PORTS).out)

    def inspect(self, kind: str, *words: str) -> list[Any]:
        """What Docker tells of objects of a kind; what is not there is left out."""
        return [one for found in read_json(self.ask("inspect", "--type", kind, *words).out) for one in found] if words else []

    def refuse(self, answer: Answer, to: str) -> None:
        """Raise what a failed command means."""
        raise Refused(f"Docker Swarm could not {to}: {meaning(answer.err or answer.out or f'exit status {answer.rc}')}")

    def _script(self, text: str, *words: str) -> Answer:
        return self._run(["sh", "-c", text, "sh", *words], False)

    def _run(self, argv: list[str], check_mode: bool | None, stdin: str | None = None) -> Answer:
        args = {"argv": argv, **({"stdin": stdin, "stdin_add_newline": False} if stdin is not None else {})}
        result = self._call(COMMAND, args, check_mode=check_mode, environment=self._environment)
        if result.get("skipped"):
            return Answer(skipped=True)
        return Answer(int(result.get("rc", 1)), str(result.get("stdout") or ""), str(result.get("stderr") or result.get("msg") or ""))


def meaning(said: str) -> str:
    """What Docker said, after what it means where that is known."""
    said = " ".join(said.split())
    known = next((means for words, means in _MEANINGS if any(word in said.lower() for word in words)), "")
    return f"{known} ({said})" if known else said


def read_json(text: str) -> list[Any]:
    """The values of JSON that stand one after the other."""
    found, decoder = [], json.JSONDecoder()
    text = text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found
