"""Outlook's `.msg` files, by python-oxmsg (the extra `mail`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.inside.members import DEEPEST
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
_PROPERTIES, _EMBEDDED_STORAGE = "__properties_version1.0", "__substg1.0_3701000D"
_OUTER_HEAD, _INNER_HEAD = 32, 24
"""Bytes before the first property, in a file and in a message within one."""
_NO_FOLDERS = str.maketrans("/\\", "--")
_KIND = 0x0C15


def parse_outlook(data: bytes) -> Message:
    """The message of a `.msg` file. Raises `UnreadableError`, with the command to install what it needs."""
    try:
        from olefile import OleFileIO
        from oxmsg.storage import Storage
    except ImportError:
        raise UnreadableError(f".msg needs an extra: {INSTALL}") from None

    def load() -> Message:
        with OleFileIO(data) as file:
            return _message(Storage.from_ole(file), 0)

    return _bounded(load)


def _bounded(load: Callable[[], Message]) -> Message:
    try:
        return load()
    except (UnreadableError, MemoryError, RecursionError):
        raise
    except Exception as error:  # the border: what broken files make the library raise has no common base
        raise UnreadableError(f"broken .msg file: {first_line(error)}") from error


def _message(storage: Any, depth: int) -> Message:
    """The message that a storage holds; `depth`: how many it is within."""
    from oxmsg import Message as Found

    found = Found(storage)
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
        attachments=[_attachment(one, depth) for one in storage.iter_attachment_storages()],
    )


def _rtf_body(found: Any) -> str:
    """The text of a message that has neither a plain part nor HTML; empty if it has no RTF either."""
    packed = found.properties.binary_prop_value(_RTF)
    if not packed:
        return ""
    data = unpacked_rtf(packed)
    return rtf(data, max(1, 10 * len(data)))[0]


def _attachment(storage: Any, depth: int) -> Attachment:
    from oxmsg.attachment import Attachment as Found

    found = Found(storage)
    names = map(found.properties.str_prop_value, (_LONG_NAME, _SHORT_NAME, _DISPLAYED))
    name = next(filter(None, names), "")
    if found.properties.int_prop_value(_METHOD) != _EMBEDDED:
        return Attachment(name, found.file_bytes or b"")
    name = f"{name.translate(_NO_FOLDERS).removesuffix('.msg') or 'message'}.msg"  # often a subject
    inner = next((one for one in storage.storages if one.name == _EMBEDDED_STORAGE), None)
    if inner is None:
        return Attachment(name, reason="no e-mail: an object of another program")
    if depth == DEEPEST:
        return Attachment(name, reason=f"more than {DEEPEST} files inside of each other are not read")
    try:
        return Attachment(name, message=_bounded(lambda: _message(_as_outer(inner), depth + 1)))
    except UnreadableError as error:
        return Attachment(name, reason=str(error))


def _as_outer(inner: Any) -> Any:
    """The storage of a message in a message as that of a file: the head of its properties is shorter."""
    streams = [
        replace(one, bytes_=one.bytes_[:_INNER_HEAD] + bytes(_OUTER_HEAD - _INNER_HEAD) + one.bytes_[_INNER_HEAD:])
        if one.name == _PROPERTIES
        else one
        for one in inner.streams
    ]
    return replace(inner, streams=tuple(streams))
