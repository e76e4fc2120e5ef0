"""What a night costs: a full build, a rebuild with nothing changed, and one after 1% of the documents changed.

Usage: python bench/nightly.py [--chunks 20000]. Every build is a process of its own, as a scheduler starts it; the
default encoder, one text file a chunk, about 100 words of the handbook's vocabulary each. `--stub` replaces the
dense model by random vectors: the ratios then say nothing, but what is not the model shows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "bench/build_once.py"
NOTHING_TO_DO = 4
GOAL_UNCHANGED, GOAL_CHANGED = 100.0, 0.05


def vocabulary() -> list[str]:
    """The words of the English handbook, as often as it has them."""
    pages = sorted((ROOT / "data/handbook/en").glob("*.md"))
    return [word for page in pages for word in re.findall(r"[A-Za-z]+", page.read_text("utf-8"))]


def write_document(folder: Path, number: int, rng: random.Random, words: list[str]) -> None:
    """One document that is one chunk, with its number as a word so that no two are equal."""
    path = folder / f"{number // 1000:03d}" / f"{number:06d}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"Document {number}. {' '.join(rng.choices(words, k=100))}.\n", "utf-8")


def build(config: Path, stub: bool) -> tuple[float, int]:
    """Seconds and exit code of one build."""
    started = time.perf_counter()
    process = subprocess.run(
        [sys.executable, str(BUILD), str(config), *(["--stub"] if stub else [])],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    return time.perf_counter() - started, process.returncode


def generations(index: Path) -> int:
    return len(list(index.glob("manifest-*.json")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--stub", action="store_true")
    options = parser.parse_args()
    rng, words = random.Random(0), vocabulary()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(options.chunks):
            write_document(folder / "documents", number, rng, words)
        config = folder / "config.yaml"
        config.write_text("index: index\nsources: [{path: documents}]\n")
        full, code = build(config, options.stub)
        if code:
            raise SystemExit("the full build failed")
        unchanged, code = min(build(config, options.stub) for _ in range(3))
        if code != NOTHING_TO_DO or generations(folder / "index") != 1:
            raise SystemExit("a build with nothing changed did not end in `nothing to do`")
        for number in rng.sample(range(options.chunks), options.chunks // 100):
            write_document(folder / "documents", number, rng, words)
        changed, code = build(config, options.stub)
        if code or generations(folder / "index") != 2:
            raise SystemExit("the build of the changed documents failed")
    print(f"{'build':<28} {'seconds':>9} {'of the full build':>18}")
    for label, seconds in (("full", full), ("nothing changed", unchanged), ("1% of the documents", changed)):
        print(f"{label:<28} {seconds:9.2f} {seconds / full:18.2%}")
    print(
        json.dumps(
            {
                "chunks": options.chunks,
                "full_seconds": round(full, 2),
                "unchanged_speedup": round(full / unchanged, 1),
                "unchanged_goal": GOAL_UNCHANGED,
                "changed_share": round(changed / full, 4),
                "changed_goal": GOAL_CHANGED,
                "stub_model": options.stub,
            }
        )
    )


if __name__ == "__main__":
    main()
