# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a release's build command as the service's user, within its time, with its last words if it fails."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import tempfile
from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, Optional, Tuple

from . import _users
from ._model import Refusal, Wish


@dataclass(frozen=True)
class Build:
    """``command`` runs in the release (or each slot's copy: ``in_slot``) as the service's user, for ``timeout`` seconds."""

    command: Tuple[str, ...] = ()
    in_slot: bool = False
    timeout: float = 600.0


def words(build: Build) -> str:
    return " ".join(build.command) + (" (in each slot)" if build.in_slot and build.command else "")


def run(wish: Wish, build: Build, folder: str, environment: Mapping[str, str], where: str) -> None:
    """Run the build command in ``folder`` as the service's user; :class:`Refusal` with its last output if it fails."""
    own: Dict[str, str] = {**os.environ, **environment, "BLUEGREEN_SERVICE": wish.service, "BLUEGREEN_RELEASE": wish.release}
    user = wish.program.user
    if user and os.geteuid() == 0:
        own["HOME"] = pwd.getpwnam(user).pw_dir
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", build.command[0]] if len(build.command) == 1 else list(build.command),
                cwd=folder,
                env=own,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_users.dropper(user),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Refusal(f"bluegreen_build: cannot run {build.command[0]!r} in {where}: {error}") from None
        try:
            code: Optional[int] = process.wait(build.timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)  # the build's own process group: what it left behind, too
            process.wait()
        if code == 0:
            return
        output.seek(0)
        lines: List[str] = output.read().decode("utf-8", "replace").splitlines()[-20:]
    how = f"took longer than bluegreen_build_timeout ({build.timeout:g} s)" if code is None else f"ended with exit status {code}"
    raise Refusal(
        f"bluegreen_build {words(replace(build, in_slot=False))!r} {how} in {where}. "
        + ("\n".join(["Its last lines:", *(f"  {masked(line, environment)}" for line in lines)]) if lines else "It printed nothing.")
    )


def masked(line: str, environment: Mapping[str, str]) -> str:
    """The line without the values of the environment, any of which may be a secret; a letter or two hide nothing."""
    for value in sorted(environment.values(), key=len, reverse=True):
        for part in value.splitlines():
            line = line.replace(part, "********") if len(part) > 3 else line
    return line
