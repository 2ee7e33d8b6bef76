"""Galaxy's own importer takes the package in, without an error and without a warning."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.galaxy import packing
from tools.bed import BUILD

NEEDED = Path(__file__).with_name("requirements.txt")
UV = Path(sys.executable).parent / "uv"


def importer() -> Path:
    """The Python of an environment with galaxy-importer, made once in build/."""
    folder = BUILD / "galaxy-importer" / hashlib.sha256(NEEDED.read_bytes() + sys.version.encode()).hexdigest()[:12]
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        for words in (("venv", "--clear", "--python", sys.executable, str(folder)), ("pip", "install", "--python", str(python), "-r", str(NEEDED))):
            done = subprocess.run([str(UV), "-q", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600)
            assert done.returncode == 0, done.stderr
        ready.touch()
    return python


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("importer")
    return packing.packed(folder / "out", packing.export(folder / "checkout"))


# ansible-lint is a linter of ours anyway, and antsibull-docs reads the documentation of all plugins; ansible-doc once more is for test-full.
@pytest.mark.parametrize("documentation", ["False", pytest.param("True", marks=pytest.mark.full)])
def test_galaxy_takes_the_package_in_without_a_warning(tarball: Path, documentation: str, tmp_path: Path) -> None:
    python = importer()
    settings = {
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "False",
        "GALAXY_IMPORTER_RUN_ANSIBLE_DOC": documentation,
    }
    done = subprocess.run(
        [str(python), "-m", "galaxy_importer.main", str(tarball)],
        cwd=tmp_path, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Importer processing completed successfully" in done.stdout, done.stdout
    assert [line for line in done.stdout.splitlines() if line.startswith(("ERROR", "WARNING"))] == []
