"""Gathers what the quality gate judges a finished generation by, and what the live one measured."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.config import Config
from pipeline.errors import IndexStoreError, PipelineError
from pipeline.index import statistics, store
from pipeline.index.manifest import Manifest
from pipeline.index.statistics import Circumstances
from pipeline.job.gate import Facts, judge
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
    found = statistics.Verdict(
        inputs=golden.inputs, measures=measured.measures, refusals=refusals, circumstances=circumstances
    )
    judged = dataclasses.replace(manifest, statistics=manifest.statistics.judged(found))
    return Verdict(judged, before, refusals)


def _live(config: Config) -> Manifest | None:
    try:
        return store.live_manifest(config.index_path)
    except IndexStoreError as error:
        log.warning("the gate compares with nothing: %s", error)  # a full build mends a damaged index
        return None


def _live_measures(config: Config, encoder: Encoder, live: Manifest, golden: Golden) -> Mapping[str, float] | None:
    """What the live generation measured, measured now unless the same queries were asked when it was built."""
    earlier = live.statistics.gate
    if earlier is not None and earlier.inputs == golden.inputs:
        return earlier.measures
    if not (golden.queries or golden.expect):
        return None
    legs = {"dense": encoder.dense_fingerprint, "lexical": encoder.lexical_fingerprint}
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
