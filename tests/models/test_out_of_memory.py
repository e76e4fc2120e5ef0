"""Where memory runs out, batches get smaller and stay so; no text is lost and no vector changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from pipeline.config import EncoderSettings
from pipeline.errors import EncoderError
from pipeline.models.choose.encoder import load_encoder
from pipeline.records import Encoded

TEXTS = [*tiny.SENTENCES, tiny.QUERY, "", "LangChain " * 30] * 4
MOST = 110
BUDGET = 400
"""Tokens of a batch, padding included: what the memory of these tests has room for, and what is tried first."""

LOWEST = "lower encoder.max_tokens|encoding failed on a batch"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.save_bge_m3(folder / "m3")
    tiny.save_sentence_model(folder / "max", pooling="max")
    return folder


def encoder_of(models: Path, runtime: str) -> Any:
    name = "max" if runtime == "sentence-transformers" else "m3"
    settings: dict[str, Any] = {
        "model": str(models / name),
        "runtime": runtime,
        "lexical": "none",
        "precision": "f32",
    }
    if name == "m3":
        settings |= {"lexical": "auto", "multivectors": True}
    encoder = load_encoder(EncoderSettings(device="cpu", **settings), batch_tokens=BUDGET)
    return getattr(encoder, "dense_encoder", encoder)


def limit_torch(encoder: Any, most: int, tried: list[int], error: Callable[[], Exception]) -> None:
    session = encoder.session("throughput")
    forward = session._forward

    def limited(batch: Any) -> Any:
        tried.append(batch.ids.size)
        if batch.ids.size > most:
            raise error()
        return forward(batch)

    session._forward = limited


class LimitedRequest:
    """An infer request that fails when it is waited for, as real ones do."""

    def __init__(self, request: Any, most: int, tried: list[int], error: Callable[[], Exception]) -> None:
        self._request, self._most, self._tried, self._error = request, most, tried, error

    def start_async(self, inputs: Any, share_inputs: bool) -> None:
        self._size = inputs["mask"].size
        self._tried.append(self._size)
        self._request.start_async(inputs, share_inputs=share_inputs)

    def wait(self) -> None:
        self._request.wait()
        if self._size > self._most:
            raise self._error()

    def get_tensor(self, name: str) -> Any:
        return self._request.get_tensor(name)


def limit_openvino(encoder: Any, most: int, tried: list[int], error: Callable[[], Exception]) -> None:
    session = encoder.session("throughput")
    session._requests = [LimitedRequest(request, most, tried, error) for request in session._requests]


def limit_library(encoder: Any, most: int, tried: list[int], error: Callable[[], Exception]) -> None:
    model = encoder._library.open()
    encode = model.encode

    def limited(texts: list[str], **options: Any) -> Any:
        size = len(texts) * (1 + max(map(len, texts)) // 3)
        tried.append(size)
        if size > most:
            raise error()
        return encode(texts, **options)

    model.encode = limited


LIMITS = {"torch": limit_torch, "openvino": limit_openvino, "sentence-transformers": limit_library}
ERRORS: list[Exception] = [
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("Exception from src/inference: std::bad_alloc"),
    MemoryError(),
]


def same(left: Encoded, right: Encoded) -> None:
    np.testing.assert_allclose(left.dense, right.dense, atol=1e-5)
    for a, b in ((left.lexical, right.lexical), (left.multivectors, right.multivectors)):
        assert (a is None) == (b is None)
    if left.lexical is not None and right.lexical is not None:
        np.testing.assert_array_equal(left.lexical.token_ids, right.lexical.token_ids)
    if left.multivectors is not None and right.multivectors is not None:
        np.testing.assert_allclose(left.multivectors.vectors, right.multivectors.vectors, atol=1e-5)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:12] or "MemoryError")
@pytest.mark.parametrize("runtime", sorted(LIMITS))
def test_the_budget_is_halved_and_kept(models: Path, runtime: str, error: Exception) -> None:
    expected = encoder_of(models, runtime).encode_documents(TEXTS)
    encoder = encoder_of(models, runtime)
    tried: list[int] = []
    LIMITS[runtime](encoder, MOST, tried, lambda: error)
    same(encoder.encode_documents(TEXTS), expected)
    assert max(tried) > MOST
    tried.clear()
    same(encoder.encode_documents(TEXTS), expected)
    assert max(tried) <= MOST  # learned: nothing fails a second time


@pytest.mark.parametrize("runtime", sorted(LIMITS))
def test_a_text_that_does_not_fit_alone_and_another_error_are_errors(models: Path, runtime: str) -> None:
    for most, error, says in (
        (5, RuntimeError("out of memory"), LOWEST),
        (0, RuntimeError("shapes do not match"), "encoding failed on a batch .*shapes do not match"),
    ):
        encoder = encoder_of(models, runtime)
        LIMITS[runtime](encoder, most, [], lambda error=error: error)  # type: ignore[misc]
        with pytest.raises(EncoderError, match=says):
            encoder.encode_documents(TEXTS)
