"""What is written of a segment's chunks: the same for the same chunks, as the layout says, and all of it."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import CorruptIndexError
from pipeline.index.chunks import CHUNKS_FILE
from pipeline.index.rows import writer
from pipeline.index.rows.layout import ROWS_FILE
from pipeline.index.rows.reader import RowFile, open_rows
from pipeline.index.rows.writer import derive
from pipeline.records import Chunk
from tests.support.chunk_files import CHUNKS, plain_chunks, write_chunks


def written(folder: Path, chunks: Sequence[Chunk]) -> bytes:
    derive(write_chunks(folder, chunks), folder)
    return (folder / ROWS_FILE).read_bytes()


def opened(folder: Path, chunks: int) -> RowFile:
    found = open_rows(folder, chunks)
    assert found is not None
    return found


@given(chunks=st.lists(CHUNKS, max_size=40), cut=st.integers(1, 45))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_chunk_comes_back_however_the_chunks_are_read(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[Chunk], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    data = written(folder, chunks)
    file = opened(folder, len(chunks))
    rows = range(len(chunks))
    assert file.fetch(rows) == chunks
    assert file.chunk_ids(rows) == [chunk.chunk_id for chunk in chunks]
    assert file.doc_ids(rows) == [chunk.doc_id for chunk in chunks]
    for doc_id in {"a", "", "c", *(chunk.doc_id for chunk in chunks)}:
        assert file.rows_of(doc_id).tolist() == [row for row in rows if chunks[row].doc_id == doc_id]
    backwards = rows[::-1]
    assert file.fetch(backwards) == chunks[::-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_TABLE_ROWS", cut)
        assert written(folder, chunks) == data


def test_two_chunks_by_hand(tmp_path: Path) -> None:
    """Read as docs/index-format.md says, with nothing of ours."""
    first = Chunk("a#0", "a", 0, 0, 4, "text", ("H", "I"), {"k": 1}, "h", "s", "c")
    data = written(tmp_path, [first, Chunk("own", "a", 7, -1, 2**40, "ü", (), {}, "h", "s", "")])
    magic, version, block_rows, chunks, documents, own, blocks_end, doc_bytes, own_bytes = struct.unpack(
        "<8sIIQQQQQQ", data[:64]
    )
    assert (magic, version, block_rows, chunks, documents, own) == (b"HP rows\n", 1, 16, 2, 1, 1)
    assert data[64:72] == struct.pack("<Q", xxhash.xxh3_64_intdigest(data[:64]))
    offset, stored, size, checksum = struct.unpack("<QIIQ", data[blocks_end : blocks_end + 24])
    assert offset == 72
    raw = (
        pa.Codec("lz4_raw").decompress(data[72 : 72 + stored], size).to_pybytes()
        if stored < size
        else data[72:][:size]
    )
    assert checksum == xxhash.xxh3_64_intdigest(raw)
    assert struct.unpack("<4q", raw[:32]) == (0, -1, 4, 2**40)
    ends = struct.unpack("<13I", raw[32:84])
    cells = [raw[a:b].decode() for a, b in itertools.pairwise(ends)]
    assert cells == ["text", "ü", "c", "", '["H", "I"]', "", "s", "s", "h", "h", '{"k": 1}', "{}"]
    assert (ends[0], ends[-1]) == (84, len(raw))
    rest = data[blocks_end + 24 :]
    assert struct.unpack("<2Q", rest[:16]) == (0, 1) == (0, doc_bytes)
    assert struct.unpack("<2Q", rest[16:32]) == (0, 3) == (0, own_bytes)
    assert struct.unpack("<IiIi", rest[32:48]) == (0, 0, 0, 7)
    assert rest[48:] == struct.pack("<I", 1) + b"a" + b"own"


def test_chunks_of_one_document_share_its_id_and_blocks_are_compressed(tmp_path: Path) -> None:
    one = written(tmp_path / "one", plain_chunks(600, per_document=600))
    many = written(tmp_path / "many", plain_chunks(600, per_document=1))
    texts = sum(len(chunk.text) + len(json.dumps(dict(chunk.metadata))) for chunk in plain_chunks(600))
    assert len(many) - len(one) > 599 * (8 + len("doc "))
    assert len(one) < 600 * (8 + 6 * 4 + 16) + texts, "less than what it holds, uncompressed"


def test_a_large_block_is_stored_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = plain_chunks(20)
    small = written(tmp_path / "small", chunks)
    monkeypatch.setattr(writer, "_COMPRESSED_BYTES", 500)
    large = written(tmp_path / "large", chunks)
    assert b"chunk 15 of" in large
    assert len(large) > len(small)
    assert opened(tmp_path / "large", 20).fetch(range(20)) == chunks


def test_a_block_of_more_than_its_numbers_can_say_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_MOST_BYTES", 1000)
    with pytest.raises(CorruptIndexError, match="take more than 4 GiB"):
        written(tmp_path, plain_chunks(16))


def test_chunks_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_chunks(tmp_path, plain_chunks(20))
    path = tmp_path / CHUNKS_FILE
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptIndexError, match=r"chunks\.parquet: cannot be read .*--full"):
        derive(tmp_path, tmp_path)

    def with_nulls(*_: object) -> Iterator[pa.Table]:
        yield pa.table({"doc_id": ["a", None], "chunk_id": ["a#0", "a#1"]})

    monkeypatch.setattr(writer, "chunk_blocks", with_nulls)
    with pytest.raises(CorruptIndexError, match="column doc_id has null values"):
        derive(tmp_path, tmp_path)
