# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From typed variables to the wish of a host: a pure function.

Every rule that is broken is told at once, by the variable's name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._config_checks import Check
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, HostLimits, Member, Monitoring, Nginx, Program, Site, Supervisor
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._kinds import Settings

from . import (
    _canary_rules,
    _commands,
    _config_checks,
    _flip_rules,
    _git,
    _goodbye_rules,
    _hook_rules,
    _job_rules,
    _judgement,
    _notify_rules,
    _paths,
    _probe_rules,
    _rules,
    _runtimes,
    _slots,
    _values,
    _window,
)
from ._rules import Problems
from ._topology import Topology
from ._values import show

_CHECKSUM = re.compile(r"(sha256:[0-9a-fA-F]{64}|sha384:[0-9a-fA-F]{96}|sha512:[0-9a-fA-F]{128})\Z")


@dataclass(frozen=True)
class Source:
    """Where the release comes from, as the user wrote it: exactly one of ``archive``, ``git`` and ``directory``."""

    archive: str = ""
    directory: str = ""
    git: str = ""
    version: str = ""
    checksum: str = ""
    strip: int = 0
    remote_src: bool = False
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rollout:
    """How a run goes through the fleet, as the user wrote it; ``serial`` are numbers and percentages of hosts, as text."""

    serial: tuple[str, ...] = ("1",)
    on_failure: str = "stop"
    max_unreachable: int = 0
    lock_timeout: float = 0.0
    rollback_to: str = ""
    workers_absent: dict[str, str] = field(default_factory=dict)
    report_dir: str = ""
    limits: _judgement.Limits = field(default_factory=_judgement.Limits)
    canary: _canary_rules.Canary = field(default_factory=_canary_rules.Canary)
    keep_old: float = 0.0
    notify: tuple[_notify_rules.Target, ...] = ()
    probe: Settings | None = None
    probe_on: str = _probe_rules.CONTROLLER


@dataclass(frozen=True)
class Resolved:
    """One host's variables, resolved: the wish, how the run goes, and what only staging needs (the environment may hold secrets)."""

    wish: Wish
    source: Source
    rollout: Rollout = field(default_factory=Rollout)
    build: tuple[str, ...] = ()
    build_in_slot: bool = False
    build_timeout: float = 600.0
    environment: dict[str, str] = field(default_factory=dict)
    window: _window.Window | None = None
    window_override: str = ""
    config_checks: tuple[Check, ...] = ()
    configuration: tuple[_paths.ConfigFile, ...] = ()
    doubts: tuple[str, ...] = ()


def resolve(
    values: Mapping[str, Any],
    host: str,
    topology: Topology | None = None,
    fleet: Sequence[Member] = (),
    batches: Sequence[Sequence[str]] = (),
    rollback: bool = False,
) -> Resolved:
    """The wish of ``host`` from the values that :func:`_variables.collect` gave. :class:`Refusal` names all faults.

    For a balancer, ``fleet`` are all members of the service and ``batches`` those that a release takes out together.
    ``rollback``: the release is taken as the hosts have it.
    """
    shape = topology or Topology((host,))
    problems = Problems()
    _rules.check(values, problems)
    members = () if fleet else _slots.members(values, host, _slots.address(values, shape, problems), problems)
    pool = tuple(fleet) or (members if shape.local else ())
    need = _rules.share(values["min_serving"], len(pool or members), "bluegreen_min_serving", problems)
    if pool and (fleet or len(members) == len(values["slots"])):  # else there is a slot without a name, which has been said
        _slots.check_pool(host, pool, need, problems)
    _slots.check_ports(values, members or pool, problems)
    command = _commands.words(values.get("command"), "bluegreen_command", problems)
    _runtimes.refuse(values, command, problems)
    reload = _runtimes.read(values, problems)
    build = _commands.build(values.get("build"), problems)
    environment = {} if fleet else _commands.environment(values, members, problems)
    goodbye = _goodbye_rules.read(values, problems)
    rollout = _rollout(values, problems)
    flip = _flip_rules.read(values, rollout.canary, pool or members, need, problems)
    hooks = () if fleet else _hook_rules.read(values, problems)
    layout = _paths.layout(values, problems)
    configuration = _paths.config_files(values, layout, problems)
    jobs = () if fleet else _job_rules.read(values, shape, problems)
    nginx_command = _commands.words(values["nginx_command"], "bluegreen_nginx_command", problems)
    nginx_reload = _commands.words(values["nginx_reload_command"] or None, "bluegreen_nginx_reload_command", problems)
    source = _source(values, problems)
    listen = _slots.listen(values, members or pool, members if shape.local else (), problems)
    statuses = _rules.statuses(values["health_status"], "bluegreen_health_status", problems)
    window, override = _window.read(values.get("window"), problems), _window.reason(values["window_override"], problems)
    adopt = _slots.adopted(values, members, problems)
    checks = _config_checks.read(values["config_checks"], problems)
    if problems.found:
        raise Refusal("\n".join(problems.found))
    root = values["root"] or f"/srv/{values['service']}"
    wish = Wish(
        service=values["service"],
        host=host,
        root=root,
        release=values.get("release") or "",
        members=members,
        pool=pool,
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
        site=_site(values, listen),
        nginx=Nginx(
            command=nginx_command,
            config=values["nginx_config"],
            conf_dir=values["nginx_conf_dir"],
            state_dir=values["nginx_state_dir"],
            pid_file=values["nginx_pid_file"],
            error_log=values["nginx_error_log"],
            reload_command=nginx_reload,
        ),
        supervisor=Supervisor(config=values["supervisor_config"], socket=values["supervisor_socket"], program_dir=values["supervisor_program_dir"]),
        boot_timeout=values["boot_timeout"],
        drain_timeout=values["drain_timeout"],
        on_drain_timeout=values["on_drain_timeout"],
        goodbye=goodbye,
        min_serving=need,
        balancers=() if fleet else shape.of(host),
        batches=tuple(map(tuple, batches)),
        adopt=adopt,
        rollback=rollback,
        hooks=hooks,
        jobs=jobs,
        cron_dir=values["cron_dir"],
        monitoring=Monitoring(values["monitoring_state"], values["monitoring_by"], values["monitoring_textfile_dir"]),
        fleet=shape.hosts if any(job.scope == "fleet" for job in jobs) else (),
        keep_releases=values["keep_releases"],
        layout=layout,
        limits=HostLimits() if fleet else _judgement.of_host(values, problems),
        strategy=values["strategy"],
        mixing=flip.mixing,
        smoke=flip.smoke,
        retire=flip.retire,
        runtime=values["runtime"],
        reload=reload,
    )
    in_slot = values["build_in"] == "slot"
    doubts = tuple(_runtimes.doubts(values, command, wish))
    return Resolved(wish, source, rollout, build, in_slot, values["build_timeout"], environment, window, override, checks, configuration, doubts)


def _rollout(values: Mapping[str, Any], problems: Problems) -> Rollout:
    given = values["serial"]
    items = _values.listed(given)
    texts = tuple(str(item).strip() for item in items)
    for text in texts:
        _rules.share(text, 100, "bluegreen_serial", problems)
        problems.unless(text.rstrip("%") != "0", f"bluegreen_serial is {show(given)}; batches of at least one host are expected.")
    problems.unless(
        not values["report_dir"] or values["report_dir"].startswith("/"),
        f"bluegreen_report_dir is {show(values['report_dir'])}; an absolute path on the controller is expected.",
    )
    problems.unless(texts, "bluegreen_serial is an empty list; a number, a percentage or a list of them is expected.")
    return Rollout(
        serial=texts or ("1",),
        on_failure=values["on_failure"],
        max_unreachable=values["max_unreachable"],
        lock_timeout=values["lock_timeout"],
        rollback_to=values["rollback_to"],
        workers_absent=dict(values["workers_absent"]),
        report_dir=values["report_dir"],
        limits=_judgement.read(values, problems),
        canary=_canary_rules.read(values, problems),
        keep_old=values["keep_old"],
        notify=_notify_rules.read(values, problems),
        probe=_probe_rules.read(values, problems),
        probe_on=values["probe_on"],
    )


def _source(values: Mapping[str, Any], problems: Problems) -> Source:
    given = values.get("source") or {}
    if not given:
        return Source()
    archive, directory, repository, version = (given.get(name) or "" for name in ("archive", "directory", "git", "version"))
    named = [name for name in ("archive", "git", "directory") if given.get(name)]
    problems.unless(
        len(named) == 1, f"bluegreen_source has {' and '.join(named) or 'neither archive nor git nor directory'}; one of archive, git, directory is expected."
    )
    problems.unless(repository or not version, "bluegreen_source: version goes with git.")
    if repository:
        problems.found += [f"bluegreen_source: {fault}" for fault in _git.faults(repository, version)]
    checksum = given.get("checksum") or ""
    problems.unless(
        not checksum or _CHECKSUM.match(checksum),
        f"bluegreen_source: checksum is {show(checksum)}; sha256:, sha384: or sha512: and the digest in hexadecimal are expected.",
    )
    for name in ("checksum", "strip", "remote_src"):
        problems.unless(archive or not given.get(name), f"bluegreen_source: {name} goes with an archive, not with a directory or git.")
    problems.unless(given["strip"] >= 0, f"bluegreen_source: strip is {given['strip']}; 0 or a positive number is expected.")
    scheme, colon, rest = archive.partition("://")
    problems.unless(not colon or scheme in ("http", "https"), f"bluegreen_source: archive is a URL of {show(scheme)}; http or https is expected.")
    problems.unless(
        not colon or "@" not in rest.partition("/")[0],
        "bluegreen_source: archive is a URL with a user or password in it, which would be seen in logs. Fetch it with a task of yours and use remote_src.",
    )
    return Source(archive, directory, repository, version, checksum, given["strip"], given["remote_src"], tuple(given["exclude"]))


def _site(values: Mapping[str, Any], listen: dict[str, str]) -> Site:
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
