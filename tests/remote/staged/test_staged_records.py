"""Records of the staging area: read as written, and refused when altered or when they name what they must not."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CorruptIndexError
from pipeline.index.manifest import digest
from pipeline.remote.staged.records import PlanRecord, ShardRecord, StagedFile, from_bytes, to_bytes

KEY = "0123456789abcdef" * 2
PLAN = PlanRecord(3, (StagedFile("staging/ingest/part-00000.parquet", 7, KEY),), (KEY,))
SHARD = ShardRecord((StagedFile("dense.npy", 7, KEY),))


@pytest.mark.parametrize("record", [PLAN, SHARD])
def test_a_record_is_read_as_it_was_written(record: PlanRecord | ShardRecord) -> None:
    assert from_bytes(to_bytes(record), type(record), "x") == record
    assert to_bytes(record) == to_bytes(from_bytes(to_bytes(record), type(record), "x"))


@given(at=st.integers(0, len(to_bytes(PLAN)) - 1), cut=st.booleans())
def test_a_record_that_was_altered_or_cut_is_refused(at: int, cut: bool) -> None:
    data = to_bytes(PLAN)
    changed = data[:at] if cut else data[:at] + bytes([data[at] ^ 2]) + data[at + 1 :]
    found: PlanRecord | None = None
    with contextlib.suppress(CorruptIndexError):
        found = from_bytes(changed, PlanRecord, "staging/plans/x.json")
    assert found in (None, PLAN), "white space may differ, nothing else"


@pytest.mark.parametrize(
    "path",
    [
        "00000001.json",
        "/etc/passwd",
        "../x",
        "staging/ingest/../../x",
        "staging/shards/x",
        "segments/x",
        "staging/ingest/a\\b",
        "",
    ],
)
def test_a_plan_names_nothing_outside_of_what_is_staged(path: str) -> None:
    with pytest.raises(CorruptIndexError, match="names an unacceptable file"):
        from_bytes(signed({**body(PLAN), "files": [{"path": path, "size": 1, "checksum": KEY}]}), PlanRecord, "x")


@pytest.mark.parametrize("path", ["a/b", "../x", "/x", ".shard.json", ""])
def test_a_shard_names_files_of_its_own_folder(path: str) -> None:
    with pytest.raises(CorruptIndexError, match="names an unacceptable file"):
        from_bytes(signed({"files": [{"path": path, "size": 1, "checksum": KEY}]}), ShardRecord, "x")


@pytest.mark.parametrize("change", [{"shards": ["../x"]}, {"files": 3}, {"more": 1}, {"follows": "three"}])
def test_other_shapes_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(CorruptIndexError):
        from_bytes(signed({**body(PLAN), **change}), PlanRecord, "x")


def body(record: PlanRecord) -> dict[str, object]:
    found: dict[str, object] = json.loads(to_bytes(record))
    del found["checksum"]
    return found


def signed(payload: dict[str, object]) -> bytes:
    return json.dumps({**payload, "checksum": digest(payload)}).encode()
