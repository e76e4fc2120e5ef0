"""A generation in the making: its segments stand on disk, and step by step it learns what its manifest will say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.config import Config
from pipeline.encode import stage as encoding
from pipeline.encode.stage import EncodedParts
from pipeline.errors import SourceError
from pipeline.index import store
from pipeline.index.choices import DenseChoice, LexicalChoice
from pipeline.index.manifest import LexicalParameters, Manifest, SegmentEntry
from pipeline.index.staging import StagedIngest
from pipeline.index.statistics import EncodingRate, Statistics, Verdict
from pipeline.index.upkeep.compact import live_chunks, merged, wants_compaction
from pipeline.job.plan import telling_rate
from pipeline.models.contract import Encoder
from pipeline.progress import ProgressFactory
from pipeline.query.fusion.calibration import Calibration
from pipeline.query.fusion.index_calibration import calibrate_index, is_stale
from pipeline.query.searcher import Index


@dataclass(slots=True)
class Draft:
    """What will follow the live generation. Each step changes what `manifest` says, none publishes anything.

    `live`: the generation that it takes over from, `None` for a full build. `segments`: of both, those that stay
    first. Raises `SourceError` if they hold nothing.
    """

    config: Config
    encoder: Encoder
    staged: StagedIngest
    live: Manifest | None
    segments: Sequence[SegmentEntry]
    note: str = ""
    statistics: Statistics = field(default_factory=Statistics)
    created_at: str = field(default_factory=store.now)

    def __post_init__(self) -> None:
        if self.chunks == 0:
            index = self.config.index_path
            raise SourceError(
                f"{index}: no document could be indexed, so nothing is published; see {index / 'rejects'}"
            )

    @property
    def chunks(self) -> int:
        """Live chunks of all segments."""
        return sum(map(live_chunks, self.segments))

    def compact(self, progress: ProgressFactory) -> None:
        """Merge the segments that are worth it, so that nights do not pile up small ones."""
        settings, manifest = self.config.segments, self.manifest()
        groups = wants_compaction(manifest, settings.max_chunks) if settings.auto_compact else []
        if groups:
            dense = DenseChoice(settings.dense, settings.recall_target)
            lexical = LexicalChoice(settings.lexical, settings.recall_target)
            self.segments = merged(self.config.index_path, manifest, groups, dense, lexical, progress)

    def calibrate(self, progress: ProgressFactory) -> None:
        """Calibrate the fusion, unless the live generation's calibration still fits."""
        config, recorded = self.config, self.live.statistics.calibration if self.live else None
        if is_stale(Calibration.from_json(recorded), self.chunks):
            manifest = self.manifest()
            with (
                progress("calibrate fusion", None, "query"),
                Index(
                    config.index_path, manifest, self.encoder, config.query, False, config.encoder, config.base
                ) as index,
            ):
                calibration = calibrate_index(index)
            recorded = calibration.to_json() if calibration else None
        self.statistics = dataclasses.replace(self.statistics, calibration=recorded or None)

    def count(self, encoded: EncodedParts, seconds: float) -> None:
        """Record how many chunks were encoded, and how fast. `seconds`: that it took."""
        rate = EncodingRate(encoded.encoded_chunks, seconds)
        self.statistics = dataclasses.replace(
            self.statistics,
            encoded_chunks=encoded.encoded_chunks,
            reused_chunks=encoded.reused_chunks,
            encoding=telling_rate(rate, self.live),
        )

    def judged(self, verdict: Verdict) -> None:
        """Record what the quality gate found."""
        self.statistics = self.statistics.judged(verdict)

    def manifest(self) -> Manifest:
        """The manifest of the generation as it is drafted so far."""
        prints = encoding.fingerprints(self.encoder, self.config.segments)
        scoring = self.encoder.lexical_scoring
        return Manifest(
            generation=self.staged.base_generation + 1,
            created_at=self.created_at,
            documents=self.staged.documents,
            chunks=self.chunks,
            segments=tuple(self.segments),
            fingerprints={
                **{part: dict(fields.fields) for part, fields in prints.items()},
                "chunker": self.staged.chunker,
            },
            dimension=self.encoder.dimension if self.encoder.dense_fingerprint is not None else None,
            lexical=LexicalParameters(scoring.kind, scoring.k1, scoring.b),
            encoder=self.config.encoder.model_dump(mode="json"),
            statistics=self.statistics,
            note=self.note,
            access_field=self.config.access_field,
        )
