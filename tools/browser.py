"""The headless Chromium that tests and pictures use: the distribution's, or, where it has none, Playwright's own.

python -m tools.browser    install it, if it is missing: as root or with sudo
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "chromium-headless-shell"


def _command() -> str | None:
    """Where it is; None for the one that Playwright has in its own directory."""
    return shutil.which(PACKAGE) or shutil.which("chromium")


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """It runs while the block does."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=_command())
        try:
            yield found
        finally:
            found.close()


def install() -> int:
    """Ubuntu has it as a snap alone; there Playwright brings it."""
    if _command():
        return 0
    if subprocess.run(["apt-cache", "show", PACKAGE], capture_output=True, check=False).returncode == 0:
        return subprocess.run([str(ROOT / "tools/apt.sh"), PACKAGE], check=False).returncode
    return subprocess.run([sys.executable, "-m", "playwright", "install", "--with-deps", "--only-shell", "chromium"], check=False).returncode


if __name__ == "__main__":
    sys.exit(install())
