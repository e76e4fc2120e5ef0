"""A query has the bits that it has alone, whatever it is encoded with: so those of several callers may be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.models.e5.encoder import e5_encoder
from pipeline.models.local.english import english_encoder
from pipeline.models.local.transformer import TransformerEncoder
from pipeline.models.runtime.openvino import cpu_capabilities
from pipeline.records import Float32

WORDS = [
    "how",
    "do",
    "I",
    "roll",
    "back",
    "a",
    "bad",
    "build",
    "검색",
    "색인",
    "when",
    "another",
    "process",
    "holds",
    "the",
    "lock",
    "索引",
]
LENGTHS = [1, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 22, 27, 33, 48, 70]


def texts() -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, count)) for count in LENGTHS]


def vectors(encoder: TransformerEncoder, some: list[str]) -> Float32:
    found = encoder.encode_queries(some).dense
    assert found is not None
    return found


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("make", [english_encoder, e5_encoder])
def test_a_query_has_the_same_bits_in_every_batch(make: Callable[..., TransformerEncoder], precision: str) -> None:
    if precision == "bf16" and "BF16" not in cpu_capabilities():
        pytest.skip("the CPU does not compute in bf16")
    encoder, asked = make(precision=precision), texts()
    assert encoder.combines_queries
    alone = [vectors(encoder, [text])[0] for text in asked]
    rng = np.random.default_rng(1)
    for size in (2, 3, 5, 8, 16, len(asked)):
        for _ in range(4):
            chosen = rng.choice(len(asked), size, replace=False).tolist()
            together = vectors(encoder, [asked[i] for i in chosen])
            np.testing.assert_array_equal(together, [alone[i] for i in chosen])


@pytest.mark.parametrize("make", [english_encoder, e5_encoder])
def test_a_query_has_the_same_bits_among_many_of_its_width(make: Callable[..., TransformerEncoder]) -> None:
    encoder = make(precision="f32")
    for text in texts()[::5]:
        alone = vectors(encoder, [text])
        for count in (5, 9, 16):
            np.testing.assert_array_equal(vectors(encoder, [text] * count), np.repeat(alone, count, axis=0))
