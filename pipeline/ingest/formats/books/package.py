"""The ZIP archive of a book or a text: its parts by name, within a limit, and its XML without entities."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line

DEEPEST = 400
_DECLARED = re.compile(rb"<!(?:ENTITY|DOCTYPE[^>\[]*\[)", re.IGNORECASE)
_DOCTYPE = re.compile(rb"<!DOCTYPE[^>\[]*>", re.IGNORECASE)
_BROKEN = (zipfile.BadZipFile, ElementTree.ParseError, zlib.error, EOFError, NotImplementedError, UnicodeError)


class Package:
    """Reads parts until so many bytes have been unpacked. Raises `UnreadableError`."""

    def __init__(self, archive: zipfile.ZipFile, expanded: int) -> None:
        self._archive, self._left = archive, expanded
        self.names = frozenset(archive.namelist())

    def read(self, name: str) -> bytes:
        """The bytes of a part, counted as they are unpacked."""
        try:
            entry = self._archive.getinfo(name)
        except KeyError:
            raise UnreadableError(f"broken: it has no part {name}") from None
        if entry.flag_bits & 1:
            raise UnreadableError("encrypted: it opens with a password only; save it without one")
        with self._archive.open(entry) as stream:
            data = stream.read(self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise UnreadableError("would unpack to more than is read; unpack it yourself if it is sound")
        return data

    def xml(self, name: str) -> ElementTree.Element:
        """The root of a part. No document type but a bare one, no entities, bounded depth."""
        data = self.read(name)
        if _DECLARED.search(data.replace(b"\0", b"")):
            raise UnreadableError(f"broken: {name} declares entities, which are not read")
        parser: Any = ElementTree.XMLPullParser(("start", "end"))
        depth = 0
        root: ElementTree.Element | None = None
        cleaned = _DOCTYPE.sub(b"", data)
        for start in range(0, len(cleaned), 1 << 16):
            parser.feed(cleaned[start : start + (1 << 16)])
            for event, element in parser.read_events():
                root = element if root is None else root
                depth += 1 if event == "start" else -1
                if depth > DEEPEST:
                    raise UnreadableError("nested too deeply")
        parser.close()
        if root is None:
            raise UnreadableError(f"broken: {name} is empty")
        return root


def open_package(data: bytes, suffix: str, expanded: int, read: Callable[[Package], object]) -> None:
    """Let `read` have the parts of an archive. Raises `UnreadableError` for one that is broken."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            read(Package(archive, expanded))
    except _BROKEN as error:
        raise UnreadableError(f"broken {suffix} file: {first_line(error)}") from error


def local(element: ElementTree.Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
