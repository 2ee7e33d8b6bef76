"""Which Pythons an ansible-core runs on and which it may find on a host, as Ansible's support matrix has it.

tests/matrix compares this with what each ansible-core says of itself.
"""

from __future__ import annotations

from dataclasses import dataclass

OURS = 8  # the collection's code on a host needs Python 3.8


def _versions(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"3.{number}" for number in range(first, last + 1))


@dataclass(frozen=True)
class Core:
    """An ansible-core. ``controllers`` are the Pythons that it runs on, ``targets`` those that it and we may find on a host.

    ``day`` is what `make test` takes of them: a controller, the host's Python at a release and, of three, at an installation before it.
    Together, the days see every Python that a host may have.
    """

    version: str
    controllers: tuple[str, ...]
    targets: tuple[str, ...]
    day: tuple[str, ...]


CORES = (
    Core("2.16", _versions(10, 12), _versions(OURS, 12), ("3.10", "3.8", "3.12")),
    Core("2.17", _versions(10, 12), _versions(OURS, 12), ("3.12", "3.10")),
    Core("2.18", _versions(11, 13), _versions(OURS, 13), ("3.11", "3.11")),
    Core("2.19", _versions(11, 13), _versions(OURS, 13), ("3.13", "3.13", "3.8")),
    Core("2.20", _versions(12, 14), _versions(9, 14), ("3.12", "3.9")),
    Core("2.21", _versions(12, 14), _versions(9, 14), ("3.14", "3.14", "3.12")),
)
PYTHONS = _versions(OURS, 14)


@dataclass(frozen=True)
class Pair:
    """An ansible-core on a Python, and the Pythons that its hosts have, one release after the other."""

    core: Core
    controller: str
    targets: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.core.version}-py{self.controller}"


def of_the_day(core: Core) -> Pair:
    return Pair(core, core.day[0], core.day[1:])


def pairs() -> list[Pair]:
    """All that Ansible supports, each with every Python that it may find on a host.

    The scenarios have one Python on their hosts, the first: it is another one from pair to pair, and all have their turn.
    """
    found = []
    for row, core in enumerate(CORES):
        for column, controller in enumerate(core.controllers):
            first = (row + 2 * column) % len(core.targets)
            found.append(Pair(core, controller, core.targets[first:] + core.targets[:first]))
    return found
