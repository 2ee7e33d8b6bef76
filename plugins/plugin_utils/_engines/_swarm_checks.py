# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a Swarm cannot take a service, found before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from . import _swarm_names as names
from . import _swarm_room as room
from ._seen import Seen
from ._service import Service
from ._swarm_docker import Docker
from ._swarm_plan import OURS

_NAME = 63  # a label of DNS


def problems(docker: Docker, service: Service, seen: Seen) -> list[str]:
    """All that is known against it, a sentence each. The image is fetched to the manager where it is not there yet."""
    return [
        *_options(service),
        *_foreign(docker, service, seen),
        *_networks(docker, service),
        *_images(docker, service),
        *_ports(docker, service),
        *room.lacking(docker.nodes(), service),
    ]


def _options(service: Service) -> Iterator[str]:
    """What can be told without asking Docker."""
    options = service.options
    for key in sorted(set(options.get("service") or {}) & OURS):
        yield f"bluegreen_swarm: service sets {key}, which is made of the variables that all engines share: take it out there, and set those."
    test = options.get("healthcheck") or []
    if (test if isinstance(test, str) else " ".join(test[:1])).strip().upper() == "NONE":
        yield (
            "bluegreen_swarm: healthcheck is NONE. A task without a health check is taken for good as soon as it runs, so a broken release would "
            "replace a good one: give a command that succeeds when the application can serve."
        )
    for entry in [*(options.get("publish") or []), *((options.get("nginx") or {}).get("publish") or [])]:
        port = str(entry.get("port") or service.main_port)
        if port not in service.ports and not port.isdigit():
            yield f"bluegreen_swarm: publish names the port {port}; a name of bluegreen_ports ({', '.join(service.ports)}) or a number is expected."
    for name in [service.name, *_companions(service)]:
        if len(name) > _NAME:
            yield f"The service {name} would have {len(name)} letters; {_NAME} are what Swarm's DNS takes: shorten bluegreen_service, or the worker's name."


def _companions(service: Service) -> list[str]:
    front = [names.front(service.name)] if service.options.get("nginx") else []
    return [*(names.companion(service.name, worker.name) for worker in service.workers), *front]


def _foreign(docker: Docker, service: Service, seen: Seen) -> Iterator[str]:
    others = [
        found["Spec"]["Name"]
        for found in docker.inspect("service", *_companions(service))
        if not names.is_ours(found["Spec"].get("Labels") or {}, service.name)
    ]
    for name in [*([service.name] if seen.state == "foreign" else []), *others]:
        yield (
            f"There is a service {name} in the Swarm that was not made by hotswap.bluegreen for {service.name}; it is left as it is. "
            "Remove it (docker service rm), or choose another bluegreen_service."
        )


def _networks(docker: Docker, service: Service) -> Iterator[str]:
    wished = list(service.options.get("networks") or [])
    found = {network["Name"]: network for network in docker.inspect("network", *wished)}
    for name in wished:
        if name not in found:
            yield f"bluegreen_swarm: networks names {name}, which the Swarm does not have: create it (docker network create -d overlay {name}), or name none."
        elif found[name].get("Scope") != "swarm":
            yield f"bluegreen_swarm: networks names {name}, a {found[name].get('Driver')} network of one node: an overlay network of the Swarm is expected."


def _images(docker: Docker, service: Service) -> Iterator[str]:
    front = (service.options.get("nginx") or {}).get("image")
    for variable, image in (("bluegreen_image", service.image), *([("bluegreen_swarm: nginx: image", front)] if front else [])):
        found, said = _image(docker, image)
        if said:
            yield f"{variable} is {image}, which the manager does not have and cannot fetch: {said}"
        elif found and variable == "bluegreen_image" and not service.options.get("healthcheck") and not _tested(found):
            yield (
                f"{variable} is {image}, which has no HEALTHCHECK, so Swarm would take a task for good as soon as it runs: give the image one, "
                "or set bluegreen_swarm: healthcheck to a command that succeeds when the application can serve."
            )


def _image(docker: Docker, image: str) -> tuple[dict[str, Any], str]:
    """The image, or why there is none. Neither, in a check of one that is not there yet: nothing is fetched then."""
    for _time in range(2):
        found = docker.inspect("image", image)
        if found:
            return found[0], ""
        answer = docker.do("pull", "--quiet", image)
        if not answer.good:
            return {}, " ".join(answer.err.split())
        if answer.skipped:
            return {}, ""
    return {}, "it was fetched, and is not there"


def _tested(image: dict[str, Any]) -> bool:
    test = ((image.get("Config") or {}).get("Healthcheck") or {}).get("Test") or []
    return bool(test) and test[0] != "NONE"


def _ports(docker: Docker, service: Service) -> Iterator[str]:
    """Ports of the cluster that another service has already."""
    front = service.options.get("nginx") or {}
    wished = [("bluegreen_swarm: publish", entry) for entry in service.options.get("publish") or []]
    wished += [("bluegreen_swarm: nginx: publish", entry) for entry in front.get("publish") or []]
    if not wished:
        return
    taken = _taken(docker.published(), {service.name, names.front(service.name)})
    for variable, entry in wished:
        owner = taken.get((int(entry["published"]), entry.get("protocol") or "tcp"))
        if owner:
            yield f"{variable} asks for port {entry['published']}, which the service {owner} has published: choose another port, or remove that service."


def _taken(services: Sequence[dict[str, Any]], ours: set[str]) -> dict[tuple[int, str], str]:
    return {
        (int(port.get("PublishedPort") or 0), str(port.get("Protocol") or "tcp")): str(other["Name"])
        for other in services
        if other["Name"] not in ours
        for port in other.get("Ports") or []
    }
