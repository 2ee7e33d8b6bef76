# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A value against its option of an argument spec: converted, or a sentence that names it. Pure.

Ansible's own check speaks of Python's classes, drops a dictionary's name, and cuts a JSON list at its commas.
Text that stands for something else is read as JSON, because extra vars and AWX surveys know nothing but text.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

_LETTERS = 40  # of a wrong value that a sentence repeats


class Wrong(Exception):
    """The value is not what its option expects; the text says what that is, or why not."""


def read(name: str, value: Any, option: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """``value`` as its option wants it, and a sentence for each fault. ``name`` is how the user knows it."""
    kind = option.get("type", "str")
    if "choices" in option and isinstance(value, bool):
        value = str(value).lower()
    try:
        found = _READERS[kind](value)
    except Wrong as wrong:
        # What stands in the place of a dictionary or in one may be a secret.
        hidden = option.get("no_log") or (kind in ("dict", "list") and isinstance(value, str))
        return None, [f"{name} is {'not right' if option.get('no_log') else 'a text' if hidden else show(value)}; {wrong}."]
    if "choices" in option and found not in option["choices"]:
        return None, [f"{name} is {show(value)}; one of {', '.join(map(str, option['choices']))} is expected."]
    if isinstance(found, list) and "elements" in option:
        inner = {key: option[key] for key in ("options",) if key in option} | {"type": option["elements"]}
        return _all((read(f"{name}, entry {number}", item, inner) for number, item in enumerate(found, 1)))
    if isinstance(found, dict) and "options" in option:
        return _entries(name, found, option["options"])
    return found, []


def unknown(name: str, known: Iterable[str], otherwise: str, prefix: str = "") -> str:
    """What to do about a name that nobody knows: the one that was meant, or ``otherwise``. ``prefix`` is common to all."""
    close = difflib.get_close_matches(name.removeprefix(prefix), [other.removeprefix(prefix) for other in known], 1)
    return f"did you mean {prefix}{close[0]}?" if close else otherwise


def _all(read_ones: Iterable[tuple[Any, list[str]]]) -> tuple[list[Any], list[str]]:
    pairs = list(read_ones)
    return [value for value, _other in pairs], [problem for _other, problems in pairs for problem in problems]


def _entries(name: str, given: Mapping[Any, Any], options: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """A dictionary with known keys; the ones that are not there get their defaults."""
    known = ", ".join(sorted(options))
    if "on" in options:  # YAML 1.1 reads the word as true, as a key, too
        given = {("on" if key is True else key): value for key, value in given.items()}
    problems = [f"{name}: {key} is no key of it; {unknown(str(key), options, f'known are {known}.')}" for key in given if key not in options]
    values: dict[str, Any] = {}
    for key, option in options.items():
        value = given.get(key)
        if value is None:
            value = option.get("default")
        values[key], wrong = (None, []) if value is None else read(f"{name}: {key}", value, option)
        problems += wrong
    return values, problems


def show(value: Any) -> str:
    """A wrong value in a sentence: what is in a container may be a secret, so only its kind is told."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    for kind, word in ((Mapping, "a dictionary"), (list, "a list"), (tuple, "a list"), (type(None), "empty")):
        if isinstance(value, kind):
            return word
    text = str(value)
    return repr(text) if len(text) <= _LETTERS else f"{text[:_LETTERS]!r}… ({len(text)} characters)"


def _text(value: Any) -> str:
    if isinstance(value, float):
        raise Wrong("YAML may have cut it (1.10 is read as 1.1): put it in quotes")
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return str(value)
    raise Wrong("a text is expected (in quotes, if YAML takes it for something else)")


def _whole(value: Any) -> int:
    try:
        if not isinstance(value, bool) and float(value) == int(float(value)):
            return int(float(value))
    except (TypeError, ValueError, OverflowError):
        pass
    raise Wrong("a whole number is expected")


def _number(value: Any) -> float:
    try:
        if not isinstance(value, bool):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise Wrong("a number is expected")


def _flag(value: Any) -> bool:
    try:
        return bool(boolean(value))
    except TypeError:
        raise Wrong("true or false is expected") from None


def _path(value: Any) -> str:
    return os.path.expanduser(os.path.expandvars(_text(value)))


def _list(value: Any) -> list[Any]:
    found = parsed(value)
    if isinstance(found, (list, tuple)):
        return list(found)
    raise Wrong("a list is expected")


def listed(value: Any) -> list[Any]:
    """A list as it is, or as a text has it (``[1, 5, "20%"]``, ``1, 5, 20%``, or line by line); anything else as its only entry."""
    found = parsed(value)
    if isinstance(found, str):
        found = found.strip()
        if "," in found or "\n" in found or found.startswith("["):
            return [word.strip(" '\"") for word in re.split(r"\s*[,\n]\s*", found.strip("[] "))]
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _dictionary(value: Any) -> dict[Any, Any]:
    found = parsed(value)
    if isinstance(found, Mapping):
        return dict(found)
    raise Wrong("a dictionary is expected")


def parsed(value: Any) -> Any:
    """What a text of JSON stands for; everything else as it is."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "int": _whole,
    "float": _number,
    "bool": _flag,
    "path": _path,
    "list": _list,
    "dict": _dictionary,
    "raw": lambda value: value,
}
