"""Pages of several hosts that take their time, fetched one at a time and eight hosts at a time.

Usage: python bench/fetching.py [--hosts 6] [--pages 20] [--milliseconds 100] [--per-second 1000]. Each host is a
server on a port of loopback, in one process beside this one, which answers every page after so many milliseconds.
seconds: for all pages, in the first night and in one where none has changed (304). overlap: requests that one host
had at once, at most.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

from pipeline import parse_config
from pipeline.ingest.fetching.kinds import fetch_sources
from pipeline.ingest.fetching.web import turns
from pipeline.progress import silent


def _serve(hosts: int, seconds: float, end: Connection) -> None:
    """Tells the ports, and when it is told to end, how many requests a host had at once."""
    most, lock = [0], threading.Lock()

    def handler(under_way: list[int]) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with lock:
                    under_way[0] += 1
                    most[0] = max(most[0], under_way[0])
                time.sleep(seconds)
                is_known = self.headers.get("If-None-Match") == '"1"'
                is_there = self.path != "/robots.txt"
                body = b"" if is_known or not is_there else f"# Page\n\n{self.path} ".encode() * 50
                with lock:
                    under_way[0] -= 1
                self.send_response(304 if is_known else 200 if is_there else 404)
                for name, value in (("Content-Type", "text/markdown"), ("ETag", '"1"')):
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
                pass

        return Handler

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler([0])) for _ in range(hosts)]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    end.send([server.server_port for server in servers])
    end.recv()
    end.send(most[0])


def _night(config_of: dict[str, object], folder: Path) -> float:
    config = parse_config(config_of, base=folder)
    started = time.perf_counter()
    fetch_sources(config, config.index_path, silent)
    return time.perf_counter() - started


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=6)
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--milliseconds", type=int, default=100)
    parser.add_argument("--per-second", type=float, default=1000.0)
    options = parser.parse_args()
    result: dict[str, object] = dict(vars(options))
    for name, at_once in (("one at a time", 1), ("several at a time", turns.MOST_AT_ONCE)):
        here, there = multiprocessing.Pipe()
        server = multiprocessing.Process(
            target=_serve, args=(options.hosts, options.milliseconds / 1000, there), daemon=True
        )
        server.start()
        ports = here.recv()
        urls = [f"http://127.0.0.1:{port}/{page}" for port in ports for page in range(options.pages)]
        source = {"urls": urls, "requests_per_second": options.per_second}
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(turns, "MOST_AT_ONCE", at_once):
            nights = [round(_night({"index": "index", "sources": [source]}, Path(folder)), 2) for _ in range(2)]
        here.send(None)
        result[name] = {"seconds": nights, "overlap": here.recv()}
        server.join(5)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
