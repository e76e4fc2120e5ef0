"""A large collection through the whole path: made up, read, encoded by workers on Ray, committed, opened, searched.

Usage: python bench/million.py [--chunks 1000000] [--shard 4096] [--dimension 384] [--queries 200] [--folder PATH]

Two nodes of one CPU on this machine; vectors are made of the texts' hashes in microseconds, words are those of the
real lexical side. Told: the seconds of each stage and the driver's peak memory at its end, the most that a worker
held, the bytes of the index, and what a search takes of it in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cluster
import made_up
import numpy as np

from pipeline.config import load_config
from pipeline.query.searcher import open_index

SEARCH = "search"


def resident_mb(pids: list[int]) -> float:
    """What these processes hold, shared pages counted in each."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, ValueError):
            continue
    return total * resource.getpagesize() / 1e6


class Watch(threading.Thread):
    """Looks at the workers every half second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most_mb = 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        """Until `ended`."""
        while not self.ended.wait(0.5):
            self.most_mb = max([self.most_mb, *(resident_mb([pid]) for pid in cluster.workers_running())])


def build(config: Path) -> dict[str, float]:
    """On two workers."""
    with cluster.nodes(2, 0.0) as nodes:
        watch = Watch()
        watch.start()
        began = time.perf_counter()
        record = cluster.built(config, "ray", nodes.address)
        seconds = time.perf_counter() - began
        watch.ended.set()
        watch.join()
    found = {"build_s": seconds, "worker_peak_mb": watch.most_mb, "chunks": float(record.chunks)}
    for stage in record.stages:
        found |= {f"{stage.name}_s": stage.seconds, f"{stage.name}_peak_mb": stage.peak_bytes / 1e6}
        print(
            f"{stage.name:12} {stage.seconds:9.1f} s   driver's peak {stage.peak_bytes / 1e6:7.0f} MB", flush=True
        )
    print(f"the whole    {seconds:9.1f} s   a worker's peak {watch.most_mb:7.0f} MB", flush=True)
    return found


def search(config: Path, count: int) -> None:
    """Open and ask, and print what it took as JSON."""
    settings = load_config(config)
    began = time.perf_counter()
    index = open_index(settings.index_path, encoder=settings.encoder)
    index.search("warm up", k=10)
    opened = time.perf_counter() - began
    found = {"open_s": opened}
    for mode in ("dense", "lexical", "hybrid"):
        taken = []
        for query in made_up.queries(count):
            began = time.perf_counter()
            index.search(query, mode=mode, k=10)
            taken.append(time.perf_counter() - began)
        found |= {
            f"{mode}_p50_ms": float(np.median(taken)) * 1e3,
            f"{mode}_p95_ms": float(np.quantile(taken, 0.95)) * 1e3,
        }
    found["search_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(json.dumps(found))


def run(folder: Path, chunks: int, shard: int, dimension: int, queries: int) -> dict[str, float]:
    """The whole path in an empty folder."""
    began = time.perf_counter()
    config = cluster.collection(folder / "collection", chunks, shard, 2, dimension)
    found = {"made_up_s": time.perf_counter() - began, **build(config)}
    index = load_config(config).index_path
    found["index_bytes_a_chunk"] = sum(p.stat().st_size for p in index.rglob("*") if p.is_file()) / chunks
    asked = subprocess.run(
        [sys.executable, __file__, SEARCH, str(config), str(queries)], check=True, stdout=subprocess.PIPE, text=True
    )
    found |= json.loads(asked.stdout.splitlines()[-1])
    for mode in ("dense", "lexical", "hybrid"):
        print(f"{mode:12} p50 {found[f'{mode}_p50_ms']:7.1f} ms   p95 {found[f'{mode}_p95_ms']:7.1f} ms")
    return found


def main() -> None:
    """Build and search; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--shard", type=int, default=4096)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where to work, and what stays; else a folder that goes")
    given = parser.parse_args()
    sizes = (given.chunks, given.shard, given.dimension, given.queries)
    if given.folder is not None:
        found = run(given.folder, *sizes)
    else:
        with tempfile.TemporaryDirectory() as name:
            found = run(Path(name), *sizes)
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))


if __name__ == "__main__":
    if sys.argv[1:2] == [SEARCH]:
        search(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
