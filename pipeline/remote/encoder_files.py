"""The encoder that came with an index, where it was imported with one: it travels with its generations."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.manifest import Manifest, digest, model_folder
from pipeline.remote.download import Wanted, download
from pipeline.remote.layout import MODELS
from pipeline.remote.place import RemoteIndex

_PATH = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9_.-]*/){0,3}[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_CHECKSUM = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of an encoder: its path in the encoder's folder, size in bytes and XXH3-128."""

    path: str
    size: int
    checksum: str
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@cache
def _adapter() -> TypeAdapter[tuple[ModelFile, ...]]:
    return TypeAdapter(tuple[ModelFile, ...])


def record_key(manifest: Manifest) -> str:
    """The object that lists the files of a generation's encoder."""
    return f"{MODELS}/{model_folder(Path(), manifest).name}.json"


def model_key(manifest: Manifest, file: ModelFile) -> str:
    """The object of one of them."""
    return f"{MODELS}/{model_folder(Path(), manifest).name}/{file.checksum}/{file.path}"


def listed(remote: RemoteIndex, manifest: Manifest) -> tuple[ModelFile, ...] | None:
    """The files of the encoder that a generation has in the store; `None` where it has none there.

    Raises `CorruptIndexError`.
    """
    key = record_key(manifest)
    data = remote.objects.read(key)
    if data is None:
        return None
    try:
        payload = json.loads(data)
        if payload.pop("checksum") != digest(payload):
            raise ValueError("its checksum does not match")
        found = _adapter().validate_python(payload["files"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ValidationError):
        raise CorruptIndexError(f"{remote.url}: {key}: is no list of an encoder's files; import it again") from None
    for file in found:
        if not (_PATH.fullmatch(file.path) and _CHECKSUM.fullmatch(file.checksum) and file.size >= 0):
            raise CorruptIndexError(f"{remote.url}: {key}: names an unacceptable file; import the index again")
    return found


def push(remote: RemoteIndex, manifest: Manifest) -> None:
    """Write the encoder of a generation to the store, if it came with one and is not there yet."""
    folder = model_folder(remote.folder, manifest)
    if not folder.is_dir() or remote.objects.head(record_key(manifest)) is not None:
        return
    found = tuple(
        ModelFile(path.relative_to(folder).as_posix(), path.stat().st_size, files.checksum(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
    for file in found:
        remote.objects.write(model_key(manifest, file), folder / file.path)
    body = {"files": [asdict(file) for file in found]}
    remote.objects.write(record_key(manifest), json.dumps({**body, "checksum": digest(body)}).encode())


def pull(remote: RemoteIndex, manifest: Manifest) -> None:
    """Bring the encoder that travels with a generation into the local copy, if there is one and it is not here."""
    folder = model_folder(remote.folder, manifest)
    if folder.exists():
        return
    found = listed(remote, manifest)
    if found is None:
        return
    files.make_folder(folder.parent)
    with files.scratch_folder(folder.parent) as scratch:
        whole = scratch / folder.name
        wanted = [Wanted(model_key(manifest, one), one.size, one.checksum, whole / one.path) for one in found]
        download(remote.objects.read_range, wanted, remote.settings.transfers, lambda count: None)
        if not folder.exists():
            files.adopt_folder(whole, folder)
