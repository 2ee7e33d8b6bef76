"""Any value reaches the process as it was written, through Ansible, our files, sh and supervisord; a release's own command is its own."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools import bed as beds

ENVIRONMENT: dict[str, Any] = {
    "PERCENT": "100% %(ENV_HOME)s %% %n",
    "QUOTES": """it's "so" `date` $(id) 'x' """,
    "COMMAS": "a,b;c ; d #e # f",
    "NEWLINES": "one\ntwo\n\nfour\n",
    "RETURN": "a\rb",
    "TABS": "\ta\t",
    "BACKSLASHES": "C:\\new\\table \\\\ \\",
    "DOLLARS": "$HOME ${PATH} $$ $PORT ${BLUEGREEN_SLOT}",
    "UTF8": "Grüße, 世界 🌍",
    "BLANKS": "  both ends  ",
    "EMPTY": "",
    "EQUALS": "a=b=c",
    "OPERATORS": "& && | > < * ? ~ ! [a] (b) {c}",
    "DASHES": "--option -",
    "LONG": "x" * 20_000,
    "NUMBER": 7,
    "lower_case": "kept",
}
WORDS = [
    *("--quotes", """it's "so" `date` $(id)""", "--percent", "100% %(program_name)s", "--comma", "a,b;c #d", "--lines", "one\ntwo\n"),
    *("--backslash", "C:\\new \\", "--utf8", "Grüße 🌍", "  both ends  ", "", "&&", ">", "*", "~", "-"),
    *("$HOME", "${PATH}", "$", "$$", "$$PORT", "a$b"),
]
# Only what the collection exports is put in, and $$ is a dollar sign.
WRITTEN = ["$" if word == "$$" else "$PORT" if word == "$$PORT" else word for word in WORDS]


@pytest.fixture(scope="module")
def bed() -> Iterator[beds.Bed]:
    with beds.temporary() as bed:
        done = plays.run(bed.path / "plays", "hotswap.bluegreen.install", {"app1": {}}, bed.variables)
        assert done.returncode == 0, done.stdout + done.stderr
        yield bed


@pytest.fixture(scope="module")
def source() -> Iterator[Path]:
    """A release that has its commands in itself, as PHP's ``bin`` or a virtual environment does."""
    with tempfile.TemporaryDirectory(prefix="bg-") as folder:
        for place in ("bin/server", "venv/bin/serve"):
            path = Path(folder, place)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#!{beds.PYTHON}\n{(plays.APP / 'app.py').read_text()}")
            path.chmod(0o755)
        yield Path(folder)


def release(bed: beds.Bed, name: str, source: Path, command: Any, environment: dict[str, Any]) -> None:
    variables = {
        **bed.variables,
        **plays.RELEASE,
        "bluegreen_release": name,
        "bluegreen_source": {"directory": str(source)},
        "bluegreen_command": command,
        "bluegreen_environment": environment,
    }
    done = plays.run(bed.path / "plays", "hotswap.bluegreen.release", {"app1": {}}, variables)
    assert done.returncode == 0, done.stdout + done.stderr


def strings(bed: beds.Bed, slot: str, name: str) -> list[str]:
    """The zero-terminated strings of /proc/<pid>/``name`` of the slot's process."""
    pid = plays.pids(bed)[f"shop-{slot}"].rstrip(",")
    return Path(f"/proc/{pid}/{name}").read_bytes().decode().split("\0")[:-1]


def environment(bed: beds.Bed, slot: str) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in strings(bed, slot, "environ"))


def folder(bed: beds.Bed, slot: str) -> str:
    pid = plays.pids(bed)[f"shop-{slot}"].rstrip(",")
    return str(Path(f"/proc/{pid}/cwd").readlink())


@pytest.fixture(scope="module")
def as_list(bed: beds.Bed, source: Path) -> beds.Bed:
    """A release whose command is a list of words."""
    release(bed, "v1", source, ["bin/server", *WORDS, "$PORT", "at-${BLUEGREEN_SLOT}"], ENVIRONMENT)
    return bed


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_value_of_the_environment_reaches_the_process_as_written(name: str, as_list: beds.Bed) -> None:
    for slot in ("blue", "green"):
        assert environment(as_list, slot)[name] == str(ENVIRONMENT[name])


def test_the_process_knows_its_place(as_list: beds.Bed) -> None:
    for slot, port in (("blue", as_list.blue), ("green", as_list.green)):
        seen = environment(as_list, slot)
        assert (seen["PORT"], seen["PORT_HTTP"], seen["BLUEGREEN_SERVICE"]) == (str(port), str(port), "shop")
        assert (seen["BLUEGREEN_SLOT"], seen["BLUEGREEN_RELEASE"]) == (slot, "v1")


def test_the_words_of_a_command_reach_the_process_as_written(as_list: beds.Bed) -> None:
    for slot, port in (("blue", as_list.blue), ("green", as_list.green)):
        assert strings(as_list, slot, "cmdline")[2:] == [*WRITTEN, str(port), f"at-{slot}"]


def test_a_relative_command_is_the_releases_own(as_list: beds.Bed) -> None:
    for slot in ("blue", "green"):
        assert strings(as_list, slot, "cmdline")[1] == "bin/server"
        assert folder(as_list, slot) == f"{as_list.path}/srv/{slot}/v1"


def test_a_command_as_text_is_split_as_a_shell_splits_words_and_nothing_else(as_list: beds.Bed, source: Path) -> None:
    words = [word for word in WORDS if word not in ("&&", ">")]  # in a text they would be meant for a shell, and are refused
    release(as_list, "v2", source, shlex.join(["venv/bin/serve", *words]), {})

    for slot in ("blue", "green"):
        assert strings(as_list, slot, "cmdline")[1:] == ["venv/bin/serve", *(word for word in WRITTEN if word not in ("&&", ">"))]
        assert folder(as_list, slot) == f"{as_list.path}/srv/{slot}/v2"
        assert not ENVIRONMENT.keys() & environment(as_list, slot).keys(), "the environment of v1 went with it"
