# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has an end that must be waited for on Kubernetes, besides the rollout: a migration, the workers; and why a pod does not run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from time import monotonic
from typing import Any

from ._engine import Done, Refused
from ._kubernetes_api import Api
from ._kubernetes_names import Manifest, is_server, ours, search
from ._kubernetes_plan import fetching, job_name, migration
from ._kubernetes_seen import complete, hopeless, problem, pulled
from ._seen import Replica
from ._service import Service

_LINES = 20
_FETCH = 60.0  # seconds
_TAKEN = 20.0
_ASIDE = re.compile(r"^Error: \w+$|ClusterDNS")
"""Warnings that only repeat a state's name, or that every pod of a cluster without a name server has."""


def fetch(api: Api, service: Service, sleep: Callable[[float], None]) -> str:
    """Why the image cannot be had; '' if it can, or if that is not known in a minute.

    The API takes any image, and only a node's kubelet finds out: better one that nothing depends on, before the migration and the rollout.
    """
    wished = fetching(service)
    name, said = wished["metadata"]["name"], ""
    if former := api.get("Job", name):
        _away(api, former, sleep)
    api.bring(wished)
    try:
        begun = monotonic()
        while (job := api.get("Job", name)) and monotonic() < begun + _FETCH:  # there is none in a check
            pods = [one for one in _pods(api, job) if (one.get("status") or {}).get("containerStatuses")]
            if not pods and monotonic() > begun + _TAKEN:
                return ""  # a quota, or no room: no node has taken it up, and none will tell
            for one in pods:
                state, why_not = pulled(one)
                said = said if "BackOff" in why_not and said else why_not  # the first failure has the registry's words, its repetition has none
                if state:
                    return f"bluegreen_image: {service.image} cannot be had: {said.rstrip('.')}." if why_not else ""
            sleep(1.0)
        return ""
    finally:
        api.delete(wished)


def migrate(api: Api, service: Service, number: int, say: Callable[[str], None], sleep: Callable[[float], None]) -> Done:
    """The Job of a migration, to its end. One that has succeeded is not run again; one that has failed is, anew."""
    name, hook = job_name(service, number), service.migrate[number]
    job = api.get("Job", name)
    if job and _succeeded(job):
        return Done()
    if job and _failed(job):
        _away(api, job, sleep)
        job = None
    if not job:
        api.bring(migration(service, number))
    end = monotonic() + hook.timeout
    while job := api.get("Job", name):
        pods = _pods(api, job)
        if _succeeded(job):
            return Done(True, (f"Job {name}",), log=_lines(api, pods))
        lost = _failed(job) or hopeless(pods) or (f"it has not ended after {hook.timeout:g} s" if monotonic() > end else "")
        if lost:
            lines = _lines(api, pods)
            reason = next((said for said in map(problem, pods) if said), lost)
            if not _failed(job):
                api.delete(job)  # it would go on, and change the database while nobody looks any more
            raise Refused("\n".join([f"bluegreen_migrate: {hook.shown} has failed in Job {name}: {reason}.", *lines]))
        say(f"migration {number + 1}: {', '.join(str((one.get('status') or {}).get('phase')) for one in pods) or 'not started yet'}")
        sleep(1.0)
    return Done(True, (f"Job {name}",))  # a check: none was made


def _pods(api: Api, job: Manifest) -> list[Manifest]:
    """A Job's own: those of a former one of its name go a little later than it."""
    found = api.find("Pod", [f"job-name={job['metadata']['name']}"])
    return [one for one in found if any(owner.get("uid") == job["metadata"]["uid"] for owner in one["metadata"].get("ownerReferences") or ())]


def _succeeded(job: Mapping[str, Any]) -> bool:
    return int((job.get("status") or {}).get("succeeded") or 0) > 0


def _failed(job: Mapping[str, Any]) -> str:
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            return str(condition.get("message") or condition.get("reason"))
    return ""


def _away(api: Api, job: Manifest, sleep: Callable[[float], None]) -> None:
    api.delete(job)
    end = monotonic() + 60
    while monotonic() < end and (found := api.get("Job", job["metadata"]["name"])) and not found["metadata"].get("deletionTimestamp"):
        sleep(1.0)


def _lines(api: Api, pods: Sequence[Manifest]) -> tuple[str, ...]:
    return next((lines for one in pods if (lines := api.log(one["metadata"]["name"], _LINES))), ())


def follow(api: Api, service: Service, wished: Sequence[Manifest], say: Callable[[str], None], sleep: Callable[[float], None]) -> Done:
    """Workers and cron jobs as they are wished, and no others; returns when the workers run."""
    offer = api.offer()
    names = {(one["kind"], one["metadata"]["name"]) for one in wished}
    there = [
        thing
        for kind, version in (("Deployment", ""), ("DaemonSet", ""), ("CronJob", offer.cron))
        for thing in api.find(kind, search(service.name), version=version)
    ]
    stale = [thing for thing in there if not is_server(thing) and (thing["kind"], thing["metadata"]["name"]) not in names]
    done, gone = api.apply(*wished), api.delete(*(thing for thing in stale if ours(thing, service.name)))
    end = monotonic() + ceil(service.boot_timeout + service.watch + service.grace) + 30
    for one in (one for one in wished if one["kind"] != "CronJob"):
        _runs(api, one, end, say, sleep)
    return Done(done.changed or gone.changed, done.what + gone.what, done.diff)


def _runs(api: Api, wished: Manifest, end: float, say: Callable[[str], None], sleep: Callable[[float], None]) -> None:
    name = wished["metadata"]["name"]
    while (thing := api.get(wished["kind"], name, wished["apiVersion"])) and not complete(thing):
        pods = api.find("Pod", [f"{key}={value}" for key, value in wished["spec"]["selector"]["matchLabels"].items()])
        lost = hopeless(pods) or (
            f"it does not run after its time; {next((said for said in map(problem, pods) if said), 'no word about why')}" if monotonic() > end else ""
        )
        if lost:
            raise Refused("\n".join([f"{wished['kind']} {name}: {lost}.", *_lines(api, pods)]))
        say(f"{wished['kind']} {name}: not yet as wished")
        sleep(1.0)


def why(api: Api, replica: Replica) -> str:
    """What the pod's status says, and the last warnings about it, each once."""
    events = api.find("Event", fields=[f"involvedObject.name={replica.name}", "type=Warning"])
    events.sort(key=lambda one: str(one.get("lastTimestamp") or one.get("eventTime") or ""))
    said = dict.fromkeys(f"{one.get('reason', '')}: {str(one.get('message', '')).strip()}" for one in events if not _ASIDE.search(str(one.get("message", ""))))
    return "; ".join([*([replica.problem] if replica.problem else []), *[one for one in list(said)[-3:] if one != replica.problem]])
