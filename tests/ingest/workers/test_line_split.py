"""A file read in stretches gives what it gives as a whole: the same lines, numbers and reasons."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import SourceSettings
from pipeline.ingest.formats.decoding import BYTE_ORDER_MARKS, MULTI_BYTE, SINGLE_BYTE
from pipeline.ingest.formats.lines import json_lines
from pipeline.ingest.guard import Guard
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.workers import split
from pipeline.ingest.workers.split import is_splittable, line_ends, stretches

FILE = SourceFile("x.jsonl", "x.jsonl", "x.jsonl", SourceSettings(path="x.jsonl"))
LIMIT = 30

texts = st.lists(
    st.sampled_from(
        [b'{"text": "a"}', b'{"text": "\xc3\xa9"}', b"", b" ", b"\xff", b"\xe2\x82", b"a\0", b"x" * 29]
        + [b"y" * n for n in (31, 140, 500)]
    ).flatmap(lambda line: st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"]).map(lambda end: line + end)),
    max_size=12,
).map(b"".join)


def said(data: bytes, encoding: str, before: int = 0) -> list[tuple[int, str]]:
    stream = io.TextIOWrapper(io.BytesIO(data), encoding, "surrogateescape", newline="")
    found = Guard(None).outcomes("x", json_lines(stream, FILE, LIMIT, before))
    return [(outcome.line, str(outcome.result)) for outcome in found]


@given(data=texts, tail=st.sampled_from([b"", b"{", b"z" * 40]), wanted=st.integers(1, 60), size=st.integers(1, 50))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_stretches_give_what_the_file_gives(
    data: bytes, tail: bytes, wanted: int, size: int, encoding: str
) -> None:
    data = (b"\xef\xbb\xbf" if encoding == "utf-8-sig" else b"") + data + tail
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "_READ_BYTES", size)
        parts = list(stretches(io.BytesIO(data), encoding, LIMIT, wanted))
    together = [part for piece in parts for part in said(piece.data, piece.encoding, piece.before)]
    assert together == said(data, encoding)
    longest = max((len(line) for line in data.replace(b"\r", b"\n").split(b"\n")), default=0)
    if longest <= 4 * LIMIT:
        assert b"".join(piece.data for piece in parts) == data
    assert all(len(piece.data) <= wanted + 4 * (LIMIT + 1) + 2 * size + 2 for piece in parts)


@given(st.lists(st.sampled_from([b"\n", b"\r", b"a"]), max_size=20).map(b"".join))
def test_line_ends_are_counted_as_python_reads_them(data: bytes) -> None:
    lines = io.TextIOWrapper(io.BytesIO(data), "ascii", newline="").readlines()
    assert line_ends(data) == sum(line[-1] in "\r\n" for line in lines)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig", "ascii", "latin-1", *SINGLE_BYTE])
def test_in_what_is_split_a_line_feed_is_one_byte_wherever_it_stands(encoding: str) -> None:
    assert is_splittable(encoding)
    for before in range(256):
        text = bytes([before, 10, 65]).decode(encoding, "surrogateescape")
        assert text.count("\n") == 1 + (before == 10)
        assert text.endswith("\nA")


@pytest.mark.parametrize("encoding", [*MULTI_BYTE, "utf-16", "utf-7", "cp037", "iso2022_jp"])
def test_what_has_state_or_other_line_ends_is_not_split(encoding: str) -> None:
    assert not is_splittable(encoding)


def test_byte_order_marks_of_wide_encodings_are_not_split() -> None:
    assert [is_splittable(name) for _, name in BYTE_ORDER_MARKS] == [True, False, False, False, False]


def test_of_a_line_that_is_too_long_only_its_beginning_is_kept() -> None:
    data = b"a\n" + b"x" * 100_000 + b"\nb\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "_READ_BYTES", 100)
        kept = [piece.data for piece in stretches(io.BytesIO(data), "utf-8", LIMIT, 10)]
    assert b"".join(kept).startswith(b"a\nxxxx")
    assert b"".join(kept).endswith(b"x\nb\n")
    assert sum(map(len, kept)) < 1000


class Failing(io.BytesIO):
    """A disk that fails behind what could be read."""

    def read1(self, size: int | None = -1) -> bytes:
        found = super().read1(size)
        if not found:
            raise OSError(5, "Input/output error")
        return found


def test_the_lines_before_a_failure_are_given() -> None:
    found = stretches(Failing(b"a\nb\r\nc"), "utf-8", LIMIT, 1000)
    assert next(found).data == b"a\nb\r\n"
    with pytest.raises(OSError, match="Input/output"):
        next(found)
