# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a probe: begins, writes down each second what it has counted, ends.

``main FOLDER`` reads its settings from standard input, so that nothing of them is on a command line or a disk.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import warnings
from typing import Any, Dict, Mapping

from . import _kinds
from ._load import Load

_TICK = 0.1  # seconds


def main() -> None:
    """The whole life of the process."""
    folder = sys.argv[1]
    warnings.simplefilter("ignore")  # urllib3 warns with each connection that is not verified, as the user wished it
    settings = _kinds.loads(sys.stdin.read())
    told = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.append(True))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    load = Load(settings)
    down = load.first()
    begins = not down or settings.down == "allow"
    if begins:
        load.start()
        _write(f"{folder}/result.json", load.result())
    _write(f"{folder}/first.json", {"down": down, "begins": begins})
    if not begins:
        os._exit(0)
    last = began = time.monotonic()
    by = ""
    while not by:
        time.sleep(_TICK)
        load.watch()
        now = time.monotonic()
        by = "stop" if told else "limit" if now - began >= settings.limit else ""
        if now - last >= 1:
            last = now
            load.look()
            _write(f"{folder}/result.json", load.result())
            if settings.owner and _is_gone(settings.owner):
                shutil.rmtree(folder, ignore_errors=True)  # nobody is left to ask for it
                os._exit(0)
    load.finish()
    _write(f"{folder}/result.json", {**load.result(), "ended_by": by})
    os._exit(0)  # a thread that hangs in a library keeps nobody waiting


def _write(path: str, content: Mapping[str, Any]) -> None:
    """In one rename: whoever reads it reads all of it."""
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(f"{path}.new", path)


def _is_gone(owner: Dict[str, int]) -> bool:
    """Whether the process is no more, or its pid is another one's now."""
    try:
        os.kill(owner["pid"], 0)
        with open(f"/proc/{owner['pid']}/stat", encoding="utf-8", errors="replace") as file:
            words = file.read().rpartition(")")[2].split()
        return words[0] in "ZX" or int(words[19]) != owner["start"]
    except ProcessLookupError:
        return True
    except (OSError, ValueError, IndexError):  # it may not be asked for, or this is no Linux
        return not os.path.exists(f"/proc/{owner['pid']}") if os.path.isdir("/proc/self") else False
