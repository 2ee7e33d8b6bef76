# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a run's journal into ``report.json`` and ``report.html`` beside it, and hand on how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _artifacts, _fleet, _journal, _report, _task


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.report): one task for all hosts of the play, on the controller."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"path"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = {**super().run(tmp, task_vars), "changed": False}
        variables = task_vars or {}
        path = str(self._task.args.get("path") or "")
        if path:
            return {**result, **self._of_path(Path(path).expanduser().absolute())}
        journal = _journal.of(variables)
        made: dict[str, Any] = {"msg": "this run has no journal: bluegreen_report_dir is not set"}
        if journal.folder:
            try:
                journal.write("verdict", booked=_task.verdict(variables), changed=_task.swapped(variables))
                made = self._written(Path(journal.folder))
            except Exception as error:  # whatever it is: the release is done, and a picture of it must not make it fail
                why = f"the report in {journal.folder} could not be made: {error}. Its journal can be made into one later: see docs/report.md."
                made = {"msg": why, "warnings": [why]}
        return {**result, **made, **self._handed_on(variables, made.get("html", ""))}

    def _handed_on(self, variables: dict[str, Any], report: str) -> dict[str, Any]:
        """The run's custom stats; none in a play that releases nothing."""
        try:
            fleet = _fleet.of(self, variables)
        except Refusal:
            return {}
        failed = bool(_task.verdict(variables) or _task.gone(variables, [wish.host for wish in fleet.wishes]))
        how = (bool(_task.lock(variables)), _task.reached_the_end(variables), failed, _task.changed(variables))
        word = _artifacts.verdict(*how, "rollback" if fleet.wishes[0].rollback else "release", check=bool(self._task.check_mode))
        return {"ansible_stats": _artifacts.stats(word, fleet.release, _task.previous_release(variables), report)}

    def _of_path(self, path: Path) -> dict[str, Any]:
        """The report of a run that was cut off, or of one that has none yet."""
        folder = path.parent if path.name == _journal.NAME else path
        try:
            return self._written(folder)
        except OSError as error:
            advice = f"the directory of a run, with a {_journal.NAME} in it, is expected."
            return {"failed": True, "msg": f"path is {path}, of which no report can be made: {error.strerror or error}; {advice}"}

    def _written(self, folder: Path) -> dict[str, Any]:
        found, html = _report.write(folder)
        self._display.display(f"report: {html}")
        return _told(found, html)


def _told(found: Mapping[str, Any], html: Path) -> dict[str, Any]:
    return {"msg": found["sentence"], "outcome": found["outcome"], "html": str(html), "json": str(html.with_suffix(".json"))}
