"""Places follow from the header, and an altered header is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.index.rows.layout import HEADER_BYTES, Layout, cells_at, layout_of, texts_at, version_of

NUMBERS = st.integers(0, 2**64 - 1)
LAYOUTS = st.builds(Layout, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)


@given(LAYOUTS)
def test_a_header_says_what_it_was_made_of(layout: Layout) -> None:
    header = layout.header()
    assert len(header) == HEADER_BYTES == 72
    assert version_of(header) == 1
    assert layout_of(header) == layout


@given(LAYOUTS, st.integers(0, HEADER_BYTES * 8 - 1))
def test_any_altered_bit_is_told(layout: Layout, bit: int) -> None:
    header = bytearray(layout.header())
    header[bit // 8] ^= 1 << bit % 8
    assert version_of(bytes(header)) != 1 or layout_of(bytes(header)) is None


def test_what_is_no_header() -> None:
    header = Layout(1, 1, 0, 80, 1, 0).header()
    assert version_of(header[:-1]) is None
    assert version_of(b"PAR1" + header[4:]) is None
    assert version_of(header[:8] + b"\2\0\0\0" + header[12:]) == 2


def test_places_by_hand() -> None:
    layout = Layout(chunks=17, documents=3, own=2, blocks_end=800, document_bytes=30, own_bytes=10)
    assert layout.blocks == 2
    assert layout.document_ends == 800 + 2 * 24
    assert layout.own_ends == layout.document_ends + 4 * 8
    assert layout.rows == layout.own_ends + 3 * 8
    assert layout.own_rows == layout.rows + 17 * 8
    assert layout.document_ids == layout.own_rows + 2 * 4
    assert layout.own_ids == layout.document_ids + 30
    assert layout.size == layout.own_ids + 10
    assert (cells_at(16), texts_at(16)) == (256, 256 + 97 * 4)
