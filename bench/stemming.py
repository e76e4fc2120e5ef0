"""BM25 with the stemmers that a collection's texts suggest, against English and no stemming, by language.

Usage: python bench/stemming.py LANGUAGE … [--catalogues FOLDER]. The texts are messages of programs, as a machine
has them in translation (`/usr/share/locale/de/LC_MESSAGES/*.mo`). Two tasks, nDCG@10:

halves: the first sentence of a message is the query, what follows it the passage to find;
translations: one English message, translated by two people: one translation is the query, the other the passage.
"""

from __future__ import annotations

import argparse
import gettext
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from pipeline.config import Bm25Settings
from pipeline.models.bm25.analyzer import Analyzer
from pipeline.models.bm25.detection import languages_of
from pipeline.models.bm25.languages import stemmers_of
from pipeline.records import SparseRows

FEWEST_QUERIES, MOST_QUERIES = 30, 1500
Task = tuple[list[str], list[str], list[int]]
"""Passages, queries, and the number of the passage that each query is to find."""


def messages(folder: Path) -> Iterator[tuple[str, str]]:
    """English message and translation."""
    for path in sorted(folder.glob("*.mo")):
        with path.open("rb") as file:
            try:
                catalogue: dict[Any, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
            except (OSError, ValueError, UnicodeError):
                continue
        yield from ((key, text) for key, text in catalogue.items() if isinstance(key, str) and key)


def halves(folder: Path) -> Task:
    pairs: dict[str, str] = {}
    for text in sorted({text for _, text in messages(folder) if len(text) > 60}):
        plain = re.sub(r"%[-0-9.$]*[a-z]|\s+|<[^>]*>", " ", text)
        parts = re.split(r"(?<=[.!?؟।])\s+(?=\S)", plain, maxsplit=1)
        if len(parts) == 2 and len(parts[0]) > 25 and len(parts[1]) > 40 and parts[1] not in pairs.values():
            pairs.setdefault(*parts)
    queries = list(pairs)
    random.Random(5).shuffle(queries)
    return [pairs[query] for query in queries], queries[:MOST_QUERIES], list(range(len(queries[:MOST_QUERIES])))


def translations(folder: Path) -> Task:
    by_message: dict[str, set[str]] = defaultdict(set)
    for message, text in messages(folder):
        if len(message) >= 25 and text != message:
            by_message[message].add(text.strip())
    chance = random.Random(7)
    passages: list[str] = []
    found: list[tuple[str, int]] = []
    for _, texts in sorted(by_message.items()):
        query, passage = chance.sample(sorted(texts), 2) if len(texts) > 1 else ("", min(texts))
        if set(query.lower().split()) != set(passage.lower().split()) and query:
            found.append((query, len(passages)))
        passages.append(passage)
    chance.shuffle(found)
    return passages, [query for query, _ in found[:MOST_QUERIES]], [number for _, number in found[:MOST_QUERIES]]


def ndcg(analyzer: Analyzer, task: Task, k1: float = 1.2, b: float = 0.75) -> np.ndarray:
    """nDCG@10 of each query, of which one passage is relevant: ties count by the passages' order."""
    passages, queries, relevant = task
    rows, wanted = analyzer.rows(passages), analyzer.rows(queries)
    vocabulary = np.unique(np.concatenate([rows.token_ids, wanted.token_ids]))
    counts, query = csr(rows, vocabulary), csr(wanted, vocabulary)
    lengths, holding = (
        np.asarray(counts.sum(axis=1)).ravel(),
        np.bincount(counts.indices, minlength=len(vocabulary)),
    )
    norm = k1 * (1 - b + b * lengths / lengths.mean())
    counts.data *= (k1 + 1) / (counts.data + np.repeat(norm, np.diff(counts.indptr)))
    idf = np.log(1 + (len(passages) - holding + 0.5) / (holding + 0.5))
    scores = (query.multiply(idf).tocsr() @ counts.T).toarray()
    own = scores[np.arange(len(queries)), relevant][:, None]
    earlier = np.arange(len(passages)) < np.array(relevant)[:, None]
    ranks = 1 + (scores > own).sum(axis=1) + ((scores == own) & earlier).sum(axis=1)
    found: np.ndarray = np.where((ranks <= 10) & (own[:, 0] > 0), 1 / np.log2(ranks + 1), 0)
    return found


def csr(rows: SparseRows, vocabulary: np.ndarray) -> sp.csr_matrix:
    shape = (len(rows), len(vocabulary))
    columns = np.searchsorted(vocabulary, rows.token_ids)
    return sp.csr_matrix((rows.weights.astype(np.float64), columns, rows.indptr), shape=shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="+")
    parser.add_argument("--catalogues", type=Path, default=Path("/usr/share/locale"))
    options = parser.parse_args()
    gains: dict[str, dict[str, float]] = {}
    for language in options.languages:
        for name, make in (("halves", halves), ("translations", translations)):
            task = make(options.catalogues / language / "LC_MESSAGES")
            if len(task[1]) < FEWEST_QUERIES:
                print(f"{language:4} {name:13} only {len(task[1])} queries")
                continue
            found = stemmers_of(Bm25Settings(languages=languages_of(task[0][:: max(1, len(task[0]) // 512)])))
            none, english = ndcg(Analyzer(None), task), ndcg(Analyzer(), task)
            auto = ndcg(Analyzer(found.latin, others=found.others), task)
            error = 1.96 * (auto - none).std() / len(none) ** 0.5
            names = "+".join([found.latin or "none", *found.others.values()])
            print(
                f"{language:4} {name:13} {len(none):5} queries: none {none.mean():.3f}, "
                f"english {english.mean():.3f}, {names} {auto.mean():.3f} "
                f"({(auto - none).mean():+.3f} ± {error:.3f})"
            )
            gains.setdefault(language, {})[name] = round(float((auto - none).mean()), 4)
    print(json.dumps(gains))


if __name__ == "__main__":
    main()
