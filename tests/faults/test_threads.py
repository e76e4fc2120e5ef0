"""Threads that share an open index get what one thread gets, bit for bit, while writers publish under them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.errors import QueryError
from pipeline.index import chunks, store
from pipeline.index.chunks import ChunkStore
from pipeline.index.rows.component import ROWS
from pipeline.index.rows.reader import RowFile
from pipeline.query.searcher import Index
from pipeline.records import Chunk, Document, Hit
from tests.faults import processes, stub
from tests.faults.counts import count
from tests.support.collection import config_for

THREADS = 8
DOCUMENTS = 8_400
WORDS = [f"word{number}" for number in range(3_000)]
CACHED_GROUPS = 16

Request = tuple[str, str, dict[str, Any]]
Answers = list[list[Hit]]


class Halves(stub.OneChunk):
    """A document is two chunks, so that there is something to collapse and a context to show."""

    def chunk(self, document: Document) -> Iterator[Chunk]:
        middle = document.text.index(" ", len(document.text) // 2)
        for ordinal, (start, end) in enumerate([(0, middle), (middle, len(document.text))]):
            (whole,) = super().chunk(document)
            yield dataclasses.replace(
                whole,
                chunk_id=f"{document.doc_id}#{ordinal}",
                ordinal=ordinal,
                start=start,
                end=end,
                text=document.text[start:end],
            )


def requests() -> list[Request]:
    """Every mode with every option, over different words."""
    options: list[dict[str, Any]] = [
        {},
        {"where": "lang = 'ko' and number < 5000"},
        {"collapse": True},
        {"context": 1},
        {"explain": True},
        {"distinct": 0.9},
        {"rerank": "multivectors", "rerank_top": 20},
    ]
    rng = random.Random(7)
    return [
        (" ".join(rng.choices(WORDS, k=3)), mode, chosen)
        for mode, chosen, _ in itertools.product(("hybrid", "lexical", "dense"), options, range(2))
    ]


def ask(index: Index, request: Request) -> list[Hit]:
    text, mode, options = request
    return index.search(text, 10, mode, **options)


@pytest.fixture(params=["rows", "parquet"])
def config(request: pytest.FixtureRequest, base: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Two generations: the second lacks some documents and has others, in a segment of its own.

    Hits are read from files of rows, or from row groups as in an index that has none.
    """
    monkeypatch.setattr(chunks, "_CACHED_GROUPS", CACHED_GROUPS)
    monkeypatch.setattr(ROWS, "is_wanted", lambda shape: request.param == "rows")
    config = config_for(base, sources=[{"path": "documents.jsonl"}])
    rng = random.Random(3)
    texts = [" ".join(rng.choices(WORDS, k=40)) for _ in range(DOCUMENTS + 500)]
    for first in (0, 500):
        with (base / "documents.jsonl").open("w") as file:
            for number in range(first, DOCUMENTS + first):
                record = {"id": f"d{number}", "text": texts[number], "lang": "ko" if number % 3 else "en"}
                file.write(json.dumps(record | {"number": number}) + "\n")
            file.write(json.dumps({"id": f"only in {first}", "text": "one more " * (first + 1)}) + "\n")
        stub.build(config, chunker=Halves())
    return config


def test_threads_get_what_one_thread_gets(config: Config, request: pytest.FixtureRequest) -> None:
    """In a process of its own: what goes wrong between threads may end it."""
    rounds = count(1_200, 24_000)
    reader = {"rows": RowFile, "parquet": ChunkStore}[request.node.callspec.params["config"]]

    def search() -> None:
        signal.alarm(count(processes.LIMIT_SECONDS, 3_600))
        asked = requests()
        expected: dict[int, Answers] = {}
        for generation in (1, 2):
            with stub.open_index(config.index_path, generation=generation) as index:
                assert {type(segment.open(ROWS)) for segment in index.snapshot.segments} == {reader}
                groups = [len(segment.store._starts) - 1 for segment in index.snapshot.segments]
                assert groups[0] >= 64 > CACHED_GROUPS
                expected[generation] = [ask(index, request) for request in asked]
        shared = [stub.open_index(config.index_path)]
        origin = {1: 1, 2: 2}
        turns = iter(range(rounds))
        wrong: list[str] = []

        def work() -> None:
            for turn in turns:
                number = turn * 31 % len(asked)
                while True:
                    index = shared[0]
                    try:
                        found = ask(index, asked[number])
                        break
                    except QueryError as error:
                        if "closed" not in str(error) or index is shared[0]:
                            raise
                if found != expected[origin[index.manifest.generation]][number]:
                    wrong.append(f"{asked[number]} in generation {index.manifest.generation}")

        def worker() -> None:
            try:
                work()
            except BaseException as error:
                wrong.append(f"{type(error).__name__}: {error}")

        threads = [threading.Thread(target=worker) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            target = 1 if origin[shared[0].manifest.generation] == 2 else 2
            origin[shared[0].manifest.generation + 1] = target
            store.rollback(config.index_path, target)
            before = shared[0]
            shared[0] = before.refresh()
            before.close()
            threads[0].join(0.2)
        for thread in threads:
            thread.join()
        assert wrong == []
        assert shared[0].manifest.generation > 4

    assert processes.run(search) == processes.Ending(None, None)
