"""Removes from an object store what no reader needs: by number, and by age, since nobody sees who reads."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.errors import IndexStoreError
from pipeline.index.manifest import Manifest
from pipeline.remote import encoder_files
from pipeline.remote.layout import (
    GENERATIONS,
    MODELS,
    PROBES,
    REJECTS,
    REPORTS,
    SEGMENTS,
    STAGED,
    generation_key,
    generation_of,
    report_keys,
    segment_keys,
)
from pipeline.remote.objects import Stored
from pipeline.remote.place import RemoteIndex
from pipeline.remote.push import check_writable
from pipeline.remote.staged.leftovers import in_progress

log = logging.getLogger(__name__)

_COLLECTED = (SEGMENTS, MODELS, PROBES, STAGED, REPORTS, REJECTS)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did. `generations`: that are left. `objects`, `bytes`: removed, manifests not counted."""

    generations: tuple[int, ...]
    removed: tuple[int, ...]
    objects: int
    bytes: int


def collect(remote: RemoteIndex, retain: int) -> Collected:
    """Remove generations beyond the newest `retain` that were superseded more than `keep_hours` ago.

    And objects that no remaining one names, nor a plan in progress, and that were written that long ago.

    So a reader may take that long to fetch a generation, and a builder half as long to publish what it has written.
    Nothing is removed where a manifest cannot be read. Raises `ObjectStoreError`.
    """
    objects = remote.objects
    long_ago = check_writable(remote) - timedelta(hours=remote.settings.keep_hours)
    beside = [one for kind in _COLLECTED for one in objects.list(f"{kind}/")]  # before the manifests
    published = _published(remote)
    numbers = sorted(published)
    kept = set(numbers[-retain:])
    kept |= {number for number, after in itertools.pairwise(numbers) if published[after] >= long_ago}
    named: set[str] = set()
    for number in sorted(kept):
        try:
            manifest = remote.manifest(number)
            if manifest is None:
                raise IndexStoreError(f"{remote.url}: generation {number} is listed, but not there")
            named |= _named(remote, manifest)
        except IndexStoreError as error:
            log.warning("nothing is removed: what this generation names is unknown: %s", error)
            return Collected(tuple(numbers), (), 0, 0)
    named.update(key for number in kept for key in report_keys(number))
    named |= in_progress(remote, beside, max(numbers, default=0), long_ago)
    removed = [number for number in numbers if number not in kept]
    for number in removed:
        objects.delete(generation_key(number))
    garbage = [one for one in beside if one.key not in named and one.written < long_ago]
    for one in garbage:
        objects.delete(one.key)
    return Collected(tuple(sorted(kept)), tuple(removed), len(garbage), sum(one.size for one in garbage))


def _published(remote: RemoteIndex) -> dict[int, datetime]:
    """When each generation was published. Those that an old list does not show yet are looked for by name."""
    listed = {generation_of(one.key): one.written for one in remote.objects.list(f"{GENERATIONS}/")}
    found = {number: written for number, written in listed.items() if number is not None}
    following: Stored | None
    while (following := remote.objects.head(generation_key(max(found, default=0) + 1))) is not None:
        found[max(found, default=0) + 1] = following.written
    return found


def _named(remote: RemoteIndex, manifest: Manifest) -> set[str]:
    """Every object that a generation needs beside its manifest."""
    named = {key for entry in manifest.segments for key in segment_keys(entry)}
    model = encoder_files.listed(remote, manifest)
    if model is not None:
        named.add(encoder_files.record_key(manifest))
        named.update(encoder_files.model_key(manifest, file) for file in model)
    return named
