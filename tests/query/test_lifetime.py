"""An open index that is closed while others search, forked, pickled and copied."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, QuerySettings
from pipeline.errors import IndexNotFoundError, QueryError
from pipeline.index import store
from pipeline.index.lexical import kernel
from pipeline.job import build as builder
from pipeline.query.request import SearchRequest
from pipeline.query.searcher import Index, open_index
from pipeline.records import Encoded
from tests.faults import processes, stub
from tests.support.collection import config_for, write_documents


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """An index of both legs, with a stub for its model."""
    stub.write_texts(tmp_path, 0)
    config = stub.stub_config(tmp_path)
    stub.build(config)
    return config


@pytest.fixture
def lexical(tmp_path: Path) -> Config:
    """An index without a model, which any process can open."""
    write_documents(tmp_path / "documents")
    config = config_for(tmp_path, encoder={"model": "none"})
    builder.build(config)
    return config


class Held(stub.HashedEncoder):
    """An encoder that stops the search which `hold` begins, while its query is encoded, until it is let go."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        self._encoding, self._go = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def encode_queries(self, texts: Sequence[str]) -> Encoded:
        if threading.current_thread() is self._thread:
            self._encoding.set()
            self._go.wait()
        return super().encode_queries(texts)

    def hold(self, index: Index) -> None:
        self._thread = threading.Thread(target=lambda: self.found.append(stub.ask(index)))
        self._thread.start()
        self._encoding.wait()

    def let_go(self) -> None:
        assert self._thread is not None
        self._go.set()
        self._thread.join()


def test_what_has_begun_ends_well_and_what_comes_later_is_refused(config: Config) -> None:
    others = set(threading.enumerate())
    held = Held()
    index = stub.open_index(config.index_path, encoder=stub.encoder(held))
    expected = stub.ask(index)
    held.hold(index)
    index.close()
    with pytest.raises(QueryError, match="this index was closed; open it again"):
        index.search("plums")
    held.let_go()
    assert held.found == [expected]
    own = set(threading.enumerate()) - others
    assert not [thread for thread in own if thread.name.startswith("search") and _alive(thread)]


def _alive(thread: threading.Thread) -> bool:
    thread.join(10)
    return thread.is_alive()


CALLS: dict[str, Callable[[Index], object]] = {
    "search": lambda index: index.search("plums"),
    "search_many": lambda index: index.search_many([]),
    "answer": lambda index: index.answer(SearchRequest.for_texts(index, ["plums"])),
    "rank": lambda index: index.rank(["plums"]),
    "encode": lambda index: index.encode(["plums"]),
    "refresh": lambda index: index.refresh(),
    "with": lambda index: index.__enter__(),
    "pickle": lambda index: pickle.dumps(index),
    "copy": lambda index: copy.copy(index),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_index_refuses_every_call(config: Config, call: str) -> None:
    index = stub.open_index(config.index_path)
    encoded = index.encode(["plums"])
    CALLS[call](index)
    index.close()
    index.close()
    with pytest.raises(QueryError, match="closed"):
        CALLS[call](index)
    with pytest.raises(QueryError, match="closed"):
        index.rank_encoded(encoded)


def test_a_forked_child_goes_on_searching(config: Config) -> None:
    kernel.load()
    with stub.open_index(config.index_path) as index:
        expected = stub.ask(index)

        def child() -> None:
            assert stub.ask(index) == expected
            with index.refresh() as live:
                assert stub.ask(live) == expected

        assert processes.run(child) == processes.Ending(None, None)
        assert stub.ask(index) == expected


def test_a_child_forked_in_the_middle_of_a_search_waits_for_nobody(config: Config) -> None:
    held = Held()
    with stub.open_index(config.index_path, encoder=stub.encoder(held)) as index:
        expected = stub.ask(index)
        held.hold(index)

        def child() -> None:
            assert stub.ask(index) == expected
            index.close()
            with pytest.raises(QueryError, match="closed"):
                index.search("plums")

        assert processes.run(child) == processes.Ending(None, None)
        held.let_go()
        assert held.found == [expected]


FORKING = """
import os, signal, sys
from pipeline.query.searcher import open_index
from pipeline.errors import EncoderError
index = open_index(sys.argv[1])
if sys.argv[2] == "after a search":
    index.search("tokens", 3)
child = os.fork()
if child == 0:
    signal.alarm(60)
    try:
        print(len(index.search("tokens", 3)), "hits", flush=True)
    except EncoderError as error:
        print(error, flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
print(len(index.search("tokens", 3)), "in the parent")
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("before a search", "3 hits"),
        (
            "after a search",
            "OpenVINO computed before this process was forked, and cannot do so here; "
            "fork before the first search or build, or start workers with the method `spawn`",
        ),
    ],
)
def test_a_model_that_has_computed_says_at_once_that_it_cannot_in_a_child(
    tmp_path: Path, moment: str, said: str
) -> None:
    write_documents(tmp_path / "documents")
    config = config_for(tmp_path)
    builder.build(config)
    command = [sys.executable, "-c", FORKING, str(config.index_path), moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == [said, "3 in the parent"], done.stderr
    assert done.returncode == 0


def ids(index: Index) -> list[str]:
    """In a process that was handed the index."""
    return [hit.chunk_id for hit in index.search("rank fusion generation")]


def test_another_process_opens_an_index_that_it_is_handed(lexical: Config) -> None:
    settings = QuerySettings(k=1)
    with open_index(lexical.index_path, settings=settings) as index:
        expected = ids(index)
        assert len(expected) == 1
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.map(ids, [index] * 2) == [expected] * 2


def test_a_pickled_index_is_the_generation_that_it_was(lexical: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_index(lexical.index_path) as index:
        expected = ids(index)
        write_documents(lexical.base / "documents", {"en/new.md": "rank fusion generation " * 20})
        builder.build(lexical)
        monkeypatch.chdir(lexical.index_path)  # a relative path would lead elsewhere
        with pickle.loads(pickle.dumps(index)) as again, copy.copy(index) as copied, index.refresh() as live:
            assert again.manifest == copied.manifest == index.manifest
            assert ids(again) == ids(copied) == expected != ids(live)
        data = pickle.dumps(index)
    with store.lock(lexical.index_path):
        store.collect_garbage(lexical.index_path, 1)
    with pytest.raises(IndexNotFoundError, match="generation 1"):
        pickle.loads(data)


def test_a_pickled_staged_generation_is_staged(config: Config) -> None:
    stub.write_texts(config.base, 1)
    stub.refused(config)
    with (
        stub.open_index(config.index_path, generation="staged") as staged,
        pickle.loads(pickle.dumps(staged)) as again,
    ):
        assert again.manifest == staged.manifest
        assert stub.ask(again) == stub.ask(staged)
