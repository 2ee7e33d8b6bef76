"""A virtual environment for a pair, made by uv in build/matrix: with ansible-core alone, or with what the scenarios need as well."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.bed import BUILD, ROOT
from tools.matrix import interpreters
from tools.matrix.table import Pair

# Of requirements-dev.txt: what tests/unit, tests/scenarios and tests/molecule import and run. The linters and the documentation's tools are not.
NEEDED = frozenset({
    "aiohttp", "crossplane", "gunicorn", "hypothesis", "molecule", "pytest", "pytest-xdist", "PyYAML", "requests", "rich", "supervisor", "watchfiles",
    "websocket-client",
})  # fmt: skip
_MOLECULE_REFUSES = frozenset({"2.17"})  # molecule's own requirements; its part is NOT RUN there


class Unmade(Exception):
    """The environment cannot be made, and why."""


def folder(pair: Pair) -> Path:
    return BUILD / "matrix" / pair.name


def bare(pair: Pair) -> Path:
    """Its directory of programs, with ansible-core."""
    return _made(pair, ())


def whole(pair: Pair) -> Path:
    """Its directory of programs, with ansible-core and what the tests need."""
    return _made(pair, tuple(needed(pair)))


def has_molecule(pair: Pair) -> bool:
    return pair.core.version not in _MOLECULE_REFUSES


def needed(pair: Pair) -> list[str]:
    """The lines of requirements-dev.txt that the scenarios need."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements-dev.txt").read_text().splitlines()]
    return [line for line in lines if _name(line) in NEEDED and (_name(line) != "molecule" or has_molecule(pair))]


def _name(line: str) -> str:
    return re.split(r"[\[<>=!~ ;]", line, maxsplit=1)[0]


def _made(pair: Pair, more: tuple[str, ...]) -> Path:
    place, python = folder(pair), interpreters.get(pair.controller)
    wanted = (f"ansible-core=={pair.core.version}.*", *more)
    digest = hashlib.sha256(repr((str(python.path), wanted)).encode()).hexdigest()
    stamp = place / f".made-{digest[:12]}"
    if not stamp.exists():
        if not (place / f".of-{_of(python)}").exists():
            shutil.rmtree(place, ignore_errors=True)
            _uv("venv", "--quiet", "--no-project", "--python", str(python.path), str(place))
            (place / f".of-{_of(python)}").touch()
        _uv("pip", "install", "--quiet", "--python", str(place / "bin" / "python"), *wanted)
        stamp.touch()
    return place / "bin"


def _of(python: interpreters.Python) -> str:
    return hashlib.sha256(str(python.path).encode()).hexdigest()[:12]


def _uv(*words: str) -> None:
    done = subprocess.run(
        [interpreters.UV, *words],
        cwd=BUILD, env={**os.environ, "UV_COMPILE_BYTECODE": "1"},  # what runs in it may not write any
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=900, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Unmade(f"uv {words[0]} failed: {' '.join(done.stderr.split())[-600:]}")
