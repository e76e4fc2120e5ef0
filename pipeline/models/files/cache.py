"""Converted models in a per-user cache folder: published whole by one rename, checked, and rebuilt when damaged.

`$HYBRID_PIPELINE_CACHE`, else `~/Library/Caches/hybrid-pipeline` on macOS, else `$XDG_CACHE_HOME/hybrid-pipeline`,
else `~/.cache/hybrid-pipeline`. Nothing in it is precious: deleting it costs one conversion.

An artifact's name says what went into it, so an existing one is never out of date; it can only be damaged. Sizes
are compared on every open (a query must not read 90 MB to be sure); builds, which run for minutes, also check sums.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import xxhash

from pipeline.errors import EncoderError, MissingDependencyError

MANIFEST = "artifact.json"
_BLOCK = 1 << 22
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is recorded of a file: bytes, and hex xxh3-128."""

    size: int
    checksum: str


class Artifact(Protocol):
    """Gives the folder of something converted; the flags are those of `artifact`."""

    def __call__(self, *, checksums: bool, rebuild: bool) -> Path: ...


def cache_root() -> Path:
    """The folder that holds all converted models; it may not exist yet."""
    if chosen := os.environ.get("HYBRID_PIPELINE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "hybrid-pipeline"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hybrid-pipeline"


def artifact(name: str, convert: Callable[[Path], None], *, checksums: bool = False, rebuild: bool = False) -> Path:
    """Folder of a converted model, made by `convert(empty_folder)` if it is missing or damaged.

    `checksums`: compare contents, not only sizes. `rebuild`: distrust what is there. Two processes may convert the
    same model at once; both get a whole folder. Raises `EncoderError` if the cache cannot be written.
    """
    folder = cache_root() / "models" / name
    if not rebuild and is_intact(folder, checksums=checksums):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    except OSError as error:
        raise EncoderError(
            f"{folder.parent}: cannot write the model cache: {error.strerror}; "
            "set HYBRID_PIPELINE_CACHE to a folder that can be written"
        ) from error
    try:
        convert(temporary)
        _write_manifest(temporary)
        _publish(temporary, folder)
    except OSError as error:
        raise EncoderError(
            f"{folder}: cannot write the converted model: {error.strerror or error}; "
            "free some space or set HYBRID_PIPELINE_CACHE to another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def loaded(artifact: Artifact, load: Callable[[Path], T], *, checksums: bool = False) -> T:
    """What `load` makes of an artifact's folder; one that it finds damaged (`EncoderError`) is made again, once."""
    folder = artifact(checksums=checksums, rebuild=False)
    try:
        return load(folder)
    except MissingDependencyError:
        raise
    except EncoderError:
        return load(artifact(checksums=True, rebuild=True))


def is_intact(folder: Path, *, checksums: bool = False) -> bool:
    """Whether every file of an artifact is there with its recorded size (and contents, if `checksums`)."""
    try:
        files = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
        return all(
            (folder / name).stat().st_size == entry["bytes"]
            and (not checksums or file_checksum(folder / name) == entry["xxh3_128"])
            for name, entry in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def file_checksum(path: Path) -> str:
    """Hex xxh3-128 of a file's bytes."""
    state = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            state.update(block)
    return state.hexdigest()


def read_blob(path: Path) -> bytes | None:
    """A file written by `write_blob`, or `None` if it is missing or not what was written."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    digest, body = data[:16], data[16:]
    return body if xxhash.xxh3_128_digest(body) == digest else None


def write_blob(path: Path, body: bytes) -> None:
    """Write a derived file with its checksum, atomically; a cache that cannot be written is only slower."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            stream.write(xxhash.xxh3_128_digest(body) + body)
        Path(stream.name).replace(path)
    except OSError:
        return


def manifest(entries: Mapping[str, Entry]) -> bytes:
    """The bytes of the file `MANIFEST` of an artifact with these files."""
    files = {name: {"bytes": entry.size, "xxh3_128": entry.checksum} for name, entry in entries.items()}
    return json.dumps({"files": files}, indent=1).encode()


def file_names(folder: Path) -> list[str]:
    """The files of an artifact that is intact, its manifest not counted."""
    return list(json.loads((folder / MANIFEST).read_text("utf-8"))["files"])


def _write_manifest(folder: Path) -> None:
    entries = {
        str(path.relative_to(folder)): Entry(path.stat().st_size, file_checksum(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / MANIFEST).write_bytes(manifest(entries))
    folder.chmod(0o755)


def _publish(temporary: Path, folder: Path) -> None:
    for _ in range(10):
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.exists():
                raise
        else:
            return
        if is_intact(folder, checksums=True):
            return
        aside = Path(tempfile.mkdtemp(prefix=".damaged-", dir=folder.parent))
        try:
            folder.rename(aside / folder.name)
        except FileNotFoundError:
            pass
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    raise OSError(f"{folder} keeps changing while it is replaced")
