"""What the viewer reads: headings, ansible's lines as they come, and a word when nothing else came for a while.

Colours only on a terminal that wants them; everywhere else plain text without control characters.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable

_QUIET = 1.5  # seconds without a line until the pulse says what is going on
_STYLES = {"heading": "1", "dim": "2", "good": "32", "bad": "1;31"}


class Screen:
    """Lines on standard output. A reader that went away (``| head``) is no reason to stop cleaning up."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
        self._spoke = time.monotonic()
        with contextlib.suppress(AttributeError):
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that knows no "…"

    def line(self, text: str = "", style: str = "", indent: str = "") -> None:
        """Print one line, without what would move the cursor."""
        clean = "".join(letter for letter in text.replace("\t", "    ") if letter.isprintable())
        styled = f"\033[{_STYLES[style]}m{clean}\033[0m" if style and self._colours else clean
        self._spoke = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            print(f"{indent}{styled}".rstrip(), flush=True)

    def heading(self, text: str) -> None:
        self.line()
        self.line(f"== {text}", "heading")

    def text(self, text: str) -> None:
        """A sentence or two, wrapped."""
        for line in textwrap.wrap(" ".join(text.split()), 100):
            self.line(line)

    @contextlib.asynccontextmanager
    async def pulse(self, words: Callable[[], str]) -> AsyncIterator[None]:
        """Whenever nothing was said for a while, say ``words()``."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(0.1)
                if time.monotonic() - self._spoke >= _QUIET:
                    self.line(f"… {words()}", "dim", "   ")

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
