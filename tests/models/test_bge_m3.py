"""BGE-M3 through every runtime, against FlagEmbedding's own code, on a tiny one of random weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from pipeline.config import EncoderSettings, load_config
from pipeline.errors import ConfigError, EncoderError
from pipeline.job import build as builder
from pipeline.models.choose.encoder import MixedEncoder, chunk_tokenizer, load_encoder
from pipeline.records import Encoded
from tests.support.collection import write_documents

TEXTS = [*tiny.SENTENCES, tiny.QUERY, "", "LangChain LangChain LangChain, and LangChain", "😀 <unk> </s> <s>", "  "]
LONG = " ".join(tiny.SENTENCES) * 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-m3"
    tiny.save_bge_m3(folder)
    return folder


def encode(folder: Path, texts: list[str], **settings: Any) -> Encoded:
    chosen = EncoderSettings(model=str(folder), device="cpu", multivectors=True, precision="f32", **settings)
    return load_encoder(chosen).encode_documents(texts)


@pytest.fixture(scope="module")
def reference(folder: Path) -> dict[str, Any]:
    from FlagEmbedding import BGEM3FlagModel

    model = BGEM3FlagModel(str(folder), use_fp16=False, devices=["cpu"])
    return model.encode(TEXTS, max_length=8192, return_dense=True, return_sparse=True, return_colbert_vecs=True)


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_bf16_keeps_the_direction(folder: Path, reference: dict[str, Any], runtime: str) -> None:
    settings: dict[str, Any] = {"model": str(folder), "runtime": runtime, "precision": "bf16", "device": "cpu"}
    dense = load_encoder(EncoderSettings(**settings)).encode_documents(TEXTS).dense
    assert dense is not None
    assert (dense * reference["dense_vecs"]).sum(axis=1).min() >= 0.999


@pytest.mark.parametrize("runtime", ["openvino", "torch", "flagembedding"])
def test_parity_with_flagembedding(folder: Path, reference: dict[str, Any], runtime: str) -> None:
    encoded = encode(folder, TEXTS, runtime=runtime)
    assert encoded.dense is not None
    assert encoded.lexical is not None
    assert encoded.multivectors is not None
    assert encoded.dense.dtype == np.float32
    np.testing.assert_allclose(encoded.dense, reference["dense_vecs"], atol=1e-4)
    for i, expected in enumerate(reference["lexical_weights"]):
        ids, weights = encoded.lexical.row(i)
        assert ids.tolist() == sorted(int(key) for key in expected)
        np.testing.assert_allclose(weights, [expected[str(key)] for key in ids], atol=1e-4)
        vectors = encoded.multivectors.vectors[slice(*encoded.multivectors.offsets[i : i + 2])]
        np.testing.assert_allclose(vectors, reference["colbert_vecs"][i], atol=1e-4)


def test_lexical_matching_score_is_the_dot_product_of_rows(folder: Path, reference: dict[str, Any]) -> None:
    from FlagEmbedding import BGEM3FlagModel

    rows = encode(folder, TEXTS).lexical
    assert rows is not None
    weights = reference["lexical_weights"]
    for i, j in ((0, 0), (0, 1), (1, 3), (6, 2)):
        expected = BGEM3FlagModel.compute_lexical_matching_score(None, weights[i], weights[j])
        mine, theirs = (dict(zip(*map(np.ndarray.tolist, rows.row(k)), strict=True)) for k in (i, j))
        assert sum(w * theirs.get(key, 0.0) for key, w in mine.items()) == pytest.approx(float(expected), abs=1e-4)


def test_special_tokens_have_no_weight_and_empty_text_has_no_row(folder: Path) -> None:
    rows = encode(folder, TEXTS).lexical
    assert rows is not None
    assert not set(rows.token_ids.tolist()) & {0, 1, 2, 3}
    assert (rows.weights > 0).all()
    assert len(rows.row(TEXTS.index(""))[0]) == 0


@pytest.fixture(scope="module")
def long_reference(folder: Path) -> dict[str, Any]:
    from FlagEmbedding import BGEM3FlagModel

    model = BGEM3FlagModel(str(folder), use_fp16=False, devices=["cpu"])
    return model.encode([LONG], batch_size=1, max_length=8192, return_sparse=True, return_colbert_vecs=True)


@pytest.mark.parametrize("runtime", ["openvino", "torch"])
def test_a_text_of_8192_tokens_and_a_longer_one(folder: Path, long_reference: dict[str, Any], runtime: str) -> None:
    tokenizer = chunk_tokenizer(EncoderSettings(model=str(folder)))
    assert len(tokenizer.encode(LONG).ids) > 8192
    encoded = encode(folder, [LONG, "short"], runtime=runtime)
    assert encoded.multivectors is not None
    assert encoded.dense is not None
    assert encoded.lexical is not None
    assert encoded.multivectors.offsets[1] == 8191  # all but cls
    np.testing.assert_allclose(encoded.dense[:1], long_reference["dense_vecs"], atol=1e-4)
    vectors = encoded.multivectors.vectors[:8191]
    np.testing.assert_allclose(vectors, long_reference["colbert_vecs"][0], atol=1e-4)
    (expected,) = long_reference["lexical_weights"]
    ids, weights = encoded.lexical.row(0)
    assert ids.tolist() == sorted(map(int, expected))
    np.testing.assert_allclose(weights, [expected[str(key)] for key in ids], atol=1e-4)
    cut = encode(folder, [LONG], runtime=runtime, max_tokens=16)
    assert cut.multivectors is not None
    assert np.diff(cut.multivectors.offsets).tolist() == [15]


def test_a_vector_does_not_depend_on_its_batch(folder: Path) -> None:
    settings = EncoderSettings(model=str(folder), device="cpu", precision="f32", multivectors=True)
    together = load_encoder(settings).encode_documents(TEXTS)
    narrow = load_encoder(settings, batch_tokens=20).encode_documents(TEXTS)
    np.testing.assert_allclose(together.dense, narrow.dense, atol=1e-5)
    np.testing.assert_array_equal(together.lexical.token_ids, narrow.lexical.token_ids)
    np.testing.assert_allclose(together.lexical.weights, narrow.lexical.weights, atol=1e-5)
    np.testing.assert_array_equal(together.multivectors.offsets, narrow.multivectors.offsets)
    np.testing.assert_allclose(together.multivectors.vectors, narrow.multivectors.vectors, atol=1e-5)


def test_each_output_is_switchable(folder: Path) -> None:
    def kinds(**settings: Any) -> tuple[bool, bool, bool]:
        encoder = load_encoder(EncoderSettings(device="cpu", **settings))
        encoded = encoder.encode_queries(["LangChain"])
        found = encoded.dense is not None, encoded.lexical is not None, encoded.multivectors is not None
        assert (encoder.dense_fingerprint is not None, encoder.lexical_fingerprint is not None) == found[:2]
        return found

    assert kinds(model=str(folder)) == (True, True, False)
    assert kinds(model=str(folder), multivectors=True) == (True, True, True)
    assert kinds(model=str(folder), lexical="none") == (True, False, False)
    assert kinds(model="none", lexical=str(folder)) == (False, True, False)
    assert kinds(model=str(folder), kind="sentence-transformers", lexical="none") == (True, False, False)


def test_mixing_a_dense_and_a_lexical_encoder(folder: Path) -> None:
    mixed = load_encoder(EncoderSettings(model="embedded", lexical=str(folder), device="cpu"))
    assert isinstance(mixed, MixedEncoder)
    encoded = mixed.encode_documents(tiny.SENTENCES)
    whole = load_encoder(EncoderSettings(model=str(folder), device="cpu"))
    assert encoded.dense is not None
    assert encoded.lexical is not None
    assert encoded.dense.shape == (5, 384)
    np.testing.assert_array_equal(
        encoded.lexical.token_ids, whole.encode_documents(tiny.SENTENCES).lexical.token_ids
    )
    assert mixed.lexical_fingerprint == whole.lexical_fingerprint
    assert mixed.lexical_scoring.kind == "dot"
    words = load_encoder(EncoderSettings(model=str(folder), lexical="bm25", device="cpu"))
    assert words.lexical_scoring.kind == "bm25"
    assert words.dense_fingerprint == whole.dense_fingerprint


def test_describe_tokens_names_the_ids_of_a_query(folder: Path) -> None:
    encoder = load_encoder(EncoderSettings(model=str(folder), device="cpu"))
    names = encoder.describe_tokens(tiny.QUERY)
    rows = encoder.encode_queries([tiny.QUERY]).lexical
    assert rows is not None
    assert set(rows.token_ids.tolist()) <= set(names)
    assert "▁LangChain" in names.values()


def test_the_fingerprint_follows_contents_not_the_place(folder: Path, tmp_path: Path) -> None:
    def fingerprints(path: Path, **settings: Any) -> list[Any]:
        encoder = load_encoder(EncoderSettings(model=str(path), device="cpu", **settings))
        return [encoder.dense_fingerprint, encoder.lexical_fingerprint]

    other = tmp_path / "renamed"
    shutil.copytree(folder, other)
    (other / "README.md").write_text("not part of the model")
    assert fingerprints(other) == fingerprints(folder)
    assert fingerprints(other, runtime="torch") == fingerprints(folder)
    assert fingerprints(other, max_tokens=512) != fingerprints(folder)
    assert fingerprints(other, query_instruction="query: ")[0] != fingerprints(folder)[0]
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    differences = fingerprints(folder)[0].differences(fingerprints(other)[0])
    assert [line.partition(":")[0] for line in differences] == ["revision"]


def test_weights_from_a_torch_checkpoint_are_the_same(folder: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    other = tmp_path / "checkpoint"
    shutil.copytree(folder, other)
    torch.save(load_file(other / "model.safetensors"), other / "pytorch_model.bin")
    (other / "model.safetensors").unlink()
    expected, actual = encode(folder, TEXTS), encode(other, TEXTS)
    np.testing.assert_array_equal(actual.dense, expected.dense)
    np.testing.assert_array_equal(actual.lexical.weights, expected.lexical.weights)


@pytest.mark.parametrize(
    ("runtime", "says"),
    [
        ("openvino", r"sparse_linear\.pt: not a plain torch checkpoint"),
        ("torch", r"sparse_linear\.pt: not a plain torch checkpoint"),
        ("flagembedding", "FlagEmbedding cannot load this model: it holds more than tensors"),
    ],
)
def test_a_checkpoint_that_would_run_code_is_refused(folder: Path, tmp_path: Path, runtime: str, says: str) -> None:
    import torch

    shutil.copytree(folder, tmp_path / "m3")
    torch.save({"weight": Path("/tmp")}, tmp_path / "m3" / "sparse_linear.pt")
    with pytest.raises(EncoderError, match=says):
        encode(tmp_path / "m3", ["text"], runtime=runtime)


def test_after_the_conversion_a_query_imports_no_torch(folder: Path) -> None:
    code = f"""
import sys
from pipeline.config import EncoderSettings
from pipeline.models.choose.encoder import load_encoder
encoded = load_encoder(EncoderSettings(model={str(folder)!r}, device="cpu")).encode_queries([{tiny.QUERY!r}])
assert encoded.dense.shape == (1, {tiny.HIDDEN}) and len(encoded.lexical) == 1
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    encode(folder, ["convert"])
    environment = dict(os.environ)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    heavy = {"torch", "transformers", "sentence_transformers", "FlagEmbedding", "huggingface_hub", "safetensors"}
    assert not heavy & set(run.stdout.split())


def test_a_query_on_an_index_imports_no_torch(folder: Path, tmp_path: Path) -> None:
    """The whole command, multi-vectors reranked, on an index of BGE-M3."""
    write_documents(tmp_path / "documents")
    encoder = f"{{model: {folder}, device: cpu, multivectors: true}}"
    (tmp_path / "config.yaml").write_text(f"index: index\nsources: [{{path: documents}}]\nencoder: {encoder}\n")
    builder.build(load_config(tmp_path / "config.yaml"))
    code = """
import sys
sys.argv = ["pipeline", "query", "rank fusion", "--json", "--rerank", "multivectors"]
import pipeline.cli
try: pipeline.cli.main()
except SystemExit as stop: assert not stop.code, stop.code
print("LOADED", *{name.partition(".")[0] for name in sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, _, loaded = done.stdout.partition("LOADED")
    assert '"rank"' in found
    assert not {"torch", "transformers", "sentence_transformers", "FlagEmbedding"} & set(loaded.split())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 9000}, r"max_tokens=9000: this model takes 3 to 8192"),
        ({"truncate_dim": 64}, r"truncate_dim=64: this model has 32"),
        ({"runtime": "openvino", "device": "cuda"}, r"openvino runs on the CPU"),
        ({"revision": "main"}, r"revision is for hub models"),
        ({"runtime": "sentence-transformers"}, r"dense vectors only"),
    ],
)
def test_settings_that_make_no_sense(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, EncoderError), match=message):
        load_encoder(EncoderSettings(**{"model": str(folder), "device": "cpu", **settings}))


def test_multivectors_of_a_model_without_them_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"multivectors: embedded has no multi-vectors"):
        load_encoder(EncoderSettings(multivectors=True))


def test_a_damaged_config_names_the_file(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    with pytest.raises(EncoderError, match=r"broken/config\.json: cannot be read"):
        load_encoder(EncoderSettings(model=str(broken), device="cpu"))
    (broken / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert folder.exists()
    with pytest.raises(EncoderError, match=r"broken"):
        load_encoder(EncoderSettings(model=str(broken), device="cpu")).encode_queries(["text"])
