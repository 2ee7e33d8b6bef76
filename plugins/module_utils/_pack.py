# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make one file for Python of a module of ours and all that it imports: their sources, as this process has them.

On a target that is the zip that Ansible sent, so what is installed there runs the very code of the collection's other calls.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import zipfile
from typing import Dict, List

from ._model import Refusal

_PACKAGE = "bluegreen"


def pack(first: str) -> bytes:
    """The file; it runs ``main(words)`` of the module ``first``, whose result is the exit status. The same modules give the same bytes."""
    main = f"import sys\nfrom {_PACKAGE}.{first} import main\nsys.exit(main(sys.argv[1:]))\n"
    packages = {name.rpartition(".")[0] for name in sources(first)}
    files = {"__main__.py": main, **{"/".join([_PACKAGE, *filter(None, [name]), "__init__.py"]): "" for name in sorted(packages | {""})}}
    files.update({f"{_PACKAGE}/{name.replace('.', '/')}.py": text for name, text in sources(first).items()})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return out.getvalue()


def sources(first: str) -> Dict[str, str]:
    """The module and all of ours that it imports, at its top or inside a function, by name; one in a package as ``package.name``."""
    found: Dict[str, str] = {}
    ahead = [first]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found[name] = _source(name)
            ahead += _imports(found[name], name.rpartition(".")[0])
    return dict(sorted(found.items()))


def _source(name: str) -> str:
    spec = importlib.util.find_spec(f"{__package__}.{name}")
    text = spec.loader.get_source(spec.name) if spec and spec.loader and hasattr(spec.loader, "get_source") else None
    if text is None:
        raise Refusal(f"the source of {__package__}.{name} cannot be read here, so no program can be made of it.")
    return str(text)


def _imports(source: str, package: str) -> List[str]:
    """What a module of this package ('' for none) imports of ours."""
    found: List[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = f"{package}." if package and node.level == 1 else ""
            found += [base + name for name in ([node.module] if node.module else [alias.name for alias in node.names])]
    return found
