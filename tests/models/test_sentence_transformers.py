"""Local sentence-transformers models: our runtimes against the library's own encode, prompts, sparse encoders."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from pipeline.config import EncoderSettings
from pipeline.errors import ConfigError, EncoderError
from pipeline.models.choose.encoder import chunk_tokenizer, load_encoder
from pipeline.models.choose.tokens_read import tokens_read
from pipeline.models.contract import described_queries
from pipeline.models.files.instructions import DEFAULT_TASK, Instructions, resolve_instructions
from pipeline.models.local.sentence_transformers import SparseModelEncoder

TEXTS = [*tiny.SENTENCES, "", "word " * 300]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.save_sentence_model(folder / "mean")
    tiny.save_sentence_model(folder / "cls", pooling="cls")
    tiny.save_sentence_model(folder / "max", pooling="max")
    tiny.save_sentence_model(folder / "prompts", prompts={"query": "query: ", "document": "passage: "})
    return folder


def settings(folder: Path, **more: Any) -> EncoderSettings:
    return EncoderSettings(**{"model": str(folder), "device": "cpu", "lexical": "none", "precision": "f32", **more})


@pytest.mark.parametrize("runtime", ["auto", "torch", "sentence-transformers"])
@pytest.mark.parametrize("name", ["mean", "cls", "max", "prompts"])
def test_parity_with_the_library(models: Path, name: str, runtime: str) -> None:
    from sentence_transformers import SentenceTransformer

    if (name, runtime) == ("max", "torch"):
        pytest.skip("only the library has max pooling")
    library = SentenceTransformer(str(models / name), device="cpu")
    encoder = load_encoder(settings(models / name, runtime=runtime))
    assert encoder.dimension == tiny.HIDDEN
    documents, queries = encoder.encode_documents(TEXTS).dense, encoder.encode_queries(TEXTS).dense
    np.testing.assert_allclose(documents, library.encode_document(TEXTS), atol=1e-4)
    np.testing.assert_allclose(queries, library.encode_query(TEXTS), atol=1e-4)
    assert (name == "prompts") == (not np.allclose(documents, queries, atol=1e-3))


@pytest.mark.parametrize("name", ["prompts", "max"])
def test_how_much_of_a_passage_is_read(models: Path, name: str) -> None:
    """By our runtime with its instruction, and by the library, which only says `trained`."""
    chosen = settings(models / name)
    tokenizer = chunk_tokenizer(chosen)
    instruction = len(tokenizer.encode("passage: ", add_special_tokens=False).ids) if name == "prompts" else 0
    read = tokens_read(chosen, load_encoder(chosen), tokenizer, Path())
    from sentence_transformers import SentenceTransformer

    longest = SentenceTransformer(str(models / name), device="cpu").max_seq_length
    assert longest is not None
    assert read in ({"dense": longest - 2 - instruction}, {})


def test_runtimes_share_a_fingerprint_and_pooling_does_not(models: Path) -> None:
    def fingerprint(name: str, **more: Any) -> Any:
        return load_encoder(settings(models / name, **more)).dense_fingerprint

    assert fingerprint("mean") == fingerprint("mean", runtime="sentence-transformers")
    assert fingerprint("mean") == fingerprint("mean", runtime="torch")
    assert any("pooling" in line for line in fingerprint("mean").differences(fingerprint("cls")))
    assert dict(fingerprint("prompts").fields)["query_instruction"] == "query: "


@pytest.mark.parametrize("runtime", ["auto", "sentence-transformers"])
def test_truncate_dim_cuts_and_normalises_again(models: Path, runtime: str) -> None:
    whole = load_encoder(settings(models / "mean")).encode_documents(TEXTS).dense
    encoder = load_encoder(settings(models / "mean", truncate_dim=8, runtime=runtime))
    cut = encoder.encode_documents(TEXTS).dense
    assert whole is not None
    assert cut is not None
    assert encoder.dimension == 8
    expected = whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(cut, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["mean", "max"])
def test_more_dimensions_and_tokens_than_the_model_has(models: Path, name: str) -> None:
    with pytest.raises(EncoderError, match=r"encoder\.truncate_dim=64: this model has 32 dimensions"):
        load_encoder(settings(models / name, truncate_dim=64, runtime="sentence-transformers")).encode_documents(
            TEXTS
        )
    with pytest.raises(EncoderError, match=r"encoder\.max_tokens=8193: this model takes 3 to 8192 tokens"):
        load_encoder(settings(models / name, max_tokens=8193))
    load_encoder(settings(models / name, max_tokens=8192))


def test_a_text_longer_than_the_positions_is_cut_where_the_library_would_not(models: Path, tmp_path: Path) -> None:
    """A RoBERTa's first position is its third, which the library does not know without model_max_length."""
    shutil.copytree(models / "max", tmp_path / "model")
    for name in ("tokenizer_config.json", "sentence_bert_config.json"):
        saved = json.loads((tmp_path / "model" / name).read_text())
        kept = {key: value for key, value in saved.items() if key not in ("model_max_length", "max_seq_length")}
        (tmp_path / "model" / name).write_text(json.dumps(kept))
    long = "LangChain " * 9000
    vectors = load_encoder(settings(tmp_path / "model")).encode_documents([long, long + "end"]).dense
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_a_runtime_that_cannot_run_the_model_is_refused(models: Path) -> None:
    with pytest.raises(EncoderError, match=r"set encoder\.runtime: sentence-transformers"):
        load_encoder(settings(models / "max", runtime="openvino"))
    with pytest.raises(EncoderError, match="flagembedding is for BGE-M3"):
        load_encoder(settings(models / "mean", runtime="flagembedding"))


@pytest.mark.parametrize("runtime", ["auto", "torch", "sentence-transformers"])
def test_a_checkpoint_that_would_run_code_is_refused(models: Path, tmp_path: Path, runtime: str) -> None:
    import torch

    shutil.copytree(models / "mean", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save({"weight": Path("/tmp")}, tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(
        EncoderError, match=r"(not a plain torch checkpoint|cannot load this model): it holds more than tensors"
    ) as caught:
        load_encoder(settings(tmp_path / "model", runtime=runtime)).encode_documents(["text"])
    assert "weights_only" not in str(caught.value)


@pytest.fixture(scope="module")
def splade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splade") / "m"
    tiny.save_splade(folder)
    return folder


def test_a_sparse_encoder_as_the_lexical_leg(splade: Path) -> None:
    from sentence_transformers import SparseEncoder

    encoder = load_encoder(EncoderSettings(lexical=str(splade), device="cpu"), batch_tokens=40)
    encoded = encoder.encode_documents(TEXTS)
    assert encoded.dense is not None
    assert encoded.lexical is not None
    expected = SparseEncoder(str(splade), device="cpu").encode_document(TEXTS, convert_to_sparse_tensor=False)
    actual = np.zeros(expected.shape, np.float32)
    for i in range(len(TEXTS)):
        ids, weights = encoded.lexical.row(i)
        assert (np.diff(ids.astype(np.int64)) > 0).all()
        actual[i, ids.astype(int)] = weights
    np.testing.assert_allclose(actual, np.asarray(expected), atol=1e-4)
    assert encoder.lexical_scoring.kind == "dot"
    names = encoder.describe_tokens("LangChain")
    assert set(encoder.encode_queries(["LangChain"]).lexical.token_ids.tolist()) == set(names)


def test_queries_that_are_encoded_are_described_without_the_model(
    splade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(EncoderSettings(lexical=str(splade), device="cpu"))
    alone = [encoder.describe_tokens(text) for text in TEXTS]
    rows = encoder.encode_queries(TEXTS).lexical
    assert described_queries(encoder, TEXTS) == alone
    monkeypatch.setattr(SparseModelEncoder, "encode_queries", None)
    assert described_queries(encoder, TEXTS, rows) == alone


class TestInstructions:
    def test_the_models_own_prompts_come_first(self) -> None:
        saved = {"prompts": {"query": "Q: ", "passage": "P: "}}
        assert resolve_instructions(("intfloat/e5-base",), saved) == Instructions("Q: ", "P: ")
        assert (
            resolve_instructions(("x/y",), {"prompts": {"d": "D: "}, "default_prompt_name": "d"}).document == "D: "
        )

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("intfloat/multilingual-e5-large-instruct", Instructions(f"Instruct: {DEFAULT_TASK}\nQuery: ", "")),
            ("intfloat/multilingual-e5-base", Instructions("query: ", "passage: ")),
            ("intfloat/e5-small-v2", Instructions("query: ", "passage: ")),
            ("BAAI/bge-m3", Instructions()),
            ("sentence-transformers/all-MiniLM-L6-v2", Instructions()),
        ],
    )
    def test_families_known_by_name(self, name: str, expected: Instructions) -> None:
        assert resolve_instructions((name,), {}) == expected

    def test_a_task_goes_into_the_instruction(self) -> None:
        found = resolve_instructions(
            ("multilingual-e5-large-instruct",), {"prompts": {"query": "old"}}, task="Find code"
        )
        assert found.query == "Instruct: Find code\nQuery: "

    def test_the_first_name_that_a_family_has_counts(self) -> None:
        names = ("model", "intfloat/multilingual-e5-large-instruct", "intfloat/e5-base")
        assert resolve_instructions(names, {}).query.startswith("Instruct: ")

    @pytest.mark.parametrize(
        ("name", "query", "says"),
        [
            ("BAAI/bge-m3", None, r"BAAI/bge-m3 is not known .* write the whole instruction in encoder\.query_ins"),
            ("intfloat/e5-base", None, "is not known as a model with a task"),
            ("multilingual-e5-large-instruct", "Q: ", r"encoder\.query_instruction replaces .* remove one"),
        ],
    )
    def test_a_task_that_no_instruction_would_hold_is_refused(
        self, name: str, query: str | None, says: str
    ) -> None:
        with pytest.raises(ConfigError, match=says):
            resolve_instructions((name,), {}, query=query, task="Find code")

    def test_switching_off_a_needed_instruction_warns(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING):
            assert resolve_instructions(("intfloat/e5-base",), {}, query="", document="") == Instructions()
        assert "encoder.query_instruction is empty" in caplog.text
        assert "encoder.document_instruction is empty" in caplog.text
        caplog.clear()
        resolve_instructions(("BAAI/bge-m3",), {}, query="")
        assert not caplog.records
