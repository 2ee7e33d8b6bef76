# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs modules on any inventory host from one action: that host's own connection, shell and become.

It does what ansible-core's task executor does for the host of a task, in the same order: keywords of the task and what
stands around it, then the command line, then the host's variables. The executor itself cannot be used: its signature
changes from version to version (2.16 to 2.21), and it would run the whole action again.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
from collections.abc import Mapping
from typing import Any

from ansible import constants as C
from ansible import errors
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar
from ansible.utils.sentinel import Sentinel

_ALIVE = 5  # seconds between ssh's questions whether the other end is still there; it gives up after the third
_KEYWORDS = ("connection", "port", "remote_user", "become", "become_exe", "become_flags", "become_method", "become_user", "environment")
_OMITTED = (errors.AnsibleValueOmittedError,) if hasattr(errors, "AnsibleValueOmittedError") else ()  # ansible-core 2.19 and later


def action_on(host: str, mine: ActionBase, variables: Mapping[str, Any]) -> ActionBase:
    """An action on ``host``, whose variables these are. ``mine`` is the one that does the work of all hosts.

    :class:`AnsibleError` for a connection or become method that does not exist, or a variable that cannot be templated.
    """
    templar = Templar(loader=mine._loader, variables=dict(variables))
    task = _task(mine, templar)
    context = _context(host, mine, task, variables, templar)
    if variables.get("ansible_connection") is not None:
        context.connection = templar.template(variables["ansible_connection"])
    else:
        context.connection = task.connection
    # Keywords as in the executor; new_stdin is for plugins of others that want it.
    shared = {"task_uuid": task._uuid, "ansible_playbook_pid": str(os.getppid()), "new_stdin": None}
    connection = connection_loader.get(context.connection, context, **shared)
    if connection is None:
        raise AnsibleError(f"the connection plugin {context.connection!r} was not found")
    _give_options(connection, task, context, variables, templar)
    if connection.transport == "ssh":
        _notice_silence(connection)
    action: ActionBase = mine._shared_loader_obj.action_loader.get(
        "ansible.legacy.normal",
        task=task,
        connection=connection,
        play_context=context,
        loader=mine._loader,
        templar=templar,
        shared_loader_obj=mine._shared_loader_obj,
    )
    return action


def _task(mine: ActionBase, templar: Templar) -> Task:
    """The action's task with the keywords of a connection as they stand in the playbook, templated for another host.

    Those of ``mine`` were templated for its own host.
    """
    task = mine._task.copy()
    written = task.get_ds() or {}
    task._squashed = task._finalized = False  # so that what the task does not say is looked for around it
    for name in _KEYWORDS:
        setattr(task, f"_{name}", written.get(name, Sentinel))
    raw = {name: getattr(task, name) for name in _KEYWORDS}
    task._squashed, task._finalized = mine._task._squashed, mine._task._finalized
    for name, value in raw.items():
        if name != "environment" and value is not None:  # the environment is a list of mappings, templated with each call
            value = task.get_validated_value(name, task.fattributes[name], templar.template(value), templar)
        setattr(task, f"_{name}", value)
    return task


def _context(host: str, mine: ActionBase, task: Task, variables: Mapping[str, Any], templar: Templar) -> PlayContext:
    """The play's context with what is this host's own.

    The context of ``mine`` has the passwords of its own host, which no other one may get to see. The process that the
    action runs in has the play's, with the passwords of the command line only.
    """
    plays = getattr(multiprocessing.current_process(), "_play_context", None)
    if plays is None:
        plays = mine._play_context.copy()
        plays.password = plays.become_pass = plays.remote_addr = None
    context: PlayContext = plays.set_task_and_variable_override(task=task, variables=variables, templar=templar)
    context.post_validate(templar=templar)
    context.remote_addr = context.remote_addr or host
    return context


def _give_options(connection: ConnectionBase, task: Task, context: PlayContext, variables: Mapping[str, Any], templar: Templar) -> None:
    keys = {**task.dump_attrs(), "timeout": context.timeout}
    del keys["retries"]  # the task's, not the connection's
    if context.password:
        keys["password"] = context.password
    _give(connection, "connection", keys, variables, templar, _extras={})
    if getattr(connection, "_shell", None) is not None:
        _give(connection._shell, "shell", keys, variables, templar)
    own = variables.get("ansible_become")
    if not (task.become if own is None else boolean(templar.template(own))):
        return
    method = templar.template(variables.get("ansible_become_method") or task.become_method)
    become = become_loader.get(method)
    if become is None:
        raise AnsibleError(f"the become method {method!r} was not found")
    if getattr(become, "require_tty", False) and not getattr(connection, "has_tty", False):
        raise AnsibleError(f"become method {method} needs a terminal, which the connection {connection.transport} does not provide")
    connection.set_become_plugin(become)
    context.set_become_plugin(become.name)
    if context.become_pass:
        keys["become_pass"] = context.become_pass
    _give(become, "become", keys, variables, templar)


def _give(plugin: Any, kind: str, keys: Mapping[str, Any], variables: Mapping[str, Any], templar: Templar, **more: Any) -> None:
    options = dict(more)
    for name in C.config.get_plugin_vars(kind, plugin._load_name):
        if name in variables:
            with contextlib.suppress(*_OMITTED):
                options[name] = templar.template(variables[name])
    plugin.set_options(task_keys=keys, var_options=options)


def _notice_silence(connection: ConnectionBase) -> None:
    """Let ssh give up on a host that fell silent in the middle of a call; without it, it waits for ever.

    What the user says of it in Ansible's settings stays. The options of a shared connection are those it was made with,
    so ours is not the one that other tasks share, unless the user says where connections are shared.
    """
    given = " ".join(str(connection.get_option(name) or "") for name in ("ssh_args", "ssh_common_args", "ssh_extra_args"))
    if "serveraliveinterval" not in given.lower():
        common = connection.get_option("ssh_common_args") or ""
        connection.set_option("ssh_common_args", f"{common} -o ServerAliveInterval={_ALIVE} -o ServerAliveCountMax=3".strip())
    if not connection.get_option("control_path") and "controlpath" not in given.lower():
        # As long as ansible-core's own, because a socket's path is limited.
        place = "-".join(str(connection.get_option(name)) for name in ("host", "port", "remote_user", "private_key_file"))
        connection.set_option("control_path", f"%(directory)s/{hashlib.sha256(f'{place}-bluegreen'.encode()).hexdigest()[:10]}")
