"""What is live of each source file is the same whether it is summed by columns or document by document."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipeline.index import live, store
from pipeline.index.live import Contents, DocumentKeys, LiveDocument, LiveDocuments
from pipeline.ingest import ledger
from tests.faults import stub

Rows = list[tuple[str, str, str, int]]

documents = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.tuples(st.text("0123456789abcdef", min_size=32, max_size=32), st.sampled_from(["a", "b/c", "ß"])),
    max_size=20,
)


def rows_of(found: dict[str, tuple[str, str]], chunks: int = 2) -> Rows:
    return [(name, digest, source, i) for name, (digest, source) in found.items() for i in range(chunks)]


def opened(monkeypatch: pytest.MonkeyPatch, *segments: Rows) -> LiveDocuments:
    """The documents of segments that hold these rows."""
    kinds = (pa.string(), pa.string(), pa.string(), pa.int32())
    tables = iter(
        [
            pa.table(
                [pa.array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)], names=live._COLUMNS
            )
            for rows in segments
        ]
    )
    monkeypatch.setattr(live, "Segment", lambda *arguments, **options: None)
    monkeypatch.setattr(live, "_chunk_documents", lambda segment: next(tables))

    class Manifest:
        pass

    manifest = Manifest()
    manifest.segments = segments  # type: ignore[attr-defined]
    return LiveDocuments(Path(), manifest)  # type: ignore[arg-type]


def contents(found: dict[str, tuple[str, str]], source: str) -> tuple[int, bytes]:
    """The reference: one document after the other."""
    summed, number = Contents(), 0
    for name, (digest, its_source) in found.items():
        if its_source == source:
            summed.add(name, digest)
            number += 1
    return number, summed.digest


@given(found=documents, cut=st.integers(0, 40), chunks=st.integers(1, 3))
def test_columns_say_of_each_file_what_its_documents_do(
    found: dict[str, tuple[str, str]], cut: int, chunks: int
) -> None:
    """Wherever the chunks are split into segments, a document's own chunks too, and whichever segment is first."""
    rows = rows_of(found, chunks)
    with pytest.MonkeyPatch.context() as patch:
        for segments in ([rows], [rows[:cut], rows[cut:]], [rows[cut:], [], rows[:cut]]):
            documents = opened(patch, *segments)
            by_source = documents.by_source()
            assert by_source.keys() == {source for _, source in found.values()}
            for source, said in by_source.items():
                assert (said.documents, said.digest) == contents(found, source)
            assert documents == {name: LiveDocument(*of) for name, of in found.items()}


@given(found=documents, sources=st.sets(st.sampled_from(["a", "b/c", "ß", "none"])))
def test_elsewhere_leaves_out_the_documents_of_the_files_named(
    found: dict[str, tuple[str, str]], sources: set[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        expected = {name: LiveDocument(*of) for name, of in found.items() if of[1] not in sources}
        assert opened(patch, rows_of(found)).elsewhere(sources) == expected


def test_a_sum_keeps_its_lowest_128_bits() -> None:
    most = np.full((3, 8), 0xFFFF, np.uint16)
    total = live._summed(most, np.array([0, 1, 1], np.int32), 2)
    sums = [int.from_bytes(row.tobytes(), "little") for row in total]
    assert sums == [2**128 - 1, (2 * (2**128 - 1)) % 2**128]


def test_a_document_without_a_first_chunk_or_with_two_makes_its_file_look_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {"x": ("0" * 32, "a")}
    for rows in ([("x", "0" * 32, "a", 1)], [("x", "0" * 32, "a", 0), ("x", "0" * 32, "a", 0)]):
        said = opened(monkeypatch, rows).by_source()["a"]
        assert (said.documents, said.digest) != contents(found, "a")


def test_deleted_chunks_are_of_no_document(tmp_path: Path) -> None:
    stub.build_two_generations(tmp_path)
    config = stub.stub_config(tmp_path)
    documents = store.live_documents(config.index_path, store.live_manifest(config.index_path))
    names = {f"documents/{path.name}" for path in (tmp_path / "documents").iterdir()}
    assert documents.by_source().keys() == names
    for source, said in documents.by_source().items():
        its = {name: (of.content_hash, of.source) for name, of in documents.items() if of.source == source}
        assert (said.documents, said.digest) == contents(its, source)


def test_no_generation_has_no_documents(tmp_path: Path) -> None:
    nothing = LiveDocuments(tmp_path, None)
    assert (len(nothing), nothing.by_source(), nothing.elsewhere(set())) == (0, {}, {})


def test_where_nothing_changed_no_record_of_a_document_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "RACY_NS", -(10**18))
    stub.write_texts(tmp_path, 0)
    stub.build(stub.stub_config(tmp_path))
    monkeypatch.setattr(live, "_records", None)
    report = stub.build(stub.stub_config(tmp_path))
    assert (report.published, report.unchanged) == (False, 24)


NIGHT = """
import sys
from collections.abc import Iterable
from pathlib import Path
from tests.faults import stub
from pipeline.ingest import ledger
ledger.RACY_NS = -(10**18)
report = stub.build(stub.stub_config(Path(sys.argv[1])))
print(report.published, report.unchanged, "pandas" in sys.modules)
"""


def test_where_nothing_changed_pandas_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes as long to import as a hundred thousand documents to compare."""
    monkeypatch.setattr(ledger, "RACY_NS", -(10**18))
    stub.build_two_generations(tmp_path)
    done = subprocess.run([sys.executable, "-c", NIGHT, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "24", "False"]


def keys_of(found: Iterable[tuple[str, str, str]]) -> bytes:
    """The keys of documents: id, content hash and file."""
    rows = [(doc_id, content_hash, source, 0) for doc_id, content_hash, source in found]
    with pytest.MonkeyPatch.context() as patch:
        return opened(patch, rows).document_keys().to_bytes()


@given(found=documents, other=documents)
def test_keys_tell_which_documents_are_live_as_they_are(
    found: dict[str, tuple[str, str]], other: dict[str, tuple[str, str]]
) -> None:
    keys = DocumentKeys.of(keys_of((name, *of) for name, of in found.items()))
    for name, (content_hash, source) in (other | found).items():
        assert keys.has(name, content_hash, source) == (found.get(name) == (content_hash, source))
        assert not keys.has(name, content_hash, source + "x")
        assert not keys.has(name + "x", content_hash, source)


def test_keys_that_begin_alike_are_told_apart() -> None:
    keys = np.frombuffer(xxhash.xxh3_128_digest(b"\0".join([b"h", b"x", b"s"])), np.uint64)
    beside = np.array([[keys[0], 0], [keys[0], 1], [keys[0], 2**64 - 1]], np.uint64)
    assert not DocumentKeys(beside).has("x", "h", "s")
    assert DocumentKeys(np.array([*beside, keys], np.uint64)).has("x", "h", "s")
