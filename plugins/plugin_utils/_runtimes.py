# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of application servers: values for what the user does not set, and commands that are known to go wrong. Pure.

docs/runtimes.md says of each value where it comes from, and a test holds that table against this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Reload

from ._rules import Problems

Words = Sequence[str]


@dataclass(frozen=True)
class Runtime:
    """``defaults`` are values of variables, without their prefix; ``command`` is how it is best started.

    ``grace`` in seconds is what the server itself gives its requests at a stop, where the command says nothing else by
    ``grace_option``. ``refused`` and ``doubtful`` are words of a command, and why.
    """

    command: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    grace: float = 0.0
    grace_option: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    doubtful: Mapping[str, str] = field(default_factory=dict)
    reload_doubt: str = ""


_LOST = "supervisor would lose it: take it out, supervisor keeps the program in the foreground."
_SWOOLE_RELOAD = (
    "USR1 brings only what the workers load after they have started; what the main program or its framework has loaded before, which is nearly all of "
    "a Hyperf application, stays old. Members of which that is seen are swapped."
)

RUNTIMES: Mapping[str, Runtime] = {
    "generic": Runtime(),
    "hyperf": Runtime(
        command="php bin/hyperf.php start",
        defaults={"stop_signal": "TERM", "stop_timeout": 30.0, "kill_as_group": True, "boot_timeout": 60.0, "reload_signal": "USR1"},
        grace=6.0,
        doubtful={"server:watch": "is for development: it restarts the server whenever a file changes."},
        reload_doubt=_SWOOLE_RELOAD,
    ),
    "swoole": Runtime(
        command="php server.php",
        defaults={"stop_signal": "TERM", "stop_timeout": 30.0, "kill_as_group": True, "reload_signal": "USR1"},
        grace=6.0,
        reload_doubt=_SWOOLE_RELOAD,
    ),
    "workerman": Runtime(
        command="php start.php start",
        defaults={"stop_signal": "TERM", "stop_timeout": 30.0, "kill_as_group": True, "reload_signal": "USR1"},
        grace=2.0,
        refused={"-d": f"makes it a daemon; {_LOST}"},
        doubtful={"-g": "waits for clients that keep their connection, without an end."},
        reload_doubt="USR1 cuts what takes longer than Worker::$stopTimeout (2 s) and clients that keep their connection: a swap loses none of them.",
    ),
    "gunicorn": Runtime(
        command="gunicorn --bind $BLUEGREEN_ADDRESS:$PORT --workers 2 app:app",
        defaults={"stop_signal": "TERM", "stop_timeout": 35.0, "kill_as_group": True, "reload_signal": "HUP"},
        grace=30.0,
        grace_option=("--graceful-timeout",),
        refused={"-D": f"makes it a daemon; {_LOST}", "--daemon": f"makes it a daemon; {_LOST}"},
        doubtful={"--reload": "is for development: a worker restarts whenever a file changes."},
    ),
    "uvicorn": Runtime(
        command="uvicorn --host $BLUEGREEN_ADDRESS --port $PORT --timeout-graceful-shutdown 25 app:app",
        defaults={"stop_signal": "TERM", "stop_timeout": 30.0, "kill_as_group": True, "reload_signal": "HUP"},
        grace_option=("--timeout-graceful-shutdown",),
        doubtful={"--reload": "is for development: the server restarts whenever a file changes."},
    ),
    "puma": Runtime(
        command="puma --bind tcp://$BLUEGREEN_ADDRESS:$PORT --workers 2 config.ru",
        defaults={"stop_signal": "TERM", "stop_timeout": 35.0, "kill_as_group": True, "reload_signal": "USR1"},
        refused={"-d": f"makes it a daemon; {_LOST}", "--daemon": f"makes it a daemon; {_LOST}"},
    ),
    "node": Runtime(
        command="node server.js",
        defaults={"stop_signal": "TERM", "stop_timeout": 35.0, "kill_as_group": True},
        doubtful={"--watch": "is for development: the server restarts whenever a file changes."},
    ),
}

PHP = frozenset({"hyperf", "swoole", "workerman"})


def defaults(name: str) -> dict[str, Any]:
    """The values that this runtime brings, by the variables' names without prefix; {} for one that nobody knows."""
    return dict(RUNTIMES[name].defaults) if name in RUNTIMES else {}


def read(values: Mapping[str, Any], problems: Problems) -> Reload:
    """How a process takes a release in place; what of the command cannot work is noted."""
    where = {str(key): str(text) for key, text in values["release_shown"].items() if text is not None}
    path = where.pop("path", "")
    problems.unless(
        set(where) in ({"header"}, {"json"}) and all(text.strip() for text in where.values()),
        f"bluegreen_release_shown has {' and '.join(sorted(where)) or 'nothing'}; header: and a name, or json: and a dotted path, is expected "
        "(and path:, where that is not bluegreen_health_path).",
    )
    problems.unless(not path or path.startswith("/"), f"bluegreen_release_shown: path is {path!r}; a path that begins with a slash is expected.")
    signal = values.get("reload_signal") or ""
    problems.unless(
        not signal or values["strategy"] != "reload" or signal != values["stop_signal"],
        f"bluegreen_reload_signal is {signal}, which is bluegreen_stop_signal, too: a reload would stop the program. Another is expected for one of them.",
    )
    return Reload(signal, values["reload_timeout"], path or values["health_path"], where)


def refuse(values: Mapping[str, Any], command: Words, problems: Problems) -> None:
    """Commands that cannot work: supervisor would not know the process, or could not end it."""
    words = _exec_of(command)
    own, rest = _split(words)
    if _program(words) == "php":
        problems.unless(
            "-S" not in own,
            "bluegreen_command runs php -S, a server for development: a stop cuts its requests, and with PHP_CLI_SERVER_WORKERS its workers keep the port. "
            "Run an application server (Swoole, Workerman, FrankenPHP, or examples/php).",
        )
    for word, why in _hits(values["runtime"], rest, lambda runtime: runtime.refused):
        problems.found.append(f"bluegreen_command: {word} {why}")


def doubts(values: Mapping[str, Any], command: Words, wish: Wish) -> Iterator[str]:
    """What is known to go wrong with the command, or with the values beside it, as a sentence each."""
    if not command:
        return
    words = _exec_of(command)
    runtime = RUNTIMES[values["runtime"]]
    yield from _of_wrappers(command, words, values)
    for word, why in _hits(values["runtime"], _split(words)[1], lambda one: one.doubtful):
        yield f"bluegreen_command: {word} {why}"
    yield from _of_grace(values, runtime, words)
    if values["runtime"] == "workerman" and wish.layout.writable:
        yield (
            "bluegreen_runtime workerman: it writes its pid file and log beside the start file, which bluegreen_writable_paths makes read-only. "
            "Set Worker::$pidFile and Worker::$logFile to a path that is the slot's own and writable."
        )
    if values["strategy"] == "reload":
        yield from _of_reload(wish, runtime, words)


def _of_wrappers(command: Words, words: Words, values: Mapping[str, Any]) -> Iterator[str]:
    """Programs between supervisor and the server: they get the signals, and it may outlive them."""
    program = _program(words)
    if program in ("npm", "yarn", "pnpm") and not values["stop_as_group"]:
        yield (
            f"bluegreen_command runs {program}, which ends at the stop and leaves node behind with the port: "
            "say what it runs instead (node server.js), or at least set bluegreen_stop_as_group."
        )
    if program in ("sh", "bash", "dash") and "-c" in words:
        yield (
            f"bluegreen_command runs {program} -c without exec: the shell gets the signals, ends at once, and leaves the server behind with the port. "
            "Write exec before the command."
        )
    if program.endswith(".sh") or (program in ("sh", "bash", "dash") and len(words) > 1 and words[1].endswith(".sh")):
        script = program if program.endswith(".sh") else words[1]
        yield f"bluegreen_command runs the script {script}: it must end with exec and the server, else the shell gets the signals in its place."


def _of_grace(values: Mapping[str, Any], runtime: Runtime, words: Words) -> Iterator[str]:
    given = _option(words, runtime.grace_option)
    grace = given if given is not None else runtime.grace
    if runtime.grace_option == ("--timeout-graceful-shutdown",) and given is None:
        yield (
            "bluegreen_runtime uvicorn: without --timeout-graceful-shutdown it waits for its requests without an end, until supervisor kills it in "
            "their midst. Give it less than bluegreen_stop_timeout."
        )
    if grace and values["stop_timeout"] <= grace:
        yield (
            f"bluegreen_stop_timeout is {values['stop_timeout']:g} s, and {values['runtime']} gives its requests {grace:g} s: supervisor would kill it before. "
            "Make bluegreen_stop_timeout larger, or the server's own time shorter."
        )


def _of_reload(wish: Wish, runtime: Runtime, words: Words) -> Iterator[str]:
    """Why a reload in place will end in a swap, or cost something."""
    if not wish.reload.signal:
        yield (
            f"bluegreen_strategy is reload, and bluegreen_runtime {wish.runtime} has no signal for it: members are swapped. "
            "Set bluegreen_reload_signal if it has one."
        )
    if runtime.reload_doubt:
        yield f"bluegreen_strategy is reload: {runtime.reload_doubt}"
    if wish.runtime == "gunicorn" and "--preload" in words:
        yield "bluegreen_command: with --preload gunicorn's new workers have the old code, so members are swapped. Take it out."
    if wish.runtime == "uvicorn":
        if _option(words, ("--workers",)) in (None, 1):
            yield "bluegreen_strategy is reload: uvicorn takes a release in place with --workers 2 or more alone; members are swapped."
        if not any("BLUEGREEN_CURRENT" in word for word in words):
            yield "bluegreen_strategy is reload: uvicorn finds new code with --app-dir $BLUEGREEN_CURRENT alone; without it members are swapped."


def _hits(name: str, words: Words, chosen: Callable[[Runtime], Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    found = chosen(RUNTIMES[name])
    return ((word, found[word]) for word in words if word in found)


def _exec_of(command: Words) -> list[str]:
    """The words of the program itself, behind ``sh -c exec``, ``env`` with variables, and the like."""
    words = list(command)
    if len(words) > 2 and _program(words) in ("sh", "bash", "dash") and words[1] == "-c" and words[2].lstrip().startswith("exec "):
        words = words[2].split()[1:]
    if words and _program(words) == "env":
        words = words[1:]
        while words and "=" in words[0]:
            words = words[1:]
    return words


def _split(words: Words) -> tuple[list[str], list[str]]:
    """PHP's own options, whose -d and -S are others than a script's; and what the server is given."""
    number = 1
    while _program(words) == "php" and number < len(words) and words[number].startswith("-"):
        number += 2 if words[number] in ("-d", "-c", "-S") else 1
    return list(words[1:number]), list(words[number:])


def _program(words: Words) -> str:
    """What is run, without its folder and version: ``php`` for ``/usr/bin/php8.2``."""
    name = PurePosixPath(words[0]).name if words else ""
    return "php" if name.startswith("php") and name[3:].replace(".", "").isdigit() else name


def _option(words: Words, names: Sequence[str]) -> float | None:
    """The number that follows an option, or stands behind its ``=``."""
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in names:
            text = value if equals else words[number + 1] if number + 1 < len(words) else ""
            try:
                return float(text)
            except ValueError:
                return None
    return None
