"""E-mail made by hand: a message, and a `.msg` file after its published description."""

from __future__ import annotations

import struct
from email.message import EmailMessage

from tests.ingest.hangul import compound


def message(text: str = "The rake is back.", **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = "민수 <minsu@h.org>", "Ann <ann@h.org>, bo@h.org"
    mail["Subject"], mail["Date"] = "갈퀴 of the shed", "Mon, 2 Jan 2023 09:30:00 +0900"
    mail["Message-ID"] = "<2@h.org>"
    for name, value in headers.items():
        del mail[name.replace("_", "-")]
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


def properties(head: int, values: dict[int, str | int | bytes], folder: str = "") -> dict[str, bytes]:
    """The streams of one object of a `.msg` file."""
    listed, streams = b"", dict[str, bytes]()
    for pid, value in sorted(values.items()):
        if isinstance(value, int):
            listed += struct.pack("<HHIII", 0x0003, pid, 6, value, 0)
            continue
        kind, data = (0x001F, value.encode("utf-16-le")) if isinstance(value, str) else (0x0102, value)
        listed += struct.pack("<HHIII", kind, pid, 6, len(data) + 2 * (kind == 0x1F), 0)
        streams[f"{folder}__substg1.0_{pid:04X}{kind:04X}"] = data
    return {f"{folder}__properties_version1.0": bytes(head) + listed, **streams}


ATTACHED = "__attach_version1.0_#0000000{}/"
WITHIN = "__substg1.0_3701000D/"


def outlook(rtf: bytes = b"", inner: dict[str, bytes] | None = None) -> bytes:
    """A `.msg` file. `rtf`: its body as it is stored, compressed; else there is a plain one.

    `inner`: the streams of a message that hangs on it; without them it is an object that is no message.
    """
    body: dict[int, str | int | bytes] = {0x1009: rtf} if rtf else {0x1000: "The rake is back."}
    streams = properties(32, body | {0x0037: "갈퀴", 0x0C1A: "Minsu", 0x0C1F: "m@h.org", 0x1035: "<2@h.org>"})
    streams |= properties(8, {0x0C15: 1, 0x3001: "Ann", 0x39FE: "ann@h.org"}, "__recip_version1.0_#00000000/")
    streams |= properties(8, {0x3705: 1, 0x3707: "a.txt", 0x3701: b"attached"}, ATTACHED.format(0))
    streams |= properties(8, {0x3705: 5, 0x3707: "old.msg"}, ATTACHED.format(1))
    streams |= {ATTACHED.format(1) + WITHIN + name: data for name, data in (inner or {}).items()}
    return compound(streams)


def outlook_inner(depth: int) -> dict[str, bytes]:
    """The streams of a message as they are within another, a text on it, and so many messages within each other."""
    streams = properties(
        24, {0x1000: f"Words {depth}.", 0x0037: f"Older {depth}", 0x0C1A: "Bo", 0x0C1F: "bo@h.org"}
    )
    streams |= properties(8, {0x3705: 1, 0x3707: "b.txt", 0x3701: b"deep"}, ATTACHED.format(0))
    if depth > 1:
        streams |= properties(8, {0x3705: 5, 0x3001: "RE: a/b"}, ATTACHED.format(1))
        streams |= {ATTACHED.format(1) + WITHIN + name: data for name, data in outlook_inner(depth - 1).items()}
    return streams
