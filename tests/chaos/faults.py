"""The faults: each strikes a running release, is healed, and says what damage it did."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Callable
from contextlib import closing

from tools.bed import wait_until

from .bed import PORT, ChaosBed
from .judge import Damage
from .play import Play

_STUBBORN = 20.0  # seconds after which ansible-playbook gets what an impatient person sends next
_HEALING = 40.0  # seconds until what was hit answers again


def strike(bed: ChaosBed, play: Play) -> Damage:
    """Do what the case says to it, now; come back when the fault is over and healed, and the run has ended if it was cut off."""
    strikes: dict[str, Callable[[ChaosBed, Play], Damage]] = {
        "SIGINT": lambda bed, play: _signal(play, signal.SIGINT, group=True),
        "SIGTERM": lambda bed, play: _signal(play, signal.SIGTERM, group=False),
        "SIGKILL": lambda bed, play: _signal(play, signal.SIGKILL, group=False),  # its worker is an orphan from now on
        "ssh lost": _lose_ssh,
        "app host disconnected": _disconnect,
        "balancer disconnected": _disconnect,
        "supervisor restarted": _restart_supervisor,
        "supervisor killed": _restart_supervisor,
        "nginx restarted": _restart_nginx,
    }
    return strikes[bed.case.fault](bed, play)


def _signal(play: Play, sign: signal.Signals, group: bool) -> Damage:
    play.send(sign, group)
    if play.wait(_STUBBORN) is None:
        play.send(signal.SIGKILL, group=True)
        play.wait(10)
    return Damage()


def _lose_ssh(bed: ChaosBed, _play: Play) -> Damage:
    bed.fleet[bed.case.target].kill_sshd_sessions()
    return Damage()


def _disconnect(bed: ChaosBed, play: Play) -> Damage:
    case, host = bed.case, bed.fleet[bed.case.target]
    pids = _application(bed) if case.target in case.app_hosts else frozenset()
    began = time.monotonic()
    host.disconnect()
    try:
        if case.lasts:
            time.sleep(case.lasts)  # how long it lasts is part of the case
        else:
            play.wait(200)
    finally:
        host.connect()
    _until_it_answers(bed)
    return Damage(case.target, began, time.monotonic(), pids, bed.members_of(case.target), case.target in case.entries)


def _restart_supervisor(bed: ChaosBed, _play: Play) -> Damage:
    case, host = bed.case, bed.fleet[bed.case.target]
    began = time.monotonic()
    pids = frozenset(bed.on(case.target, "kill" if case.fault == "supervisor killed" else "stop"))
    host.start("supervisor")
    _until_it_answers(bed)
    return Damage(case.target, began, time.monotonic(), pids, bed.members_of(case.target), entry=case.target in case.entries)


def _restart_nginx(bed: ChaosBed, _play: Play) -> Damage:
    case = bed.case
    began = time.monotonic()
    bed.fleet[case.target].run("service", "nginx", "restart", check=True)
    _until_it_answers(bed)
    return Damage(case.target, began, time.monotonic(), entry=True)


def _application(bed: ChaosBed) -> frozenset[int]:
    """The pids of supervisord's tree on the target."""
    return frozenset(bed.on(bed.case.target, "tree"))


def _until_it_answers(bed: ChaosBed) -> None:
    """Until the hit host is back: its nginx answers, if clients ask it; else one of its members, if it has any."""
    case = bed.case
    ports = [PORT] if case.target in case.entries else list(bed.ports.values())
    wait_until(lambda: any(_answers(bed.fleet[case.target].address, port) for port in ports), _HEALING, f"an answer of {case.target}")


def _answers(address: str, port: int) -> bool:
    with closing(http.client.HTTPConnection(address, port, timeout=2)) as connection:
        try:
            connection.request("GET", "/", headers={"Host": "shop.test"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
