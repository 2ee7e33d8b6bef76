# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which version of the collection runs, whether another one is installed beside it, and which one a host has known."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path

import yaml

_NAME = "hotswap.bluegreen"
_ROOT = Path(__file__).parents[2]


def version() -> str:
    """The version of the code that runs."""
    return _version_in(_ROOT)


@functools.lru_cache
def _version_in(folder: Path) -> str:
    """The version of the collection in ``folder``, installed or as a checkout; '' if there is none that can be read."""
    try:
        manifest = folder / "MANIFEST.json"
        if manifest.exists():
            return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
        return str(yaml.safe_load((folder / "galaxy.yml").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return ""


def others(paths: Iterable[str], mine: Path = _ROOT) -> str:
    """That the collection is on Ansible's ``paths`` in other versions, too, which one runs, and what to do; '' if it is not.

    Ansible takes the first one and says nothing.
    """
    places = [Path(path) / "ansible_collections" / "hotswap" / "bluegreen" for path in paths]
    found = {place: _version_in(place) for place in places if place.resolve() != mine.resolve()}
    differing = [f"{its} in {place}" for place, its in found.items() if its and its != _version_in(mine)]
    if not differing:
        return ""
    return (
        f"{_NAME} is installed more than once: this run uses {_version_in(mine)} in {mine}; there is also {' and '.join(differing)}. Ansible takes the first "
        "one on its path (ansible-galaxy collection list shows it). Remove the one that is not meant, or set collections_path in ansible.cfg."
    )


def newer(host: str, known: str) -> str:
    """That ``host`` was last released by a newer version, ``known``, than the one that runs; '' if it was not."""
    if not known or _order(known) <= _order(version()):
        return ""
    return (
        f"{host} was last released by {_NAME} {known}, and this run has {version()}: it may not understand all that the newer one left there. "
        f"Install {known} or a newer one on this controller: ansible-galaxy collection install '{_NAME}:>={known}'"
    )


def _order(text: str) -> tuple[tuple[int, ...], bool, str]:
    """A semantic version, to be compared: what comes before a release (1.0.0-rc1) is older than it."""
    numbers, _dash, before = text.partition("+")[0].partition("-")
    return tuple(int(number) for number in re.findall(r"\d+", numbers)), not before, before
