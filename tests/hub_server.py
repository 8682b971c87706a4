"""A Hugging Face hub for the tests: one data set on loopback, with commits, listings and files.

All files travel within the commit. On the real hub huggingface_hub sends large ones through its
content store instead, a protocol of compiled code that this server does not speak.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit


@dataclass
class Hub:
    """The content of the server, and the requests it got.

    Attributes:
        commits: for each commit, its files.
        requests: method and path of every request.
        refuses: answer no request to change anything.
    """

    url: str = ""
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    made: dict = field(default_factory=dict)
    refuses: bool = False

    @property
    def head(self) -> str:
        """The newest commit."""
        return list(self.commits)[-1]

    def files(self, revision: str) -> dict[str, bytes] | None:
        """The files of a commit or of the main branch."""
        return self.commits.get(self.head if revision == "main" else revision)

    def commit(self, lines: list[dict]) -> str:
        """Apply the operations of a commit to the newest one."""
        files = dict(self.commits[self.head])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        return self.add(files)

    def add(self, files: dict[str, bytes]) -> str:
        """Add a commit with these files."""
        commit = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[commit] = files
        return commit


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _send(self, body: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _json(self, value: object, status: int = 200) -> None:
            self._send(json.dumps(value).encode(), status, Content_Type="application/json")

        def _missing(self, code: str) -> None:
            self._send(b"", 404, X_Error_Code=code)

        def do_POST(self) -> None:
            hub.requests.append(f"POST {self.path}")
            body = self._body()
            if hub.refuses:
                self._json({"error": "You have no right to write"}, 403)
            elif self.path == "/api/repos/create":
                hub.made = json.loads(body)
                if not hub.commits:
                    hub.add({".gitattributes": b""})
                self._json({"url": f"{hub.url}/datasets/user/digits"})
            elif self.path == "/api/validate-yaml":
                self._json({"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                files = json.loads(body)["files"]
                modes = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in files
                ]
                self._json({"files": modes})
            elif "/commit/" in self.path:
                commit = hub.commit([json.loads(line) for line in body.splitlines()])
                url = f"{hub.url}/datasets/user/digits/commit/{commit}"
                self._json({"commitUrl": url, "commitOid": commit})
            else:
                self._json({}, 404)

        def do_HEAD(self) -> None:
            self._get()

        def do_GET(self) -> None:
            self._get()

        def _get(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            path = unquote(urlsplit(self.path).path)
            if path.startswith("/api/datasets/user/digits") and hub.commits:
                _, kind, revision, *inside = [*path[25:].split("/"), "", ""][:4]
                files = hub.files(revision) if kind else hub.files("main")
                if files is None:
                    self._missing("RevisionNotFound")
                elif kind == "tree":
                    folder = f"{inside[0]}/" if inside and inside[0] else ""
                    tree = [
                        {"type": "file", "path": name, "size": len(data), "oid": "0"}
                        for name, data in files.items()
                        if name.startswith(folder)
                    ]
                    self._json(tree)
                else:
                    sha = hub.head if revision in ("", "main") else revision
                    siblings = [{"rfilename": name} for name in files]
                    self._json({"id": "user/digits", "sha": sha, "siblings": siblings})
            elif path.startswith("/datasets/user/digits/resolve/") and hub.commits:
                revision, _, name = path[30:].partition("/")
                files = hub.files(revision) or {}
                if name not in files:
                    self._missing("EntryNotFound")
                    return
                tag = hashlib.sha256(files[name]).hexdigest()
                sha = hub.head if revision == "main" else revision
                self._send(files[name], ETag=f'"{tag}"', X_Repo_Commit=sha)
            else:
                self._missing("RepoNotFound")

    return Handler


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Serve an empty hub until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
