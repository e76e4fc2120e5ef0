"""What everything costs as an index grows: build, open, search, verify, a night, compaction, memory.

Usage: python bench/growth.py [--chunks 10000 100000] [--dimension 384] [--model embedded] [--plot growth.png]
           [--keep FOLDER] [--only build]

Documents of two chunks with made-up vectors, Zipf words and metadata (bench/made_up.py). Every size and every step
is a process of its own. The last column is the growth exponent: the slope of log cost over log size, 0 for what
does not grow and 1 for what grows with the index. Searches are of ten hits with their texts; their vectors are
given, so that encoding is a row of its own. On a machine that others use too, `--cpu` shows the processor's time
where there is one. `--keep`: leaves the indexes there, and goes on with those that it has.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import made_up
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
STEP = ROOT / "bench/growth_step.py"
MODEL_DIMENSION = 384
COLD_RUNS = 3
Costs = dict[str, float]

ROWS = {
    "build_s": "build without the model, s",
    "ingest_s": "of it ingest, s",
    "encode_s": "of it encode (made-up vectors), s",
    "segments_s": "of it write segments, s",
    "bytes_a_chunk": "bytes a chunk",
    "first_open_ms": "open for the first time, ms",
    "open_ms": "open, ms",
    "open_unverified_ms": "open with verify=False, ms",
    "cold_query_s": "cold query, a process, s",
    "dense_p50": "dense, p50 ms",
    "dense_p95": "dense, p95 ms",
    "lexical_p50": "lexical, p50 ms",
    "lexical_p95": "lexical, p95 ms",
    "hybrid_p50": "hybrid, p50 ms",
    "hybrid_p95": "hybrid, p95 ms",
    "rank_p50": "hybrid without texts, p50 ms",
    "rank_p95": "hybrid without texts, p95 ms",
    "filtered_p50": "hybrid with a filter, p50 ms",
    "filtered_p95": "hybrid with a filter, p95 ms",
    "first_filter_ms": "first filter of a process, ms",
    "new_filter_ms": "a new filter, ms",
    "encode_p50": "encode a query, p50 ms",
    "with_model_p50": "hybrid with encoding, p50 ms",
    "threads_8": "8 threads, searches/s",
    "with_model_threads_8": "8 threads with encoding, searches/s",
    "verify_s": "verify, s",
    "verify_deep_s": "verify --deep, s",
    "night_of_nothing_s": "a night of nothing, s",
    "night_of_1_percent_s": "a night of 1%, s",
    "compact_s": "compaction, s",
    "search_private_mb": "private memory of searches, MB",
    "index_private_mb": "of it the index, MB",
    "search_peak_mb": "peak with mapped files, MB",
    "build_private_mb": "private memory of the build, MB",
    "night_private_mb": "private memory of a night, MB",
    "compact_private_mb": "private memory of compaction, MB",
}


class Size:
    """An index of one size, below a folder."""

    def __init__(self, folder: Path, chunks: int, dimension: int, model: str) -> None:
        self.folder, self.documents = folder, chunks // made_up.CHUNKS
        self.dimension, self.model = dimension, model

    def step(self, name: str) -> dict[str, Any]:
        command = [sys.executable, str(STEP), name, str(self.folder)]
        command += ["--dimension", str(self.dimension), "--model", self.model]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment(), check=False)
        if done.returncode:
            raise SystemExit(f"{self.folder}: {name} failed")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def build(self) -> dict[str, Any]:
        """Build the index, unless it is there; returns what the step measured then."""
        measured = self.folder / "build.json"
        if not measured.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            made_up.write_collection(self.folder / "corpus.jsonl", self.documents)
            (self.folder / "config.yaml").write_text(
                f"index: index\nsources: [{{path: corpus.jsonl}}]\nencoder: {{model: {self.model}}}\n"
            )
            measured.write_text(json.dumps(self.step("build")))
        found: dict[str, Any] = json.loads(measured.read_text())
        return found

    def cold_query(self) -> tuple[float, float]:
        """Seconds of a query's process, and of the processor: the command line, where the real model fits."""
        command = [sys.executable, str(STEP), "query", str(self.folder), "--dimension", str(self.dimension)]
        if self.dimension == MODEL_DIMENSION:
            command = [sys.executable, "-m", "pipeline", "--config", str(self.folder / "config.yaml"), "query"]
            command.append(made_up.queries(1)[0])
        wall, cpu = [], []
        for _ in range(COLD_RUNS):
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment())
            _, status, usage = os.wait4(process.pid, 0)
            if status:
                raise SystemExit(f"{self.folder}: a query failed")
            wall.append(time.perf_counter() - started)
            cpu.append(usage.ru_utime + usage.ru_stime)
        return statistics.median(wall), statistics.median(cpu)

    def measured(self) -> Costs:
        """Every cost of this size."""
        built = self.build()
        asked, checked = self.step("ask"), self.step("verify")
        cold, cold_cpu = self.cold_query()
        nothing = self.step("build")
        changed = frozenset(np.random.default_rng(4).choice(self.documents, self.documents // 100, False).tolist())
        made_up.write_collection(self.folder / "corpus.jsonl", self.documents, changed)
        night = self.step("build")
        merged = self.step("compact")
        return {
            "chunks": built["chunks"],
            "build_s": built["seconds"],
            "build_s_cpu": built["cpu_s"],
            "ingest_s": built["ingest s"],
            "encode_s": built["encode s"],
            "segments_s": built["write segments s"],
            "bytes_a_chunk": built["bytes"] / built["chunks"],
            "cold_query_s": cold,
            "cold_query_s_cpu": cold_cpu,
            **{name: cost for name, cost in asked.items() if name.removesuffix("_cpu") in ROWS},
            **{name: cost for name, cost in checked.items() if name.removesuffix("_cpu") in ROWS},
            "night_of_nothing_s": nothing["seconds"],
            "night_of_nothing_s_cpu": nothing["cpu_s"],
            "night_of_1_percent_s": night["seconds"],
            "night_of_1_percent_s_cpu": night["cpu_s"],
            "compact_s": merged["seconds"],
            "compact_s_cpu": merged["cpu_s"],
            "search_private_mb": asked["private_mb"],
            "search_peak_mb": asked["peak_mb"],
            "build_private_mb": built["private_mb"],
            "night_private_mb": night["private_mb"],
            "compact_private_mb": merged["private_mb"],
        }


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "bench")])}


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The slope of log cost over log size, by least squares."""
    if len(sizes) < 2 or min(costs) <= 0:
        return float("nan")
    slope, _ = np.polyfit(np.log(sizes), np.log(costs), 1)
    return float(slope)


def save_plot(path: Path, table: Sequence[Costs], cpu: bool) -> None:
    """Costs over size, both logarithmic, each divided by that of the smallest size. `cpu`: the processor's time."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    groups = {
        "searching": ("open_ms", "cold_query_s", "dense_p50", "lexical_p50", "hybrid_p50", "filtered_p50"),
        "writing": ("build_s", "verify_s", "night_of_nothing_s", "night_of_1_percent_s", "compact_s"),
        "private memory": ("search_private_mb", "index_private_mb", "build_private_mb", "compact_private_mb"),
    }
    sizes = [row["chunks"] for row in table]
    with mpl.rc_context({"svg.hashsalt": "hybrid-pipeline", "svg.fonttype": "none"}):
        figure = Figure(figsize=(12, 4.2), layout="constrained")
        for axes, (title, names) in zip(figure.subplots(1, len(groups)), groups.items(), strict=True):
            for name in (f"{name}_cpu" if cpu and f"{name}_cpu" in table[0] else name for name in names):
                axes.plot(
                    sizes,
                    [row[name] / table[0][name] for row in table],
                    marker="o",
                    ms=3,
                    label=ROWS[name.removesuffix("_cpu")],
                )
            axes.plot(sizes, [size / sizes[0] for size in sizes], color="0.7", ls=":", label="proportional")
            axes.set(xscale="log", yscale="log", title=title, xlabel="chunks", ylabel="÷ the smallest size")
            axes.legend(fontsize=7, frameon=False)
        figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dimension", type=int, default=MODEL_DIMENSION)
    parser.add_argument("--model", default="embedded", help="whose vectors these stand for, at 384 dimensions")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder for the indexes, which stay there")
    parser.add_argument("--cpu", action="store_true", help="show processor time, on a machine that others use too")
    parser.add_argument("--only", choices=["build"], help="build the indexes, and measure nothing else")
    options = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as name:
        for chunks in options.chunks:
            folder = (options.keep or Path(name)) / str(chunks)
            size = Size(folder, chunks, options.dimension, options.model)
            if options.only:
                print(json.dumps(size.build()), flush=True)
                continue
            table.append(size.measured())
            print(f"{chunks:,} chunks measured", flush=True)
    if options.only:
        return
    sizes = [row["chunks"] for row in table]
    print(f"\n{'':40}" + "".join(f"{size:>12,.0f}" for size in sizes) + f"{'exponent':>10}")
    exponents = {}
    for name, label in ROWS.items():
        if name not in table[0]:
            continue
        by_cpu = f"{name}_cpu"
        if options.cpu and by_cpu in table[0]:
            name, label = by_cpu, label.replace("searches/s", "ms a search") + ", CPU"
        costs = [row[name] for row in table]
        exponents[name] = exponent(sizes, costs)
        shown = "".join(f"{cost:12,.0f}" if cost >= 1000 else f"{cost:12.3g}" for cost in costs)
        print(f"{label:40}{shown}{exponents[name]:10.2f}")
    if options.plot:
        save_plot(options.plot, table, options.cpu)
    rounded = [{name: round(cost, 3) for name, cost in row.items()} for row in table]
    slopes = {name: None if np.isnan(slope) else round(slope, 3) for name, slope in exponents.items()}
    print(json.dumps({"dimension": options.dimension, "sizes": rounded, "exponents": slopes}))


if __name__ == "__main__":
    main()
