"""What Ansible asks of a collection (ansible-test sanity), of the package as it is published."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.galaxy import packing
from tools.bed import BUILD, ROOT

BIN = Path(sys.executable).parent
# These need no packages of their own.
BARE = (
    *("action-plugin-docs", "compile", "empty-init", "line-endings", "no-assert", "no-get-exception", "no-illegal-filenames", "no-smart-quotes"),
    *("replace-urlopen", "shebang", "symlinks", "use-argspec-type-path", "use-compat-six"),
)
EVERY_DAY = "validate-modules"  # each module's documentation beside its argument spec
WITH_PACKAGES = (EVERY_DAY, "ansible-doc", "import", "pep8", "pylint", "runtime-metadata", "yamllint")
# ansible-test fetches pip from a server of Ansible's. Its stand-in is the pip that Python has.
GET_PIP = "import ensurepip\nensurepip.bootstrap(default_pip=True)\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files where ansible-test wants them, with what we have told it."""
    folder = tmp_path_factory.mktemp("sanity")
    place = folder / "ansible_collections" / "hotswap" / "bluegreen"
    with tarfile.open(packing.packed(folder / "out", packing.export(folder / "checkout"))) as archive:
        archive.extractall(place, filter="data")
    shutil.copytree(ROOT / "tests" / "sanity", place / "tests" / "sanity")
    return place


def sanity(tree: Path, names: tuple[str, ...]) -> str:
    """What ansible-test says; its environments are kept in build/."""
    home = BUILD / "sanity"
    cached = home / ".ansible" / "test" / "cache" / f"get_pip_{pip_version().replace('.', '_')}.py"
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_text(GET_PIP)
    command = [str(BIN / "ansible-test"), "sanity", "--python", f"{sys.version_info.major}.{sys.version_info.minor}", "--color", "no"]
    settings = {**os.environ, "HOME": str(home), "PATH": f"{BIN}:{os.environ['PATH']}"}
    settings = {name: value for name, value in settings.items() if not name.startswith("ANSIBLE_")}
    done = subprocess.run(
        [*command, *(word for name in names for word in ("--test", name))],
        cwd=tree, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def pip_version() -> str:
    """The version of pip that this ansible-test asks for."""
    import ansible_test

    text = (Path(ansible_test.__file__).parent / "_internal" / "python_requirements.py").read_text()
    found = re.findall(r"pip='([\d.]+)'", text)
    return str(found[-1])


def test_ansible_s_own_checks_find_nothing(tree: Path) -> None:
    told = sanity(tree, BARE)
    assert set(re.findall(r'Running sanity test "([\w-]+)"', told)) == set(BARE)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name == EVERY_DAY else [pytest.mark.full]) for name in WITH_PACKAGES])
def test_ansible_s_own_checks_that_need_packages_find_nothing(tree: Path, name: str) -> None:
    assert f'Running sanity test "{name}"' in sanity(tree, (name,))


def test_what_ansible_is_told_to_leave_alone_has_its_reason_and_is_the_same_for_all_its_versions() -> None:
    files = sorted((ROOT / "tests" / "sanity").glob("ignore-*.txt"))
    assert [path.name for path in files] == [f"ignore-2.{minor}.txt" for minor in range(16, 22)]
    assert len({path.read_text() for path in files}) == 1
    assert all("  # " in line for line in files[0].read_text().splitlines())
