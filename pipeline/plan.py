"""What a build would do and cost, without doing it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.config import Config
from pipeline.index import multivector, staging
from pipeline.index.staging import StagedIngest
from pipeline.models.contract import Encoder
from pipeline.records import Rejection

_SAMPLED_CHUNKS = 512
_LEXICAL_BYTES_PER_TOKEN = 16


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a build would change, and the sizes it would add. `tokens` and all bytes are estimates from a sample."""

    added: int
    changed: int
    deleted: int
    unchanged: int
    chunks: int
    tokens: int
    dense_bytes: int
    lexical_bytes: int
    multivector_bytes: int
    rejections: tuple[Rejection, ...]


def temporary_index() -> tempfile.TemporaryDirectory[str]:
    """A folder that stands in for the index, so that planning touches nothing."""
    return tempfile.TemporaryDirectory(prefix="pipeline-plan-")


def estimate(
    config: Config,
    index: Path,
    staged: StagedIngest,
    rejections: tuple[Rejection, ...],
    encoder: Encoder,
    tokenizer: Any,
) -> BuildPlan:
    """Sizes of what is staged below `index`, from the token counts of a sample of chunks."""
    sample = list(_sample(index, staged))
    mean = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(sample)) / max(len(sample), 1)
    dimension = encoder.dimension or 0
    row_bytes = {"Flat": 4}.get(config.segments.dense, 2) * dimension
    token_bytes = multivector.bytes_per_token(dimension, config.segments.multivectors)
    tokens = round(mean * staged.chunks)
    return BuildPlan(
        added=staged.added,
        changed=staged.changed,
        deleted=staged.deleted,
        unchanged=staged.unchanged,
        chunks=staged.chunks,
        tokens=tokens,
        dense_bytes=staged.chunks * row_bytes,
        lexical_bytes=tokens * _LEXICAL_BYTES_PER_TOKEN if encoder.lexical_fingerprint is not None else 0,
        multivector_bytes=tokens * token_bytes if encoder.gives_multivectors else 0,
        rejections=rejections,
    )


def _sample(index: Path, staged: StagedIngest) -> Iterator[str]:
    left = _SAMPLED_CHUNKS
    for part in staged.parts:
        texts = pq.read_table(staging.ingest_folder(index) / part.name, columns=["text"]).column(0)
        share = max(1, _SAMPLED_CHUNKS // len(staged.parts))
        step = max(1, len(texts) // share)
        for text in texts[::step].to_pylist()[:left]:
            left -= 1
            yield text
        if left <= 0:
            return
