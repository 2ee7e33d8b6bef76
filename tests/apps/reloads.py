"""What gunicorn runs in the tests of a reload in place. It names the release by its own file's place: that is the code that answers.

``BROKEN`` and ``BOOT`` are files of the release beside it: with the one the health path answers 500, the other has the seconds of a boot.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

HERE = os.path.dirname(os.path.realpath(__file__))
RELEASE = os.path.basename(HERE)
if os.path.exists(f"{HERE}/BOOT"):
    with open(f"{HERE}/BOOT", encoding="ascii") as boot:
        time.sleep(float(boot.read()))


def app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> list[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(1.5)
    status = "500 Broken" if path == "/health" and os.path.exists(f"{HERE}/BROKEN") else "200 OK"
    about = {"release": RELEASE, "slot": os.environ.get("BLUEGREEN_SLOT"), "pid": os.getpid(), "bytes": len(body)}
    text = json.dumps(about).encode()
    start_response(status, [("Content-Length", str(len(text))), ("X-Release", RELEASE)])
    return [text]
