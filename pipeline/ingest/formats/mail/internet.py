"""RFC 5322 messages (`.eml`, and each of an `.mbox`) by the standard library's parser."""

from __future__ import annotations

import email
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.message import Message as Parsed
from email.utils import getaddresses, parsedate_to_datetime

from pipeline.ingest.formats.decoding import UnreadableError, choose_encoding
from pipeline.ingest.formats.html.declared import codec_named
from pipeline.ingest.formats.mail.headers import Raw, header_text
from pipeline.ingest.formats.mail.message import Attachment, Message, ids_in

MOST_PARTS = 1000
DEEPEST = 30
_HEADERS = ("from", "to", "subject", "date", "message-id", "received", "return-path", "mime-version")


def parse_message(data: bytes) -> Message:
    """The message of these bytes. Raises `UnreadableError` if they are none."""
    parsed = email.message_from_bytes(data, policy=Raw())
    if not any(parsed.get(name) for name in _HEADERS):
        raise UnreadableError("no e-mail: none of the headers that every message has")
    bodies: dict[str, list[str]] = {"plain": [], "html": []}
    attachments: list[Attachment] = []
    parts = list(_parts(parsed))
    codecs = _codecs(parts)
    for part in parts:
        kind = part.get_content_type()
        name = header_text(part.get_filename() or "", codecs)
        if kind in ("text/plain", "text/html") and not name and part.get_content_disposition() != "attachment":
            bodies[kind[5:]].append(_text(part))
        elif kind == "message/rfc822":
            attachments.append(Attachment(name or f"message-{len(attachments) + 1}.eml", _inner(part)))
        elif name or part.get_content_disposition() == "attachment":
            attachments.append(Attachment(name, _bytes(part)))
    return Message(
        subject=_header(parsed, "subject", codecs),
        sender=_header(parsed, "from", codecs),
        to=_addresses(parsed, "to", codecs),
        cc=_addresses(parsed, "cc", codecs),
        sent=_date(parsed),
        message_id=next(iter(ids_in(_header(parsed, "message-id"))), ""),
        in_reply_to=next(iter(ids_in(_header(parsed, "in-reply-to"))), ""),
        references=ids_in(_header(parsed, "references")),
        plain="\n\n".join(filter(None, bodies["plain"])),
        html="\n".join(bodies["html"]),
        attachments=attachments,
    )


def _parts(message: Parsed) -> Iterator[Parsed]:
    """The leaves, and messages in the message as wholes. Raises `UnreadableError` beyond what any message has."""
    waiting: list[tuple[Parsed, int]] = [(message, 0)]
    count = 0
    while waiting:
        part, depth = waiting.pop()
        count += 1
        if count > MOST_PARTS or depth > DEEPEST:
            raise UnreadableError(f"more than {MOST_PARTS} parts, or parts deeper than {DEEPEST}")
        payload = part.get_payload()
        if isinstance(payload, list) and part.get_content_type() != "message/rfc822":
            waiting += [(below, depth + 1) for below in reversed(payload) if isinstance(below, Parsed)]
        else:
            yield part


def _inner(part: Parsed) -> bytes:
    payload = part.get_payload()
    first = payload[0] if isinstance(payload, list) and payload else None
    return first.as_bytes() if isinstance(first, Parsed) else b""


def _bytes(part: Parsed) -> bytes:
    try:
        found = part.get_payload(decode=True)
    except (ValueError, LookupError):
        return b""
    return found if isinstance(found, bytes) else b""


def _text(part: Parsed) -> str:
    """In the charset that it names, else in what its bytes look like."""
    data = _bytes(part)
    for codec in (codec_named(part.get_content_charset() or "utf-8"), "utf-8"):
        try:
            return data.decode(codec or "utf-8")
        except (UnicodeError, ValueError):
            continue
    try:
        return data.decode(choose_encoding(data), "replace")
    except UnreadableError:
        return data.decode("latin-1")


def _codecs(parts: list[Parsed]) -> list[str]:
    """What the parts are in, other than UTF-8, which is tried before."""
    found = [codec_named(part.get_content_charset() or "") for part in parts]
    return [codec for codec in dict.fromkeys(found) if codec and codec not in ("utf-8", "ascii")]


def _header(message: Parsed, name: str, codecs: Sequence[str] = ()) -> str:
    return header_text(message.get(name) or "", codecs)


def _addresses(message: Parsed, name: str, codecs: Sequence[str]) -> list[str]:
    """Parsed before they are decoded: a name may hold a comma."""
    pairs = getaddresses([str(value) for value in message.get_all(name, [])][:100])
    found = [(header_text(person, codecs), header_text(address, codecs)) for person, address in pairs]
    return [f"{person} <{address}>" if person else address for person, address in found if person or address]


def _date(message: Parsed) -> datetime | None:
    try:
        return parsedate_to_datetime(str(message.get("date", "")))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
