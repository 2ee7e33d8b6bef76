# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host knows of a service as text for Prometheus (its exposition format, version 0.0.4). Pure.

No host name of its own and no free text is in a label: Prometheus knows the instance, and reasons change too often.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from . import _history
from ._model import Wish

GAUGE, COUNTER = "gauge", "counter"
Sample = Tuple[Dict[str, str], float]

# name → (type, help). The only list of them: rules, dashboard and page are held against it.
METRICS: Dict[str, Tuple[str, str]] = {
    "bluegreen_exporter_last_run_timestamp_seconds": (GAUGE, "When this was written."),
    "bluegreen_exporter_problems": (GAUGE, "What could not be seen of the service on this host; hotswap.bluegreen.status tells it in words."),
    "bluegreen_member_info": (GAUGE, "1 for the release that the member's process runs; empty if none does."),
    "bluegreen_member_state": (GAUGE, "1 for the state of the member's program, in supervisor's word."),
    "bluegreen_member_up": (GAUGE, "Whether the member's program runs."),
    "bluegreen_member_healthy": (GAUGE, "Whether the member answers its health path rightly."),
    "bluegreen_member_connections": (GAUGE, "Connections to the member's ports."),
    "bluegreen_member_release_timestamp_seconds": (GAUGE, "When the member's release came to serve there; 0 if not known."),
    "bluegreen_member_serving": (GAUGE, "Whether the balancer gives requests to the member."),
    "bluegreen_member_drained_timestamp_seconds": (GAUGE, "Since when the balancer gives no requests to the member; 0 while it does."),
    "bluegreen_member_maintenance_timestamp_seconds": (GAUGE, "Since when somebody works on the member; 0 if nobody does."),
    "bluegreen_swap_step_seconds": (GAUGE, "How long the step took on this host in the member's last swap."),
    "bluegreen_swap_timestamp_seconds": (GAUGE, "When this host's last step of the member's last swap ended."),
    "bluegreen_releases_total": (COUNTER, "Releases that were completed on this host."),
    "bluegreen_rollbacks_total": (COUNTER, "Rollbacks that were completed on this host."),
    "bluegreen_failures_total": (COUNTER, "Releases and rollbacks that failed, as this host remembers them."),
    "bluegreen_last_success_timestamp_seconds": (GAUGE, "When a release or rollback was last completed on this host; 0 for never."),
    "bluegreen_last_failure_timestamp_seconds": (GAUGE, "When a release or rollback last failed; 0 for never."),
    "bluegreen_last_rollback_timestamp_seconds": (GAUGE, "When a rollback was last completed on this host; 0 for never."),
    "bluegreen_last_put_back_timestamp_seconds": (GAUGE, "When a member of this host was last put back to its release of before; 0 for never."),
    "bluegreen_lock_held": (GAUGE, "Whether a run holds the service's lock. Only on the host that keeps it."),
    "bluegreen_lock_age_seconds": (GAUGE, "For how long that run has held it; 0 if none does."),
    "bluegreen_reloads_total": (COUNTER, "Reloads that brought pools of the service into this host's nginx. A swap needs none."),
}


@dataclass(frozen=True)
class Known:
    """What :func:`text` tells. ``seen`` is what :func:`_info.look` gave, ``lines`` the whole history, ``swaps`` what :mod:`._account` keeps.

    ``lock_since`` is when the run that holds the lock took it, 0 if nobody holds it, None where the lock is not kept.
    ``switched`` is when this balancer's link last moved; ``reloads`` None on a host that is no balancer.
    """

    seen: Mapping[str, Any]
    lines: Sequence[_history.Line] = ()
    swaps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lock_since: Optional[float] = None
    switched: float = 0.0
    reloads: Optional[int] = None
    problems: int = 0


def text(wish: Wish, known: Known, now: float) -> str:
    """The whole file. A metric without a sample is left out."""
    found: Dict[str, List[Sample]] = {}
    parts = (_run(known, now), _members(wish, known), _served(wish, known, now), _steps(known), _past(wish, known), _lock(known, now))
    for part in parts:
        for name, labels, value in part:
            found.setdefault(name, []).append(({"service": wish.service, **labels}, value))
    return "".join(_metric(name, found[name]) for name in METRICS if name in found)


def _metric(name: str, samples: Iterable[Sample]) -> str:
    kind, words = METRICS[name]
    rows = [f"{name}{{{','.join(f'{key}={_quoted(value)}' for key, value in labels.items())}}} {_number(value)}" for labels, value in samples]
    return "\n".join([f"# HELP {name} {words}", f"# TYPE {name} {kind}", *rows, ""])


def _quoted(value: str) -> str:
    """A label's value. What is no text (a name in another encoding) is told as such."""
    clean = value.encode("utf-8", "backslashreplace").decode("utf-8")
    return '"' + clean.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


Row = Tuple[str, Dict[str, str], float]


def _run(known: Known, now: float) -> Iterable[Row]:
    yield "bluegreen_exporter_last_run_timestamp_seconds", {}, round(now, 3)
    yield "bluegreen_exporter_problems", {}, len(known.seen["problems"]) + known.problems


def _members(wish: Wish, known: Known) -> Iterable[Row]:
    for member in wish.members:
        slot = known.seen["state"]["slots"].get(member.slot)
        if slot is None:
            continue
        labels = {"member": member.id, "slot": member.slot}
        yield "bluegreen_member_info", {**labels, "release": slot["release"] or "", "previous": slot["previous"] or ""}, 1
        yield "bluegreen_member_state", {**labels, "state": slot["state"]}, 1
        yield "bluegreen_member_up", labels, int(slot["pid"] > 0 and slot["state"] == "RUNNING")
        yield "bluegreen_member_healthy", labels, int(slot["healthy"])
        yield "bluegreen_member_connections", labels, slot["connections"] + slot["others"]
        yield "bluegreen_member_release_timestamp_seconds", labels, known.seen["since"].get(member.slot) or 0.0


def _served(wish: Wish, known: Known, now: float) -> Iterable[Row]:
    """Of the members of a balancer's pool: those of other hosts, too."""
    state = known.seen["state"]["balancer"]
    if known.reloads is not None:
        yield "bluegreen_reloads_total", {}, known.reloads
    if not state:
        return
    for member in wish.pool:
        labels = {"member": member.id, "slot": member.slot, "balancer": wish.host}
        serving, mark = member.id in state["serving"], state["maintenance"].get(member.id)
        yield "bluegreen_member_serving", labels, int(serving)
        idle = wish.flips and any(other.host == member.host and other.id in state["serving"] for other in wish.pool)
        yield "bluegreen_member_drained_timestamp_seconds", labels, 0 if serving or idle else _out_since(known, member.id, now)
        yield "bluegreen_member_maintenance_timestamp_seconds", labels, float(mark["since"]) if mark else 0


def _out_since(known: Known, member: str, now: float) -> float:
    """When the balancer's link left the member out: as the switch noted it, else the last time that the link moved at all."""
    entry = known.swaps.get(member, {})
    if entry.get("steps") and "enable" not in entry["steps"] and "switch" in entry["steps"]:
        return round(min(float(entry["began"]), now), 3)
    return round(min(known.switched or now, now), 3)


def _steps(known: Known) -> Iterable[Row]:
    for member, entry in sorted(known.swaps.items()):
        labels = {"member": member, "slot": member.partition("/")[2]}
        yield "bluegreen_swap_timestamp_seconds", labels, round(float(entry["ended"]), 3)
        for step, seconds in entry["steps"].items():
            yield "bluegreen_swap_step_seconds", {**labels, "step": step}, seconds


def _past(wish: Wish, known: Known) -> Iterable[Row]:
    """The runs that this host remembers: only one with members has a history."""
    if not wish.members:
        return
    counted = (
        ("bluegreen_releases_total", _history.RELEASED),
        ("bluegreen_rollbacks_total", _history.ROLLED_BACK),
        ("bluegreen_failures_total", _history.FAILED),
    )
    for name, event in counted:
        yield name, {}, sum(line.get("event") == event for line in known.lines)
    last = (
        ("bluegreen_last_success_timestamp_seconds", (_history.RELEASED, _history.ROLLED_BACK)),
        ("bluegreen_last_failure_timestamp_seconds", (_history.FAILED,)),
        ("bluegreen_last_rollback_timestamp_seconds", (_history.ROLLED_BACK,)),
    )
    for name, which in last:
        yield name, {}, max((float(line["time"]) for line in known.lines if line.get("event") in which), default=0)
    put_back = (float(line["time"]) for line in known.lines if line.get("result") == "put back" and line.get("slot"))
    yield "bluegreen_last_put_back_timestamp_seconds", {}, max(put_back, default=0)


def _lock(known: Known, now: float) -> Iterable[Row]:
    if known.lock_since is not None:
        yield "bluegreen_lock_held", {}, int(known.lock_since > 0)
        yield "bluegreen_lock_age_seconds", {}, round(max(0.0, now - known.lock_since), 3) if known.lock_since else 0
