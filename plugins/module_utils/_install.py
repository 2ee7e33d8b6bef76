# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles install on a host: directories, program files, launchers, and the balancer's structure."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from . import _declare, _files, _nginx, _observe_slot, _program, _supervisor
from ._model import Refusal, Wish

_Diff = Dict[str, str]


@dataclass(frozen=True)
class Installed:
    """What an installation changed, or would: ``diffs`` as Ansible's --diff shows them."""

    changed: bool
    diffs: Tuple[_Diff, ...] = ()
    pending: Tuple[str, ...] = ()
    reloaded: bool = False
    running: bool = True


def programs(wish: Wish, dry: bool = False) -> Installed:
    """Directories, launchers and program files of this host's slots. A program that supervisor knows is not touched."""
    if not wish.members:
        return Installed(False)
    # Before supervisor is installed a check can still say what will be there.
    client = None if dry and not os.path.exists(wish.supervisor.config) else _supervisor.connect(wish.supervisor)
    diffs: List[_Diff] = [diff for diff in [_directory(wish, folder, mode, dry) for folder, mode in _directories(wish)] if diff]
    pending = []
    for member in wish.members:
        diffs += _put(f"{wish.root}/{member.slot}/launcher", _program.launcher(wish.root, member.slot), 0o755, dry)
        path, text = _observe_slot.program_path(wish, member.slot), _program.program_file(wish, member.slot)
        known = client is not None and client.process(_program.program_name(wish.service, member.slot)).state != "ABSENT"
        if known and _files.read(path) is not None and _files.read(path) != text:
            pending.append(member.slot)
        else:
            diffs += _put(path, text, 0o644, dry)
    return Installed(bool(diffs), tuple(diffs), tuple(pending))


def _directories(wish: Wish) -> List[Tuple[str, int]]:
    slots = [f"{wish.root}/{member.slot}" for member in wish.members]
    starts = [(f"{slot}/.launch", 0o711) for slot in slots]
    return [(wish.root, 0o755), (f"{wish.root}/releases", 0o755), *((slot, 0o755) for slot in slots), *starts, (wish.program.log_dir, 0o750)]


def _directory(wish: Wish, folder: str, mode: int, dry: bool) -> Optional[_Diff]:
    if os.path.isdir(folder):
        return None
    if not dry:
        try:
            os.makedirs(folder, exist_ok=True)
            os.chmod(folder, mode)
        except OSError as error:
            raise Refusal(f"cannot create {folder}: {error.strerror}. Use become, or set bluegreen_root to a directory this user may write.") from None
    return {"before_header": folder, "after_header": folder, "before": "", "after": "directory\n"}


def _put(path: str, text: str, mode: int, dry: bool) -> List[_Diff]:
    before = _files.read(path)
    if before == text:
        return []
    if not dry:
        _files.write(path, text, mode)
    return [{"before_header": path, "after_header": path, "before": before or "", "after": text}]


def balancer(wish: Wish, dry: bool = False) -> Installed:
    """The pools, the link and the switch."""
    if not wish.pool:
        return Installed(False)
    link = _nginx.active_link(wish)
    before = _files.target(link)
    done = _declare.declare(wish, dry=dry)
    after = _files.target(link) or (_nginx.first_target(wish) if dry else None)
    diffs = [
        {"before_header": path, "after_header": path, "before": done.before.get(path, ""), "after": text}
        for path, text in done.after.items()
        if done.before.get(path) != text
    ]
    if before != after:
        diffs.append({"before_header": link, "after_header": link, "before": f"{before or ''}\n", "after": f"{after}\n"})
    return Installed(done.changed, tuple(diffs), reloaded=done.reloaded, running=done.running)
