# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it means for a release, how a service is seen: whether to wait, and why it went wrong. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ._seen import GOOD, RETURNED, Past, Replica, Seen
from ._service import Service

WAITING, DONE, FAILED = "waiting", "done", "failed"


@dataclass(frozen=True)
class Verdict:
    """``what`` is waiting, done or failed; ``text`` says so to a person; ``ours`` is whether the service is still asked for what this run wants."""

    what: str
    text: str
    ours: bool = True


def judge(service: Service, seen: Seen, since: Seen, waited: float, asked: bool = True) -> Verdict:
    """How the rollout of ``service`` goes. ``since`` is how it was seen before, ``waited`` the seconds since it was asked for.

    ``asked``: whether the engine was asked for anything new. If not, it may stand where it once went back to, and that is what is wished.
    """
    if seen.state in ("absent", "foreign"):
        return Verdict(FAILED, f"the service is {'gone' if seen.state == 'absent' else 'not ours any more'}: somebody has removed it", False)
    text = progress(service, seen)
    if seen.state == "rolled_back" and (asked or seen.release != service.release):
        return Verdict(FAILED, f"the engine has gone back to release {seen.release}: {seen.message or 'it says no more'}", False)
    if seen.state == "rolling_back":
        return Verdict(WAITING, f"the engine goes back: {seen.message or text}", False)
    if seen.release != service.release:
        known = {since.release, since.was, ""}
        return Verdict(
            FAILED if seen.release not in known or waited > _LAG else WAITING, f"somebody else has asked for release {seen.release or 'none'}", False
        )
    if seen.state == "paused":
        return Verdict(FAILED, f"the engine has paused the update: {seen.message or 'it says no more'}")
    if seen.state == "stuck":
        return Verdict(FAILED, f"the engine cannot go on: {seen.message or 'it says no more'}")
    if seen.state in ("settled", "rolled_back") and seen.healthy(service.release) >= max(seen.wanted, 1):
        return Verdict(DONE, text)
    if waited > service.patience:
        return Verdict(FAILED, f"it is not done after {waited:.0f} s: {text}")
    return Verdict(WAITING, text)


_LAG = 5.0  # seconds until an engine shows what it was asked for


def progress(service: Service, seen: Seen) -> str:
    """How far it is, in a few words."""
    new, wanted = seen.healthy(service.release), seen.wanted or service.replicas
    old = seen.healthy() - new
    starting = sum(not replica.healthy and not replica.problem for replica in seen.of(service.release))
    parts = [f"{new} of {wanted} healthy on {service.release}"]
    if starting:
        parts.append(f"{starting} starting")
    if old:
        names = sorted({replica.release or "another" for replica in seen.replicas if replica.healthy and replica.release != service.release})
        parts.append(f"{old} still on {', '.join(names)}")
    problems = sorted({replica.problem for replica in seen.of(service.release) if replica.problem})
    return ", ".join(parts) + (f"; {problems[0]}" if problems else "")


def is_back(before: Seen, seen: Seen) -> bool:
    """Whether the service is as it was before, and all of it serves."""
    return seen.release == before.release and seen.state in ("settled", "rolled_back") and seen.healthy(before.release) >= max(seen.wanted, 1)


def culprit(release: str, *looks: Seen) -> Replica | None:
    """The replica to ask why: the first one of the release with a problem, by the latest look that has one; else one that is not healthy."""
    for found in ((replica for replica in seen.of(release) if replica.problem) for seen in reversed(looks)):
        for replica in found:
            return replica
    return next((replica for seen in reversed(looks) for replica in seen.of(release) if not replica.healthy), None)


def way_back(seen: Seen, wanted: str) -> tuple[Past | None, str]:
    """The release that a rollback goes to, and why that one: the one that runs, where a rollback went there last. None with the reason why there is none."""
    others = [past for past in seen.past if past.release != seen.release]
    names = ", ".join(dict.fromkeys(past.release for past in others)) or "none"
    if wanted:
        found = next((past for past in seen.past if past.release == wanted), None)
        if found is None:
            return None, f"bluegreen_rollback_to is {wanted}, which the engine does not know (any more); it knows {names}."
        return found, "bluegreen_rollback_to says so"
    here = next((past for past in seen.past if past.release == seen.release), None)
    if here is not None and seen.pending:
        return here, f"no client has reached release {seen.pending}, which was on its way; bluegreen_rollback_to goes further"
    if here is not None and here.outcome == RETURNED:
        return here, "the last rollback went there; bluegreen_rollback_to goes further"
    found = next((past for past in others if past.outcome in (GOOD, RETURNED)), None)
    if found is None:
        return (
            None,
            f"there is no release to go back to: the engine knows {names}, and none of them ended well. bluegreen_rollback_to chooses one all the same.",
        )
    return found, f"it is the last one that ended well before {seen.release}"
