"""A text is encoded once: what the live generation or an interrupted build has encoded is copied, bit for bit."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.index import manifest as manifests
from pipeline.index.multivector.component import MULTIVECTORS
from pipeline.index.segment import Segment
from pipeline.job.build_report import BuildReport
from pipeline.job.plan import BuildPlan
from pipeline.records import Chunk, Document, Encoded
from tests.faults import stub

Collection = Mapping[str, Sequence[str]]
FRUITS = ["apples and pears", "plums", "a document about number 7", "pears", "apples, plums and more plums"]


class Counted(stub.HashedEncoder):
    """Remembers what it was given, and is interrupted once it was given `last`."""

    def __init__(self, texts: list[str], last: str | None = None) -> None:
        self.texts, self.last = texts, last

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        self.texts += texts
        if self.last in texts:
            raise KeyboardInterrupt
        return super().encode_documents(texts)


class Paragraphs(stub.OneChunk):
    """A chunk for each line."""

    def chunk(self, document: Document) -> Iterator[Chunk]:
        start = 0
        for ordinal, line in enumerate(document.text.splitlines(keepends=True)):
            (whole,) = super().chunk(document)
            yield replace(
                whole,
                chunk_id=f"{document.doc_id}#{ordinal}",
                ordinal=ordinal,
                start=start,
                end=start + len(line),
                text=line,
            )
            start += len(line)


@pytest.fixture
def encoded() -> list[str]:
    """The texts that were encoded."""
    return []


def build(config: Config, encoded: list[str], last: str | None = None, **options: Any) -> BuildReport:
    return stub.build(config, encoder=stub.encoder(Counted(encoded, last)), chunker=Paragraphs(), **options)


def planned(config: Config) -> BuildPlan:
    return stub.plan(config, chunker=Paragraphs())


def write(base: Path, collection: Collection) -> None:
    folder = base / "documents"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, lines in collection.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


def vectors(config: Config) -> dict[str, list[list[float]]]:
    """The multi-vectors of every live chunk, by id."""
    live = manifests.load(config.index_path, manifests.latest_generation(config.index_path))
    result = {}
    for entry in live.segments:
        segment = Segment(config.index_path, entry)
        for ordinal in np.flatnonzero(
            ~(segment.deleted if segment.deleted is not None else np.zeros(entry.chunks, bool))
        ):
            result[segment.store.column("chunk_id")[ordinal]] = (
                segment.open(MULTIVECTORS).vectors([ordinal]).vectors.tolist()
            )
    return result


collections = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.sampled_from(FRUITS), min_size=1, max_size=5), min_size=1, max_size=6
)


@given(
    nights=st.lists(collections, min_size=2, max_size=4),
    shard=st.integers(1, 6),
    segment=st.integers(2, 9),
    kind=st.sampled_from(["auto", "Flat"]),
)
@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.generate],  # an example is a few builds: too slow to shrink
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_rebuild_equals_a_build_from_scratch_and_encodes_only_new_texts(
    tmp_path_factory: pytest.TempPathFactory,
    encoded: list[str],
    nights: list[Collection],
    shard: int,
    segment: int,
    kind: str,
) -> None:
    base = tmp_path_factory.mktemp("nights")
    changes: dict[str, Any] = {
        "encode": {"shard_chunks": shard},
        "segments": {"max_chunks": segment, "dense": kind},
    }
    by_nights, at_once = stub.stub_config(base, **changes), stub.stub_config(base, index="once", **changes)
    live: set[str] = set()
    for collection in nights:
        write(base, collection)
        encoded.clear()
        report = build(by_nights, encoded, allow_deletes=True)
        wanted = {f"{line}\n" for lines in collection.values() for line in lines}
        assert sorted(encoded) == sorted(set(encoded))
        assert set(encoded) <= wanted - live
        assert report.encoded_chunks == len(encoded)
        live = wanted
    build(at_once, encoded)
    assert stub.answers(by_nights.index_path) == stub.answers(at_once.index_path)
    assert vectors(by_nights) == vectors(at_once)


def test_an_edit_encodes_the_changed_paragraph_only(tmp_path: Path, encoded: list[str]) -> None:
    config = stub.stub_config(tmp_path)
    write(tmp_path, {"a": ["one", "two", "three"], "b": ["four", "one"]})
    first = build(config, encoded)
    assert (first.encoded_chunks, first.reused_chunks) == (4, 1)
    encoded.clear()
    write(tmp_path, {"a": ["one", "2", "three"], "b": ["four", "one"]})
    plan = planned(config)
    assert (plan.chunks, plan.reused_chunks) == (1, 2)
    report = build(config, encoded)
    assert encoded == ["2\n"]
    assert (report.encoded_chunks, report.reused_chunks) == (1, 2)
    statistics = manifests.load(config.index_path, 2).statistics
    assert (statistics.encoded_chunks, statistics.reused_chunks) == (1, 2)


def test_a_moved_document_is_named_and_not_encoded(tmp_path: Path, encoded: list[str]) -> None:
    config = stub.stub_config(tmp_path)
    write(tmp_path, {"a": ["one", "two"], "b": ["three"], "twin": ["three"]})
    build(config, encoded)
    encoded.clear()
    write(tmp_path, {"z": ["one", "two"], "b": ["three"], "new": ["three"], "copy": ["three"]})
    moved = (("a.txt", "z.txt"), ("twin.txt", "copy.txt"))
    plan = planned(config)
    assert (plan.changes.moved, plan.changes.added, plan.changes.deleted, plan.chunks) == (moved, 1, 0, 0)
    report = build(config, encoded)
    assert (report.moved, report.added, report.deleted, report.unchanged) == (moved, 1, 0, 1)
    assert (report.documents, report.encoded_chunks, encoded) == (4, 0, [])


def test_a_full_build_encodes_every_text_once(tmp_path: Path, encoded: list[str]) -> None:
    config = stub.stub_config(tmp_path)
    write(tmp_path, {"a": ["one", "two"], "b": ["one"]})
    build(config, encoded)
    encoded.clear()
    build(config, encoded, full=True)
    assert sorted(encoded) == ["one\n", "two\n"]


def test_what_an_interrupted_build_encoded_is_used_though_the_sources_changed(
    tmp_path: Path, encoded: list[str]
) -> None:
    config = stub.stub_config(tmp_path, encode={"shard_chunks": 2})
    write(tmp_path, {"a": ["one", "two"], "b": ["three", "four"], "c": ["five", "six"]})

    with pytest.raises(KeyboardInterrupt):
        build(config, encoded, last="five\n")
    encoded.clear()
    write(tmp_path, {"a": ["zero", "two", "one"], "b": ["four"], "c": ["five"]})
    report = build(config, encoded)
    assert sorted(encoded) == ["five\n", "zero\n"]
    assert (report.encoded_chunks, report.reused_chunks) == (2, 3)


def test_rounded_rows_are_not_copied_into_a_segment_that_rounds_less(tmp_path: Path, encoded: list[str]) -> None:
    write(tmp_path, {"a": ["one", "two"]})
    build(stub.stub_config(tmp_path), encoded)
    encoded.clear()
    write(tmp_path, {"b": ["one", "two"]})
    build(stub.stub_config(tmp_path, segments={"max_chunks": 12, "dense": "Flat"}), encoded)
    assert encoded == ["one\n", "two\n"]


@pytest.mark.parametrize("name", ["dense.faiss", "lexical.parquet", "multivector.arrow"])
def test_nothing_is_copied_from_a_damaged_segment(
    tmp_path: Path, encoded: list[str], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    config = stub.stub_config(tmp_path)
    write(tmp_path, {"a": ["one", "two"]})
    build(config, encoded)
    (path,) = (config.index_path / "segments").glob(f"*/{name}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    encoded.clear()
    write(tmp_path, {"b": ["one", "two"]})
    with caplog.at_level(logging.WARNING):
        build(config, encoded)
    assert encoded == ["one\n", "two\n"]
    assert "rather than copied from a damaged segment" in caplog.text
