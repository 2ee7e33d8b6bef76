"""The execution environment: what ansible-builder makes of its definition, and what a run says where the image lacks something.

Building the image needs a registry and a container engine, which are not here; the context is made and read.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from tests.awx.jobs import APP, PROJECT
from tools import bed as beds

DEFINITION = PROJECT / "execution-environment"
CORE = {"ansible", "ansible_core", "jinja2", "markupsafe", "yaml", "_yaml", "pyyaml", "packaging", "resolvelib"}
CORE |= {"cryptography", "cffi", "_cffi_backend", "pycparser"}


def builder(*words: str) -> str:
    command = [str(Path(beds.PYTHON).parent / "ansible-builder"), *words]
    done = subprocess.run(command, cwd=DEFINITION, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_context_of_the_image_installs_the_collection_and_asks_it_what_it_needs(tmp_path: Path) -> None:
    builder("create", "-f", "execution-environment.yml", "-c", str(tmp_path / "context"), "--output-filename", "Containerfile")
    text = (tmp_path / "context" / "Containerfile").read_text()
    galaxy = yaml.safe_load((tmp_path / "context" / "_build" / "requirements.yml").read_text())
    assert [collection["name"] for collection in galaxy["collections"]] == ["hotswap.bluegreen"]
    for piece in (
        "ansible-galaxy collection install $ANSIBLE_GALAXY_CLI_COLLECTION_OPTS -r requirements.yml",
        "introspect.py introspect",
        "ansible-core>=2.16",
    ):
        assert piece in text, piece


def test_the_collection_tells_the_builder_its_needs_and_each_is_a_requirement_of_its_tests_too() -> None:
    found = yaml.safe_load(builder("introspect", str(beds.collections_path())))
    python, system = ([line for line in found[kind] if line.endswith("# from collection hotswap.bluegreen")] for kind in ("python", "system"))
    ours = {line.split("#")[0].strip() for line in python}
    assert ours == {"requests>=2.31", "tzdata", "websocket-client>=1.2"}
    assert {line.split()[0] for line in system} == {"git", "git-core", "openssh-client", "openssh-clients"}
    known = {line.strip() for line in (beds.ROOT / "requirements-dev.txt").read_text().splitlines()}
    assert ours - {"tzdata"} <= known


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The Python of an environment with ansible-core and what that needs, and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True, timeout=60)
    libraries = next((tmp_path / "bare" / "lib").glob("python3*")) / "site-packages"
    known = Path(sysconfig.get_paths()["platlib"])
    for path in known.iterdir():
        if re.split(r"[-.]", path.name.lower())[0] in CORE:
            (libraries / path.name).symlink_to(path)
    return tmp_path / "bare" / "bin" / "python"


def test_an_image_without_an_extra_is_told_what_it_lacks_and_nothing_is_changed(bare: Path, tmp_path: Path) -> None:
    variables = {
        **APP,
        "bluegreen_service": "shop",
        "bluegreen_release": "v1",
        "bluegreen_slots": [{"name": "blue", "port": 1}, {"name": "green", "port": 2}],
        "bluegreen_source": {"git": "https://git.example.org/shop.git", "version": "v1"},
        "bluegreen_notify": [{"url": "https://chat.example.org/hook"}],
        "bluegreen_probe": [{"name": "front"}, {"name": "chat", "type": "websocket"}],
        "bluegreen_probe_url": "http://shop.example.org",
        "bluegreen_root": str(tmp_path / "srv"),
    }
    (tmp_path / "variables.json").write_text(json.dumps(variables))
    (tmp_path / "inventory").write_text(f"app1 ansible_connection=local ansible_python_interpreter={bare}\n")
    tools = tmp_path / "tools"  # without git
    tools.mkdir()
    for name in ("sh", "mkdir", "rm", "chmod", "cat", "sleep"):
        (tools / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    command = [str(bare), "-m", "ansible", "playbook", "-i", str(tmp_path / "inventory"), "hotswap.bluegreen.release", "-e", f"@{tmp_path}/variables.json"]
    done = subprocess.run(
        command,
        env=beds.environment(PATH=str(tools)), cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    for piece in (
        "bluegreen_notify needs the Python library requests on the controller",
        "requests (apt: python3-requests, pip: requests) and websocket-client (apt: python3-websocket, pip: websocket-client)",
        "bluegreen_source: git is not on the controller.",
        "In an execution environment, it belongs into the image: see the collection's meta/execution-environment.yml.",
        "Nothing was changed.",
    ):
        assert piece in done.stdout, f"{piece}\n{done.stdout}"
    assert not (tmp_path / "srv").exists()
