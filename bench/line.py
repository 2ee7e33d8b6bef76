"""A slow line for ssh (ProxyCommand): relays standard input and output to a port of this machine, at most so many bits a second each way.

Its arguments: port, bits a second. Standard library only.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable

_PIECE = 8192  # bytes


def relay(read: Callable[[int], bytes], write: Callable[[bytes], object], bits: float) -> None:
    """Until the end of what is read; a piece takes as long as it would on the line."""
    free = time.monotonic()
    while content := read(_PIECE):
        free = max(free, time.monotonic()) + len(content) * 8 / bits
        time.sleep(max(0.0, free - time.monotonic()))
        write(content)


def main() -> None:
    port, bits = int(sys.argv[1]), float(sys.argv[2])
    with socket.create_connection(("127.0.0.1", port)) as line:
        threading.Thread(target=relay, args=(line.recv, lambda content: os.write(1, content), bits), daemon=True).start()
        relay(lambda size: os.read(0, size), line.sendall, bits)


if __name__ == "__main__":
    main()
