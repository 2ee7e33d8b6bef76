"""examples/swarm and examples/kubernetes as they stand, played on real clusters: released, released again, back, broken.

What is the reader's own comes from extra vars: the cluster, a secret, an image of the example's Dockerfile made without a registry.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.engines import or_not_run
from tests.engines.scenario import environment
from tests.examples.project import EXAMPLES, PLAYBOOK
from tools import bed as beds
from tools.engines import images, kubernetes, swarm

pytestmark = pytest.mark.full

IMAGE = "hotswap-bluegreen-greeter"
_TIMES = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod"}


def image(example: str, release: str, broken: bool = False) -> images.Image:
    """What the example's Dockerfile says, over the base that all images of the tests share; broken, its server has a fault."""
    app = EXAMPLES / example / "app"
    lines = [line.strip() for line in (app / "Dockerfile").read_text().replace("\\\n", " ").splitlines() if line.strip()]
    said = {word: rest.strip() for word, _, rest in (line.partition(" ") for line in lines)}
    assert set(said) <= {"FROM", "COPY", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD"}
    config: dict[str, Any] = {"Env": ["PATH=/usr/sbin:/usr/bin"], "Cmd": json.loads(said["CMD"]), "User": said["USER"], "StopSignal": said["STOPSIGNAL"]}
    if "HEALTHCHECK" in said:
        options, _, test = said["HEALTHCHECK"].partition("CMD ")
        given = dict(word.removeprefix("--").split("=") for word in options.split())
        times = {docker: int(given[name].removesuffix("s")) * 10**9 for name, docker in _TIMES.items()}
        config["Healthcheck"] = {"Test": ["CMD", *json.loads(test)], **times, "Retries": int(given["retries"])}
    source, target = said["COPY"].split()
    content = (app / source).read_bytes()
    return images.Image(f"{IMAGE}:{release}", json.dumps(config), _layer(target, b"raise SystemExit('a fault')\n" if broken else content))


def _layer(target: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as layer:
        member = tarfile.TarInfo(target.lstrip("/"))
        member.size, member.mode = len(content), 0o644
        layer.addfile(member, io.BytesIO(content))
    return out.getvalue()


@dataclass
class Reader:
    """Who has copied the example and plays it."""

    folder: Path
    own: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)

    def play(self, *words: str) -> subprocess.CompletedProcess[str]:
        own = self.folder / "own.json"
        own.write_text(json.dumps({"vault_greeter_token": "hush-hush", "bluegreen_image": IMAGE, "ansible_python_interpreter": beds.PYTHON, **self.own}))
        return subprocess.run(
            [PLAYBOOK, "-i", "inventory", *words, "-e", f"@{own}"],
            cwd=self.folder,
            env={**environment(), **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def good(self, *words: str) -> str:
        done = self.play(*words)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        assert "hush-hush" not in done.stdout + done.stderr
        return done.stdout


def ask(url: str) -> str:
    """The release that answers."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.headers["X-Release"])


def walk(reader: Reader, url: str) -> None:
    """What the example's page says: two releases, status, and the way back; then one whose application ends at once."""
    reader.good("release.yml", "-e", "bluegreen_release=1.0")
    assert ask(url) == "1.0"
    reader.good("release.yml", "-e", "bluegreen_release=1.1")
    assert ask(url) == "1.1"
    status = reader.good("hotswap.bluegreen.status")
    assert "release 1.1, 3 of 3 replicas healthy" in status and "everything is as it should be" in status, status
    reader.good("hotswap.bluegreen.rollback")
    assert ask(url) == "1.0"
    broken = reader.play("release.yml", "-e", "bluegreen_release=1.2")
    assert broken.returncode != 0
    assert "a fault" in broken.stdout and "Release 1.0 serves again" in broken.stdout, broken.stdout[-4000:]
    assert ask(url) == "1.0"


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    copy = tmp_path / "copy"
    shutil.copytree(EXAMPLES / request.param, copy)
    yield copy


@pytest.mark.parametrize("folder", ["swarm"], indirect=True)
def test_the_example_of_swarm_is_released_and_goes_back(folder: Path) -> None:
    with or_not_run("examples/swarm on a Swarm", swarm.cluster()) as bed:
        bed.load(image("swarm", "1.0"), image("swarm", "1.1"), image("swarm", "1.2", broken=True), images.nginx())
        front = {"image": images.nginx().name, "publish": [{"published": 8080, "mode": "host"}]}
        own = {"ansible_connection": "local", "bluegreen_swarm": {"docker_host": bed.docker_host, "nginx": front}}
        walk(Reader(folder, own), f"http://{bed.address}:8080/")


@pytest.mark.parametrize("folder", ["kubernetes"], indirect=True)
def test_the_example_of_kubernetes_is_released_and_goes_back(folder: Path) -> None:
    with or_not_run("examples/kubernetes on a Kubernetes", kubernetes.cluster()) as bed:
        bed.load(image("kubernetes", "1.0"), image("kubernetes", "1.1"), image("kubernetes", "1.2", broken=True))
        walk(Reader(folder, {}, {"K8S_AUTH_KUBECONFIG": str(bed.kubeconfig)}), f"http://{bed.address}:30080/")
