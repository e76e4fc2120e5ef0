"""Matrices in 4 bits, as Q4_0 stores them: blocks of 32 weights with one float16 scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.records import Float32

BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])
"""32 weights of a row: low nibbles are the first half, high ones the second; a weight is (nibble - 8) · scale."""

BLOCK_WEIGHTS = 32

Blocks = npt.NDArray[Any]
"""Records of `BLOCK`, (…, blocks of a row)."""


def dequantised(blocks: Blocks) -> Float32:
    """Records of `BLOCK` (…, blocks) as float32 weights (…, 32 · blocks)."""
    nibbles = blocks["nibbles"]
    weights = np.empty((*blocks.shape, BLOCK_WEIGHTS), np.float32)
    np.subtract(nibbles & 15, np.float32(8), out=weights[..., :16])
    np.subtract(nibbles >> 4, np.float32(8), out=weights[..., 16:])
    weights *= blocks["scale"].astype(np.float32)[..., None]
    return weights.reshape(*blocks.shape[:-1], blocks.shape[-1] * BLOCK_WEIGHTS)


def float_rows(rows: npt.NDArray[Any]) -> Float32:
    """Rows of a table of word embeddings as float32: of numbers, or of the bytes (uint8) of `BLOCK`."""
    if rows.dtype != np.uint8:
        return rows.astype(np.float32, copy=False)
    return dequantised(rows.view(BLOCK))
