"""Queries a second of a batch, against the same queries one at a time: 100k chunks x 384, without encoding.

The data are those of bench/search.py's hybrid table. Ends in one line of JSON with the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from search import write_collection
from stores import Data, open_pipeline

from pipeline.query.legs.contract import EncodedQueries
from pipeline.records import SparseRows

TOP = 10
MODES = {"dense": ("dense",), "lexical": ("lexical",), "hybrid": ("dense", "lexical")}


def encoded(data: Data, part: slice) -> EncodedQueries:
    """Some of the queries, as an encoder would give them."""
    tokens = [np.sort(row) for row in data.query_tokens[part]]
    indptr = np.cumsum([0, *(len(row) for row in tokens)])
    ids = np.concatenate(tokens)
    rows = SparseRows(indptr, ids, np.ones(len(ids), np.float32))
    return EncodedQueries(("",) * len(tokens), data.queries[part], rows, None, ("Latin",) * len(tokens))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("--keep", type=Path, help="A folder to keep the data in, for another run.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as name:
        folder = options.keep or Path(name)
        if not (folder / "data.npz").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_collection(folder, options.chunks, options.queries)
        data = Data(folder)
        index = open_pipeline(data, folder)
        count = len(data.queries)
        alone = [encoded(data, slice(i, i + 1)) for i in range(count)]
        together = encoded(data, slice(0, count))
        ratios = {}
        print(f"{options.chunks:,} chunks x 384, {count} queries, top {TOP}, {os.cpu_count()} cores; queries/s")
        print(f"{'':12} {'one at a time':>14} {'as a batch':>12}")
        for mode, legs in MODES.items():
            speeds = []
            for asked in ([*alone], [together]):
                for one in asked[: max(1, len(asked) // 10)]:
                    index.rank_encoded(one, TOP, legs)
                started = time.perf_counter()
                for one in asked:
                    index.rank_encoded(one, TOP, legs)
                speeds.append(count / (time.perf_counter() - started))
            ratios[f"{mode}_batch_vs_one_at_a_time"] = round(speeds[1] / speeds[0], 3)
            print(f"{mode:12} {speeds[0]:14,.0f} {speeds[1]:12,.0f}", flush=True)
    print(json.dumps(ratios))


if __name__ == "__main__":
    main()
