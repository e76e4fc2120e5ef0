"""What a front and its shards tell each other: fields as JSON, and arrays of numbers as their bytes.

Floating-point numbers travel as they are in memory, or as the shortest text that is read back as the same number.
A message carries its checksum: what was cut off or is something else is no message.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from pipeline.errors import ServiceError

PROTOCOL = 3
_MAGIC = b"HPSH"
_HEAD = struct.Struct("<4sIQQ")
_KINDS = ("<i8", "<u8", "<u4", "<f4", "<f8", "|b1")
_MOST_DIMENSIONS = 2


class NoMessageError(ServiceError):
    """These bytes are no message, or one of another version of this program."""


@dataclass(frozen=True, slots=True)
class Message:
    """A question or an answer. `fields`: plain data; `arrays`: of numbers or truth values."""

    fields: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The message as it travels."""
        layout, parts = [], []
        for name, array in self.arrays.items():
            plain = np.ascontiguousarray(array)
            kind = plain.dtype.newbyteorder("<").str
            assert kind in _KINDS, kind
            layout.append([name, kind, list(plain.shape)])
            parts.append(plain.astype(kind, copy=False).tobytes())
        header = json.dumps([dict(self.fields), layout], ensure_ascii=False, separators=(",", ":"))
        body = header.encode("utf-8", "surrogatepass")
        rest = b"".join([body, *parts])
        return _HEAD.pack(_MAGIC, PROTOCOL, len(body), _checksum(rest, len(body))) + rest

    @classmethod
    def of_bytes(cls, data: bytes) -> Message:
        """Read what `to_bytes` gave. Raises `NoMessageError`."""
        if len(data) < _HEAD.size or data[:4] != _MAGIC:
            raise NoMessageError("this is no answer of a shard, nor a question of a front")
        _, protocol, length, checksum = _HEAD.unpack_from(data)
        if protocol != PROTOCOL:
            raise NoMessageError(f"speaks version {protocol}, this program {PROTOCOL}; install the same everywhere")
        rest = memoryview(data)[_HEAD.size :]
        if _checksum(rest, length) != checksum:
            raise NoMessageError("was cut off or altered on its way")
        try:
            fields, layout = json.loads(str(rest[:length], "utf-8", "surrogatepass"))
            return cls(dict(fields), _arrays(layout, rest[length:]))
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            raise NoMessageError(f"is malformed: {error}") from None

    def text(self, name: str) -> str:
        """A field that is a text. Raises `NoMessageError`."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise NoMessageError(f"its field {name} is no text")
        return value

    def whole(self, name: str) -> int:
        """A field that is a whole number. Raises `NoMessageError`."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise NoMessageError(f"its field {name} is no whole number")
        return value

    def listed(self, name: str) -> list[Any]:
        """A field that is a list. Raises `NoMessageError`."""
        value = self.fields.get(name)
        if not isinstance(value, list):
            raise NoMessageError(f"its field {name} is no list")
        return value

    def texts(self, name: str) -> list[str]:
        """A field that is a list of texts. Raises `NoMessageError`."""
        found = self.listed(name)
        if not all(isinstance(one, str) for one in found):
            raise NoMessageError(f"its field {name} has something else than texts")
        return found

    def array(self, name: str, kind: str, dimensions: int = 1) -> npt.NDArray[Any]:
        """An array of a kind of number. Raises `NoMessageError`."""
        found = self.arrays.get(name)
        if found is None or found.dtype.str != kind or found.ndim != dimensions:
            raise NoMessageError(f"its array {name} is missing or of another kind")
        return found


def _checksum(rest: bytes | memoryview, header: int) -> int:
    """Of what follows the head, and of how much of it is the header."""
    return xxhash.xxh3_64_intdigest(rest, header)


def _arrays(layout: Any, data: memoryview) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for name, kind, shape in layout:
        if kind not in _KINDS or len(shape) > _MOST_DIMENSIONS or any(int(length) < 0 for length in shape):
            raise ValueError(f"an array of kind {kind!r} and shape {shape!r}")
        count = math.prod(shape)
        size = count * np.dtype(kind).itemsize
        if at + size > len(data):
            raise ValueError(f"the array {name!r} is cut off")
        found[str(name)] = np.frombuffer(data, kind, count, at).reshape(shape).copy()  # compiled code wants its own
        at += size
    if at != len(data):
        raise ValueError("something follows its arrays")
    return found
