"""A generation: the numbered, immutable list of segments and deletions that make up an index at one moment."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import xxhash
from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.errors import CorruptIndexError, IncompatibleIndexError, IndexNotFoundError
from pipeline.index import files
from pipeline.index.statistics import Statistics
from pipeline.names import DENSE, LEXICAL
from pipeline.records import Fingerprint

FORMAT_VERSION = 1
MODELS = "models"
_MOST_CHUNKS = 2**31 - 1
_NAME = re.compile(r"manifest-(\d{8})\.json")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}(\.[a-z]{1,12})?")
Opened = TypeVar("Opened")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a segment: its name in the segment's folder, size in bytes and XXH3-128."""

    name: str
    size: int
    checksum: str


@dataclass(frozen=True, slots=True)
class DenseParameters:
    """How an approximate dense index is searched.

    `kind`: FAISS factory string. `probes`: lists or graph nodes visited, if the kind has any. `refine`: candidates
    rescored for each hit. `recall`: share of the true ten nearest neighbours found so, measured on sampled vectors.
    """

    kind: str
    probes: int | None
    refine: int
    recall: float


@dataclass(frozen=True, slots=True)
class SeismicParameters:
    """How an approximate lexical index is searched.

    `library`: version of pyseismic-lsr that wrote it, and that alone reads it. `query_cut`: how many of a query's
    tokens it looks at, heaviest first (`seismic.MEASURED_TOKENS`). `heap_factor`: 0 passes over nothing, 1 over
    most. `recall`: share of the exact leg's ten best among what it proposes, measured on sampled rows.
    """

    library: str
    query_cut: int
    heap_factor: float
    recall: float


SearchParameters = DenseParameters | SeismicParameters
"""How an approximate index is searched."""


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A segment as one generation sees it.

    `deletes` names the chunks of it that are gone, if any. `dense`, `lexical`: `None` where that leg is exact.
    """

    segment_id: str
    chunks: int
    files: tuple[FileEntry, ...]
    deletes: FileEntry | None = None
    deleted_chunks: int = 0
    dense: DenseParameters | None = None
    lexical: SeismicParameters | None = None

    def has(self, name: str) -> bool:
        """Whether one of its files has this name."""
        return any(file.name == name for file in self.files)

    def with_parameters(self, found: SearchParameters) -> SegmentEntry:
        """Return the entry with how an approximate index of it is searched."""
        if isinstance(found, DenseParameters):
            return dataclasses.replace(self, dense=found)
        return dataclasses.replace(self, lexical=found)


@dataclass(frozen=True, slots=True)
class LexicalRecall:
    """What the approximate lexical segments of a generation find of the exact leg's ten best.

    `segments`: how many are approximate, of `all_segments`. `mean`: weighted by chunks. `least`: of the worst one.
    """

    segments: int
    all_segments: int
    mean: float
    least: float


@dataclass(frozen=True, slots=True)
class LexicalParameters:
    """How stored lexical weights are scored (see docs/index-format.md)."""

    kind: str
    k1: float
    b: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything a reader needs to know about a generation. `documents` and `chunks` count live ones.

    `access_field`: the metadata key that names the groups who may see a document; `None`: everybody may.
    """

    generation: int
    created_at: str
    documents: int
    chunks: int
    segments: tuple[SegmentEntry, ...]
    fingerprints: dict[str, dict[str, str]]
    dimension: int | None
    lexical: LexicalParameters
    encoder: dict[str, Any]
    statistics: Statistics
    note: str = ""
    format_version: int = FORMAT_VERSION
    access_field: str | None = None
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def fingerprint(self, part: str) -> Fingerprint | None:
        """The recorded fingerprint of `dense`, `lexical` or `chunker`; `None` if the index has no such part."""
        fields = self.fingerprints.get(part)
        return None if fields is None else Fingerprint(tuple(sorted(fields.items())))


@cache
def _adapter() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def manifest_path(index: Path, generation: int) -> Path:
    """Where the manifest of a generation stands."""
    return index / f"manifest-{generation:08d}.json"


def model_folder(index: Path, manifest: Manifest) -> Path:
    """Where the encoder stands that came with a generation, if one did; named after its fingerprints."""
    fingerprints: dict[str, Any] = {leg: manifest.fingerprints.get(leg) for leg in (DENSE, LEXICAL)}
    return index / MODELS / digest(fingerprints)


def generations(index: Path) -> list[int]:
    """Numbers of all published generations, ascending."""
    try:
        names = [path.name for path in index.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def live_number(index: Path) -> int:
    """The number of the live generation, 0 if there is none."""
    return max(generations(index), default=0)


def latest_generation(index: Path) -> int:
    """The live generation. Raises `IndexNotFoundError`."""
    numbers = generations(index)
    if not numbers:
        raise IndexNotFoundError(f"{index}: no index here; `pipeline build` makes one, `--index DIR` names another")
    return numbers[-1]


def with_live(index: Path, use: Callable[[Manifest], Opened]) -> Opened:
    """Use the live generation, again if a writer publishes and collects garbage meanwhile; return the result.

    Raises what `latest_generation`, `load` and `use` raise.
    """
    while True:
        number = latest_generation(index)
        try:
            return use(load(index, number))
        except (CorruptIndexError, IndexNotFoundError):
            if latest_generation(index) == number:
                raise


def publish(index: Path, manifest: Manifest) -> None:
    """Make `manifest` the live generation in one atomic step. Raises `FileExistsError` if its number is taken."""
    body = _adapter().dump_python(manifest, mode="json")
    if manifest.access_field is None:
        del body["access_field"]  # readers that know of no such field refuse those that have one, and no others
    payload = {**body, "checksum": digest(body)}
    text = json.dumps(payload, ensure_ascii=False, indent=1) + "\n"
    files.write_new_file(manifest_path(index, manifest.generation), text.encode())


def load(index: Path, generation: int) -> Manifest:
    """Read a generation's manifest. Raises `CorruptIndexError` if it was altered, `IncompatibleIndexError`,
    `IndexNotFoundError`."""
    path = manifest_path(index, generation)
    try:
        data = path.read_bytes()
        payload = json.loads(data)
    except FileNotFoundError:
        known = ", ".join(map(str, generations(index))) or "none"
        raise IndexNotFoundError(f"{index}: no generation {generation}; there are: {known}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _corrupt(path, f"cannot be read: {error}") from None
    if not isinstance(payload, dict) or not data.endswith(b"}\n"):
        raise _corrupt(path, "is not a manifest")
    version = payload.get("format_version")
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise IncompatibleIndexError(
            f"{path}: format version {version}, this program reads {FORMAT_VERSION}; "
            "use the matching version or `pipeline build --full`"
        )
    expected = payload.pop("checksum", None)
    if expected != digest(payload):
        raise _corrupt(path, "its checksum does not match: it was edited or damaged")
    try:
        manifest = _adapter().validate_python(payload)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise _corrupt(path, f"`{where}`: {detail['msg']}") from None
    if manifest.generation != generation:
        raise _corrupt(path, f"says it is generation {manifest.generation}")
    _check_names(path, manifest)
    _check_counts(path, manifest)
    return manifest


def lexical_recall(manifest: Manifest) -> LexicalRecall | None:
    """The recall of the lexical leg over all segments; `None` if all of them are exact."""
    found = [(entry.lexical.recall, entry.chunks) for entry in manifest.segments if entry.lexical is not None]
    if not found:
        return None
    mean = sum(recall * chunks for recall, chunks in found) / sum(chunks for _, chunks in found)
    return LexicalRecall(len(found), len(manifest.segments), round(mean, 4), min(recall for recall, _ in found))


def differences(manifest: Manifest, current: Mapping[str, Fingerprint | None]) -> list[str]:
    """One line for each field in which the recorded fingerprints differ from the current ones."""
    nothing = Fingerprint(())
    return [
        f"{part} {line}"
        for part, mine in current.items()
        for line in (manifest.fingerprint(part) or nothing).differences(mine or nothing)
    ]


def check_fingerprints(index: Path, manifest: Manifest, current: Mapping[str, Fingerprint | None]) -> None:
    """Refuse to mix. Raises `IncompatibleIndexError` that spells out, field by field, what differs."""
    if problems := differences(manifest, current):
        raise IncompatibleIndexError(
            f"{index}: built with other settings (index → configured): {'; '.join(problems)}; "
            "configure what the index was built with, or rebuild it with `pipeline build --full`"
        )


def _check_names(path: Path, manifest: Manifest) -> None:
    for segment in manifest.segments:
        entries = [*segment.files, *([segment.deletes] if segment.deletes else [])]
        for name in [segment.segment_id, *(entry.name for entry in entries)]:
            if not _SAFE_NAME.fullmatch(name):
                raise _corrupt(path, f"names an unacceptable file {name!r}")


def _check_counts(path: Path, manifest: Manifest) -> None:
    for segment in manifest.segments:
        if not 0 <= segment.deleted_chunks <= segment.chunks <= _MOST_CHUNKS:
            raise _corrupt(
                path, f"segment {segment.segment_id}: {segment.deleted_chunks} of {segment.chunks} deleted"
            )
        if (segment.deletes is None) != (segment.deleted_chunks == 0):
            raise _corrupt(path, f"segment {segment.segment_id}: no file names its deleted chunks, or it has none")
        dense = segment.dense
        if dense and not (0 < (dense.probes or 1) <= _MOST_CHUNKS and 0 < dense.refine <= 1024):
            raise _corrupt(path, f"segment {segment.segment_id}: unacceptable search parameters {dense}")
        lexical = segment.lexical
        if lexical and not (
            0 < lexical.query_cut <= 1024 and 0 <= lexical.heap_factor <= 1 and 0 <= lexical.recall <= 1
        ):
            raise _corrupt(path, f"segment {segment.segment_id}: unacceptable search parameters {lexical}")
    counted = sum(segment.chunks - segment.deleted_chunks for segment in manifest.segments)
    if manifest.chunks != counted:
        raise _corrupt(path, f"says {manifest.chunks} chunks, its segments have {counted}")
    if not 0 <= manifest.documents <= manifest.chunks:
        raise _corrupt(path, f"says {manifest.documents} documents in {manifest.chunks} chunks")


def _corrupt(path: Path, why: str) -> CorruptIndexError:
    return CorruptIndexError(f"{path}: {why}; `pipeline rollback` or rebuild with `pipeline build --full`")


def digest(body: dict[str, Any]) -> str:
    """Checksum of a record: of its fields, however they are laid out."""
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return xxhash.xxh3_128(text.encode("utf-8", "surrogatepass")).hexdigest()
