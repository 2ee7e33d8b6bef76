# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this host fit for what is asked? Every finding at once, before anything is changed. Writes nothing in check mode."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Dict, FrozenSet, List, Sequence, Tuple

from . import (
    _adopt,
    _config_checks,
    _exporter,
    _files,
    _hooks,
    _limits,
    _nginx,
    _observe_slot,
    _php,
    _processes,
    _program,
    _reserves,
    _site,
    _sockets,
    _stage,
    _supervisor,
    _users,
    _versions,
    _workers,
)
from ._model import Refusal, Wish
from ._parts import Member


@dataclass(frozen=True)
class Found:
    """``findings`` are faults, ``warnings`` what may become one; ``absent`` is what hotswap.bluegreen.install would bring."""

    findings: Tuple[str, ...]
    absent: Tuple[str, ...]
    warnings: Tuple[str, ...] = ()


def check(wish: Wish, role: str, dry: bool, asked: Sequence[_config_checks.Check] = ()) -> Found:
    """All that stands against the role's work on this host. ``dry``: without ``nginx -t``, which creates files. ``asked`` is what else must answer."""
    if role == "monitoring":  # it looks at what is there, whatever that is
        return Found(tuple(_exporter.unfit(wish)), tuple(_exporter.missing(wish)))
    findings: List[str] = []
    absent: List[str] = []
    user = wish.program.user
    if wish.members and user and not _users.exists(user):
        findings.append(f"bluegreen_user: this host has no user {user!r}.")
        asked = [check for check in asked if check.url]

    parts = ((_check_supervisor, "nginx_upstream", wish.members), (_check_nginx, "supervisor_program", wish.pool))
    for part, other, concerned in parts:
        if role != other and concerned:
            try:
                part(wish, findings, absent, dry, role == "release")
            except Refusal as error:
                findings.append(str(error))
    releases = f"{wish.root}/releases"
    if role == "release" and wish.members and os.path.isdir(_first_there(releases)) and not os.path.isdir(releases):
        absent.append(f"{releases} is not there.")
    if role == "release":
        findings += _no_room_for_two(wish)
        findings += _hooks.unusable(wish)
        findings += _workers.unfit(wish)
    _check_writable(_folders(wish, role), findings)
    if role != "nginx_upstream" and wish.members:
        _check_space(wish, findings)
    findings += _config_checks.findings(asked, user, wish.host)
    return Found(tuple(findings), tuple(absent), tuple(_warnings(wish)) if role == "release" else ())


def _warnings(wish: Wish) -> List[str]:
    """What stands against nothing now. A host on which something is missing has other worries."""
    try:
        if not wish.members:
            return _reserves.warnings(wish, {}, 0)
        client = _supervisor.connect(wish.supervisor)
        trees = {member.slot: _processes.tree(_adopt.running(wish, client, member.slot)[1].pid) for member in wish.members}
        return [*_reserves.warnings(wish, trees, client.pid()), *_adopt.leftovers(wish, client), *_limits.doubts(wish.limits), *_php.doubts(wish)]
    except Refusal:
        return []


def _check_supervisor(wish: Wish, findings: List[str], absent: List[str], _dry: bool, installed: bool) -> None:
    try:
        client = _supervisor.connect(wish.supervisor)
    except Refusal as error:
        (findings if os.path.exists(wish.supervisor.config) else absent).append(str(error))
        return
    findings += _versions.judge_supervisor(client.version())
    if not all(_supervisor.includes(client.access, _observe_slot.program_path(wish, member.slot)) for member in wish.members):
        findings.append(
            f"supervisor does not read {wish.supervisor.program_dir}: add {wish.supervisor.program_dir}/*.conf to [include] files of "
            f"{wish.supervisor.config}, or set bluegreen_supervisor_program_dir."
        )
    for member in wish.members:
        path = _observe_slot.program_path(wish, member.slot)
        name = _program.program_name(wish.service, member.slot)
        if installed and _files.read(path) is None:
            absent.append(f"the program {name} is not installed ({path}).")
        program, process = _adopt.running(wish, client, member.slot)
        findings += _port_findings(client, member, program, _processes.tree(process.pid))
        mine = os.path.lexists(f"{wish.root}/{member.slot}/current") or program == wish.adopt.get(member.slot)
        if member.slot in wish.adopt and not mine and not _adopt.known(wish, client, member.slot):
            findings.append(
                f"bluegreen_adopt: supervisor has no program {wish.adopt[member.slot]} for {member.slot}; it runs {', '.join(sorted(client.pids())) or 'none'}."
            )


def _port_findings(client: _supervisor.Client, member: Member, name: str, own: FrozenSet[int]) -> List[str]:
    found = []
    for port in member.ports.values():
        listener = _sockets.listener(port, member.address, own)
        if listener.owner != "foreign":
            continue
        who = ", ".join(map(_processes.describe, listener.others)) or "a process that this user may not see"
        other = _adopt.holder(client, listener.others, _processes.tree)
        whose = f"supervisor's program {other}" if other else f"not by the program {name}"
        adopt = f"Take it over with bluegreen_adopt: {{{member.slot}: {other}}}, without a failed request; or free it" if other else "Free it"
        found.append(f"bluegreen_slots: port {port} of {member.slot} is in use by {who}, {whose}. {adopt}, or give the slot another port.")
    return found


def _check_nginx(wish: Wish, findings: List[str], absent: List[str], dry: bool, installed: bool) -> None:
    command = wish.nginx.command[0]
    if not (os.access(command, os.X_OK) if "/" in command else shutil.which(command)):
        absent.append(f"nginx: the command {command} is not there. Install nginx, or set bluegreen_nginx_command.")
        return
    if not os.path.exists(wish.nginx.config):
        findings.append(f"nginx: its configuration {wish.nginx.config} is not there; set bluegreen_nginx_config.")
        return
    findings += _versions.nginx(wish)
    if not dry:
        broken = _nginx.test(wish.nginx)
        if broken:
            findings.append(f"nginx: its configuration was broken before we came: {broken}. Mend it, then run again.")
    blocked = _nginx.blocked_folder(wish)
    if blocked:
        findings.append(f"nginx: its worker may not search {blocked}, so it could not follow the link {_nginx.active_link(wish)}: chmod o+x {blocked}.")
    if not installed:
        return
    state = _nginx.observe(wish)
    if state.problem:
        (findings if os.path.exists(_nginx.active_link(wish)) else absent).append(f"{state.problem}.")
        return
    if not state.loaded:
        hint = _include_hint(wish, "" if dry else _nginx.dump(wish.nginx))
        findings.append(f"nginx: its workers do not serve the pools of {wish.service}: {'run hotswap.bluegreen.install' if wish.site.enabled else hint}.")
    known = {member.id: member for members in _nginx.declared(wish).values() for member in members}
    strange = [member for member in wish.pool if member.id not in known or _place(known[member.id]) != _place(member)]
    if strange:
        places = ", ".join(f"{member.id} on {member.address} {member.ports}" for member in strange)
        findings.append(f"nginx: its pools are of other slots than bluegreen_slots and lack {places}: run hotswap.bluegreen.install.")


def _include_hint(wish: Wish, dump: str) -> str:
    """What to write where in the user's own configuration: the very lines that go past us now, if they can be found."""
    files = [_site.location_file(wish, port) for port in wish.pool[0].ports]
    passes = _adopt.proxied(dump, wish.pool, frozenset([_site.http_file(wish), *files]))
    if not passes:
        return f"include {files[0]} in your location, then reload nginx"
    where = "; ".join(f"in {path}, line {number}, in the place of `{words}`" for path, number, words in passes)
    include = f"`include {files[0]};`" if len(files) == 1 else f"the include of the port's file ({', '.join(files)})"
    return (
        f"put {include} {where}, take out what it sets itself (proxy_set_header, proxy_http_version, proxy_… timeouts, root), then nginx -t and reload: "
        "the same processes go on serving"
    )


def _place(member: Member) -> Tuple[str, Dict[str, int]]:
    return member.address, member.ports


def _folders(wish: Wish, role: str) -> Tuple[str, ...]:
    """The directories that the role writes in."""
    members = {
        "release": (
            *(f"{wish.root}/releases", wish.root, *(f"{wish.root}/{member.slot}" for member in wish.members)),
            *([wish.supervisor.program_dir] if wish.jobs else []),
            *([wish.cron_dir] if any(job.schedule for job in wish.jobs) else []),
        ),
        "supervisor_program": (wish.root, wish.program.log_dir, wish.supervisor.program_dir),
    }
    pools = {"release": (_site.state_dir(wish),), "nginx_upstream": (wish.nginx.state_dir, wish.nginx.conf_dir)}
    return (*(members.get(role, ()) if wish.members else ()), *(pools.get(role, ()) if wish.pool else ()))


def _check_writable(folders: Tuple[str, ...], findings: List[str]) -> None:
    for folder in sorted(set(map(_first_there, folders))):
        if not os.path.isdir(folder):
            findings.append(f"{folder} is not a directory. Move it away, or set another one.")
        elif not os.access(folder, os.W_OK | os.X_OK):
            findings.append(f"no permission to write {folder}. Use become, or give this user the directory.")


def _first_there(path: str) -> str:
    """The path itself, or the nearest of its parents that is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _no_room_for_two(wish: Wish) -> List[str]:
    """Whether this host can run both releases at the same time, where that is the way."""
    if not wish.flips or not wish.members or wish.rollback:
        return []
    try:
        client = _supervisor.connect(wish.supervisor)
        used = {
            member.slot: sum(map(_reserves.resident, _processes.tree(client.process(_program.program_name(wish.service, member.slot)).pid)))
            for member in wish.members
        }
    except Refusal:  # which is told elsewhere
        return []
    return _reserves.two_instances(_reserves.available(), used)


def _check_space(wish: Wish, findings: List[str]) -> None:
    try:
        _stage.check_space(_first_there(wish.root), 0, "a release")
    except Refusal as error:
        findings.append(str(error))
    findings += _reserves.inodes_of(_first_there(wish.root))
