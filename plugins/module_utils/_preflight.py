# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this host fit for what is asked? Every finding at once, before anything is changed. Writes nothing in check mode."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import List, Tuple

from . import _files, _install, _nginx, _observe, _processes, _program, _site, _sockets, _stage, _supervisor
from ._model import Member, Refusal, Wish


@dataclass(frozen=True)
class Found:
    """``findings`` are faults; ``absent`` is what hotswap.bluegreen.install would bring."""

    findings: Tuple[str, ...]
    absent: Tuple[str, ...]


def check(wish: Wish, role: str, dry: bool) -> Found:
    """All that stands against the role's work on this host. ``dry``: without ``nginx -t``, which creates files."""
    findings: List[str] = []
    absent: List[str] = []
    if wish.program.user and not _install.user_exists(wish.program.user):
        findings.append(f"bluegreen_user: this host has no user {wish.program.user!r}.")
    if role != "nginx_upstream":
        _check_supervisor(wish, findings, absent, installed=role == "release")
    if role != "supervisor_program":
        _check_nginx(wish, findings, absent, dry, installed=role == "release")
    if role == "release":
        _check_root(wish, findings, absent)
    return Found(tuple(findings), tuple(absent))


def _check_supervisor(wish: Wish, findings: List[str], absent: List[str], installed: bool) -> None:
    try:
        client = _supervisor.connect(wish.supervisor)
    except Refusal as error:
        (findings if os.path.exists(wish.supervisor.config) else absent).append(str(error))
        return
    for member in wish.members:
        path = _observe.program_path(wish, member.slot)
        name = _program.program_name(wish.service, member.slot)
        if not _supervisor.includes(client.access, path):
            findings.append(
                f"supervisor does not read {path}: add {wish.supervisor.program_dir}/*.conf to [include] files of "
                f"{wish.supervisor.config}, or set bluegreen_supervisor_program_dir."
            )
        if installed and _files.read(path) is None:
            absent.append(f"the program {name} is not installed ({path}).")
        own = _processes.tree(client.process(name).pid)
        findings += _port_findings(member, name, own)


def _port_findings(member: Member, name: str, own: frozenset[int]) -> List[str]:
    found = []
    for port in member.ports.values():
        listener = _sockets.listener(port, member.address, own)
        if listener.owner == "foreign":
            who = ", ".join(map(_processes.describe, listener.others)) or "a process that this user may not see"
            found.append(
                f"bluegreen_slots: port {port} of {member.slot} is in use by {who}, not by the program {name}. Free it, or give the slot another port."
            )
    return found


def _check_nginx(wish: Wish, findings: List[str], absent: List[str], dry: bool, installed: bool) -> None:
    command = wish.nginx.command[0]
    if not (os.access(command, os.X_OK) if "/" in command else shutil.which(command)):
        absent.append(f"nginx: the command {command} is not there. Install nginx, or set bluegreen_nginx_command.")
        return
    if not os.path.exists(wish.nginx.config):
        findings.append(f"nginx: its configuration {wish.nginx.config} is not there; set bluegreen_nginx_config.")
        return
    if not dry:
        broken = _nginx.test(wish.nginx)
        if broken:
            findings.append(f"nginx: its configuration was broken before we came: {broken}")
    if not installed:
        return
    state = _nginx.observe(wish)
    if state.problem:
        (findings if os.path.exists(_nginx.active_link(wish)) else absent).append(state.problem)
        return
    blocked = _nginx.blocked_folder(wish)
    if blocked:
        findings.append(f"nginx: its worker may not search {blocked}, so it could not follow the link {_nginx.active_link(wish)}: chmod o+x {blocked}.")
    if not state.loaded:
        hint = f"include {_site.location_file(wish, next(iter(wish.pool[0].ports)))} in your location, then reload nginx"
        findings.append(f"nginx: its workers do not serve the pools of {wish.service}: {'run hotswap.bluegreen.install' if wish.site.enabled else hint}.")
    known = {member.id: member for members in _nginx.declared(wish).values() for member in members}
    for member in wish.pool:
        there = known.get(member.id)
        if there is None or (there.address, there.ports) != (member.address, member.ports):
            findings.append(f"nginx: slot {member.slot} on {member.address} {member.ports} is not among its pools: run hotswap.bluegreen.install.")


def _check_root(wish: Wish, findings: List[str], absent: List[str]) -> None:
    if not os.path.isdir(f"{wish.root}/releases"):
        absent.append(f"{wish.root}/releases is not there.")
        return
    for folder in (wish.root, f"{wish.root}/releases", *(f"{wish.root}/{member.slot}" for member in wish.members)):
        if not os.path.isdir(folder):
            absent.append(f"{folder} is not there.")
        elif not os.access(folder, os.W_OK):
            findings.append(f"no permission to write {folder}. Use become, or give this user the directory.")
    try:
        _stage.check_space(wish.root, 0, "a release")
    except Refusal as error:
        findings.append(str(error))
