"""Near words at two slips: from each segment's list of words, and by all words that two slips make.

Usage: python bench/near_words.py [--words 500000] [--rounds 3] [TEXTS …]

TEXTS: files of JSON lines with a `text`, whose words are the vocabulary. Without, it is made up: words that go on
letter by letter as those of the project's own documentation do. The index is built of texts in which every word
stands once, among frequent ones, over the lexical leg alone, with the lists and without them, twice in turn. Then
the two ways take turns on the same open index, for words to which nothing is nearer than two slips, and must
suggest the same. Cold: a process for each query, of known words alone and with one unknown. Milliseconds of
processor time, and of the clock in brackets: medians, the largest after a slash.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pipeline
from pipeline.config import parse_config
from pipeline.index.manifest import latest_generation, load
from pipeline.index.segment import SEGMENTS
from pipeline.index.words.component import WORDS
from pipeline.index.words.derive import WORDS_FILE, derive
from pipeline.query.searcher import Index
from pipeline.query.snapshot import Snapshot

ROOT = Path(__file__).parents[1]
WORDS_A_TEXT = 40
SHORTEST, LONGEST = 4, 16
UNLIKE = ("zqxjkvwzqxjk", "xzqjvkwqzx", "qqzzxxjjkkvvww")
"""Words that nothing is near to."""
T = TypeVar("T")


def vocabulary(count: int, files: list[Path]) -> list[str]:
    """Distinct words, most frequent first where they are counted."""
    if files:
        counted: Counter[str] = Counter()
        for path in files:
            for line in path.open(encoding="utf-8"):
                counted.update(re.findall(r"[^\W\d_]+", json.loads(line)["text"].casefold()))
        return [word for word, _ in counted.most_common()]
    known = Counter(
        re.findall(r"[a-z]{4,}", " ".join(path.read_text("utf-8") for path in ROOT.glob("docs/**/*.md")).lower())
    )
    after: dict[str, list[str]] = defaultdict(list)
    for word in known:
        padded = f"^^{word}$"
        for place in range(len(padded) - 2):
            after[padded[place : place + 2]].append(padded[place + 2])
    rng, found = random.Random(1), dict[str, None]()
    while len(found) < count:
        word = "^^"
        while not word.endswith("$") and len(word) < LONGEST + 3:
            word += rng.choice(after[word[-2:]])
        if SHORTEST <= len(word) - 3 <= LONGEST and word.endswith("$"):
            found[word[2:-1]] = None
    return list(found)


def texts_of(words: list[str]) -> Iterator[str]:
    """Every word once, and as many of the first ones again."""
    rng = random.Random(2)
    frequent = words[: max(len(words) // 50, 1)]
    for start in range(0, len(words), WORDS_A_TEXT // 2):
        own = words[start : start + WORDS_A_TEXT // 2]
        yield " ".join([*own, *rng.choices(frequent, k=len(own))])


def mistyped(words: list[str], count: int, index: Index) -> Iterator[str]:
    """Words of each length with two letters exchanged, to which the index has nothing at one slip."""
    rng = random.Random(3)
    for length in (7, 9, 11, 12, 14, 16):
        fitting = [word for word in words if len(word) == length]
        left = count
        while left and fitting:
            letters = list(rng.choice(fitting))
            for place in rng.sample(range(length), 2):
                letters[place] = rng.choice("bcdfghjklmnpqvwxyz")
            word = "".join(letters)
            if index.suggestions(word) and not index.snapshot.words_near(word, 1):
                left -= 1
                yield word


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds of processor time and of the clock."""

    processor: float
    clock: float


def timed(function: Callable[[], T]) -> tuple[Took, T]:
    """How long it took, child processes included, and what it returned."""
    start, before = time.perf_counter(), os.times()
    found = function()
    after, end = os.times(), time.perf_counter()
    return Took(sum(after[:4]) * 1000 - sum(before[:4]) * 1000, (end - start) * 1000), found


def measured(function: Callable[[], T]) -> tuple[Took, T]:
    """The same of this process alone, to the microsecond."""
    start, before = time.perf_counter(), time.process_time()
    found = function()
    return Took((time.process_time() - before) * 1000, (time.perf_counter() - start) * 1000), found


def spread(values: list[Took]) -> str:
    """Medians and largest."""
    parts = [[one.processor for one in values], [one.clock for one in values]]
    said = [f"{statistics.median(part):.1f}/{max(part):.1f}" for part in parts]
    return f"{said[0]} [{said[1]}]"


def built(folder: Path, listed: bool) -> tuple[Path, Took]:
    """An index of the corpus in a folder, and how long its build took."""
    wanted = WORDS.is_wanted
    if not listed:
        WORDS.is_wanted = lambda shape: False  # type: ignore[method-assign]
    try:
        shutil.rmtree(folder / f"index-{listed}", ignore_errors=True)
        config = parse_config(
            {"index": f"index-{listed}", "sources": [{"path": "corpus.jsonl"}], "encoder": {"model": "none"}},
            base=folder,
        )
        took, _ = timed(lambda: pipeline.build(config))
    finally:
        WORDS.is_wanted = wanted  # type: ignore[method-assign]
    return config.index_path, took


def cold(index: Path, query: str) -> Took:
    """A process that answers one query."""
    command = [sys.executable, "-m", "pipeline", "query", query, "--index", str(index), "--mode", "lexical"]
    return timed(lambda: subprocess.run(command, check=True, capture_output=True))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--words", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    words = vocabulary(arguments.words, arguments.files)
    with tempfile.TemporaryDirectory(prefix="hybrid-pipeline-bench-") as name:
        folder = Path(name)
        with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
            for number, text in enumerate(texts_of(words)):
                file.write(json.dumps({"_id": str(number), "text": text}) + "\n")
        times: dict[str, list[Took]] = defaultdict(list)
        for _ in range(2):
            plain, took = built(folder, listed=False)
            times["build: without"].append(took)
            path, took = built(folder, listed=True)
            times["build: with lists"].append(took)
        files = [file for entry in load(path, latest_generation(path)).segments for file in entry.files]
        took, _ = measured(lambda: [derive(place) for place in (path / SEGMENTS).iterdir()])
        times["lists derived anew"].append(took)
        same = 0
        with pipeline.open_index(path) as index:
            took, _ = measured(lambda: index.snapshot.words_near("quintessential", 2))
            times["first use"].append(took)
            asked = [*mistyped(words, arguments.rounds, index), *UNLIKE]
            for word in asked:
                kind = "nothing near" if word in UNLIKE else "near"
                took, _ = measured(partial(index.snapshot.words_near, word, 2))
                times[f"{kind}: lists alone"].append(took)
                took, now = measured(partial(index.suggestions, word))
                times[f"{kind}: with lists"].append(took)
                took, before = measured(partial(without_lists, index, word))
                times[f"{kind}: without"].append(took)
                same += now == before
        known = " ".join(words[:3])
        for query, kind in ((known, "known"), (f"{known} {asked[0]}", "unknown")):
            for _ in range(2 * arguments.rounds):
                times[f"cold, {kind}: without"].append(cold(plain, query))
                times[f"cold, {kind}: with lists"].append(cold(path, query))
    report = {
        "words": len(words),
        "bytes": sum(file.size for file in files),
        "bytes_of_lists": sum(file.size for file in files if file.name == WORDS_FILE),
        "same": f"{same} of {len(asked)}",
        **{key: spread(some) for key, some in times.items()},
    }
    print(json.dumps(report))


def without_lists(index: Index, word: str) -> Any:
    """The suggestions as for segments that have no list."""
    listed = Snapshot.words_near
    Snapshot.words_near = lambda self, word, slips: None  # type: ignore[method-assign]
    try:
        return index.suggestions(word)
    finally:
        Snapshot.words_near = listed  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
