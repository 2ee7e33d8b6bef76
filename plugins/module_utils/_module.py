# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame of every module of ours: arguments in, a refusal as a failure in words, never a traceback for it."""

from __future__ import annotations

import os
from typing import Any, Callable, Dict

from ansible.module_utils.basic import AnsibleModule

from ._model import Refusal, Wish, load

WISH = {"type": "dict", "required": True}
CALL: Dict[str, Any] = {"wish": {"type": "dict"}, "token": {"type": "int", "default": 0, "no_log": False}}  # documented in doc_fragments/call.py
LEASE: Dict[str, Any] = {"keeps_lease": {"type": "bool", "default": False}}
VERDICT: Dict[str, Any] = {"verdict": {"type": "str", "choices": ["now", "later"], "default": "now"}}


def main(spec: Dict[str, Any], work: Callable[[AnsibleModule], Dict[str, Any]]) -> None:
    """Run ``work`` with the parsed module; what it returns is the result."""
    # What is private says so itself. With the umask 077 of a hardened root, nginx's workers could not follow our link.
    os.umask(0o022)
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    try:
        result = work(module)
    except Refusal as error:
        module.fail_json(msg=str(error))
    for text in result.pop("warnings", ()):  # ansible-core 2.23 does not take them with the result any more
        module.warn(text)
    module.exit_json(**result)


def wish(module: AnsibleModule) -> Wish:
    """The host's wish, as hotswap.bluegreen.preflight set it."""
    try:
        return load(Wish, module.params["wish"])
    except (KeyError, TypeError) as error:
        raise Refusal(f"the argument wish is not what hotswap.bluegreen.preflight sets as bluegreen_wish: {error}") from None
