"""What a host has to spare, and whether its nginx and supervisor are new enough: decisions on numbers."""

from __future__ import annotations

import os

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _reserves, _versions
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member, Site
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _clocks, _fitness

GB = 1 << 30


def test_less_memory_than_the_biggest_slot_uses_is_worth_a_warning() -> None:
    assert _reserves.memory(2 * GB, {"blue": GB, "green": GB // 2}) == []
    assert _reserves.memory(2 * GB, {}) == []
    assert _reserves.memory(0, {"blue": GB}) == [], "a kernel that does not say"
    (told,) = _reserves.memory(GB // 2, {"blue": GB, "green": 3})
    assert told.startswith("memory: 512 MB are available, and the processes of blue use 1024 MB.")


def test_two_releases_side_by_side_need_room_for_both() -> None:
    assert _reserves.two_instances(2 * GB, {"blue": GB, "green": 0}) == _reserves.two_instances(0, {"blue": GB}) == _reserves.two_instances(1, {}) == []
    assert _reserves.two_instances(GB // 2, {"blue": GB, "green": GB}) == [], "the idle one's memory is given back first"
    (told,) = _reserves.two_instances(GB // 2, {"blue": GB, "green": 0})
    assert told.startswith("memory: 512 MB are available, and the processes of blue use 1024 MB; the new release runs beside them.")


def test_a_program_should_be_allowed_as_many_files_as_one_worker_brings_connections() -> None:
    assert _reserves.program_files(1024, 768) == _reserves.program_files(0, 768) == _reserves.program_files(1024, 0) == []
    (told,) = _reserves.program_files(1024, 4096)
    assert "supervisord lets a program have 1024, and one worker of nginx may open 4096 connections" in told
    assert _reserves.program_files(256, 0) != []


def test_a_worker_must_be_allowed_its_connections() -> None:
    assert _reserves.worker_files(1024, 1024) == _reserves.worker_files(0, 1024) == []
    assert _reserves.worker_files(1024, 4096) == [
        "open files: a worker of nginx may have 1024, and worker_connections is 4096: set worker_rlimit_nofile to at least 8192."
    ]


@pytest.mark.parametrize(
    ("ports", "reserved", "sysctl"),
    [
        ([9502, 9503], (), ""),
        ([9502, 40000], (), "40000"),
        ([40000, 40001], ((39990, 40005),), ""),
        ([32768, 60999, 61000], ((8080, 8080), (9000, 9005)), "8080,9000-9005,32768,60999"),
    ],
)
def test_a_port_that_the_kernel_may_give_away_is_told_with_the_sysctl_that_reserves_it(ports: list[int], reserved: _reserves.Ranges, sysctl: str) -> None:
    members = [Member("app1", f"s{port}", {"http": port}) for port in ports]
    told = _reserves.ephemeral(members, ((32768, 60999),), reserved)
    assert [f"net.ipv4.ip_local_reserved_ports={sysctl}, or use lower ports." in text for text in told] == ([True] if sysctl else [])


def test_few_inodes_are_a_fault_and_a_file_system_without_a_number_has_enough() -> None:
    assert _reserves.inodes("/srv", 10_000, 1_000_000) == _reserves.inodes("/srv", 0, 0) == []
    assert _reserves.inodes("/srv", 9, 1_000_000) == ["the file system of /srv has 9 inodes free; 10000 shall be. Remove small files, or move bluegreen_root."]


def test_the_kernel_is_read() -> None:
    assert _reserves.available() > 0
    assert _reserves.resident(os.getpid()) > 1 << 20
    assert _reserves.resident(1 << 30) == _reserves.open_files(1 << 30) == _reserves.open_files(0) == 0
    assert _reserves.open_files(os.getpid()) > 0
    ((low, high),) = _reserves._ranges("ip_local_port_range")
    assert 0 < low < high < 65536


def test_worker_connections_are_nginx_s_own_without_a_word_and_a_comment_is_none() -> None:
    assert _reserves._worker_connections("events {}") == _reserves._worker_connections("events {\n  # worker_connections 9;\n}") == 512
    assert _reserves._worker_connections("events { worker_connections  4096; }") == 4096


@pytest.mark.parametrize(
    ("version", "keepalive", "need"),
    [
        ("nginx/1.22.1", 32, ""),
        ("nginx/1.15.3", 32, ""),
        ("nginx/1.14.2", 32, "1.15.3"),
        ("nginx/1.14.2", 0, ""),
        ("nginx/1.13.3", 0, "1.13.4"),
        ("openresty/1.21.4.1", 32, ""),
    ],
)
def test_an_old_nginx_is_told_with_what_is_seen_and_what_is_needed(version: str, keepalive: int, need: str) -> None:
    told = _versions.judge_nginx(f"nginx version: {version} (Debian)\nbuilt with OpenSSL 3.0.15\n", Site(keepalive=keepalive))
    assert [text.split(" (")[0] for text in told] == ([f"nginx: its version is {version[6:]}; at least {need} is needed"] if need else [])


def test_an_nginx_without_what_the_switch_needs_is_told() -> None:
    built = "nginx version: nginx/1.22.1\nconfigure arguments: --without-http_mirror_module --without-http_upstream_keepalive_module\n"
    (told,) = _versions.judge_nginx(built, Site())
    assert told.startswith("nginx: it was built without ngx_http_mirror_module and ngx_http_upstream_keepalive_module, which")
    assert "keepalive" not in _versions.judge_nginx(built, Site(keepalive=0))[0]


def test_supervisor_2_is_too_old() -> None:
    assert _versions.judge_supervisor("4.2.5") == _versions.judge_supervisor("3.0") == []
    assert _versions.judge_supervisor("2.2") == ["supervisor: its version is 2.2; at least 3.0 is needed (addProcessGroup)."]


@pytest.mark.parametrize(("seen", "off"), [(100.0, 0), (103.0, 0), (104.5, 1.5), (99.0, -1.0)])
def test_a_clock_is_judged_by_the_time_that_the_question_took(seen: float, off: float) -> None:
    assert _clocks.apart(100.0, seen, 103.0) == off


def test_a_clock_that_is_a_little_off_is_not_spoken_of() -> None:
    assert _fitness.clock(5.0) == _fitness.clock(-5.0) == []
    assert _fitness.clock(5.1)[0].startswith("the clock of this host is 5 s ahead of the controller's")
    assert _fitness.clock(-400.0)[0].startswith("the clock of this host is 400 s behind the controller's")
