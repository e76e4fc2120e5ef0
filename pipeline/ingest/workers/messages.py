"""Messages between a build and its workers: a line of JSON and some bytes, their lengths before them.

Nothing is pickled. What a worker says is believed as far as its form goes: it runs this package's code.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_LENGTHS = struct.Struct("<II")
MOST_BYTES = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Message:
    """`head`: plain data. `body`: bytes that go with it."""

    head: dict[str, Any]
    body: bytes = b""


def packed(message: Message) -> list[bytes]:
    """The pieces of a message, to be written one after the other."""
    head = json.dumps(message.head, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return [_LENGTHS.pack(len(head), len(message.body)) + head, message.body]


def received(read: Callable[[int], bytes]) -> Message | None:
    """The next message, `None` where the other side has ended. `read`: at most so many bytes, none at the end."""
    lengths = _exactly(read, _LENGTHS.size)
    if lengths is None:
        return None
    head_bytes, body_bytes = _LENGTHS.unpack(lengths)
    head, body = _exactly(read, head_bytes), _exactly(read, body_bytes)
    if head is None or body is None:
        return None
    return Message(json.loads(head.decode("utf-8", "surrogatepass")), body)


def _exactly(read: Callable[[int], bytes], count: int) -> bytes | None:
    first = read(count) if count else b""
    if len(first) == count:
        return first
    pieces, missing = [first], count - len(first)
    while missing and (piece := read(min(missing, 1 << 20))):
        pieces.append(piece)
        missing -= len(piece)
    return None if missing else b"".join(pieces)
