"""A stand-in for the REST API of AWX, which cannot run here: it keeps what is posted and answers as far as the modules of awx.awx ask.

It knows no permissions and starts nothing. What it refuses, AWX refuses as well: an object twice by one name, a playbook that
its project does not list, a node that leads to one of another workflow.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Object = dict[str, Any]
TEMPLATES = ("job_templates", "workflow_job_templates")


@dataclass
class Standin:
    """All objects by their kind, as the API names it; ``changes`` are the requests that were no questions."""

    playbooks: tuple[str, ...] = ()
    objects: dict[str, list[Object]] = field(default_factory=dict)
    surveys: dict[int, Object] = field(default_factory=dict)
    links: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    def add(self, kind: str, given: Object) -> Object:
        number = 1 + sum(map(len, self.objects.values()))
        url = f"/api/v2/{kind}/{number}/"
        related = {"survey_spec": f"{url}survey_spec/", "update": f"{url}update/"}
        made = {**given, "id": number, "url": url, "related": related, "summary_fields": {}, "type": kind.rstrip("s"), "scm_revision": ""}
        self.objects.setdefault(kind, []).append(made)
        return made

    def named(self, kind: str, name: str) -> Object:
        return next(found for found in self.objects[kind] if name in (found.get("name"), found.get("identifier")))

    def linked(self, found: Object, how: str) -> list[Object]:
        every = {one["id"]: one for kind in self.objects.values() for one in kind}
        return [every[number] for number in self.links.get((found["id"], how), [])]

    def find(self, kind: str, query: dict[str, str]) -> list[Object]:
        here = [one for name in (TEMPLATES if kind == "unified_job_templates" else (kind,)) for one in self.objects.get(name, [])]
        return [one for one in here if all(str(one.get(key, "")) == value for key, value in query.items())]

    def answer(self, method: str, path: str, query: dict[str, str], body: Object) -> tuple[int, Object]:
        """Status and JSON of one request."""
        if method != "GET":
            self.changes.append((method, path))
        kind, number, part = [*path.removeprefix("/api/v2/").strip("/").split("/"), "", ""][:3]
        if not number:
            return self._of_kind(method, kind, query, body)
        found = next((one for one in self.objects.get(kind, []) if one["id"] == int(number)), None)
        if found is None:
            return 404, {"detail": "Not found."}
        if part:
            return self._part(method, found, part, body)
        if method == "PATCH":
            found.update(body)
        return 200, found

    def _of_kind(self, method: str, kind: str, query: dict[str, str], body: Object) -> tuple[int, Object]:
        if method == "GET":
            found = self.find(kind, query)
            return 200, {"count": len(found), "next": None, "results": found}
        same = {key: str(body[key]) for key in ("name", "identifier", "organization", "inventory", "workflow_job_template") if key in body}
        if self.find(kind, same):
            return 400, {"__all__": [f"{kind} with {same} already exists."]}
        if "playbook" in body and body["playbook"] not in self.playbooks:
            return 400, {"playbook": ["Playbook not found for project."]}
        return 201, self.add(kind, body)

    def _part(self, method: str, found: Object, part: str, body: Object) -> tuple[int, Object]:
        if part == "survey_spec":
            if method == "POST":
                self.surveys[found["id"]] = body
            return 200, self.surveys.get(found["id"], {})
        if part == "create_approval_template":
            made = self.add("workflow_approval_templates", body)
            found["related"]["unified_job_template"] = made["url"]
            return 201, made
        if part.endswith("_nodes") and found["type"] != "workflow_job_template_node":
            return 404, {"detail": "Not found."}
        linked = self.links.setdefault((found["id"], part), [])
        if method == "GET":
            return 200, {"count": len(linked), "next": None, "results": self.linked(found, part)}
        linked.remove(body["id"]) if body.get("disassociate") else linked.append(body["id"])
        strange = [one for one in self.linked(found, part) if one.get("workflow_job_template") != found.get("workflow_job_template")]
        if part.endswith("_nodes") and strange:
            return 400, {"detail": "not of this workflow"}
        return 204, {}


@contextmanager
def serving(standin: Standin) -> Iterator[Standin]:
    """The stand-in on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            status, found = standin.answer(self.command, url.path, dict(parse_qsl(url.query)), body)
            text = b"" if status == 204 else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("X-API-Product-Name", "AWX")
            self.send_header("X-API-Product-Version", "24.6.1")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_one

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    standin.port = server.server_address[1]
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
