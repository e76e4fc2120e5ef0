"""Korean words → terms by stems, against bigrams and morphemes: characters a second, and what starting costs.

Usage: python bench/korean.py [--collection FOLDER]. The texts are of a collection in BEIR layout, or of the
handbook. Start-up is from before the cutter is imported to its first terms, in a process of its own, median of 5.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from pipeline.models.bm25.analyzer import Analyzer
from pipeline.models.bm25.korean import MORPHEMES, Korean, hangul_cutting

ROOT = Path(__file__).resolve().parent.parent

START = """
import time
from pipeline.models.bm25.analyzer import Analyzer
Analyzer().terms("문서를 é")
started = time.perf_counter()
from pipeline.models.bm25.korean import hangul_cutting
Analyzer(hangul=hangul_cutting({way!r}).cut).terms("문서를 찾았습니다")
print(time.perf_counter() - started)
"""


def texts_of(collection: Path | None) -> list[str]:
    if collection is None:
        return [path.read_text("utf-8") for path in sorted((ROOT / "data/handbook/ko").glob("*.md"))]
    with (collection / "corpus.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [f"{row.get('title', '')}\n{row['text']}" for row in rows]


def start_ms(way: Korean) -> float:
    command = [sys.executable, "-c", START.format(way=way)]
    runs = [float(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout) for _ in range(5)]
    return round(statistics.median(runs) * 1e3, 1)


def rate(way: Korean, texts: list[str]) -> int:
    """Characters a second, of the best of three passes; the cutter is loaded, its cache is empty."""
    cut = hangul_cutting(way).cut
    Analyzer(hangul=cut).rows(["문서를 é"])
    seconds = []
    for _ in range(3):
        analyzer = Analyzer(hangul=cut)
        started = time.perf_counter()
        analyzer.rows(texts)
        seconds.append(time.perf_counter() - started)
    return round(sum(map(len, texts)) / min(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collection", type=Path)
    texts = texts_of(parser.parse_args().collection)
    ways: list[Korean] = ["stems", "bigrams"]
    if importlib.util.find_spec("kiwipiepy"):
        ways.append(MORPHEMES)
    rates = {way: rate(way, texts) for way in ways}
    starts = {way: start_ms(way) for way in ways}
    for way in ways:
        print(f"{way:10} {rates[way]:10,} characters/s, starts in {starts[way]:,} ms")
    print(json.dumps({"characters_per_second": rates, "start_ms": starts}))


if __name__ == "__main__":
    main()
