"""bluegreen_workers and bluegreen_cron: wrong ones are told in a sentence each, right ones become jobs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump, load
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Job
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _topology, _variables, _wish

from tests.unit.test_wish import MINIMAL

QUEUE = {"name": "queue", "command": "bin/queue run", "scope": "fleet"}
REPORT = {"name": "report", "command": "bin/report", "schedule": "*/5 8-18 * * mon-fri"}


def resolve(**given: Any) -> Wish:
    values = _variables.collect({f"bluegreen_{name}": value for name, value in {**MINIMAL, **given}.items()}, lambda value: value)
    return _wish.resolve(values, "web1", _topology.Topology(("web1", "web2"))).wish


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "two singletons of one name": ({"workers": [QUEUE, QUEUE]}, "bluegreen_workers: 2 workers are named queue; each needs a name of its own."),
    "two entries of one name": ({"cron": [REPORT, REPORT]}, "bluegreen_cron: 2 entries are named report; each needs a name of its own."),
    "a slot's name": ({"workers": [{**QUEUE, "name": "blue"}]}, "bluegreen_workers: blue is the name of a slot, too; give the worker another one."),
    "no name": ({"workers": [{"command": "x"}]}, "bluegreen_workers: entry 1 is named ''; a lower-case letter and up to 15 lower-case letters and digits"),
    "a name with a slash": ({"workers": [{**QUEUE, "name": "../x"}]}, "bluegreen_workers: entry 1 is named '../x'; "),
    "no command": ({"workers": [{"name": "queue"}]}, "bluegreen_workers: queue has no command."),
    "a shell's command": ({"workers": [{**QUEUE, "command": "a && b"}]}, "bluegreen_workers: queue runs without a shell, so '&&' would be an argument."),
    "a command outside": ({"cron": [{**REPORT, "command": "../x"}]}, "bluegreen_cron: report: '../x' climbs out of the release"),
    "an unknown scope": (
        {"workers": [{**QUEUE, "scope": "all"}]},
        "bluegreen_workers, entry 1: scope is 'all'; one of slot, host, fleet is expected.",
    ),
    "a host without need": ({"workers": [{**QUEUE, "scope": "host", "host": "web1"}]}, "bluegreen_workers: queue: host goes with scope fleet, not with host."),
    "a strange host": (
        {"workers": [{**QUEUE, "host": "db1"}]},
        "bluegreen_workers: queue: host is 'db1', which is no host of the service; its hosts: web1, web2.",
    ),
    "no time to stop": ({"workers": [{**QUEUE, "stop_timeout": 0}]}, "bluegreen_workers: queue: stop_timeout is 0; a positive number is expected."),
    "less than no time": ({"workers": [{**QUEUE, "start_seconds": -1}]}, "bluegreen_workers: queue: start_seconds is -1; 0 or a positive number is expected."),
    "no schedule": ({"cron": [{**REPORT, "schedule": ""}]}, "bluegreen_cron: report: schedule is ''; five fields, such as"),
    "four fields": ({"cron": [{**REPORT, "schedule": "* * * *"}]}, "bluegreen_cron: report: schedule is '* * * *'; five fields, such as"),
    "an unknown word": ({"cron": [{**REPORT, "schedule": "@often"}]}, "bluegreen_cron: report: schedule is '@often'; five fields, such as"),
    "a minute too many": ({"cron": [{**REPORT, "schedule": "60 * * * *"}]}, "bluegreen_cron: report: schedule is '60 * * * *'; its minute is '60'; "),
    "a range backwards": ({"cron": [{**REPORT, "schedule": "0 18-8 * * *"}]}, "its hour is '18-8'; "),
    "a per cent sign": ({"cron": [{**REPORT, "schedule": "% * * * *"}]}, "its minute is '%'; "),
    "gone for no reason": ({"workers_absent": {"web1": ""}}, "bluegreen_workers_absent: say why web1 is gone, as in {web1: burnt down}."),
    "gone and never there": ({"workers_absent": {"db1": "x"}}, "bluegreen_workers_absent names 'db1', which is no host of the service; its hosts: web1, web2."),
    "a directory that climbs": ({"cron_dir": "/etc/../x"}, "bluegreen_cron_dir is '/etc/../x'; an absolute path"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_job_is_told_in_one_sentence(name: str) -> None:
    given, expected = BAD[name]
    with pytest.raises(Refusal) as refused:
        resolve(**given)
    (sentence,) = str(refused.value).splitlines()
    assert expected in sentence


@pytest.mark.parametrize("schedule", ["@daily", "@reboot", "* * * * *", "*/15 0,12 1-15 jan-jun,12 7", "5 4 * * sun", "0-30/10 * * * *"])
def test_a_schedule_of_crontab_is_taken_as_it_is(schedule: str) -> None:
    (job,) = resolve(cron=[{**REPORT, "schedule": schedule}]).jobs
    assert job.schedule == schedule


def test_a_worker_has_the_program_s_times_unless_it_has_its_own() -> None:
    wish = resolve(
        workers=[QUEUE, {"name": "mail", "command": ["m"], "stop_timeout": 90.5, "stop_signal": "INT", "start_seconds": 5}], stop_timeout=7, start_seconds=2
    )
    queue, mail = wish.jobs
    assert queue == Job("queue", ("bin/queue", "run"), "fleet", start_seconds=2, stop_timeout=7)
    assert mail == Job("mail", ("m",), "slot", start_seconds=5, stop_timeout=91, stop_signal="INT")


def test_single_jobs_have_a_place_beside_the_slots_and_the_wish_says_who_could_run_one_of_the_fleet() -> None:
    wish = resolve(workers=[QUEUE], cron=[REPORT])
    assert [place.slot for place in wish.places] == ["blue", "green", "workers"] and wish.fleet == ("web1", "web2")
    assert [job.id for job in wish.jobs_in("workers")] == ["worker:queue", "cron:report"] and wish.jobs_in("blue") == ()
    assert load(Wish, dump(wish)) == wish, "it is the same on the other side"


def test_without_single_jobs_there_is_no_place_for_them() -> None:
    wish = resolve(workers=[{"name": "mail", "command": "m"}])
    assert [place.slot for place in wish.places] == ["blue", "green"] and wish.fleet == ()
    assert [job.id for job in wish.jobs_in("green")] == ["worker:mail"]


def test_a_slot_cannot_have_the_name_of_that_place() -> None:
    with pytest.raises(Refusal, match="slot 1 is named 'workers'"):
        resolve(slots=[{"name": "workers", "port": 9502}, {"name": "blue", "port": 9503}])
