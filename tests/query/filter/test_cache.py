"""Masks are kept up to a number of bytes, those used last; what is kept cannot be changed."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.index.segment import Mask
from pipeline.query.filter.cache import MaskCache


def masks(chunks: int = 50) -> list[Mask]:
    return [np.ones(chunks, np.bool_), np.zeros(chunks, np.bool_)]


def test_those_used_last_stay() -> None:
    cache = MaskCache(320)  # three conditions of one letter: 104 bytes each
    for condition in "abc":
        cache.put(condition, masks())
    assert cache.get("a") is not None
    cache.put("d", masks())
    assert [condition for condition in "abcd" if cache.get(condition) is None] == ["b"]


def test_a_mask_that_fits_nowhere_drives_nothing_out() -> None:
    cache = MaskCache(320)
    cache.put("a", masks())
    cache.put("large", masks(500))
    assert cache.get("large") is None
    assert cache.get("a") is not None


def test_put_twice_counts_once() -> None:
    cache = MaskCache(320)
    for _ in range(9):
        cache.put("a", masks())
    cache.put("b", masks())
    assert cache.get("a") is not None


def test_what_is_kept_cannot_be_written_to() -> None:
    cache = MaskCache(1000)
    cache.put("a", masks())
    found = cache.get("a")
    assert found is not None
    with pytest.raises(ValueError, match="read-only"):
        found[0][0] = False
    found.clear()
    assert cache.get("a") != []
