"""ZIP, tar, gzip and Zstandard: each file in them is read as if it stood in a folder of the archive's name."""

from __future__ import annotations

import gzip
import io
import logging
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO, Any, cast

import pyarrow as pa

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.inside.entry_names import entry_names, member_name
from pipeline.ingest.formats.inside.members import Allowance, Members, copy_bounded, is_read
from pipeline.ingest.formats.opening import open_regular
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.suffixes import entry_suffix

logger = logging.getLogger(__name__)

MOST_MEMBERS = 1_000_000
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, pa.ArrowException)
_DAMAGED_ENTRY = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""What one entry of a ZIP archive may raise, while others are sound."""
_PACKED_TAR = (".tar.gz", ".tar.zst", ".tgz")


def read_archive(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """The documents of the files in an archive, in the archive's order. Raises `UnreadableError`."""
    name = file.location.lower() if file.suffix else ""
    with open_regular(file.path) as packed:
        inner = file.name.rpartition("/")[2].rpartition(".")[0]
        allowance = Allowance.of(os.fstat(packed.fileno()).st_size, settings)
        members = Members(file, settings, allowance, entry_suffix(inner))
        try:
            if name.endswith(".zip"):
                yield from _zip(packed, members, allowance, settings.encodings)
            elif name.endswith(".tar"):
                yield from _tar(packed, members, allowance, settings.encodings)
            elif name.endswith(_PACKED_TAR):
                yield from _tar(_unpacked(packed, name), members, allowance, settings.encodings)
            else:
                if not is_read(inner):
                    raise UnreadableError(f"holds {inner or 'a file without a name'}, for which there is no reader")
                yield from members.read("", partial(copy_bounded, _unpacked(packed, name), allowance=allowance))
        except _BROKEN as error:
            raise UnreadableError(f"broken {file.suffix} file: {first_line(error)}") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise UnreadableError(f"broken {file.suffix} file: {first_line(error)}") from error


def _unpacked(packed: IO[bytes], name: str) -> IO[bytes]:
    if name.endswith(".zst"):
        return io.BufferedReader(cast(Any, pa.CompressedInputStream(packed, "zstd")))
    return cast(IO[bytes], gzip.GzipFile(fileobj=packed))


def _zip(packed: IO[bytes], members: Members, allowance: Allowance, encodings: Sequence[str]) -> Iterator[Found]:
    with zipfile.ZipFile(packed) as archive:
        left_out = 0
        entries = archive.infolist()
        for number, (entry, name) in enumerate(zip(entries, entry_names(entries, encodings), strict=True)):
            if number == MOST_MEMBERS:
                raise UnreadableError(f"holds more than {MOST_MEMBERS} files")
            if entry.is_dir() or not is_read(name, entry.file_size):
                left_out += not entry.is_dir()
            elif entry.flag_bits & 1:
                yield members.refuse(name, "encrypted: it opens with a password only")
            else:
                yield from members.read(
                    name, partial(_copy_entry, archive, entry, allowance), damage=_DAMAGED_ENTRY
                )
        _tell(left_out)


def _copy_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, allowance: Allowance, target: IO[bytes]) -> None:
    with archive.open(entry) as source:
        copy_bounded(source, target, allowance)


def _tar(stream: IO[bytes], members: Members, allowance: Allowance, encodings: Sequence[str]) -> Iterator[Found]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        left_out = 0
        for number, entry in enumerate(archive):
            name = member_name(entry.name, encodings)
            if number == MOST_MEMBERS:
                raise UnreadableError(f"holds more than {MOST_MEMBERS} files")
            archive.members.clear()  # type: ignore[attr-defined]  # it keeps all that it has passed
            if entry.isfile() and is_read(name, entry.size):
                source = archive.extractfile(entry)
                if source is not None:
                    yield from members.read(name, partial(copy_bounded, source, allowance=allowance))
            else:
                allowance.take(entry.size)
                left_out += not entry.isdir()
        _tell(left_out)


def _tell(left_out: int) -> None:
    if left_out:
        logger.info(
            "%d files of an archive left out: hidden, links, empty __init__.py, or no reader for them", left_out
        )
