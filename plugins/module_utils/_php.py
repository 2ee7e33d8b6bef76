# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host's PHP says of itself, asked as the service's user with the options of the service's own command."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Dict, List, Sequence, Tuple

from . import _users
from ._model import Wish

SECONDS = 5.0
_PHP = re.compile(r"php[0-9.]*\Z")
_ASK = (
    'echo json_encode(["swoole" => (string) phpversion("swoole"), "opcache" => (string) ini_get("opcache.enable_cli"), '
    '"validate" => (string) ini_get("opcache.validate_timestamps"), "file_cache" => (string) ini_get("opcache.file_cache")]);'
)
_CUTS = (6, 1)  # the first Swoole that cuts its clients at TERM in PROCESS mode


def interpreter(command: Sequence[str]) -> Tuple[str, ...]:
    """PHP and its own options, as the command has them; () where it runs something else."""
    if not command or not _PHP.match(os.path.basename(command[0])):
        return ()
    number = 1
    while number < len(command) and command[number].startswith("-"):
        number += 2 if command[number] in ("-d", "-c") else 1
    return tuple(command[:number])


def ask(php: Sequence[str], user: str) -> Dict[str, str]:
    """Versions and settings by name, {} if it cannot be asked."""
    home = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/", "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            [*php, "-r", _ASK],
            cwd="/",
            env=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
            preexec_fn=_users.dropper(user),
        )
        found = json.loads(done.stdout.decode("utf-8", "replace"))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def doubts(wish: Wish) -> List[str]:
    """What is worth a warning before a release."""
    php = interpreter(wish.program.command)
    if not php or not (wish.runtime in ("swoole", "hyperf") or wish.strategy == "reload"):
        return []
    seen = ask(php, wish.program.user)
    return [*_of_swoole(seen, wish), *(f"{text}." for text in of_opcache(seen, wish))]


def _of_swoole(seen: Dict[str, str], wish: Wish) -> List[str]:
    version = seen.get("swoole", "")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if wish.runtime not in ("swoole", "hyperf") or not numbers or numbers < _CUTS:
        return []
    return [
        f"Swoole {version} in PROCESS mode, its default, cuts every connection at the stop signal, whatever max_wait_time says: what is left when "
        "bluegreen_drain_timeout is over is lost. Use SWOOLE_BASE, or wait for the requests in beforeShutdown (docs/runtimes.md)."
    ]


def of_opcache(seen: Dict[str, str], wish: Wish) -> List[str]:
    """How OPcache keeps old code in a reload. In a swap it does not: each release has paths of its own."""
    if wish.strategy != "reload" or seen.get("opcache") in (None, "", "0"):
        return []
    kept = f" and, in {seen['file_cache']}, beyond its end" if seen.get("file_cache") else ""
    return [
        f"opcache.enable_cli is on for its PHP: files that are loaded through the link current stay as they were first seen, for all workers{kept}. "
        "Load them by realpath(getenv('BLUEGREEN_CURRENT')), or set opcache.enable_cli=0"
    ]
