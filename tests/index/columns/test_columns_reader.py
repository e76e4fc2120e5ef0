"""A file of columns is what derive wrote, or it is refused with a cure; no code leads out of its dictionary."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import CorruptIndexError
from pipeline.index.columns.derive import COLUMNS_FILE, VERSION, columns_of, write
from pipeline.index.columns.kinds import Kind
from pipeline.index.columns.reader import SegmentColumns, open_columns
from tests.index.columns.test_derive import chunks_with, values

RECORDS = [
    {
        "lang": "ko" if i % 2 else "en",
        "year": 2000 + i,
        "ratio": i / 2,
        "tags": ["a", f"t{i}"],
        "open": i % 3 == 0,
        "meta": {"x": i},
    }
    for i in range(40)
]
RECORDS[17] |= {"rare": "once"}


@pytest.fixture
def written(tmp_path: Path) -> pa.RecordBatch:
    batch = columns_of([chunks_with(RECORDS)])
    write(tmp_path / COLUMNS_FILE, batch)
    return batch


def read_all(columns: SegmentColumns) -> dict[str, list[object]]:
    return {name: values(columns, name) + values(columns, name, Kind.TEXT) for name in columns.names}


def test_what_was_written_is_read(tmp_path: Path, written: pa.RecordBatch) -> None:
    found = open_columns(tmp_path, 40)
    assert found.chunks == 40
    assert read_all(found) == read_all(SegmentColumns(written, Path("memory")))
    assert values(found, "year", Kind.FLOAT) == [float(2000 + i) for i in range(40)]
    assert found.entries("lang") == 3
    assert found.entries("chunk_id") == 41


def test_a_file_that_is_not_there_or_of_another_segment(tmp_path: Path, written: pa.RecordBatch) -> None:
    with pytest.raises(CorruptIndexError, match=r"columns\.arrow: does not hold 41 chunks; `pipeline repair`"):
        open_columns(tmp_path, 41)
    with pytest.raises(CorruptIndexError, match=r"columns\.arrow: cannot be read"):
        open_columns(tmp_path / "elsewhere", 40)


@pytest.mark.parametrize("version", [None, {"hybrid-pipeline columns": "2"}, VERSION | {"more": "1"}])
def test_another_version_is_refused(
    tmp_path: Path, written: pa.RecordBatch, version: dict[str, str] | None
) -> None:
    write(tmp_path / COLUMNS_FILE, written.replace_schema_metadata(version))
    with pytest.raises(CorruptIndexError, match=r"written by another version .*`pipeline repair` rebuilds it"):
        open_columns(tmp_path, 40)


def test_every_cut_and_many_flipped_bits_are_an_error_or_read_as_something_sound(
    tmp_path: Path, written: pa.RecordBatch
) -> None:
    """Without checksums, as with `verify=False`: it must not follow what misleads."""
    path = tmp_path / COLUMNS_FILE
    data = path.read_bytes()
    rng = random.Random(5)
    spoiled = [data[:length] for length in (0, 1, 8, len(data) // 2, len(data) - 1)]
    for _ in range(400):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        spoiled.append(bytes(flipped))
    refused = 0
    for changed in spoiled:
        path.write_bytes(changed)
        with contextlib.suppress(CorruptIndexError):
            read_all(open_columns(tmp_path, 40))
            continue
        refused += 1
    assert refused > len(spoiled) // 10


def column(batch: pa.RecordBatch, name: str, array: pa.Array) -> pa.RecordBatch:
    place = batch.schema.get_field_index(name)
    arrays = [array if i == place else batch.column(i) for i in range(batch.num_columns)]
    fields = [pa.field(one, each.type) for one, each in zip(batch.schema.names, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, VERSION))


def dictionary(codes: list[int | None], entries: list[str | None]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.uint8()), pa.array(entries, pa.large_string()), safe=False
    )


MALFORMED: dict[str, Callable[[], pa.Array]] = {
    "a code beyond the dictionary": lambda: dictionary([9] * 40, [None, "a"]),
    "a chunk without a code": lambda: dictionary([None] * 40, [None, "a"]),
    "no entry for chunks without a value": lambda: dictionary([0] * 40, ["a", "b"]),
    "two entries without a value": lambda: dictionary([0] * 40, [None, None]),
    "an empty dictionary": lambda: dictionary([None] * 40, []),
    "a run without a code": lambda: pa.RunEndEncodedArray.from_arrays(
        pa.array([10, 40], pa.int32()), dictionary([0, None], [None, "a"])
    ),
    "runs that end later": lambda: pa.RunEndEncodedArray.from_arrays(
        pa.array([10, 50], pa.int32()), dictionary([0, 1], [None, "a"])
    ).slice(0, 40),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_column_made_to_mislead_is_refused(written: pa.RecordBatch, what: str) -> None:
    found = SegmentColumns(column(written, "lang", MALFORMED[what]()), Path(COLUMNS_FILE))
    with pytest.raises(CorruptIndexError, match=r"columns\.arrow: (invalid|malformed) column 'lang'"):
        found.codes("lang")
    with pytest.raises(CorruptIndexError, match=r"columns\.arrow: (invalid|malformed) column 'lang'"):
        found.dictionary("lang", Kind.TEXT)
    assert values(found, "year") == [2000 + i for i in range(40)]


def test_columns_of_other_types_or_names_are_refused(tmp_path: Path, written: pa.RecordBatch) -> None:
    plain = column(written, "lang", pa.array(["x"] * 40))
    signed = column(written, "lang", pa.array(["x"] * 40).dictionary_encode())
    renamed = written.rename_columns(["id", *written.schema.names[1:]])
    twice = written.rename_columns([*written.schema.names[:-2], "Lang", "lang"])
    for batch in (plain, signed, renamed.replace_schema_metadata(VERSION), twice.replace_schema_metadata(VERSION)):
        write(tmp_path / COLUMNS_FILE, batch)
        with pytest.raises(CorruptIndexError, match="unexpected names or types"):
            open_columns(tmp_path, 40)


def test_codes_of_runs_are_those_of_chunks(written: pa.RecordBatch) -> None:
    assert pa.types.is_run_end_encoded(written.column("rare").type)
    codes = SegmentColumns(written, Path("memory")).codes("rare")
    assert codes.tolist() == [int(i == 17) for i in range(40)]
    assert codes.dtype == np.uint8
