"""The encode stage: staged parts → shards → segments."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipeline import names
from pipeline.config import SegmentSettings
from pipeline.encode.placement import GatheredSource, Placement
from pipeline.encode.reuse import Inventory, Job, take_inventory, write_jobs
from pipeline.errors import EncoderError
from pipeline.index import staging
from pipeline.index.choices import DenseChoice, LexicalChoice
from pipeline.index.chunks import encoded_texts
from pipeline.index.components.registry import identities, settled
from pipeline.index.components.rows import SegmentShape
from pipeline.index.given.staged import hashes_of, read_given
from pipeline.index.manifest import FileEntry, Manifest, SegmentEntry
from pipeline.index.schemas import text_hash
from pipeline.index.segment import write_segment
from pipeline.index.staging import StagedIngest
from pipeline.index.store import is_sound, known_segments
from pipeline.models.contract import Encoder, leg_fingerprints
from pipeline.models.precomputed import PrecomputedEncoder
from pipeline.progress import ProgressFactory, silent
from pipeline.records import Encoded, Fingerprint, MultiVectors

log = logging.getLogger(__name__)

_LENGTH_TOLERANCE = 0.01
TOKENS_STORED = 0.031
"""The same of multi-vectors that come out of an index, which may have kept them in 8 bits."""

ShardRunner = Callable[[Sequence[tuple[Path, Path]]], Iterator[int]]
"""Encodes (texts, shard folder) pairs, in any order; yields the number of each pair when its shard is complete."""


@dataclass(frozen=True, slots=True)
class EncodedParts:
    """Where the rows of all staged chunks are.

    `encoded_chunks` were missing and were encoded; `reused_chunks` had a text that the live generation, an
    interrupted build or another chunk of this one has. Together they are all staged chunks.
    """

    placement: Placement
    encoded_chunks: int
    reused_chunks: int


def fingerprints(encoder: Encoder, settings: SegmentSettings) -> dict[str, Fingerprint]:
    """Fingerprints of what is stored, by part: `dense`, `lexical`, `multivector`."""
    parts = leg_fingerprints(encoder)
    if encoder.gives_multivectors:
        parts[names.MULTIVECTOR] = Fingerprint.of(precision=settings.multivectors)
    return {part: fingerprint for part, fingerprint in parts.items() if fingerprint is not None}


def encode_shard(texts: Path, shard: Path, encoder: Encoder, settings: SegmentSettings) -> int:
    """Encode a file of texts into a shard folder; does nothing if the shard is already complete.

    Returns the number of texts encoded. Raises `EncoderError` if the encoder's answer is unusable; then nothing is
    written.
    """
    if staging.is_finished(shard):
        return 0
    rows = encoded_texts(texts)
    if isinstance(encoder, PrecomputedEncoder):
        encoded = encoder.completed(read_given(texts, encoder.wanted), rows)
        hashes, tolerance = hashes_of(texts), TOKENS_STORED
    else:
        encoded = encoder.encode_documents(rows)
        hashes, tolerance = np.array([text_hash(text) for text in rows], "S16"), _LENGTH_TOLERANCE
    check_encoded(encoded, len(rows), encoder, tolerance)
    prints = list(fingerprints(encoder, settings).values())
    staging.write_shard(shard, encoded, hashes, prints, shape(encoder, settings))
    return len(rows)


def check_encoded(
    encoded: Encoded, count: int, encoder: Encoder, token_tolerance: float = _LENGTH_TOLERANCE
) -> None:
    """Refuse wrong counts or dimensions, NaN, vectors that are not unit length, weights that are not positive.

    `token_tolerance`: how far from 1 multi-vectors may be.
    """
    if encoder.dense_fingerprint is not None:
        dense = encoded.dense
        if dense is None or dense.shape != (count, encoder.dimension):
            shape = None if dense is None else dense.shape
            raise EncoderError(f"the encoder gave dense {shape} where ({count}, {encoder.dimension}) is needed")
        norms = np.linalg.norm(dense, axis=1)
        if not np.isfinite(norms).all():
            raise EncoderError(
                f"the encoder gave NaN or infinite values for {int((~np.isfinite(norms)).sum())} texts"
            )
        if count and np.abs(norms - 1).max() > _LENGTH_TOLERANCE:
            raise EncoderError(f"the encoder gave vectors of length {norms.min():.3f} to {norms.max():.3f}, not 1")
    if encoder.gives_multivectors:
        _check_multivectors(encoded.multivectors, count, token_tolerance)
    if encoder.lexical_fingerprint is not None:
        lexical = encoded.lexical
        if lexical is None or len(lexical) != count:
            raise EncoderError(f"the encoder gave lexical weights for {len(lexical or ())} of {count} texts")
        if not (np.isfinite(lexical.weights).all() and (lexical.weights > 0).all()):
            raise EncoderError("the encoder gave lexical weights that are not positive numbers")


def _check_multivectors(tokens: MultiVectors | None, count: int, tolerance: float) -> None:
    """Refuse multi-vectors whose offsets do not divide them among the texts, and any that is not of unit length."""
    if tokens is None or len(tokens.offsets) != count + 1 or not np.isfinite(tokens.vectors).all():
        raise EncoderError("the encoder gave multi-vectors that are missing, miscounted or not finite")
    offsets = tokens.offsets
    if offsets[0] != 0 or offsets[-1] != len(tokens.vectors) or (np.diff(offsets) < 0).any():
        raise EncoderError(f"the encoder gave {len(tokens.vectors)} multi-vectors and offsets that do not fit them")
    norms = np.linalg.norm(tokens.vectors, axis=1)
    if len(norms) and np.abs(norms - 1).max() > tolerance:
        raise EncoderError(
            f"the encoder gave multi-vectors of length {norms.min():.3f} to {norms.max():.3f}, not 1"
        )


def encode_staged(
    index: Path,
    staged: StagedIngest,
    encoder: Encoder,
    settings: SegmentSettings,
    progress: ProgressFactory = silent,
    run: ShardRunner | None = None,
    live: Manifest | None = None,
) -> EncodedParts:
    """Encode every staged text once that neither `live` nor a finished shard has.

    Shards of texts that are not staged any more are removed. `run` does it elsewhere (`Pool.encode`); by default
    it happens here, shard by shard.
    """
    work = plan_work(index, staged, encoder, settings, live)

    def one_by_one(tasks: Sequence[tuple[Path, Path]]) -> Iterator[int]:
        for number, (texts, shard) in enumerate(tasks):
            encode_shard(texts, shard, encoder, settings)
            yield number

    jobs, missing = work.jobs, work.inventory.missing
    with progress("encode", missing, "chunk") as bar:
        for number in (run or one_by_one)([(job.texts, job.shard) for job in jobs]):
            bar.update(jobs[number].count)
    return EncodedParts(work.inventory.placement(jobs), missing, staged.chunks - missing)


@dataclass(frozen=True, slots=True)
class Work:
    """What is encoded of a staged ingest, and the jobs that encode the rest."""

    inventory: Inventory
    jobs: list[Job]


def plan_work(
    index: Path,
    staged: StagedIngest,
    encoder: Encoder,
    settings: SegmentSettings,
    live: Manifest | None,
) -> Work:
    """Find out what is still to be encoded, and write the files of texts that need it.

    Shards of texts that are not staged any more are removed.
    """
    prints = list(fingerprints(encoder, settings).values())
    inventory = take_inventory(index, staged, prints, shape(encoder, settings), index, live)
    staging.discard_shards(index, keep=inventory.sources())
    return Work(inventory, write_jobs(index, staged, inventory, prints))


def write_segments(
    index: Path,
    staged: StagedIngest,
    encoded: EncodedParts,
    encoder: Encoder,
    settings: SegmentSettings,
    progress: ProgressFactory = silent,
    others: int = 0,
) -> list[SegmentEntry]:
    """Turn encoded parts into segments of at most `settings.max_chunks` chunks (but whole parts).

    `others`: chunks the index has besides. A sound segment of the same inputs that a retained generation names is
    used as it stands.
    """
    existing = known_segments(index)
    wanted = shape(encoder, settings)
    folder = staging.ingest_folder(index)
    prints = list(fingerprints(encoder, settings).values())
    entries = []
    done = 0
    with progress("write segments", staged.chunks, "chunk") as bar:
        for parts in _groups(folder, staged.parts, settings.max_chunks):
            paths = tuple(folder / part.name for part in parts)
            count = sum(pq.read_metadata(path).num_rows for path in paths)
            source = GatheredSource(paths, encoded.placement.part(done, done + count))
            chosen = settled(wanted, count, staged.chunks + others)
            identity = segment_id(parts, prints, chosen)
            entry = existing.get(identity)
            if entry is None or not is_sound(index, entry):
                entry = write_segment(index, identity, source, chosen)
                size = sum(file.size for file in entry.files) / 1e6
                log.info("segment %s: %d chunks, %.1f MB, dense %s", identity[:12], count, size, chosen.dense.kind)
            entries.append(entry)
            done += count
            bar.update(count)
    return entries


def shape(encoder: Encoder, settings: SegmentSettings) -> SegmentShape:
    """Return what the segments of this encoder have, and how they are stored."""
    has_lexical = encoder.lexical_fingerprint is not None
    return SegmentShape(
        dimension=encoder.dimension if encoder.dense_fingerprint is not None else None,
        dense=DenseChoice(settings.dense, settings.recall_target),
        has_lexical=has_lexical,
        has_multivectors=encoder.gives_multivectors,
        has_words=has_lexical and encoder.lexical_scoring.kind == "bm25",
        lexical=LexicalChoice(settings.lexical, settings.recall_target),
        precision=settings.multivectors,
    )


def segment_id(parts: Sequence[FileEntry], prints: Sequence[Fingerprint], shape: SegmentShape) -> str:
    """Hash of a segment's inputs: its chunks, the encoder's fingerprints and the index types."""
    digest = hashlib.blake2b(digest_size=16)
    for text in [*(part.checksum for part in parts), *(f.digest for f in prints), *identities(shape)]:
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()


def _groups(folder: Path, parts: Sequence[FileEntry], max_chunks: int) -> Iterator[list[FileEntry]]:
    group: list[FileEntry] = []
    held = 0
    for part in parts:
        rows = pq.read_metadata(folder / part.name).num_rows
        if group and held + rows > max_chunks:
            yield group
            group, held = [], 0
        group.append(part)
        held += rows
    if group:
        yield group
