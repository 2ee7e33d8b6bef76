# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which release a rollback goes to, and whether it can: a pure function of what was seen of the hosts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history
from ansible_collections.hotswap.bluegreen.plugins.module_utils._history import Past
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, load

Seen = Mapping[str, Mapping[str, Any]]  # by host, what its module release_info answered


@dataclass(frozen=True)
class Choice:
    """The ``release``, and ``why`` that one. ``settled``: every member runs it, and the hosts remember it as their last completed one."""

    release: str
    why: str
    settled: bool
    since: int = 0  # the token of the run that completed it, 0 where that is not known: what migrated later was after it


def choose(seen: Seen, wanted: str = "", left_alone: Collection[str] = ()) -> Choice:
    """The release that these hosts go back to, the ``wanted`` one if it is given. :class:`Refusal` says why there is none, and what there is.

    What members run that are ``left_alone``, because somebody works on them, says nothing.
    """
    pasts = {host: load(Past, answer["past"]) for host, answer in seen.items()}
    live = {
        f"{host}/{name}": slot["release"] or slot["current"] if slot["pid"] else None
        for host, answer in seen.items()
        for name, slot in answer["state"]["slots"].items()
        if f"{host}/{name}" not in left_alone
    }
    found = _history.Target(wanted, "as bluegreen_rollback_to says") if wanted else _history.target(pasts, live)
    wrong = _unfit(found.release, seen, pasts) if found.release else found.why
    if wrong or not found.release:
        there = ", ".join(_there(seen, pasts))
        what = (
            f"Complete on these hosts, for bluegreen_rollback_to: {there}." if there else "There is no complete release on these hosts that was ever completed."
        )
        raise Refusal(f"{wrong} {what}")
    is_last = all(past.last == found.release and not past.under_way for past in pasts.values())
    tokens = [moment[0] for past in pasts.values() for moment in [past.moment(found.release)] if moment]
    return Choice(found.release, found.why, is_last and all(release == found.release for release in live.values()), min(tokens, default=0))


def _unfit(release: str, seen: Seen, pasts: Mapping[str, Past]) -> str:
    """Why the hosts cannot go to the release; '' if they can."""
    on = {host: answer["releases"].get(release) for host, answer in seen.items()}
    if not any(on.values()):
        return f"release {release} is on none of the hosts of this run."
    lacking = {host: found["lacking"] if found else ["any place"] for host, found in on.items()}
    places = [f"{host}: {', '.join(paths)}" for host, paths in lacking.items() if paths]
    if places:
        return f"release {release} is not complete, so nobody goes back to it; it is missing on {'; '.join(places)}."
    never = [host for host in seen if not _was_good(release, host, seen, pasts)]
    if never:
        failed = [f"{host}/{slot}" for host, found in on.items() if found for slot, mark in found["marks"].items() if mark == "failed"]
        how = f"failed in {', '.join(failed)}" if failed else f"was never completed on {', '.join(never)}"
        return f"release {release} {how}; a rollback goes to one that was good."
    return ""


def _was_good(release: str, host: str, seen: Seen, pasts: Mapping[str, Past]) -> bool:
    """Whether the release was completed on the host once; where its history is lost, whether it is marked so in every slot."""
    marks = seen[host]["releases"].get(release, {}).get("marks", {})
    slots = seen[host]["state"]["slots"]
    return release in pasts[host].ever_completed or (bool(slots) and all(marks.get(slot) == "good" for slot in slots))


def _there(seen: Seen, pasts: Mapping[str, Past]) -> list[str]:
    """The releases that all hosts could go to, as the first of them has them, the oldest first."""
    first: Mapping[str, Any] = next(iter(seen.values()), {"releases": {}})
    return [release for release in first["releases"] if not _unfit(release, seen, pasts)]
