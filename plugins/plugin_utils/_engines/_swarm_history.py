# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Swarm keeps of a service for us, in configs that no task gets: the records of its releases, and its lock.

A config cannot be changed, and of two who create one of a name only one succeeds. So a record of which more is known is
another config, made before the former one goes; and who writes the lock does so under the number after the one he saw.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import _swarm_look as look
from . import _swarm_names as names
from ._engine import Done, Grip
from ._seen import GOOD, LEFT, RETURNED, Past
from ._swarm_docker import Docker

Thing = dict[str, Any]


class History:
    """The records and the lock of a service, and all else that has its label: asked for once until something is written."""

    def __init__(self, docker: Docker, service: str, clock: Callable[[], float]) -> None:
        self._docker, self._service, self._clock = docker, service, clock
        self._things: list[Thing] | None = None

    def things(self) -> list[Thing]:
        """Services, configs, secrets and networks of ours."""
        if self._things is None:
            self._things = self._docker.things(f"{names.SERVICE}={self._service}")
        return self._things

    def forget(self) -> None:
        """Something was written: the next one asks again."""
        self._things = None

    def thing(self, kind: str, name: str) -> Thing | None:
        return next((thing for thing in self.things() if thing["kind"] == kind and thing["Name"] == name), None)

    def has(self, kind: str, name: str) -> bool:
        return self.thing(kind, name) is not None

    def past(self) -> tuple[Past, ...]:
        return look.past(self._records())

    def find(self, release: str, mark: str = "") -> dict[str, Any] | None:
        """What a release was, as the modules are told it. Without a mark: as it was when it was last good, else as it was last wished."""
        best = self._best(release, mark)
        return self._read(best) if best else None

    def write(self, args: Mapping[str, Any], workers: list[Mapping[str, Any]]) -> None:
        """A release is wished: on record before it is asked for, so that no interruption loses it."""
        labels = args["labels"]
        latest = next(iter(self._records()), None)
        if not latest or latest["Labels"].get(names.MARK) != labels[names.MARK] or latest["Labels"].get(names.OUTCOME):
            self._write({"service": dict(args), "workers": workers}, {key: labels[key] for key in (names.RELEASE, names.MARK)}, args["image"])

    def mark(self, release: str, outcome: str, by: str) -> None:
        """Note how the release ended, in the place of all former notes of this description of it."""
        record = self._best(release) if outcome in (RETURNED, LEFT) else next(iter(self._of(release)), None)
        if not record:
            return
        found, labels = self._read(record), record["Labels"]
        if not found:
            return
        former = [one["ID"] for one in self._records() if one["Labels"].get(names.MARK) == labels.get(names.MARK)]
        kept = {key: labels[key] for key in (names.RELEASE, names.MARK) if key in labels}
        self._write(found, {**kept, names.OUTCOME: outcome, names.BY: by}, labels.get(names.IMAGE, ""))
        self._remove("config", former)

    def prune(self, keep: int, current: Mapping[str, Any] | None) -> Done:
        """Only what the latest releases need stays, and what the services are made of now."""
        releases = [past.release for past in self.past()]
        in_use = ((current or {}).get("Spec") or {}).get("Labels", {}).get(names.MARK)
        kept: list[Thing] = []
        gone: list[Thing] = []
        for record in self._records():
            labels = record["Labels"]
            stays = labels[names.RELEASE] in releases[: max(keep, 1)] or labels.get(names.MARK) == in_use
            (kept if stays else gone).append(record)
        alive = {record["Labels"][names.RELEASE] for record in kept}
        services = [thing for thing in self.things() if thing["kind"] == "service"]
        jobs = [thing for thing in services if thing["Labels"].get(names.PART) == "migration" and thing["Labels"].get(names.RELEASE) not in alive]
        staying = [thing["ID"] for thing in services if thing not in jobs]
        needed = set(_mounted([*self._read_all(kept), *(found["Spec"] for found in self._docker.inspect("service", *staying))]))
        removed = self._remove("service", [thing["ID"] for thing in jobs])  # first: what they have been given cannot go before them
        removed += self._remove("config", [record["ID"] for record in gone])
        for kind in ("config", "secret"):
            ids = [
                thing["ID"]
                for thing in self.things()
                if thing["kind"] == kind and thing["Labels"].get(names.PART) in ("file", "front") and thing["Name"] not in needed
            ]
            removed += self._remove(kind, ids)
        return Done(bool(removed), tuple(removed))

    def grip(self) -> Grip:
        """The latest config of the lock. It stays when the lock is given back, so that its number only ever grows."""
        found = self._locks()
        return Grip(_json(found[0]["Labels"].get(names.HOLDER, "")), found[0]["Labels"][names.NUMBER]) if found else Grip()

    def take(self, grip: Grip, holder: Mapping[str, Any]) -> bool:
        """The next number: of all who saw the same one, one succeeds."""
        number = int(grip.version or 0) + 1
        labels = {names.PART: "lock", names.NUMBER: str(number), names.HOLDER: json.dumps(dict(holder))}
        answer = self._create(names.lock(self._service, number), {}, labels)
        if not answer.good:
            if "already exists" in answer.err.lower():
                return False
            self._docker.refuse(answer, f"take the lock of {self._service}")
        if answer.skipped:
            return True
        locks = self._locks()
        late = int(locks[0]["Labels"][names.NUMBER]) > number  # what was seen is long over: its successor's number was free again
        over = [one["ID"] for one in locks if (int(one["Labels"][names.NUMBER]) == number) == late]
        if over:
            self._docker.do("config", "rm", *over)
        return not late

    # ---- how

    def _locks(self) -> list[Thing]:
        """The latest first; asked for anew, as others write it."""
        found = self._docker.things(f"{names.SERVICE}={self._service}", "config")
        return look.latest_first(thing for thing in found if thing["Labels"].get(names.PART) == "lock")

    def _of(self, release: str, mark: str = "") -> list[Thing]:
        """Records of a release, the latest first."""
        return [one for one in self._records() if one["Labels"][names.RELEASE] == release and mark in ("", one["Labels"].get(names.MARK))]

    def _best(self, release: str, mark: str = "") -> Thing | None:
        """The latest that ended well, else the latest."""
        found = self._of(release, mark)
        return next((one for one in found if one["Labels"].get(names.OUTCOME) in (GOOD, RETURNED, LEFT)), found[0] if found else None)

    def _records(self) -> list[Thing]:
        """The latest first."""
        return look.latest_first(thing for thing in self.things() if thing["kind"] == "config" and thing["Labels"].get(names.PART) == "record")

    def _write(self, data: Mapping[str, Any], labels: Mapping[str, str], image: str) -> None:
        number = 1 + max((int(record["Labels"].get(names.NUMBER) or 0) for record in self._records()), default=0)
        more = {names.PART: "record", names.NUMBER: str(number), names.AT: f"{self._clock():.0f}", names.IMAGE: image}
        answer = self._create(names.record(self._service, number), data, {**more, **labels})
        if not answer.good:
            self._docker.refuse(answer, f"keep the record of release {labels[names.RELEASE]}")

    def _create(self, name: str, data: Mapping[str, Any], labels: Mapping[str, str]) -> Any:
        words = [word for key, value in {**names.labels(self._service), **labels}.items() for word in ("--label", f"{key}={value}")]
        self.forget()
        return self._docker.do("config", "create", *words, name, "-", stdin=json.dumps(data, sort_keys=True))

    def _remove(self, kind: str, ids: list[str]) -> list[str]:
        """What could be removed, by name. What is still in use stays for another time."""
        found = {thing["ID"]: thing["Name"] for thing in self.things()}
        if not ids:
            return []
        self._docker.do(kind, "rm", *ids)
        self.forget()
        left = {thing["ID"] for thing in self.things()}
        return [f"{kind} {found.get(one, one)} removed" for one in ids if one not in left]

    def _read(self, record: Thing) -> dict[str, Any] | None:
        return next(iter(self._read_all([record])), None)

    def _read_all(self, records: list[Thing]) -> list[dict[str, Any]]:
        return [dict(_data(found)) for found in self._docker.inspect("config", *(record["ID"] for record in records))]


def _data(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return _json(base64.b64decode(config["Spec"].get("Data") or "").decode(errors="replace"))


def _json(text: str) -> Mapping[str, Any]:
    """What we have written there; nothing if somebody has put something else there."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _mounted(found: Any) -> Iterator[str]:
    """Names of configs and secrets anywhere in what a module is told, or the API tells."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            if key in ("config_name", "secret_name", "ConfigName", "SecretName"):
                yield str(value)
            else:
                yield from _mounted(value)
    elif isinstance(found, (list, tuple)):
        for value in found:
            yield from _mounted(value)
