# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a watched directory are not looked at: patterns as in .gitignore. Pure."""

from __future__ import annotations

import itertools
import re
from typing import Iterable, List, Pattern, Tuple

# What nobody edits as code: other tools' own directories, what a program writes while it runs, and what editors leave behind.
DEFAULT = (
    *(".git", ".hg", ".svn", ".idea", ".vscode", ".DS_Store"),
    *("node_modules", "vendor", ".venv", "venv", ".tox", "__pycache__", "*.pyc", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
    *("/runtime/", "/tmp/", "/log/", "/logs/", "/var/cache/", "/storage/framework/", "/bootstrap/cache/", "*.log", "*.pid", "*.sock"),
    *("*.sw?", "*~", "4913", ".#*", "#*#", "*___jb_tmp___", "*___jb_old___", ".goutputstream-*", ".~lock.*"),
)


class Ignore:
    """The patterns, the last that fits decides. Names are relative to the watched directory, with ``/`` between.

    ``name`` fits at any depth, ``/name`` and ``a/name`` from the watched directory, ``name/`` only a directory, ``!name`` takes back what an
    earlier pattern said; ``*``, ``?``, ``[abc]`` within a name, ``**`` over directories. As in git nothing inside an ignored directory can be taken back.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        rules = [_rule(pattern) for pattern in patterns if pattern.strip("!/ ")]
        # Those that stand side by side and say the same are one expression: each entry of a large directory is held against all.
        groups = itertools.groupby(rules, key=lambda rule: rule[1:])
        self._rules: List[Tuple[Pattern[str], bool, bool]] = [
            (re.compile("|".join(f"(?:{text})" for text, _other, _other in group), re.DOTALL), back, only_folder) for (back, only_folder), group in groups
        ]

    def entry(self, name: str, folder: bool) -> bool:
        """Whether this entry is ignored, its parents apart."""
        ignored = False
        for regex, back, only_folder in self._rules:
            if (folder or not only_folder) and regex.match(name):
                ignored = not back
        return ignored

    def hides(self, name: str, folder: bool = False) -> bool:
        """Whether this entry or one of its parents is ignored."""
        parts = name.split("/")
        parents = ("/".join(parts[:number]) for number in range(1, len(parts)))
        return any(self.entry(parent, True) for parent in parents) or self.entry(name, folder)


def _rule(pattern: str) -> Tuple[str, bool, bool]:
    """The expression, whether it takes back, and whether it is for directories only."""
    back = pattern.startswith("!")
    glob = pattern[1:] if back else pattern
    only_folder, glob = glob.endswith("/"), glob.rstrip("/")
    anchored = "/" in glob
    return ("" if anchored else "(?:.*/)?") + _regex(glob.lstrip("/")) + r"\Z", back, only_folder


def _regex(glob: str) -> str:
    out, at = "", 0
    while at < len(glob):
        if glob.startswith("**/", at) and (at == 0 or glob[at - 1] == "/"):
            out, at = out + "(?:.*/)?", at + 3
        elif glob.startswith("**", at) and at + 2 == len(glob):
            out, at = out + ".*", at + 2
        elif glob[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif glob[at] == "?":
            out, at = out + "[^/]", at + 1
        elif glob[at] == "[" and glob.find("]", at + 2) > 0:
            end = glob.find("]", at + 2)
            inner = re.sub(r"([\\\[^&|~])", r"\\\1", glob[at + 1 : end].lstrip("!^"))
            out, at = out + f"(?!/)[{'^' if glob[at + 1] in '!^' else ''}{inner}]", end + 1
        elif glob[at] == "\\" and at + 1 < len(glob):
            out, at = out + re.escape(glob[at + 1]), at + 2
        else:
            out, at = out + re.escape(glob[at]), at + 1
    return out
