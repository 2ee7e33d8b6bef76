"""What is published: all that belongs to the collection, and nothing that lies about in somebody's working copy."""

from __future__ import annotations

import fnmatch
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.galaxy import packing
from tools.bed import ROOT

# What a user of the collection gets, of what git knows; all else is for those who work on it.
OURS = (
    *("CHANGELOG.rst", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE", "README.md", "README.zh-CN.md", "SECURITY.md"),
    *("changelogs/*", "docs/*", "examples/*", "meta/*", "playbooks/*", "plugins/*", "roles/*"),
)
NOT_OURS = ("docs/conf.py", "docs/site/*", "docs/requirements*.txt")  # with which the site is built
GALAXY_S = {"MANIFEST.json", "FILES.json"}

# Each lies in many a working copy; none is known to git.
STRAYS = (
    *("secrets.env", ".env", "vault.pass", "id_ed25519", "notes.swp", ".README.md.swp", "README.md~", "inventory", "hotswap-bluegreen-0.0.1.tar.gz"),
    *(".idea/workspace.xml", ".vscode/settings.json", ".venv/bin/python.py", "build/report.md", "node_modules/left/index.js", "tests/output/log.txt"),
    *("plugins/module_utils/__pycache__/_model.pyc", "plugins/secrets.env", "plugins/modules/.swap.py.swp", "roles/release/vault.pass"),
    *("docs/.env", "docs/page.html", "examples/php/.env", "examples/php/secrets.env", "examples/php/id_rsa", "examples/node/node_modules/left/index.js"),
    *(
        "examples/django/__pycache__/site.pyc",
        "examples/django/.venv/bin/activate.py",
        "playbooks/site.retry",
        "meta/notes.txt",
        "changelogs/.plugin-cache.yaml",
    ),
)


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed from a copy of the checkout in which all of ``STRAYS`` lie about."""
    folder = tmp_path_factory.mktemp("galaxy")
    copy = packing.export(folder / "checkout")
    for name in STRAYS:
        path = copy / name
        assert not path.exists(), f"{name} is a file of ours"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("not for others\n")
    return packing.packed(folder / "out", copy)


def is_ours(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in OURS) and not any(fnmatch.fnmatch(name, pattern) for pattern in NOT_OURS)


def test_all_that_belongs_to_the_collection_is_packed_and_nothing_else(tarball: Path) -> None:
    expected = {name for name in packing.tracked() if is_ours(name)}
    found = packing.contents(tarball) - GALAXY_S
    assert sorted(expected - found) == [], "not packed: say so in galaxy.yml (manifest)"
    assert sorted(found - expected) == [], "packed: it should not be"


def test_the_metadata_name_the_version_and_files_that_are_there(tarball: Path) -> None:
    told = packing.metadata(tarball)
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    assert (told["namespace"], told["name"], told["version"]) == ("hotswap", "bluegreen", version)
    assert tarball.name == f"hotswap-bluegreen-{version}.tar.gz"
    assert {"LICENSE", told["readme"]} <= packing.contents(tarball)


def test_no_packed_file_is_a_link_and_none_but_examples_is_a_program(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        odd = [
            member.name
            for member in archive
            if not member.isdir() and (not member.isfile() or (member.mode & 0o111 and not member.name.startswith("examples/")))
        ]
    assert odd == []
