# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A commit of a git repository as a directory of the controller. The targets need no access to the repository, and no git.

The repository is kept in the user's cache, bare, and fetched once a run: a run has one worker a host, and the first that
holds the lock does it for all. git is never asked to ask a person, and stops by itself where nothing moves.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.hotswap.bluegreen.plugins.module_utils._archive import unpack
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from . import _rules

_SECONDS = 540  # one call of git may take; the lease given for staging lasts longer
_COMMIT = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\Z")
_NO_VERSION = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\Z|\.lock\Z")  # what git-check-ref-format refuses
_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)")
_SCHEMES = ("https", "ssh", "git", "http", "file")
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_NAMESPACE")


def faults(repository: str, version: str) -> Iterator[str]:
    """What is wrong with the two as they are written, a sentence each. A URL with a password in it is not repeated."""
    url = _URL.match(repository)
    scheme, authority = (url[1].lower(), url[2]) if url else ("", "")
    user, at, _other = authority.rpartition("@")
    if at and (scheme != "ssh" or ":" in user):
        yield "git is a URL with a user or password in it, which would be seen in logs. Use ssh with a key, or one of git's credential helpers."
    elif repository.startswith("-") or _HELPER.match(repository) or not repository.isprintable():
        yield f"git is {repository[:40]!r}; a URL, host:path, or a path on the controller is expected."
    elif url and scheme not in _SCHEMES:
        yield f"git is a URL of {scheme!r}; one of {', '.join(_SCHEMES)} is expected."
    if not version:
        yield "version is missing; a branch, a tag or a commit is expected."
    elif version.startswith(("-", "/")) or _NO_VERSION.search(version):
        yield f"version is {version[:40]!r}; a branch, a tag or a commit is expected."


def lacking(repository: str) -> str:
    """Why nothing can be fetched from a repository, '' if it can, or none is named."""
    if not repository or shutil.which("git"):
        return ""
    return f"bluegreen_source: git is not on the controller. Install it there, or use archive or directory. {_rules.IN_IMAGE}"


def is_remote(repository: str) -> bool:
    """Whether it is a URL or host:path, and not a path on the controller."""
    return bool(_URL.match(repository)) or ":" in repository.partition("/")[0]


class Repository:
    """A repository in the cache. ``run`` is a directory that all workers of this run have in common, and that ends with it."""

    def __init__(self, url: str, run: Path, cache: Path | None = None) -> None:
        self.url = url
        self.run = run
        self._bare = (cache or _cache()) / hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def tree(self, version: str) -> tuple[str, Path]:
        """(the commit that ``version`` is, a directory with its content). :class:`Refusal` if there is no such thing."""
        git = shutil.which("git")
        if not git:
            raise Refusal(lacking(self.url))
        known = self.run / f"bluegreen-git-{hashlib.sha256(f'{self.url} {version}'.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"
        with self._locked() as handle:
            call = _Git(git, self._bare, handle)
            if known.exists():
                commit = known.read_text(encoding="ascii")
            else:
                commit = self._fetched(call, version)
                known.write_text(commit, encoding="ascii")
            return commit, self._content(call, commit)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self._bare.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._bare.parent.chmod(0o700)
        with open(self._bare.with_suffix(".lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock.fileno()

    def _fetched(self, call: _Git, version: str) -> str:
        """The commit, after the repository was fetched; a commit that is here already cannot have changed."""
        call("init", "--quiet", "--bare")
        if _COMMIT.match(version) and call("cat-file", "-e", f"{version}^{{commit}}") is not None:
            return version
        for stale in (path for folder in ("refs", ".") for path in (self._bare / folder).glob("**/*.lock" if folder == "refs" else "*.lock")):
            stale.unlink()  # of a git that was killed: the lock on the cache is ours
        wanted = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", *(["+HEAD:refs/remote/HEAD"] if version == "HEAD" else [])]
        self._fetch(call, *wanted)
        found = self._resolve(call, version)
        if not found and _COMMIT.match(version):  # on no branch, and not under a tag
            call("fetch", "--quiet", "--no-tags", "--end-of-options", self.url, version)
            found = self._resolve(call, version)
        if not found:
            raise Refusal(f"bluegreen_source: the repository {self.url} has no branch, tag or commit {version!r}.")
        return found

    def _fetch(self, call: _Git, *wanted: str) -> None:
        if call("fetch", "--quiet", "--prune", "--force", "--no-tags", "--end-of-options", self.url, *wanted) is None:
            raise Refusal(f"bluegreen_source: git cannot fetch {self.url}: {call.said or 'it says nothing'}. Nothing was staged.")

    @staticmethod
    def _resolve(call: _Git, version: str) -> str:
        """The commit; a tag goes before a branch of the same name, as in git."""
        names = [f"refs/tags/{version}", f"refs/heads/{version}", "refs/remote/HEAD" if version == "HEAD" else ""]
        names += [version] if version.startswith("refs/") or re.match(r"[0-9a-f]{7,64}\Z", version) else []
        for name in filter(None, names):
            commit = call("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
            if commit:
                return commit.strip()
        return ""

    def _content(self, call: _Git, commit: str) -> Path:
        """The commit's files, as ``git archive`` gives them, unpacked once a run."""
        folder = self.run / f"bluegreen-git-{commit}"
        if folder.exists():
            return folder
        draft, archive = Path(f"{folder}.draft"), Path(f"{folder}.tar")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        try:
            if call("archive", "--format=tar", f"--output={archive}", commit) is None:
                raise Refusal(f"bluegreen_source: git cannot read commit {commit} of {self.url}: {call.said}. Remove {self._bare} to fetch all anew.")
            self._refuse_submodules(call, commit, archive)
            unpack(str(archive), str(draft), f"commit {commit[:12]} of {self.url}")
        finally:
            archive.unlink(missing_ok=True)
        draft.rename(folder)
        return folder

    def _refuse_submodules(self, call: _Git, commit: str, archive: Path) -> None:
        """A submodule would be an empty directory; one that the repository leaves out of its archives is not missed."""
        rows = (call("ls-tree", "-r", "-z", commit) or "").split("\0")
        submodules = {row.partition("\t")[2] for row in rows if row.startswith("160000 ")}
        if not submodules:
            return
        with tarfile.open(archive) as tar:
            packed = {name.rstrip("/") for name in tar.getnames()}
        if submodules & packed:
            raise Refusal(
                f"bluegreen_source: {self.url} has the submodule {min(submodules & packed)}, which is not fetched. "
                "Leave it out (export-ignore in .gitattributes), or check it out yourself and use directory."
            )


class _Git:
    """Runs git in the bare repository. Its output, None if it fails; ``said`` is why."""

    def __init__(self, git: str, bare: Path, lock: int) -> None:
        self._command = [git, "-c", "gc.autoDetach=false", "-c", "maintenance.autoDetach=false", "-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60"]
        self._bare = bare
        self._lock = lock
        self.said = ""
        kept = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
        ssh = kept.get("GIT_SSH_COMMAND") or "ssh"
        quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": f"{ssh} -o BatchMode=yes -o ConnectTimeout=20", "GIT_ALLOW_PROTOCOL": ":".join(_SCHEMES)}
        self._environment = {**kept, **quiet, "LC_ALL": "C"}

    def __call__(self, *words: str) -> str | None:
        try:
            done = subprocess.run(
                [*self._command, f"--git-dir={self._bare}", *words],
                env=self._environment,
                cwd=self._bare,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=(self._lock,),  # an orphan of a killed run keeps the cache locked until it ends
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.said = f"it took longer than {_SECONDS} s"
            return None
        lines = [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        telling = [line for line in lines if line.startswith(("fatal: ", "error: ", "remote: ", "ssh: "))] or lines
        self.said = "; ".join(line.rstrip(".") for line in telling[:2])
        return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "hotswap.bluegreen" / "git"
