"""An S3 server with a bucket for the tests, and a proxy that spoils its answers.

The server is moto within the test's process, or the one that INRGEN_TEST_S3 names. The latter gets
its credentials from the usual variables, and holds a bucket for the tests until they end:

    INRGEN_TEST_S3=http://127.0.0.1:7480 AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... \
        pytest tests -k "remote or test_files"
"""

import http.client
import logging
import os
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Literal

from moto.server import ThreadedMotoServer

ANOTHER = os.environ.get("INRGEN_TEST_S3", "").rstrip("/")
REGION = os.environ.get("AWS_REGION", "us-east-1") if ANOTHER else "us-east-1"
_Spoiling = Literal["refuse", "cut", "flip", "blank", "trickle", "deaf"]
_Misjudging = Literal["unconditional", "unmatched", "unquoted", "mismatch", "unknown"]
FaultKind = _Spoiling | _Misjudging


@contextmanager
def serve() -> Iterator[tuple[str, str]]:
    """Yield the URL of a server and the name of an empty bucket on it."""
    if ANOTHER:
        with _temporary_bucket() as bucket:
            yield ANOTHER, bucket
        return
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/bucket", method="PUT")).close()
    yield endpoint, "bucket"
    server.stop()


@contextmanager
def _temporary_bucket() -> Iterator[str]:
    """Make a bucket on the other server, and remove it at the end with its content."""
    import boto3

    client = boto3.client("s3", endpoint_url=ANOTHER, region_name=REGION)
    name = f"inrgen-test-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    yield name
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        for found in page.get("Contents", ()):
            client.delete_object(Bucket=name, Key=found["Key"])
    client.delete_bucket(Bucket=name)


@dataclass
class Fault:
    """Fault that meets requests of a method whose path contains a text.

    refuse: 503; cut: the connection ends within the body; flip: one byte of the body is another;
    blank: the second half of the body is zeros; trickle: a byte now and then; deaf: the request is
    carried out and the answer lost; unconditional: conditions are overlooked; unmatched: If-Match
    alone is; unquoted: If-Match is held against tags without their quotation marks, as Ceph does;
    mismatch: no If-Match is fulfilled; unknown: none is known, as Swift has it.
    times: how many such requests, until all is well again.
    """

    kind: FaultKind
    method: str = "GET"
    path: str = ""
    times: int = 10**9
    met: int = 0


def _spoil(kind: FaultKind, body: bytes) -> bytes:
    half = len(body) // 2
    if kind == "flip":
        return body[:half] + bytes([body[half] ^ 1]) + body[half + 1 :]
    return body[:half] + b"\0" * (len(body) - half) if kind == "blank" else body


def _spoil_conditions(kind: FaultKind | None, headers: dict[str, str]) -> dict[str, str] | None:
    """Return the headers to pass on, or None to refuse the request for its conditions."""
    overlooked = {"unconditional": "if-", "unmatched": "if-match"}.get(kind or "")
    if overlooked:
        return {k: v for k, v in headers.items() if not k.lower().startswith(overlooked)}
    tag = next((v for k, v in headers.items() if k.lower() == "if-match"), None)
    if tag is None or kind not in ("unquoted", "mismatch", "unknown"):
        return headers
    if kind != "unquoted" or tag.startswith('"'):
        return None
    return {k: f'"{v}"' if k.lower() == "if-match" else v for k, v in headers.items()}


class FaultyProxy:
    """Passes requests on to a server and spoils its answers as its fault says."""

    def __init__(self, endpoint: str) -> None:
        self.target = endpoint.removeprefix("http://")
        self.fault: Fault | None = None
        # called with each request before it is passed on
        self.on_request: Callable[[str, str], None] = lambda method, path: None
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take_fault(self, method: str, path: str) -> FaultKind | None:
        """Return the fault that this request meets, if any."""
        with self._lock:
            fault = self.fault
            if fault is None or method != fault.method or fault.path not in path:
                return None
            fault.met += 1
            return fault.kind if fault.met <= fault.times else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments) -> None:
                """Keep the server's log quiet."""

            def _pass_on(self) -> None:
                path, sent = self.path, int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(sent)
                proxy.on_request(self.command, path)
                kind = proxy.take_fault(self.command, path)
                if kind == "refuse":
                    self._answer(503, [], b"")
                    return
                headers = _spoil_conditions(kind, dict(self.headers))
                if headers is None:
                    self._answer(501 if kind == "unknown" else 412, [], b"")
                    return
                connection = http.client.HTTPConnection(proxy.target, timeout=30)
                connection.request(self.command, path, body, headers)
                answer = connection.getresponse()
                got = answer.read()
                connection.close()
                if kind == "deaf":
                    self.close_connection = True
                    return
                self._answer(answer.status, answer.getheaders(), got, kind)

            def _answer(self, status, headers, body, kind=None) -> None:
                length = str(len(body))
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() == "content-length" and self.command == "HEAD":
                        length = value
                    elif name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Content-Length", length)
                self.end_headers()
                self._send(_spoil(kind, body) if body else body, kind)

            def _send(self, body: bytes, kind) -> None:
                try:
                    if kind == "cut":
                        self.wfile.write(body[: len(body) // 2])
                        self.close_connection = True
                    elif kind == "trickle":
                        for byte in body:
                            self.wfile.write(bytes([byte]))
                            time.sleep(0.05)
                    else:
                        self.wfile.write(body)
                except OSError:
                    # the client may have given up
                    self.close_connection = True

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on

        return Handler
