"""Presets of application servers: what they bring, what wins over them, and which commands are known to go wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _php, _reload
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member, Program
from ansible_collections.hotswap.bluegreen.plugins.module_utils._program import start_script
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runtimes, _topology, _variables, _wish

ROOT = Path(__file__).resolve().parents[2]
BASE: dict[str, Any] = {
    "bluegreen_service": "shop",
    "bluegreen_release": "v1",
    "bluegreen_command": "./serve",
    "bluegreen_source": {"directory": "/srv/src"},
    "bluegreen_slots": [{"name": "blue", "port": 9501}, {"name": "green", "port": 9502}],
}


def resolved(given: Mapping[str, Any], role: str = "release") -> _wish.Resolved:
    named = {f"bluegreen_{name}": value for name, value in given.items()}
    values = _variables.collect({**BASE, **named}, lambda value: value, role)
    return _wish.resolve(values, "app1", _topology.read(values, {}, ["app1"]))


def refused(**given: Any) -> str:
    with pytest.raises(Refusal) as refusal:
        resolved(given)
    return str(refusal.value)


def doubts(**given: Any) -> str:
    return "\n".join(resolved(given).doubts)


def test_without_a_runtime_nothing_changes_and_nothing_is_doubted() -> None:
    wish = resolved({}).wish
    assert wish.program == Program(command=("./serve",), log_dir="/srv/shop/log")
    assert (wish.reload.signal, wish.reload.path, wish.reload.shown) == ("", "/health", {"header": "X-Release"})
    assert doubts() == ""


@pytest.mark.parametrize("name", _runtimes.RUNTIMES)
def test_a_preset_fills_in_what_is_not_set_and_the_user_wins(name: str) -> None:
    options = _variables.spec("release")
    for variable, value in _runtimes.defaults(name).items():
        assert f"bluegreen_{variable}" in options
        other = {"stop_signal": "INT", "reload_signal": "USR2"}.get(variable, (not value) if isinstance(value, bool) else 77)
        for role in ("release", _variables.LIVE):
            values = _variables.collect({**BASE, "bluegreen_runtime": name}, lambda given: given, role)
            assert values[variable] == value
            values = _variables.collect({**BASE, "bluegreen_runtime": name, f"bluegreen_{variable}": other}, lambda given: given, role)
            assert values[variable] == other


def test_the_program_file_is_the_same_whoever_installs_it() -> None:
    gunicorn = {"bluegreen_service": "shop", "bluegreen_runtime": "gunicorn"}
    assert _variables.collect(gunicorn, lambda value: value, "supervisor_program")["stop_timeout"] == 35


@pytest.mark.parametrize("name", _runtimes.RUNTIMES)
def test_the_command_that_a_preset_advises_is_not_doubted(name: str) -> None:
    command = _runtimes.RUNTIMES[name].command
    assert not command or doubts(runtime=name, command=command) == ""


def test_an_unknown_runtime_is_told_with_the_known_ones() -> None:
    assert refused(runtime="tomcat") == ("bluegreen_runtime is 'tomcat'; one of generic, hyperf, swoole, workerman, gunicorn, uvicorn, puma, node is expected.")


REFUSED = {
    "php's own server": ({"command": "php -S 127.0.0.1:$PORT"}, "bluegreen_command runs php -S, a server for development"),
    "and behind exec": ({"command": ["sh", "-c", "exec php8.2 -S 127.0.0.1:9501"]}, "bluegreen_command runs php -S"),
    "gunicorn as a daemon": ({"runtime": "gunicorn", "command": "gunicorn --daemon app:app"}, "bluegreen_command: --daemon makes it a daemon"),
    "puma as a daemon": ({"runtime": "puma", "command": "puma -d"}, "bluegreen_command: -d makes it a daemon"),
    "workerman as a daemon": ({"runtime": "workerman", "command": "php start.php start -d"}, "bluegreen_command: -d makes it a daemon"),
    "no place of the release": ({"release_shown": {}}, "bluegreen_release_shown has nothing; header: and a name, or json:"),
    "two places of the release": ({"release_shown": {"header": "X", "json": "a"}}, "bluegreen_release_shown has header and json;"),
    "a path that is none": ({"release_shown": {"header": "X", "path": "about"}}, "bluegreen_release_shown: path is 'about'; a path that begins with a slash"),
    "no time for a reload": ({"reload_timeout": 0}, "bluegreen_reload_timeout is 0; a positive number is expected."),
    "a signal that stops": (
        {"strategy": "reload", "runtime": "gunicorn", "stop_signal": "HUP"},
        "bluegreen_reload_signal is HUP, which is bluegreen_stop_signal, too: a reload would stop the program.",
    ),
    "another signal": ({"reload_signal": "TERM"}, "bluegreen_reload_signal is 'TERM'; one of HUP, USR1, USR2 is expected."),
    "our name": (
        {"strategy": "reload", "environment": {"BLUEGREEN_CURRENT": "/x"}},
        "bluegreen_environment: BLUEGREEN_CURRENT is set by the collection itself",
    ),
}


@pytest.mark.parametrize(("given", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_work_is_refused_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    told = refused(**given)
    assert told.startswith(sentence) and "\n" not in told


DOUBTED = {
    "npm": ({"command": "npm start"}, "bluegreen_command runs npm, which ends at the stop and leaves node behind with the port"),
    "a shell": ({"command": ["sh", "-c", "./serve; true"]}, "bluegreen_command runs sh -c without exec"),
    "a script": ({"command": "bin/start.sh"}, "bluegreen_command runs the script start.sh: it must end with exec"),
    "a script of sh": ({"command": "sh bin/start.sh"}, "bluegreen_command runs the script bin/start.sh: it must end with exec"),
    "no end of uvicorn's wait": ({"runtime": "uvicorn", "command": "uvicorn app:app"}, "bluegreen_runtime uvicorn: without --timeout-graceful-shutdown"),
    "less than gunicorn gives": (
        {"runtime": "gunicorn", "command": "gunicorn app:app", "stop_timeout": 10},
        "bluegreen_stop_timeout is 10 s, and gunicorn gives its requests 30 s",
    ),
    "less than gunicorn is told": (
        {"runtime": "gunicorn", "command": "gunicorn --graceful-timeout=90 app:app"},
        "bluegreen_stop_timeout is 35 s, and gunicorn gives its requests 90 s",
    ),
    "a server that watches": ({"runtime": "gunicorn", "command": "gunicorn --reload app:app"}, "bluegreen_command: --reload is for development"),
    "workerman's pid file": (
        {"runtime": "workerman", "command": "php start.php start", "writable_paths": ["var"]},
        "bluegreen_runtime workerman: it writes its pid file and log beside the start file",
    ),
    "no signal": ({"strategy": "reload", "runtime": "node", "command": "node x.js"}, "bluegreen_strategy is reload, and bluegreen_runtime node has no signal"),
    "loaded before": (
        {"strategy": "reload", "runtime": "gunicorn", "command": "gunicorn --preload app:app"},
        "bluegreen_command: with --preload gunicorn's new workers have the old code",
    ),
    "one process of uvicorn": (
        {"strategy": "reload", "runtime": "uvicorn", "command": "uvicorn --timeout-graceful-shutdown 9 --app-dir $BLUEGREEN_CURRENT a:b"},
        "bluegreen_strategy is reload: uvicorn takes a release in place with --workers 2 or more alone",
    ),
    "the place of uvicorn's code": (
        {"strategy": "reload", "runtime": "uvicorn", "command": "uvicorn --timeout-graceful-shutdown 9 --workers 2 a:b"},
        "bluegreen_strategy is reload: uvicorn finds new code with --app-dir $BLUEGREEN_CURRENT alone",
    ),
    "swoole's own code": ({"strategy": "reload", "runtime": "hyperf", "command": "php bin/hyperf.php start"}, "bluegreen_strategy is reload: USR1 brings only"),
}


@pytest.mark.parametrize(("given", "sentence"), DOUBTED.values(), ids=DOUBTED.keys())
def test_what_is_known_to_go_wrong_is_a_warning_of_one_sentence(given: dict[str, Any], sentence: str) -> None:
    told = doubts(**given)
    assert told.startswith(sentence) and "\n" not in told


@pytest.mark.parametrize(
    "given",
    [
        {"command": ["sh", "-c", "exec ./serve"]},
        {"command": "npm start", "stop_as_group": True},
        {"runtime": "workerman", "command": "php -d memory_limit=1G start.php start"},
        {"runtime": "gunicorn", "command": "gunicorn --graceful-timeout 5 app:app", "stop_timeout": 10},
        {"command": "env A=1 php server.php"},
    ],
)
def test_what_is_right_is_not_doubted(given: dict[str, Any]) -> None:
    assert doubts(**given) == ""


def test_the_page_tells_each_value_of_each_preset() -> None:
    """docs/runtimes.md is what the user reads; it must not say something else than what is done."""
    text = (ROOT / "docs" / "runtimes.md").read_text()
    rows = {cells[1].strip("` "): cells for line in text.splitlines() if line.startswith("| `") for cells in [line.split("|")]}
    for name, runtime in _runtimes.RUNTIMES.items():
        words = {
            variable: str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value
            for variable, value in runtime.defaults.items()
        }
        found = dict(re.findall(r"`([a-z_]+): ([A-Za-z0-9]+)`", "|".join(rows[name])))
        assert found == words, name
        assert not runtime.command or f"`{runtime.command}`" in "|".join(rows[name])


# What a start alone takes.

_WISH = Wish("shop", "app1", "/srv/shop", "v2", (), (), Program(("serve", "$PORT")), strategy="reload")
_BLUE = Member("app1", "blue", {"http": 9501})


def _start(release: str, command: tuple[str, ...] = ("serve", "$PORT"), **environment: str) -> str:
    wish = Wish("shop", "app1", "/srv/shop", release, (), (), Program(command), strategy="reload")
    return start_script(wish, _BLUE, environment, release)


def test_two_starts_that_differ_in_the_release_alone_are_alike() -> None:
    assert _reload.difference(_start("v1", TEXT="a\nexport B=1"), _start("v2", TEXT="a\nexport B=1")) == ""


def test_what_differs_is_named_and_no_value_is_told() -> None:
    assert _reload.difference(_start("v1", A="secret", C="1"), _start("v2", A="other", B="new", C="1")) == "bluegreen_environment (A, B)"
    assert _reload.difference(_start("v1"), _start("v2", ("serve", "--more"))) == "bluegreen_command"


def test_a_program_that_takes_releases_in_place_is_told_where_the_current_one_is_and_others_are_not() -> None:
    assert "export BLUEGREEN_CURRENT=/srv/shop/blue/current\nexport PWD=/srv/shop/blue/current" in _start("v1")
    assert "BLUEGREEN_CURRENT" not in start_script(Wish("shop", "app1", "/srv/shop", "v1", (), (), Program(("serve",))), _BLUE, {}, "v1")


# PHP.


@pytest.mark.parametrize(
    ("command", "php"),
    [
        ("/usr/bin/php8.2 -d opcache.enable_cli=1 server.php start -d", "/usr/bin/php8.2 -d opcache.enable_cli=1"),
        ("php server.php", "php"),
        ("phpunit x", ""),
        ("node x.js", ""),
    ],
)
def test_php_is_asked_with_its_own_options(command: str, php: str) -> None:
    assert _php.interpreter(command.split()) == tuple(php.split())


def test_only_what_concerns_the_strategy_is_said_of_opcache() -> None:
    on = {"opcache": "1", "file_cache": "/var/cache/php"}
    assert "opcache.enable_cli is on" in _php.of_opcache(on, _WISH)[0] and "/var/cache/php" in _php.of_opcache(on, _WISH)[0]
    assert _php.of_opcache({"opcache": "0"}, _WISH) == _php.of_opcache({}, _WISH) == []
    assert _php.of_opcache(on, Wish("shop", "app1", "/srv/shop", "v2", (), (), Program(("php",)))) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('echo \'{"swoole": "6.1.9", "opcache": "0"}\'', "Swoole 6.1.9 in PROCESS mode, its default, cuts every connection at the stop signal"),
        ('echo \'{"swoole": "6.0.2", "opcache": "0"}\'', ""),
        ('echo \'{"swoole": ""}\'', ""),
        ("echo no JSON", ""),
        ("exit 1", ""),
    ],
)
def test_the_hosts_php_is_asked_for_its_swoole(tmp_path: Path, answer: str, said: str) -> None:
    php = tmp_path / "php8.2"
    php.write_text(f'#!/bin/sh\n[ "$1 $2 $3" = "-d a=1 -r" ] && {answer}\n')
    php.chmod(0o755)
    found = _php.doubts(Wish("shop", "app1", "/srv/shop", "v2", (), (), Program((str(php), "-d", "a=1", "server.php")), runtime="swoole"))
    assert [text.startswith(said) for text in found] == [True] * bool(said)


def test_a_host_without_php_and_a_service_without_swoole_have_nothing_to_say() -> None:
    wish = Wish("shop", "app1", "/srv/shop", "v2", (), (), Program(("/nowhere/php", "server.php")), runtime="swoole")
    assert _php.doubts(wish) == []
    assert _php.interpreter(()) == ()
