"""What a build would do and cost, without doing it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import names
from pipeline.config import WHOLE_PASSAGE_TOKENS, Config
from pipeline.encode import stage as encoding
from pipeline.errors import IndexStoreError
from pipeline.index import staging, store
from pipeline.index.chunks import encoded_texts
from pipeline.index.components.contract import Volume
from pipeline.index.components.registry import components, stored
from pipeline.index.lexical.approximate import SEISMIC
from pipeline.index.manifest import Manifest
from pipeline.index.multivector.component import MULTIVECTORS
from pipeline.index.staging import Changes, StagedIngest
from pipeline.index.statistics import EncodingRate
from pipeline.models.choose.encoder import chunk_tokenizer, load_encoder
from pipeline.models.choose.tokens_read import tokens_read
from pipeline.models.contract import Encoder
from pipeline.records import Rejection

log = logging.getLogger(__name__)

_SAMPLED_CHUNKS = 512
_MUCH_BYTES = 1_000_000_000
_MEASURABLE_CHUNKS = 64
"""A build that encodes fewer chunks than this spends its time on loading the model and says little of the rate."""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a build would change and add to the disk. `tokens` and all bytes are estimates from a sample.

    `chunks` and `tokens`: to encode. `reused_chunks`: to write without encoding, since their text is encoded
    already. `rate`: of the last build with the same encoder, `None` if there was none. `refusal`: why a build would
    be refused without `--allow-deletes`, if so.
    """

    changes: Changes
    chunks: int
    reused_chunks: int
    tokens: int
    dense_bytes: int
    lexical_bytes: int
    multivector_bytes: int
    rejections: tuple[Rejection, ...]
    rate: EncodingRate | None
    refusal: str | None

    @property
    def seconds(self) -> float | None:
        """Estimated time to encode, or `None` if nothing is known of it."""
        return self.chunks / self.rate.chunks_per_second if self.rate else None


def temporary_index() -> tempfile.TemporaryDirectory[str]:
    """A folder that stands in for the index, so that planning touches nothing."""
    return tempfile.TemporaryDirectory(prefix="pipeline-plan-")


def estimate(
    config: Config,
    index: Path,
    staged: StagedIngest,
    missing: int,
    rejections: tuple[Rejection, ...],
    encoder: Encoder,
    tokenizer: Any,
) -> BuildPlan:
    """Sizes of what is staged below `index`, from the token counts of a sample of chunks.

    `missing`: the number of texts that have to be encoded.
    """
    mean = _mean_tokens(index, staged, tokenizer)
    volume = _volume(config, staged, encoder, round(mean * staged.chunks))
    shape = encoding.shape(encoder, config.segments)
    sizes = {part.name: part.estimated_bytes(volume, shape) for part in components()}
    return BuildPlan(
        changes=staged.changes,
        chunks=missing,
        reused_chunks=staged.chunks - missing,
        tokens=round(mean * missing),
        dense_bytes=sizes[names.DENSE],
        lexical_bytes=sizes[names.LEXICAL] + sizes[SEISMIC.name],
        multivector_bytes=sizes[names.MULTIVECTOR],
        rejections=rejections,
        rate=known_rate(config, encoder),
        refusal=deletion_refusal(staged, config.max_delete_ratio),
    )


def announce_multivectors(config: Config, index: Path, staged: StagedIngest, encoder: Encoder) -> None:
    """Log how much disk the multi-vectors of what is staged below `index` will take; a warning from 1 GB on."""
    if encoder.gives_multivectors and staged.chunks:
        tokenizer = chunk_tokenizer(config.encoder, base=config.base)
        tokens = round(_mean_tokens(index, staged, tokenizer) * staged.chunks)
        volume = _volume(config, staged, encoder, tokens)
        size = MULTIVECTORS.estimated_bytes(volume, encoding.shape(encoder, config.segments))
        level = logging.WARNING if size >= _MUCH_BYTES else logging.INFO
        log.log(
            level, "multi-vectors of %s chunks will take about %.2f GB of disk", f"{staged.chunks:,}", size / 1e9
        )


def warn_of_unread_tokens(config: Config, encoder: Encoder, tokenizer: Any) -> None:
    """Log a warning if chunks may be longer than what a leg reads of them, unless that is on purpose."""
    longest = config.chunking.max_tokens
    if longest == WHOLE_PASSAGE_TOKENS:
        return
    read = tokens_read(config.encoder, encoder, tokenizer, config.base)
    short = {leg: limit for leg, limit in read.items() if limit < longest}
    if short:
        least = min(short.values())
        log.warning(
            "chunking.max_tokens=%d is more than the encoder reads: the %s leg sees only the first %d tokens of a "
            "chunk, and what stands after them is not found by it; set chunking.max_tokens: %d",
            longest,
            " and the ".join(short),
            least,
            least,
        )


def _mean_tokens(index: Path, staged: StagedIngest, tokenizer: Any) -> float:
    sample = list(sampled_texts(index, staged))
    return sum(len(encoding.ids) for encoding in tokenizer.encode_batch(sample)) / max(len(sample), 1)


def _volume(config: Config, staged: StagedIngest, encoder: Encoder, tokens: int) -> Volume:
    dimension = encoder.dimension or 0
    if not encoder.gives_multivectors:
        return Volume(staged.chunks, tokens, dimension, 0)
    if config.encoder.truncate_dim:  # cuts dense vectors only
        encoder = load_encoder(config.encoder.model_copy(update={"truncate_dim": None}), base=config.base)
    return Volume(staged.chunks, tokens, dimension, encoder.dimension or 0)


def deletion_refusal(staged: StagedIngest, max_delete_ratio: float) -> str | None:
    """Why a staged ingest deletes too much, or `None`: a source that is not mounted looks like mass deletion."""
    deleted, before = staged.changes.deleted, staged.documents_before
    if staged.full or deleted <= max_delete_ratio * before:
        return None
    return (
        f"{deleted:,} of {before:,} documents are missing from the sources, more than max_delete_ratio="
        f"{max_delete_ratio:g} allows; check that every source is mounted, or delete them with `--allow-deletes`"
    )


def telling_rate(measured: EncodingRate, live: Manifest | None) -> EncodingRate | None:
    """The rate of a build, or the live generation's if the build encoded too little to tell."""
    earlier = live.statistics.encoding if live else None
    tells = measured.seconds > 0 and measured.chunks >= (_MEASURABLE_CHUNKS if earlier else 1)
    return measured if tells else earlier


def known_rate(config: Config, encoder: Encoder) -> EncodingRate | None:
    """The rate that the live generation recorded, if the same encoder made it."""
    try:
        live = store.live_manifest(config.index_path)
    except IndexStoreError:
        return None  # a full build may stand before a damaged index, and only the estimate is lost
    rate = live.statistics.encoding if live else None
    if live is None or rate is None:
        return None
    prints = encoding.fingerprints(encoder, config.segments)
    if any(live.fingerprint(part) != prints.get(part) for part in stored()):
        return None
    return rate if rate.chunks_per_second > 0 else None


def sampled_texts(index: Path, staged: StagedIngest) -> Iterator[str]:
    """Some hundred of the staged texts, from all over the collection."""
    left = _SAMPLED_CHUNKS
    for part in staged.parts:
        texts = encoded_texts(staging.ingest_folder(index) / part.name)
        share = max(1, _SAMPLED_CHUNKS // len(staged.parts))
        step = max(1, len(texts) // share)
        for text in texts[::step][:left]:
            left -= 1
            yield text
        if left <= 0:
            return
