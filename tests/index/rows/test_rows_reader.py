"""Reading rows: a damaged file is refused or gives what it held; no number in it leads anywhere else."""

from __future__ import annotations

import contextlib
import random
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xxhash

from pipeline.errors import CorruptIndexError
from pipeline.index.chunks import CHUNKS_FILE, ChunkStore
from pipeline.index.rows import writer
from pipeline.index.rows.layout import BLOCK, HEADER_BYTES, ROW, ROWS_FILE, Layout, layout_of
from pipeline.index.rows.reader import ChunkRows, RowFile, open_rows
from pipeline.index.rows.writer import derive
from pipeline.records import Chunk
from tests.faults.counts import count, step
from tests.support.chunk_files import plain_chunks, write_chunks

COUNT = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    derive(write_chunks(tmp_path, plain_chunks(COUNT)), tmp_path)
    return tmp_path


def opened(folder: Path, chunks: int = COUNT) -> RowFile:
    found = open_rows(folder, chunks)
    assert found is not None
    return found


def replaced(folder: Path, data: bytes) -> None:
    """Put other bytes in the file's place; what is open keeps the old ones."""
    (folder / ROWS_FILE).unlink()
    (folder / ROWS_FILE).write_bytes(data)


def laid_out(data: bytes) -> Layout:
    layout = layout_of(data[:HEADER_BYTES])
    assert layout is not None
    return layout


def test_the_parquet_file_gives_the_same(folder: Path) -> None:
    mine: ChunkRows = opened(folder)
    other: ChunkRows = ChunkStore(folder, COUNT)
    for rows in (range(COUNT), [39, 0, 16, 15, 16], []):
        assert mine.fetch(rows) == other.fetch(rows)
        assert mine.chunk_ids(rows) == other.chunk_ids(rows)
        assert mine.doc_ids(rows) == other.doc_ids(rows)
    for doc_id in ("doc 0", "doc 13", "doc 1", "", "doc 99", "\ud800"):
        assert mine.rows_of(doc_id).tolist() == other.rows_of(doc_id).tolist()
    assert mine.rows_of("doc 13").tolist() == [39]


def test_it_is_refused_cut_off_anywhere_and_longer(folder: Path) -> None:
    data = (folder / ROWS_FILE).read_bytes()
    for length in [*range(0, len(data), step(3)), len(data) - 1]:
        replaced(folder, data[:length])
        with pytest.raises(CorruptIndexError, match=r"rows\.bin: .*`pipeline repair` rebuilds it"):
            open_rows(folder, COUNT)
    replaced(folder, data + b"\0")
    with pytest.raises(CorruptIndexError, match="where its header says"):
        open_rows(folder, COUNT)
    (folder / ROWS_FILE).unlink()
    with pytest.raises(CorruptIndexError, match="cannot be read"):
        open_rows(folder, COUNT)


def test_it_is_refused_with_another_number_of_chunks(folder: Path) -> None:
    with pytest.raises(CorruptIndexError, match="40 chunks where the manifest says 41"):
        open_rows(folder, 41)


def test_another_version_is_not_read(folder: Path) -> None:
    data = (folder / ROWS_FILE).read_bytes()
    replaced(folder, data[:8] + b"\2\0\0\0" + data[12:])
    assert open_rows(folder, COUNT) is None


def test_no_flipped_bit_of_a_block_gives_another_row(folder: Path) -> None:
    """Without a look at the file's checksum: each block has its own."""
    data, right = (folder / ROWS_FILE).read_bytes(), plain_chunks(COUNT)
    first_block = BLOCK.unpack_from(data, laid_out(data).blocks_end)
    refused = 0
    for position in range(HEADER_BYTES, laid_out(data).blocks_end, step(7)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        replaced(folder, bytes(flipped))
        file = opened(folder)
        for row in (0, 20, COUNT - 1):
            try:
                assert file.fetch([row]) == [right[row]]
            except CorruptIndexError:
                refused += 1
        assert file.doc_ids(range(COUNT)) == [chunk.doc_id for chunk in right]
    assert refused > first_block[1] // step(7) // 2


def test_poisoned_numbers_lead_nowhere(folder: Path) -> None:
    """Every place of the tables, whatever the number: an answer, or the one error."""
    data = (folder / ROWS_FILE).read_bytes()
    rng = random.Random(5)
    values = [struct.pack("<q", v) for v in (-1, 2**62, 2**31, 2**40, 0)]
    places = range(laid_out(data).blocks_end, len(data) - 8)
    for position in rng.sample(places, min(count(150, 2000), len(places))):
        value = rng.choice([*values, rng.randbytes(8), rng.randbytes(1)])
        replaced(folder, data[:position] + value + data[position + len(value) :])
        file = opened(folder)
        asked: list[Callable[[list[int]], Any]] = [file.fetch, file.chunk_ids, file.doc_ids]
        with contextlib.suppress(CorruptIndexError):
            every = file.chunk_ids(range(COUNT))
            assert every == [file.chunk_ids([row])[0] for row in range(COUNT)]
        assert set(file.rows_of("doc 5")) <= set(range(COUNT))
        for row, ask in ((row, ask) for row in range(COUNT) for ask in asked):
            try:
                (found,) = ask([row])
            except CorruptIndexError:
                continue
            assert isinstance(found, Chunk | str)


def with_block(data: bytes, change: Callable[[bytearray], object], **fields: int) -> bytes:
    """The file with its last block changed, its checksum right; `fields`: of its entry in the table."""
    layout = laid_out(data)
    entry = layout.blocks_end + BLOCK.size * (layout.blocks - 1)
    at, stored, size, _ = BLOCK.unpack_from(data, entry)
    assert stored == size
    raw = bytearray(data[at : at + size])
    change(raw)
    packed = BLOCK.pack(
        fields.get("at", at), fields.get("stored", stored), fields.get("size", size), xxhash.xxh3_64_intdigest(raw)
    )
    changed = data[:at] + raw + data[at + size : entry] + packed + data[entry + BLOCK.size :]
    assert len(changed) == len(data)
    return changed


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A segment of one chunk, whose block is not compressed."""
    monkeypatch.setattr(writer, "_COMPRESSED_BYTES", 0)
    chunk = Chunk("a#0", "a", 0, 0, 4, "text", ("H",), {"k": 1}, "h", "s", "c")
    derive(write_chunks(tmp_path / "one", [chunk]), tmp_path / "one")
    return tmp_path / "one"


def swap(old: bytes, new: bytes) -> Callable[[bytearray], object]:
    def change(raw: bytearray) -> None:
        at = raw.index(old)
        raw[at : at + len(old)] = new

    return change


def ending(cell: int, value: int) -> Callable[[bytearray], object]:
    return lambda raw: struct.pack_into("<I", raw, 16 + 4 * cell, value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (swap(b"text", b"\xff\xfe\xfd\xfc"), "utf-8"),
        (swap(b'{"k": 1}', b'{"k": 1 '), "delimiter"),
        (swap(b'{"k": 1}', b"[2, 3,4]"), "its metadata is no object"),
        (swap(b'["H"]', b'["H" '), "delimiter"),
        (swap(b'["H"]', b"12345"), "its headings are no list"),
        (ending(1, 2**32 - 1), "a text from"),
        (ending(1, 0), "a text from"),
        (ending(0, 3), "a text from 3 to"),
    ],
)
def test_a_row_that_is_malformed_under_a_right_checksum(
    one: Path, change: Callable[[bytearray], object], reason: str
) -> None:
    data = (one / ROWS_FILE).read_bytes()
    replaced(one, with_block(data, change))
    file = opened(one, 1)
    with pytest.raises(CorruptIndexError, match=f"rows.bin: row 0 is malformed .*{reason}.*repair"):
        file.fetch([0])
    assert file.chunk_ids([0]) == ["a#0"]


@pytest.mark.parametrize(
    "fields", [{"at": 0}, {"at": 2**63}, {"stored": 2**31}, {"stored": 0}, {"size": 2**32 - 1}, {"size": 10}]
)
def test_a_block_that_is_somewhere_else_or_promises_too_much(one: Path, fields: dict[str, int]) -> None:
    """4 GiB are not allocated for a hundred bytes."""
    replaced(one, with_block((one / ROWS_FILE).read_bytes(), lambda raw: None, **fields))
    with pytest.raises(CorruptIndexError, match=r"row 0 is malformed .* bytes from"):
        opened(one, 1).fetch([0])


def test_a_row_of_another_document_than_there_are(folder: Path) -> None:
    data = bytearray((folder / ROWS_FILE).read_bytes())
    layout = laid_out(bytes(data))
    ROW.pack_into(data, layout.rows + ROW.size * 3, layout.documents, 0)
    replaced(folder, bytes(data))
    file = opened(folder)
    with pytest.raises(CorruptIndexError, match="document 14 of 14"):
        file.doc_ids([3])
    with pytest.raises(CorruptIndexError, match=r"row 3 is malformed .document 14 of 14"):
        file.chunk_ids(range(COUNT))
    assert file.doc_ids([4]) == ["doc 1"]


@pytest.mark.parametrize("row", [-1, COUNT, 2**40])
def test_a_row_that_is_not_there(folder: Path, row: int) -> None:
    file = opened(folder)
    for ask in (file.fetch, file.chunk_ids, file.doc_ids):
        for rows in ([row], [*range(COUNT), row]):
            with pytest.raises(CorruptIndexError, match=f"row {row} is malformed .there are 40"):
                ask(rows)


@pytest.mark.parametrize("opener", [opened, lambda folder: ChunkStore(folder, COUNT)], ids=["rows", "parquet"])
def test_threads_read_what_one_thread_reads(folder: Path, opener: Callable[[Path], ChunkRows]) -> None:
    right, rows = plain_chunks(COUNT), opener(folder)
    if isinstance(rows, RowFile):
        (folder / CHUNKS_FILE).unlink()
    wrong: list[str] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(60):
            picked = rng.sample(range(COUNT), 5)
            try:
                if rows.fetch(picked) != [right[row] for row in picked]:
                    wrong.append(f"{picked}")
                if rows.doc_ids(picked) != [right[row].doc_id for row in picked]:
                    wrong.append(f"ids of {picked}")
            except Exception as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
