# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From checked variables to the wish of a host: a pure function, and the rules that no type can express.

Every rule that is broken is told at once, by the variable's name.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import (
    Health,
    Member,
    Nginx,
    Program,
    Refusal,
    Site,
    Supervisor,
    Wish,
)
from ansible_collections.hotswap.bluegreen.plugins.module_utils._program import check_environment
from ansible_collections.hotswap.bluegreen.plugins.module_utils._release import RESERVED_RELEASES, RESERVED_SLOTS

_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_SLOT = re.compile(r"[a-z][a-z0-9]{0,15}\Z")
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}\Z")
_PORT_NAME = re.compile(r"[a-z][a-z0-9]{0,15}\Z")
_PATH = re.compile(r"/[A-Za-z0-9._+/@-]*\Z")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\Z")
_SIZE = re.compile(r"\d+[kKmMgG]?\Z")
_NGINX_WORDS = re.compile(r"[^;{}\n\r]*\Z")
_SHELL = frozenset({"&&", "||", ";", "|", "&", ">", ">>", "<", "2>&1"})
_POSITIVE = (
    *("boot_timeout", "drain_timeout", "stop_timeout", "health_timeout", "health_interval", "build_timeout", "upstream_idle"),
    *("proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout", "health_successes"),
)


@dataclass(frozen=True)
class Source:
    """Where the release comes from, as the user wrote it: exactly one of ``archive`` and ``directory``."""

    archive: str = ""
    directory: str = ""
    checksum: str = ""
    strip: int = 0
    remote_src: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Resolved:
    """One host's variables, resolved: the wish, and what only staging needs (the environment may hold secrets)."""

    wish: Wish
    source: Source
    build: tuple[str, ...] = ()
    build_in_slot: bool = False
    build_timeout: float = 600.0
    environment: dict[str, str] = field(default_factory=dict)


class _Problems:
    def __init__(self) -> None:
        self.found: list[str] = []

    def unless(self, condition: object, text: str) -> bool:
        """Whether the rule is kept; its text is noted if not."""
        if not condition:
            self.found.append(text)
        return bool(condition)


def resolve(values: Mapping[str, Any], host: str) -> Resolved:
    """The wish of ``host`` from the values that :func:`_variables.collect` gave. :class:`Refusal` names all faults."""
    problems = _Problems()
    _check_names(values, problems)
    _check_numbers(values, problems)
    _check_texts(values, problems)
    members = _members(values, host, problems)
    _check_balance(values, members, problems)
    command = _words(values.get("command"), "bluegreen_command", problems)
    build = _build_words(values.get("build"), problems)
    environment: dict[str, str] = {}
    try:
        environment = check_environment(values["environment"])
    except Refusal as error:
        problems.found.append(str(error))
    source = _source(values, problems)
    site = _site(values, members, problems)
    statuses = _statuses(values["health_status"], problems)
    if problems.found:
        raise Refusal("\n".join(problems.found))
    root = values["root"] or f"/srv/{values['service']}"
    wish = Wish(
        service=values["service"],
        host=host,
        root=root,
        release=values.get("release") or "",
        members=members,
        pool=members,
        program=Program(
            command=command or ("true",),
            user=values["user"],
            autorestart=values["autorestart"],
            start_seconds=values["start_seconds"],
            stop_signal=values["stop_signal"],
            stop_timeout=math.ceil(values["stop_timeout"]),
            stop_as_group=values["stop_as_group"],
            kill_as_group=values["kill_as_group"],
            log_dir=values["log_dir"] or f"{root}/log",
            log_max_bytes=values["log_max_bytes"],
            log_backups=values["log_backups"],
        ),
        health=Health(
            path=values["health_path"],
            statuses=statuses,
            body=values["health_body"],
            header={name: str(value) for name, value in values["health_header"].items()},
            request_headers={name: str(value) for name, value in values["health_request_headers"].items()},
            port=values["health_port"],
            timeout=values["health_timeout"],
            interval=values["health_interval"],
            successes=values["health_successes"],
        ),
        site=site,
        nginx=Nginx(
            command=tuple(shlex.split(values["nginx_command"])),
            config=values["nginx_config"],
            conf_dir=values["nginx_conf_dir"],
            state_dir=values["nginx_state_dir"],
            pid_file=values["nginx_pid_file"],
            error_log=values["nginx_error_log"],
            reload_command=tuple(shlex.split(values["nginx_reload_command"])),
        ),
        supervisor=Supervisor(config=values["supervisor_config"], socket=values["supervisor_socket"], program_dir=values["supervisor_program_dir"]),
        boot_timeout=values["boot_timeout"],
        drain_timeout=values["drain_timeout"],
        on_drain_timeout=values["on_drain_timeout"],
        min_serving=values["min_serving"],
    )
    return Resolved(wish, source, build, values["build_in"] == "slot", values["build_timeout"], environment)


def _check_names(values: Mapping[str, Any], problems: _Problems) -> None:
    service, release = values["service"], values.get("release")
    problems.unless(
        _SERVICE.match(service),
        f"bluegreen_service {service[:40]!r}: a lower-case letter, then up to 31 lower-case letters, digits and hyphens.",
    )
    if release is not None:
        problems.unless(
            _RELEASE.match(release) and release not in RESERVED_RELEASES,
            f"bluegreen_release {release[:40]!r}: a letter or digit, then up to 127 letters, digits and . _ + -; not {', '.join(sorted(RESERVED_RELEASES))}.",
        )
    if values["user"]:
        problems.unless(_USER.match(values["user"]), f"bluegreen_user {values['user'][:40]!r} is no user name.")


def _check_numbers(values: Mapping[str, Any], problems: _Problems) -> None:
    for name in _POSITIVE:
        value = values[name]
        problems.unless(math.isfinite(value) and value > 0, f"bluegreen_{name} is {value:g}; it must be a positive number.")
    for name in ("min_serving", "start_seconds", "log_backups", "upstream_keepalive", "upstream_max_fails", "stop_grace"):
        problems.unless(values[name] >= 0, f"bluegreen_{name} is {values[name]}; it must not be negative.")
    grace, limit = values["stop_grace"], values["stop_timeout"]
    problems.unless(
        grace == 0 or limit > grace,
        f"bluegreen_stop_timeout (stopwaitsecs) is {limit:g} s, the application's own grace (bluegreen_stop_grace) {grace:g} s: supervisor "
        "would kill it in the middle of a request. Make bluegreen_stop_timeout larger.",
    )


def _check_texts(values: Mapping[str, Any], problems: _Problems) -> None:
    problems.unless(values["health_path"].startswith("/"), f"bluegreen_health_path {values['health_path']!r} must begin with a slash.")
    problems.unless(
        values["health_path"].isprintable() and " " not in values["health_path"],
        f"bluegreen_health_path {values['health_path']!r} must be a path without blanks.",
    )
    paths = ("root", "log_dir", "nginx_config", "nginx_conf_dir", "nginx_state_dir", "nginx_pid_file", "nginx_error_log")
    for name in (*paths, "supervisor_config", "supervisor_socket", "supervisor_program_dir", "tls_certificate", "tls_key"):
        value = values[name]
        problems.unless(
            not value or (_PATH.match(value) and ".." not in value.split("/") and value != "/"),
            f"bluegreen_{name} {value!r} must be an absolute path of letters, digits and . _ + - @, without '..'.",
        )
    for name in ("body_size", "log_max_bytes"):
        value = values[name]
        problems.unless(_SIZE.match(value.removesuffix("B")), f"bluegreen_{name} {value!r} must be a size such as 50m.")
    for name in ("server_name", "next_upstream", "cookie_path", "location"):
        problems.unless(_NGINX_WORDS.match(values[name]), f"bluegreen_{name} {values[name]!r} must not hold ; {{ }} or a new line.")
    problems.unless(values["location"].startswith("/"), f"bluegreen_location {values['location']!r} must be a prefix that begins with a slash.")
    problems.unless(bool(values["tls_certificate"]) == bool(values["tls_key"]), "bluegreen_tls_certificate and bluegreen_tls_key belong together.")


def _members(values: Mapping[str, Any], host: str, problems: _Problems) -> tuple[Member, ...]:
    members = []
    for number, slot in enumerate(values["slots"], 1):
        name = slot.get("name")
        if not problems.unless(name, f"bluegreen_slots: slot {number} has no name."):
            continue
        problems.unless(
            _SLOT.match(name) and name not in RESERVED_SLOTS,
            f"bluegreen_slots: {name[:40]!r} must be a lower-case letter and up to 15 letters and digits, not {', '.join(sorted(RESERVED_SLOTS))}.",
        )
        members.append(Member(host, name, _ports(slot, name, problems), slot["address"], bool(slot["backup"]), slot["weight"]))
        problems.unless(slot["weight"] >= 1, f"bluegreen_slots: the weight of {name} is {slot['weight']}; it must be 1 or more.")
    names = [member.slot for member in members]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.found.append(f"bluegreen_slots: two slots are named {name}.")
    users: dict[tuple[str, int], str] = {}
    for member in members:
        for port in member.ports.values():
            key = (member.address, port)
            problems.unless(key not in users, f"bluegreen_slots: port {port} is used twice, by {users.get(key)} and {member.slot}.")
            users[key] = member.slot
    shapes = {tuple(member.ports) for member in members if member.ports}
    problems.unless(len(shapes) <= 1, "bluegreen_slots: every slot needs the same names of ports.")
    return tuple(members)


def _ports(slot: Mapping[str, Any], name: str, problems: _Problems) -> dict[str, int]:
    one, several = slot.get("port"), slot.get("ports")
    if not problems.unless((one is None) != (not several), f"bluegreen_slots: {name} needs either port or ports."):
        return {}
    found = {}
    for port_name, value in (several or {"http": one}).items():
        problems.unless(_PORT_NAME.match(str(port_name)), f"bluegreen_slots: {port_name!r} of {name} is no name of a port (http, ws, rpc, …).")
        try:
            number = int(str(value))
        except ValueError:
            number = 0
        if problems.unless(1 <= number <= 65535, f"bluegreen_slots: port {value!r} of {name} is not a number from 1 to 65535."):
            found[str(port_name)] = number
    return found


def _check_balance(values: Mapping[str, Any], members: tuple[Member, ...], problems: _Problems) -> None:
    problems.unless(members, "bluegreen_slots is empty; a service needs at least one slot.")
    problems.unless(not members or not all(m.backup for m in members), "bluegreen_slots: every slot is a backup; one must not be.")
    problems.unless(
        not members or len(members) > values["min_serving"],
        f"bluegreen_slots has {len(members)} slot{'s' if len(members) != 1 else ''} and bluegreen_min_serving is {values['min_serving']}: none could "
        "be swapped without downtime. Add a slot, or accept the downtime with bluegreen_min_serving: 0.",
    )
    names = {name for member in members for name in member.ports}
    for name, protocol in values["protocols"].items():
        problems.unless(name in names, f"bluegreen_protocols: no slot has a port named {name!r}.")
        problems.unless(
            protocol == "http",
            f"bluegreen_protocols: port {name!r} is {protocol}; the balancer's switch works for http (and WebSocket) only, so it cannot be "
            "behind it. Take it out of bluegreen_slots.",
        )
    if values["health_port"]:
        problems.unless(values["health_port"] in names, f"bluegreen_health_port: no slot has a port named {values['health_port']!r}.")


def _words(value: Any, name: str, problems: _Problems) -> tuple[str, ...]:
    """A command in words: a list as it is, a string split as a shell splits words."""
    if value is None:
        return ()
    if isinstance(value, (list, tuple)):
        words = [str(word) for word in value]
    else:
        try:
            words = shlex.split(str(value))
        except ValueError as error:
            problems.found.append(f"{name} cannot be split into words: {error}.")
            return ()
        for word in words:
            problems.unless(
                word not in _SHELL,
                f"{name} runs without a shell, so {word!r} would be an argument. Use a script of the release, or exec in sh -c.",
            )
    problems.unless(words and words[0], f"{name} is empty.")
    problems.unless(not any("\0" in word for word in words), f"{name} holds a NUL byte.")
    problems.unless(
        not words or "/" not in words[0] or words[0].startswith("/") or ".." not in words[0].split("/"),
        f"{name}: {words[0] if words else ''!r} climbs out of the release.",
    )
    return tuple(words)


def _build_words(value: Any, problems: _Problems) -> tuple[str, ...]:
    """The build command: a string is for sh, as one word; a list is run as it is."""
    if not value:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (list, tuple)) and len(value) > 1:
        return tuple(str(word) for word in value)
    problems.found.append("bluegreen_build must be a string for sh, or a list of at least two words.")
    return ()


def _statuses(value: Any, problems: _Problems) -> tuple[int, ...]:
    items = value if isinstance(value, (list, tuple)) else [value]
    found = []
    for item in items:
        text = str(item)
        if problems.unless(text.isdigit() and 100 <= int(text) <= 599, f"bluegreen_health_status {item!r} is no HTTP status."):
            found.append(int(text))
    problems.unless(items, "bluegreen_health_status is empty.")
    return tuple(found)


def _source(values: Mapping[str, Any], problems: _Problems) -> Source:
    given = values.get("source") or {}
    if not given:
        return Source()
    archive, directory = given.get("archive") or "", given.get("directory") or ""
    problems.unless(bool(archive) != bool(directory), "bluegreen_source needs either archive or directory.")
    checksum = given.get("checksum") or ""
    problems.unless(
        not checksum or re.match(r"(sha256:[0-9a-fA-F]{64}|sha384:[0-9a-fA-F]{96}|sha512:[0-9a-fA-F]{128})\Z", checksum),
        f"bluegreen_source: checksum {checksum!r} must be sha256:, sha384: or sha512: and the digest in hexadecimal.",
    )
    problems.unless(not (checksum and directory), "bluegreen_source: a checksum goes with an archive, not with a directory.")
    problems.unless(given["strip"] >= 0, "bluegreen_source: strip must not be negative.")
    problems.unless("://" not in archive or archive.startswith(("https://", "http://")), f"bluegreen_source: {archive!r} is no http(s) URL.")
    return Source(archive, directory, checksum, given["strip"], given["remote_src"], tuple(given["exclude"]))


def _site(values: Mapping[str, Any], members: tuple[Member, ...], problems: _Problems) -> Site:
    names = list(members[0].ports) if members else []
    given = values["listen"]
    if isinstance(given, Mapping):
        listen = {str(name): str(value) for name, value in given.items()}
        for name in listen:
            problems.unless(name in names, f"bluegreen_listen: no slot has a port named {name!r}.")
    else:
        listen = {names[0]: str(given)} if names else {}
        problems.unless(not values["server"] or len(names) <= 1, f"bluegreen_listen must be a dictionary: one entry for each of {', '.join(names)}.")
    for value in listen.values():
        problems.unless(_NGINX_WORDS.match(value) and value.strip(), f"bluegreen_listen: {value!r} is nothing for nginx to listen on.")
        problems.unless(
            not value.split()[:1] or not value.split()[0].isdigit() or 1 <= int(value.split()[0]) <= 65535,
            f"bluegreen_listen: port {value!r} is not a number from 1 to 65535.",
        )
    return Site(
        enabled=values["server"],
        listen=listen,
        server_name=values["server_name"],
        tls_certificate=values["tls_certificate"],
        tls_key=values["tls_key"],
        body_size=values["body_size"],
        connect_timeout=math.ceil(values["proxy_connect_timeout"]),
        read_timeout=math.ceil(values["proxy_read_timeout"]),
        send_timeout=math.ceil(values["proxy_send_timeout"]),
        next_upstream=values["next_upstream"],
        cookie_path=values["cookie_path"],
        extra=values["server_extra"],
        location=values["location"],
        keepalive=values["upstream_keepalive"],
        idle=values["upstream_idle"],
        max_fails=values["upstream_max_fails"],
    )
