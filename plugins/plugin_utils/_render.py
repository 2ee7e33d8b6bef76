# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files, rendered on the controller with the variables of the host that gets them.

Found as M(ansible.builtin.copy) and M(ansible.builtin.template) find theirs, rendered as the latter does. What is in them
may be secret: of a failure only what cannot hold a value is told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._configuration import File
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from ._paths import ConfigFile

_QUOTED = re.compile(r"'([^']*)'")
_KIND = re.compile(r"(dict|list|tuple|str|int|float|bool|NoneType)( object)?\Z")

try:  # since ansible-core 2.19 only what is trusted is a template
    from ansible.template import trust_as_template
except ImportError:  # pragma: no cover
    trust_as_template = None


def render(action: ActionBase, task_vars: Mapping[str, Any], files: Sequence[ConfigFile]) -> tuple[File, ...]:
    """The files with their contents. :class:`Refusal` tells of all that cannot be read or rendered."""
    found: list[File] = []
    problems: list[str] = []
    for file in files:
        try:
            found.append(File(file.dest, file.mode, _content(action, task_vars, file)))
        except Refusal as refusal:
            problems.append(str(refusal))
    if problems:
        raise Refusal("\n".join(problems))
    return tuple(found)


def _content(action: ActionBase, task_vars: Mapping[str, Any], file: ConfigFile) -> bytes:
    if file.kind == "content":
        return file.given.encode("utf-8", "surrogateescape")
    folder = "files" if file.kind == "src" else "templates"
    try:
        path = action._find_needle(folder, file.given)
        real = Path(action._loader.get_real_file(path))  # without its vault
    except AnsibleError as error:
        if "vault" in str(error).lower():
            raise Refusal(f"bluegreen_config_files: {file.given!r} for {file.dest} is encrypted, and no vault secret opens it.") from None
        raise Refusal(
            f"bluegreen_config_files: the {file.kind} {file.given!r} for {file.dest} is not on the controller; "
            f"beside the playbook and in its {folder}/ was looked."
        ) from None
    try:
        if not real.is_file():
            raise Refusal(f"bluegreen_config_files: the {file.kind} {path} for {file.dest} is not a file.")
        return real.read_bytes() if file.kind == "src" else _rendered(action, task_vars, real.read_text(encoding="utf-8"), path, file)
    except UnicodeDecodeError:
        raise Refusal(f"bluegreen_config_files: the template {path} for {file.dest} is not UTF-8. A file that is no text is copied with src.") from None
    finally:
        action._loader.cleanup_tmp_file(str(real))


def _rendered(action: ActionBase, task_vars: Mapping[str, Any], text: str, path: str, file: ConfigFile) -> bytes:
    search = [*task_vars.get("ansible_search_path", []), action._loader.get_basedir(), os.path.dirname(path)]
    folders = [folder for base in search for folder in (os.path.join(base, "templates"), base)]
    where = f"bluegreen_config_files: the template {path} for {file.dest}"
    try:
        found = _template(action, text, searchpath=folders, available_variables=dict(task_vars))
    except (AnsibleError, jinja2.TemplateError, ValueError, TypeError) as error:
        raise Refusal(f"{where} cannot be rendered: {_told(error, text)}.") from None
    return str(found).encode("utf-8", "surrogateescape")


def _template(action: ActionBase, text: str, **surroundings: Any) -> Any:
    """As the template module renders: always a text, the line of a block is not left empty."""
    overrides = {"trim_blocks": True, "lstrip_blocks": False, "newline_sequence": "\n"}
    if trust_as_template is None:
        from ansible.template import AnsibleEnvironment

        old = action._templar.copy_with_new_env(environment_class=AnsibleEnvironment, **surroundings)
        return old.do_template(text, preserve_trailing_newlines=True, escape_backslashes=False, overrides=overrides)
    return action._templar.copy_with_new_env(**surroundings).template(trust_as_template(text), escape_backslashes=False, overrides=overrides)


def _told(error: BaseException, template: str) -> str:
    """Why a template cannot be rendered, in words that hold no value: what is quoted in them stands in the template."""
    causes = _causes(error)
    syntax = next((cause for cause in causes if isinstance(cause, jinja2.TemplateSyntaxError)), None)
    if syntax:
        return f"line {syntax.lineno}: {syntax.message}".rstrip(".")
    words = str(error).splitlines()[0]
    if isinstance(error, AnsibleUndefinedVariable) and all(name in template or _KIND.match(name) for name in _QUOTED.findall(words)):
        return words.rstrip(".")
    return f"{type(causes[-1]).__name__}, whose words may hold a secret and are not shown"


def _causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while (cause := found[-1].__cause__ or found[-1].__context__) is not None and cause not in found:
        found.append(cause)
    return found
