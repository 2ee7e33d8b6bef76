# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members are meant, and which release they come back to: pure functions of what was given and seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._history import Past, clock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, load

from . import _values

Seen = Mapping[str, Mapping[str, Any]]  # by host, what its module release_info answered


def members(given: Any, wishes: Sequence[Wish]) -> tuple[str, ...]:
    """The members that are named by host or as ``host/slot``, in the service's order."""
    every = {member.id: wish.host for wish in wishes for member in wish.members}
    names = [str(item).strip() for item in _values.listed(given or []) if str(item).strip()]
    if not names:
        raise Refusal('bluegreen_members is not set: name hosts or members, as in -e bluegreen_members="web2, web3/blue".')
    unknown = [
        f"bluegreen_members: {name} is no host of {wishes[0].service} and no member of one; {_values.unknown(name, {*every, *every.values()}, _known(every))}"
        for name in names
        if name not in every and name not in every.values()
    ]
    if unknown:
        raise Refusal("\n".join(unknown))
    return tuple(member for member, host in every.items() if member in names or host in names)


def _known(every: Mapping[str, str]) -> str:
    shown = list(every)[:20]
    return f"it has {', '.join(shown)}{' …' if len(every) > len(shown) else ''}."


def reason(given: str) -> str:
    if not given.strip():
        raise Refusal('bluegreen_reason is not set: whoever meets a drained member is told it, as in -e bluegreen_reason="disk change".')
    return given.strip()


def live(seen: Seen) -> tuple[str, str]:
    """The release that the service runs, and why it is that one: the last that was completed on any of its hosts."""
    newest = [(past.stack[-1], host) for host, answer in seen.items() for past in [load(Past, answer["past"])] if past.stack]
    if not newest:
        raise Refusal("no release was ever completed on the hosts of this service: hotswap.bluegreen.release brings the first one.")
    (release, _token, moment), host = max(newest, key=lambda found: (found[0][1], found[0][2]))
    return release, f"completed at {clock(moment)} on {host}"


def refuse_unstaged(release: str, chosen: Sequence[str], seen: Seen, roots: Mapping[str, str]) -> None:
    """:class:`Refusal` if the release is not complete where the members would take it from."""
    lacking = []
    for member in chosen:
        host, _slash, slot = member.partition("/")
        if host not in seen:
            continue
        found = seen[host]["releases"].get(release)
        if not found or f"{roots[host]}/{slot}" in found["lacking"]:
            lacking.append(member)
    if lacking:
        raise Refusal(
            f"release {release}, which the service runs, is not on {', '.join(lacking)}: run hotswap.bluegreen.release with bluegreen_release={release} "
            "for the whole service, which brings it there and leaves the member alone, then enable again. Its mark stays."
        )
