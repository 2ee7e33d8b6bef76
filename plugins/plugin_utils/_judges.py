# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Others who judge a canary: a query to Prometheus, a command. All are asked at the same time, from the controller, and nobody waits for them.

No word of theirs has a header, a query or a command's arguments. Who cannot judge says nothing against the release.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _config_checks, _health
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from ._canary import Opinion
from ._canary_rules import Judge
from ._plain import plain

_EVERY = 10.0  # seconds from one answer of a judge to the next question
_SPARE = 2.0  # seconds beyond a judge's own time, after which it has not answered


class _Asked:
    """One question to one judge, in a thread that nobody waits for: a name that cannot be resolved keeps it longer than its time."""

    def __init__(self, judge: Judge, told: Mapping[str, str], folder: str, now: float) -> None:
        self.began = now
        self.said: tuple[str, str] | None = None  # verdict and words
        threading.Thread(target=self._ask, args=(judge, told, folder), name="judge", daemon=True).start()

    def _ask(self, judge: Judge, told: Mapping[str, str], folder: str) -> None:
        try:
            verdict, words = _query(judge) if judge.url else _command(judge, told, folder)
        except Refusal as error:
            verdict, words = "unknown", str(error)
        except Exception as error:  # whatever a library raises is no judgement, and may have the query in its text
            verdict, words = "unknown", f"it could not be asked ({type(error).__name__})"
        self.said = (verdict, plain(words))


class Panel:
    """All judges of a canary. Commands run in ``folder`` with ``told`` in their environment; ``warn`` hears once why one could not judge."""

    def __init__(
        self, judges: Sequence[Judge], told: Mapping[str, str], folder: str, warn: Callable[[str], Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._judges = judges
        self._told = dict(told)
        self._folder = folder
        self._warn = warn
        self._clock = clock
        self._warned: set[tuple[int, str]] = set()
        self._asked: dict[int, _Asked] = {}
        self._latest: dict[int, Opinion] = {}
        self._when: dict[int, float] = {}

    def begin(self, percent: float) -> None:
        """A step begins: what was said before says nothing of it."""
        self._told = {**self._told, "BLUEGREEN_WEIGHT": f"{percent:g}"}
        for kept in (self._asked, self._latest, self._when):
            kept.clear()

    def opinions(self) -> tuple[Opinion, ...]:
        """The latest of each, pending from one that has not answered in this step yet. Who is due is asked again."""
        now = self._clock()
        for judge in self._judges:
            asked = self._asked.get(judge.number)
            if asked:
                self._hear(judge, asked, now)
            elif now - self._when.get(judge.number, -math.inf) >= _EVERY:
                self._asked[judge.number] = _Asked(judge, self._told, self._folder, now)
        return tuple(self._latest.get(judge.number, Opinion(judge.name, "pending")) for judge in self._judges)

    def _hear(self, judge: Judge, asked: _Asked, now: float) -> None:
        said = asked.said
        if said is None and now - asked.began > judge.timeout + _SPARE:
            said = ("unknown", f"it did not answer within {judge.timeout:g} s")
        if said is None:
            return
        del self._asked[judge.number]
        self._when[judge.number] = now
        self._latest[judge.number] = Opinion(judge.name, *said)
        if said[0] == "unknown" and (judge.number, said[1]) not in self._warned:
            self._warned.add((judge.number, said[1]))
            self._warn(f"{judge.name} could not judge the canary: {said[1]}")


def _query(judge: Judge) -> tuple[str, str]:
    """What a Prometheus says. :class:`Refusal` where that is no number."""
    parts = urlsplit(judge.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = f"{parts.path.rstrip('/')}/api/v1/query?{urlencode({'query': judge.query})}"
    try:
        status, _headers, body = _health.fetch(kind(parts.hostname or "", parts.port, timeout=judge.timeout), path, judge.headers, judge.timeout)
    except OSError as error:
        raise Refusal(f"no answer ({error.strerror or type(error).__name__})") from None
    except http.client.HTTPException as error:
        raise Refusal(f"no whole answer ({type(error).__name__})") from None
    number = _number(status, body)
    words = f"the query gives {number:g}, at most {judge.most:g} is expected"
    return ("worse" if number > judge.most else "good"), words


def _number(status: int, body: str) -> float:
    """The one number of an answer."""
    try:
        said: Any = json.loads(body)
        data = said["data"] if said["status"] == "success" else None
        values = [data["result"]] if data and data["resultType"] == "scalar" else [row["value"] for row in data["result"]] if data else []
        numbers = [float(value[1]) for value in values]
    except (ValueError, TypeError, KeyError, IndexError):
        raise Refusal(f"status {status}, and no answer of a Prometheus to a query for one number") from None
    if data is None:
        why = str(said.get("errorType"))
        raise Refusal(f"status {status}, the query was not answered ({why if re.fullmatch('[a-z_]{1,30}', why) else 'no reason given'})")
    if len(numbers) != 1:
        raise Refusal(f"the query gives {len(numbers) or 'no'} values, one is expected")
    if not math.isfinite(numbers[0]):
        raise Refusal(f"the query gives {numbers[0]:g}, which is no number to judge by")
    return numbers[0]


def _command(judge: Judge, told: Mapping[str, str], folder: str) -> tuple[str, str]:
    """What a command on the controller says."""
    code, text = _config_checks.run(judge.command, judge.timeout, {**os.environ, **told}, folder)
    return {0: "good", 1: "worse"}.get(-1 if code is None else code, "unknown"), _config_checks.words(code, text)
