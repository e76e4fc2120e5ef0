"""A site on loopback whose pages a test sets, and what it was asked for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Page:
    """An answer. `etag`, `modified`: validators of conditional requests. `cut`: the body breaks off."""

    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""
    modified: str = ""
    cut: bool = False


@dataclass
class Site:
    """Pages by path; a list of them is answered one after the other, the last one from then on.

    `hold` is called with each path before it is answered. `most_at_once`: requests that were under way together.
    """

    pages: dict[str, Page | list[Page]] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    sent: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    hold: Callable[[str], object] = lambda path: None
    most_at_once: int = 0
    _under_way: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """A request that is under way."""
        with self._counting:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            yield
        finally:
            with self._counting:
                self._under_way -= 1

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def paths(self) -> list[str]:
        """What was asked for since the last call, robots.txt left out."""
        found = [path for path, _ in self.asked if path != "/robots.txt"]
        self.asked.clear()
        return found

    def statuses(self) -> dict[str, int]:
        """The last answer to each path."""
        return dict(self.asked)

    def next(self, path: str) -> Page:
        """The page that is answered now."""
        found = self.pages.get(path, Page(b"nothing here", status=404))
        if isinstance(found, list):
            return found.pop(0) if len(found) > 1 else found[0]
        return found


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with self.site.counted():
            self.site.hold(self.path)
            answer = self._answer()
        answer()

    def _answer(self) -> Callable[[], None]:
        page = self.site.next(self.path)
        status = page.status
        same = page.etag and self.headers.get("If-None-Match") == page.etag
        since = page.modified and not page.etag and self.headers.get("If-Modified-Since") == page.modified
        if status == 200 and (same or since):
            status = 304
        self.site.asked.append((self.path, status))
        self.site.sent.append({name.lower(): value for name, value in self.headers.items()})

        def send() -> None:
            self.send_response(status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if page.etag:
                self.send_header("ETag", page.etag)
            if page.modified:
                self.send_header("Last-Modified", page.modified)
            body = b"" if status == 304 else page.body
            if page.kind and status != 304:
                self.send_header("Content-Type", page.kind)
            self.send_header("Content-Length", str(len(body) + (10 if page.cut else 0)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)
            if page.cut:
                self.close_connection = True

        return send

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no news."""


@contextlib.contextmanager
def running_site() -> Iterator[Site]:
    """A site that answers until the block ends."""
    site = Site()
    handler = type("Handler", (_Handler,), {"site": site})
    server = _Server(("127.0.0.1", 0), handler)
    site.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
