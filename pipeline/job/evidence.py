"""Gathers the evidence that the quality gate judges a finished generation by."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.config import Config
from pipeline.errors import IndexStoreError, PipelineError
from pipeline.index import store
from pipeline.index.dense.component import DENSE
from pipeline.index.lexical.component import LEXICAL
from pipeline.index.manifest import Manifest
from pipeline.index.segment import Segment
from pipeline.index.statistics import Circumstances
from pipeline.job.gate import Evidence
from pipeline.job.golden import Golden, measure, unmet
from pipeline.models.contract import Encoder, leg_fingerprints
from pipeline.progress import ProgressFactory
from pipeline.query.access import ALL_GROUPS
from pipeline.query.searcher import Index, open_index

log = logging.getLogger(__name__)

_BLOCK_ROWS = 16_384
_EMPTY_NORM = 0.5
"""Vectors have length 1, so one this short carries nothing."""


def gather(
    config: Config,
    encoder: Encoder,
    manifest: Manifest,
    golden: Golden,
    circumstances: Circumstances,
    progress: ProgressFactory,
) -> Evidence:
    """Search a generation whose segments are in place, and look at the new ones. Raises what searching raises."""
    live = _live(config)
    known = {entry.segment_id for entry in live.segments} if live else set()
    with (
        progress("gate", None, "query") as bar,
        Index(config.index_path, manifest, encoder, config.query, False, config.encoder, config.base) as index,
    ):
        new = [segment for segment in index.snapshot.segments if segment.entry.segment_id not in known]
        missed = unmet(index, golden)
        evidence = Evidence(
            documents=manifest.documents,
            live_documents=live.documents if live else None,
            read=circumstances.read,
            rejected=circumstances.rejected,
            allow_deletes=circumstances.allow_deletes,
            new_chunks=sum(int(_alive(segment).sum()) for segment in new),
            empty_vectors=sum(map(_empty_vectors, new)),
            empty_lexical=sum(map(_empty_lexical, new)),
            inputs=golden.inputs,
            measures=measure(index, golden, missed),
            live_measures=_live_measures(config, encoder, live, golden) if live else None,
            missed=missed,
        )
        bar.update(len(golden.queries) + len(golden.expect))
    return evidence


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
    legs = leg_fingerprints(encoder)
    same = all(live.fingerprint(leg) == fingerprint for leg, fingerprint in legs.items())
    try:
        if same:
            opened = Index(config.index_path, live, encoder, config.query, False, config.encoder, config.base)
        else:
            opened = open_index(
                config.index_path, base=config.base, settings=config.query, verify=False, groups=ALL_GROUPS
            )
        with opened as index:
            return measure(index, golden, unmet(index, golden))
    except PipelineError as error:
        log.warning("the gate does not compare measures with the live generation: %s", error)
        return None


def _alive(segment: Segment) -> npt.NDArray[np.bool_]:
    return np.ones(segment.chunks, np.bool_) if segment.deleted is None else ~segment.deleted


def _empty_vectors(segment: Segment) -> int:
    """Live chunks of a segment without a vector; 0 if it keeps none."""
    if not segment.place.has(DENSE.file_names[0]):
        return 0
    alive, empty = _alive(segment), 0
    for start in range(0, segment.chunks, _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, segment.chunks))
        norms = np.linalg.norm(segment.open(DENSE).vectors(rows), axis=1)
        empty += int((~(norms >= _EMPTY_NORM) & alive[rows]).sum())
    return empty


def _empty_lexical(segment: Segment) -> int:
    """Live chunks of a segment without a lexical weight; 0 if it keeps none."""
    if not segment.place.has(LEXICAL.file_names[0]):
        return 0
    return int((~(segment.open(LEXICAL).lengths > 0) & _alive(segment)).sum())
