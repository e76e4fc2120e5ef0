"""A server on loopback that answers as the search service does, with faults switched on per request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.errors import QueryError
from pipeline.query.searcher import Index


@dataclass(frozen=True)
class Fault:
    """An answer in place of the right one; `None` as status hangs up."""

    status: int | None
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class SearchServer:
    """`faults` are answered first, one a request. `seen`: path, headers and body of each request."""

    url: str
    index: Index
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)

    def answer(self, body: dict[str, Any]) -> Fault:
        options = {{"filter": "where"}.get(name, name): value for name, value in body.items()}
        options.pop("index", None)
        try:
            hits = self.index.search(options.pop("query"), **options)
        except QueryError as error:
            return Fault(422, {"status": 422, "title": "Unprocessable", "detail": str(error)})
        results = [{"query": body["query"], "hits": [asdict(hit) for hit in hits], "trust": []}]
        return Fault(200, {"index": "main", "generation": 1, "mode": "hybrid", "results": results})


@contextmanager
def running(index: Index) -> Iterator[SearchServer]:
    server = SearchServer("", index)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.seen.append((self.path, dict(self.headers), body))
            fault = server.faults.pop(0) if server.faults else server.answer(body)
            if fault.status is None:
                self.close_connection = True
                return
            data = fault.body if isinstance(fault.body, bytes) else json.dumps(fault.body).encode()
            self.send_response(fault.status)
            for name, value in {**fault.headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
