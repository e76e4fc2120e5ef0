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
    stages, cpu = Stopwatch(), time.process_time()
    with Watch() as watch:
        report = pipeline.build(place.config, encoder=place.made_up(), allow_deletes=True, progress=stages)
    size = sum(path.stat().st_size for path in (place.index / "segments").rglob("*") if path.is_file())
    return {
        "seconds": report.seconds,
        "cpu_s": time.process_time() - cpu,
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
        started, cpu = time.perf_counter(), time.process_time()
        report = check(place.index, None, deep)
        found[name], found[f"{name}_cpu"] = time.perf_counter() - started, time.process_time() - cpu
        assert report.ok, report.problems
    return {**found, "peak_mb": peak_mb()}


def compact(place: Place) -> Row:
    """Every segment that has deletions, or is small, written again."""
    from pipeline.index.upkeep.compact import compact as merge

    started, cpu = time.perf_counter(), time.process_time()
    with Watch() as watch:
        report = merge(place.index, retain=1)
    assert report.published
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {"seconds": seconds, "cpu_s": cpu, "private_mb": watch.most, "peak_mb": peak_mb()}


def ask(place: Place) -> Row:
    """Everything about searching in an open index."""
    from pipeline.index.lexical import kernel

    row: Row = {}
    stub = place.made_up()
    row["first_open_ms"], row["first_open_ms_cpu"] = timed(partial(opened, place, stub))
    for name, verified in (("open_ms", True), ("open_unverified_ms", False)):
        row |= typical(name, [timed(partial(opened, place, stub, verified)) for _ in range(9)])
    kernel.load()
    before = private_mb()
    index = opened(place, stub)
    texts = made_up.queries(QUERIES + QUERIES // 2)
    index.search(texts[0], TOP)
    for mode in ("dense", "lexical", "hybrid"):
        row |= searched(mode, partial(index.search, k=TOP, mode=mode), texts)
    row |= searched("rank", lambda text: index.rank([text], TOP), texts)
    first = partial(index.search, texts[0], TOP)
    row["first_filter_ms"], row["first_filter_ms_cpu"] = timed(partial(first, where=made_up.FILTER))
    row |= searched("filtered", partial(index.search, k=TOP, where=made_up.FILTER), texts)
    conditions = [f"year >= {year}" for year in range(2001, 2012)]
    row |= typical("new_filter_ms", [timed(partial(first, where=condition)) for condition in conditions])
    row["private_mb"], row["index_private_mb"], row["peak_mb"] = private_mb(), private_mb() - before, peak_mb()
    row["threads_8"], row["threads_8_cpu"] = by_threads(index, texts)
    if place.has_model:
        model = pipeline.open_index(place.index, encoder=EncoderSettings(model=place.model))
        model.search(texts[0], TOP)
        row |= searched("encode", lambda text: model.encode([text]), texts)
        row |= searched("with_model", lambda text: model.search(text, TOP), texts)
        row["with_model_threads_8"], row["with_model_threads_8_cpu"] = by_threads(model, texts)
    return row


def opened(place: Place, encoder: Encoder, verified: bool = True) -> Index:
    return pipeline.open_index(place.index, encoder=encoder, verify=verified)


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds, and milliseconds of processor time."""
    started, cpu = time.perf_counter(), time.process_time()
    run()
    return (time.perf_counter() - started) * 1e3, (time.process_time() - cpu) * 1e3


def typical(name: str, times: Sequence[tuple[float, float]]) -> Row:
    """The medians of what `timed` gave."""
    wall, cpu = zip(*times, strict=True)
    return {name: statistics.median(wall), f"{name}_cpu": statistics.median(cpu)}


def searched(name: str, run: Callable[[str], object], texts: Sequence[str]) -> Row:
    """p50 and p95 in milliseconds, and the processor time of a search."""
    p50, p95 = percentiles(run, list(texts))
    cpu = time.process_time()
    for text in texts:
        run(text)
    return {
        f"{name}_p50": p50,
        f"{name}_p95": p95,
        f"{name}_p50_cpu": (time.process_time() - cpu) / len(texts) * 1e3,
    }


def by_threads(index: Index, texts: Sequence[str]) -> tuple[float, float]:
    """Searches a second of `CLIENTS` threads that each ask one query after the other, and the processor's
    milliseconds for one."""

    def client(number: int) -> None:
        for text in texts[number::CLIENTS]:
            index.search(text, TOP)

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(client, range(CLIENTS)))
        started, cpu = time.perf_counter(), time.process_time()
        for _ in range(ROUNDS):
            list(clients.map(client, range(CLIENTS)))
        count = ROUNDS * len(texts)
        return count / (time.perf_counter() - started), (time.process_time() - cpu) / count * 1e3


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
