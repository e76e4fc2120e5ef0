"""Peak memory of a build as the collection grows: it should not.

Usage: python bench/memory.py [--chunks 20000 100000]. Every size runs in a process of its own.
`--stub` replaces the dense model by random vectors, so that everything but the model is measured in minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

BUILD = ROOT / "bench/build_once.py"


def write_collection(path: Path, chunks: int) -> None:
    """JSONL documents of one chunk each, about 130 words from a Zipf-like vocabulary."""
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(50_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    with path.open("w") as file:
        for number in range(chunks):
            words = rng.choices(vocabulary, weights, k=100)
            file.write(json.dumps({"_id": str(number), "text": " ".join(words)}) + "\n")


def resident_mb(pid: int) -> float:
    """Private memory: pages of mapped files are the kernel's to take back."""
    try:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return float(fields["RssAnon"].split()[0]) / 1000
    except (OSError, KeyError):
        return 0.0


def measure(chunks: int, stub: bool) -> tuple[float, float, float]:
    """Peak private MB, peak RSS MB and seconds of one build."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_collection(folder / "corpus.jsonl", chunks)
        (folder / "config.yaml").write_text("index: index\nsources: [{path: corpus.jsonl}]\n")
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(BUILD), str(folder / "config.yaml"), *(["--stub"] if stub else [])],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        peak = 0.0
        done = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not done.wait(0.05):
                peak = max(peak, resident_mb(process.pid))

        thread = threading.Thread(target=watch)
        thread.start()
        _, status, usage = os.wait4(process.pid, 0)
        done.set()
        thread.join()
        if status:
            raise SystemExit("the build failed")
        return peak, usage.ru_maxrss / 1024 * 1.048576, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--stub", action="store_true")
    options = parser.parse_args()
    print(f"{'chunks':>9} {'private MB':>11} {'peak RSS MB':>12} {'seconds':>8}")
    peaks = []
    for chunks in options.chunks:
        private, rss, seconds = measure(chunks, options.stub)
        peaks.append((private, rss))
        print(f"{chunks:9,} {private:11.0f} {rss:12.0f} {seconds:8.1f}")
    growth = peaks[-1][0] / peaks[0][0]
    print(
        json.dumps(
            {
                "chunks": options.chunks,
                "private_mb": [round(p[0]) for p in peaks],
                "peak_rss_mb": [round(p[1]) for p in peaks],
                "growth": round(growth, 3),
                "stub_model": options.stub,
            }
        )
    )


if __name__ == "__main__":
    main()
