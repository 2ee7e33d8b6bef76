# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which check is due for which file, and what a checker's output says in one line. Pure."""

from __future__ import annotations

import fnmatch
import os
import re
from dataclasses import dataclass
from typing import Iterable, List, Sequence, Tuple

FILE, FILES = "{file}", "{files}"
_MANY = 200  # files that one command is given
# Compiles without a word to the disk: py_compile would leave a .pyc.
_PYTHON = """import sys
bad = 0
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file:
            compile(file.read(), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        bad = 1
        print("%s:%s: %s: %s" % (path, getattr(error, "lineno", None) or 1, type(error).__name__, getattr(error, "msg", None) or error))
sys.exit(bad)"""


@dataclass(frozen=True)
class Check:
    """A command for files whose name fits one of ``match``; ``{file}`` in it is one file, ``{files}`` are many."""

    match: Tuple[str, ...]
    command: Tuple[str, ...]


DEFAULT = (
    Check(("*.php",), ("php", "-d", "display_errors=1", "-d", "log_errors=0", "-l", FILE)),
    Check(("*.py",), ("python3", "-I", "-S", "-c", _PYTHON, FILES)),
    Check(("*.js", "*.cjs", "*.mjs"), ("node", "--check", FILE)),
    Check(("*.rb",), ("ruby", "-c", FILE)),
)


@dataclass(frozen=True)
class Due:
    """One command to run, and the files that it looks at."""

    command: Tuple[str, ...]
    files: Tuple[str, ...]


def due(paths: Iterable[str], checks: Iterable[Check]) -> List[Due]:
    """The commands that check these files. A file that two checks fit is checked by both."""
    there, found = list(paths), []
    for check in checks:
        fit = [path for path in there if any(fnmatch.fnmatch(os.path.basename(path), match) for match in check.match)]
        size = _MANY if FILES in check.command else 1
        for start in range(0, len(fit), size):
            files = tuple(fit[start : start + size])
            found.append(Due(tuple(word for part in check.command for word in _words(part, files)), files))
    return found


def _words(part: str, files: Sequence[str]) -> List[str]:
    return list(files) if part == FILES else [part.replace(FILE, files[0])]


def problem(output: str, files: Sequence[str]) -> str:
    """``file:line: message`` of what a checker said of one of these files, as far as it can be read; else its last words."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    names = "|".join(re.escape(path) for path in sorted(files, key=len, reverse=True)) or "(?!)"
    php = re.compile(rf"(?:PHP )?(?:Parse|Fatal) error: +(.*) in ({names}) on line (\d+)")
    plain = re.compile(rf"(?:\S+: )?({names}):(\d+):?(?:\d+:)? ?(.*)")
    for line in lines:
        match = php.match(line)
        if match:
            return f"{match[2]}:{match[3]}: {match[1]}"
    for line in lines:
        match = plain.match(line)
        if match:  # node tells the place first, then shows it, then says what it is
            said = match[3] or next((more for more in lines if re.match(r"\w*Error: ", more)), "")
            return f"{match[1]}:{match[2]}: {said}"
    return f"{files[0] if files else ''}: {lines[-1] if lines else 'without a word'}"
