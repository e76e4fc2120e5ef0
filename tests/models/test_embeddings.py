"""A token's embedding is its word's and its place's, whatever stands around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import EncoderError
from pipeline.models.runtime.embeddings import POSITIONS_FILE, WORDS_FILE, Embeddings

TENSORS = {
    "embeddings.word_embeddings.weight": np.arange(12, dtype=np.float16).reshape(6, 2),
    "embeddings.position_embeddings.weight": np.array([[9, 9], [9, 9], [0.5, 0], [0, 0.25], [1, 1]], np.float32),
    "embeddings.token_type_embeddings.weight": np.array([[100, 200], [7, 7]], np.float32),
}


def test_words_positions_and_the_first_type_are_added_up(tmp_path: Path) -> None:
    Embeddings.of(TENSORS, first=2).save(tmp_path)
    found = Embeddings.open(tmp_path)(np.array([[1, 5], [0, 1]], np.int32))
    assert found.dtype == np.float32
    assert found.tolist() == [[[102.5, 203], [110, 211.25]], [[100.5, 201], [102, 203.25]]]


def test_other_words_take_the_place_of_the_models() -> None:
    words = np.ones((2, 2), np.float32)
    assert Embeddings.of(TENSORS, 2, words)(np.array([[1]], np.int32)).tolist() == [[[101.5, 201]]]


def test_what_a_model_lacks_is_named() -> None:
    with pytest.raises(EncoderError, match="type_embeddings"):
        Embeddings.of({}, 0)


@pytest.mark.parametrize("name", [WORDS_FILE, POSITIONS_FILE])
def test_a_damaged_table_is_not_read(tmp_path: Path, name: str) -> None:
    Embeddings.of(TENSORS, 2).save(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
    with pytest.raises(ValueError, match="missing"):
        Embeddings.open(tmp_path)
