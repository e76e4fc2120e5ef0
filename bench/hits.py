"""Ten hits with their texts: from the mapped rows of a segment, and from row groups of its Parquet file.

Usage: python bench/hits.py [--chunks 100000] [--rounds 300] [--codecs]

One segment of made-up documents (bench/made_up.py). The two readers take turns in one process, are asked for the
same rows, and must give the same chunks. `--codecs`: also what other ways to compress blocks would take.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import made_up
import numpy as np
import pyarrow as pa

from pipeline.index.chunks import CHUNKS_FILE, ChunkStore, write_table
from pipeline.index.rows.layout import BLOCK_ROWS, ROWS_FILE
from pipeline.index.rows.reader import ChunkRows, open_rows
from pipeline.index.rows.writer import derive
from pipeline.index.schemas import CHUNK_SCHEMA, chunks_to_table
from pipeline.records import Chunk

HITS = 10
TIED = 5000
_TABLE_ROWS = 16_384
_PACKED = 8000
T = TypeVar("T")


def chunks(count: int) -> Iterator[Chunk]:
    """Documents of two chunks."""
    for document in made_up.documents(-(-count // made_up.CHUNKS)):
        doc_id, text = str(document.pop("_id")), str(document.pop("text"))
        digest, start = hashlib.md5(text.encode()).hexdigest(), 0
        for ordinal, part in enumerate(text.split("\n\n")):
            yield Chunk(
                chunk_id=f"{doc_id}#{ordinal}",
                doc_id=doc_id,
                ordinal=ordinal,
                start=start,
                end=start + len(part),
                text=part,
                metadata=document,  # type: ignore[arg-type]
                doc_hash=digest,
                source="corpus.jsonl",
            )
            start += len(part) + 2


def tables(count: int) -> Iterator[pa.Table]:
    """The chunks, some at a time."""
    held = []
    for chunk in chunks(count):
        held.append(chunk)
        if len(held) == _TABLE_ROWS:
            yield chunks_to_table(held)
            held = []
    if held:
        yield chunks_to_table(held)


class Costs:
    """Wall and processor time of one thing, in microseconds."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def of(self, read: Callable[[Sequence[int]], list[T]], rows: Sequence[int]) -> list[T]:
        """Read these rows and count what it takes."""
        wall, cpu = time.perf_counter(), time.thread_time()
        found = read(rows)
        self.cpu.append((time.thread_time() - cpu) * 1e6)
        self.wall.append((time.perf_counter() - wall) * 1e6)
        return found

    def shown(self) -> dict[str, float]:
        """Medians and the 95th percentile."""
        return {
            "p50_us": round(float(np.median(self.wall)), 1),
            "p95_us": round(float(np.percentile(self.wall, 95)), 1),
            "cpu_us": round(float(np.median(self.cpu)), 1),
        }


def compared(readers: dict[str, ChunkRows], count: int, rounds: int) -> dict[str, dict[str, float]]:
    """What each reader takes for the same ten rows; the first round is left out."""
    rng = np.random.default_rng(3)
    costs = {name: (Costs(), Costs()) for name in readers}
    for _ in range(rounds + 1):
        rows = rng.choice(count, HITS, replace=False).tolist()
        found = []
        for name, reader in readers.items():
            hits, documents = costs[name]
            found.append((hits.of(reader.fetch, rows), documents.of(reader.doc_ids, rows)))
        assert all(one == found[0] for one in found)
    for hits, documents in costs.values():
        for one in (hits, documents):
            one.wall, one.cpu = one.wall[1:], one.cpu[1:]
    return {
        f"{name}, {what}": cost.shown()
        for name, pair in costs.items()
        for what, cost in zip((f"{HITS} hits", f"{HITS} document ids"), pair, strict=True)
    }


def tied(readers: dict[str, ChunkRows], count: int) -> dict[str, float]:
    """Microseconds of processor time for an id, where many chunks score alike."""
    rows = np.sort(np.random.default_rng(4).choice(count, min(TIED, count), replace=False)).tolist()
    found = {}
    for name, reader in readers.items():
        cost = Costs()
        for _ in range(5):
            cost.of(reader.chunk_ids, rows)
        found[name] = round(min(cost.cpu) / len(rows), 2)
    return found


def codecs(sample: Sequence[Chunk]) -> Iterator[tuple[str, float, float, float]]:
    """Ways to pack blocks: bytes a chunk, and microseconds to pack a chunk and to unpack a block."""
    cells = [[c.text, c.source, c.doc_hash, json.dumps(dict(c.metadata))] for c in sample]
    for name, level in (("lz4_raw", 1), ("lz4_raw", 4), ("lz4_raw", 9), ("zstd", 1), ("zstd", 3)):
        codec = pa.Codec(name, compression_level=level)
        for rows in (1, 8, 16, 32):
            raw = [
                "".join(cell for column in zip(*cells[i : i + rows], strict=True) for cell in column).encode()
                for i in range(0, len(cells), rows)
            ]
            started = time.thread_time()
            packed = [codec.compress(block, asbytes=True) for block in raw]
            packing = time.thread_time() - started
            started = time.thread_time()
            for block, whole in zip(packed, raw, strict=True):
                codec.decompress(block, len(whole), asbytes=True)
            unpacking = time.thread_time() - started
            size = sum(map(len, packed)) / len(cells)
            yield f"{name} {level}, {rows} rows", size, packing / len(cells) * 1e6, unpacking / len(raw) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--codecs", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-hits-") as name:
        folder = Path(name)
        count = write_table(folder / CHUNKS_FILE, tables(options.chunks), CHUNK_SCHEMA)
        started = time.process_time()
        derive(folder, folder)
        seconds = time.process_time() - started
        sizes = {file: (folder / file).stat().st_size / count for file in (ROWS_FILE, CHUNKS_FILE)}
        opened = open_rows(folder, count)
        assert opened is not None
        readers: dict[str, ChunkRows] = {"rows": opened, "Parquet": ChunkStore(folder, count)}
        costs, ids = compared(readers, count, options.rounds), tied(readers, count)
    print(f"{count:,} chunks; the rows take {seconds:.1f} s of processor time to write")
    for file, size in sizes.items():
        print(f"{file:16}{size:8.0f} bytes a chunk")
    for what, cost in costs.items():
        print(f"{what:28}p50 {cost['p50_us']:9.1f} µs   p95 {cost['p95_us']:9.1f}   CPU {cost['cpu_us']:9.1f}")
    print(f"CPU µs an id where {TIED} chunks score alike:", ids)
    if options.codecs:
        for what, size, packing, unpacking in codecs(list(itertools.islice(chunks(_PACKED), _PACKED))):
            print(
                f"{what:20}{size:5.0f} bytes a chunk; packed in {packing:5.1f} µs, a block read in {unpacking:5.1f}"
            )
    ratio = costs[f"Parquet, {HITS} hits"]["cpu_us"] / costs[f"rows, {HITS} hits"]["cpu_us"]
    print(
        json.dumps(
            {
                "chunks": count,
                "block_rows": BLOCK_ROWS,
                "derive_s": round(seconds, 2),
                "bytes_a_chunk": {file: round(size) for file, size in sizes.items()},
                "costs": costs,
                "parquet_vs_rows": round(ratio, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
