"""A moment is found in what a playbook prints."""

from __future__ import annotations

from tests.chaos.play import Moment


def test_a_moment_is_the_beginning_of_the_step_for_the_nth_member() -> None:
    moment = Moment("stop", 2)
    lines = [
        "app1/green  stop    stop, and wait until processes and port are gone …",
        "app1/green  stop    done, 0.52 s",
        "app1/blue  start   start …",
        "app1/blue  stop    waiting, 2 s: 1 connection",
        "app1/green  stop    stop, and wait until processes and port are gone …",
        "app1/blue  stop    stop, and wait until processes and port are gone …",
    ]
    assert [moment(f"{line}\n") for line in lines] == [False] * 5 + [True]


def test_two_balancers_are_one_beginning_and_a_batch_is_as_many_as_it_has_members() -> None:
    moment = Moment("switch", 4)
    lines = [
        "app1/blue, app2/blue  switch  switch the balancer away … [lb1]",
        "app1/blue, app2/blue  switch  switch the balancer away … [lb2]",
        "app3/blue  switch  switch the balancer away … [lb2]",
        "app1/green, app2/green  switch  switch the balancer away … [lb1]",
    ]
    assert [moment(f"{line}\n") for line in lines] == [False, False, False, True]


def test_a_moment_in_seconds_is_no_lines() -> None:
    assert not Moment("", 0)("app1/green  stop    stop, and wait until processes and port are gone …")
