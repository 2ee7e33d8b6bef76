"""Code from git and configuration from a template, released together and rolled back together, as a user's own play does it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools import bed as beds

SECRET = "hush-hush-4711"
TASKS: list[dict[str, Any]] = [
    {"name": "Resolve", "hotswap.bluegreen.preflight": {}},
    {"name": "Take the lock", "hotswap.bluegreen.lock": {"reason": "test"}},
    {"name": "Stage", "hotswap.bluegreen.stage": {}, "register": "staged"},
    {"name": "Show the commit", "ansible.builtin.debug": {"msg": "commit={{ staged.commit }}"}},
    {"name": "Swap", "hotswap.bluegreen.swap": {}},
    {"name": "Finish", "hotswap.bluegreen.finish": {}},
    {"name": "Release the lock", "hotswap.bluegreen.lock": {"state": "released"}},
]


@dataclass
class Shop:
    """A bed, a repository of the developers, and a play beside a template."""

    bed: beds.Bed

    @property
    def repository(self) -> Path:
        return self.bed.path / "repository"

    @property
    def folder(self) -> Path:
        return self.bed.path / "plays"

    def git(self, *words: str) -> str:
        who = {f"GIT_{role}_{what}": "t@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        return subprocess.run(["git", *words], cwd=self.repository, env={**os.environ, **who}, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, tag: str, **files: str) -> str:
        for name, text in files.items():
            (self.repository / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repository / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", tag)
        self.git("tag", tag)
        return self.git("rev-parse", "HEAD")

    def variables(self, release: str, **more: Any) -> dict[str, Any]:
        own = {
            "bluegreen_release": release,
            "bluegreen_source": {"git": str(self.repository), "version": release},
            "bluegreen_command": ["sh", "-c", f'WORD="$(cat code) $(head -n1 config/app.ini)" exec {beds.PYTHON} app.py'],
            "bluegreen_start_seconds": 0,
            "bluegreen_shared_paths": ["storage"],
            "bluegreen_config_files": [{"template": "app.ini.j2", "dest": "config/app.ini"}],
            "password": SECRET,
        }
        return {**self.bed.variables, **own, **more}

    def run(self, release: str, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return self.play(plays.book(self.folder, {"tasks": TASKS}), self.variables(release, **more), *words)

    def play(self, playbook: str, variables: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
        return plays.run(self.folder, playbook, {"app1": {}}, variables, *words, XDG_CACHE_HOME=str(self.folder / "cache"))

    def word(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.bed.port, timeout=10)
        try:
            connection.request("GET", "/")
            return str(json.loads(connection.getresponse().read())["word"])
        finally:
            connection.close()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with beds.temporary() as bed:
        made = Shop(bed)
        made.repository.mkdir()
        made.git("init", "-q", "-b", "main")
        app = (plays.APP / "app.py").read_text()
        made.commit("v1", code="one", **{"app.py": app}, **{f"lib/m{number}.py": f"print({number})\n" for number in range(30)})
        made.commit("v2", code="two", **{"lib/m3.py": "changed\n"})
        (made.folder / "templates" / "parts").mkdir(parents=True)
        (made.folder / "templates" / "app.ini.j2").write_text(
            "{% if colour %}\n{{ colour }} on {{ inventory_hostname }}\n{% endif %}\n{% include 'parts/db.j2' %}\n"
        )
        (made.folder / "templates" / "parts" / "db.j2").write_text("password={{ password }}\n")
        (made.folder / "templates" / "broken.j2").write_text("a\n{% if %}\n")
        (made.folder / "templates" / "undefined.j2").write_text("{{ {'a': 1}.nobody_set_this }}\n")
        (made.folder / "templates" / "failing.j2").write_text("{{ lookup('file', password) }}\n")
        (made.folder / "templates" / "index.j2").write_text("{{ {'a': 1}[password] }}\n")
        assert bed.playbook("hotswap.bluegreen.install").returncode == 0
        yield made


@pytest.fixture(scope="module")
def first(shop: Shop) -> subprocess.CompletedProcess[str]:
    result = shop.run("v1", colour="red")
    assert result.returncode == 0, result.stdout
    assert shop.word() == "one red on app1"
    return result


@pytest.fixture(scope="module")
def second(shop: Shop, first: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    (shop.bed.path / "srv/shared/storage/upload").write_text("picture")
    result = shop.run("v2", "-vvv", "--diff", colour="blue")
    assert result.returncode == 0, result.stdout
    assert shop.word() == "two blue on app1"
    return result


def test_the_commit_is_told_and_recorded_and_only_changed_files_travel(
    shop: Shop, first: subprocess.CompletedProcess[str], second: subprocess.CompletedProcess[str]
) -> None:
    lines = [json.loads(line) for line in (shop.bed.path / "srv/history.jsonl").read_text().splitlines()]
    for release, result in ("v1", first), ("v2", second):
        commit = shop.git("rev-parse", release)
        assert f"commit={commit}" in result.stdout
        assert json.loads((shop.bed.path / f"srv/releases/.{release}.json").read_text())["source"] == f"git:{commit}"
        assert commit in [line.get("commit") for line in lines if line.get("event") == "released" and line["release"] == release]
    assert "app1: sending release v1, copying it" in first.stdout
    assert "app1: sending release v2 (2 of 32 files), copying it" in second.stdout


def test_what_is_rendered_is_only_the_user_s_and_nowhere_to_be_read(shop: Shop, second: subprocess.CompletedProcess[str]) -> None:
    assert SECRET not in second.stdout + second.stderr
    assert (shop.bed.path / "srv/blue/v2/config/app.ini").read_text() == f"blue on app1\npassword={SECRET}\n"
    readable = [path for path in (shop.bed.path / "srv").rglob("*") if path.is_file() and path.stat().st_mode & 0o044 and SECRET in path.read_text()]
    assert readable == []


def test_what_cannot_be_staged_is_one_clear_sentence_and_nothing_is_changed(shop: Shop, second: subprocess.CompletedProcess[str]) -> None:
    def template(name: str) -> dict[str, Any]:
        return {"bluegreen_release": "v3", "bluegreen_config_files": [{"template": f"{name}.j2", "dest": "config/app.ini"}]}

    def git(url: str, version: str) -> dict[str, Any]:
        return {"bluegreen_release": "v3", "bluegreen_source": {"git": url, "version": version}}

    cases = {
        "version": git(str(shop.repository), "v9"),
        "unreachable": git("https://127.0.0.1:1/shop.git", "v1"),
        "credentials": git(f"https://me:{SECRET}@127.0.0.1:1/shop.git", "v1"),
        "absent": template("absent"),
        "undefined": template("undefined"),
        "broken": template("broken"),
        "failing": template("failing"),
        "index": template("index"),
        "other configuration": {"colour": "green"},
        "other layout": {"bluegreen_shared_paths": []},
        "climbing": {"bluegreen_release": "v3", "bluegreen_shared_paths": ["../etc"]},
        "through a file": {"bluegreen_release": "v3", "bluegreen_shared_paths": ["code/storage"]},
    }
    before, pids = plays.picture(shop.bed, folders=False), plays.pids(shop.bed)
    lock, stage = {"hotswap.bluegreen.lock": {"reason": "test"}}, {"hotswap.bluegreen.stage": {}}
    resolve = {"name": "Resolve", "hotswap.bluegreen.preflight": {}}
    playbook = plays.book(
        shop.folder, {"tasks": [resolve, {"name": "Lock", **lock}, *plays.attempts(cases, [stage]), {"hotswap.bluegreen.lock": {"state": "released"}}]}
    )
    variables = {name: value for name, value in shop.variables("v2").items() if name not in ("bluegreen_source", "bluegreen_config_files", "bluegreen_release")}
    usual = {name: shop.variables("v2")[name] for name in ("bluegreen_source", "bluegreen_config_files", "bluegreen_release")}
    book = json.loads(Path(playbook).read_text())
    book[0]["vars"] = {"colour": "blue", **usual, "bluegreen_shared_paths": variables.pop("bluegreen_shared_paths")}
    Path(playbook).write_text(json.dumps(book))
    result = shop.play(playbook, variables)

    told = plays.failures(result)
    assert set(told) == set(cases), result.stdout
    told_template = f"bluegreen_config_files: the template {shop.folder}/templates/"
    expected = {
        "version": f"bluegreen_source: the repository {shop.repository} has no branch, tag or commit 'v9'.",
        "unreachable": "bluegreen_source: git cannot fetch https://127.0.0.1:1/shop.git: fatal: unable to access",
        "credentials": "bluegreen_source: git is a URL with a user or password in it",
        "absent": "bluegreen_config_files: the template 'absent.j2' for config/app.ini is not on the controller;",
        "undefined": f"{told_template}undefined.j2 for config/app.ini cannot be rendered: ",
        "broken": f"{told_template}broken.j2 for config/app.ini cannot be rendered: line 2: Expected an expression",
        "failing": f"{told_template}failing.j2 for config/app.ini cannot be rendered: ",
        "index": f"{told_template}index.j2 for config/app.ini cannot be rendered: ",
        "other configuration": f"release v2 is already in {shop.bed.path}/srv/releases with other configuration (bluegreen_config_files).",
        "other layout": f"release v2 is already in {shop.bed.path}/srv with other bluegreen_shared_paths or bluegreen_writable_paths (shared: ",
        "climbing": "bluegreen_shared_paths, entry 1 is '../etc', which climbs out of the release;",
        "through a file": "bluegreen_shared_paths: code/storage goes through code, which is a file of the release.",
    }
    for name, sentence in expected.items():
        assert told[name].startswith(sentence), told[name]
        assert told[name].endswith("Nothing that serves was touched.")
        assert SECRET not in told[name]
    assert "nobody_set_this" in told["undefined"]
    assert "Traceback" not in result.stdout
    assert (plays.picture(shop.bed, folders=False), plays.pids(shop.bed)) == (before, pids)
    assert shop.word() == "two blue on app1"


def test_a_host_that_has_less_than_it_says_is_sent_all(shop: Shop, second: subprocess.CompletedProcess[str]) -> None:
    for release in ("v1", "v2"):
        (shop.bed.path / f"srv/releases/{release}/lib/m7.py").unlink()
    shop.commit("v3", code="three")
    keys = ("hotswap.bluegreen.preflight", "hotswap.bluegreen.lock", "hotswap.bluegreen.stage")
    result = shop.play(plays.book(shop.folder, {"tasks": [task for task in TASKS if any(key in task for key in keys)]}), shop.variables("v3", colour="blue"))

    assert result.returncode == 0, result.stdout
    assert "app1: sending release v3 (1 of 32 files), copying it" in result.stdout
    assert "app1: sending release v3, copying it" in result.stdout
    assert (shop.bed.path / "srv/green/v3/lib/m7.py").read_text() == "print(7)\n"


def test_the_old_release_brings_back_its_code_and_its_configuration(shop: Shop, second: subprocess.CompletedProcess[str]) -> None:
    result = shop.run("v1", colour="red")
    assert result.returncode == 0, result.stdout
    assert "sending" not in result.stdout
    assert shop.word() == "one red on app1"
    assert (shop.bed.path / "srv/blue/v1/storage/upload").read_text() == "picture", "what is shared is not rolled back"
