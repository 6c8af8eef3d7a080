"""A Hugging Face Hub of the tests' own, on loopback: it keeps commits, and gives them back."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

COMMIT = "c" * 40


@dataclass
class StubHub:
    """What it was asked for, and what it holds.

    Attributes:
        refuse: Status with which all that is sent to it is refused; None: it is taken.
        created: Bodies of the requests to make a repository.
        commits: Heads of the commits.
        files: Of all commits, by repository and path.
        checked: Cards that it was asked to check.
        tokens: What requests that write were signed with.
    """

    address: str = ""
    refuse: int | None = None
    created: list[dict[str, Any]] = field(default_factory=list)
    commits: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    checked: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)

    def environment(self) -> dict[str, str]:
        """Variables under which a process takes this for the Hub."""
        return {"HF_ENDPOINT": self.address, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

    def post(self, path: str, body: bytes) -> tuple[int, Any]:
        """Status and answer."""
        if self.refuse:
            return self.refuse, {"error": "You are not allowed to do that."}
        if path == "/api/validate-yaml":
            self.checked.append(json.loads(body)["content"])
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            name = "{organization}/{name}".format(**self.created[-1])
            self.files.setdefault(name, {})
            return 200, {"url": f"{self.address}/{name}"}
        owner, name, action = path.removeprefix("/api/models/").split("/")[:3]
        if action == "preupload":
            kept = {"uploadMode": "regular", "shouldIgnore": False}
            return 200, {"files": [{"path": f["path"], **kept} for f in json.loads(body)["files"]]}
        assert action == "commit"
        head, *operations = map(json.loads, body.splitlines())
        self.commits.append(head["value"])
        for one in operations:
            assert one["key"] == "file"
            content = base64.b64decode(one["value"]["content"])
            self.files[f"{owner}/{name}"][one["value"]["path"]] = content
        return 200, {"commitUrl": f"{self.address}/{owner}/{name}/commit/{COMMIT}"} | {
            "commitOid": COMMIT
        }

    def get(self, path: str) -> tuple[int, Any]:
        """Status, and a file or an answer."""
        if path.startswith("/api/models/"):
            owner, name, *rest = path.removeprefix("/api/models/").split("/")
            held = self.files.get(f"{owner}/{name}")
            if held is None:
                return 404, {"error": "Repository not found"}
            if rest[:1] == ["tree"]:
                sizes = {path: len(content) for path, content in held.items()}
                return 200, [
                    {"type": "file", "path": path, "size": size, "oid": "0" * 40}
                    for path, size in sizes.items()
                ]
            return 200, {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": []}
        owner, name, _, _, file = path[1:].split("/")
        return 200, self.files[f"{owner}/{name}"][file]


@contextmanager
def serving() -> Iterator[StubHub]:
    """A hub that answers while the context is open."""
    hub = StubHub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(iter(self._chunk, b""))
            else:
                body = self.rfile.read(int(self.headers["Content-Length"]))
            hub.tokens.add(self.headers.get("Authorization"))
            self._answer(*hub.post(unquote(self.path.partition("?")[0]), body))

        def do_GET(self) -> None:
            self._answer(*hub.get(unquote(self.path.partition("?")[0])))

        do_HEAD = do_GET

        def _chunk(self) -> bytes:
            size = int(self.rfile.readline(), 16)
            content = self.rfile.read(size)
            self.rfile.readline()
            return content

        def _answer(self, status: int, content: Any) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            kind = "application/octet-stream" if body is content else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
