"""What an export holds: its record, `export.json`, which names every other file with its size and checksum.

Nothing in an export is believed before the record vouches for it, and the record names no place outside the export.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.errors import CorruptIndexError, IncompatibleIndexError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import MODELS, Manifest, SegmentEntry
from pipeline.index.segment import SEGMENTS

FORMAT_VERSION = 1
RECORD, REQUIREMENTS = "export.json", "requirements.txt"
LARGEST_RECORD = 64 << 20
AGAIN = "export it again, or copy it again from where it was exported"

_PART = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
_PATH = re.compile(
    rf"{re.escape(REQUIREMENTS)}|manifest-\d{{8}}\.json|{SEGMENTS}/{_PART}/{_PART}|{MODELS}/{_PART}/{_PART}/{_PART}"
)
_LONGEST_PATH = 100


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file of an export: its path in it, size in bytes and XXH3-128."""

    path: str
    size: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Contents:
    """The record of an export. `files`: every file but the record itself, in the order in which they stand."""

    generation: int
    created_at: str
    files: tuple[ExportedFile, ...]
    format_version: int = FORMAT_VERSION
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def with_model(self) -> bool:
        """Whether the encoder is among the files."""
        return any(file.path.startswith(f"{MODELS}/") for file in self.files)


@cache
def _adapter() -> TypeAdapter[Contents]:
    return TypeAdapter(Contents)


def to_bytes(contents: Contents) -> bytes:
    """The record as it is written, with its own checksum."""
    body = _adapter().dump_python(contents, mode="json")
    text = json.dumps({**body, "checksum": manifests.digest(body)}, ensure_ascii=False, indent=1)
    return f"{text}\n".encode()


def from_bytes(data: bytes, origin: str) -> Contents:
    """The record that these bytes are. `origin`: where they are from, for errors.

    Raises `IncompatibleIndexError` for another format version, `CorruptIndexError` for what is no sound record.
    """
    try:
        payload = json.loads(data)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict) or "format_version" not in payload:
        raise damaged(origin, f"{RECORD} is no record of an export")
    version = payload["format_version"]
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise IncompatibleIndexError(
            f"{origin}: exported in format version {version}, and this program reads {FORMAT_VERSION}; "
            "use the version of hybrid-pipeline that exported it, or export it again with this one"
        )
    expected = payload.pop("checksum", None)
    if expected != manifests.digest(payload):
        raise damaged(origin, f"the checksum of {RECORD} does not match: it was edited or damaged")
    try:
        contents = _adapter().validate_python(payload)
    except ValidationError as error:
        detail = error.errors()[0]
        raise damaged(origin, f"{RECORD}: `{'.'.join(map(str, detail['loc']))}`: {detail['msg']}") from None
    _check_paths(contents, origin)
    return contents


def check_manifest(contents: Contents, manifest: Manifest, model: str, origin: str) -> None:
    """Raise `CorruptIndexError` unless the export is this generation, every file of it, and nothing else.

    `model`: the folder that an encoder of this generation stands in.
    """
    recorded = {file.path: (file.size, file.checksum) for file in contents.files}
    named = {
        f"{SEGMENTS}/{entry.segment_id}/{file.name}": (file.size, file.checksum)
        for entry in manifest.segments
        for file in segment_files(entry)
    }
    found = {path: value for path, value in recorded.items() if path.startswith(f"{SEGMENTS}/")}
    if differing := sorted(path for path in found.keys() | named.keys() if found.get(path) != named.get(path)):
        raise damaged(origin, f"its record and its manifest do not agree on {differing[0]}")
    for path in recorded:
        if path.startswith(f"{MODELS}/") and not path.startswith(f"{model}/"):
            raise damaged(origin, f"{path} belongs to another index")


def segment_files(entry: SegmentEntry) -> list[manifests.FileEntry]:
    """Every file of a segment, its deletions included."""
    return [*entry.files, *([entry.deletes] if entry.deletes else [])]


def is_exportable(path: str) -> bool:
    """Whether a file may stand at this path of an export."""
    return len(path) <= _LONGEST_PATH and _PATH.fullmatch(path) is not None


def damaged(origin: str, why: str) -> CorruptIndexError:
    """The error for an export that is not what it should be."""
    return CorruptIndexError(f"{origin}: {why}; {AGAIN}")


def _check_paths(contents: Contents, origin: str) -> None:
    paths = [file.path for file in contents.files]
    for file in contents.files:
        if not is_exportable(file.path):
            raise damaged(origin, f"its record names an unacceptable file {file.path!r}")
        if file.size < 0:
            raise damaged(origin, f"its record says that {file.path} has {file.size} bytes")
    if len(set(paths)) != len(paths):
        raise damaged(origin, "its record names a file twice")
    manifest = f"manifest-{contents.generation:08d}.json"
    if [path for path in paths if path.startswith("manifest-")] != [manifest]:
        raise damaged(origin, f"its record names another manifest than {manifest}")
