"""What the default sizes are judged by: the same index with other segments and other dense kinds.

Usage: python bench/sizes.py INDEX [INDEX ...] [--variants as-is:SQfp16 as-is:auto one:auto]

INDEX is one of bench/growth.py (`--keep`), at 384 dimensions. Each variant is a hard-linked copy of it whose
segments are written again: `as-is`, each for itself; `one`, all as one. The kind is `SQfp16` (exact), `auto`, `ivf`
(what `auto` makes of a large index) or a FAISS factory string. Searches are of ten hits with their texts, vectors
given; CPU is what a search takes of all cores. `recall`: share of the true ten nearest neighbours, as the build
measured it.
Ends in one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import made_up
from growth_step import TOP, Place, Watch, opened, searched, timed

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = ("as-is:SQfp16", "as-is:ivf", "one:ivf")
QUERIES = 200


def write(folder: Path, variant: str) -> dict[str, Any]:
    """Write every segment of the copy again."""
    from pipeline.index.choices import DenseChoice
    from pipeline.index.upkeep.compact import Group, compact

    grouping, kind = variant.split(":", 1)
    total = 0

    def groups(manifest: Any) -> list[Group]:
        nonlocal total
        total = manifest.chunks
        return [tuple(manifest.segments)] if grouping == "one" else [(entry,) for entry in manifest.segments]

    class Ivf(DenseChoice):
        """As `auto` for an index of which a segment is a small part."""

        def settled(self, chunks: int, total: int | None = None) -> DenseChoice:
            return DenseChoice(f"IVF{4 * math.isqrt(chunks)},SQfp16", self.recall_target)

    dense = Ivf() if kind == "ivf" else DenseChoice(kind)
    started, cpu = time.perf_counter(), time.process_time()
    with Watch() as watch:
        report = compact(folder / "index", groups, dense=dense, retain=1)
    return {
        "chunks": total,
        "segments": report.segments_after,
        "write_s": time.perf_counter() - started,
        "write_cpu_s": time.process_time() - cpu,
        "write_private_mb": watch.most,
        "bytes_a_chunk": report.bytes_after / total,
    }


def ask(folder: Path) -> dict[str, Any]:
    """Search the copy."""
    from pipeline.index.lexical import kernel

    place = Place(folder, 384, "embedded")
    index = opened(place, place.made_up())
    kernel.load()
    texts = made_up.queries(QUERIES)
    row: dict[str, Any] = {"open_ms": timed(partial(opened, place, index.encoder))[1]}
    for mode in ("dense", "lexical", "hybrid"):
        row |= searched(mode, partial(index.search, k=TOP, mode=mode), texts)
    parameters = [entry.dense for entry in index.manifest.segments]
    row["recall"] = min((found.recall or 1.0 for found in parameters if found is not None), default=1.0)
    row["kind"] = " ".join(sorted({found.kind if found is not None else "exact" for found in parameters}))
    return row


def measured(index: Path, variant: str, work: Path) -> dict[str, Any]:
    """One variant of an index, made and searched in processes of their own."""
    folder = work / "copy"
    ignored = shutil.ignore_patterns(".*", "staging", "reports")
    shutil.copytree(index, folder / "index", copy_function=os.link, ignore=ignored)
    row: dict[str, Any] = {"variant": variant}
    for step in ("write", "ask"):
        command = [sys.executable, str(Path(__file__)), "--step", step, "--variants", variant, str(folder)]
        paths = os.pathsep.join([str(ROOT), str(ROOT / "bench")])
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "PYTHONPATH": paths}
        )
        row |= json.loads(done.stdout.splitlines()[-1])
    shutil.rmtree(folder)
    return row


COLUMNS = {
    "chunks": "chunks",
    "segments": "segments",
    "write_cpu_s": "write, CPU s",
    "write_private_mb": "MB then",
    "bytes_a_chunk": "bytes/chunk",
    "open_ms": "open CPU ms",
    "dense_p50": "dense p50",
    "dense_p50_cpu": "dense CPU",
    "lexical_p50_cpu": "lexical CPU",
    "hybrid_p50": "hybrid p50",
    "hybrid_p50_cpu": "hybrid CPU",
    "recall": "recall",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("indexes", nargs="+", type=Path, metavar="INDEX")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--step", choices=["write", "ask"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        folder = options.indexes[0]
        print(json.dumps(write(folder, options.variants[0]) if options.step == "write" else ask(folder)))
        return
    rows = []
    print(f"{'variant':16}" + "".join(f"{label:>13}" for label in COLUMNS.values()))
    for index in options.indexes:
        with tempfile.TemporaryDirectory(prefix=".sizes-", dir=index.parent) as work:
            for variant in options.variants:
                row = measured(index, variant, Path(work))
                rows.append(row)
                shown = "".join(f"{row[n]:13,.0f}" if row[n] >= 1000 else f"{row[n]:13.3g}" for n in COLUMNS)
                print(f"{variant:16}{shown}", flush=True)
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
