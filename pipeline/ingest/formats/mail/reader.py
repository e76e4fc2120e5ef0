"""`.eml`, `.mbox` and `.msg` → documents: each message, and behind it each of its attachments that can be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import IO

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.html.main_content import everything
from pipeline.ingest.formats.html.tree import parse
from pipeline.ingest.formats.inside.members import INSIDE, Allowance, Members, PlacedError, is_read, readable_name
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.mail.internet import parse_message
from pipeline.ingest.formats.mail.message import Message
from pipeline.ingest.formats.mail.outlook import parse_outlook
from pipeline.ingest.formats.opening import open_regular
from pipeline.ingest.formats.text_files import read_bytes
from pipeline.ingest.guard import Found, Guard, refused
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.suffixes import HTML_SUFFIXES, entry_suffix
from pipeline.records import Document, Metadata, MetadataValue

logger = logging.getLogger(__name__)

LINE_BYTES = 1 << 20
MOST_SHELL = 4096
LINKED = ("from", "date", "message_id", "thread")
"""What an attachment's documents have of their message's metadata, beside its subject and `mail`, its id."""


def read_mail(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One message (`.eml`, `.msg`), then its attachments."""
    yield from _Mailbox(file, settings).read(read_bytes(file.path, settings), file.name)


def read_mbox(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """The messages of a mailbox in order, each followed by its attachments. A broken one is rejected alone."""
    box = _Mailbox(file, settings)
    with open_regular(file.path) as stream:
        for number, data in enumerate(_split(stream, max_bytes(settings)), 1):
            yield from box.read(data, f"{file.name}{INSIDE}{number}")


class _Mailbox:
    """Numbers what the messages of one file give."""

    def __init__(self, file: SourceFile, settings: IngestSettings) -> None:
        self._file, self._settings = file, settings
        self._number = 0
        self._guard = Guard(None)

    def read(self, data: bytes | UnreadableError, name: str) -> Iterator[Found]:
        """The message called `name`, then its attachments."""
        self._number += 1
        if isinstance(data, UnreadableError):
            yield refused(self._number, data)
            return
        read = parse_outlook if self._file.suffix == ".msg" else parse_message
        try:
            message = self._guard.run(lambda: self._file.label, partial(read, data))
        except UnreadableError as error:
            yield refused(self._number, error)
            return
        yield Found(self._number, partial(self._document, message, name))
        for build in self._attached(message, name, len(data)):
            self._number += 1
            yield Found(self._number, build)

    def _document(self, message: Message, name: str) -> Document:
        metadata = message.metadata()
        text = message.text(max_bytes(self._settings), self._settings.mail_quotes == "keep")
        title = str(metadata.get("title", ""))
        return Document(name, text or title, metadata, is_markdown=True)

    def _inner(self, message: Message, name: str, size: int, shared: Metadata) -> Iterator[Callable[[], Document]]:
        """A message that hangs on another, whose part of the metadata is `shared`, then its attachments."""

        def build() -> Document:
            document = self._document(message, name)
            if not document.text.strip():
                raise UnreadableError("empty")
            return replace(document, metadata={**shared, **document.metadata})

        yield build
        yield from self._attached(message, name, size)

    def _attached(self, message: Message, name: str, size: int) -> Iterator[Callable[[], Document]]:
        found = message.metadata()
        shared: dict[str, MetadataValue] = {key: found[key] for key in LINKED if key in found}
        shared |= {"mail": name, "subject": found.get("title", "")}
        outer = SourceFile(self._file.location, name, self._file.label, self._file.source)
        members = Members(outer, self._settings, Allowance.of(size, self._settings))
        left_out = 0
        seen: set[str] = set()
        for place, part in enumerate(message.attachments, 1):
            member = readable_name(part.name).rpartition("/")[2]
            is_file = not part.reason and part.message is None
            if is_file and (not is_read(member) or _is_blank(member, part.data)):
                left_out += 1
                continue
            member = f"{place}-{member}" if member in seen else member
            seen.add(member)
            if part.message is not None:
                inside = self._inner(part.message, f"{name}{INSIDE}{member}", size, shared)
                yield from (partial(_placed, member, build) for build in inside)
            elif part.reason:
                yield members.refuse(member, part.reason).build
            else:
                yield from (one.build for one in members.read(member, partial(_write, part.data), shared))
        if left_out:
            logger.info("%s: %d attachments left out: empty, or no reader for them", name, left_out)


def _placed(member: str, build: Callable[[], Document]) -> Document:
    try:
        return build()
    except UnreadableError as error:
        raise PlacedError(f"{member}: {error}") from error


def _is_blank(name: str, data: bytes) -> bool:
    """Whether a file holds no word: nothing, white space, or the shell of a page, such as `ATT00001.htm`."""
    if entry_suffix(name) in HTML_SUFFIXES and len(data) <= MOST_SHELL:
        return not everything(parse(data.decode("utf-8", "replace"))).text().strip("\ufeff \t\r\n\0\xa0")
    return not data.strip(b"\xef\xbb\xbf \t\r\n")


def _write(data: bytes, target: IO[bytes]) -> None:
    target.write(data)


def _split(stream: IO[bytes], limit: int) -> Iterator[bytes | UnreadableError]:
    """The messages of a mailbox: what follows a line `From …` behind an empty one; `>From` is unquoted."""
    lines: list[bytes] = []
    size, empty, begun = 0, True, False
    while line := stream.readline(LINE_BYTES):
        if empty and line.startswith(b"From "):
            if begun:
                yield _joined(lines, size, limit)
            lines, size, begun = [], 0, True
        elif not begun:
            if line.strip():
                raise UnreadableError("no mailbox: its first line does not begin with `From `")
        else:
            size += len(line)
            if size <= limit:
                lines.append(line[1:] if line.lstrip(b">").startswith(b"From ") and line[:1] == b">" else line)
        empty = not line.strip()
    if begun:
        yield _joined(lines, size, limit)


def _joined(lines: list[bytes], size: int, limit: int) -> bytes | UnreadableError:
    if size > limit:
        return UnreadableError(f"message is longer than {limit / 1e6:g} MB; raise ingest.max_document_mb")
    return b"".join(lines)
