"""What a transformer's graph is given: embeddings of words and positions, looked up in tables that stay on disk.

A query touches a few rows of them; in the graph both would be loaded whole (1 GB and 34 MB in BGE-M3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline import arrays
from pipeline.errors import EncoderError
from pipeline.models.files.weights import Array
from pipeline.models.runtime.four_bits import float_rows
from pipeline.records import Float32

WORDS_FILE, POSITIONS_FILE = "embeddings.npy", "positions.npy"
_WORDS = "embeddings.word_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_TYPES = "embeddings.token_type_embeddings.weight"


@dataclass(frozen=True, slots=True)
class Embeddings:
    """`words`: a row a token, of numbers, or in 4 bits as uint8 (`four_bits.float_rows`).

    `positions`: float32, a row a position, the first token's first.
    """

    words: Array
    positions: Float32

    @classmethod
    def of(cls, tensors: Mapping[str, Array], first: int, words: Array | None = None) -> Embeddings:
        """Of a model's tensors. `first`: row of the first token's position. `words`: other than the model's.

        Raises `EncoderError` if a tensor is missing.
        """
        try:
            types, positions = np.asarray(tensors[_TYPES]), np.asarray(tensors[_POSITIONS], np.float32)
            words = np.asarray(tensors[_WORDS]) if words is None else words
        except KeyError as error:
            raise EncoderError(
                f"the model's weights have no tensor {error.args[0]!r}; is this a BERT-family model?"
            ) from error
        # Every token has type 0, so its embedding is added to the positions once, here.
        return cls(words, positions[first:] + types[0].astype(np.float32))

    @classmethod
    def open(cls, folder: Path) -> Embeddings:
        """Those that `save` wrote, memory-mapped. Raises `ValueError` if they are damaged, `OSError`."""
        return cls(arrays.mapped(folder / WORDS_FILE), arrays.mapped(folder / POSITIONS_FILE))

    def save(self, folder: Path) -> None:
        """Write them where `open` finds them; they stay as they are."""
        np.save(folder / WORDS_FILE, np.ascontiguousarray(self.words))
        np.save(folder / POSITIONS_FILE, self.positions)

    def __call__(self, ids: npt.NDArray[np.int32]) -> Float32:
        """The embeddings of texts: float32 (b, t, hidden). `ids`: their tokens (b, t), padded on the right."""
        rows = float_rows(self.words.take(ids.ravel(), axis=0)).reshape(*ids.shape, -1)
        found: Float32 = rows + self.positions[: ids.shape[1]]
        return found
