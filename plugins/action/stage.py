# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage a release on one host: find the source on the controller, send it only if the host lacks it, let it be built."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _archive
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _fleet, _source, _task, _wish

_UNTOUCHED = "Nothing that serves was touched."


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.stage): everything comes from the host's variables."""

    _VALID_ARGS = frozenset()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            resolved = _fleet.resolve(self, variables)
            left_out = _task.left_out(variables, str(variables["inventory_hostname"]))
            if resolved is None or not resolved.wish.members or left_out:
                return {**result, "skipped": True, "skip_reason": left_out or "this host runs no member of the service"}
            if self._task.check_mode and _task.unknown(variables, resolved.wish.host):
                return {**result, "changed": True, "msg": f"would stage release {resolved.wish.release}"}
            lock = _task.lock(variables)
            if not lock and not self._task.check_mode:
                raise Refusal("staging needs the service's lock: run hotswap.bluegreen.lock first, as the role hotswap.bluegreen.release does.")
            return {**result, **self._stage(resolved, variables, lock)}
        except (Refusal, OSError) as error:
            return {**result, "failed": True, "msg": f"{error}\n{_UNTOUCHED}"}

    def _stage(self, resolved: _wish.Resolved, variables: dict[str, Any], lock: dict[str, Any]) -> dict[str, Any]:
        local, source = self._locate(resolved.source)
        arguments: dict[str, Any] = {
            "wish": dump(resolved.wish),
            "source": source,
            "build": {"command": list(resolved.build), "in_slot": resolved.build_in_slot, "timeout": resolved.build_timeout},
            "environment": json.dumps(resolved.environment),
            "token": lock.get("token", 0),
            "keeps_lease": lock.get("host") == resolved.wish.host,
        }
        answer = self._call(arguments, variables)
        if self._task.check_mode and not answer.get("failed"):
            answer["ansible_facts"] = {"bluegreen_would_wait": answer["pending"]}  # the plan of the swap needs to know
        if not answer.get("needs_content") or answer.get("failed") or self._task.check_mode:
            return answer
        building = ", building it" if resolved.build else ""
        self._display.display(f"{resolved.wish.host}: sending release {resolved.wish.release}{building}, copying it to each slot …")
        if resolved.source.directory:  # ansible-playbook makes that directory, all its workers know it, and it goes when the run ends
            local = str(_source.packed(Path(local), resolved.source.exclude, source["digest"], Path(C.DEFAULT_LOCAL_TMP)))
        # Without pipelining the first call has made one, which a second would make forgotten. Ansible removes it when the action ends.
        place = self._connection._shell.tmpdir or self._make_tmp_path()
        remote = self._transfer_file(local, self._connection._shell.join_path(place, "release"))
        self._fixup_perms2([place, remote])
        return self._call({**arguments, "source": {**source, "path": remote}}, variables)

    def _call(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module("hotswap.bluegreen.stage", arguments, task_vars=variables)
        return {**answer, "msg": f"{answer.get('msg')}\n{_UNTOUCHED}"} if answer.get("failed") else answer

    def _locate(self, source: _wish.Source) -> tuple[str, dict[str, Any]]:
        """Where the content is on the controller ('' if it is not there), and the source as the module takes it.

        :class:`Refusal` if the controller does not have it, or it is not as announced.
        """
        shared = {"checksum": source.checksum, "strip": source.strip}
        if "://" in source.archive:
            return "", {"name": source.archive, "url": source.archive, "digest": source.checksum or f"url:{source.archive}", **shared}
        if source.remote_src:
            return "", {"name": source.archive, "path": source.archive, "digest": source.checksum, **shared}
        if source.directory:
            directory = Path(self._find(source.directory, "directory"))
            if not directory.is_dir():
                raise Refusal(f"bluegreen_source: {directory} is not a directory.")
            return str(directory), {"name": str(directory), "digest": _source.digest(directory, source.exclude), **shared}
        path = self._find(source.archive, "archive")
        if not os.path.isfile(path):
            raise Refusal(f"bluegreen_source: {path} is not a file.")
        if source.checksum:
            _archive.verify(path, source.checksum, path)
        return path, {"name": source.archive, "digest": f"sha256:{_archive.checksum(path, 'sha256')}", **shared}

    def _find(self, path: str, what: str) -> str:
        try:
            return str(self._find_needle("files", path))
        except AnsibleError:
            raise Refusal(f"bluegreen_source: the {what} {path!r} is not on the controller; beside the playbook and in its files/ was looked, too.") from None
