"""Random collections that became an index of several segments with deletions, to compare shards with the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.errors import QueryError
from pipeline.query.searcher import Index
from tests.faults import stub

WORDS = ("kiwi", "plum", "fig", "lime", "pear", "mango", "색인", "검색")
TEXT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)
YEAR = st.sampled_from([1, 2, 3, 2.5, "never", None, [1, "a"]])
QUERY = st.lists(st.sampled_from((*WORDS, "nowhere")), min_size=1, max_size=3).map(" ".join)
METHODS = ("auto", "rrf", "weighted", "theoretical", "minmax", "zscore", "dbsf")
CONDITIONS = (None, "year >= 2", "year = 'never'", "doc_id < '07'", "lang is not null", "ordinal = 0")

Night = dict[int, tuple[str, Any, str | None]]


@st.composite
def nights(draw: st.DrawFn) -> list[Night]:
    """A collection, and what became of it in up to three later nights."""
    docs: Night = {}
    result: list[Night] = []
    for _ in range(draw(st.integers(1, 4))):
        for number in draw(st.lists(st.integers(0, 15), max_size=4)):
            docs.pop(number, None)
        line = st.tuples(st.integers(0, 15), TEXT, YEAR, st.sampled_from([None, "ko", "en"]))
        for number, text, year, lang in draw(st.lists(line, max_size=9)):
            docs[number] = (text, year, lang)
        if docs:
            result.append(dict(docs))
    return result or [{0: ("kiwi", 1, None)}]


def built(base: Path, nights: list[Night], encoder: Any = None, chunker: Any = None, **changes: Any) -> Config:
    """The index after all nights: of several segments, with deletions."""
    parts = {name: part for name, part in (("encoder", encoder), ("chunker", chunker)) if part is not None}
    (base / "documents").mkdir()
    config = stub.stub_config(
        base,
        **{
            "segments": {"max_chunks": 5, "dense": "Flat", "auto_compact": False},
            "max_delete_ratio": 1,
            "gate": {"min_document_ratio": 0},
            **changes,
        },
    )
    for docs in nights:
        lines = []
        for number, (text, year, lang) in docs.items():
            metadata = {name: value for name, value in (("year", year), ("lang", lang)) if value is not None}
            lines.append(json.dumps({"_id": f"{number:02}", "text": text, **metadata}))
        (base / "documents/all.jsonl").write_text("\n".join(lines), "utf-8")
        stub.build(config, **parts)
    return config


def outcome(index: Index, queries: list[str], options: dict[str, Any]) -> object:
    """The hits, or why there are none."""
    try:
        return index.search_many(queries, **options)
    except QueryError as error:
        return str(error)
