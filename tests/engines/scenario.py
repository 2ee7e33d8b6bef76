"""What the scenarios of both engines share: a service on a real cluster, and the user's own commands for it, under load from outside."""

from __future__ import annotations

import abc
import contextlib
import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.conftest import Counts
from tools import bed as beds
from tools import galaxy
from tools.engines import images, kubernetes, swarm
from tools.probe import Kind, Probe

IMAGE = images.app("1").name.rpartition(":")[0]
DATA = "/data"  # in all containers of a service: a directory of the node, which outlives them
_PLAYBOOK = str(Path(beds.PYTHON).parent / "ansible-playbook")
_RESULT = re.compile(r"(?:ok|changed|fatal): \[cluster\](?:: FAILED!)? => (\{.*\})$")
_LONG = 900  # seconds that a play may take: some machines are slow, and others' tests run beside these


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    status: int
    said: str

    @cached_property
    def results(self) -> list[dict[str, Any]]:
        """Of each task that told one, the last at the end."""
        return [json.loads(found[1]) for found in map(_RESULT.match, self.said.splitlines()) if found]

    @property
    def rollout(self) -> dict[str, Any]:
        """The result of the task that releases or goes back."""
        return next((result for result in reversed(self.results) if "ansible_stats" in result), {})

    @property
    def message(self) -> str:
        return str(self.results[-1].get("msg", "")) if self.results else self.said

    @property
    def changed(self) -> int:
        return sum(int(count) for count in re.findall(r" changed=(\d+) ", self.said))

    def good(self) -> Ran:
        assert self.status == 0, self.said
        return self

    def bad(self) -> Ran:
        assert self.status == 2, self.said
        return self


class Running:
    """A command that has begun, in a session of its own; it is killed with the block that it is for."""

    def __init__(self, command: list[str], folder: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            self.kill()

    def until(self, words: str) -> None:
        """Wait for these words in what it says."""
        beds.wait_until(lambda: words in self._log.read_text() or self.process.poll() is not None, _LONG, f"{words!r} in what ansible-playbook says")
        assert words in self._log.read_text(), self._log.read_text()

    def kill(self) -> None:
        """As a machine that is switched off: all of its processes at once. Ansible's workers have sessions of their own, and would go on for a while."""
        for pid in _below(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> Ran:
        return Ran(self.process.wait(_LONG), self._log.read_text())


def _below(pid: int) -> list[int]:
    """A process, and all that descend from it."""
    found = [pid]
    for one in found:
        for path in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(word) for word in path.read_text().split()]
    return found


def environment() -> dict[str, str]:
    """With the engines' collections beside ours."""
    return beds.environment(ANSIBLE_COLLECTIONS_PATH=str(galaxy.beside_ours()), COLUMNS="400")


@dataclass
class Scene(abc.ABC):
    """A service of two replicas on an engine, of which nothing is there yet."""

    name: str
    folder: Path
    url: str
    counts: Counts
    engine = ""

    @abc.abstractmethod
    def options(self) -> dict[str, Any]:
        """The variable that only this engine has."""

    @abc.abstractmethod
    def pieces(self) -> list[str]:
        """Everything that the engine has of the service but its lock, each with what tells it from a later one of its name."""

    @abc.abstractmethod
    def replicas(self) -> list[str]:
        """Those that are to run, by names that no later one has."""

    @abc.abstractmethod
    def remove(self) -> None:
        """All of it, at once."""

    def variables(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "service": self.name,
            "image": IMAGE,
            "replicas": 2,
            "watch": 2,
            "boot_timeout": 15,
            "drain_timeout": 6,
            "stop_timeout": 3,
            "environment": {"DRAIN": "1"},
            "report_dir": str(self.folder / "reports"),
            "probe": [{"name": "page", "url": f"{self.url}/", "rate": 20, "connections": 4}],
            self.engine: self.options(),
        }

    def command(self, book: str, *words: str, **changed: Any) -> list[str]:
        """The user's command: a playbook of the collection, or one in a file; with variables (without prefix) that differ from the scene's."""
        variables = {f"bluegreen_{name}": value for name, value in {**self.variables(), **changed}.items()}
        host = {"ansible_connection": "local", "ansible_python_interpreter": beds.PYTHON}
        inventory = self.folder / "hosts.json"
        inventory.write_text(json.dumps({"all": {"hosts": {"cluster": host}, "vars": variables}}))
        return [_PLAYBOOK, "-v", "-i", str(inventory), book if book.endswith(".yml") else f"hotswap.bluegreen.{book}", *words]

    def play(self, book: str, *words: str, **changed: Any) -> Ran:
        command = self.command(book, *words, **changed)
        done = subprocess.run(command, cwd=self.folder, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_LONG)
        return Ran(done.returncode, done.stdout + done.stderr)

    def begin(self, book: str, *words: str, **changed: Any) -> Running:
        return Running(self.command(book, *words, **changed), self.folder, self.folder / f"{book}.log")

    def release(self, release: str, *words: str, **changed: Any) -> Ran:
        return self.play("release", *words, **{"release": release, **changed})

    def load(self) -> Probe:
        """What the probe of a release asks, without one."""
        return Probe(f"engines-{self.name}", [Kind("page", f"{self.url}/", rate=20, connections=4)], {"header": "X-Release"})

    def lossless(self, ran: Ran) -> None:
        """No request of the probe failed while it ran, and there were some."""
        assert ran.rollout["probe"], ran.said
        self.whole(ran.rollout["probe"])

    def whole(self, counted: Mapping[str, Any]) -> None:
        self.counts.add(f"requests to {self.engine} while a playbook released", counted["due"])
        assert counted["failed"] == 0, counted
        assert counted["answered"] == counted["due"] > 50, counted

    def get(self, path: str = "/") -> str:
        """What the service answers to somebody outside."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
            return str(answer.read().decode()).rstrip("\n")

    def serves(self) -> str:
        return str(json.loads(self.get())["release"])

    def written(self, name: str) -> list[str]:
        """The lines of a file in DATA; none if it is not there yet."""
        try:
            return self.get(f"/file?path={DATA}/{name}").splitlines()
        except urllib.error.HTTPError:
            return []


@dataclass
class OnSwarm(Scene):
    bed: swarm.Swarm
    port: int
    engine = "swarm"

    def options(self) -> dict[str, Any]:
        return {
            "docker_host": self.bed.docker_host,
            "nginx": {"image": images.nginx().name, "publish": [{"published": self.port, "mode": "host"}]},
            "service": {"mounts": [{"source": f"{self.name}-data", "target": DATA, "type": "volume"}]},
        }

    def pieces(self) -> list[str]:
        found = [f"{kind} {name}" for kind in ("config", "secret", "network") for name in self._all(kind, "{{.Name}} {{.ID}}") if self.name in name]
        found = [piece for piece in found if f" {self.name}-lock-" not in piece]
        for service in self._all("service", "{{.Name}}"):
            if service.startswith(self.name):
                found.append(f"{service} {self.bed.docker('service', 'inspect', '-f', '{{.Version.Index}}', service).stdout.strip()}")
                found += self._tasks(service)
        return sorted(found)

    def replicas(self) -> list[str]:
        return self._tasks(self.name)

    def remove(self) -> None:
        for kind in ("service", "config", "secret", "network"):
            for name in self._all(kind, "{{.Name}}"):
                if name.startswith((self.name, f"bluegreen-{self.name}")):
                    self.bed.docker(kind, "rm", name, check=False)  # a network goes when its last task has gone

    def _tasks(self, service: str) -> list[str]:
        """Those that are to run."""
        return sorted(self.bed.docker("service", "ps", "--no-trunc", "-q", "--filter", "desired-state=running", service).stdout.split())

    def _all(self, kind: str, form: str) -> list[str]:
        return self.bed.docker(kind, "ls", "--format", form).stdout.splitlines()


@dataclass
class OnKubernetes(Scene):
    bed: kubernetes.Bed
    port: int
    engine = "kubernetes"
    _KINDS = "deployments,daemonsets,replicasets,pods,services,configmaps,secrets,jobs,cronjobs,poddisruptionbudgets"

    def options(self) -> dict[str, Any]:
        return {
            "kubeconfig": str(self.bed.kubeconfig),
            "service_type": "NodePort",
            "node_ports": {"http": self.port},
            # /run is the cluster's own
            "pod": {"volumes": [{"name": "data", "hostPath": {"path": f"/run/{self.name}", "type": "DirectoryOrCreate"}}]},
            "container": {"volumeMounts": [{"name": "data", "mountPath": DATA}]},
        }

    def pieces(self) -> list[str]:
        """Pods that end are not of it: when the kubelet takes them away is no matter of ours."""
        found = self.bed.get(self._KINDS)["items"]
        abouts = [(one["kind"], one["metadata"]) for one in found if one["metadata"]["name"].startswith(self.name)]
        return sorted(f"{kind} {about['name']} {about['uid']} {about.get('generation')}" for kind, about in abouts if "deletionTimestamp" not in about)

    def replicas(self) -> list[str]:
        pods = [one["metadata"] for one in self.bed.get("pods")["items"] if one["metadata"]["name"].startswith(self.name)]
        return sorted(pod["name"] for pod in pods if pod["ownerReferences"][0]["kind"] == "ReplicaSet" and "deletionTimestamp" not in pod)

    def sides(self) -> dict[str, int]:
        """How many replicas each Deployment of the service is asked for, by its side."""
        found = self.bed.get("deployments")["items"]
        return {one["metadata"]["name"][len(self.name) + 1 :]: one["spec"]["replicas"] for one in found if one["metadata"]["name"].startswith(self.name)}

    def remove(self) -> None:
        names: dict[str, list[str]] = {}
        for one in self.bed.get(self._KINDS)["items"]:
            if one["metadata"]["name"].startswith(self.name):
                names.setdefault(one["kind"], []).append(one["metadata"]["name"])
        for kind in sorted(names, key=lambda kind: kind == "Pod"):
            self.bed.kubectl("delete", kind, *names[kind], "--force", "--grace-period=0", "--wait=false", "--ignore-not-found", check=False)


@contextlib.contextmanager
def gone_at_the_end(scene: Scene) -> Iterator[Scene]:
    """The scene, and its service removed whatever became of it."""
    try:
        yield scene
    finally:
        scene.remove()
