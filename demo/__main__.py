"""python -m demo: exit status 0 if nothing failed, 1 if something did, 130 or 143 after Ctrl-C or a TERM."""

from __future__ import annotations

import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
for _signal in _SIGNALS:
    signal.signal(_signal, signal.SIG_DFL)  # nothing is there yet that would have to be cleaned up

import asyncio  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402

from .screen import Screen  # noqa: E402
from .show import show  # noqa: E402
from .state import state  # noqa: E402


async def demo(screen: Screen) -> int:
    """The show, ended in order by a signal: what is under way is cancelled once, and all is cleaned up."""
    ended: list[int] = []
    task = asyncio.current_task()
    assert task

    def stop(number: int) -> None:
        if not ended:
            screen.line()
            screen.line("Ending: processes and files are cleaned up …", "heading")
            task.cancel()
        ended.append(number)

    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        with state() as folder:
            return await show(folder, screen)
    except asyncio.CancelledError:
        if not ended:
            raise
        screen.line("All gone.")
        return 128 + ended[0]
    except (RuntimeError, TimeoutError) as error:
        screen.line(f"The demo could not go on: {error}", "bad")
        return 1


def main() -> int:
    return asyncio.run(demo(Screen()))


if __name__ == "__main__":
    status = main()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)
