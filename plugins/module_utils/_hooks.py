# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own commands at the moments of a release: what they are told, where they run, and how their end is read.

The same code runs them on a member's host inside a walk, on any other host, and on the controller.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from dataclasses import replace
from typing import Dict, List, Mapping, Optional, Tuple

from . import _build, _detached, _files, _program
from ._detached import Command
from ._frame import Clock, Failed, Frame, Overtime, attempt
from ._model import Event, Failure, Refusal, Step, Wish
from ._parts import Hook

MOMENTS = ("before_release", "before_stop", "after_start", "after_enable", "after_release", "on_rollback")
OF_A_MEMBER = ("before_stop", "after_start", "after_enable")
CONTROLLER = "controller"
VETO = "before_stop"  # it is asked again until it agrees or its time is over
ONCE = "migrate"  # its success is kept on the host until it is taken back
_AGAIN = 1.0  # seconds between two such questions


def variables(wish: Wish, step: Step) -> Dict[str, str]:
    """What every hook is told, beside the program's own environment where it has one. On a first release the previous one is ''."""
    told = {
        "BLUEGREEN_HOOK": step.name,
        "BLUEGREEN_SERVICE": wish.service,
        "BLUEGREEN_HOST": wish.host,
        "BLUEGREEN_ROOT": wish.root,
        "BLUEGREEN_RELEASE": step.release,
        "BLUEGREEN_PREVIOUS_RELEASE": step.previous,
    }
    if step.members:
        member = wish.member(step.slot)
        told.update(_program.slot_variables(member, wish.service), BLUEGREEN_MEMBER=member.id)
    return told


def in_release(wish: Wish, hook: Hook, slot: str, release: Optional[str], told: Mapping[str, str]) -> Command:
    """The command in a slot's copy of a release, with the environment of its program; in the service's directory where there is none."""
    start, folder = f"{wish.root}/{slot}/.launch/{release}", f"{wish.root}/{slot}/{release}"
    there = bool(release) and os.path.isfile(start) and os.path.isdir(folder)
    command = anywhere(hook, told, wish.program.user)
    if not there:
        return replace(command, cwd=wish.root)
    again = [f"{name}={value}" for name, value in told.items()]  # over what the start exports
    return replace(command, words=(start, "/usr/bin/env", *again, *command.words), cwd=folder)


def anywhere(hook: Hook, told: Mapping[str, str], user: str = "", cwd: str = "/") -> Command:
    """The command with nothing of a release around it."""
    words = ("/bin/sh", "-c", hook.command[0]) if len(hook.command) == 1 else hook.command
    return Command(words, cwd, hook.timeout, user, dict(told))


def work(step: Step, frame: Frame, command: Command, folder: str = "") -> str:
    """Run the step's hook, or look after the one that runs; what it said last. ``folder`` is kept while it does.

    A veto (``before_stop``) that ends with another status than 0 is asked again while its time lasts.
    """
    hook, now = _hook(step), frame.clock.now
    if hook.at == ONCE and not step.resume and _detached.exit_status(folder) == 0:
        return "it had succeeded when an earlier run was cut off"
    end = now() - step.elapsed + hook.timeout
    folder = step.resume.get("folder") or folder or tempfile.mkdtemp(prefix="bluegreen-hook-")
    process, later, said = step.resume.get("process"), step.resume.get("later", 0.0), step.resume.get("said", "")
    while True:
        if not process and now() >= later:
            process = _detached.begin(folder, replace(command, timeout=max(0.1, end - now())))
        code = _status(hook, folder, process) if process else None
        if code is None:
            seen = said or _last(_detached.output(folder))
            frame.pause(f"{seen or 'it runs'}, of {hook.timeout:g} s", folder=folder, process=process, later=later, said=said)
            continue
        lines = _masked(command, _detached.output(folder))
        if code and hook.at == VETO and code != _detached.TOO_LONG and now() + _AGAIN < end:
            process, later, said = None, now() + _AGAIN, f"it says not yet (exit status {code}){': ' if lines else ''}{_last(lines)}"
            continue
        if code or hook.at != ONCE:
            _detached.forget(folder)
        if not code:
            return _last(lines)
        _give_up(hook, code, lines)


def _hook(step: Step) -> Hook:
    if step.hook is None:
        raise Refusal(f"step {step.name} has no command")
    return step.hook


def _status(hook: Hook, folder: str, process: Mapping[str, int]) -> Optional[int]:
    try:
        return _detached.status(folder, process)
    except Refusal as error:
        _detached.forget(folder)
        raise Failed(_expected(hook), str(error)) from None


def _expected(hook: Hook) -> str:
    return f"bluegreen_{hook.at} {hook.shown!r} ends with 0 within {hook.timeout:g} s"


def _give_up(hook: Hook, code: int, lines: List[str]) -> None:
    """:class:`Failed`, or :class:`Overtime` where the user wants to go on all the same."""
    how = "it took longer" if code == _detached.TOO_LONG else f"it ended with exit status {code}{_meaning(code)}"
    seen = "\n".join([f"{how}; its last lines:", *(f"  {line}" for line in lines)]) if lines else f"{how} and printed nothing"
    if hook.on_failure == "warn":
        raise Overtime(f"{_expected(hook)}: {seen}; on_failure is warn")
    raise Failed(_expected(hook), seen)


def _meaning(code: int) -> str:
    return {126: " (it is not executable)", 127: " (there is no such command)"}.get(code, "")


def _last(lines: List[str]) -> str:
    return lines[-1].strip() if lines else ""


def _masked(command: Command, lines: List[str]) -> List[str]:
    """What it printed, without the values of the program's environment, any of which may be a secret."""
    secrets = _program.exports(_files.read(command.words[0]) or "") if "/.launch/" in command.words[0] else {}
    hidden = {name: value for name, value in secrets.items() if name not in command.environment}
    return [_build.masked(line, hidden) for line in lines]


def once(
    step: Step, host: str, command: Command, folder: str = "", seconds: float = 2.0, clock: Optional[Clock] = None
) -> Tuple[Event, Optional[Step], Optional[Failure]]:
    """One slice of a hook that is no part of a walk: its event, the step to send again if it runs on, and why it failed."""
    clock = clock or Clock()
    frame = Frame(clock, clock.now() + seconds)
    event, waiting, error = attempt(step, host, clock, lambda now: work(now, frame, command, folder))
    if error is None:
        return event, waiting, None
    expected = error.expected if isinstance(error, Failed) else _expected(_hook(step))
    return event, waiting, Failure(step.member, step.name, expected, str(error), (), host)


def first_word(hook: Hook) -> str:
    """The program that the hook begins with, '' if that cannot be told."""
    if len(hook.command) > 1:
        return hook.command[0]
    try:
        return next(iter(shlex.split(hook.command[0])), "")
    except ValueError:
        return ""


def slot_of(wish: Wish, step: Step) -> str:
    """The slot whose copy of the release a hook runs in: the member's, or, for one of the whole release, the host's first."""
    return step.slot if step.members else wish.members[0].slot


def own_folder(wish: Wish, step: Step) -> str:
    """Where a command of the whole release keeps what it says on a host that runs the service. Taking a migration back forgets that it was run."""
    kept = f"{wish.root}/.{ONCE}-{step.release}"
    if step.name == ONCE:
        return kept
    if step.name == "migrate_down":
        _detached.forget(kept)
    return f"{wish.root}/.{step.name}"


def unusable(wish: Wish) -> List[str]:
    """What is wrong with the programs that hooks on this host name by an absolute path, a sentence each."""
    return [text for hook in wish.hooks if not hook.on for text in _unusable(hook, first_word(hook), "/")]


def unusable_in_release(wish: Wish) -> List[str]:
    """The same for the release's own programs, once it is staged. What runs before the stop is the old release's."""
    folder = f"{wish.root}/{wish.members[0].slot}/{wish.release}" if wish.members else ""
    mine = [hook for hook in wish.hooks if not hook.on and hook.at not in (VETO, "migrate_down") and folder]
    return [text for hook in mine for text in _unusable(hook, os.path.join(folder, first_word(hook)), folder)]


def _unusable(hook: Hook, path: str, folder: str) -> List[str]:
    word = first_word(hook)
    if "/" not in word or word.startswith("/") != (folder == "/") or any(letter in word for letter in "$`*~="):
        return []
    if not os.path.exists(path):
        return [f"bluegreen_{hook.at}: {path} is not there."]
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        return [f"bluegreen_{hook.at}: {path} is not an executable file: chmod +x, or name its interpreter first."]
    return []
