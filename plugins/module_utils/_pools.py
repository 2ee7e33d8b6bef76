# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pools a balancer needs, and their names. Pure functions: a pool is a set of member ids."""

from __future__ import annotations

import hashlib
from typing import FrozenSet, Iterable, Tuple

Pool = FrozenSet[str]
_DIGITS = 12  # hexadecimal


def name(members: Iterable[str]) -> str:
    """The pool's name: a digest of the set, so that equal sets have equal names on every balancer."""
    return changed("p" + "0" * _DIGITS, members)


def changed(pool: str, members: Iterable[str]) -> str:
    """The name of the pool with these members taken out, or, those that are not in it, put in: at their cost, not the pool's."""
    digest = int(pool[1:], 16)
    for member in members:
        digest ^= int.from_bytes(hashlib.sha256(member.encode()).digest()[: _DIGITS // 2], "big")
    return f"p{digest:0{_DIGITS}x}"


def foreseen(members: Iterable[str], batches: Iterable[Iterable[str]] = ()) -> Tuple[Pool, ...]:
    """The pools that a release needs: all, all without one, for each member, and all without each batch.

    With these no swap needs a reload.
    """
    everyone = frozenset(members)
    without = [frozenset([member]) for member in sorted(everyone)]
    without += [batch for batch in map(frozenset, batches) if batch not in without]
    return (everyone, *(everyone - leaving for leaving in without))
