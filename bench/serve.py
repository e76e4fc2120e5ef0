"""The service over loopback beside other servers on the same data, and what it adds to `Index.search`.

Usage: python bench/serve.py [--documents 20000] [--seconds 4] [--clients 1 8 64] [--rivals lancedb txtai]

Each server is a process of its own and answers hybrid searches by ten hits with their texts; all encode queries by
the same made-up vectors. `wrk` loads them where it is installed, else a client in a process of its own. LanceDB
stands behind the same kind of server (starlette, uvicorn, threads); txtai answers by its own API. A rival that is
not installed is left out, and the last line, of JSON, says so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import made_up

DIMENSION, TOP, QUERIES = 384, 10, 500
HERE = Path(__file__).resolve()
PACKAGES = {"pipeline": "pipeline", "lancedb": "lancedb", "txtai": "txtai"}
_LUA = """
local n, number = {count}, 0
request = function()
  number = number % n + 1
  return wrk.format({format})
end
local texts = {{ {texts} }}
TEXT = texts
done = function(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
  io.write(string.format('\\n{{"p50_ms": %.3f, "p95_ms": %.3f, "per_second": %.1f, "errors": %d}}\\n',
    latency:percentile(50) / 1000, latency:percentile(95) / 1000, summary.requests / summary.duration * 1e6, bad))
end
"""


@dataclass(frozen=True, slots=True)
class Door:
    """How a server is asked: by a body for POST, or in the address."""

    path: str
    posts: bool

    def lua(self, texts: Sequence[str]) -> str:
        """The script for wrk."""
        made = [json.dumps({"query": text, "k": TOP}) if self.posts else quote(text) for text in texts]
        listed = ", ".join(json.dumps(one) for one in made)
        if self.posts:
            how = f'"POST", "{self.path}", {{["Content-Type"] = "application/json"}}, TEXT[number]'
        else:
            how = f'"GET", "{self.path}" .. TEXT[number]'
        return _LUA.format(count=len(texts), format=how, texts=listed)

    def raw(self, text: str) -> bytes:
        """A request, for the client of this script."""
        if not self.posts:
            return f"GET {self.path}{quote(text)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        body = json.dumps({"query": text, "k": TOP}).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


DOORS = {
    "pipeline": Door("/v1/search", True),
    "lancedb": Door("/search", True),
    "txtai": Door(f"/search?limit={TOP}&query=", False),
}


def texts_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Ids and texts of the collection."""
    for line in (folder / "documents" / "made-up.jsonl").open(encoding="utf-8"):
        record = json.loads(line)
        yield record["_id"], record["text"]


def serve_pipeline(folder: Path, port: int) -> None:
    """This package's service."""
    from pipeline import build, open_index, parse_config
    from pipeline.config import ServeSettings
    from pipeline.serve import server
    from pipeline.serve.service import Service

    raw: dict[str, Any] = {"index": "index", "sources": [{"path": "documents"}]}
    raw["chunking"] = {"max_tokens": 1_000_000, "overlap_tokens": 0}  # the rivals cut nothing either
    config = parse_config(raw, folder)
    encoder = made_up.encoder(DIMENSION)
    if not config.index_path.exists():
        build(config, encoder=encoder)
    index = open_index(config.index_path, encoder=encoder, verify=False)
    print(json.dumps(in_process(index)), flush=True)
    server.serve(Service.of({"made-up": index}, ServeSettings(refresh_seconds=3600.0)), "127.0.0.1", port)


def in_process(index: Any) -> dict[str, float]:
    """What a search takes that comes over no wire, in milliseconds."""
    texts = made_up.queries(QUERIES)
    for text in texts[:100]:
        index.search(text, TOP)
    taken = []
    for text in texts:
        started = time.perf_counter()
        index.search(text, TOP)
        taken.append((time.perf_counter() - started) * 1000)
    return {"p50_ms": statistics.median(taken), "p95_ms": statistics.quantiles(taken, n=20)[-1]}


def serve_lancedb(folder: Path, port: int) -> None:
    """LanceDB behind starlette."""
    import lancedb
    import uvicorn
    from lancedb.rerankers import RRFReranker
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    vectors = made_up.Vectors(DIMENSION)
    database = lancedb.connect(str(folder / "lancedb"))
    rows = list(texts_of(folder))
    encoded = vectors.encode_documents([text for _, text in rows]).dense
    assert encoded is not None
    table = database.create_table(
        "texts",
        [
            {"id": doc_id, "text": text, "vector": vector}
            for (doc_id, text), vector in zip(rows, encoded, strict=True)
        ],
        mode="overwrite",
    )
    table.create_fts_index("text", use_tantivy=False)
    reranker = RRFReranker()

    def find(text: str, k: int) -> list[dict[str, Any]]:
        vector = vectors.encode_queries([text]).dense
        assert vector is not None
        query = table.search(query_type="hybrid").vector(vector[0]).text(text).rerank(reranker).limit(k)
        found = query.select(["id", "text"]).to_list()
        return [{"id": hit["id"], "text": hit["text"], "score": float(hit["_relevance_score"])} for hit in found]

    async def search(request: Request) -> JSONResponse:
        body = await request.json()
        return JSONResponse({"hits": await run_in_threadpool(find, body["query"], body["k"])})

    app = Starlette(routes=[Route("/search", search, methods=["POST"])])
    print("{}", flush=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)


def transform(texts: Sequence[str]) -> Any:
    """Vectors for txtai, which calls this by its name."""
    return _vectors().encode_documents(list(texts)).dense


@functools.cache
def _vectors() -> made_up.Vectors:
    return made_up.Vectors(DIMENSION)


def serve_txtai(folder: Path, port: int) -> None:
    """txtai's own API over an index of both its sides."""
    import uvicorn
    from txtai import Embeddings

    os.environ["ALLOW_RESOLVE_TRANSFORM"] = "True"  # it is a function of this script
    settings = {"method": "external", "transform": "serve.transform", "hybrid": True, "content": True}
    embeddings = Embeddings(settings)
    embeddings.index((doc_id, text, None) for doc_id, text in texts_of(folder))
    embeddings.save(str(folder / "txtai"))
    embeddings.close()
    (folder / "txtai.yaml").write_text(f"path: {folder / 'txtai'}\nembeddings: {json.dumps(settings)}\n")
    os.environ["CONFIG"] = str(folder / "txtai.yaml")
    from txtai.api import application

    print("{}", flush=True)
    uvicorn.run(application.app, host="127.0.0.1", port=port, log_config=None, access_log=False)


SERVERS = {"pipeline": serve_pipeline, "lancedb": serve_lancedb, "txtai": serve_txtai}


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """A server in a process of its own: its port, and what it said of itself. Raises `RuntimeError`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(HERE), "--server", name, "--folder", str(folder), "--port", str(port)]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=HERE.parent)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        while line and not line.startswith("{"):
            line = process.stdout.readline()
        if not line:
            said = (folder / f"{name}.log").read_text().strip().splitlines()
            raise RuntimeError(said[-1] if said else "it ended without a word")
        _wait_for(port)
        yield port, json.loads(line)
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def load(folder: Path, door: Door, port: int, clients: int, seconds: float) -> dict[str, float]:
    """What so many clients see who ask again as soon as they are answered."""
    texts = made_up.queries(QUERIES)
    if shutil.which("wrk") is None:
        (folder / "load.json").write_text(json.dumps([door.path, door.posts]))
        command = [sys.executable, str(HERE), "--load", str(clients), "--port", str(port), "--folder", str(folder)]
        answer = subprocess.run([*command, "--seconds", str(seconds)], capture_output=True, text=True, check=True)
    else:
        script = folder / "load.lua"
        script.write_text(door.lua(texts))
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(round(seconds), 1)}s", "-s", str(script)]
        answer = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout.strip().splitlines()[-1])
    return found


async def _asked(port: int, requests: Sequence[bytes], start: int, until: float, taken: list[float]) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bad, number = 0, start
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(requests[number % len(requests)])
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        (length,) = [int(line.split(":")[1]) for line in lines if line.startswith("content-length:")]
        await reader.readexactly(length)
        taken.append(time.perf_counter() - started)
        bad += " 200" not in lines[0]
        number += 1
    writer.close()
    return bad


async def own_load(port: int, door: Door, clients: int, seconds: float) -> dict[str, float]:
    """The same without wrk."""
    requests, taken = [door.raw(text) for text in made_up.queries(QUERIES)], list[float]()
    started = time.perf_counter()
    calls = [_asked(port, requests, 37 * i, started + seconds, taken) for i in range(clients)]
    bad = sum(await asyncio.gather(*calls))
    return {
        "p50_ms": statistics.median(taken) * 1000,
        "p95_ms": statistics.quantiles(taken, n=20)[-1] * 1000,
        "per_second": len(taken) / (time.perf_counter() - started),
        "errors": bad,
    }


def measured(folder: Path, name: str, clients: Sequence[int], seconds: float) -> dict[str, Any]:
    """The figures of one server."""
    with running(name, folder) as (port, said):
        load(folder, DOORS[name], port, 4, 1)  # warm
        return {**said, "clients": {str(n): load(folder, DOORS[name], port, n, seconds) for n in clients}}


def compare(documents: int, clients: Sequence[int], seconds: float, rivals: Sequence[str]) -> Mapping[str, Any]:
    """Measure the service and its rivals, and print a table."""
    result: dict[str, Any] = {
        "documents": documents,
        "load": "wrk" if shutil.which("wrk") else "own",
        "left_out": {},
    }
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as base:
        folder = Path(base)
        (folder / "documents").mkdir()
        made_up.write_collection(folder / "documents" / "made-up.jsonl", documents)
        for name in ("pipeline", *rivals):
            if find_spec(PACKAGES[name]) is None:
                result["left_out"][name] = "not installed"
                continue
            try:
                found = result[name] = measured(folder, name, clients, seconds)
            except RuntimeError as error:
                result["left_out"][name] = str(error)
                continue
            for number, one in found["clients"].items():
                print(
                    f"{name:<9} {number:>3} clients: p50 {one['p50_ms']:8.2f} ms, p95 {one['p95_ms']:8.2f} ms, "
                    f"{one['per_second']:8.1f} requests/s, {one['errors']:.0f} errors",
                    flush=True,
                )
    ours = result["pipeline"]
    first = str(clients[0])
    result["overhead_ms"] = ours["clients"][first]["p50_ms"] - ours["p50_ms"]
    print(f"over Index.search: {result['overhead_ms']:.2f} ms at the median, beside {ours['p50_ms']:.2f} ms")
    peers = [result[name] for name in rivals if name in result]
    if peers:
        result["times_best_peer"] = {
            n: one["per_second"] / max(peer["clients"][n]["per_second"] for peer in peers)
            for n, one in ours["clients"].items()
        }
    return result


def main() -> None:
    """Compare, or be one of the processes that are compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rivals", nargs="*", choices=("lancedb", "txtai"), default=["lancedb", "txtai"])
    parser.add_argument("--server", choices=tuple(SERVERS), help=argparse.SUPPRESS)
    parser.add_argument("--load", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.server is not None:
        SERVERS[options.server](options.folder, options.port)
    elif options.load is not None:
        door = Door(*json.loads((options.folder / "load.json").read_text()))
        print(json.dumps(asyncio.run(own_load(options.port, door, options.load, options.seconds))))
    else:
        print(json.dumps(compare(options.documents, options.clients, options.seconds, options.rivals)))


if __name__ == "__main__":
    main()
