"""Play everything with every supported pair of ansible-core and Python: what `make test-matrix` runs.

python -m tools.matrix                  all pairs; takes hours
python -m tools.matrix 2.16-py3.11 …    these pairs
python -m tools.matrix --quick          only the quick release of each pair, with every Python on the host
python -m tools.matrix --setup          get what `make test` needs, and no more

A line for each part of a pair as it ends, its output in build/matrix/logs; a table; what was NOT RUN and why; and how many
parts passed and failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools import check
from tools.bed import BUILD, ROOT, environment
from tools.matrix import environments, interpreters, quick
from tools.matrix.interpreters import Missing, Python
from tools.matrix.table import CORES, Pair, of_the_day, pairs

LOGS = BUILD / "matrix" / "logs"
PARTS = ("releases", "unit", "scenarios", "molecule")
_SECONDS = 3 * 3600.0  # for one part, on a machine that has much else to do


@dataclass(frozen=True)
class Ended:
    """A part of a pair. ``status`` is "passed", "failed" or "NOT RUN"."""

    pair: Pair
    part: str
    status: str
    words: str
    seconds: float = 0.0


def play(pair: Pair, parts: tuple[str, ...]) -> Iterator[Ended]:
    """Each part of the pair as it ends."""
    try:
        interpreters.get(pair.controller)
    except Missing as error:
        yield from (Ended(pair, part, "NOT RUN", f"Python {pair.controller}: {error}") for part in parts)
        return
    hosts, missing = _hosts(pair)
    for part in parts:
        began = time.monotonic()
        status, words = _PLAYED[part](pair, hosts)
        yield Ended(pair, part, status, words, time.monotonic() - began)
    if missing and "releases" in parts:
        yield from (Ended(pair, f"host with Python {version}", "NOT RUN", why) for version, why in missing.items())


def _hosts(pair: Pair) -> tuple[list[Python], dict[str, str]]:
    found, missing = [], {}
    for version in pair.targets:
        try:
            found.append(interpreters.get(version))
        except Missing as error:
            missing[version] = str(error)
    return found, missing


def _releases(pair: Pair, hosts: list[Python]) -> tuple[str, str]:
    pipelining = CORES.index(pair.core) % 2 == pair.core.controllers.index(pair.controller) % 2
    try:
        sent = quick.play(environments.bare(pair), hosts, pipelining)
    except (quick.Faulty, environments.Unmade, subprocess.SubprocessError, OSError, RuntimeError) as error:
        log = _log(pair, "releases")
        log.write_text(f"{error}\n")
        return "failed", f"{str(error).splitlines()[0]} (see {log.relative_to(ROOT)})"
    words = f"{len(hosts)} releases, hosts with Python {', '.join(host.version for host in hosts)}, {sent} requests, 0 failed"
    return "passed", f"{words}, pipelining {'on' if pipelining else 'off'}"


def _tests(part: str, *words: str) -> Callable[[Pair, list[Python]], tuple[str, str]]:
    def run(pair: Pair, hosts: list[Python]) -> tuple[str, str]:
        host = hosts[0]
        if part == "molecule" and not environments.has_molecule(pair):
            return "NOT RUN", f"molecule does not take ansible-core {pair.core.version}"
        try:
            programs = environments.whole(pair)
        except environments.Unmade as error:
            return "failed", str(error)
        log, plays = _log(pair, part), _log(pair, f"{part}-plays")
        plays.unlink(missing_ok=True)
        command = [str(programs / "python"), "-m", "pytest", "-p", "no:cacheprovider", "-m", "not full", *words]
        path = f"{programs}:{os.environ.get('PATH', '')}:/usr/sbin"
        ours = {"PATH": path, "HOTSWAP_TARGET_PYTHON": str(host.path), "HOTSWAP_ANSIBLE_LOG": str(plays)}
        settings = {**check.settings(), **environment(), "ANSIBLE_HOME": str(BUILD / "ansible"), **ours}
        with log.open("w") as output:
            status = subprocess.run(
                command, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, timeout=_SECONDS, check=False
            ).returncode
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        passed, failed = check.numbers(lines[-1] if lines else "")
        told = f"{passed} passed, {failed} failed" + (f", hosts with Python {host.version}" if part == "scenarios" else "")
        if _deprecated(plays):
            return "failed", f"{told}; {len(_deprecated(plays))} deprecation warnings, the first: {_deprecated(plays)[0][:300]} (see {plays.relative_to(ROOT)})"
        return ("passed", told) if status == 0 else ("failed", f"{told}, exit status {status} (see {log.relative_to(ROOT)})")

    return run


_PLAYED: dict[str, Callable[[Pair, list[Python]], tuple[str, str]]] = {
    "releases": _releases,
    "unit": _tests("unit", "tests/unit"),
    "scenarios": _tests("scenarios", "-n", "2", "--dist", "loadscope", "tests/scenarios"),
    "molecule": _tests("molecule", "tests/molecule"),
}


def _deprecated(log: Path) -> list[str]:
    """What the playbooks of a part were warned of."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return [line for line in lines if "DEPRECATION WARNING" in line]


def _log(pair: Pair, part: str) -> Path:
    LOGS.mkdir(parents=True, exist_ok=True)
    return LOGS / f"{pair.name}-{part}.log"


def set_up() -> None:
    """The Pythons and the environments of the day's tests. What cannot be had is told by the tests."""
    for pair in map(of_the_day, CORES):
        for version in (pair.controller, *pair.targets):
            if not interpreters.known(version) and not interpreters.refused(version):
                print(f"setup: getting Python {version} for the tests of versions", flush=True)
                try:
                    interpreters.get(version)
                except Missing as error:
                    print(f"setup: Python {version} is not to be had: {error}", flush=True)
        if interpreters.known(pair.controller):
            if not environments.folder(pair).exists():
                print(f"setup: making an environment of ansible-core {pair.core.version} on Python {pair.controller}", flush=True)
            environments.bare(pair)


def main() -> int:
    known = {pair.name: pair for pair in pairs()}
    parser = argparse.ArgumentParser(prog="python -m tools.matrix", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pairs", nargs="*", metavar="PAIR", help=f"one or more of {', '.join(known)}; all by default")
    parser.add_argument("--quick", action="store_true", help="only the quick releases")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part (can be given several times)")
    parser.add_argument("--setup", action="store_true", help="get what `make test` needs, and no more")
    wanted = parser.parse_args()
    unknown = [name for name in wanted.pairs if name not in known]
    if unknown:
        parser.error(f"{unknown[0]!r} is no pair that Ansible supports: {', '.join(known)}")
    if wanted.setup:
        set_up()
        return 0
    done = []
    for name in wanted.pairs or known:
        for ended in play(known[name], ("releases",) if wanted.quick else tuple(wanted.part or PARTS)):
            print(f"{ended.pair.name:<12} {ended.part:<10} {ended.status:<7} {ended.seconds:6.0f} s  {ended.words}", flush=True)
            done.append(ended)
    return report(done)


def report(done: list[Ended]) -> int:
    """The closing lines, and the exit status."""
    print(f"\n{'pair':<12} {' '.join(f'{part:<10}' for part in PARTS)}")
    for name in dict.fromkeys(ended.pair.name for ended in done):
        of_part = {ended.part: ended.status for ended in done if ended.pair.name == name}
        cells = " ".join(format(of_part.get(part, "-"), "<10") for part in PARTS)
        print(f"{name:<12} {cells}")
    for ended in done:
        if ended.status == "NOT RUN":
            print(f"NOT RUN: {ended.pair.name}, {ended.part}: {ended.words}")
    failed = sum(ended.status == "failed" for ended in done)
    print(f"{sum(ended.status == 'passed' for ended in done)} passed, {failed} failed")
    return 1 if failed or not done else 0


if __name__ == "__main__":
    sys.exit(main())
