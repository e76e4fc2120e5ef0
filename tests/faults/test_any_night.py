"""Whatever the nights bring, in whatever order: the index is what its sources and its own past say.

A machine of random steps (files that come, change, break, go and are renamed; builds that succeed, fail and are
refused; compactions, rollbacks) runs beside a model of what each step promises, written without regard to how the
index stores anything.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.config import Config
from pipeline.errors import EncoderError, GateRefusedError, IndexStoreError, SourceError
from pipeline.index import candidate, store
from pipeline.index import manifest as manifests
from pipeline.index.upkeep import compact
from pipeline.index.upkeep.verify import verify
from pipeline.query.searcher import Index
from pipeline.records import Document, Encoded
from tests.faults import stub
from tests.faults.counts import count
from tests.faults.stub import HashedEncoder

FILES = ("a.jsonl", "b.jsonl", "c/d.jsonl", "e.jsonl")
IDS = ("one", "two", "three", "four")
WORDS = ("apples and pears", "plums", "a document about number 7", "apples, apples", "")
BAD = "not JSON"

Line = tuple[str, str] | str
Live = dict[str, tuple[str, str]]
"""Text and file of every live document, by id."""

GOOD = st.tuples(st.sampled_from(IDS), st.sampled_from(WORDS))
LINES = st.lists(st.one_of(GOOD, GOOD, GOOD, st.just(BAD)), max_size=5)


def what_is_live(sources: dict[str, list[Line]], before: Live) -> Live:
    """The first document of an id counts; one that has gone from a file that was not read wholly stays."""
    seen: Live = {}
    rejected: set[str] = set()
    for name in sorted(sources):
        if not sources[name]:
            rejected.add(name)
        for line in sources[name]:
            if isinstance(line, str) or not line[1] or line[0] in seen:
                rejected.add(name)
            else:
                seen[line[0]] = (line[1], name)
    held = {key: value for key, value in before.items() if key not in seen and value[1] in rejected}
    return held | seen


class Dying(HashedEncoder):
    """The stub, which encodes documents so many times."""

    def __init__(self, calls: int) -> None:
        self.left = iter(range(calls))

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        if next(self.left, None) is None:
            raise EncoderError("the model died")
        return super().encode_documents(texts)


@dataclass
class Staged:
    """What an ingest found, and the generation that it is to follow."""

    found: Live
    after: int
    full: bool


class Nights(RuleBasedStateMachine):
    """The model: `sources` on disk, `past` generations, what is `staged`, and the `refused` generation if any."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.base = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
        (self.documents / "c").mkdir(parents=True)
        self.config: Config = stub.stub_config(
            self.base,
            encode={"shard_chunks": 2},
            segments={"max_chunks": 4, "dense": "auto"},
            gate={"min_document_ratio": 0, "max_reject_ratio": 1},
            max_delete_ratio=1,
        )
        self.sources: dict[str, list[Line]] = {}
        self.past: dict[int, Live] = {}
        self.staged: Staged | None = None
        self.refused: Live | None = None
        self.reader: tuple[Index, stub.Answers] | None = None
        self.times = itertools.count(1_700_000_000)

    @property
    def documents(self) -> Path:
        return self.base / "documents"

    @property
    def index(self) -> Path:
        return self.config.index_path

    @property
    def newest(self) -> int:
        return max(self.past, default=0)

    @property
    def live(self) -> Live:
        return self.past.get(self.newest, {})

    def teardown(self) -> None:
        if self.reader is not None:
            self.reader[0].close()
        shutil.rmtree(self.base)

    # What happens to the sources

    @initialize(data=st.data())
    def first_files(self, data: st.DataObject) -> None:
        for name in FILES[:2]:
            self.write(name, data.draw(LINES))

    def change(self, data: st.DataObject) -> None:
        """Up to three files come, change, go or get another name."""
        for _ in range(data.draw(st.integers(0, 3))):
            what = data.draw(st.sampled_from(("write", "write", "write", "remove", "rename")))
            known = sorted(self.sources)
            if what == "write" or not known:
                self.write(data.draw(st.sampled_from(FILES)), data.draw(LINES))
            elif what == "remove":
                name = data.draw(st.sampled_from(known))
                (self.documents / name).unlink()
                del self.sources[name]
            else:
                name, target = data.draw(st.sampled_from(known)), data.draw(st.sampled_from(FILES))
                (self.documents / name).rename(self.documents / target)
                self.sources[target] = self.sources.pop(name)

    def write(self, name: str, lines: list[Line]) -> None:
        path = self.documents / name
        records = [x if isinstance(x, str) else json.dumps({"_id": x[0], "text": x[1]}) for x in lines]
        path.write_text("".join(f"{record}\n" for record in records))
        moment = next(self.times)  # a second change within a tick of the clock would not show
        os.utime(path, (moment, moment))
        self.sources[name] = lines

    # What happens to the index

    def ingested(self, full: bool) -> Staged:
        return Staged(what_is_live(self.sources, {} if full else self.live), self.newest, full)

    def published(self, live: Live) -> None:
        self.past[self.newest + 1] = live

    def cleared(self) -> None:
        self.staged = self.refused = None

    def committed(self, staged: Staged) -> type[Exception] | None:
        """The error that committing must raise; `None` where it succeeds, and then the model has moved on."""
        if staged.after != self.newest:
            return IndexStoreError
        if self.past and not staged.full and staged.found == self.live:
            self.cleared()
            return None
        self.refused = None
        if not staged.found:
            return SourceError
        self.published(staged.found)
        self.cleared()
        return None

    @rule(data=st.data(), full=st.sampled_from((False, False, True)))
    def build(self, data: st.DataObject, full: bool) -> None:
        self.change(data)
        if not self.sources:
            with pytest.raises(SourceError):
                stub.build(self.config, full=full)
            return
        self.staged = self.ingested(full)
        if error := self.committed(self.staged):
            with pytest.raises(error):
                stub.build(self.config, full=full)
        else:
            stub.build(self.config, full=full)

    @precondition(lambda self: self.sources)
    @rule(full=st.booleans())
    def ingest(self, full: bool) -> None:
        self.staged = self.ingested(full)
        stub.ingest(self.config, full=full)

    @precondition(lambda self: self.staged is not None)
    @rule(data=st.data())
    def encode(self, data: st.DataObject) -> None:
        self.change(data)
        assert self.staged is not None
        if error := self.committed(self.staged):
            with pytest.raises(error):
                stub.encode(self.config)
        else:
            stub.encode(self.config)

    @precondition(lambda self: self.sources)
    @rule(data=st.data(), calls=st.integers(0, 2))
    def fail(self, data: st.DataObject, calls: int) -> None:
        """A build whose encoder dies at some call; if it is not asked as often, the build is like any other."""
        self.change(data)
        if not self.sources:
            return
        dying = stub.encoder(Dying(calls))
        self.staged = self.ingested(full=False)
        waiting = self.refused
        try:
            stub.build(self.config, encoder=dying)
        except (EncoderError, SourceError):
            self.refused = waiting if waiting and candidate.waiting(self.index) else None
        else:
            assert self.committed(self.staged) is None

    @precondition(lambda self: self.sources)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        """A build that the gate keeps staged."""
        self.change(data)
        if not self.sources:
            return
        staged = self.ingested(full=False)
        gated = self.config.model_copy(update={"gate": stub.IMPOSSIBLE})
        if self.past and staged.found == self.live:
            stub.build(gated)
            self.cleared()
        elif not staged.found:
            with pytest.raises(SourceError):
                stub.build(gated)
            self.staged, self.refused = staged, None
        else:
            with pytest.raises(GateRefusedError):
                stub.build(gated)
            self.staged, self.refused = None, staged.found

    @precondition(lambda self: self.refused is not None)
    @rule()
    def publish(self) -> None:
        assert self.refused is not None
        stub.publish(self.config, force=True)
        self.published(self.refused)
        self.cleared()

    @precondition(lambda self: self.past)
    @rule()
    def merge(self) -> None:
        if compact.compact(self.index, retain=self.config.retain).published:
            self.published(self.live)
            self.refused = None

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(manifests.generations(self.index)))
        store.rollback(self.index, target)
        self.published(self.past[target])
        self.refused = None

    # Readers

    @precondition(lambda self: self.past and self.reader is None)
    @rule()
    def open(self) -> None:
        opened = stub.open_index(self.index)
        self.reader = (opened, stub.ask(opened))

    @precondition(lambda self: self.reader is not None)
    @rule()
    def refresh(self) -> None:
        assert self.reader is not None
        old = self.reader[0]
        fresh = old.refresh()
        if fresh is not old:
            old.close()
        assert fresh.snapshot.manifest.generation == self.newest
        self.reader = (fresh, stub.ask(fresh))

    # What must hold after every step

    @invariant()
    def the_index_is_what_the_model_says(self) -> None:
        numbers = manifests.generations(self.index)
        assert (numbers[-1] if numbers else 0) == self.newest
        assert set(numbers) <= set(self.past)
        for number in numbers:
            manifest = manifests.load(self.index, number)
            expected = self.past[number]
            found = store.live_documents(self.index, manifest)
            assert {key: (value.content_hash, value.source) for key, value in found.items()} == {
                key: (Document(key, text, {}).content_hash, f"documents/{name}")
                for key, (text, name) in expected.items()
            }
            assert (manifest.documents, manifest.chunks) == (len(expected), len(expected))
            assert not verify(self.index, number, deep=number == self.newest).problems
        waiting = candidate.waiting(self.index) if numbers or self.index.exists() else None
        assert (waiting is None) == (self.refused is None)
        assert waiting is None or waiting.documents == len(self.refused or {})

    @precondition(lambda self: self.past)
    @rule()
    def compare(self) -> None:
        """The same hits and scores as an index that was built of the live documents at once."""
        base = Path(tempfile.mkdtemp(dir=self.base))
        (base / "documents").mkdir()
        lines = [json.dumps({"_id": key, "text": text}) for key, (text, _) in sorted(self.live.items())]
        (base / "documents/all.jsonl").write_text("\n".join(lines))
        stub.build(stub.stub_config(base))
        assert stub.answers(self.index) == stub.answers(base / "index")

    @invariant()
    def a_reader_sees_what_it_saw(self) -> None:
        if self.reader is not None:
            assert stub.ask(self.reader[0]) == self.reader[1]


TestNights = Nights.TestCase
TestNights.settings = settings(max_examples=count(15, 500), stateful_step_count=30, deadline=None)
