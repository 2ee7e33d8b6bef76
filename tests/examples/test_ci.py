"""examples/ci: the forges take the files, and their steps run as they stand on a copy of examples/molecule-of-a-user.

What cannot run here are the forges themselves: the test does what a step of theirs gets from them, environment and checkout.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.servers import Servers
from tests.docs import pages
from tests.examples.project import EXAMPLES, PATH, PLAYBOOK, local, run
from tests.scenarios import plays
from tools import bed as beds

CI = EXAMPLES / "ci"
GITHUB: dict[str, Any] = yaml.safe_load((CI / "github" / "release.yml").read_text())
GITLAB: dict[str, Any] = yaml.safe_load((CI / "gitlab" / "gitlab-ci.yml").read_text())
SECRETS = ("SSH_PRIVATE_KEY", "SSH_KNOWN_HOSTS", "VAULT_PASSWORD")


def step(job: str, name: str) -> dict[str, Any]:
    """The step of that name in GitHub's workflow."""
    (found,) = [found for found in GITHUB["jobs"][job]["steps"] if found.get("name") == name]
    return dict(found)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The reader's repository: the example with a scenario, and beside it the files of CI, in git."""
    path = tmp_path / "repository"
    shutil.copytree(EXAMPLES / "molecule-of-a-user", path, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CI / "ci", path / "ci")
    settings = ("-c", "user.name=ci", "-c", "user.email=ci@example.org", "-c", "init.defaultBranch=main", "-C", str(path))
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "The shop")):
        run("git", *settings, *words)
    return path


def script(words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A step's script, as a forge's runner starts it: bash, no terminal, no input."""
    given = {"SERVICE": GITHUB["env"]["SERVICE"], "PLAYBOOK": GITHUB["env"]["PLAYBOOK"], "PATH": f"{PATH}:{Path(PLAYBOOK).parent}", **environment}
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", words],
        cwd=folder,
        env=beds.environment(**given),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
    return path


def built(repository: Path, release: str = "v1.4.2") -> str:
    """What the build's step says of its archive: the checksum."""
    output = repository / "output"
    done = script(step("build", "Build the archive")["run"], repository, RELEASE=release, GITHUB_OUTPUT=str(output))
    assert done.returncode == 0, done.stderr
    name, _, checksum = output.read_text().strip().partition("=")
    output.unlink()
    assert name == "CHECKSUM"
    return checksum


# The files


@pytest.mark.parametrize(
    "words", [("vendor.github-workflows", "github/release.yml"), ("vendor.gitlab-ci", "--data-transform", "gitlab-ci", "gitlab/gitlab-ci.yml")]
)
def test_the_forge_takes_the_file(words: tuple[str, ...]) -> None:
    run(str(Path(beds.PYTHON).with_name("check-jsonschema")), "--builtin-schema", *words, cwd=CI)


def test_both_forges_run_the_same_commands() -> None:
    for job, name in (("plan", "Show the plan"), ("release", "Release")):
        assert GITLAB[job]["script"] == [step(job, name)["run"].removeprefix("exec ")]
        installs = [found["run"] for found in GITHUB["jobs"][job]["steps"] if str(found.get("name", "")).startswith("Install")]
        assert GITLAB[".reach"]["before_script"] == installs
    assert GITLAB["variables"] == {name: GITHUB["env"][name] for name in ("SERVICE", "PLAYBOOK")}


def test_a_release_waits_for_its_approval_and_is_never_cancelled_by_the_next() -> None:
    job = GITHUB["jobs"]["release"]
    assert job["environment"] == "production"
    assert set(job["needs"]) == {"build", "test"}
    assert job["concurrency"]["cancel-in-progress"] is False
    assert GITLAB["release"]["rules"][0]["when"] == "manual"
    assert (GITLAB["release"]["resource_group"], GITLAB["release"]["interruptible"]) == ("production", False)


def test_secrets_are_given_to_the_steps_that_need_them_and_stand_in_no_script() -> None:
    for name, job in GITHUB["jobs"].items():
        for found in job["steps"]:
            assert "${{" not in found.get("run", ""), "a name of a branch would be run as a command"
            given = [secret for secret in SECRETS if secret in found.get("env", {})]
            assert given == (list(SECRETS) if found.get("name") in ("Show the plan", "Release") else []), (name, found)


# The scripts


def test_the_same_commit_gives_the_same_archive(repository: Path) -> None:
    checksum = built(repository)
    (repository / "app" / "app.py").touch()
    assert built(repository) == checksum
    with tarfile.open(repository / "build" / "shop-v1.4.2.tar.gz") as archive:
        assert sorted(archive.getnames()) == [".", "./app.py"]


@pytest.mark.parametrize("release", ["../1", "a b", 'x"'])
def test_a_tag_that_is_no_release_ends_the_job(repository: Path, release: str) -> None:
    for words in ("ci/build.sh", "CHECKSUM=x ci/play.sh"):
        done = script(words, repository, RELEASE=release)
        assert (done.returncode, done.stderr) == (2, f"RELEASE is '{release}': letters, digits and . _ + - are expected\n")


def test_a_missing_secret_is_named(repository: Path, key: Path) -> None:
    done = script("ci/with-ssh true", repository, SSH_PRIVATE_KEY=key.read_text())
    assert done.returncode != 0
    assert "SSH_KNOWN_HOSTS" in done.stderr
    assert "VAULT_PASSWORD" in script("ci/vault-password", repository).stderr


def test_the_command_has_an_agent_with_the_key_and_neither_file_nor_variable_of_it(repository: Path, key: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    seen = repository / "seen"
    seen.write_text(
        'ssh-add -l; echo "key: ${SSH_PRIVATE_KEY-none}"; cat "$TMPDIR"/*/known_hosts\n'
        'grep -rl "PRIVATE KEY" "$TMPDIR" || echo no file; cat /proc/*/cmdline 2>/dev/null || true\n'
    )
    for private in (key.read_text(), str(key)):  # GitHub gives the text, GitLab's variable of type File a path
        done = script("ci/with-ssh sh ./seen", repository, SSH_PRIVATE_KEY=private, SSH_KNOWN_HOSTS="web1 ssh-ed25519 AAAA", TMPDIR=str(temporary))
        assert done.returncode == 0, done.stderr
        assert "ED25519" in done.stdout and "key: none" in done.stdout and "no file" in done.stdout and "web1 ssh-ed25519 AAAA" in done.stdout
        assert key.read_text().splitlines()[2] not in done.stdout
        assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])  # GitHub sends both to the step's shell, which is in the command's place by exec
def test_a_job_that_is_cancelled_waits_for_the_playbooks_own_end(repository: Path, key: Path, tmp_path: Path, sign: signal.Signals) -> None:
    ended = tmp_path / "ended"
    command = repository / "command"
    command.write_text(f"#!/bin/sh\ntrap 'echo told >{ended}; exit 7' TERM\necho started\nwhile :; do sleep 0.1; done\n")
    command.chmod(0o755)
    words = tmp_path / "step.sh"  # a file, as the forge has it
    words.write_text(step("release", "Release")["run"].replace("ci/play.sh", "./command") + "\n")
    environment = {**os.environ, "SSH_PRIVATE_KEY": key.read_text(), "SSH_KNOWN_HOSTS": "none", "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        ["bash", "-e", str(words)], cwd=repository, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what a shell begins behind an & does not hear it, nor do its children
    ) as job:  # fmt: skip
        try:
            assert job.stdout and job.stdout.readline() == "started\n"
            job.send_signal(sign)
            assert job.wait(30) == 7
        finally:
            with contextlib.suppress(ProcessLookupError):  # whatever is left of the group; the agent ends with ci/with-ssh
                os.killpg(job.pid, signal.SIGTERM)
    assert ended.read_text() == "told\n"


# The whole of it, over ssh


@pytest.fixture
def reached(repository: Path, tmp_path: Path) -> Iterator[tuple[beds.Bed, dict[str, str]]]:
    """A bed that is reached by ssh alone as web1.example.org, and the secrets of it."""
    folder = tmp_path / "servers"
    folder.mkdir()
    tmp_path.chmod(0o755)
    with Servers(folder) as servers, beds.temporary() as bed:
        here = {name: value for name, value in local(bed).items() if name != "ansible_connection"}
        here |= {"ansible_host": "127.0.0.1", "ansible_port": servers.ssh_port, "ansible_ssh_args": "-F /dev/null -o ControlMaster=no"}
        (repository / "inventory" / "hosts.yml").write_text(yaml.safe_dump({"shop": {"hosts": {"web1.example.org": here}}}))
        vault = repository / "inventory" / "group_vars" / "all.yml"
        vault.write_text("vault_shop_token: hush-hush\n")
        password = tmp_path / "password"
        password.write_text("open sesame\n")
        run(str(Path(PLAYBOOK).with_name("ansible-vault")), "encrypt", str(vault), ANSIBLE_VAULT_PASSWORD_FILE=str(password))
        host_key = " ".join((folder / "etc" / "hk.pub").read_text().split()[:2])
        yield (
            bed,
            {
                "SSH_PRIVATE_KEY": (folder / "etc" / "id").read_text(),
                "SSH_KNOWN_HOSTS": f"[127.0.0.1]:{servers.ssh_port} {host_key}",
                "VAULT_PASSWORD": "open sesame",
                "ANSIBLE_VAULT_PASSWORD_FILE": GITHUB["jobs"]["release"]["steps"][-2]["env"]["ANSIBLE_VAULT_PASSWORD_FILE"],
            },
        )


@pytest.mark.full
def test_a_tag_is_released_and_the_next_ones_plan_changes_nothing(repository: Path, reached: tuple[beds.Bed, dict[str, str]]) -> None:
    bed, secrets = reached
    stranger = {**secrets, "SSH_KNOWN_HOSTS": secrets["SSH_KNOWN_HOSTS"][:-8] + "AAAAAAAA"}
    release, plan = step("release", "Release")["run"], step("plan", "Show the plan")["run"]
    checksum = built(repository)

    refused = script(release, repository, RELEASE="v1.4.2", CHECKSUM=checksum, **stranger)
    assert refused.returncode != 0
    assert "Host key verification failed" in refused.stdout + refused.stderr

    done = script(release, repository, RELEASE="v1.4.2", CHECKSUM=checksum, **secrets)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert (repository / "build" / "report").is_dir()
    assert list((repository / "build" / "report").rglob("report.html"))

    by_hand = repository / "by-hand"
    by_hand.write_text(pages.block("examples/ci/README.md", "ci/play.sh").text)
    again = script("ci/with-ssh sh -eu ./by-hand", repository, **secrets)
    assert again.returncode == 0, again.stdout[-5000:] + again.stderr
    assert plays.changed(again) == 0

    (repository / "app" / "app.py").write_text((repository / "app" / "app.py").read_text() + "\n")
    shown = script(plan, repository, RELEASE="pr-1", CHECKSUM=built(repository, "pr-1"), **secrets)
    assert shown.returncode == 0, shown.stdout[-5000:] + shown.stderr
    assert "web1.example.org/green  start   start" in shown.stdout
    assert not list(bed.path.rglob("pr-1"))

    wrong = script(release, repository, RELEASE="pr-1", CHECKSUM="sha256:" + "0" * 64, **secrets)
    assert wrong.returncode == 2
    assert "sha256" in wrong.stdout
    assert json.loads((repository / "build" / "release.json").read_text())["bluegreen_release"] == "pr-1"
