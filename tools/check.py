"""Every check of this repository: linters and types side by side, then the tests.

python -m tools.check           linters, and the tests of every day
python -m tools.check --full    linters, and all tests with many more examples; writes build/test-full.json
python -m tools.check --engines the tests on Docker Swarm and Kubernetes, all of them; no linters
python -m tools.check --lint    linters only

One line a linter, its output only when it fails. The last line is pytest's own, unless a linter failed: then it
counts linters and tests together, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tools.bed import collections_path, environment

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
BIN = Path(sys.executable).parent
FULL_EXAMPLES = 3000
_OUTSIDE = frozenset({".venv", "build", "out", "vanilla", "__pycache__"})
_SHELL = re.compile(rb"#!\s*/(usr/bin/env )?(bin/)?(ba|da)?sh\b")


@dataclass(frozen=True)
class Linter:
    """A command that must end with 0; ``folder`` is where it runs."""

    name: str
    command: tuple[str, ...]
    folder: Path = ROOT


@dataclass(frozen=True)
class Ran:
    """A linter as it went. ``output`` is everything it said, standard error included."""

    name: str
    ok: bool
    seconds: float
    output: str


@dataclass(frozen=True)
class Tested:
    """A pytest run: its exit status, and the numbers of its closing line."""

    status: int
    passed: int
    failed: int


def _tool(name: str, *words: str) -> tuple[str, ...]:
    """A tool of the virtual environment: no search path takes part."""
    return (str(BIN / name), *words)


def linters() -> list[Linter]:
    """All of them, the slow ones first."""
    collection = collections_path() / "ansible_collections" / "hotswap" / "bluegreen"
    inside = str(collection.relative_to(collections_path()))
    return [
        Linter("ansible-lint", _tool("ansible-lint", "--nocolor", "-q"), collection),
        Linter(
            "antsibull-docs",
            _tool("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "self", "--disallow-unknown-collection-refs", "."),
            collection,
        ),
        Linter(
            "mypy --strict",  # from above ansible_collections, so that our imports of each other resolve
            _tool(
                "mypy",
                *("--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(BUILD / "mypy")),
                *(f"{inside}/plugins/{part}" for part in ("module_utils", "plugin_utils")),
            ),
            collections_path(),
        ),
        Linter("ruff check", _tool("ruff", "check", "--quiet", ".")),
        Linter("ruff format", _tool("ruff", "format", "--check", "--quiet", "--diff", ".")),
        Linter("yamllint", _tool("yamllint", "--strict", ".")),
        Linter("shellcheck", _tool("shellcheck", *shell_scripts())),
        Linter("Python 3.8 on targets", _tool("vermin", "-t=3.8-", "--violations", "--no-tips", "plugins/module_utils", "plugins/modules")),
        Linter("GitHub workflows", _tool("check-jsonschema", "-q", "--builtin-schema", "vendor.github-workflows", *workflows())),
        Linter("antsibull-changelog", _tool("antsibull-changelog", "lint")),
        Linter("argument specs", (sys.executable, "tools/variables.py", "--check")),
    ]


def shell_scripts() -> list[str]:
    """Every shell script of the repository, by its name or its first line."""
    found = []
    for path in _files():
        if path.suffix == ".sh" or (path.suffix == "" and _SHELL.match(path.read_bytes()[:80])):
            found.append(str(path.relative_to(ROOT)))
    return sorted(found)


def workflows() -> list[str]:
    """The workflows of the forge: ours, and those that users copy."""
    places = (ROOT / ".github" / "workflows", ROOT / "examples" / "ci")
    return sorted(str(path) for place in places for path in place.rglob("*.yml") if place.name == "workflows" or "github" in path.parts)


def _files() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder)
        folders[:] = [name for name in folders if name not in _OUTSIDE and (not name.startswith(".") or name == ".ci")]
        yield from (path for path in map(here.joinpath, names) if path.is_file() and not path.is_symlink())


def settings() -> dict[str, str]:
    """The environment of every check: nothing of the user's own, nothing written to a home directory."""
    return environment(PATH=f"{BIN}:{os.environ.get('PATH', '')}:/usr/sbin", ANSIBLE_HOME=str(BUILD / "ansible"), NO_COLOR="1", PYTHONUTF8="1")


def run(linter: Linter) -> Ran:
    began = time.monotonic()
    try:
        done = subprocess.run(
            linter.command,
            cwd=linter.folder,
            env=settings(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=600,
            check=False,
        )
        ok, output = done.returncode == 0, done.stdout or f"exit status {done.returncode}, and not a word\n"
    except (OSError, subprocess.TimeoutExpired) as error:
        ok, output = False, f"{error}\n"
    return Ran(linter.name, ok, time.monotonic() - began, output)


def lint() -> list[Ran]:
    """Run all linters, as many at once as there are cores; a line for each as it ends."""
    done = []
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for job in as_completed([pool.submit(run, linter) for linter in linters()]):
            ran = job.result()
            done.append(ran)
            print(f"{'ok  ' if ran.ok else 'FAIL'}  {ran.name} ({ran.seconds:.1f} s)", flush=True)
            if not ran.ok:
                print("\n".join(f"      {line}" for line in ran.output.splitlines()), flush=True)
    return done


def test(words: Sequence[str], more: dict[str, str]) -> Tested:
    """Run pytest, its output shown as it comes."""
    # Most tests wait: three files at once on two cores, the longest first (tests/conftest.py).
    command = [sys.executable, "-m", "pytest", *("-n", "3", "--dist", "loadscope", "--no-loadscope-reorder"), *words]
    last = ""
    with subprocess.Popen(
        command, cwd=ROOT, env={**settings(), **more}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line if line.strip() else last
    return Tested(process.returncode, *numbers(last))


def numbers(line: str) -> tuple[int, int]:
    """(passed, failed) in pytest's closing line; an error is a failure."""
    return _number(line, "passed"), _number(line, "failed") + _number(line, "errors?")


def _number(line: str, word: str) -> int:
    match = re.search(rf"(\d+) {word}\b", line)
    return int(match[1]) if match else 0


def test_every_day() -> Tested:
    return test(["-m", "not full"], {})


def test_full() -> Tested:
    """All tests, with a seed of its own for everything random; what was counted goes to build/test-full.json."""
    seed = int(os.environ.get("HOTSWAP_SEED") or time.time_ns() % 2**32)
    counts = BUILD / "counts.json"
    counts.unlink(missing_ok=True)
    began = time.time()
    examples = os.environ.get("HOTSWAP_EXAMPLES", str(FULL_EXAMPLES))
    tested = test([f"--hypothesis-seed={seed}"], {"HOTSWAP_SEED": str(seed), "HOTSWAP_EXAMPLES": examples, "HOTSWAP_COUNTS": str(counts)})
    counted = json.loads(counts.read_text()) if counts.exists() else {}
    report = {
        "commit": _git("rev-parse", "HEAD"),
        "modified": bool(_git("status", "--porcelain")),
        "started": round(began, 3),
        "seconds": round(time.time() - began, 1),
        "passed": tested.passed,
        "failed": tested.failed,
        "counts": counted.get("counts", {}),
        "seeds": {"HOTSWAP_SEED": seed, **counted.get("seeds", {})},
    }
    (BUILD / "test-full.json").write_text(json.dumps(report, indent=2) + "\n")
    return tested


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.check", description="Every check of this repository.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--full", action="store_true", help="all tests, with many more examples")
    which.add_argument("--lint", action="store_true", help="the linters only")
    which.add_argument("--engines", action="store_true", help="the tests on Docker Swarm and Kubernetes only, all of them")
    wanted = parser.parse_args()
    BUILD.mkdir(exist_ok=True)
    if wanted.engines:
        return test(["--durations=15", "tests/engines"], {}).status
    linted = lint()
    good, bad = sum(ran.ok for ran in linted), sum(not ran.ok for ran in linted)
    if wanted.lint:
        print(f"{good} passed, {bad} failed")
        return 1 if bad else 0
    tested = test_full() if wanted.full else test_every_day()
    if bad:
        print(f"linters that failed: {', '.join(ran.name for ran in linted if not ran.ok)}")
        print(f"{good + tested.passed} passed, {bad + tested.failed} failed")
        return 1
    return tested.status


if __name__ == "__main__":
    sys.exit(main())
