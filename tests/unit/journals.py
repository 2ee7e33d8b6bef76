"""Journals as data: what a run of so many members writes, step by step, with a probe beside it. Nothing is run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Line = dict[str, Any]

BEGAN = 1_795_240_000.0
LOG = ("Traceback (most recent call last):", '  File "app.py", line 7, in <module>', "KeyError: 'DATABASE_URL'")


def names(members: int, slots: Sequence[str] = ("green", "blue")) -> list[str]:
    return [f"app{number // len(slots) + 1}/{slots[number % len(slots)]}" for number in range(members)]


def seen(release: str | None = "v1", serving: bool = True, pid: int = 7) -> dict[str, Any]:
    return {
        "release": release,
        "state": "RUNNING" if pid else "STOPPED",
        "serving": serving,
        "healthy": bool(pid),
        "pid": pid,
        "balancers": ["lb1"] if serving else [],
    }


@dataclass
class Run:
    """A run that writes its journal: each method does one thing, at ``now``, and moves the time on."""

    release: str = "v2"
    way: str = "release"
    service: str = "shop"
    members: list[str] = field(default_factory=lambda: names(4))
    now: float = BEGAN
    lines: list[Line] = field(default_factory=list)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    speed: float = 1.0

    def __post_init__(self) -> None:
        self.states = {name: seen("v2" if self.way == "rollback" else "v1") for name in self.members}

    def write(self, kind: str, at: float | None = None, **line: Any) -> None:
        self.lines.append({"kind": kind, "at": self.now if at is None else at, **line})

    def begin(self, phases: Sequence[tuple[str, float, str]] = (("lock", 0.6, ""), ("stage", 2.4, "4 hosts have it"))) -> Run:
        hosts = list(dict.fromkeys(name.partition("/")[0] for name in self.members))
        self.write(
            "run",
            service=self.service,
            release=self.release,
            way=self.way,
            by="ana on deploy1",
            reason=f"release {self.release}",
            hosts=hosts,
            serial=["1"],
            on_failure="stop",
        )
        for name, seconds, detail in phases:
            self.phase(name, seconds, detail=detail)
        return self

    def phase(self, name: str, seconds: float, outcome: str = "ok", detail: str = "", host: str = "", start: float | None = None) -> None:
        start = self.now if start is None else start
        self.now = max(self.now, start + seconds)
        self.write("phase", name=name, start=start, seconds=seconds, outcome=outcome, detail=detail, host=host)

    def look(self, when: str, **maintenance: Any) -> None:
        self.write("members", when=when, members={name: dict(state) for name, state in self.states.items()}, maintenance=maintenance)

    def step(self, step: str, member: str, seconds: float, outcome: str = "ok", detail: str = "", host: str = "", start: float | None = None) -> float:
        """One step; with ``start`` it is beside others and the time stays. When it ended."""
        begins = self.now if start is None else start
        ends = begins + seconds * self.speed
        if start is None:
            self.now = ends
        self.write(
            "event",
            ends,
            step=step,
            member=member,
            host=host or member.partition("/")[0],
            outcome=outcome,
            start=begins,
            seconds=seconds * self.speed,
            detail=detail,
        )
        return ends

    def batch(
        self, members: Sequence[str], number: int, of: int, release: str = "", fails: str = "", hooks: bool = False, draw: random.Random | None = None
    ) -> None:
        """A batch from switch to enable, its hosts side by side; the member ``fails`` does not get healthy."""
        draw, release = draw or random.Random(number), release or self.release
        if of:
            self.write("batch", members=list(members), number=number, of=of)
        together = ", ".join(members)
        self.step("switch", together, 0.05, host="lb1")
        self.step("drain", together, 0.4 + draw.random(), detail="0 connections", host="lb1")
        ends = []
        for member in members:
            at = self.now + 0.05
            if hooks:
                at = self.step("before_stop", member, 0.15, detail="the queue is empty", start=at)
            for step, seconds in (("stop", 0.3 + draw.random()), ("point", 0.01), ("start", 0.1)):
                at = self.step(step, member, seconds, start=at)
            bad = member == fails
            detail = "answered 500, expected 200" if bad else "200 three times in a row"
            at = self.step("check", member, 3.0 if bad else 0.6 + 1.5 * draw.random(), "failed" if bad else "ok", detail, start=at)
            self.states[member] = seen(release, serving=False, pid=0 if bad else 11)
            ends.append(at)
        self.now = max(ends)
        if fails in members:
            self.write("failure", member=fails, step="check", expected="status 200", seen="status 500", log=list(LOG), host=fails.partition("/")[0])
        well = [member for member in members if member != fails]
        if well:
            self.step("enable", ", ".join(well), 0.08, host="lb1")
            self.states.update({member: seen(release) for member in well})

    def put_back(self, member: str, release: str = "v1") -> None:
        self.write("note", text=f"{member}: failed, going back to release {release}")
        for step, seconds in (("stop", 0.4), ("point", 0.01), ("start", 0.1), ("check", 0.9)):
            self.step(step, member, seconds)
        self.step("enable", member, 0.05, host="lb1")
        self.states[member] = seen(release)
        self.write("returned", members=[member])
        self.now += 1.5

    def end(self, booked: dict[str, str] | None = None, changed: bool = True, swap: float | None = None) -> list[Line]:
        self.look("after")
        if swap:
            self.phase("swap", self.now - swap, "failed" if booked else "ok", start=swap)
        if not booked:
            self.phase("finish", 0.7, detail="history written, 1 release removed")
        self.write("verdict", booked=booked or {}, changed=changed, reloads=0)
        return self.lines


def release(members: int = 4, serial: int = 1, speed: float = 1.0, probe: bool = True, hooks: bool = False, fails: int = -1, **probing: Any) -> list[Line]:
    """A release through ``members``; ``fails`` is the number of the one that does not get healthy and is put back."""
    run = Run(members=names(members), speed=speed)
    phases = [("lock", 0.6, ""), ("stage", 2.4 * speed, "staged on all hosts")]
    run.begin(phases)
    if hooks:
        run.step("before_release", "", 0.8, detail="told the chat", host="app1")
        run.phase("hook", 0.9, start=run.now - 0.9)
        run.step("migrate", "", 2.2, detail="3 migrations were run", host="app1")
        run.phase("migrate", 2.4, start=run.now - 2.4)
    swap = run.now
    run.look("before")
    groups = [run.members[start : start + serial] for start in range(0, members, serial)]
    booked = {}
    for number, group in enumerate(groups, 1):
        bad = run.members[fails] if fails >= 0 else ""
        run.batch(group, number, len(groups), fails=bad, hooks=hooks)
        if bad in group:
            run.put_back(bad)
            booked = {bad.partition("/")[0]: f"{bad} failed at check: expected: status 200; seen: status 500"}
            break
    lines = run.end(booked, swap=swap)
    if probe:
        lines.insert(-1, {"kind": "probe", "at": lines[-1]["at"], "result": probe_of(run, **probing)})
    return lines


def probe_of(run: Run, rate: int = 60, failing: Sequence[tuple[float, str, int]] = (), slow: float = 0.0) -> dict[str, Any]:
    """A probe beside the run: requests are answered by whoever serves at that second. ``failing``: (at which share of the run, class, how many)."""
    draw = random.Random(7)
    began, ended = BEGAN + 0.7, run.now + 1
    width = 1.0
    while (ended - began) / width > 1200:
        width *= 2
    enables = sorted(line["at"] for line in run.lines if line["kind"] == "event" and line["step"] == "enable" for _ in line["member"].split(", "))
    back = [line["at"] for line in run.lines if line["kind"] == "returned"]
    points, failures, totals, classes = [], [], {"v1": 0, run.release: 0}, {}
    start = began
    while start < ended:
        new = (sum(at <= start for at in enables) - 2 * sum(at <= start for at in back)) / max(len(run.members), 1)
        due = round(rate * min(width, ended - start))
        mine: dict[str, int] = {}
        for share, name, many in failing:
            at = began + share * (ended - began)
            if start <= at < start + width:
                mine[name] = many
                failures += [
                    {"at": at + number / 50, "kind": "front", "class": name, "detail": f"connection {name} by 127.0.0.1:8080", "release": ""}
                    for number in range(many)
                ]
        answered = due - sum(mine.values())
        newer = min(max(round(answered * new), 0), answered)
        by = {name: many for name, many in (("v1", answered - newer), (run.release, newer)) if many}
        for name, many in by.items():
            totals[name] += many
        for name, many in mine.items():
            classes[name] = classes.get(name, 0) + many
        p50 = 0.004 + 0.002 * draw.random() + (slow if 0.4 < (start - began) / (ended - began) < 0.5 else 0)
        points.append({"due": due, "by_release": by, "failed": mine, "p50": p50, "p95": p50 * (2.2 + draw.random() ** 3 * 6)})
        start += width
    failed, answered = sum(classes.values()), sum(totals.values())
    latency = {"p50": 0.005, "p95": 0.014, "p99": 0.031, "max": 0.082}
    part = {"due": failed + answered, "answered": answered, "failed": failed, "by_class": classes, "by_release": totals, "latency": latency}
    series = {"start": began, "width": width, "points": points}
    late = {"requests": 0, "seconds": 0.0, "why": ""}
    return {"began": began, "ended": ended, **part, "kinds": {"front": part}, "late": late, "series": series, "failures": failures, "sockets": {}}
