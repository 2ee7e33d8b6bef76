"""The published package on a user's machine: from an empty directory, read-only, without a home; in two versions at once."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.galaxy import packing
from tests.scenarios import plays
from tools import bed as beds

NEWER = "99.0.0"
_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR")


@dataclass
class User:
    """Somebody with an empty directory, the collection from the package in ``place``, and a host."""

    bed: beds.Bed
    folder: Path
    place: Path
    newer: Path

    def run(self, playbook: str, *paths: Path, release: str = "v1") -> subprocess.CompletedProcess[str]:
        """Run a playbook of the collection as it is installed in the first of ``paths``."""
        project = self.folder / "project"
        project.mkdir(exist_ok=True)
        variables = {**self.bed.variables, **plays.RELEASE, "bluegreen_release": release, "ansible_connection": "local"}
        (project / "inventory.yml").write_text(json.dumps({"all": {"hosts": {"web1": {**variables, "ansible_python_interpreter": beds.PYTHON}}}}))
        settings = {
            **{name: value for name, value in os.environ.items() if name in _KEPT},
            "HOME": "/dev/null/home",  # not even root can write there
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_REMOTE_TMP": str(self.folder / "remote"),
            "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(map(str, paths or (self.place,))),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "1000",
        }
        command = [str(Path(beds.PYTHON).parent / "ansible-playbook"), "-i", "inventory.yml", f"hotswap.bluegreen.{playbook}"]
        return subprocess.run(command, cwd=project, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)

    def answer(self) -> str:
        with urllib.request.urlopen(f"{self.bed.url}/", timeout=10) as answer:
            return str(json.load(answer)["release"])

    def history(self) -> list[dict[str, object]]:
        lines = map(json.loads, (self.bed.path / "srv" / "history.jsonl").read_text().splitlines())
        return [line for line in lines if "event" in line]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder = tmp_path_factory.mktemp("user")
    copy = packing.export(folder / "checkout")
    place = packing.installed(packing.packed(folder / "out", copy), folder / "old")
    packing.export(copy, version=NEWER)
    newer = packing.installed(packing.packed(folder / "newer", copy), folder / "new")
    installed = sorted((folder / "old").rglob("*"), reverse=True)
    for path in installed:
        path.chmod(path.stat().st_mode & ~0o222)
    with beds.temporary() as bed:
        yield User(bed, folder, place, newer)
    for path in installed:
        path.chmod(path.stat().st_mode | 0o200)


def tree(place: Path) -> dict[str, int]:
    """The installed files, without Python's caches: a root can write to what is read-only, so it is seen that nobody did."""
    return {str(path): path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file() and path.parent.name != "__pycache__"}


def test_from_an_empty_directory_it_installs_and_releases(user: User) -> None:
    before = tree(user.place)
    for playbook in ("install", "release"):
        done = user.run(playbook)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stderr and "DEPRECATION" not in done.stderr, done.stderr
    assert user.answer() == "v1"
    assert tree(user.place) == before
    assert [path.name for path in (user.folder / "project").iterdir()] == ["inventory.yml"]


def test_the_history_says_which_version_of_the_collection_it_was(user: User) -> None:
    own = json.loads((user.place / "ansible_collections/hotswap/bluegreen/MANIFEST.json").read_text())["collection_info"]["version"]
    assert [(line["release"], line["collection"]) for line in user.history()] == [("v1", own)]


def test_of_two_versions_the_first_is_used_and_both_are_named_once(user: User) -> None:
    done = user.run("release", user.newer, user.place, release="v2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert user.answer() == "v2"
    (told,) = [line for line in done.stderr.splitlines() if "installed more than once" in line]
    used, _also, rest = told.partition("; there is also ")
    assert f"this run uses {NEWER} in {user.newer}/" in used
    assert f" in {user.place}/" in rest
    assert user.history()[-1]["collection"] == NEWER


def test_an_older_version_warns_on_a_host_that_a_newer_one_released(user: User) -> None:
    done = user.run("release", release="v2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"web1 was last released by hotswap.bluegreen {NEWER}, and this run has " in done.stderr
    assert "installed more than once" not in done.stderr
    assert plays.changed(done) == 0
