"""What a message is to a search, whichever file it came in: who, when, about what, in which thread; its text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.ingest.formats.html.main_content import everything
from pipeline.ingest.formats.html.reader import clean
from pipeline.ingest.formats.html.tree import parse
from pipeline.ingest.formats.html.writer import Writer
from pipeline.ingest.formats.mail.quotes import without_quotes
from pipeline.ingest.formats.markup import escaped
from pipeline.records import MetadataValue

_IDS = re.compile(r"<([^<>\s]+)>")
MOST_REFERENCES, MOST_ADDRESSES = 100, 200


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that hangs on a message. `reason`: why it cannot be had, if so; `message`: what it is, if no file."""

    name: str
    data: bytes = b""
    reason: str = ""
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message. `sent`: none if it does not say when; `references`: the thread before it, oldest first."""

    subject: str = ""
    sender: str = ""
    to: Sequence[str] = ()
    cc: Sequence[str] = ()
    sent: datetime | None = None
    message_id: str = ""
    in_reply_to: str = ""
    references: Sequence[str] = ()
    plain: str = ""
    html: str = ""
    attachments: Sequence[Attachment] = ()

    def metadata(self) -> dict[str, MetadataValue]:
        """What it says of itself; nothing for what it does not say. `thread` is the same in all of one thread."""
        thread = next(iter([*self.references, self.in_reply_to, self.message_id]), "") or self.message_id
        values: dict[str, MetadataValue] = {
            "title": one_line(self.subject),
            "subject": one_line(self.subject),
            "from": one_line(self.sender),
            "to": [one_line(address) for address in self.to[:MOST_ADDRESSES]],
            "cc": [one_line(address) for address in self.cc[:MOST_ADDRESSES]],
            "date": _utc(self.sent),
            "message_id": one_line(self.message_id),
            "in_reply_to": one_line(self.in_reply_to),
            "references": [one_line(name) for name in self.references[-MOST_REFERENCES:]],
            "thread": one_line(thread),
            "attachments": [one_line(part.name) for part in self.attachments if part.name],
        }
        return {name: value for name, value in values.items() if value}

    def text(self, limit: int, quotes: bool) -> str:
        """Its text as Markdown, with what it quotes or without. Raises `UnreadableError` beyond `limit` bytes."""
        if self.plain.strip():
            body = clean(self.plain)
            return body.strip() if quotes else escaped(without_quotes(body))
        written = Writer(limit).write(everything(parse(self.html)))
        return clean(written if quotes else without_quotes(written)).strip()


def one_line(text: str) -> str:
    """A header's value on one line that can be stored."""
    return " ".join(clean(text).split())


def ids_in(header: str) -> list[str]:
    """The message ids in a header, without their brackets."""
    return _IDS.findall(header) or ([header.strip()] if header.strip() and " " not in header.strip() else [])


def _utc(sent: datetime | None) -> str:
    """In UTC, so that dates compare as text; one without a zone is taken for UTC."""
    if sent is None:
        return ""
    try:
        aware = sent if sent.tzinfo is not None else sent.replace(tzinfo=UTC)
        return aware.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return ""
