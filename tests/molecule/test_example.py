"""examples/molecule-of-a-user, played as its reader would play it: a copy, the packed collection, containers of one's own."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.molecule.test_scenarios import molecule, successful
from tools.bed import PYTHON, ROOT, environment
from tools.hosts.engine import Engine, acquire, remove
from tools.hosts.place import Place
from tools.hosts.recipe import PACKAGES

EXAMPLE = ROOT / "examples" / "molecule-of-a-user"


@pytest.fixture
def engine() -> Iterator[tuple[Engine, str]]:
    """An engine, and the name of a network in it; both are gone afterwards, with every container of the network."""
    place = Place.ours()
    engine, record = acquire(place, owner=os.getpid())
    name = f"example-{secrets.token_hex(3)}"
    try:
        for number in range(1, 128):  # fleets have taken some
            if engine.docker("network", "create", "--subnet", f"{engine.range}.{number}.0/24", name, check=False).returncode == 0:
                break
        yield engine, name
    finally:
        for container in engine.docker("ps", "-aq", "--filter", f"network={name}", check=False).stdout.split():
            engine.docker("rm", "-f", "-v", container, check=False)
        engine.docker("network", "rm", name, check=False)
        remove(engine, record)


def packed(folder: Path) -> Path:
    """The collection as it is published."""
    command = [str(Path(PYTHON).parent / "ansible-galaxy"), "collection", "build", str(ROOT), "--output-path", str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("hotswap-bluegreen-*.tar.gz"))


@pytest.mark.full
def test_the_example_works_for_its_reader(engine: tuple[Engine, str], tmp_path: Path, short_path: Path) -> None:
    docker, network = engine
    repository = tmp_path / "repository"
    shutil.copytree(EXAMPLE, repository)
    # The one thing that differs: the collection is not on a server here.
    (repository / "requirements.yml").write_text(yaml.safe_dump({"collections": [{"name": str(packed(tmp_path)), "type": "file"}]}))
    more = {"HOST_IMAGE": Place.ours().image, "HOST_NETWORK": network, "HOST_NAME": network, **({"DOCKER_HOST": docker.host} if docker.host else {})}
    status, output = molecule(short_path / "m", "test", cwd=repository, **more)
    assert status == 0, output[-6000:]
    assert successful("default", output) == ["dependency", "destroy", "create", "prepare", "converge", "idempotence", "verify", "destroy"], output[-6000:]


def test_its_image_is_made_of_what_the_image_of_the_tests_has() -> None:
    packages = re.search(r"--no-install-recommends (.*) \\", (EXAMPLE / "molecule/default/Dockerfile").read_text())
    assert packages
    assert set(packages[1].split()) <= set(PACKAGES)
