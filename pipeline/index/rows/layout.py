"""The layout of a file of rows: its header, its tables, and where each of them stands.

    header
    blocks            of `BLOCK_ROWS` chunks each, the last of fewer: LZ4, or as they are where that is no larger
    table of blocks   offset uint64, stored size uint32, size uint32, XXH3-64 of its bytes uint64
    document ends     uint64, one more than documents: where the ids of documents begin and end
    own ends          uint64, one more than own ids: likewise
    rows              number of the document uint32, ordinal of the chunk in it int32
    own rows          uint32, ascending: chunks whose id is not `<doc_id>#<ordinal>`
    document ids      UTF-8; chunks in a row that have the same are one document
    own ids           UTF-8: the ids of these chunks

A block of n chunks is `start` int64 (n), `end` int64 (n), where the cells of its texts begin and end uint32
(`len(CELLS)` n + 1), and the cells, those of a column side by side. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import xxhash

ROWS_FILE = "rows.bin"
VERSION = 1
BLOCK_ROWS = 16
CELLS = ("text", "context", "headings", "source", "doc_hash", "metadata")
"""`headings`: JSON, empty where there are none; `metadata`: JSON, as in the chunks."""
CODEC = "lz4_raw"
MOST_EXPANSION = 255
"""No LZ4 block grows to more than so many times its size."""

MAGIC = b"HP rows\n"
BLOCK = struct.Struct("<QIIQ")
ROW = struct.Struct("<Ii")
ENDS = struct.Struct("<QQ")
CELL_ENDS = struct.Struct("<II")
START = struct.Struct("<q")
_HEADER = struct.Struct("<8sIIQQQQQQ")
_CHECKSUM = struct.Struct("<Q")
HEADER_BYTES = _HEADER.size + _CHECKSUM.size


def cells_at(rows: int) -> int:
    """Where the table of cells begins in a block of so many chunks."""
    return 2 * START.size * rows


def texts_at(rows: int) -> int:
    """Where the cells begin in a block of so many chunks."""
    return cells_at(rows) + 4 * (len(CELLS) * rows + 1)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the header says, and the places that follow from it.

    `own`: how many chunks have an id of their own. `blocks_end`: where the blocks end and the tables begin, a
    multiple of 8.
    """

    chunks: int
    documents: int
    own: int
    blocks_end: int
    document_bytes: int
    own_bytes: int

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.chunks // BLOCK_ROWS)

    @property
    def document_ends(self) -> int:
        """Where the table of document ids begins."""
        return self.blocks_end + BLOCK.size * self.blocks

    @property
    def own_ends(self) -> int:
        """Where the table of own ids begins."""
        return self.document_ends + 8 * (self.documents + 1)

    @property
    def rows(self) -> int:
        """Where the table of rows begins."""
        return self.own_ends + 8 * (self.own + 1)

    @property
    def own_rows(self) -> int:
        """Where the rows with ids of their own begin."""
        return self.rows + ROW.size * self.chunks

    @property
    def document_ids(self) -> int:
        """Where the ids of documents begin."""
        return self.own_rows + 4 * self.own

    @property
    def own_ids(self) -> int:
        """Where the own ids begin."""
        return self.document_ids + self.document_bytes

    @property
    def size(self) -> int:
        """Size of the whole file."""
        return self.own_ids + self.own_bytes

    def header(self) -> bytes:
        """The header that says this."""
        fields = (self.chunks, self.documents, self.own, self.blocks_end, self.document_bytes, self.own_bytes)
        packed = _HEADER.pack(MAGIC, VERSION, BLOCK_ROWS, *fields)
        return packed + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(packed))


def version_of(header: bytes) -> int | None:
    """The version that a file's first bytes name; `None` if it is no file of rows."""
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        return None
    version: int = _HEADER.unpack_from(header)[1]
    return version


def layout_of(header: bytes) -> Layout | None:
    """What a header of this version says; `None` if it was altered."""
    packed = header[: _HEADER.size]
    if _CHECKSUM.unpack_from(header, _HEADER.size) != (xxhash.xxh3_64_intdigest(packed),):
        return None
    _, _, rows, *fields = _HEADER.unpack(packed)
    return Layout(*fields) if rows == BLOCK_ROWS else None
