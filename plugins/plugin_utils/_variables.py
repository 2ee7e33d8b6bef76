# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's variables of one host: collected as that host sees them, checked against the argument spec of a role.

The specs under ``roles/*/meta/argument_specs.yml`` are the only list of variables there is: types, defaults and
texts come from there. Play vars, role defaults and vars_files are invisible through hostvars, so this runs in a task
of each host.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

PREFIX = "bluegreen_"
FACTS = frozenset({"bluegreen_wish", "bluegreen_lock", "bluegreen_unknown"})  # what our own tasks set
_ROLES = Path(__file__).resolve().parents[2] / "roles"


def spec(role: str) -> dict[str, Any]:
    """The options of a role's argument spec, by variable name."""
    text = (_ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    options: dict[str, Any] = yaml.safe_load(text)["argument_specs"]["main"]["options"]
    return options


def collect(variables: Mapping[str, Any], template: Callable[[Any], Any], role: str = "release") -> dict[str, Any]:
    """The host's ``bluegreen_*`` variables, templated, typed and with defaults, by name without the prefix.

    ``role`` says which of them are used and required; the others have their defaults, because a value such as
    ``{{ bluegreen_release }}`` is not there yet while installing. :class:`Refusal` tells of all that is wrong at once.
    """
    known, own = spec("release"), spec(role)
    given = [name for name in variables if name.startswith(PREFIX) and name not in FACTS]
    problems = [_unknown(name, known) for name in sorted(given) if name not in known]
    values = {}
    for name in given:
        if name in own:
            try:
                values[name] = template(variables[name])
            except AnsibleError as error:
                problems.append(f"{name} cannot be resolved: {error}")
    options = {name: {**_plain(option), "required": own.get(name, {}).get("required", False)} for name, option in known.items()}
    checked = ArgumentSpecValidator(options).validate({name: value for name, value in values.items() if value is not None})
    problems += checked.error_messages
    if problems:
        raise Refusal("\n".join(problems))
    return {name.removeprefix(PREFIX): value for name, value in checked.validated_parameters.items()}


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"{name} is no variable of hotswap.bluegreen{f'; did you mean {close[0]}?' if close else ', see the table in its README.'}"


def _plain(option: Mapping[str, Any]) -> dict[str, Any]:
    """An option as modules know it: argument specs of roles have descriptions on top."""
    kept = {key: value for key, value in option.items() if key in ("type", "elements", "choices", "default", "no_log")}
    if "options" in option:
        kept["options"] = {name: {**_plain(inner), **({"required": True} if inner.get("required") else {})} for name, inner in option["options"].items()}
    return kept
