"""The terminal of a long release: what a person reads, from what the runner tells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible import constants
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member, Program
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import BalancerState, HostState, SlotState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _ending, _plain, _progress, _remote, _runner
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._result import Looked, Result, Returned, Turn

from tests.unit import simulation
from tests.unit.simulation import fleet, two_slots

MEMBER = SlotState("RUNNING", pid=7, release="v1", healthy=True)


class Watched:
    """A terminal and its clock: tell it something, and see what becomes visible without ``-v``."""

    def __init__(self, planned: bool = False) -> None:
        self.now = 100.0
        self.seen: list[_progress.Line] = []
        self._lines = _progress.Lines(planned, lambda: self.now)

    def __call__(self, item: _runner.Told, after: float = 0.0) -> list[str]:
        self.now += after
        lines = self._lines(item)
        self.seen += lines
        return [line.text for line in lines if line.level == 0]

    def verbose(self) -> list[str]:
        return [line.text for line in self.seen if line.level == 1]


def event(step: str, member: str = "app1/blue", outcome: str = "ok", detail: str = "", host: str = "app1", seconds: float = 1.0) -> Event:
    return Event(step, member, outcome, 5.0, seconds, detail, host)


def waiting(seconds: float, detail: str, member: str = "app1/blue") -> Event:
    return event("drain", member, "waiting", detail, member.partition("/")[0], seconds)


def test_a_step_is_one_line_as_it_ends_and_with_v_one_as_it_begins_too() -> None:
    terminal = Watched()
    assert terminal(Step("stop", "app1", ("app1/blue",))) == []
    assert terminal(event("stop", detail="1 process gone, port free")) == ["app1/blue  stop    done, 1.00 s: 1 process gone, port free"]
    assert terminal(event("point", detail="v1 → v2")) == ["app1/blue  point   done, 1.00 s: v1 → v2"]
    assert terminal.verbose() == [
        "app1/blue  stop    stop, and wait until processes and port are gone …",
        "app1/blue  point   point current to the release …",
    ]


def test_a_plan_is_what_would_begin() -> None:
    assert Watched(planned=True)(Step("switch", "lb1", ("app1/blue",))) == ["app1/blue  switch  switch the balancer away … [lb1]"]


def test_a_wait_is_heard_at_once_then_when_it_has_news_and_every_ten_seconds() -> None:
    terminal = Watched()
    assert terminal(waiting(2, "3 left")) == ["app1/blue  drain   waiting, 2 s: 3 left"]
    told = [bool(terminal(waiting(seconds, "3 left"), after=2)) for seconds in range(4, 28, 2)]
    assert told == [False, False, False, False, True] * 2 + [False, False], "the same words every ten seconds"
    assert terminal(waiting(30, "2 left"), after=2) == ["app1/blue  drain   waiting, 30 s: 2 left"]
    assert terminal.verbose() == ["app1/blue  drain   wait for its connections to end …"]


def test_many_waits_at_the_same_time_take_turns() -> None:
    terminal, members = Watched(), [f"app{number}/blue" for number in range(1, 21)]
    for member in members:
        assert len(terminal(waiting(2, "9 left", member))) == 1, "each is heard once"
    later = [line for second in range(4, 24, 2) for member in members for line in terminal(waiting(second, f"{30 - second} left", member), after=0.1)]
    assert 8 <= len(later) <= 10, "200 slices in 20 s, a line every 2 s"


def test_a_step_that_goes_wrong_has_ansibles_colour_and_says_so_without_it() -> None:
    terminal = Watched()
    assert terminal(event("check", outcome="failed", detail="no answer")) == ["app1/blue  check   FAILED, 1.00 s: no answer"]
    assert terminal(event("drain", outcome="overtime", host="lb1")) == ["app1/blue  drain   TIME OVER, 1.00 s [lb1]"]
    assert [line.color for line in terminal.seen if line.level == 0] == [constants.COLOR_ERROR, constants.COLOR_WARN]


def test_a_limit_that_is_crossed_is_told_and_other_failures_are_left_to_the_message() -> None:
    terminal = Watched()
    assert terminal(Failure("app1/blue", "watch", "no failed request", "3 failed", (), "app1")) == [
        "app1/blue  watch   FAILED: expected: no failed request; seen: 3 failed"
    ]
    assert terminal(Failure("app1/blue", "check", "200", "500", (), "app1")) == []
    assert terminal(Looked("after", {})) == terminal(Returned("app1/blue")) == []
    assert terminal("app1/blue: failed, going back to release v1") == ["app1/blue: failed, going back to release v1"]


def test_with_v_it_says_how_it_found_the_members_and_what_a_batch_is_about_to_do() -> None:
    terminal = Watched()
    found = {
        "app1": HostState("app1", 5.0, {"blue": MEMBER, "green": SlotState("FATAL")}),
        "lb1": HostState("lb1", 5.0, {}, BalancerState("x", ("app1/blue",), (), True)),
    }
    assert terminal(Looked("before", found)) == []
    assert terminal(turn(1, 2, "app1/blue", "app2/blue", balancers=("lb1",))) == []
    assert terminal.verbose() == [
        "at the beginning:  RUNS     STATE               SERVED BY",
        "  app1/blue        v1       RUNNING, healthy    lb1",
        "  app1/green       nothing  FATAL, not healthy  -",
        "batch 1 of 2 begins: app1/blue, app2/blue: switch, enable, check",
    ]


def turn(number: int, of: int, *members: str, balancers: tuple[str, ...] = ("lb1", "lb2")) -> Turn:
    steps = [Step(name, host, members, "v2" if name == "enable" else "") for host in balancers for name in ("switch", "enable")]
    return Turn(members, number, of, (*steps, *(Step("check", member.partition("/")[0], (member,), "v2") for member in members)))


def test_a_batch_is_told_when_its_last_balancer_has_it_back_with_what_is_left() -> None:
    terminal = Watched()
    first, second = ("app1/blue", "app2/blue"), ("app3/blue",)
    assert terminal(turn(1, 3, *first)) == []
    for item in (event("switch", "app1/blue, app2/blue", host="lb1"), event("switch", "app1/blue, app2/blue", host="lb2")):
        assert len(terminal(item, after=1)) == 1
    for member in first:
        assert len(terminal(event("check", member, host=member[:4]), after=1)) == 1
    terminal(turn(2, 3, *second), after=1)  # the first one's return travels with the second one's leaving
    assert len(terminal(event("enable", "app1/blue, app2/blue", host="lb1"), after=1)) == 1
    assert len(terminal(event("switch", "app3/blue", host="lb1"), after=1)) == 1
    lines = terminal(event("enable", "app1/blue, app2/blue", host="lb2"), after=13)
    assert lines[1:] == ["batch 1 of 3: app1/blue, app2/blue on v2 in 20 s; 2 batches left, about 40 s"]
    for item in (event("switch", "app3/blue", host="lb2"), event("check", "app3/blue", host="app3"), event("enable", "app3/blue", "unchanged", host="lb1")):
        assert len(terminal(item, after=5)) == 1
    assert terminal(event("enable", "app3/blue", host="lb2"))[1:] == ["batch 2 of 3: app3/blue on v2 in 30 s; 1 batch left, about 20 s"]


def test_the_last_batch_has_nothing_left_and_one_that_fails_is_not_through() -> None:
    terminal = Watched()
    terminal(turn(1, 1, "app1/blue", balancers=("app1",)))
    terminal(event("switch"))
    terminal(event("check", outcome="failed"))
    assert len(terminal(event("enable"))) == 1, "it went back to what it had"
    again = Watched()
    again(turn(1, 1, *(f"app{number}/blue" for number in range(1, 8)), balancers=()))
    lines = [line for number in range(1, 8) for line in again(event("check", f"app{number}/blue", host=f"app{number}"), after=0.6)]
    assert lines[7:] == ["batch 1 of 1: app1/blue, app2/blue, app3/blue, app4/blue and 3 more on v2 in 4.2 s"]


@pytest.mark.parametrize("balancers", [(), ("lb1", "lb2")])
@pytest.mark.parametrize("sliced", [False, True])
def test_in_a_walk_through_a_hundred_members_every_batch_is_told_once_in_its_order(balancers: tuple[str, ...], sliced: bool) -> None:
    there = fleet({f"app{number}": two_slots() for number in range(1, 51)}, balancers, local=not balancers, serial=("1", "20%"))
    there.width, there.sliced, terminal = 100, sliced, Watched()
    simulation.runs += 1
    there.begin()
    done = _runner.swap(there.wishes, there, terminal, _runner.Policy(("1", "20%")))
    assert done.ok
    seen = [line.text for line in terminal.seen if line.level == 0]
    batches = [line.partition(":")[0] for line in seen if line.startswith("batch ")]
    assert batches == [f"batch {number} of {len(done.batches)}" for number in range(1, len(done.batches) + 1)]
    ends = [line for line in seen if ", 0.00 s" in line]
    assert len(ends) == len(done.events), "a line for each step"
    assert max(map(len, seen)) < 120


# The table at the end.


def states(serving: dict[str, tuple[str, ...]], **hosts: dict[str, SlotState]) -> dict[str, HostState]:
    found = {name: HostState(name, 5.0, slots) for name, slots in hosts.items()}
    return found | {name: HostState(name, 5.0, {}, BalancerState("x", ids, (), True)) for name, ids in serving.items()}


def wishes(*hosts: str, slots: tuple[str, ...] = ("blue",), balancers: tuple[str, ...] = ("lb1",)) -> list[Wish]:
    return [
        Wish("shop", host, "/srv", "v2", tuple(Member(host, slot, {"http": 1}) for slot in slots), (), Program(("x",)), balancers=balancers) for host in hosts
    ]


def test_the_table_says_of_each_member_what_it_ran_and_runs_and_how_long_it_was_out() -> None:
    new = replace(MEMBER, release="v2", pid=8)
    result = Result(
        changed=True,
        began=states({}, app1={"blue": MEMBER}, application2={"blue": MEMBER}, app3={"blue": MEMBER}, app4={"blue": MEMBER}),
        states=states(
            {"lb1": ("app1/blue", "app3/blue", "app4/blue"), "lb2": ("app1/blue", "app4/blue")},
            app1={"blue": new},
            application2={"blue": SlotState("FATAL")},
            app3={"blue": replace(new, healthy=False)},
            app4={"blue": MEMBER},
        ),
        events=[
            Event("switch", "app1/blue, application2/blue", "ok", 10.0, 0.5, "", "lb1"),
            Event("switch", "app1/blue, application2/blue", "ok", 10.2, 0.5, "", "lb2"),
            Event("enable", "app1/blue", "ok", 14.0, 0.1, "", "lb2"),
            Event("enable", "app1/blue", "ok", 14.0, 0.6, "", "lb1"),
        ],
        failures=[Failure("application2/blue", "check", "200", "500")],
    )
    assert _ending.table(result, wishes("app1", "application2", "app3", "app4", balancers=("lb1", "lb2"))) == [
        "",
        "shop: 4 members: 2 swapped, 1 failed, 1 not reached",
        "  HOST          SLOT  RELEASE    STATE                             OUT    RESULT",
        "  app1          blue  v1 → v2    serving                           4.1 s  swapped",
        "  application2  blue  v1 → none  out, FATAL                        still  failed",
        "  app3          blue  v1 → v2    serving on lb1 only, not healthy  -      swapped",
        "  app4          blue  v1         serving                           -      not reached",
    ]


def test_who_went_back_who_was_left_alone_and_whose_host_is_lost_is_said() -> None:
    note = {"by": "mia", "why": "disk", "since": 1.0}
    serving = BalancerState("x", ("app1/blue", "app2/blue", "app3/blue", "app4/blue"), (), True, maintenance={"app3/blue": note})
    hosts = {f"app{number}": HostState(f"app{number}", 5.0, {"blue": MEMBER}) for number in range(1, 5)}
    seen = {**hosts, "lb1": HostState("lb1", 5.0, {}, serving)}
    failed = [Failure("app1/blue", "check", "200", "500")]
    result = Result(changed=True, began=seen, states=seen, failures=failed, returned=["app1/blue", "app2/blue"], lost={"app4": "it does not answer"})
    rows = _ending.table(result, wishes("app1", "app2", "app3", "app4"))[3:]
    assert [row.rpartition("  ")[2] for row in rows] == ["failed and put back", "put back", "left alone", "not reached"]
    assert "lost (was serving)" in rows[3]


def test_a_run_with_nothing_to_do_is_one_line_instead_of_a_table() -> None:
    seen = states({"lb1": ("app1/blue",)}, app1={"blue": replace(MEMBER, release="v2")})
    assert _ending.table(Result(began=seen, states=seen), wishes("app1")) == ["shop: nothing to do, 1 member as wished"]


def test_a_hundred_members_are_a_hundred_lines_under_each_other() -> None:
    slots = {"blue": MEMBER, "a-very-long-slot": replace(MEMBER, release=None)}
    hosts = {f"app{number}": slots for number in range(1, 51)}
    seen = states({"lb1": ()}, **hosts)
    lines = _ending.table(Result(changed=True, began=seen, states=seen), wishes(*hosts, slots=tuple(slots)))[2:]
    assert len(lines) == 101
    assert {line.index("not reached") for line in lines[1:]} == {lines[0].index("RESULT")}
    assert {line[line.index("out") - 2 : line.index("out")] for line in lines[1:]} == {"  "}


# What others say.


def test_what_moves_a_cursor_or_hides_a_line_is_shown_as_an_escape() -> None:
    assert _plain.plain("ok\x1b[2J\rgone\x07 \u202egnp.exe \udcff\x00") == "ok\\x1b[2J\\rgone\\x07 \\u202egnp.exe \\udcff\\x00"
    assert _plain.plain("Größe «ü» 发布 → ok\n\tsecond line") == "Größe «ü» 发布 → ok\n\tsecond line"


def test_an_answer_of_a_host_reaches_nobody_with_control_characters() -> None:
    failure = Failure("app1/blue", "check", "a\x1b[A", "b\x1b[B", ("c\x1b[C",), "app1")
    answer = _remote._answer(None, [event("check", outcome="failed", detail="d\x1b[D")], None, failure)
    assert answer.failure
    texts = [answer.events[0].detail, answer.failure.expected, answer.failure.seen, *answer.failure.log]
    assert texts == ["d\\x1b[D", "a\\x1b[A", "b\\x1b[B", "c\\x1b[C"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (99.4, "99 s"), (99.6, "2 min"), (3599, "1 h 0 min"), (4800, "1 h 20 min")]
)
def test_a_span_is_as_exact_as_anybody_needs_it(seconds: float, words: str) -> None:
    assert _plain.span(seconds) == words
