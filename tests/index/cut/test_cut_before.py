"""Documents that an ingest before has cut: found whole or not at all, whatever is left of its parts."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.index.cut.before import CutBefore
from pipeline.index.cut.parts import CutParts, cut_folder, cut_parts, forget
from pipeline.index.schemas import chunks_to_table
from pipeline.records import Chunk, Fingerprint

CHUNKER, OTHER = Fingerprint.of(kind="this"), Fingerprint.of(kind="other")


def chunk(name: str, content_hash: str, ordinal: int) -> Chunk:
    return Chunk(
        chunk_id=f"{name}#{ordinal}",
        doc_id=name,
        ordinal=ordinal,
        start=0,
        end=1,
        text=f"{name} {ordinal}",
        headings=(),
        metadata={},
        doc_hash=content_hash,
        source=f"{name}.txt",
    )


def collection(counts: Sequence[int], content_hash: str = "h") -> list[list[Chunk]]:
    """Documents of so many chunks each."""
    return [[chunk(f"d{n}", content_hash, i) for i in range(count)] for n, count in enumerate(counts)]


def keep(index: Path, documents: list[list[Chunk]], size: int, ingest: CutParts | None = None) -> list[list[str]]:
    """Leave an ingest that wrote the full parts of `size` chunks; returns the chunk ids of each."""
    flat = [one for document in documents for one in document]
    parts = [flat[start : start + size] for start in range(0, len(flat), size)]
    ingest = ingest or CutParts(index, CHUNKER)
    for number, part in enumerate(parts):
        ingest.keep(number, chunks_to_table(part))
    return [[one.chunk_id for one in part] for part in parts]


def found(before: CutBefore, document: list[Chunk]) -> pa.Table | None:
    rows = before.rows(document[0].doc_id, document[0].doc_hash, document[0].source)
    return None if rows is None else rows[0].slice(rows[1], rows[2] - rows[1])


@given(
    counts=st.lists(st.integers(1, 7), min_size=1, max_size=12),
    size=st.integers(1, 6),
    lost=st.sets(st.integers(0, 30), max_size=3),
    damaged=st.sets(st.integers(0, 30), max_size=2),
)
def test_a_document_is_found_whole_or_not_at_all(
    counts: list[int], size: int, lost: set[int], damaged: set[int]
) -> None:
    documents = collection(counts)
    with tempfile.TemporaryDirectory() as name:
        index = Path(name)
        parts = keep(index, documents, size)
        for part in cut_parts(index):
            if part.number in damaged:
                data = bytearray(part.path.read_bytes())
                data[len(data) // 2] ^= 1
                part.path.write_bytes(data)
            if part.number in lost:
                part.path.unlink()
        there = {one for number, part in enumerate(parts) if number not in lost | damaged for one in part}
        holding = {one: number for number, part in enumerate(parts) for one in part}
        before = CutBefore(index, CHUNKER)
        for place, document in enumerate(documents):
            rows, ids = found(before, document), [one.chunk_id for one in document]
            if rows is not None:
                assert rows.equals(chunks_to_table(document))
                assert set(ids) <= there
            else:
                # what is left may begin or end in it: its neighbours are not there, or it is the last
                begins = place == 0 or holding[documents[place - 1][-1].chunk_id] == holding[ids[0]]
                inside = set(ids) <= there and (begins or holding[ids[0]] - 1 not in lost | damaged)
                follows = place + 1 < len(documents) and documents[place + 1][0].chunk_id in there
                assert not (inside and follows)
        assert len(before) == sum(found(before, document) is not None for document in documents)
        other = before.rows("d0", "another hash", "d0.txt"), before.rows("d0", "h", "another file")
        assert other == (None, None)


def test_parts_of_another_chunker_are_of_no_use_and_go(tmp_path: Path) -> None:
    keep(tmp_path, collection([1, 1, 1]), 1)
    assert len(CutBefore(tmp_path, CHUNKER)) == 2
    assert len(CutBefore(tmp_path, OTHER)) == 0
    assert not cut_parts(tmp_path)


def test_an_ingest_that_adds_nothing_to_others_goes(tmp_path: Path) -> None:
    long, short = collection([1] * 8), collection([1] * 5)
    keep(tmp_path, short, 2)
    keep(tmp_path, long, 2)
    keep(tmp_path, collection([1] * 3, "changed"), 2)
    before = CutBefore(tmp_path, CHUNKER)
    assert [part.ingest for part in cut_parts(tmp_path)] == [1, 1, 1, 1, 2, 2]
    assert len(before) == 7 + 2
    assert [found(before, document) is not None for document in long] == [True] * 7 + [False]


def test_all_go_when_they_are_forgotten(tmp_path: Path) -> None:
    forget(tmp_path)
    keep(tmp_path, collection([1]), 2)
    forget(tmp_path)
    assert not cut_folder(tmp_path).exists()
    assert len(CutBefore(tmp_path, CHUNKER)) == 0


def test_parts_move_into_a_staged_ingest_under_its_names(tmp_path: Path) -> None:
    ingest = CutParts(tmp_path, CHUNKER)
    keep(tmp_path, collection([3, 3]), 2, ingest)
    (tmp_path / "made").mkdir()
    entries = ingest.move(tmp_path / "made")
    assert [entry.name for entry in entries] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [entry.name for entry in entries]
    assert not cut_parts(tmp_path)
