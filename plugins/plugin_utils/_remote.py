# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run modules of ours on any inventory host from one action, with that host's own connection and become."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _hooks
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Refusal, Step, Wish, dump, load
from ansible_collections.hotswap.bluegreen.plugins.module_utils._orders import Order
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Hook
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState

from . import _hostvars, _reach
from ._plain import plain
from ._runner import Abandoned, Answer, Lost

T = TypeVar("T")

_THREADS = 50
_BEAT = 15.0  # seconds between two signs of life; a lease lasts 60 without one


class Hosts:
    """The hosts of a fleet, as the runner's :class:`~_runner.Remote`. ``token`` is the run's lock, kept by the host of ``keeper``."""

    def __init__(self, action: ActionBase, task_vars: Mapping[str, Any], token: int = 0, keeper: Wish | None = None) -> None:
        self._action = action
        self._task_vars = task_vars
        self._token = token
        self._keeper = keeper
        self._actions: dict[str, tuple[ActionBase, dict[str, Any]]] = {}
        self._last_beat = -math.inf  # the first call of a walk is one: from there on the lock lasts no longer than a heartbeat
        self._loading = threading.Lock()  # plugins are loaded one after the other: the loaders are not made for threads
        self._beating = threading.Lock()

    def module(self, host: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The result of ``hotswap.bluegreen.<name>`` on ``host``. :class:`Lost` without an answer, :class:`Refusal` if it fails."""
        began = time.monotonic()
        try:
            action, variables = self._of(host)
            result: dict[str, Any] = action._execute_module(f"hotswap.bluegreen.{name}", dict(arguments), task_vars=variables)
        except AnsibleConnectionFailure as error:
            raise Lost(plain(f"{host} does not answer: {error}")) from error
        except AnsibleError as error:  # the connection or become could not be made: nothing was run there
            raise Lost(plain(f"{host} cannot be worked on: {error}")) from error
        with contextlib.suppress(AnsibleError):  # what the module said is known; without pipelining, it has left a directory
            action.cleanup(force=True)
        self._action._display.vv(f"{host}: called {name}{_of_what(arguments)}, {time.monotonic() - began:.2f} s")
        if result.get("lock_lost"):
            raise Abandoned(plain(f"{host}: {result.get('msg')}"))
        if result.get("unreachable"):
            raise Lost(plain(f"{host} does not answer: {result.get('msg', 'unreachable')}"))
        if result.get("failed"):
            raise Refusal(plain(f"{host}: {_words(result)}"))
        return result

    def observe(self, wish: Wish) -> HostState:
        state = self._steps(wish, ()).state
        if state is None:  # the module steps always looks
            raise AssertionError
        return state

    def walk(self, wish: Wish, steps: Sequence[Step]) -> Answer:
        self._beat(wish.host)
        return self._steps(wish, steps)

    def elsewhere(self, wish: Wish, step: Step) -> Answer:
        """A slice of a hook that is not run on the member's own host, or of one of the whole release. A host that cannot be asked fails the hook."""
        self._beat(step.host)
        told, hook = _hooks.variables(wish, step), step.hook
        if hook is None:  # what brought us here
            raise AssertionError
        if step.host == _hooks.CONTROLLER:
            event, waiting, failure = _hooks.once(step, step.host, _hooks.anywhere(hook, told, cwd=self._action._loader.get_basedir()))
            return _answer(None, [event], waiting, failure)
        own = dump(wish) if step.host == wish.host else {}
        arguments = {"step": dump(step), "wish": own, "told": told, "token": self._token, "keeps_lease": self._keeps(step.host)}
        try:
            found = self.module(step.host, "hook", arguments)
        except (Lost, Refusal) as error:
            return self._not_run(step, hook, str(error))
        return _heard(None, {**found, "events": [found["event"]]})

    def _not_run(self, step: Step, hook: Hook, why: str) -> Answer:
        """The hook could not be run at all."""
        outcome = "overtime" if hook.on_failure == "warn" else "failed"
        event = Event(step.name, step.member, outcome, time.time(), 0.0, why, step.host)
        failure = Failure(step.member, step.name, f"bluegreen_{hook.at} {hook.shown!r} can be run on {step.host}", why, (), step.host)
        return Answer(None, (event,), None, failure if outcome == "failed" else None)

    def _keeps(self, host: str) -> bool:
        """Whether the run's lease is kept on this host."""
        return self._keeper is not None and host == self._keeper.host

    def _beat(self, host: str) -> None:
        """A sign of life to the host that keeps the lock; a call to that very host is one itself."""
        with self._beating:
            if self._keeper is None or time.monotonic() - self._last_beat < _BEAT:
                return
            self._last_beat = time.monotonic()
            if host != self._keeper.host:
                self._ask_keeper("extended")

    def signs(self) -> Order | None:
        """What the run was told meanwhile by a person, None if nothing. The call is a sign of life as well."""
        if self._keeper is None:
            return None
        found = self._ask_keeper("extended")["order"]
        return Order(**{**found, "reason": plain(found["reason"]), "by": {key: plain(str(text)) for key, text in found["by"].items()}}) if found else None

    def obeyed(self, order: Order) -> None:
        """Take away an order that was obeyed, so that it is not obeyed twice and whoever gave it knows."""
        self._ask_keeper("obeyed", at=order.at)

    def _ask_keeper(self, state: str, **more: Any) -> dict[str, Any]:
        """An answer of the host that keeps the run's lock. Without one the run may not go on."""
        if self._keeper is None:  # who has a token has a lock
            raise AssertionError
        self._last_beat = time.monotonic()
        try:
            return self.module(self._keeper.host, "lock", {"state": state, "token": self._token, "wish": dump(self._keeper), **more})
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
            running = [pool.submit(contextvars.copy_context().run, _apart, job) for job in jobs]
        return [job.result() for job in running]

    def _steps(self, wish: Wish, steps: Sequence[Step]) -> Answer:
        arguments = {
            "wish": dump(wish),
            "steps": [dump(step) for step in steps],
            "token": self._token,
            "keeps_lease": self._keeps(wish.host),
        }
        result = self.module(wish.host, "steps", arguments)
        return _heard(load(HostState, result["state"]), result)

    def _of(self, host: str) -> tuple[ActionBase, dict[str, Any]]:
        with self._loading:
            if host not in self._actions:
                self._actions[host] = self._make(host)
            return self._actions[host]

    def _make(self, host: str) -> tuple[ActionBase, dict[str, Any]]:
        variables = _hostvars.of(self._action, self._task_vars, host)
        return _reach.action_on(host, self._action, variables), variables


def _of_what(arguments: Mapping[str, Any]) -> str:
    """What a call was for, for who reads the calls: its steps, or its state."""
    steps = [step["name"] for step in arguments.get("steps", ())]
    return f" ({', '.join(steps) or arguments['state']})" if steps or isinstance(arguments.get("state"), str) else ""


def _heard(state: HostState | None, result: Mapping[str, Any]) -> Answer:
    """A module's result as the answer to a call."""
    waiting = load(Step, result["waiting"]) if result["waiting"] else None
    failure = load(Failure, result["failure"]) if result["failure"] else None
    answer = _answer(state, [load(Event, event) for event in result["events"]], waiting, failure)
    return replace(answer, found=result.get("found") or {})


def _answer(state: HostState | None, events: Sequence[Event], waiting: Step | None, failure: Failure | None) -> Answer:
    """An answer, with what programs said made fit to be shown: in lines, in messages, and in results of tasks."""
    told = tuple(replace(event, detail=plain(event.detail)) for event in events)
    if failure:
        failure = replace(failure, seen=plain(failure.seen), expected=plain(failure.expected), log=tuple(map(plain, failure.log)))
    return Answer(state, told, waiting, failure)


def _words(result: Mapping[str, Any]) -> str:
    """Why a module failed. Where it could not even be started, that is not in its message but in what the host said."""
    found = (str(result.get(key) or "").strip() for key in ("msg", "module_stderr", "module_stdout"))
    crash = result.get("exception")
    why = getattr(getattr(crash, "event", None), "msg", "") or crash  # ansible-core 2.19 and later make an object of it
    return "\n".join(filter(None, found)) or str(why or "the module failed without a word")


def _apart(job: Callable[[], T]) -> T:
    """The job in a thread's own copy of the context, with what cannot be shared made anew.

    Of one variable a copy has the same object, a stack: two threads that template at the same time would take each
    other's entries from it ("Out-of-order context deactivation").
    """
    for variable, value in contextvars.copy_context().items():
        if variable.name == "AnsibleAccessContext":
            variable.set(type(value)())
    return job()
