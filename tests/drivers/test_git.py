"""A commit of a real repository on the controller: what a version means, one fetch a run, and what is told when it cannot be had."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _git, _source


class Origin:
    """A repository of the developers, with as many runs of ours as one likes; all share the user's cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "origin"
        self._git("init", "-q", "-b", "main", str(self.path), where=folder)
        self.runs = 0

    def _git(self, *words: str, where: Path | None = None) -> str:
        who = {f"GIT_{role}_{what}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = {**os.environ, **who, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        return subprocess.run(["git", *words], cwd=where or self.path, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    def git(self, *words: str) -> str:
        return self._git(*words)

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            (self.path / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "more")
        return self.git("rev-parse", "HEAD")

    def run(self) -> Path:
        self.runs += 1
        folder = self.folder / f"run{self.runs}"
        folder.mkdir()
        return folder

    def tree(self, version: str, run: Path | None = None) -> tuple[str, Path]:
        return _git.Repository(str(self.path), run or self.run(), self.folder / "cache").tree(version)

    def refused(self, version: str = "main", url: str = "") -> str:
        with pytest.raises(Refusal) as told:
            _git.Repository(url or str(self.path), self.run(), self.folder / "cache").tree(version)
        return str(told.value)


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    made = Origin(tmp_path)
    made.commit(app="one")
    return made


def test_a_version_is_a_branch_a_tag_or_a_commit(origin: Origin) -> None:
    first = origin.git("rev-parse", "HEAD")
    origin.git("tag", "-a", "v1", "-m", "annotated")
    second = origin.commit(app="two")
    origin.git("branch", "release/2")

    assert [origin.tree(version)[0] for version in ("v1", first, first[:10], "refs/tags/v1")] == [first] * 4
    assert [origin.tree(version)[0] for version in ("main", "release/2", "HEAD")] == [second] * 3
    assert (origin.tree("v1")[1] / "app").read_text() == "one"
    assert not (origin.tree("main")[1] / ".git").exists()


def test_a_tag_goes_before_a_branch_of_its_name(origin: Origin) -> None:
    first = origin.git("rev-parse", "HEAD")
    origin.git("tag", "stable")
    origin.git("branch", "stable")
    origin.git("switch", "-q", "-c", "x", "refs/heads/stable")
    origin.commit(app="two")
    origin.git("update-ref", "refs/heads/stable", "HEAD")

    assert origin.tree("stable")[0] == first


def test_a_branch_that_moved_or_was_rewritten_is_another_commit_in_the_next_run(origin: Origin) -> None:
    run = origin.run()
    before = origin.tree("main", run)[0]
    origin.git("commit", "-q", "--amend", "-m", "rewritten", "--date", "2001-01-01T00:00:00")
    after = origin.git("rev-parse", "HEAD")

    assert origin.tree("main", run)[0] == before, "all hosts of a run get the same"
    assert origin.tree("main")[0] == after != before


def test_the_hosts_of_a_run_fetch_once(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    log = origin.folder / "trace"
    monkeypatch.setenv("GIT_TRACE", str(log))
    run = origin.run()
    with ThreadPoolExecutor(5) as hosts:
        found = set(hosts.map(lambda _: origin.tree("main", run), range(5)))

    assert len(found) == 1
    assert sum("built-in: git fetch" in line for line in log.read_text().splitlines()) == 1


def test_a_commit_that_is_in_the_cache_needs_no_repository(origin: Origin) -> None:
    commit = origin.tree("main")[0]
    origin.path.rename(origin.folder / "gone")

    assert origin.tree(commit)[0] == commit
    assert "cannot fetch" in origin.refused("main")


def test_the_cache_is_only_for_its_user(origin: Origin) -> None:
    origin.tree("main")
    bare = next((origin.folder / "cache").glob("*/HEAD")).parent
    assert bare.stat().st_mode & 0o777 == 0o700
    assert bare.parent.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_a_killed_git_left_locked_is_used(origin: Origin) -> None:
    origin.tree("main")
    bare = next((origin.folder / "cache").glob("*/HEAD")).parent
    for name in ("packed-refs.lock", "refs/heads/main.lock", "HEAD.lock"):
        (bare / name).parent.mkdir(parents=True, exist_ok=True)
        (bare / name).touch()
    second = origin.commit(app="two")

    assert origin.tree("main")[0] == second


def test_a_version_that_does_not_exist_is_named(origin: Origin) -> None:
    assert origin.refused("v9") == f"bluegreen_source: the repository {origin.path} has no branch, tag or commit 'v9'."
    assert "no branch, tag or commit" in origin.refused("0" * 40)
    assert "no branch, tag or commit" in origin.refused("main:app")


def test_a_repository_that_cannot_be_reached_is_told_in_git_s_words(origin: Origin) -> None:
    told = origin.refused(url=f"{origin.folder}/none")
    assert told.startswith(f"bluegreen_source: git cannot fetch {origin.folder}/none: fatal: ")
    assert "does not appear to be a git repository" in told


def test_git_is_never_asked_to_run_a_helper_or_to_ask_a_person(origin: Origin) -> None:
    flag = origin.folder / "flag"
    assert "transport 'ext' not allowed" in origin.refused(url=f"ext::touch {flag}")
    assert not flag.exists()
    with pytest.raises(Refusal):
        origin.tree(f"--output={flag}")
    assert not flag.exists()


def test_a_controller_without_git_is_told_so(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(origin.folder))
    assert origin.refused().startswith("bluegreen_source: git is not on the controller. Install it there, or use archive or directory. In an execution env")


def test_another_repository_s_environment_does_not_disturb(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, f"{origin.folder}/elsewhere")
    assert (origin.tree("main")[1] / "app").read_text() == "one"
    assert not (origin.folder / "elsewhere").exists()


def test_what_the_repository_leaves_out_of_archives_stays_out(origin: Origin) -> None:
    origin.commit(**{".gitattributes": "tests export-ignore\n.gitattributes export-ignore\n", "tests": "x"})
    assert [entry.path for entry in _source.read(origin.tree("main")[1]).entries] == ["app"]


@pytest.fixture
def with_submodule(origin: Origin) -> Callable[[str], None]:
    def add(attributes: str) -> None:
        commit = origin.git("rev-parse", "HEAD")
        origin.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendor/lib")
        (origin.path / ".gitattributes").write_text(attributes)
        origin.git("add", ".gitattributes")
        origin.git("commit", "-q", "-m", "submodule")

    return add


def test_a_submodule_is_not_staged_as_an_empty_directory(origin: Origin, with_submodule: Callable[[str], None]) -> None:
    with_submodule("")
    assert "has the submodule vendor/lib, which is not fetched" in origin.refused()


def test_a_submodule_that_is_left_out_of_archives_is_not_missed(origin: Origin, with_submodule: Callable[[str], None]) -> None:
    with_submodule("vendor export-ignore\n")
    assert not (origin.tree("main")[1] / "vendor").exists()
