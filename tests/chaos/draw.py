"""From one number to a whole case: topology, fault, moment, policy. Pure: the same seed is the same case for ever.

A case is drawn so that the fault leaves somebody who can serve: what goes wrong then is our doing, not arithmetic's.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

OWN, BALANCERS, BOTH = "own", "balancers", "both"
TOPOLOGIES = (OWN, BALANCERS, BOTH)

FAULTS = (
    "none",
    "release crashes",
    "release is ill",
    "SIGINT",
    "SIGTERM",
    "SIGKILL",
    "ssh lost",
    "app host disconnected",
    "balancer disconnected",
    "supervisor restarted",
    "supervisor killed",
    "nginx restarted",
)
BROKEN_RELEASE = frozenset({"release crashes", "release is ill"})
DEADLY_FOR_MEMBERS = frozenset({"app host disconnected", "supervisor restarted", "supervisor killed"})
STEPS = ("switch", "drain", "stop", "point", "start", "check", "enable")
SLOTS = (("blue", 9502), ("green", 9503))


@dataclass(frozen=True)
class Moment:
    """When the fault strikes: ``seconds`` after ``step`` was seen to begin for the ``nth`` member, or after the run began."""

    step: str = ""
    nth: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        after = f"{self.seconds:.1f} s after " if self.seconds else "at "
        return f"{after}{self.step} no. {self.nth}" if self.step else f"{after}the start"


@dataclass(frozen=True)
class Case:
    """Everything that is drawn. ``serial`` and ``min_serving`` are as a user writes them."""

    seed: int
    topology: str
    balancers: int  # separate balancers
    apps: int
    slots: int  # of each app host
    standby: bool  # whether the second slot is a backup
    fault: str
    target: str  # the host that is hit; for a broken release, host/slot
    moment: Moment
    lasts: float  # seconds that a disconnection lasts; 0: until the run has ended
    on_failure: str
    serial: int | str
    min_serving: int | str
    stop: str  # how the application stops: graceful, or abrupt (then all depends on the drain)
    pipelining: bool  # Ansible's: a module comes through the connection, or lies on the host as a file

    @property
    def app_hosts(self) -> tuple[str, ...]:
        return tuple(f"app{number}" for number in range(1, self.apps + 1))

    @property
    def balancer_hosts(self) -> tuple[str, ...]:
        """The separate balancers."""
        return tuple(f"lb{number}" for number in range(1, self.balancers + 1))

    @property
    def entries(self) -> tuple[str, ...]:
        """The hosts whose nginx clients ask."""
        return {OWN: self.app_hosts, BALANCERS: self.balancer_hosts, BOTH: self.balancer_hosts + self.app_hosts}[self.topology]

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(f"{host}/{slot}" for host in self.app_hosts for slot, _ in SLOTS[: self.slots])

    def pool(self, host: str) -> list[str]:
        """The members that a balancer serves when all are well."""
        return sorted(member for member in self.members if host in self.balancer_hosts or member.startswith(f"{host}/"))

    def floor(self, host: str) -> int:
        """How many members it always serves: min_serving as a number."""
        wished = self.min_serving
        return math.ceil(len(self.pool(host)) * int(wished.rstrip("%")) / 100) if isinstance(wished, str) else wished

    @property
    def is_broken(self) -> bool:
        """Whether the release itself is what is wrong."""
        return self.fault in BROKEN_RELEASE

    def __str__(self) -> str:
        front = {OWN: "each its own nginx", BALANCERS: f"{self.balancers} balancers", BOTH: f"{self.balancers} balancers and each its own nginx"}[self.topology]
        where = f" on {self.target} {self.moment}" if self.target and not self.is_broken else f" on {self.target}" if self.target else f" {self.moment}"
        lasting = "" if "disconnected" not in self.fault else f", for {self.lasts:g} s" if self.lasts else ", until the run has ended"
        return (
            f"seed {self.seed}: {self.apps} app hosts x {self.slots} slot{'s' if self.slots > 1 else ''}{', one a backup' if self.standby else ''}, {front}; "
            f"fault: {self.fault}{'' if self.fault == 'none' else where}{lasting}; "
            f"on_failure {self.on_failure}, serial {self.serial}, min_serving {self.min_serving}, {self.stop} stop"
            f"{'' if self.pipelining else ', no pipelining'}"
        )


def draw(seed: int) -> Case:
    """The case of a seed. Each dozen of seeds (0 to 11, 12 to 23, …) has each fault once."""
    deck = list(FAULTS)
    random.Random(f"deck {seed // len(FAULTS)}").shuffle(deck)
    fault = deck[seed % len(FAULTS)]
    dice = random.Random(f"case {seed}")
    topology = dice.choice([BALANCERS, BOTH] if fault == "balancer disconnected" else list(TOPOLOGIES))
    balancers = 0 if topology == OWN else 2 if fault == "balancer disconnected" else dice.choice([1, 2])
    # Behind separate balancers the others must carry on when one host is hit while a batch is drained.
    carried = topology != OWN and fault in DEADLY_FOR_MEMBERS
    slots = dice.choice([1, 2]) if topology == BALANCERS else 2
    apps = 3 if carried or slots == 1 else dice.choice([2, 3])
    widest = apps if topology == OWN else apps - 1 - carried
    widths: list[int | str] = [1, 1, 2, "50%"]
    serial = dice.choice([width for width in widths if _width(width, apps) <= widest])
    if topology != BALANCERS:  # each host's own nginx has two members
        floors: list[int | str] = [1, "50%"]
    else:
        left = apps * slots - _width(serial, apps)  # one member of each host of a batch is out at a time
        floors = [1, left, *(["50%"] if left * 2 >= apps * slots else [])]
    case = Case(
        seed=seed,
        topology=topology,
        balancers=balancers,
        apps=apps,
        slots=slots,
        standby=slots == 2 and dice.choice([True, False]),
        fault=fault,
        target="",
        moment=_moment(dice, apps * slots),
        lasts=dice.choice([0.0, round(dice.uniform(1, 6), 1)]),
        on_failure=dice.choice(["stop", "host", "fleet"]),
        serial=serial,
        min_serving=dice.choice(floors),
        stop=dice.choice(["graceful", "abrupt"]),
        pipelining=dice.random() < 0.75,
    )
    return Case(**{**case.__dict__, "target": _target(dice, case)})


def _width(serial: int | str, apps: int) -> int:
    """How many app hosts a batch has."""
    return max(1, int(str(serial).rstrip("%")) * apps // 100) if isinstance(serial, str) else min(serial, apps)


def _moment(dice: random.Random, members: int) -> Moment:
    if dice.random() < 0.3:
        return Moment(seconds=round(dice.uniform(0.5, 9), 1))
    # A step's line comes when a call begins or ends; what lies between is reached by waiting.
    return Moment(dice.choice(STEPS), dice.randint(1, members), dice.choice([0.0, round(dice.uniform(0.1, 2), 1)]))


def _target(dice: random.Random, case: Case) -> str:
    if case.is_broken:
        return dice.choice(case.members)
    if case.fault == "balancer disconnected":
        return dice.choice(case.balancer_hosts)
    if case.fault == "nginx restarted":
        return dice.choice(case.entries)
    if case.fault == "ssh lost":
        return dice.choice(case.app_hosts + case.balancer_hosts)
    return dice.choice(case.app_hosts) if case.fault in DEADLY_FOR_MEMBERS else ""
