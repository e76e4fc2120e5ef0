"""Outlook's `.msg` files, by python-oxmsg (the extra `mail`)."""

from __future__ import annotations

from typing import Any

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.mail.compressed_rtf import unpacked_rtf
from pipeline.ingest.formats.mail.message import Attachment, Message, ids_in
from pipeline.ingest.formats.markups.rtf import rtf

INSTALL = "pip install 'hybrid-pipeline[mail]'"
_EMBEDDED = 5
_LONG_NAME, _SHORT_NAME, _DATA = 0x3707, 0x3704, 0x3701
_METHOD, _DISPLAYED = 0x3705, 0x3001
_RTF = 0x1009
_MESSAGE_ID, _REPLY_TO, _REFERENCES = 0x1035, 0x1042, 0x1039
_SUBJECT = 0x0037
_TO, _CC = 1, 2
_KIND = 0x0C15


def parse_outlook(data: bytes) -> Message:
    """The message of a `.msg` file. Raises `UnreadableError`, with the command to install what it needs."""
    try:
        import oxmsg
    except ImportError:
        raise UnreadableError(f".msg needs an extra: {INSTALL}") from None
    try:
        return _message(oxmsg.Message.load(data))
    except (UnreadableError, MemoryError, RecursionError):
        raise
    except Exception as error:  # the border: what broken files make the library raise has no common base
        raise UnreadableError(f"broken .msg file: {first_line(error)}") from error


def _message(found: Any) -> Message:
    headers = {str(name).lower(): str(value) for name, value in found.message_headers.items()}
    people: dict[int, list[str]] = {_TO: [], _CC: []}
    for one in found.recipients:
        kind = one.properties.int_prop_value(_KIND) or _TO
        name, address = one.name, one.email_address
        shown = f"{name} <{address}>" if name and address and name != address else name or address
        people.setdefault(kind, []).append(shown)

    def text(pid: int, header: str) -> str:
        return found.properties.str_prop_value(pid) or headers.get(header, "")

    return Message(
        subject=found.subject,
        sender=found.sender or "",
        to=people[_TO],
        cc=people[_CC],
        sent=found.sent_date,
        message_id=next(iter(ids_in(text(_MESSAGE_ID, "message-id"))), ""),
        in_reply_to=next(iter(ids_in(text(_REPLY_TO, "in-reply-to"))), ""),
        references=ids_in(text(_REFERENCES, "references")),
        plain=found.body or ("" if found.html_body else _rtf_body(found)),
        html=found.html_body or "",
        attachments=[_attachment(one) for one in found.attachments],
    )


def _rtf_body(found: Any) -> str:
    """The text of a message that has neither a plain part nor HTML; empty if it has no RTF either."""
    packed = found.properties.binary_prop_value(_RTF)
    if not packed:
        return ""
    data = unpacked_rtf(packed)
    return rtf(data, max(1, 10 * len(data)))[0]


def _attachment(one: Any) -> Attachment:
    names = map(one.properties.str_prop_value, (_LONG_NAME, _SHORT_NAME, _DISPLAYED))
    name = next(filter(None, names), "")
    if one.properties.int_prop_value(_METHOD) == _EMBEDDED:
        return Attachment(name or "message.msg", b"", "a message within a .msg file is not read; save it as a file")
    return Attachment(name, one.file_bytes or b"")
