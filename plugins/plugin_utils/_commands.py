# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in words, and the environment as texts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member
from ansible_collections.hotswap.bluegreen.plugins.module_utils._program import check_environment, slot_variables

from ._rules import Problems
from ._values import show

_SHELL = frozenset({"&&", "||", ";", "|", "&", ">", ">>", "<", "2>&1"})


def words(value: Any, name: str, problems: Problems) -> tuple[str, ...]:
    """A command in words: a list as it is, a string split as a shell splits words."""
    if value is None:
        return ()
    if isinstance(value, (list, tuple)):
        found = list(value)
        if not problems.unless(all(is_word(word) for word in found), f"{name}: a word of it is no text; put each in quotes."):
            return ()
    elif isinstance(value, str):
        try:
            found = shlex.split(value)
        except ValueError as error:
            problems.found.append(f"{name} cannot be split into words ({error}); close the quotation.")
            return ()
        for word in sorted(_SHELL.intersection(found)):
            problems.found.append(f"{name} runs without a shell, so {word!r} would be an argument. Use a script of the release, or exec in sh -c.")
    else:
        problems.found.append(f"{name} is {show(value)}; a text or a list of words is expected.")
        return ()
    if not problems.unless(found and found[0] != "", f"{name} is empty."):
        return ()
    texts = tuple(str(word) for word in found)
    problems.unless(not any("\0" in word for word in texts), f"{name} holds a NUL byte, which no process can be given.")
    problems.unless(
        texts[0].startswith("/") or ".." not in texts[0].split("/"), f"{name}: {show(texts[0])} climbs out of the release; a path inside of it is expected."
    )
    return texts


def is_word(value: Any) -> bool:
    """Whether it is text, or a number that is written in one way only."""
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def build(value: Any, problems: Problems) -> tuple[str, ...]:
    """The build command: a string is for sh, as one word; a list is run as it is."""
    if not value:
        return ()
    if isinstance(value, str):
        problems.unless("\0" not in value, "bluegreen_build holds a NUL byte, which no process can be given.")
        return (value,)
    if isinstance(value, (list, tuple)) and len(value) > 1:
        return words(value, "bluegreen_build", problems)
    problems.found.append(f"bluegreen_build is {show(value)}; a text for sh or a list of at least two words is expected.")
    return ()


def environment(values: Mapping[str, Any], members: tuple[Member, ...], problems: Problems) -> dict[str, str]:
    """The environment as texts. Its values may be secrets and are in no sentence."""
    try:
        found: dict[str, str] = check_environment(values["environment"])
    except Refusal as error:
        problems.found.append(str(error))
        return {}
    ours = {"BLUEGREEN_RELEASE", *(name for member in members if member.ports for name in slot_variables(member, values["service"]))}
    if values["drain_signal"] or values["drain_url"]:
        ours.add("BLUEGREEN_DRAIN_WINDOW")
    if values["strategy"] == "reload":
        ours.update(("BLUEGREEN_CURRENT", "PWD"))
    for name in sorted(ours & set(found)):
        problems.found.append(f"bluegreen_environment: {name} is set by the collection itself for each slot; take it out.")
    return found
