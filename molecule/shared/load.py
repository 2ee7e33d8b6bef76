"""Bounded load: keep-alive clients with GET and POST on each address, until a file appears or the time is over.

load.py STOP-FILE SECONDS HOST-HEADER ADDRESS...    prints {"sent": n, "failed": [...], "releases": {release: answers}}
"""

import http.client
import json
import pathlib
import sys
import threading
import time

STOP, SECONDS, NAME, ADDRESSES = pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]
END = time.monotonic() + SECONDS
sent: list[str] = []  # the release that answered, or what went wrong after "failed: "


def client(address: str, method: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=20)
    while time.monotonic() < END and not STOP.exists():
        try:
            connection.request(method, "/", body=b"x" * 1000 if method == "POST" else None, headers={"Host": NAME})
            answer = connection.getresponse()
            body = answer.read()
            sent.append(json.loads(body)["release"] if answer.status == 200 else f"failed: {method} {address}: {answer.status}")
        except Exception as error:
            sent.append(f"failed: {method} {address}: {error!r}")
            connection.close()
            time.sleep(0.2)
        time.sleep(0.01)
    connection.close()


threads = [threading.Thread(target=client, args=(address, method)) for address in ADDRESSES for method in ("GET", "POST")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
failed = [one for one in sent if one.startswith("failed: ")]
releases = {release: sent.count(release) for release in sorted({*sent} - {*failed})}
print(json.dumps({"sent": len(sent), "failed": failed, "releases": releases}))
