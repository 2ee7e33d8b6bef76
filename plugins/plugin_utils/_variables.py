# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's variables of one host: collected as that host sees them, checked against the argument spec of a role.

The specs under ``roles/*/meta/argument_specs.yml`` are the only list of variables there is: types, defaults and
texts come from there. Play vars, role defaults and vars_files are invisible through hostvars, so this runs in a task
of each host.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from . import _runtimes, _values

PREFIX = "bluegreen_"
LIVE = "live"
ENGINE, ENGINE_LIVE = "engine", "engine live"
HOSTS = "hosts"
_RUNTIME = f"{PREFIX}runtime"
FACTS = frozenset(
    {
        "bluegreen_wish",
        "bluegreen_lock",
        "bluegreen_unknown",
        "bluegreen_would_wait",
        "bluegreen_unreachable",
        "bluegreen_worked_on",
        "bluegreen_verdict",
        "bluegreen_jobs",
        "bluegreen_staging_seconds",
        "bluegreen_overridden",
        "bluegreen_rollback",
        "bluegreen_swapped",
        "bluegreen_previous_release",
        "bluegreen_returned",
        "bluegreen_report",
        "bluegreen_probing",
        "bluegreen_told",
        "bluegreen_finished",
        "bluegreen_run",
        "bluegreen_role",
    }
)  # what our own tasks set
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is eight times as fast as Python's
_STAGING = frozenset(  # nothing else needs them
    f"{PREFIX}{name}"
    for name in (
        *("command", "source", "environment", "build", "build_in", "build_timeout", "shared_paths", "writable_paths", "config_files"),
        *("config_checks", "window", "window_override", "before_release"),
    )
)
_OF_HOSTS = frozenset(f"{PREFIX}{name}" for name in ("command", "source"))  # an engine's release is an image
_RECORDED = frozenset(f"{PREFIX}{name}" for name in ("release", "health_path", "health_status", "health_body", "health_header"))  # a release's record has them
_ROLES = Path(__file__).resolve().parents[2] / "roles"


@functools.lru_cache
def spec(role: str) -> dict[str, Any]:
    """The options of a role's argument spec, by variable name.

    ``live`` is no role: what is used of the release's where nothing is staged, because the releases are on the hosts already. Nor is
    ``engine``, the release's for a service that is an image; ``engine live`` is of that what a rollback asks for.
    """
    if role == LIVE:
        return {name: {**option, "required": name == f"{PREFIX}service"} for name, option in spec("release").items() if name not in _STAGING}
    if role == ENGINE_LIVE:
        left = _STAGING | {f"{PREFIX}{name}" for name in ("release", "image", "image_dir", "migrate")}
        return {name: option for name, option in spec(ENGINE).items() if name not in left}
    if role == ENGINE:
        own: dict[str, dict[str, Any]] = {
            f"{PREFIX}image": {"required": True},
            f"{PREFIX}on_failure": {"default": "fleet"},
            **{name: {"required": False} for name in _OF_HOSTS},
        }
        return {name: {**option, **own.get(name, {})} for name, option in spec("release").items()}
    text = (_ROLES / role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
    options: dict[str, Any] = yaml.load(text, _LOADER)["argument_specs"]["main"]["options"]
    return options


def engine(variables: Mapping[str, Any], template: Callable[[Any], Any]) -> str:
    """What runs the service, as far as that can be told before anything else is known of it."""
    name = f"{PREFIX}engine"
    try:
        return str(template(variables[name]) or HOSTS) if name in variables else HOSTS
    except AnsibleError:  # said when the variables are collected
        return HOSTS


def given(variables: Mapping[str, Any], template: Callable[[Any], Any]) -> frozenset[str]:
    """The names of ours, without the prefix, that the user has set to anything but what they are by default."""
    found = set()
    for name, option in spec("release").items():
        with contextlib.suppress(AnsibleError):
            value = template(variables[name]) if name in variables else None
            if value not in (None, "", [], {}) and value != option.get("default"):
                found.add(name.removeprefix(PREFIX))
    return frozenset(found)


def collect(variables: Mapping[str, Any], template: Callable[[Any], Any], role: str = "release", base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The host's ``bluegreen_*`` variables, templated, typed and with defaults, by name without the prefix.

    ``role`` says which of them are used and required; the others have their defaults, because a value such as
    ``{{ bluegreen_release }}`` is not there yet while installing. ``base`` has the values of what is not given here: a
    balancer takes them from the service's first host. An empty text is as good as none, where it is not the default itself
    (then it may outdo what a runtime brings). :class:`Refusal` tells of all that is wrong at once.
    """
    if role not in (ENGINE, ENGINE_LIVE) and engine(variables, template) != HOSTS:
        raise Refusal(
            f"bluegreen_engine is {engine(variables, template)}, and this is for plain hosts. For an engine there are hotswap.bluegreen.release, rollback, "
            "status and unlock; what else is to be done with its nodes is done with its own commands."
        )
    known, own = spec("release"), spec(role)
    given = sorted(name for name in variables if name.startswith(PREFIX) and name not in FACTS)
    problems = [
        f"{name} is no variable of hotswap.bluegreen; {_values.unknown(name, known, 'see its docs/variables.md.', PREFIX)}"
        for name in given
        if name not in known
    ]
    found: dict[str, Any] = {}
    presets: dict[str, Any] = {}
    for name, option in sorted(known.items(), key=lambda item: item[0] != _RUNTIME):
        value = None
        if name in own and name in given:
            try:
                value = template(variables[name])
            except AnsibleError as error:
                if base is not None:  # what a balancer cannot resolve is the members' own
                    found[name] = base.get(name.removeprefix(PREFIX))
                    continue
                if not (role == LIVE and name in _RECORDED):  # they may name a release, and none is asked for
                    problems.append(f"{name} cannot be resolved: {error}")
                    continue
        if value == "" and option.get("default") != "":  # an answer that a survey of AWX was not given
            value = None
        if value is None and base is not None:
            found[name] = base.get(name.removeprefix(PREFIX))
            continue
        if value is None and own.get(name, {}).get("required"):
            problems.append(f"{name} is not set and has no default: set it in group_vars, in the play's vars, or with -e {name}=….")
            continue
        value = presets.get(name.removeprefix(PREFIX), own.get(name, option).get("default")) if value is None else value
        found[name], wrong = (None, []) if value is None else _values.read(name, value, option)
        problems += wrong
        if name == _RUNTIME:  # it comes first: what the user does not set is as this runtime likes it
            presets = _runtimes.defaults(found[name])
    if problems:
        raise Refusal("\n".join(problems))
    return {name.removeprefix(PREFIX): value for name, value in found.items()}
