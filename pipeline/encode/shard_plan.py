"""The plan of a staged encoding: which shards workers on other machines are to encode, and on which terms.

    staging/ingest/plan.json    written by whoever holds the writer's lock, read by workers, which hold none

A worker compares its own terms with those of the plan before it computes anything. It writes whole shards, each
under a name that says what is in it, so it does not matter how many of them encode the same one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from pipeline.config import Config, SegmentSettings
from pipeline.encode.reuse import Job
from pipeline.encode.stage import encode_shard, fingerprints
from pipeline.errors import CorruptIndexError, IncompatibleIndexError, IndexStoreError
from pipeline.index import files, staging
from pipeline.index.manifest import digest
from pipeline.models.contract import Encoder
from pipeline.records import Fingerprint

_FILE = "plan.json"
_DISTRIBUTION = "hybrid-pipeline"
_PACKAGE, _SETTINGS = "package", "config.yaml"
_TRIES = 3
"""Of one shard: another worker may clear away a damaged one just as this one has written it anew."""

Fields = dict[str, dict[str, str]]
"""Names and values of everything that has to be the same, by part."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all who encode one index must have in common: the package's version, settings, and fingerprints by part.

    Where a machine keeps the model and which device it has is its own affair.
    """

    parts: Fields

    @classmethod
    def of(cls, config: Config, encoder: Encoder) -> Terms:
        """The terms of this process, with this configuration and its encoder."""
        sections = {"chunking": config.chunking, "segments": config.segments}
        settings = {
            f"{section}.{name}": str(value)
            for section, made in sections.items()
            for name, value in made.model_dump(mode="json").items()
        }
        prints = {part: dict(found.fields) for part, found in fingerprints(encoder, config.segments).items()}
        return cls({_PACKAGE: _version(), _SETTINGS: settings, **prints})

    @property
    def prints(self) -> list[Fingerprint]:
        """The fingerprints of what is stored, in the order in which shards record them."""
        named = (part for part in self.parts if part not in (_PACKAGE, _SETTINGS))
        return [_fingerprint(self.parts[part]) for part in named]

    def check_version(self, who: str) -> None:
        """Refuse a worker of another version of this package. Raises `IncompatibleIndexError` naming both."""
        Terms({_PACKAGE: self.parts.get(_PACKAGE, {})}).check(Terms({_PACKAGE: _version()}), who)

    def check(self, own: Terms, who: str) -> None:
        """Refuse a worker whose `own` terms are others. Raises `IncompatibleIndexError` naming both of each."""
        differing = [
            line if part == _SETTINGS else f"{part}: {line}"
            for part in dict.fromkeys([*self.parts, *own.parts])
            for line in _fingerprint(self.parts.get(part, {})).differences(_fingerprint(own.parts.get(part, {})))
        ]
        if differing:
            raise IncompatibleIndexError(
                f"{who} does not fit what is planned (planned → here): {'; '.join(differing)}; give it the same "
                "package and configuration, or plan again with these"
            )


def _version() -> dict[str, str]:
    return {"version": metadata.version(_DISTRIBUTION)}


def _fingerprint(fields: Mapping[str, str]) -> Fingerprint:
    return Fingerprint(tuple(sorted(fields.items())))


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """One shard: its key, its file of texts (below `staging/`) with a checksum, and how many texts it has."""

    key: str
    texts: str
    checksum: str
    count: int


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """The terms, and the shards that were missing when the plan was made."""

    terms: Terms
    shards: tuple[PlannedShard, ...]

    @property
    def chunks(self) -> int:
        """Texts to encode."""
        return sum(shard.count for shard in self.shards)


_ADAPTER: TypeAdapter[ShardPlan] = TypeAdapter(ShardPlan)


def planned(index: Path, terms: Terms, jobs: list[Job]) -> ShardPlan:
    """The plan of these jobs."""
    return ShardPlan(terms, tuple(planned_shard(index, job.texts, job.shard, job.count) for job in jobs))


def planned_shard(index: Path, texts: Path, shard: Path, count: int | None = None) -> PlannedShard:
    """The shard that a file of texts makes. `count`: how many texts there are, if that is known."""
    name = texts.relative_to(index / staging.STAGING).as_posix()
    rows = pq.read_metadata(texts).num_rows if count is None else count
    return PlannedShard(shard.name, name, files.checksum(texts), rows)


def plan_path(index: Path) -> Path:
    """Where the plan stands; it goes with the ingest that it belongs to."""
    return staging.ingest_folder(index) / _FILE


def save(index: Path, plan: ShardPlan) -> None:
    """Write the plan. Call with the lock held."""
    body = _ADAPTER.dump_python(plan, mode="json")
    files.write_file(plan_path(index), json.dumps({**body, "checksum": digest(body)}, indent=1).encode())


def load(index: Path) -> ShardPlan:
    """The plan. Raises `IndexStoreError` if there is none, `CorruptIndexError`."""
    path = plan_path(index)
    try:
        payload = json.loads(path.read_bytes())
        if payload.pop("checksum") != digest(payload):
            raise ValueError("its checksum does not match")
        plan = _ADAPTER.validate_python(payload)
        if any(".." in Path(shard.texts).parts or Path(shard.texts).is_absolute() for shard in plan.shards):
            raise ValueError("it names a file outside of the index")
    except FileNotFoundError:
        raise IndexStoreError(
            f"{path}: no encoding is planned; run `pipeline ingest` and `pipeline encode --plan` first"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise CorruptIndexError(f"{path}: damaged ({reason}); run `pipeline encode --plan` again") from None
    return plan


def read_texts(index: Path, shard: PlannedShard) -> Path:
    """The file of a shard's texts, compared with the plan. Raises `CorruptIndexError`."""
    path = index / staging.STAGING / shard.texts
    try:
        found = files.checksum(path)
    except OSError as error:
        raise CorruptIndexError(
            f"{path}: {error.strerror}, though it is planned; was the index built or ingested again meanwhile?"
        ) from None
    if found != shard.checksum:
        raise CorruptIndexError(f"{path}: is not what was planned; run `pipeline encode --plan` again")
    return path


def missing(index: Path, plan: ShardPlan) -> list[PlannedShard]:
    """The planned shards that are not there, or not sound, in the order of the plan."""
    prints = plan.terms.prints
    return [shard for shard in plan.shards if not staging.holds(staging.shard_folder(index, shard.key), prints)]


def encode_planned(
    index: Path, terms: Terms, shard: PlannedShard, encoder: Encoder, settings: SegmentSettings
) -> bool:
    """Encode one planned shard, unless it is there and sound; says whether it was encoded.

    Raises `IndexStoreError` if somebody else took the index over meanwhile, `EncoderError`.
    """
    place, prints, encoded = staging.shard_folder(index, shard.key), terms.prints, False
    for _ in range(_TRIES):
        was_there = place.exists()
        if staging.holds(place, prints):
            return encoded
        texts = read_texts(index, shard)
        if was_there:  # damaged; what has come since is another worker's, and may be sound
            files.remove_folder(place)
        try:
            encoded = encode_shard(texts, place, encoder, settings) > 0 or encoded
        except FileNotFoundError as error:
            raise IndexStoreError(
                f"{error.filename}: gone while shard {shard.key} was written: another process took the index over; "
                "start the worker again if it is still to be encoded"
            ) from None
    if not staging.holds(place, prints):
        raise IndexStoreError(f"{place}: holds something else than was written; start the worker again")
    return encoded
