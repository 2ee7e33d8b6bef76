# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage a release on one host: find the source on the controller, send it only if the host lacks it, let it be built."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _archive, _configuration, _manifest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.module_utils._release import known_path, releases
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _fleet, _git, _journal, _render, _source, _task, _whole, _wish
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._plain import plain

_UNTOUCHED = "Nothing that serves was touched."


@dataclass(frozen=True)
class _Found:
    """What is to be staged: ``source`` as the module takes it, and where it is on the controller, if it is there: an archive, or a tree of files."""

    source: dict[str, Any]
    local: str = ""
    tree: _source.Tree | None = None
    commit: str = ""

    @property
    def is_here(self) -> bool:
        """Whether the controller has it, and sends it."""
        return bool(self.local) or self.tree is not None

    def archive(self, has: str) -> str:
        """The file to send to a host that has the contents ``has``."""
        if self.tree is None:
            return self.local
        # ansible-playbook makes that directory, all its workers know it, and it goes when the run ends
        return str(_source.packed(self.tree, _manifest.lacking(self.tree.entries, has), Path(C.DEFAULT_LOCAL_TMP)))

    def amount(self, has: str) -> str:
        """In words, how much of it that is; '' for all."""
        if self.tree is None or not has:
            return ""
        lacking = _manifest.lacking(self.tree.entries, has)
        files = _manifest.files(self.tree.entries)
        return f" ({sum(entry.content in lacking for entry in files)} of {len(files)} files)"


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.stage): everything comes from the host's variables."""

    _VALID_ARGS = frozenset()

    @_journal.recorded("stage")
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
                raise Refusal(
                    _whole.started_at() or "staging needs the service's lock: run hotswap.bluegreen.lock first, as the role hotswap.bluegreen.release does."
                )
            return {**result, **self._stage(resolved, variables, lock)}
        except (Refusal, OSError) as error:
            return {**result, "failed": True, "msg": f"{error}\n{_UNTOUCHED}"}

    def _stage(self, resolved: _wish.Resolved, variables: dict[str, Any], lock: dict[str, Any]) -> dict[str, Any]:
        found = self._locate(resolved.source)
        arguments: dict[str, Any] = {
            "wish": dump(resolved.wish),
            "source": found.source,
            "build": {"command": list(resolved.build), "in_slot": resolved.build_in_slot, "timeout": resolved.build_timeout},
            "environment": json.dumps(resolved.environment),
            "configuration": _configuration.dump(_render.render(self, variables, resolved.configuration)),
            "token": lock.get("token", 0),
            "keeps_lease": lock.get("host") == resolved.wish.host,
        }
        staged, has = (True, "") if self._task.check_mode or not found.is_here else self._ask(resolved.wish)
        answer = self._call(arguments, variables) if staged else {"needs_content": True, "has": has}
        if self._task.check_mode and not answer.get("failed"):
            answer["ansible_facts"] = {"bluegreen_would_wait": answer["pending"]}  # the plan of the swap needs to know
        building = ", building it" if resolved.build else ""
        while answer.get("needs_content") and not answer.get("failed") and not self._task.check_mode:
            sending = f"sending release {resolved.wish.release}{found.amount(answer['has'])}"
            self._display.display(f"{resolved.wish.host}: {sending}{building}, copying it to each slot …")
            remote = self._send(found.archive(answer["has"]))
            everything = not answer["has"]
            answer = self._call({**arguments, "source": {**found.source, "path": remote}}, variables)
            if everything and answer.get("needs_content"):
                raise Refusal(f"{resolved.wish.host} asks again for what it was sent. Run again; if it happens again, report it.")
        answer.pop("has", None)
        return {**answer, **({"commit": found.commit} if found.commit else {})}

    def _ask(self, wish: Wish) -> tuple[bool, str]:
        """(whether the release may be on the host already, the contents that the host has), by the shell: a module's start takes ten times as long.

        It only saves a call: the module looks itself.
        """
        record, known = (shlex.quote(path) for path in (releases(wish.root).record_path(wish.release), known_path(wish.root)))
        answer = self._low_level_execute_command(f"if test -e {record}; then echo staged; else echo new; cat {known} 2>/dev/null; fi; true")
        words = str(answer.get("stdout") or "").split()
        return words[:1] != ["new"], "".join(words[1:2])

    def _send(self, local: str) -> str:
        # Without pipelining a call before has made one, which a second would make forgotten. Ansible removes it when the action ends.
        place = self._connection._shell.tmpdir or self._make_tmp_path()
        remote = self._transfer_file(local, self._connection._shell.join_path(place, "release"))
        self._fixup_perms2([place, remote])
        return str(remote)

    def _call(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module("hotswap.bluegreen.stage", arguments, task_vars=variables)
        return {**answer, "msg": plain(f"{answer.get('msg')}\n{_UNTOUCHED}")} if answer.get("failed") else answer

    def _locate(self, source: _wish.Source) -> _Found:
        """What is to be staged. :class:`Refusal` if the controller does not have it, or it is not as announced."""
        shared = {"checksum": source.checksum, "strip": source.strip}
        if "://" in source.archive:
            return _Found({"name": source.archive, "url": source.archive, "digest": source.checksum or f"url:{source.archive}", **shared})
        if source.remote_src:
            return _Found({"name": source.archive, "path": source.archive, "digest": source.checksum, **shared})
        if source.git:
            url = source.git if _git.is_remote(source.git) else self._loader.path_dwim(source.git)
            commit, folder = _git.Repository(url, Path(C.DEFAULT_LOCAL_TMP)).tree(source.version)
            tree = _source.read(folder)
            return _Found({"name": f"{source.git} {source.version}", "digest": f"git:{commit}", "tree": tree.digest, **shared}, tree=tree, commit=commit)
        if source.directory:
            directory = Path(self._find(source.directory, "directory"))
            if not directory.is_dir():
                raise Refusal(f"bluegreen_source: {directory} is not a directory.")
            tree = _source.read(directory, source.exclude)
            return _Found({"name": str(directory), "digest": tree.digest, "tree": tree.digest, **shared}, tree=tree)
        path = self._find(source.archive, "archive")
        if not os.path.isfile(path):
            raise Refusal(f"bluegreen_source: {path} is not a file.")
        if source.checksum:
            _archive.verify(path, source.checksum, path)
        return _Found({"name": source.archive, "digest": f"sha256:{_archive.checksum(path, 'sha256')}", **shared}, local=path)

    def _find(self, path: str, what: str) -> str:
        try:
            return str(self._find_needle("files", path))
        except AnsibleError:
            raise Refusal(f"bluegreen_source: the {what} {path!r} is not on the controller; beside the playbook and in its files/ was looked, too.") from None
