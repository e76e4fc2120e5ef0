"""Searching without encoding: each leg against the library that does the same, the hybrid against embedded stores.

Usage: python bench/search.py [lexical] [dense] [hybrid] [filtered]
           [--lexical-chunks 1000000] [--dense-chunks 400000] [--hybrid-chunks 100000] [--queries 200]
           [--rivals lancedb qdrant]

`lexical`: synthetic chunks of about 109 distinct tokens of a Zipf vocabulary, queries of 10 tokens, frequent ones
among them; the whole search with its top 100 against scipy's product, with and without its top 100. `dense`: one
query against `IndexFlatIP.search` with its default threads. `hybrid`: the same vectors and words in every store,
each in a process of its own (bench/stores.py); the stores need the extra `bench`. `filtered`: hybrid searches of
the same under conditions on metadata (bench/conditions.py), LanceDB with scalar indexes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from conditions import Facts

from pipeline.index.dense import search as dense
from pipeline.index.dense import write as dense_writer
from pipeline.index.lexical import kernel, postings
from pipeline.index.lexical.search import InvertedIndex, SparseQuery
from pipeline.records import SparseRows

VOCABULARY = 50_000
DRAWN = 122
DEPTH = 100
STORES = ("pipeline", "faiss", "bm25s", "lancedb", "qdrant", "txtai")
MOST_FILTERED = 100
"""Queries, each of which is given a condition of its own; a tenth of them warm up."""
FILTERING = ("lancedb", "qdrant")


def zipf_rows(rng: np.random.Generator, rows: int) -> SparseRows:
    """Rows of distinct tokens, token t with a chance of about 1 / (t + 4), and positive weights."""
    chance = 1 / (np.arange(VOCABULARY) + 4.0)
    cumulated = np.cumsum(chance / chance.sum())
    drawn = np.minimum(np.searchsorted(cumulated, rng.random((rows, DRAWN))), VOCABULARY - 1)
    drawn.sort(axis=1)
    fresh = np.ones(drawn.shape, np.bool_)
    fresh[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    indptr = np.concatenate([[0], np.cumsum(fresh.sum(axis=1))])
    token_ids = drawn[fresh].astype(np.uint64)
    return SparseRows(indptr, token_ids, (rng.random(len(token_ids), np.float32) + np.float32(0.05)))


def queries_of(rng: np.random.Generator, count: int) -> list[SparseQuery]:
    """Ten tokens each: four of the 40 most frequent, six from anywhere."""
    made = []
    for _ in range(count):
        frequent = rng.choice(40, 4, replace=False)
        ids = np.unique(np.concatenate([frequent, rng.choice(np.arange(40, VOCABULARY), 6, replace=False)]))
        made.append(SparseQuery(ids.astype(np.uint64), rng.random(10).astype(np.float32) + np.float32(0.1)))
    return made


def percentiles(run: Callable[[Any], object], queries: list[Any]) -> tuple[float, float]:
    """p50 and p95 in milliseconds, after one warm-up query in ten."""
    for query in queries[: max(1, len(queries) // 10)]:
        run(query)
    times = []
    for query in queries:
        started = time.perf_counter()
        run(query)
        times.append((time.perf_counter() - started) * 1e3)
    p50, p95 = np.percentile(times, [50, 95])
    return float(p50), float(p95)


def row(name: str, measured: tuple[float, float], note: str = "") -> None:
    print(f"{name:44} {measured[0]:9.2f} {measured[1]:9.2f}  {note}")


def bandwidth(pool: ThreadPoolExecutor) -> float:
    """Bytes a second that all cores read together from memory."""
    parts = np.array_split(np.ones(256_000_000, np.float32), os.cpu_count() or 1)
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        list(pool.map(np.max, parts))
        best = max(best, sum(part.nbytes for part in parts) / (time.perf_counter() - started))
    return best


def lexical(folder: Path, chunks: int, queries: int, pool: ThreadPoolExecutor) -> dict[str, float]:
    """The lexical leg against scipy.sparse on the same postings."""
    import scipy.sparse as sp

    rng = np.random.default_rng(1)
    blocks = [zipf_rows(rng, min(postings.TILE_CHUNKS, chunks - i)) for i in range(0, chunks, postings.TILE_CHUNKS)]
    postings.write(folder, blocks)
    data = np.concatenate([block.weights for block in blocks])
    columns = np.concatenate([block.token_ids.astype(np.int32) for block in blocks])
    indptr = SparseRows.concatenate(blocks).indptr
    del blocks
    matrix = sp.csr_matrix((data, columns, indptr), shape=(chunks, VOCABULARY)).tocsc()
    del data, columns
    index = InvertedIndex(folder, chunks)
    asked = queries_of(rng, queries)
    read = float(np.mean([index.postings_read(query) for query in asked]))
    print(f"lexical: {chunks:,} chunks, {len(matrix.data) / chunks:.0f} tokens each, {read:,.0f} postings a query")

    def scipy_scores(query: SparseQuery) -> Any:
        return matrix[:, query.token_ids.astype(np.int64)] @ query.weights

    def scipy_search(query: SparseQuery) -> Any:
        scores = scipy_scores(query)
        best = np.argpartition(scores, chunks - DEPTH)[chunks - DEPTH :]
        return best[np.argsort(-scores[best])]

    plain = percentiles(lambda q: index.search(q, DEPTH, None, None), asked[: max(10, queries // 10)])
    kernel.load()
    for query in asked[:20]:
        best = np.sort(scipy_scores(query))[::-1][:DEPTH]
        np.testing.assert_allclose(index.search(query, DEPTH, None, None, pool)[1][:DEPTH], best, rtol=1e-4)
    product = percentiles(scipy_scores, asked)
    rival = percentiles(scipy_search, asked)
    one = percentiles(lambda q: index.search(q, DEPTH, None, None), asked)
    both = percentiles(lambda q: index.search(q, DEPTH, None, None, pool), asked)
    bound = read * 6 / bandwidth(pool) * 1e3
    row("scipy.sparse, product only", product)
    row(f"scipy.sparse, product and top {DEPTH}", rival)
    row("this index, NumPy (before the kernel is there)", plain)
    row("this index, kernel, one thread", one)
    row(f"this index, kernel, {os.cpu_count()} threads", both, f"{bound / both[0]:.0%} of the memory bound")
    ratios = {"lexical_vs_scipy": rival[0] / both[0], "lexical_vs_scipy_product_only": product[0] / both[0]}
    return ratios | {"lexical_share_of_memory_bound": bound / both[0]}


def dense_leg(folder: Path, chunks: int, queries: int, pool: ThreadPoolExecutor) -> dict[str, float]:
    """The exact dense leg against a flat FAISS index."""
    faiss = dense.faiss
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((chunks, 384), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    dense_writer.write(folder, "SQfp16", 384, chunks, np.array_split(vectors, 20))
    ours = dense.DenseIndex(folder, chunks)
    flat = faiss.IndexFlatIP(384)
    flat.add(vectors)
    asked = list(vectors[rng.choice(chunks, queries)] + rng.standard_normal((queries, 384), np.float32) * 0.02)
    mine = percentiles(lambda q: ours.search(q[None], 10, None, pool), asked)
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    rival = percentiles(lambda q: flat.search(q[None], 10), asked)
    faiss.omp_set_num_threads(1)
    same = np.mean(
        [
            set(ours.search(q[None], 10, None, pool)[0][0][:10]) == set(flat.search(q[None], 10)[1][0])
            for q in asked[:50]
        ]
    )
    print(f"dense: {chunks:,} x 384, one query at a time; the same ten in {same:.0%} of 50 queries")
    row("faiss.IndexFlatIP, default threads", rival)
    row("this index, exact fp16", mine)
    return {"dense_vs_flat": rival[0] / mine[0]}


def write_collection(folder: Path, chunks: int, queries: int, with_facts: bool = False) -> None:
    """Clustered vectors and Zipf words, and queries near some of the vectors, as stores.py reads them.

    `with_facts`: metadata, too.
    """
    rng = np.random.default_rng(3)
    rows = zipf_rows(rng, chunks)
    counts = rng.geometric(0.7, len(rows.weights)).astype(np.float32)
    centres = rng.standard_normal((200, 384), np.float32)
    vectors = centres[rng.choice(200, chunks)] + rng.standard_normal((chunks, 384), np.float32) * 0.7
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = vectors[rng.choice(chunks, queries)] + rng.standard_normal((queries, 384), np.float32) * 0.02
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    arrays: dict[str, Any] = {"indptr": rows.indptr, "token_ids": rows.token_ids, "counts": counts}
    if with_facts:
        facts = Facts.drawn(rng, chunks)
        arrays |= {"languages": facts.languages, "years": facts.years}
    np.savez(folder / "data.npz", vectors=vectors, **arrays)
    tokens = np.array([query.token_ids for query in queries_of(rng, queries)])
    np.savez(folder / "queries.npz", vectors=asked, token_ids=tokens)


def hybrid(folder: Path, chunks: int, queries: int, rivals: Sequence[str]) -> dict[str, float]:
    """Every store over the same vectors and words, each in its own process."""
    write_collection(folder, chunks, queries)
    print(f"hybrid: {chunks:,} chunks, 384 dimensions, {queries} queries, top 10, without encoding")
    print(f"{'':44} {'p50 ms':>9} {'p95 ms':>9}")
    found = each_store(folder, ["pipeline", *rivals])
    ours = found["pipeline"]["modes"]
    ratios = {"hybrid_vs_legs": ours["hybrid"][0] / (ours["dense"][0] + ours["lexical"][0])}
    for store, result in found.items():
        if store != "pipeline":
            mode = "hybrid" if "hybrid" in result["modes"] else next(iter(result["modes"]))
            ratios[f"{mode}_vs_{store}"] = result["modes"][mode][0] / ours[mode][0]
    return ratios


def filtered(folder: Path, chunks: int, queries: int, rivals: Sequence[str]) -> dict[str, float]:
    """Hybrid search under conditions, every store that has both in its own process."""
    write_collection(folder, chunks, queries, with_facts=True)
    print(f"filtered: {chunks:,} chunks, 384 dimensions, {queries} queries, top 10, without encoding")
    print(f"{'':44} {'p50 ms':>9} {'p95 ms':>9}")
    found = each_store(folder, ["pipeline", *(one for one in rivals if one in FILTERING)], "--filtered")
    ours = found["pipeline"]["modes"]
    ratios = {
        f"{mode.replace(' ', '_')}_vs_unfiltered": ours[mode][0] / ours["unfiltered"][0]
        for mode in ours
        if mode != "unfiltered"
    }
    for store, result in found.items():
        if store != "pipeline":
            for mode, (p50, _) in result["modes"].items():
                ratios[f"{mode.replace(' ', '_')}_vs_{store}"] = p50 / ours[mode][0]
    return ratios


def each_store(folder: Path, stores: Sequence[str], *options: str) -> dict[str, dict[str, Any]]:
    """What each store measured of itself; one that is not installed is left out, and named."""
    found: dict[str, dict[str, Any]] = {}
    for store in stores:
        script = Path(__file__).with_name("stores.py")
        process = subprocess.run(
            [sys.executable, str(script), store, str(folder), *options], capture_output=True, text=True, check=False
        )
        if process.returncode:
            print(f"{store:44} left out: {process.stderr.strip().splitlines()[-1]}")
            continue
        result = found[store] = json.loads(process.stdout.splitlines()[-1])
        for mode, measured in result["modes"].items():
            row(
                f"{result['name']}, {mode}",
                measured,
                f"{result['peak_mb']:.0f} MB, built in {result['build_s']:.0f} s",
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", default=[], metavar="PART", help="lexical, dense, hybrid, filtered (default: all)"
    )
    parser.add_argument("--lexical-chunks", type=int, default=1_000_000)
    parser.add_argument("--dense-chunks", type=int, default=400_000)
    parser.add_argument("--hybrid-chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rivals", nargs="*", choices=STORES[1:], default=STORES[1:])
    options = parser.parse_args()
    parts = options.parts or ["lexical", "dense", "hybrid", "filtered"]
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-search-") as name, ThreadPoolExecutor(os.cpu_count()) as pool:
        print(f"{'':44} {'p50 ms':>9} {'p95 ms':>9}")
        for part in parts:
            folder = Path(name) / part
            folder.mkdir()
            if part == "lexical":
                ratios |= lexical(folder, options.lexical_chunks, options.queries, pool)
            elif part == "dense":
                ratios |= dense_leg(folder, options.dense_chunks, options.queries, pool)
            elif part == "hybrid":
                ratios |= hybrid(folder, options.hybrid_chunks, options.queries, options.rivals)
            elif part == "filtered":
                ratios |= filtered(
                    folder, options.hybrid_chunks, min(options.queries, MOST_FILTERED), options.rivals
                )
            else:
                parser.error(f"unknown part {part!r}")
    print(json.dumps({name: round(value, 3) for name, value in ratios.items()}))


if __name__ == "__main__":
    main()
