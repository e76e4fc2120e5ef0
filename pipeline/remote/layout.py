"""What the objects of an index are called.

    generations/00000012.json                     a manifest, as it is locally; created by a conditional put
    segments/<segment id>/<checksum>/<name>       a file of a segment; its name says what is in it
    models/<fingerprint>.json                     which files an encoder has that came with an index
    models/<fingerprint>/<checksum>/<path>        one of them
    reports/00000012.json                         what the build of a generation did, if it could be uploaded
    rejects/00000012.jsonl                        what it could not read
    probes/<random>                               left by whoever tried whether the place can be written
    staging/plan.json                             names the latest plan of an encoding that several machines divide
    staging/plans/<checksum>.json                 a plan: the files that are staged for it, and its shards
    staging/files/<checksum>/<name>               one of these files
    staging/shards/<key>.json                     a shard that is complete: its files; created by a conditional put
    staging/shards/<key>/<checksum>/<name>        one of these files

An object other than a probe and `staging/plan.json` is written once and never changed, or again with the same
bytes.
"""

from __future__ import annotations

import re

from pipeline.index.manifest import FileEntry, SegmentEntry

GENERATIONS, SEGMENTS, MODELS, PROBES = "generations", "segments", "models", "probes"
REPORTS, REJECTS = "reports", "rejects"
STAGED, LATEST_PLAN = "staging", "staging/plan.json"
PLANS, SHARDS = f"{STAGED}/plans", f"{STAGED}/shards"
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


def report_keys(number: int) -> tuple[str, str]:
    """The objects of a generation's report and of its rejected documents: paths in the local copy too."""
    return f"{REPORTS}/{number:08d}.json", f"{REJECTS}/{number:08d}.jsonl"


def plan_key(name: str) -> str:
    """The object of a plan."""
    return f"{PLANS}/{name}.json"


def staged_key(checksum: str, path: str) -> str:
    """The object of a file that is staged for a plan."""
    return f"{STAGED}/files/{checksum}/{path.rpartition('/')[2]}"


def marker_key(shard: str) -> str:
    """The object that says that a shard is complete."""
    return f"{SHARDS}/{shard}.json"


def shard_file_key(shard: str, checksum: str, name: str) -> str:
    """The object of a shard's file."""
    return f"{SHARDS}/{shard}/{checksum}/{name}"
