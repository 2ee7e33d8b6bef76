# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of a play: which one, what shall run there, and its modules run on the host that the task stands on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from .. import _hostvars, _render, _variables
from .._plain import plain
from .._runner import Lost
from . import _kubernetes_reads, _mapping, _resolve
from ._engine import Call, Engine
from ._service import Service

ROLES = {_mapping.SWARM: "swarm_service", _mapping.KUBERNETES: "kubernetes_deployment"}
_COLLECTIONS = {_mapping.SWARM: "community.docker", _mapping.KUBERNETES: "kubernetes.core"}


def named(action: ActionBase, task_vars: Mapping[str, Any]) -> str:
    """The engine of this host's service, ``hosts`` for none. :class:`Refusal` for one that nobody knows."""
    found = _variables.engine(_variables_of(action, task_vars), action._templar.template)
    if found not in (_variables.HOSTS, *_mapping.TITLES):
        raise Refusal(f"bluegreen_engine is {found!r}; one of {', '.join((_variables.HOSTS, *_mapping.TITLES))} is expected.")
    return found


def acts(action: ActionBase, task_vars: Mapping[str, Any]) -> bool:
    """Whether this host is the one that speaks to the engine: the first of the play, of the service's group where it has one."""
    play = task_vars["ansible_play_hosts_all"]
    group = action._templar.template(task_vars.get("bluegreen_group") or "")
    mine = [host for host in play if host in task_vars["groups"].get(group, ())] or play
    return bool(task_vars["inventory_hostname"] == mine[0])


def resolve(action: ActionBase, task_vars: Mapping[str, Any], engine: str, live: bool = False) -> tuple[Service, _resolve.Run]:
    """What shall run, and how the run goes. ``live``: no release is asked for, because the engine has had it."""
    variables, template = _variables_of(action, task_vars), action._templar.template
    values = _variables.collect(variables, template, _variables.ENGINE_LIVE if live else _variables.ENGINE)
    return _resolve.resolve({**values, "engine": engine}, _variables.given(variables, template))


def with_contents(action: ActionBase, task_vars: Mapping[str, Any], service: Service, run: _resolve.Run) -> Service:
    """The service with its files, read and rendered on the controller."""
    found = _render.render(action, task_vars, [file for file, _secret in run.configuration])
    return _resolve.with_files(service, {file.dest: file.content for file in found}, run)


def make(action: ActionBase, task_vars: Mapping[str, Any], service: Service, engine: str) -> Engine:
    """The engine, ready to be asked."""
    call = calls(action, task_vars, _COLLECTIONS[engine])
    if engine == _mapping.SWARM:
        from ._swarm import Swarm

        return Swarm(call, service.name, service.options)
    from ._kubernetes_sides import Sides

    return Sides(call, service.name, service.options, service.strategy == "blue_green")


def _variables_of(action: ActionBase, task_vars: Mapping[str, Any]) -> dict[str, Any]:
    return _hostvars.of(action, task_vars, str(task_vars["inventory_hostname"]))


def calls(action: ActionBase, task_vars: Mapping[str, Any], collection: str = "") -> Call:
    """Runs a module on the task's host; see :data:`_engine.Call`."""

    read = _kubernetes_reads.here(action) if collection == _COLLECTIONS[_mapping.KUBERNETES] else None

    def call(name: str, arguments: Mapping[str, Any], check_mode: bool | None = None, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        task, began = action._task, time.monotonic()
        if read is not None and name == _kubernetes_reads.MODULE:
            return read(arguments)
        kept = (task.check_mode, task.environment, task.no_log)
        task.check_mode = task.check_mode if check_mode is None else check_mode
        task.no_log = True  # else the module writes its arguments, the environment of the service among them, to the host's syslog
        if environment:
            task.environment = [*(task.environment or []), dict(environment)]
        try:
            result: dict[str, Any] = action._execute_module(name, dict(arguments), task_vars=dict(task_vars))
        except AnsibleConnectionFailure as error:
            raise Lost(plain(f"{task_vars['inventory_hostname']} does not answer: {error}")) from error
        except AnsibleError as error:
            if "was not found in configured module paths" in str(error) or "couldn't resolve" in str(error):
                raise Refusal(
                    f"{name} is not installed on the controller: ansible-galaxy collection install {collection}. In an execution environment, "
                    "it belongs into the image."
                ) from error
            raise Lost(plain(f"{task_vars['inventory_hostname']} cannot be worked on: {error}")) from error
        finally:
            task.check_mode, task.environment, task.no_log = kept
            with contextlib.suppress(AnsibleError):
                action.cleanup(force=True)
            action._display.vv(f"{task_vars['inventory_hostname']}: called {name}, {time.monotonic() - began:.2f} s")
        if result.get("unreachable"):
            raise Lost(plain(f"{task_vars['inventory_hostname']} does not answer: {result.get('msg', 'unreachable')}"))
        return result

    return call
