"""Write one generation of an index as a folder that can be searched where it stands, or as one archive of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from pipeline.config import EncoderSettings
from pipeline.errors import CorruptIndexError, IndexNotFoundError, IndexStoreError
from pipeline.index import files, locks
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.index.segment import SEGMENTS, Segment
from pipeline.models.choose.open_settings import as_recorded
from pipeline.models.portable.writing import Files, files_of, portable_encoder, tokenizer_forms
from pipeline.models.shared import SharedEncoder
from pipeline.query.compatibility import check_encoder
from pipeline.transfer.archive import BLOCK, SUFFIX, ArchiveWriter
from pipeline.transfer.contents import (
    RECORD,
    REQUIREMENTS,
    Contents,
    ExportedFile,
    is_exportable,
    segment_files,
    to_bytes,
)
from pipeline.transfer.requirements import requirements


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written. `bytes`: of the files; `written_bytes`: of the archive, the same for a folder."""

    target: str
    generation: int
    documents: int
    chunks: int
    files: int
    bytes: int
    written_bytes: int
    with_model: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """A file to write, and the bytes or the file that it is made of."""

    file: ExportedFile
    origin: Path | bytes


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where the encoder that an export takes along is found.

    `settings`: as for `open_index`; by default as the index records. `base`: where a relative folder starts.
    """

    settings: EncoderSettings | None = None
    base: Path = Path()


def export(
    index: Path,
    target: Path,
    generation: int | None = None,
    *,
    model: ModelSource | None = None,
    extras: Sequence[str] = (),
) -> ExportReport:
    """Write a generation, by default the live one: an archive if `target` is named `*.tar.zst`, else a folder.

    `model`: take the converted encoder along, to search without the model's own files and libraries.
    `extras`: of this package, whose packages are to be installed where it is searched, such as `serve`.
    `target` appears whole or not at all. Raises `IndexStoreError` if something is there already,
    `IndexNotFoundError`, `CorruptIndexError` for an index that is damaged, `IncompatibleIndexError`, and
    `EncoderError` for a model that cannot be loaded here or cannot travel.
    """
    if os.path.lexists(target):
        raise IndexStoreError(f"{target}: is there already; name another target, or remove it")
    if target.absolute().resolve().is_relative_to(index.absolute().resolve()):
        raise IndexStoreError(f"{target}: is in the index that is exported; name a target outside {index}")

    def use(manifest: Manifest) -> ExportReport:
        held = [Segment(index, entry, verify=False) for entry in manifest.segments]  # not collected meanwhile
        pieces = _pieces(index, manifest, model, extras)
        contents = Contents(manifest.generation, manifest.created_at, tuple(piece.file for piece in pieces))
        locks.sweep_beside(target)
        try:
            if target.name.endswith(SUFFIX):
                _write_archive(target, contents, pieces)
            else:
                _write_folder(target, contents, pieces)
        except FileExistsError:
            raise IndexStoreError(
                f"{target}: somebody else made it meanwhile; name another target, or remove it"
            ) from None
        del held
        return ExportReport(
            str(target),
            manifest.generation,
            manifest.documents,
            manifest.chunks,
            len(pieces),
            contents.size,
            target.stat().st_size if target.is_file() else contents.size,
            contents.with_model,
        )

    return manifests.with_live(index, use) if generation is None else use(manifests.load(index, generation))


def _pieces(index: Path, manifest: Manifest, model: ModelSource | None, extras: Sequence[str]) -> list[_Piece]:
    record = manifests.manifest_path(index, manifest.generation)
    brought = _model_files(index, manifest, model) if model is not None else {}
    needed = requirements(manifest, tokenizer_forms(brought), extras)
    try:
        pieces = [_in_memory(REQUIREMENTS, needed), _in_memory(record.name, record.read_bytes())]
    except FileNotFoundError:
        raise IndexNotFoundError(f"{record}: was collected as garbage; export the live generation") from None
    for entry in manifest.segments:
        folder = f"{SEGMENTS}/{entry.segment_id}"
        pieces += [
            _Piece(ExportedFile(f"{folder}/{file.name}", file.size, file.checksum), index / folder / file.name)
            for file in segment_files(entry)
        ]
    start = manifests.model_folder(index, manifest).relative_to(index).as_posix()
    for name, origin in sorted(brought.items()):
        path = f"{start}/{name}"
        if isinstance(origin, bytes):
            pieces.append(_in_memory(path, origin))
        else:
            pieces.append(_Piece(ExportedFile(path, origin.stat().st_size, files.checksum(origin)), origin))
    for piece in pieces:
        if not is_exportable(piece.file.path):
            raise IndexStoreError(
                f"{index}: {piece.file.path} has a name that cannot be exported; `pipeline compact`"
            )
    return pieces


def _model_files(index: Path, manifest: Manifest, model: ModelSource) -> Files:
    """The files of the encoder; none where it needs none (BM25, a server)."""
    found = files_of(manifests.model_folder(index, manifest))
    if found is None:
        settings = model.settings or EncoderSettings.model_validate(manifest.encoder)
        encoder, found = portable_encoder(as_recorded(settings, manifest.fingerprints), model.base)
        check_encoder(index, manifest, SharedEncoder(lambda: encoder), from_index=model.settings is None)
    return found


def _in_memory(path: str, data: bytes) -> _Piece:
    return _Piece(ExportedFile(path, len(data), xxhash.xxh3_128_hexdigest(data)), data)


def _write_archive(target: Path, contents: Contents, pieces: Sequence[_Piece]) -> None:
    with files.new_stream(target) as stream, locks.kept_from_sweeping(Path(stream.name)):
        archive = ArchiveWriter(stream)
        record = to_bytes(contents)
        archive.add(RECORD, len(record), iter([record]))
        for piece in pieces:
            archive.add(piece.file.path, piece.file.size, _blocks(piece))
        archive.close()


def _write_folder(target: Path, contents: Contents, pieces: Sequence[_Piece]) -> None:
    with files.new_tree(target) as folder, locks.kept_from_sweeping(folder):
        (folder / RECORD).write_bytes(to_bytes(contents))
        for piece in pieces:
            path = folder / piece.file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream:
                for block in _blocks(piece):
                    stream.write(block)


def _blocks(piece: _Piece) -> Iterator[bytes]:
    """A file's bytes. Raises `CorruptIndexError` unless they are the size and have the checksum they should."""
    if isinstance(piece.origin, bytes):
        yield piece.origin
        return
    files.regular_file(piece.origin, piece.file.size)
    digest = xxhash.xxh3_128()
    left = piece.file.size
    with piece.origin.open("rb", buffering=0) as stream:
        while left and (block := stream.read(min(BLOCK, left))):
            digest.update(block)
            left -= len(block)
            yield block
    if left or digest.hexdigest() != piece.file.checksum:
        raise CorruptIndexError(f"{piece.origin}: its checksum does not match the manifest; {files.MEND}")
