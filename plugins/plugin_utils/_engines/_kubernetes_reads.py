# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading Kubernetes without a process for each question, where the play's host is the controller itself.

``kubernetes.core.k8s_info`` takes seconds to start, most of them for the import of its client, and a rollout is looked at
many times. The collection's own lookup reads the same in this process, which imports the client once.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

MODULE = "kubernetes.core.k8s_info"
_NAMES = {"kind": "kind", "api_version": "api_version", "name": "resource_name", "namespace": "namespace", "kubeconfig": "kubeconfig", "context": "context"}
_SELECTORS = {"label_selectors": "label_selector", "field_selectors": "field_selector"}


def here(action: ActionBase) -> Callable[[Mapping[str, Any]], dict[str, Any]] | None:
    """What answers as the module would; None where only the module can: on another host, as somebody else, with an environment of its own."""
    task = action._task
    if action._connection.transport != "local" or action._connection.become is not None or any(task.environment or ()):
        return None
    if importlib.util.find_spec("kubernetes") is None:  # the lookup needs it; the module's interpreter may have it where ours has not
        return None
    try:
        lookup = lookup_loader.get("kubernetes.core.k8s", loader=action._loader, templar=action._templar)
    except (ImportError, AnsibleError):
        return None
    return None if lookup is None else lambda arguments: _answer(lookup, arguments)


def _answer(lookup: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result, failed ones, too."""
    asked = {_NAMES[name]: value for name, value in arguments.items() if name in _NAMES and value}
    asked |= {word: ",".join(arguments[name]) for name, word in _SELECTORS.items() if arguments.get(name)}
    try:
        found = lookup.run([], variables={}, **asked)
    except Exception as error:  # of the client there are many kinds; what they say is what the module would have said
        return {"failed": True, "msg": f"{type(error).__name__}: {error}"}
    return {"resources": [_without_noise(dict(thing)) for thing in found or ()]}


def _without_noise(thing: dict[str, Any]) -> dict[str, Any]:
    return {**thing, "metadata": {name: value for name, value in (thing.get("metadata") or {}).items() if name != "managedFields"}}
