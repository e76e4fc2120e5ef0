"""Gathers what the quality gate judges a finished generation by, and what the live one measured."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline import names
from pipeline.config import Config
from pipeline.errors import IndexStoreError, PipelineError
from pipeline.index import store
from pipeline.index.manifest import Manifest
from pipeline.job.gate import STATISTIC, Facts, judge, recorded_measures
from pipeline.job.golden import Golden, emptiness, measure
from pipeline.models.contract import Encoder
from pipeline.progress import ProgressFactory
from pipeline.query.searcher import Index, open_index

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A generation with what was measured in its statistics, the live one's measures, and the reasons to refuse."""

    manifest: Manifest
    live_measures: Mapping[str, float] | None
    refusals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a generation does not show of the build that made it: documents read and rejected, and whether however
    few documents are left is fine."""

    read: int
    rejected: int
    allow_deletes: bool

    @classmethod
    def recorded(cls, manifest: Manifest) -> Circumstances:
        """Those under which a generation was refused."""
        return cls(**manifest.statistics.get(STATISTIC, {}).get("circumstances", _UNKNOWN))


_UNKNOWN = {"read": 0, "rejected": 0, "allow_deletes": False}


def judged(
    config: Config,
    encoder: Encoder,
    manifest: Manifest,
    golden: Golden,
    progress: ProgressFactory,
    circumstances: Circumstances,
) -> Verdict:
    """Judge a generation whose segments are in place. Raises what searching raises."""
    live = _live(config)
    known = {entry.segment_id for entry in live.segments} if live else set()
    fresh = {entry.segment_id for entry in manifest.segments} - known
    with (
        progress("gate", None, "query") as bar,
        Index(config.index_path, manifest, encoder, config.query, False, config.encoder, config.base) as index,
    ):
        empty = emptiness(index.snapshot.segments, fresh)
        measured = measure(index, golden)
        before = _live_measures(config, encoder, live, golden) if live else None
        bar.update(len(golden.queries) + len(golden.expect))
    facts = Facts(
        documents=manifest.documents,
        live_documents=live.documents if live and not circumstances.allow_deletes else None,
        read=circumstances.read,
        rejected=circumstances.rejected,
        new_chunks=empty.chunks,
        empty_vectors=empty.vectors,
        empty_lexical=empty.lexical,
        measures=measured.measures,
        live_measures=before,
        missed=measured.missed,
    )
    refusals = judge(config.gate, facts)
    record = {
        "inputs": golden.inputs,
        "measures": dict(measured.measures),
        "refusals": list(refusals),
        "circumstances": dataclasses.asdict(circumstances),
    }
    statistics = {name: value for name, value in manifest.statistics.items() if name != STATISTIC}
    if measured.measures or refusals:
        statistics[STATISTIC] = record
    return Verdict(dataclasses.replace(manifest, statistics=statistics), before, refusals)


def _live(config: Config) -> Manifest | None:
    try:
        return store.live_manifest(config.index_path)
    except IndexStoreError as error:
        log.warning("the gate compares with nothing: %s", error)  # a full build mends a damaged index
        return None


def _live_measures(config: Config, encoder: Encoder, live: Manifest, golden: Golden) -> Mapping[str, float] | None:
    """What the live generation measured, measured now unless the same queries were asked when it was built."""
    record = live.statistics.get(STATISTIC, {})
    if record.get("inputs") == golden.inputs:
        return recorded_measures(live)
    if not (golden.queries or golden.expect):
        return None
    legs = {names.DENSE: encoder.dense_fingerprint, names.LEXICAL: encoder.lexical_fingerprint}
    same = all(live.fingerprint(leg) == fingerprint for leg, fingerprint in legs.items())
    try:
        if same:
            opened = Index(config.index_path, live, encoder, config.query, False, config.encoder, config.base)
        else:
            opened = open_index(config.index_path, base=config.base, settings=config.query, verify=False)
        with opened as index:
            return measure(index, golden).measures
    except PipelineError as error:
        log.warning("the gate does not compare measures with the live generation: %s", error)
        return None
