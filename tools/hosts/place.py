"""Where the hosts keep what they need: a cache outside the checkout that stays, and a directory of the run that does not."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.hosts.recipe import RECIPE, suite

ROOT = Path(__file__).resolve().parents[2]


class HostsError(Exception):
    """What could not be had, in words for the person who ran the tests."""


def cache() -> Path:
    """All that is kept between runs, for every image."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotswap-bluegreen" / "hosts"


@dataclass(frozen=True)
class Place:
    """The directories of one image: another distribution or another list of packages has others.

    ``run`` is short, because of the sockets in it: a unix socket's path has 108 characters at most.
    """

    cache: Path
    run: Path

    @classmethod
    def ours(cls) -> Place:
        digest = hashlib.sha256(f"{suite()}\n{RECIPE}".encode()).hexdigest()[:12]
        kept = cache() / digest
        return cls(kept, Path("/tmp") / f"hsbg{hashlib.sha256(f'{os.getuid()} {kept}'.encode()).hexdigest()[:8]}")

    @property
    def name(self) -> str:
        """Short enough for a network interface."""
        return self.run.name

    @property
    def fleets(self) -> Path:
        return self.run / "f"

    @property
    def image(self) -> str:
        return f"hotswap-bluegreen-host:{self.cache.name}"

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One process at a time; the kernel gives it back when its holder dies."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with (self.cache / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def held(self, name: str) -> bool:
        """Whether somebody has this lock now."""
        self.cache.mkdir(parents=True, exist_ok=True)
        with (self.cache / f"{name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def make_run(self) -> None:
        """The run's directory: ours alone, because what is in it is believed."""
        self.run.mkdir(mode=0o700, exist_ok=True)
        about = self.run.lstat()
        if self.run.is_symlink() or about.st_uid != os.getuid() or about.st_mode & 0o022:
            raise HostsError(f"{self.run} belongs to somebody else")
        self.fleets.mkdir(exist_ok=True)


def as_root(command: Sequence[str]) -> list[str]:
    """The command, with sudo where we are not root."""
    return list(command) if os.geteuid() == 0 else ["sudo", "--non-interactive", *command]
