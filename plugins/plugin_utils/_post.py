# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends messages: a few attempts each, all targets at the same time, within a bounded time. Nothing that fails here fails a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from . import _webhooks
from ._message import Message
from ._notify_rules import Target

ATTEMPTS = 3
_PAUSES = (0.5, 1.5)  # seconds before the second and the third attempt
_SPARE = 1.0
_MOST = 1 << 16  # bytes of an answer


def send(targets: Sequence[Target], message: Message, sleep: Callable[[float], Any] = time.sleep) -> dict[int, str]:
    """Tell every target; by its number, why it could not be told, '' if it was.

    A server that answers a byte at a time keeps its own attempt busy for as long as it likes, so nobody waits for an
    attempt that is over its time: its thread ends with this process.
    """
    told: dict[int, str] = {}

    def deliver(number: int) -> None:
        why = _deliver(targets[number], message, sleep)
        told.setdefault(number, why)

    threads = [threading.Thread(target=deliver, args=(number,), name="message", daemon=True) for number in range(len(targets))]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    for number, thread in enumerate(threads):
        limit = ATTEMPTS * targets[number].timeout + sum(_PAUSES) + _SPARE
        thread.join(max(0.0, began + limit - time.monotonic()))
        told.setdefault(number, f"it did not answer in full within {limit:.0f} s")
    return dict(sorted(told.items()))


def _deliver(target: Target, message: Message, sleep: Callable[[float], Any]) -> str:
    """Up to three attempts; why the last one failed."""
    verdict = _webhooks.Verdict()
    for number in range(ATTEMPTS):
        if number:
            sleep(_PAUSES[number - 1])
        try:
            verdict = _attempt(target, message)
        except Exception as error:  # whatever a library raises names the URL; a message is no reason to fail
            verdict = _webhooks.Verdict(f"it could not be asked ({type(error).__name__})")
        if not verdict.again:
            return verdict.why
    return f"{verdict.why} ({ATTEMPTS} attempts)"


def _attempt(target: Target, message: Message) -> _webhooks.Verdict:
    import requests  # the library of the user's controller: only those who send messages need it

    request = _webhooks.render(target, message, time.time())  # a signature is good for its own time only
    try:
        with requests.post(request.url, data=request.data, headers=dict(request.headers), timeout=target.timeout, allow_redirects=False, stream=True) as answer:
            return _webhooks.judge(target, answer.status_code, next(answer.iter_content(_MOST), b""))
    except requests.exceptions.SSLError:
        return _webhooks.Verdict("its TLS certificate is not accepted, or it speaks no TLS")
    except requests.exceptions.ProxyError:
        return _webhooks.Verdict("the proxy of the environment does not let it through", again=True)
    except requests.exceptions.Timeout:
        return _webhooks.Verdict(f"it did not answer within {target.timeout:g} s", again=True)
    except OSError as error:  # all others of requests are
        return _webhooks.Verdict(_why(error), again=True)


def _why(error: BaseException | None) -> str:
    """What the system said of a connection, from the bottom of the exceptions: those above it repeat the URL."""
    seen: set[int] = set()
    words = ""
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and one.strerror and isinstance(one.errno, int):
            return f"it could not be reached: {one.strerror}"
        words = words or ("it did not answer in full in time" if "Timeout" in type(one).__name__ else "")
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return words or "the connection broke off"
