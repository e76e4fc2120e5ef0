"""What the objects of an index are called.

    generations/00000012.json                     a manifest, as it is locally; created by a conditional put
    segments/<segment id>/<checksum>/<name>       a file of a segment; its name says what is in it
    models/<fingerprint>.json                     which files an encoder has that came with an index
    models/<fingerprint>/<checksum>/<path>        one of them
    probes/<random>                               left by whoever tried whether the place can be written

An object other than a probe is written once and never changed, or again with the same bytes.
"""

from __future__ import annotations

import re

from pipeline.index.manifest import FileEntry, SegmentEntry

GENERATIONS, SEGMENTS, MODELS, PROBES = "generations", "segments", "models", "probes"
_GENERATION = re.compile(rf"{GENERATIONS}/(\d{{8}})\.json")


def generation_key(number: int) -> str:
    """The object that makes a generation live."""
    return f"{GENERATIONS}/{number:08d}.json"


def generation_of(key: str) -> int | None:
    """The number of a generation, by its key; `None` for another object."""
    match = _GENERATION.fullmatch(key)
    return int(match[1]) if match else None


def file_key(segment_id: str, file: FileEntry) -> str:
    """The object of a segment's file."""
    return f"{SEGMENTS}/{segment_id}/{file.checksum}/{file.name}"


def segment_keys(entry: SegmentEntry) -> dict[str, FileEntry]:
    """Every file of a segment, its deletions included, by its object."""
    return {file_key(entry.segment_id, file): file for file in entry.every_file}
