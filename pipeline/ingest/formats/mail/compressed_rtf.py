"""Bodies that Outlook stores as compressed RTF (MS-OXRTFCP) → RTF."""

from __future__ import annotations

import struct

_COMPRESSED, _PLAIN = b"LZFu", b"MELA"
_HEAD = 16
_RING = 4096
_BEGUN = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript "
    rb"\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
"""What every dictionary begins with."""


def unpacked_rtf(data: bytes) -> bytes:
    """The RTF, up to where it is damaged. Raises `ValueError` if it is none."""
    if len(data) < _HEAD or data[8:12] not in (_COMPRESSED, _PLAIN):
        raise ValueError("no compressed RTF")
    (size,) = struct.unpack_from("<I", data, 4)
    if data[8:12] == _PLAIN:
        return data[_HEAD : _HEAD + size]
    ring = bytearray(_BEGUN.ljust(_RING, b"\0"))
    write, place = len(_BEGUN), _HEAD
    found = bytearray()
    while place < len(data) and len(found) < size:
        control = data[place]
        place += 1
        for bit in range(8):
            if not control >> bit & 1:
                piece = data[place : place + 1]
                place += 1
            else:
                reference = int.from_bytes(data[place : place + 2], "big")
                place += 2
                start = reference >> 4
                if start == write or place > len(data):
                    return bytes(found)
                piece = b""
                for step in range((reference & 15) + 2):
                    byte = ring[(start + step) % _RING]
                    ring[write] = byte
                    write = (write + 1) % _RING
                    piece += bytes([byte])
                found += piece
                continue
            if piece:
                ring[write] = piece[0]
                write = (write + 1) % _RING
                found += piece
    return bytes(found[:size])
