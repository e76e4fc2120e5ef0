"""A proxy before an S3 server that does what networks do: refuse, dawdle, break off, forget to answer."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `path`: with its query."""

    method: str
    path: str
    conditional: bool


Matches = Callable[[Asked], bool]


@dataclass
class Fault:
    """What goes wrong with so many of the requests that match. `kind`: refuse, slow, cut, lost or stale."""

    kind: str
    matches: Matches
    times: int = 1
    seen: list[Asked] = field(default_factory=list)


class Proxy:
    """Passes requests on, but for those that a fault is set for."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._lock = threading.Lock()
        self._old: dict[str, tuple[int, list[tuple[str, str]], bytes]] = {}
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def answer(self) -> None:
                proxy._answer(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815

            def log_message(self, *given: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def fail(self, kind: str, method: str, part: str, times: int = 1) -> Fault:
        """Let so many requests of a method whose path has this part go wrong."""
        fault = Fault(kind, lambda asked: asked.method == method and part in asked.path, times)
        self.faults.append(fault)
        return fault

    def count(self, method: str, part: str) -> int:
        """How many such requests came."""
        return sum(1 for one in self.asked if one.method == method and part in one.path)

    def _fault(self, asked: Asked) -> str:
        with self._lock:
            self.asked.append(asked)
            for fault in self.faults:
                if fault.matches(asked) and len(fault.seen) < fault.times:
                    fault.seen.append(asked)
                    return fault.kind
        return ""

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        asked = Asked(handler.command, handler.path, "if-none-match" in handler.headers)
        kind = self._fault(asked)
        if kind == "refuse":
            self._send(handler, 503, [("content-type", "text/plain")], b"AKIAEXAMPL is asked too often")
            return
        if kind == "slow":
            time.sleep(1.5)
        status, headers, answer = self._passed_on(handler, body)
        if kind == "stale":
            status, headers, answer = self._old.get(handler.path, (status, headers, answer))
        elif "list-type" in handler.path:
            self._old.setdefault(handler.path, (status, headers, answer))
        if kind == "lost":
            handler.close_connection = True
            handler.connection.close()
            return
        self._send(handler, status, headers, answer, cut=kind == "cut")

    def _passed_on(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=20)
        try:
            headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
            connection.request(handler.command, handler.path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
        cut: bool = False,
    ) -> None:
        handler.send_response_only(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() == "content-length" and handler.command == "HEAD":
                length = value
            elif name.lower() not in _HOP:
                handler.send_header(name, value)
        handler.send_header("content-length", length)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if cut:
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.close()
            return
        handler.wfile.write(body)
