# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service on an engine looks, for ``status.yml``: as data, as lines, and whether it is as expected. Pure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .._plain import columns, plain
from ._engine import Grip
from ._lock import words
from ._mapping import TITLES
from ._seen import Past, Replica, Seen

_AMISS = {
    "absent": "there is no service of this name",
    "foreign": "the service of this name is not one of hotswap.bluegreen's",
    "rolling": "an update goes on",
    "paused": "the engine has paused its update",
    "rolling_back": "the engine goes back",
    "rolled_back": "the engine has gone back from the last release",
    "stuck": "the engine cannot go on with its update",
}


def picture(engine: str, name: str, seen: Seen, grip: Grip) -> dict[str, Any]:
    """All that ``release_info`` returns of a service on an engine."""
    found = {
        "engine": engine,
        "service": name,
        "release": seen.release,
        "image": seen.image,
        "state": seen.state,
        "members": [_row(replica) for replica in seen.replicas if replica.healthy or not replica.problem],
        "wanted": seen.wanted,
        "lock": words(grip) if grip.holder else "",
        "history": [{"release": past.release, "image": past.image, "at": past.at, "outcome": past.outcome, "by": past.by} for past in seen.past],
        "drift": _drift(seen),
    }
    return {**found, "text": _lines(engine, found, seen)}


def unmet(found: Mapping[str, Any], release: str) -> list[str]:
    """Why it is not wholly on ``release``, a sentence each."""
    other = [] if found["release"] == release else [f"{found['service']} is asked to run {found['release'] or 'no release'}, and {release} is expected."]
    return other + [f"{text}." for text in found["drift"]]


def _row(replica: Replica) -> dict[str, Any]:
    return {
        "member": replica.name,
        "host": replica.node,
        "release": replica.release,
        "state": replica.state,
        "healthy": replica.healthy,
        "serving": replica.healthy and not replica.aside,
        "aside": replica.aside,
        "leaving": replica.leaving,
        "seen": plain(replica.problem),
        "since": replica.since,
    }


def _drift(seen: Seen) -> list[str]:
    found = [f"{_AMISS[seen.state]}{f': {plain(seen.message)}' if seen.message else ''}"] if seen.state in _AMISS else []
    if seen.state not in ("absent", "foreign") and seen.healthy(seen.release) < seen.wanted:
        found.append(f"{seen.healthy(seen.release)} of {seen.wanted} replicas are healthy on {seen.release}")
        found += [f"{replica.name}: {plain(replica.problem)}" for replica in seen.of(seen.release) if replica.problem][:3]
    return found


def _lines(engine: str, found: Mapping[str, Any], seen: Seen) -> list[str]:
    """The picture for a terminal."""
    head = f"{found['service']} on {TITLES[engine]}: release {seen.release or 'none'}, {seen.healthy(seen.release)} of {seen.wanted} replicas healthy"
    rows = [
        (
            f"  {row['member']}",
            row["host"] or "-",
            row["state"],
            row["release"] or "-",
            _clock(row["since"]),
            "aside" if row["aside"] else "ok" if row["healthy"] else "-" if row["leaving"] else "ILL",
        )
        for row in found["members"]
    ]
    lines = [head, "", *columns([("  REPLICA", "NODE", "STATE", "RELEASE", "SINCE", "HEALTH"), *rows])]
    lines += ["", "not as it should be:", *(f"  {text}" for text in found["drift"])] if found["drift"] else ["", "everything is as it should be"]
    lines += ["", f"image: {seen.image or '-'}", f"lock: {found['lock'] or 'nobody holds it'}", "history, the latest first:"]
    return [*lines, *(f"  {_past(past)}" for past in seen.past)] if seen.past else [*lines, "  nothing yet"]


def _past(past: Past) -> str:
    return f"{_clock(past.at)}  {past.release}  {past.outcome or 'not brought to its end'}{f'  by {plain(past.by)}' if past.by else ''}"


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) if moment else "-"
