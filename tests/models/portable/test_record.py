"""The record of an encoder that travels: the same bytes each time, and nothing else is read as one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import EncoderError
from pipeline.models.files.instructions import Instructions
from pipeline.models.local.transformer import TransformerSpec
from pipeline.models.portable.record import RECORD_FILE, PortableRecord, read, to_bytes

RECORD = PortableRecord(
    spec=TransformerSpec(
        max_tokens=8192,
        pad_id=1,
        dimension=1024,
        outputs=frozenset({"dense", "token_weights", "token_vectors"}),
        dropped_ids=(0, 1, 2, 3),
        instructions=Instructions("질문: ", "passage: "),
        truncate_dim=256,
    ),
    tokenizer="stored",
    multivectors=True,
    batch_tokens=8192,
    dense={"kind": "transformer", "model": "BAAI/bge-m3"},
    lexical=None,
)


@given(
    outputs=st.frozensets(st.sampled_from(["dense", "token_weights", "token_vectors"])), limit=st.integers(1, 9999)
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, outputs: Any, limit: int) -> None:
    folder = tmp_path_factory.mktemp("record")
    spec = dataclasses.replace(RECORD.spec, outputs=outputs, max_tokens=limit)
    record = dataclasses.replace(RECORD, spec=spec)
    (folder / RECORD_FILE).write_bytes(to_bytes(record))
    assert read(folder) == record
    assert json.loads(to_bytes(record))["spec"]["outputs"] == sorted(outputs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format_version": 2}, "format_version"),
        ({"tokenizer": "magic"}, "tokenizer"),
        ({"spec": {}}, r"spec\.max_tokens"),
        ({"more": 1}, "more"),
    ],
)
def test_another_record_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    folder = tmp_path / "models/dense"
    folder.mkdir(parents=True)
    (folder / RECORD_FILE).write_text(json.dumps(json.loads(to_bytes(RECORD)) | change))
    with pytest.raises(EncoderError, match=rf"encoder\.json: cannot be read: `{says}`.*; export the index again"):
        read(folder)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 99_999])
def test_no_record_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / RECORD_FILE).write_bytes(data)
    with pytest.raises(EncoderError, match=r"encoder\.json: cannot be read"):
        read(tmp_path)
    (tmp_path / RECORD_FILE).unlink()
    with pytest.raises(EncoderError, match=r"encoder\.json: cannot be read"):
        read(tmp_path)
