"""Make a version: its number in galaxy.yml, the changelog of its fragments, a commit and a tag. What is wrong is told at once, before anything is changed.

python -m tools.release 0.2.0 --dry-run        what it would do
python -m tools.release 0.2.0                  do it, in this clone; nothing is pushed
python -m tools.release --check v0.2.0         whether tag, galaxy.yml and changelog agree (CI, before it publishes)
python -m tools.release --check v0.2.0 --pack dist    and the package, made of what git has and of nothing that lies about
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
_LINE = re.compile(r"^version: *(\S+)$", re.MULTILINE)
_NUMBER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class Fault(Exception):
    """Something is not as a release needs it, in a sentence or more."""


def main(words: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description="Make a version of the collection.")
    parser.add_argument("version", nargs="?", help="the new version, such as 0.2.0")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--untested", metavar="WHY", help="release although make test-full has not passed on this commit")
    parser.add_argument("--check", metavar="TAG", help="see whether tag, galaxy.yml and changelog agree")
    parser.add_argument("--pack", metavar="DIRECTORY", type=Path, help="with --check: make the package there")
    given = parser.parse_args(words)
    if bool(given.version) == bool(given.check) or (given.pack and not given.check):
        parser.error("either a new version or --check TAG is expected; --pack goes with --check")
    try:
        if given.check:
            check(root, given.check)
            if given.pack:
                print(pack(root, given.check, given.pack))
        else:
            release(root, given.version, given.dry_run, given.untested or "")
    except Fault as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def release(root: Path, version: str, dry: bool, untested: str) -> None:
    """Bump, changelog, commit, tag. :class:`Fault` tells all that stands against it, and nothing was changed then."""
    wrong = [*_number_faults(root, version), *_tree_faults(root, version), *([] if untested.strip() else _test_faults(root))]
    if wrong:
        raise Fault("\n".join([*wrong, "Nothing was changed."]))
    if dry:
        print(f"would set version: {version} in galaxy.yml, make {len(_fragments(root))} fragments into CHANGELOG.rst, commit, and tag v{version}")
        return
    metadata = root / "galaxy.yml"
    metadata.write_text(_LINE.sub(f"version: {version}", metadata.read_text(encoding="utf-8")), encoding="utf-8")
    _run(root, str(BIN / "antsibull-changelog"), "release", "--ansible-doc-bin", str(BIN / "ansible-doc"))
    _run(root, "git", "add", "-A", "galaxy.yml", "changelogs", "CHANGELOG.rst")
    _run(root, "git", "commit", "-q", "-m", f"Release {version}", *(["-m", f"Not tested by make test-full: {untested}"] if untested else []))
    _run(root, "git", "tag", "-a", f"v{version}", "-m", f"hotswap.bluegreen {version}")
    print(f"v{version} is made. Look at it (git show v{version}), then: git push origin HEAD v{version}")


def check(root: Path, tag: str) -> None:
    """:class:`Fault` if this commit is not what the tag says it is."""
    version = _version(root)
    wrong = []
    if tag != f"v{version}":
        wrong.append(f"the tag is {tag}, and galaxy.yml has version {version}; the tag of that is v{version}.")
    if version not in _released(root):
        wrong.append(f"changelogs/changelog.yaml has no release {version}: make versions with python -m tools.release.")
    if f"v{version}" not in _read(root / "CHANGELOG.rst"):
        wrong.append(f"CHANGELOG.rst does not tell of v{version}.")
    if wrong:
        raise Fault("\n".join(wrong))


def pack(root: Path, tag: str, folder: Path) -> Path:
    """The package of the tag's files, made in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place) / "tree.tar"
        _run(root, "git", "archive", "-o", str(archive), tag)
        tree = Path(place) / "tree"
        tree.mkdir()
        _run(root, "tar", "-xf", str(archive), "-C", str(tree))
        _run(root, str(BIN / "ansible-galaxy"), "collection", "build", str(tree), "--output-path", str(folder))
    return folder / f"hotswap-bluegreen-{_version(root)}.tar.gz"


def _number_faults(root: Path, version: str) -> list[str]:
    if not _NUMBER.fullmatch(version):
        return [f"{version} is not a version; three numbers such as 0.2.0 are expected."]
    present, released = _version(root), _released(root)
    newest = max([*released, *([] if present in released else [present])], key=_order)
    if _order(version) < _order(newest) or version in released:
        return [f"{version} does not come after {newest}, which {'was released' if newest in released else 'galaxy.yml has'}: choose a higher one."]
    return []


def _tree_faults(root: Path, version: str) -> list[str]:
    found = []
    changed = _run(root, "git", "status", "--porcelain").splitlines()
    if changed:
        found.append(f"the working copy is not clean ({', '.join(line[3:] for line in changed[:3])}{' …' if len(changed) > 3 else ''}): commit or remove that.")
    if _run(root, "git", "tag", "--list", f"v{version}"):
        found.append(f"the tag v{version} exists: a version is made once. Choose the next one.")
    if not _fragments(root):
        found.append("changelogs/fragments is empty: a version that changes nothing for anybody is none. Write what it changes.")
    return found


def _test_faults(root: Path) -> list[str]:
    """What ``make test-full`` left behind must be of this commit, and good."""
    commit = _run(root, "git", "rev-parse", "HEAD")
    try:
        found = json.loads((root / "build" / "test-full.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if found.get("commit") == commit and found.get("failed") == 0 and found.get("passed") and not found.get("modified"):
        return []
    return [f"make test-full has not passed on this commit ({commit[:10]}): run it, or say with --untested why not."]


def _version(root: Path) -> str:
    found = _LINE.search(_read(root / "galaxy.yml"))
    if not found:
        raise Fault("galaxy.yml has no line `version: …`.")
    return found[1]


def _released(root: Path) -> list[str]:
    """The versions that the changelog knows."""
    return re.findall(r"^  (\d+\.\d+\.\d+):$", _read(root / "changelogs" / "changelog.yaml"), re.MULTILINE)


def _fragments(root: Path) -> list[Path]:
    return sorted((root / "changelogs" / "fragments").glob("*.y*ml"))


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _run(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Fault(f"{' '.join(command[:3])} … failed; see git status, and git restore what it left.\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.rstrip()


if __name__ == "__main__":
    sys.exit(main())
