"""Bytes become the text their author wrote, or are refused with a reason; never mojibake in silence."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.formats.decoding import HEAD_BYTES, UnreadableError, choose_file_encoding, decode

KOREAN = "안녕하세요. 오늘은 검색 엔진을 만들어 봅시다. 색인은 밤마다 새로 만듭니다."
JAPANESE = "今日は検索エンジンを作りましょう。索引は毎晩作り直します。"
FRENCH = "Le café est très agréable, à côté de l'hôtel où l'été dure."


@given(st.text(alphabet=st.characters(exclude_characters="\0\r", exclude_categories=["Cs", "Cc"])))
def test_utf8_comes_back_unchanged(text: str) -> None:
    assert decode(text.encode()) == text.removeprefix("\ufeff")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_byte_order_mark_decides_and_is_no_part_of_the_text(encoding: str) -> None:
    mark = "\ufeff" if encoding.endswith(("le", "be")) else ""
    assert decode((mark + KOREAN).encode(encoding)) == KOREAN


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (KOREAN, "cp949"),
        (KOREAN, "euc_kr"),
        ("검색 엔진", "euc_kr"),
        ("보고서", "cp949"),
        ("갈퀴 in the shed", "euc_kr"),
        ("똠방각하의 회의록", "cp949"),
        (JAPANESE, "shift_jis"),
        (JAPANESE * 5, "euc_jp"),
        (FRENCH, "latin-1"),
        (FRENCH + " “quoted” – €5", "cp1252"),
        ("café", "latin-1"),
        ("今天天气很好。我们去公园吧！你觉得怎么样？", "gb18030"),
        ("資料", "cp932"),
        ("會議記錄", "big5"),
        ("Сегодня хорошая погода, пойдём гулять в парк.", "cp1251"),
    ],
)
def test_the_usual_legacy_encodings_are_detected(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_an_encoding_of_the_settings_comes_before_detection() -> None:
    data = "búsqueda".encode("cp850")
    assert decode(data, ["cp850"]) == "búsqueda"
    with pytest.raises(UnreadableError, match=r"unknown encoding 'klingon' in ingest\.encodings"):
        decode(data, ["klingon"])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"abc\ndef\0ghi", "NUL byte in line 2"),
        ("no mark".encode("utf-16-le"), "NUL byte in line 1: binary content, or UTF-16 without"),
        (b"%PDF-1.4\n%\xe2\xe3", "a PDF"),
        (b"PK\x03\x04\x14\0\x06", "a ZIP archive"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (bytes(range(1, 9)) * 50, "mostly control characters"),
        ((KOREAN * 20).encode()[:-2], "invalid UTF-8 in line 1"),
        ((KOREAN + "\n" + KOREAN).encode().replace("밤".encode(), b"\xff\xfe"), "invalid UTF-8 in line 1"),
        (random.Random(0).randbytes(400).replace(b"\0", b"\xff"), "no encoding that could be recognised"),
    ],
)
def test_what_is_not_text_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        decode(data)


def test_line_ends_do_not_depend_on_the_system_that_saved_the_file() -> None:
    assert decode(b"a\r\nb\rc\nd") == "a\nb\nc\nd"


def test_a_large_file_is_judged_by_all_its_bytes_in_bounded_memory() -> None:
    def choose(data: bytes) -> str:
        return choose_file_encoding(io.BytesIO(data))

    assert choose(b"plain ascii line\n" * 100_000 + KOREAN.encode("cp949")) == "cp949"
    damaged = (KOREAN + "\n").encode() * 20_000 + b"\xff\n"
    assert choose(damaged) == "utf-8", "damaged lines are refused one by one, not the file"
    assert choose(b"x" * HEAD_BYTES + b"\0") == "utf-8", "and so are lines with a NUL"
    with pytest.raises(UnreadableError, match="NUL byte"):
        choose("a,b\n1,2\n".encode("utf-16-le"))
