# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run modules of ours on any inventory host from one action, with that host's own connection and become."""

from __future__ import annotations

import contextvars
import functools
import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import become_loader, connection_loader
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, HostState, Refusal, Step, Wish, dump, load

from . import _hostvars
from ._runner import Abandoned, Answer, Lost

T = TypeVar("T")

_THREADS = 50
_ALIVE = 5  # seconds between ssh's questions whether the other end is still there; it gives up after the third
_BEAT = 15.0  # seconds between two signs of life; a lease lasts 60 without one


class Hosts:
    """The hosts of a fleet, as the runner's :class:`~_runner.Remote`. ``token`` is the run's lock, kept by the host of ``keeper``."""

    def __init__(self, action: ActionBase, task_vars: Mapping[str, Any], token: int = 0, keeper: Wish | None = None) -> None:
        self._action = action
        self._task_vars = task_vars
        self._token = token
        self._keeper = keeper
        self._actions: dict[str, tuple[ActionBase, dict[str, Any]]] = {}
        self._last_beat = time.monotonic()
        self._loading = threading.Lock()  # plugins are loaded one after the other: the loaders are not made for threads
        self._beating = threading.Lock()

    def module(self, host: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The result of ``hotswap.bluegreen.<name>`` on ``host``. :class:`Lost` without an answer, :class:`Refusal` if it fails."""
        try:
            action, variables = self._of(host)
            result: dict[str, Any] = action._execute_module(f"hotswap.bluegreen.{name}", dict(arguments), task_vars=variables)
        except AnsibleError as error:
            raise Lost(f"{host} does not answer: {error}") from error
        if result.get("lock_lost"):
            raise Abandoned(f"{host}: {result.get('msg')}")
        if result.get("unreachable"):
            raise Lost(f"{host} does not answer: {result.get('msg', 'unreachable')}")
        if result.get("failed"):
            words = (str(result.get(key) or "").strip() for key in ("msg", "module_stderr", "exception", "module_stdout"))
            raise Refusal(f"{host}: {next(filter(None, words), 'the module failed without a word')}")
        return result

    def observe(self, wish: Wish) -> HostState:
        return self._steps(wish, ()).state

    def walk(self, wish: Wish, steps: Sequence[Step]) -> Answer:
        self._beat(wish.host)
        return self._steps(wish, steps)

    def _beat(self, host: str) -> None:
        """A sign of life to the host that keeps the lock; a call to that very host is one itself."""
        with self._beating:
            if self._keeper is None or time.monotonic() - self._last_beat < _BEAT:
                return
            self._last_beat = time.monotonic()
            if host == self._keeper.host:
                return
            arguments = {"state": "extended", "token": self._token, "wish": dump(self._keeper)}
            try:
                self.module(self._keeper.host, "lock", arguments)
            except (Lost, Refusal) as error:
                raise Abandoned(f"the run's lock could not be kept: {error}") from error

    def all(self, hosts: Sequence[str], call: Callable[[str], T]) -> dict[str, T]:
        """``call`` for each host, at once."""
        return dict(zip(hosts, self.together([functools.partial(call, host) for host in hosts]), strict=True))

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """What the jobs return, all at the same time; when the last one has ended, the first error of theirs comes out."""
        if len(jobs) <= 1:
            return [job() for job in jobs]
        with ThreadPoolExecutor(min(_THREADS, len(jobs))) as pool:
            # ansible-core 2.19 and later keep their templating state in context variables: each thread needs a copy.
            running = [pool.submit(contextvars.copy_context().run, job) for job in jobs]
        return [job.result() for job in running]

    def _steps(self, wish: Wish, steps: Sequence[Step]) -> Answer:
        arguments = {
            "wish": dump(wish),
            "steps": [dump(step) for step in steps],
            "token": self._token,
            "keeps_lease": self._keeper is not None and wish.host == self._keeper.host,
        }
        result = self.module(wish.host, "steps", arguments)
        return Answer(
            state=load(HostState, result["state"]),
            events=tuple(load(Event, event) for event in result["events"]),
            waiting=load(Step, result["waiting"]) if result["waiting"] else None,
            failure=load(Failure, result["failure"]) if result["failure"] else None,
        )

    def _of(self, host: str) -> tuple[ActionBase, dict[str, Any]]:
        with self._loading:
            if host not in self._actions:
                self._actions[host] = self._make(host)
            return self._actions[host]

    def _make(self, host: str) -> tuple[ActionBase, dict[str, Any]]:
        """An action on ``host``, with that host's connection, shell and become."""
        mine = self._action
        variables = _hostvars.of(mine, self._task_vars, host)
        template = _hostvars.templater(mine, variables)
        task = mine._task.copy()
        context = mine._play_context.copy()
        name = template(variables.get("ansible_connection", mine._task.connection or C.DEFAULT_TRANSPORT))
        connection = connection_loader.get(name, context)
        # As ansible-core's own task executor does: keywords and command line first, the host's variables over them.
        keys = {**task.dump_attrs(), "timeout": context.timeout}
        keys.pop("retries", None)  # the task's, not the connection's
        if context.password:
            keys["password"] = context.password
        options = {**self._options("connection", connection._load_name, variables, template), "_extras": {}}
        options |= {"inventory_hostname": host, "ansible_host": template(variables.get("ansible_host", host))}
        connection.set_options(task_keys=keys, var_options=options)
        if connection.transport == "ssh":
            _notice_silence(connection)
        shell = getattr(connection, "_shell", None)
        if shell is not None:
            shell.set_options(task_keys=keys, var_options=self._options("shell", shell._load_name, variables, template))
        if boolean(template(variables.get("ansible_become", task.become)), strict=False):
            become = become_loader.get(template(variables.get("ansible_become_method", task.become_method or "sudo")))
            if context.become_pass:
                keys["become_pass"] = context.become_pass
            become.set_options(task_keys=keys, var_options=self._options("become", become._load_name, variables, template))
            connection.set_become_plugin(become)
        action = mine._shared_loader_obj.action_loader.get(
            "ansible.legacy.normal",
            task=task,
            connection=connection,
            play_context=context,
            loader=mine._loader,
            templar=mine._templar,
            shared_loader_obj=mine._shared_loader_obj,
        )
        return action, variables

    @staticmethod
    def _options(kind: str, name: str, variables: Mapping[str, Any], template: Callable[[Any], Any]) -> dict[str, Any]:
        known = C.config.get_plugin_vars(kind, name)
        return {option: template(variables[option]) for option in known if option in variables}


def _notice_silence(connection: ConnectionBase) -> None:
    """Let ssh give up on a host that fell silent in the middle of a call; without it, it waits for ever.

    The options of a shared connection are those it was made with, so ours is not the one that other tasks share.
    """
    common = connection.get_option("ssh_common_args") or ""
    connection.set_option("ssh_common_args", f"{common} -o ServerAliveInterval={_ALIVE} -o ServerAliveCountMax=3".strip())
    given = " ".join(filter(None, (common, connection.get_option("ssh_args"), connection.get_option("ssh_extra_args"))))
    if not connection.get_option("control_path") and "controlpath" not in given.lower():
        place = "-".join(str(connection.get_option(name)) for name in ("host", "port", "remote_user"))
        connection.set_option("control_path", f"%(directory)s/{hashlib.sha256(place.encode()).hexdigest()[:10]}-bg")
