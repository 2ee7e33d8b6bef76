# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The eyes: they say when to look. watchfiles tells of changes; where it cannot, or is not to, a clock does."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterable, Iterator, Optional, Set

_STEP = 50  # milliseconds between the looks of watchfiles at what the kernel told it
_POLL = 1.0  # seconds between looks where events are not to be had
_SYSCTLS = ("max_user_watches", "max_user_instances")
_PLACE = "/proc/sys/fs/inotify"


class Eyes:
    """``poll`` seconds above 0 mean: by the clock alone, as on a file system that tells nothing (NFS, shared folders of virtual machines).

    ``stop`` is asked by watchfiles whether it is to end; ``say`` is told once of what makes them poll.
    """

    def __init__(self, poll: float, stop: Any, say: Callable[[str], None]) -> None:
        self._poll, self._stop, self._say = poll, stop, say
        self._events: Optional[Iterator[Set[Any]]] = None
        self._watched: Dict[str, Any] = {}
        self.slow = 0.0  # seconds that the last look took: whoever polls gives it a tenth of the time at most

    def follow(self, folders: Dict[str, Any]) -> bool:
        """Watch these directories, each by itself and as it is on the disk now; whether that is new, so that one more look is due."""
        if self._poll or folders == self._watched:
            return False
        self.close()
        if folders:
            try:
                self._events = _watchfiles(list(folders), self._stop)
                next(self._events)
            except (StopIteration, KeyboardInterrupt):
                self._ended()
                return True
            except (FileNotFoundError, PermissionError):  # one went, or was closed, meanwhile
                self._events = None
                return True
            except (OSError, RuntimeError) as error:
                self._fall_back(error, len(folders))
                return True
        self._watched = dict(folders)
        return True

    def wait(self) -> Optional[Set[str]]:
        """The paths that were touched within a moment; None where nobody can tell but by looking."""
        if self._poll:
            time.sleep(max(self._poll, 10 * self.slow))
            return None
        if self._events is None:
            time.sleep(2 * _STEP / 1000)
            return set()
        try:
            touched = {path for _change, path in next(self._events)}
            for path in touched & self._watched.keys():  # it went, or came back, perhaps even under the number that it had: nobody watches it now
                self._watched[path] = None
            return touched
        except (StopIteration, KeyboardInterrupt):
            self._ended()
        except (OSError, RuntimeError) as error:
            self._fall_back(error, len(self._watched))
        return None

    def close(self) -> None:
        if self._events is not None:
            self._events.close()  # type: ignore[attr-defined]  # it is a generator
        self._events, self._watched = None, {}

    def _ended(self) -> None:
        """watchfiles ends at any signal, whatever the handler raised, which it keeps to itself."""
        self.close()
        if self._stop.is_set():
            raise SystemExit(0)

    def _fall_back(self, error: BaseException, count: int) -> None:
        self.close()
        self._poll = _POLL
        self._say(trouble(str(error), count, limits()))


def ready() -> None:
    """Load the library now, where that may be read: the process may become a user who may not look at its Python."""
    import watchfiles  # noqa: F401  # what loads it keeps it


def _watchfiles(folders: Iterable[str], stop: Any) -> Iterator[Set[Any]]:
    """Sets of changes, an empty one at least each 50 ms."""
    import watchfiles

    return watchfiles.watch(
        *folders,
        watch_filter=None,
        debounce=_STEP,
        step=_STEP,
        rust_timeout=_STEP,
        yield_on_timeout=True,
        stop_event=stop,
        recursive=False,
        force_polling=False,
        ignore_permission_denied=False,  # true would hide every other error as well, that of the limit among them
    )


def limits() -> Dict[str, str]:
    """inotify's limits of this machine, by sysctl."""
    found = {}
    for name in _SYSCTLS:
        try:
            with open(f"{_PLACE}/{name}", encoding="ascii") as file:
                found[f"fs.inotify.{name}"] = file.read().strip()
        except OSError:
            found[f"fs.inotify.{name}"] = "unknown"
    return found


def trouble(error: str, count: int, found: Dict[str, str]) -> str:
    """Why there are no events, and what to do."""
    now = ", ".join(f"{name} = {value}" for name, value in found.items())
    if "limit" in error or "os error 24" in error or "os error 28" in error:
        return (
            f"the kernel watches no more directories for this user ({count} are to be watched; now {now}). Looking every {_POLL:g} s instead, "
            f"which is slower. Raise the limit (sysctl fs.inotify.max_user_watches=524288, or max_user_instances where that is it; in "
            f"/etc/sysctl.d to keep it) and restart the watch, or ignore directories that nobody edits (watch_ignore)."
        )
    return f"changes are not told by the file system ({error}). Looking every {_POLL:g} s instead, which is slower."
