"""What travels to a host is read and imported by every Python that a host may have, without a warning that is about it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import ansible
import pytest

from tools.bed import collections_path
from tools.matrix import interpreters
from tools.matrix.table import PYTHONS

# Ansible's own part comes from this environment; imported code that is ours may not warn, not even about its syntax.
SCRIPT = """
import importlib, pathlib, sys, warnings
collections, ansible = sys.argv[1:]
sys.path[:0] = [collections, ansible]
warnings.filterwarnings("error", module=r"ansible_collections\\.|hotswap")
ours = pathlib.Path(collections, "ansible_collections/hotswap/bluegreen/plugins")
names = [path for part in ("module_utils", "modules") for path in sorted((ours / part).rglob("*.py"))]
for path in names:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
    parts = path.relative_to(collections).with_suffix("").parts
    try:
        importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    except ModuleNotFoundError as error:
        if error.name not in ("requests", "urllib3", "websocket"):  # what the probe says itself that it needs
            raise
print(len(names))
"""


@pytest.mark.parametrize("version", PYTHONS)
def test_a_host_s_python_imports_all_that_is_sent_to_it(version: str, ansible_of_hosts: str) -> None:
    try:
        python = interpreters.get(version)
    except interpreters.Missing as error:
        pytest.skip(f"NOT RUN: a host with Python {version}: {error}")
    command = [str(python.path), "-I", "-B", "-c", SCRIPT, str(collections_path()), ansible_of_hosts]
    done = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 50


@pytest.fixture(scope="module")
def ansible_of_hosts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory in which the package ansible is, and nothing else of this environment."""
    folder = tmp_path_factory.mktemp("ansible")
    (folder / "ansible").symlink_to(Path(ansible.__file__).parent)
    return str(folder)
