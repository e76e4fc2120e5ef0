"""An index is opened only by the encoder that built it; what differs is spelled out, field by field."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import tiny

from pipeline.config import Config, EncoderSettings
from pipeline.errors import IncompatibleIndexError
from pipeline.index import store
from pipeline.index.multivector.search import MULTIVECTOR_FILE
from pipeline.job import build as builder
from pipeline.query.searcher import open_index
from pipeline.records import Fingerprint
from tests.support.collection import config_for, write_documents


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mismatch")
    tiny.save_bge_m3(folder / "m3")
    tiny.save_bge_m3(folder / "other", seed=1)  # of the same dimension
    tiny.save_sentence_model(folder / "sentence")
    tiny.save_splade(folder / "splade")
    write_documents(folder / "documents")
    return folder


def encoder(**changes: Any) -> dict[str, Any]:
    return {"model": "m3", "device": "cpu", "multivectors": True, **changes}


@pytest.fixture(scope="module")
def config(folder: Path) -> Config:
    config = config_for(folder, encoder=encoder())
    builder.build(config)
    return config


def test_what_changes_no_output_is_no_mismatch(config: Config) -> None:
    for changes in ({}, {"runtime": "torch"}, {"runtime": "flagembedding"}, {"precision": "f32"}):
        settings = EncoderSettings(**encoder(**changes))
        with open_index(config.index_path, encoder=settings, base=config.base) as index:
            assert index.search("rank fusion", 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "other"}, r"dense revision: \S+ → \S+; lexical revision: \S+ → \S+;"),
        (
            {"query_instruction": "Q: "},
            r"dense query_instruction: '' → 'Q: '; lexical query_instruction: '' → 'Q: ';",
        ),
        ({"document_instruction": "D: "}, r"dense document_instruction: '' → 'D: '; lexical document_instruction"),
        ({"max_tokens": 64}, r"dense max_tokens: 8192 → 64; lexical max_tokens: 8192 → 64;"),
        ({"truncate_dim": 8}, r"\): dense truncate_dim: none → 8;"),
        ({"lexical": "bm25"}, r"\): lexical kind: bge-m3 → bm25;"),
        ({"lexical": "splade"}, r"\): lexical kind: bge-m3 → sparse-encoder;"),
        ({"lexical": "none"}, r"\): lexical kind: bge-m3 → \(absent\);"),
        (
            {"model": "sentence", "multivectors": False},
            r"dense .*pooling: cls → mean.*; lexical kind: bge-m3 → bm25;",
        ),
        (
            {"query_instruction": "Instruct: find\nQuery: "},
            r"dense query_instruction: '' → 'Instruct: find\\nQuery: ';",
        ),
        ({"model": "embedded", "multivectors": False}, r"dense .*revision: "),
    ],
)
def test_another_encoder_is_refused_field_by_field(config: Config, changes: dict[str, Any], says: str) -> None:
    settings = EncoderSettings(**encoder(**changes))
    with pytest.raises(IncompatibleIndexError, match=says) as caught:
        open_index(config.index_path, encoder=settings, base=config.base)
    assert "\n" not in str(caught.value)
    assert "rebuild it with `pipeline build --full`" in str(caught.value)
    other = config_for(config.base, encoder=encoder(**changes))
    with pytest.raises(IncompatibleIndexError, match=says):
        builder.build(other)


def test_another_kind_is_one_clause() -> None:
    local = Fingerprint.of(kind="transformer", model="BAAI/bge-m3", pooling="cls", revision="1")
    served = Fingerprint.of(kind="endpoint", model="BAAI/bge-m3", pooling="server", protocol="tei")
    assert local.differences(served) == ["kind: transformer (BAAI/bge-m3) → endpoint (BAAI/bge-m3)"]
    assert local.differences(Fingerprint(())) == ["kind: transformer (BAAI/bge-m3) → (absent)"]
    assert Fingerprint.of(precision="int8").differences(Fingerprint(())) == ["precision: int8 → (absent)"]


def test_the_size_of_multivectors_is_announced(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for precision in ("int8", "fp16"):
        changes = {"index": f"announced-{precision}", "segments": {"multivectors": precision}}
        config = config_for(folder, encoder=encoder(truncate_dim=8), **changes)
        planned = builder.plan(config)
        with caplog.at_level(logging.INFO):
            builder.build(config)
        (segment,) = store.live_manifest(config.index_path).segments  # type: ignore[union-attr]
        (size,) = (file.size for file in segment.files if file.name == MULTIVECTOR_FILE)
        assert planned.multivector_bytes == pytest.approx(size, rel=0.15)
        assert "multi-vectors of 6 chunks will take about 0.00 GB of disk" in caplog.text
