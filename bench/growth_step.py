"""One step of bench/growth.py over the index of a folder, in a process of its own; ends in one line of JSON.

Usage: python bench/growth_step.py build|query|ask|verify|compact FOLDER [--dimension 384] [--model embedded]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import made_up
from search import percentiles

import pipeline
from pipeline.config import EncoderSettings
from pipeline.job.stopwatch import Stopwatch
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.contract import Encoder

if TYPE_CHECKING:
    from pipeline.query.searcher import Index

TOP = 10
MODEL_DIMENSION = 384
CLIENTS = 8
QUERIES = 200
ROUNDS = 3
Row = dict[str, float]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the index is, and which vectors it has. `model`: whose fingerprint they bear, if they can be its."""

    folder: Path
    dimension: int
    model: str

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def index(self) -> Path:
        return self.folder / "index"

    @property
    def has_model(self) -> bool:
        return self.dimension == MODEL_DIMENSION

    def real(self) -> Encoder:
        return load_encoder(EncoderSettings(model=self.model))

    def made_up(self) -> Encoder:
        """Gives made-up vectors in microseconds."""
        return made_up.encoder(self.dimension, self.real().dense_fingerprint if self.has_model else None)


def private_mb() -> float:
    """Private memory of this process now: pages of mapped files are the kernel's to take back."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("RssAnon:")[1].split()[0]) / 1000


def peak_mb() -> float:
    """Most memory that this process has held, pages of mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


class Watch:
    """The most private memory while it is entered, looked at every 50 ms."""

    def __enter__(self) -> Watch:
        self.most = private_mb()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._done.wait(0.05):
            self.most = max(self.most, private_mb())

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def build(place: Place) -> Row:
    """A build, its stages, and what it left on disk."""
    stages = Stopwatch()
    with Watch() as watch:
        report = pipeline.build(place.config, encoder=place.made_up(), allow_deletes=True, progress=stages)
    size = sum(path.stat().st_size for path in (place.index / "segments").rglob("*") if path.is_file())
    return {
        "seconds": report.seconds,
        "cpu_s": time.process_time(),
        "documents": report.documents,
        "chunks": report.chunks,
        "bytes": size,
        "private_mb": watch.most,
        "peak_mb": peak_mb(),
        **{f"{stage.name} s": stages.seconds_of(stage.name) for stage in stages.stages},
    }


def query(place: Place) -> Row:
    """What a cold process does that has no model: opens and searches once."""
    with pipeline.open_index(place.index, encoder=place.made_up()) as index:
        hits = index.search(made_up.queries(1)[0], TOP)
    return {"hits": len(hits)}


def verify(place: Place) -> Row:
    """Checksums, then contents too."""
    from pipeline.index.upkeep.verify import verify as check

    found = {}
    for name, deep in (("verify_s", False), ("verify_deep_s", True)):
        started = time.perf_counter()
        report = check(place.index, None, deep)
        found[name] = time.perf_counter() - started
        assert report.ok, report.problems
    return {**found, "peak_mb": peak_mb()}


def compact(place: Place) -> Row:
    """Every segment that has deletions, or is small, written again."""
    from pipeline.index.upkeep.compact import compact as merge

    started = time.perf_counter()
    with Watch() as watch:
        report = merge(place.index, retain=1)
    assert report.published
    return {"seconds": time.perf_counter() - started, "private_mb": watch.most, "peak_mb": peak_mb()}


def ask(place: Place) -> Row:
    """Everything about searching in an open index."""
    from pipeline.index.lexical import kernel

    row: Row = {}
    stub = place.made_up()
    for name, verified in (("open_ms", True), ("open_unverified_ms", False)):
        row[name] = statistics.median(timed(partial(opened, place, stub, verified)) for _ in range(5))
    kernel.load()
    before = private_mb()
    index = opened(place, stub)
    texts = made_up.queries(QUERIES + QUERIES // 2)
    index.search(texts[0], TOP)
    for mode in ("dense", "lexical", "hybrid"):
        row[f"{mode}_p50"], row[f"{mode}_p95"] = percentiles(partial(index.search, k=TOP, mode=mode), texts)
    row["rank_p50"], row["rank_p95"] = percentiles(lambda text: index.rank([text], TOP), texts)
    row["first_filter_ms"] = timed(lambda: index.search(texts[0], TOP, where=made_up.FILTER))
    filtered = partial(index.search, k=TOP, where=made_up.FILTER)
    row["filtered_p50"], row["filtered_p95"] = percentiles(filtered, texts)
    conditions = [f"year >= {year}" for year in range(2001, 2012)]
    row["new_filter_ms"] = statistics.median(
        timed(partial(index.search, texts[0], TOP, where=condition)) for condition in conditions
    )
    row["private_mb"], row["index_private_mb"], row["peak_mb"] = private_mb(), private_mb() - before, peak_mb()
    row["threads_8"] = searches_per_second(index, texts)
    if place.has_model:
        model = pipeline.open_index(place.index, encoder=EncoderSettings(model=place.model))
        model.search(texts[0], TOP)
        row["encode_p50"], row["encode_p95"] = percentiles(lambda text: model.encode([text]), texts)
        row["with_model_p50"], row["with_model_p95"] = percentiles(lambda text: model.search(text, TOP), texts)
        row["with_model_threads_8"] = searches_per_second(model, texts)
    return row


def opened(place: Place, encoder: Encoder, verified: bool = True) -> Index:
    return pipeline.open_index(place.index, encoder=encoder, verify=verified)


def timed(run: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1e3


def searches_per_second(index: Index, texts: Sequence[str]) -> float:
    """Of `CLIENTS` threads that each ask one query after the other."""

    def client(number: int) -> None:
        for text in texts[number::CLIENTS]:
            index.search(text, TOP)

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client, range(CLIENTS)))
        started = time.perf_counter()
        for _ in range(ROUNDS):
            list(clients.map(client, range(CLIENTS)))
        return ROUNDS * len(texts) / (time.perf_counter() - started)


STEPS: dict[str, Callable[[Place], Row]] = {
    "build": build,
    "query": query,
    "ask": ask,
    "verify": verify,
    "compact": compact,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dimension", type=int, default=MODEL_DIMENSION)
    parser.add_argument("--model", default="embedded")
    given = parser.parse_args()
    print(json.dumps(STEPS[given.step](Place(given.folder, given.dimension, given.model))))


if __name__ == "__main__":
    main()
