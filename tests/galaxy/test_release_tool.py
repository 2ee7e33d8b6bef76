"""tools/release.py in a clone of its own: a version with changelog, tag and package; what stands against one is told, and nothing is changed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.docs import pages
from tests.galaxy import packing
from tools import release
from tools.bed import PYTHON

WHO = {f"GIT_{role}_{what}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(clone: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=clone, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with what this checkout has now."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in WHO.items():
            patch.setenv(name, value)
        folder = packing.export(tmp_path_factory.mktemp("original") / "repository")
        (folder / "changelogs" / "fragments" / "9999-test.yml").write_text("bugfixes:\n  - A thing was mended.\n")
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "as it is")
        return folder


@pytest.fixture
def clone(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of it, in which make test-full has passed."""
    for name, value in WHO.items():
        monkeypatch.setenv(name, value)
    return cloned(original, tmp_path / "clone")


@pytest.fixture(scope="module")
def shared(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a clone, for what changes nothing."""
    return cloned(original, tmp_path_factory.mktemp("shared") / "clone")


def cloned(original: Path, folder: Path) -> Path:
    subprocess.run(["git", "clone", "-q", str(original), str(folder)], check=True, stdin=subprocess.DEVNULL)
    tested(folder)
    return folder


def tested(clone: Path, **other: object) -> None:
    (clone / "build").mkdir(exist_ok=True)
    about = {"commit": git(clone, "rev-parse", "HEAD"), "modified": False, "passed": 9, "failed": 0, **other}
    (clone / "build" / "test-full.json").write_text(json.dumps(about))


def told(capsys: pytest.CaptureFixture[str], clone: Path, *words: str) -> list[str]:
    """What it says instead of making a version. The clone is as it was."""
    before = (git(clone, "rev-parse", "HEAD"), git(clone, "status", "--porcelain"), git(clone, "tag"))
    assert release.main(list(words), clone) == 1
    assert (git(clone, "rev-parse", "HEAD"), git(clone, "status", "--porcelain"), git(clone, "tag")) == before
    return capsys.readouterr().err.splitlines()


def follow(clone: Path, block: pages.Block) -> list[str]:
    """Run the commands of the page in the clone, as its reader would: the lines that they print."""
    (clone / ".git" / "info" / "exclude").write_text("/.venv\n/build\n/dist\n")
    if not (clone / ".venv").exists():
        (clone / ".venv").symlink_to(Path(PYTHON).parents[1])
    done = subprocess.run(["sh", "-ec", block.text], cwd=clone, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_version_has_its_number_its_changelog_its_tag_and_its_package(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    would, done = follow(clone, pages.block("docs/releasing.md", "--dry-run"))
    assert would.startswith("would set version: 0.2.0 in galaxy.yml")
    assert done.startswith("v0.2.0 is made.")
    assert "\nversion: 0.2.0\n" in (clone / "galaxy.yml").read_text()
    changelog = (clone / "CHANGELOG.rst").read_text()
    assert "v0.2.0" in changelog and "A thing was mended." in changelog
    assert list((clone / "changelogs" / "fragments").glob("*.yml")) == []
    assert (git(clone, "status", "--porcelain"), git(clone, "describe", "--exact-match")) == ("", "v0.2.0")
    (clone / "roles" / "release" / "stray.yml").write_text("not known to git\n")
    (line,) = follow(clone, pages.block("docs/releasing.md", "--pack"))
    package = clone / line
    assert packing.metadata(package)["version"] == "0.2.0"
    assert {"CHANGELOG.rst", "changelogs/changelog.yaml"} <= packing.contents(package)
    assert "roles/release/stray.yml" not in packing.contents(package)
    (clone / "roles" / "release" / "stray.yml").unlink()
    assert told(capsys, clone, "0.2.0", "--untested", "a test")[0].startswith("0.2.0 does not come after 0.2.0, which was released")


def test_a_dry_run_says_what_it_would_do_and_does_nothing(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = git(shared, "rev-parse", "HEAD")
    assert release.main(["0.2.0", "--dry-run"], shared) == 0
    assert "would set version: 0.2.0 in galaxy.yml" in capsys.readouterr().out
    assert (git(shared, "rev-parse", "HEAD"), git(shared, "tag"), git(shared, "status", "--porcelain")) == (before, "", "")


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("0.0.9", "0.0.9 does not come after 0.1.0, which galaxy.yml has: choose a higher one."),
        ("0.2", "0.2 is not a version; three numbers such as 0.2.0 are expected."),
        ("v0.2.0", "v0.2.0 is not a version; three numbers such as 0.2.0 are expected."),
        ("00.2.0", "00.2.0 is not a version; three numbers such as 0.2.0 are expected."),
    ],
)
def test_a_number_that_does_not_rise_or_is_none_is_refused(shared: Path, capsys: pytest.CaptureFixture[str], version: str, sentence: str) -> None:
    assert told(capsys, shared, version) == [sentence, "Nothing was changed."]


def test_all_that_stands_against_it_is_told_at_once(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(clone, "tag", "v0.2.0")
    for path in (clone / "changelogs" / "fragments").iterdir():
        path.unlink()
    (clone / "build" / "test-full.json").unlink()
    dirty, tag, fragments, tests, last = told(capsys, clone, "0.2.0")
    assert dirty.startswith("the working copy is not clean (changelogs/fragments/") and dirty.endswith("…): commit or remove that.")
    assert tag == "the tag v0.2.0 exists: a version is made once. Choose the next one."
    assert fragments.startswith("changelogs/fragments is empty")
    assert tests.startswith("make test-full has not passed on this commit (")
    assert last == "Nothing was changed."


@pytest.mark.parametrize("other", [{"failed": 1}, {"commit": "of yesterday"}, {"modified": True}, {"passed": 0}])
def test_tests_that_failed_or_were_of_another_commit_are_none(shared: Path, capsys: pytest.CaptureFixture[str], other: dict[str, object]) -> None:
    tested(shared, **other)
    assert told(capsys, shared, "0.2.0")[0].startswith("make test-full has not passed on this commit")


def test_a_tag_that_is_not_what_the_files_say_is_not_published(shared: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = told(capsys, shared, "--check", "v0.3.0", "--pack", str(tmp_path / "dist"))
    assert lines[0] == "the tag is v0.3.0, and galaxy.yml has version 0.1.0; the tag of that is v0.1.0."
    assert lines[1].startswith("changelogs/changelog.yaml has no release 0.1.0")
    assert not (tmp_path / "dist").exists()


def test_neither_or_both_of_version_and_check_is_a_mistake(shared: Path) -> None:
    for words in ([], ["0.2.0", "--check", "v0.2.0"], ["0.2.0", "--pack", os.devnull]):
        with pytest.raises(SystemExit):
            release.main(words, shared)
