"""The records of the staging area: a plan with its files, and the files of a complete shard. Signed JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.manifest import digest

_NAME = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
_PATHS = {
    "PlanRecord": re.compile(rf"(staging/(ingest|texts)|rejects)/{_NAME}"),
    "ShardRecord": re.compile(_NAME),
}
_CHECKSUM, _KEY = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file: where it stands below the index (of a shard: below its folder), size in bytes and XXH3-128."""

    path: str
    size: int
    checksum: str
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    @classmethod
    def of(cls, path: Path, folder: Path) -> StagedFile:
        """The record of a file below `folder`."""
        return cls(path.relative_to(folder).as_posix(), path.stat().st_size, files.checksum(path))


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """What is stored for an encoding that is divided.

    `follows`: the generation that was live. `files`: all that is staged. `shards`: keys of all shards that its
    commit needs, those that were encoded before the plan included.
    """

    follows: int
    files: tuple[StagedFile, ...]
    shards: tuple[str, ...]
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """The files of a complete shard."""

    files: tuple[StagedFile, ...]
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


Record = TypeVar("Record", PlanRecord, ShardRecord)


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter({"PlanRecord": PlanRecord, "ShardRecord": ShardRecord}[kind])


def to_bytes(record: PlanRecord | ShardRecord) -> bytes:
    """The record as JSON with a checksum of itself; the same bytes for the same record."""
    body = _adapter(type(record).__name__).dump_python(record, mode="json")
    return json.dumps({**body, "checksum": digest(body)}, indent=1).encode()


def from_bytes(data: bytes, kind: type[Record], where: str) -> Record:
    """The record that an object holds. Raises `CorruptIndexError` naming `where` it is."""
    try:
        payload = json.loads(data)
        if payload.pop("checksum") != digest(payload):
            raise ValueError("its checksum does not match")
        record: Record = _adapter(kind.__name__).validate_python(payload)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ValidationError):
        raise CorruptIndexError(f"{where}: is damaged; run `pipeline encode --plan` again") from None
    keys: Iterable[str] = record.shards if isinstance(record, PlanRecord) else ()
    pattern = _PATHS[kind.__name__]
    if not (all(_is_acceptable(file, pattern) for file in record.files) and all(map(_KEY.fullmatch, keys))):
        raise CorruptIndexError(f"{where}: names an unacceptable file; run `pipeline encode --plan` again")
    return record


def _is_acceptable(file: StagedFile, pattern: re.Pattern[str]) -> bool:
    return bool(pattern.fullmatch(file.path) and _CHECKSUM.fullmatch(file.checksum)) and file.size >= 0
