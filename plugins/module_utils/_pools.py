# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pools a balancer needs, and their names. Pure functions: a pool is a set of member ids."""

from __future__ import annotations

import hashlib
from typing import FrozenSet, Iterable, Tuple

Pool = FrozenSet[str]


def name(members: Iterable[str]) -> str:
    """The pool's name: a digest of its sorted members, so that equal sets have equal names on every balancer."""
    return "p" + hashlib.sha256("\n".join(sorted(members)).encode()).hexdigest()[:12]


def foreseen(members: Iterable[str]) -> Tuple[Pool, ...]:
    """The pools that a release needs: all, and all without one, for each member. With these no swap needs a reload."""
    everyone = frozenset(members)
    return (everyone, *(everyone - {member} for member in sorted(everyone)))
