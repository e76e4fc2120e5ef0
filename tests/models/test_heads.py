"""Post-processing against the plain loops it replaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import EncoderError
from pipeline.models.runtime.batching import TokenBatch
from pipeline.models.runtime.gather import Gather

TOKENS = st.lists(st.tuples(st.integers(0, 9), st.floats(0, 4, width=16)), min_size=1, max_size=8)
ALL = frozenset({"dense", "token_weights", "token_vectors"})


def batch(rows: list[int], texts: list[list[tuple[int, float]]]) -> tuple[TokenBatch, dict[str, np.ndarray]]:
    width = max(map(len, texts))
    ids = np.ones((len(texts), width), np.int32)
    weights = np.full((len(texts), width), 5.0, np.float32)  # padding has weights too, and must not count
    for i, text in enumerate(texts):
        ids[i, : len(text)] = [token for token, _ in text]
        weights[i, : len(text)] = [weight for _, weight in text]
    lengths = np.array([len(text) for text in texts])
    vectors = np.arange(len(texts) * (width - 1) * 2, dtype=np.float32).reshape(len(texts), width - 1, 2) + 1
    outputs = {"dense": np.ones((len(texts), 4), np.float32), "token_weights": weights, "token_vectors": vectors}
    return TokenBatch(np.array(rows), ids, lengths), outputs


@given(st.lists(TOKENS, min_size=1, max_size=6), st.randoms())
def test_lexical_rows_equal_the_loop(texts: list[list[tuple[int, float]]], random: object) -> None:
    order = list(range(len(texts)))
    random.shuffle(order)  # type: ignore[attr-defined]
    middle = (len(order) + 1) // 2
    parts = [batch(part, [texts[i] for i in part]) for part in (order[:middle], order[middle:]) if part]
    encoded = Gather(ALL, 4, dropped_ids=(0, 2))(parts, len(texts))
    assert encoded.lexical is not None
    assert encoded.multivectors is not None
    for i, text in enumerate(texts):
        expected: dict[int, float] = {}
        for token, weight in text:
            if token not in (0, 2) and weight > expected.get(token, 0.0):
                expected[token] = weight
        ids, weights = encoded.lexical.row(i)
        assert dict(zip(ids.tolist(), weights.tolist(), strict=True)) == expected
        assert ids.tolist() == sorted(expected)
        assert encoded.multivectors.offsets[i + 1] - encoded.multivectors.offsets[i] == len(text) - 1


def test_multivectors_by_hand() -> None:
    first, second = batch([2, 0], [[(5, 1.0)] * 3, [(5, 1.0)]]), batch([1], [[(5, 1.0)] * 2])
    encoded = Gather(ALL, 4)([first, second], 3)
    assert encoded.multivectors is not None
    assert encoded.multivectors.offsets.tolist() == [0, 0, 1, 3]
    expected = np.array([[1, 2], [1, 2], [3, 4]]) / np.sqrt([[5], [5], [25]])
    np.testing.assert_allclose(encoded.multivectors.vectors, expected, rtol=1e-6)


def test_dense_rows_are_cut_and_normalised() -> None:
    encoded = Gather(frozenset({"dense"}), 4, truncate_dim=1)([batch([0], [[(5, 1.0)]])], 1)
    assert encoded.dense is not None
    assert encoded.dense.tolist() == [[1.0]]


@pytest.mark.parametrize("name", ["dense", "token_weights", "token_vectors"])
def test_values_that_are_not_finite_are_refused(name: str) -> None:
    one, outputs = batch([0], [[(5, 1.0), (6, 1.0)]])
    outputs[name][0, 0] = np.nan
    with pytest.raises(EncoderError, match="not finite"):
        Gather(ALL, 4)([(one, outputs)], 1)


def test_no_texts() -> None:
    encoded = Gather(ALL, 4)([], 0)
    assert encoded.dense is not None
    assert encoded.lexical is not None
    assert encoded.multivectors is not None
    assert (encoded.dense.shape, len(encoded.lexical), encoded.multivectors.offsets.tolist()) == ((0, 4), 0, [0])
