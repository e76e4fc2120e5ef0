"""What a build's report tells of the difference to the live generation."""

from __future__ import annotations

import dataclasses
import logging

from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.evaluate.difference import Difference, difference
from pipeline.evaluate.own_queries import own_queries
from pipeline.index import store
from pipeline.index.manifest import Manifest
from pipeline.job.golden import Golden
from pipeline.models.contract import Encoder, leg_fingerprints
from pipeline.progress import ProgressFactory
from pipeline.query.searcher import Index

log = logging.getLogger(__name__)

QUERIES = 50
"""Queries asked of both generations: golden ones first, else windows of passages."""
MOST = 20
"""Queries that a report lists."""


def from_live(
    config: Config, encoder: Encoder, manifest: Manifest, golden: Golden, progress: ProgressFactory
) -> Difference | None:
    """Compare a generation whose segments are in place with the live one, before it is published.

    `None` without a live one, with one of another encoder, and where it cannot be searched: a report that lacks a
    section is no reason to fail.
    """
    try:
        live = store.live_manifest(config.index_path)
        legs = leg_fingerprints(encoder)
        if live is None or any(live.fingerprint(leg) != fingerprint for leg, fingerprint in legs.items()):
            return None
        with (
            progress("compare", None, "query") as bar,
            _opened(config, live, encoder) as before,
            _opened(config, manifest, encoder) as after,
        ):
            queries = golden.queries[:QUERIES] or own_queries(after, QUERIES)
            found = difference(before, after, queries)
            bar.update(len(queries))
    except PipelineError as error:
        log.warning("the report does not tell the difference to the live generation: %s", error)
        return None
    return dataclasses.replace(found, queries=found.queries[:MOST], others=max(len(found.queries) - MOST, 0))


def _opened(config: Config, manifest: Manifest, encoder: Encoder) -> Index:
    return Index(config.index_path, manifest, encoder, config.query, False, config.encoder, config.base)
