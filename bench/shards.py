"""One index in one service against the same index as shards behind a front, over loopback.

Usage: python bench/shards.py [--documents 20000] [--shards 2] [--rounds 200] [--index FOLDER]

The rival is the service of the whole index: its process holds everything and asks nobody. Both answer the same
hybrid searches for ten hits with their texts, in turn, so that a busy machine is as busy for one as for the other;
some answers are compared to the last digit. Shards and front are processes of their own on the same cores: the
figures show what the exchanges cost, not what more machines would give. Told besides: the questions and bytes
between a front and its shards for a search, and the private memory of the front, idle and while many ask at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any

import made_up

DIMENSION, TOP, QUERIES, SEGMENTS = 384, 10, 200, 8
CLIENTS, LOAD = 16, 400
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("first", {}),
    ("again", {}),
    ("filtered", {"filter": made_up.FILTER}),
)
HERE = Path(__file__).resolve()


def build(folder: Path, documents: int) -> int:
    """The index, in several segments; how many chunks it has."""
    from pipeline import build, parse_config

    (folder / "documents").mkdir()
    made_up.write_collection(folder / "documents" / "made-up.jsonl", documents)
    raw: dict[str, Any] = {"index": "index", "sources": [{"path": "documents"}]}
    raw["chunking"] = {"max_tokens": 1_000_000, "overlap_tokens": 0}
    raw["segments"] = {"max_chunks": -(-documents // SEGMENTS), "auto_compact": False}
    return build(parse_config(raw, folder), encoder=made_up.encoder(DIMENSION)).chunks


def chunks_of(folder: Path) -> int:
    """How many chunks an index has that an earlier run built."""
    from pipeline.index import manifest

    return manifest.with_live(folder / "index", lambda live: live.chunks)


def serve(folder: Path, what: str, urls: str) -> None:
    """Be the whole index, the front of these shards, or a shard such as `0/2`."""
    from pipeline import open_index
    from pipeline.config import ServeSettings
    from pipeline.index.lexical import kernel
    from pipeline.query.shards.partition import Share
    from pipeline.query.shards.served import ServedShare
    from pipeline.query.shards.sharded import open_shards
    from pipeline.serve import server
    from pipeline.serve.service import Service
    from pipeline.serve.shards.client import HttpShard
    from pipeline.serve.shards.shard_service import ShardService

    settings, index = ServeSettings(refresh_seconds=3600.0), folder / "index"
    encoder = made_up.encoder(DIMENSION)
    kernel.load()
    service: Service | ShardService
    if what == "whole":
        service = Service.of({"made-up": open_index(index, encoder=encoder, verify=False)}, settings)
    elif what == "front":
        shards = [HttpShard(url, 30.0) for url in urls.split(",")]
        service = Service.of({"made-up": open_shards(shards, encoder=encoder)}, settings)
    else:
        service = ShardService.of(ServedShare(index, Share.parsed(what), verify=False), settings)
    server.serve(service, "127.0.0.1", 0, lambda url: print(url, flush=True))


@contextlib.contextmanager
def running(folder: Path, what: str, urls: str = "") -> Iterator[tuple[str, int]]:
    """A service in a process of its own: its address, and the process."""
    command = [sys.executable, str(HERE), "--serve", what, "--folder", str(folder), "--urls", urls]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, f"{what} did not start"
        yield url, process.pid
    finally:
        process.kill()
        process.wait()


class Door:
    """A connection to a service."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
        self.taken: list[float] = []

    def search(self, text: str, **options: Any) -> Mapping[str, Any]:
        """The answer to a search."""
        body = json.dumps({"query": text, "k": TOP, **options})
        try:
            answer = self._asked(body)
        except (RemoteDisconnected, ConnectionError):  # nobody asked for some seconds
            self._connection.close()
            answer = self._asked(body)
        assert "results" in answer, answer
        found: Mapping[str, Any] = answer
        return found

    def _asked(self, body: str) -> Any:
        started = time.perf_counter()
        self._connection.request("POST", "/v1/search", body, {"Content-Type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        self.taken.append(time.perf_counter() - started)
        return answer


class Counted:
    """The way to a shard, which counts questions and the bytes of both directions, HTTP's own left out."""

    def __init__(self, url: str) -> None:
        from pipeline.serve.shards.client import HttpShard

        self._shard = HttpShard(url, 30.0)
        self.address = url
        self.questions: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()

    def ask(self, question: bytes) -> bytes:
        """The answer."""
        return self._counted(question, self._shard.ask(question))

    def begin(self, question: bytes) -> Callable[[], bytes] | None:
        """Send, and wait later."""
        finish = self._shard.begin(question)
        return None if finish is None else lambda: self._counted(question, finish())

    def _counted(self, question: bytes, answer: bytes) -> bytes:
        from pipeline.query.shards.messages import Message

        kind = Message.of_bytes(question).text("ask")
        self.questions[kind] += 1
        self.sent[kind] += len(question)
        self.received[kind] += len(answer)
        return answer

    def close(self) -> None:
        """Close it."""
        self._shard.close()


def exchanges(urls: list[str], texts: list[str]) -> dict[str, Any]:
    """What a search asks one shard, sends it and is sent: by kind of question, the mean over texts and shards."""
    from pipeline.query.shards.sharded import open_shards

    found: dict[str, Any] = {}
    shards = [Counted(url) for url in urls]
    with open_shards(shards, encoder=made_up.encoder(DIMENSION)) as index:
        for name, where in (("first", None), ("again", None), ("filtered", made_up.FILTER)):
            for shard in shards:
                for counter in (shard.questions, shard.sent, shard.received):
                    counter.clear()
            for text in texts:
                index.search(text, k=TOP, where=where)
            searches = len(texts) * len(shards)
            found[name] = {
                kind: [
                    round(sum(one[kind] for one in counters) / searches, 2)
                    for counters in zip(
                        *((shard.questions, shard.sent, shard.received) for shard in shards), strict=True
                    )
                ]
                for kind in sorted({kind for shard in shards for kind in shard.questions})
            }
    return found


def private_mb(pid: int) -> float:
    """The memory of a process that no other shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def loaded(url: str, pid: int, texts: list[str]) -> float:
    """The most private memory of a front while many ask it at once."""
    most, ended = private_mb(pid), threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.05):
            most = max(most, private_mb(pid))

    def ask(client: int) -> None:
        door = Door(url)
        for number in range(LOAD // CLIENTS):
            door.search(texts[(client + number * CLIENTS) % len(texts)])

    watching = threading.Thread(target=watch)
    watching.start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, range(CLIENTS)))
    ended.set()
    watching.join()
    return most


def cpu_seconds(pids: list[int]) -> float:
    """What processes have computed so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def compare(folder: Path, shards: int, rounds: int) -> dict[str, Any]:
    """The latencies of both, search by search in turn."""
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(running(folder, f"{i}/{shards}")) for i in range(shards)]
        front = stack.enter_context(running(folder, "front", ",".join(url for url, _ in parts)))
        whole = stack.enter_context(running(folder, "whole"))
        pids = {"whole": [whole[1]], "shards": [front[1], *(pid for _, pid in parts)]}
        idle_mb = private_mb(front[1])
        doors = {"whole": Door(whole[0]), "shards": Door(front[0])}
        texts = made_up.queries(QUERIES)
        equal = all(
            doors["whole"].search(text, explain=True) == doors["shards"].search(text, explain=True)
            for text in texts[:50]
        )
        result: dict[str, Any] = {"equal": equal, "front_idle_mb": idle_mb}
        for name, options in KINDS:
            for door in doors.values():
                door.taken.clear()
            used, at_front = dict.fromkeys(doors, 0.0), cpu_seconds([front[1]])
            for number in range(rounds):
                text = texts[(50 + number) % QUERIES if name != "again" else number % 10]
                for kind in ("whole", "shards") if number % 2 else ("shards", "whole"):
                    before = cpu_seconds(pids[kind])
                    doors[kind].search(text, **options)
                    used[kind] += cpu_seconds(pids[kind]) - before
            result[name] = {
                kind: {
                    "p50_ms": statistics.median(door.taken) * 1000,
                    "p95_ms": statistics.quantiles(door.taken, n=20)[-1] * 1000,
                    "cpu_ms": used[kind] / rounds * 1000,
                }
                for kind, door in doors.items()
            }
            result[name]["front_cpu_ms"] = (cpu_seconds([front[1]]) - at_front) / rounds * 1000
        result["exchanges"] = exchanges([url for url, _ in parts], texts[:50])
        result["front_loaded_mb"] = loaded(front[0], front[1], texts)
    return result


def main() -> None:
    """Measure, print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--index", type=Path, help="a folder that an earlier run filled, or where this one builds")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--urls", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.folder, given.serve, given.urls)
        return
    with contextlib.ExitStack() as stack:
        base = given.index or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-shards-")))
        base.mkdir(exist_ok=True)
        chunks = chunks_of(base) if (base / "index").is_dir() else build(base, given.documents)
        found = {"chunks": chunks, "shards": given.shards, **compare(base, given.shards, given.rounds)}
    print(f"{chunks:,} chunks, {given.shards} shards, answers equal: {found['equal']}")
    print("searches     one index: p50, p95, CPU ms   shards: p50, p95, CPU ms   CPU of the front   ratio of p50")
    for name in ("first", "again", "filtered"):
        one, many = found[name]["whole"], found[name]["shards"]
        found[f"{name}_p50_vs_one_index"] = many["p50_ms"] / one["p50_ms"]
        numbers = [side[key] for side in (one, many) for key in ("p50_ms", "p95_ms", "cpu_ms")]
        numbers.append(found[name]["front_cpu_ms"])
        print(f"{name:10}" + "".join(f"{number:10.1f}" for number in numbers), end="")
        print(f"{found[f'{name}_p50_vs_one_index']:12.2f}x")
    for name, kinds in found["exchanges"].items():
        for kind, (questions, sent, received) in kinds.items():
            print(f"{name:10} {kind:12} {questions:6.2f} questions, {sent:8.0f} and {received:8.0f} bytes a shard")
    print(
        f"front's private memory: {found['front_idle_mb']:.0f} MB idle, {found['front_loaded_mb']:.0f} MB at most"
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
