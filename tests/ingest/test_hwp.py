"""HWP and HWPX: text, tables, headings, notes and metadata; locked and broken files with their reason."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path

import pytest

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.records import Document
from tests.ingest import hangul
from tests.ingest.conftest import Read, outcomes
from tests.ingest.hangul import control, hwp, hwpx, listed, p, paragraph, record, t, table, tc

pytest.importorskip("olefile")


def result(tmp_path: Path, data: bytes, name: str = "a.hwp", **settings: float) -> Document | UnreadableError:
    (tmp_path / name).write_bytes(data)
    (outcome,) = outcomes(tmp_path / name, **settings)
    return outcome.result


def text(tmp_path: Path, data: bytes) -> str:
    found = result(tmp_path, data)
    assert isinstance(found, Document), found
    assert found.is_markdown
    return found.text


def reason(tmp_path: Path, data: bytes, **settings: float) -> str:
    found = result(tmp_path, data, **settings)
    assert isinstance(found, UnreadableError), found
    return str(found)


def note(level: int, words: str) -> bytes:
    return record(0x47, level, b"  nf" + bytes(12)) + listed(level + 1, [control(18, "atno") + words])


CELLS = {(0, 0, 1, 1): "이름", (0, 1, 1, 1): "가격", (1, 0, 2, 1): "갈퀴", (1, 1, 1, 1): "12|5", (2, 1, 1, 1): "13"}
TABLE = "| 이름 | 가격 |\n|-|-|\n| 갈퀴 | 12\\|5 |\n| 갈퀴 | 13 |"


def test_text_headings_tables_and_notes_of_hwp(tmp_path: Path) -> None:
    first = (
        paragraph(
            0, control(2, "secd") + control(2, "cold") + "색인 안내", style=1, hanging=record(0x47, 1, b"dces") * 2
        )
        + paragraph(0, "되돌리기", shape=1)
        + paragraph(
            0,
            f"밤마다{control(17, 'fn  ')} 만듭니다.\n둘째 줄\x1e끝😀" + control(9, "\0\0\0\0") + "탭",
            hanging=note(1, "새벽 두 시"),
        )
        + paragraph(0, control(11, "tbl "), hanging=table(1, CELLS, "표 1"))
        + paragraph(0, "# 표가 아님")
    )
    assert text(tmp_path, hwp(first, paragraph(0, "둘째 구역"))) == (
        "# 색인 안내\n\n## 되돌리기\n\n밤마다[1] 만듭니다.\n둘째 줄 끝😀 탭\n\n[1] 새벽 두 시\n\n표 1\n\n"
        f"{TABLE}\n\n\\# 표가 아님\n\n둘째 구역\n"
    )


def test_streams_that_are_not_packed_and_long_records(tmp_path: Path) -> None:
    long = "긴 문단 " * 3000
    for flags in (0, 1):
        assert text(tmp_path, hwp(paragraph(0, long), flags=flags)) == long.strip() + "\n"


def test_text_in_frames_is_read_and_heads_feet_and_comments_are_not(tmp_path: Path) -> None:
    frame = record(0x47, 1, b" osg" + bytes(40)) + record(0x4C, 2, bytes(8)) + listed(3, ["글상자 안"])
    equation = record(0x47, 1, b"deqe" + bytes(20)) + record(0x58, 2, bytes(4) + hangul.string("x over y"))
    left_out = b"".join(
        record(0x47, 1, name + bytes(12)) + listed(2, ["없음"]) for name in (b"daeh", b"toof", b"tmct")
    )
    words = "".join(
        control(code, name) for code, name in ((11, "gso "), (11, "eqed"), (16, "head"), (16, "foot"), (15, "tcmt"))
    )
    section = paragraph(0, "앞" + words + "뒤", hanging=frame + equation + left_out)
    assert text(tmp_path, hwp(section)) == "앞뒤\n\n글상자 안\n\nx over y\n"


def test_a_table_in_a_cell_is_text_of_the_cell_and_a_single_cell_a_frame(tmp_path: Path) -> None:
    inner = (
        listed(2, ["위"], (0, 0, 1, 1))
        + record(0x42, 2, bytes(22))
        + table(3, {(0, 0, 1, 1): "안", (0, 1, 1, 1): "쪽"})
    )
    outer = record(0x47, 1, b" lbt" + bytes(40)) + record(0x4D, 2, bytes(18)) + inner
    outer += listed(2, ["오른쪽"], (0, 1, 1, 1)) + listed(2, ["가"], (1, 0, 1, 1)) + listed(2, ["나"], (1, 1, 1, 1))
    assert (
        text(tmp_path, hwp(paragraph(0, control(11, "tbl "), hanging=outer)))
        == "| 위 안 쪽 | 오른쪽 |\n|-|-|\n| 가 | 나 |\n"
    )
    frame = paragraph(0, control(11, "tbl "), hanging=table(1, {(0, 0, 1, 1): "틀 안의 글"}))
    assert text(tmp_path, hwp(frame)) == "틀 안의 글\n"


NAMES = [
    hangul.Names(),
    hangul.Names(*(f"http://www.owpml.org/owpml/2024/{name}" for name in ("paragraph", "section", "head"))),
]


@pytest.mark.parametrize("names", NAMES)
def test_text_headings_tables_and_notes_of_hwpx(tmp_path: Path, names: hangul.Names) -> None:
    footnote = f"<hp:ctrl><hp:footNote><hp:subList>{p(t('새벽 두 시'))}</hp:subList></hp:footNote></hp:ctrl>"
    left_out = f"<hp:ctrl><hp:header><hp:subList>{p(t('없음'))}</hp:subList></hp:header></hp:ctrl>"
    rows = "".join(
        "<hp:tr>"
        + "".join(tc(*place[:2], p(t(words)), *place[2:]) for place, words in CELLS.items() if place[0] == i)
        + "</hp:tr>"
        for i in range(3)
    )
    frame = f"<hp:rect><hp:drawText><hp:subList>{p(t('글상자 안'))}</hp:subList></hp:drawText></hp:rect>"
    first = (
        p(t("색인 안내"), style=1)
        + p(t("되돌리기"), shape=1)
        + p(t("밤마다") + footnote + t(" 만듭니다.<hp:lineBreak/>둘째 줄<hp:nbSpace/>끝😀<hp:tab/>탭") + left_out)
        + p(f"<hp:tbl><hp:caption><hp:subList>{p(t('표 1'))}</hp:subList></hp:caption>{rows}</hp:tbl>")
        + p(frame + "<hp:equation><hp:script>x over y</hp:script></hp:equation>")
        + p(f"<hp:tbl><hp:tr>{tc(0, 0, p(t('틀 안의 글')))}</hp:tr></hp:tbl>")
    )
    found = result(tmp_path, hwpx(first, p(t("둘째 구역")), names=names), "a.hwpx")
    assert isinstance(found, Document), found
    assert found.text == (
        "# 색인 안내\n\n## 되돌리기\n\n밤마다[1] 만듭니다.\n둘째 줄 끝😀 탭\n\n[1] 새벽 두 시\n\n표 1\n\n"
        f"{TABLE}\n\n글상자 안\n\nx over y\n\n틀 안의 글\n\n둘째 구역\n"
    )
    assert found.metadata == {"title": "밤마다 색인", "author": "홍길동"}


def test_sections_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    words = [f"구역 {i}" for i in range(12)]
    assert text(tmp_path, hwp(*(paragraph(0, one) for one in words))).split("\n\n") == [
        *words[:-1],
        words[-1] + "\n",
    ]
    assert text(tmp_path, hwpx(*(p(t(one)) for one in words))).strip().split("\n\n") == words


@pytest.mark.parametrize(
    ("bit", "words"),
    [(1, "encrypted"), (2, "a distribution copy"), (4, "protected by DRM"), (8, "certificate"), (10, "DRM of a")],
)
def test_locked_files_say_so(tmp_path: Path, bit: int, words: str) -> None:
    assert words in reason(tmp_path, hwp(paragraph(0, "글"), flags=1 | 1 << bit))


def test_an_encrypted_hwpx_says_so(tmp_path: Path) -> None:
    manifest = {"META-INF/manifest.xml": "<odf:manifest><odf:encryption-data/></odf:manifest>"}
    assert reason(tmp_path, hwpx(p(t("글")), files=manifest)).startswith("encrypted")


def test_what_is_no_such_file_says_what_it_is(tmp_path: Path) -> None:
    assert reason(tmp_path, b"") == "empty"
    assert (
        reason(tmp_path, b"HWP Document File V3.00 \x1a")
        == "HWP 3, of before the year 2000, is not read; save it as HWPX"
    )
    assert "neither a compound file nor a ZIP" in reason(tmp_path, b"plain words")
    assert "without a FileHeader" in reason(tmp_path, hangul.compound({"WordDocument": b"x" * 5000}))
    assert "its header is not" in reason(tmp_path, hangul.compound({"FileHeader": b"x" * 256}))
    assert "it has no BodyText" in reason(tmp_path, hwp())
    assert "without Contents/section0.xml" in reason(tmp_path, hwpx())
    assert "entities" in reason(
        tmp_path, hwpx(files={"Contents/section0.xml": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"})
    )
    assert "goes beyond its stream" in reason(tmp_path, hwp(paragraph(0, "글")[:-3]))


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    big = paragraph(0, "0" * 15_000_000)
    assert "would unpack to" in reason(tmp_path, hwp(big, big), max_document_mb=1)
    spaces = hwpx(files={"Contents/section0.xml": " " * 30_000_000})
    assert "would unpack to 30 MB" in reason(tmp_path, spaces, max_document_mb=1)


def test_text_over_the_limit_is_refused_as_it_grows(tmp_path: Path) -> None:
    assert "max_document_mb" in reason(
        tmp_path, hwp(*(paragraph(0, "글" * 100_000) for _ in range(9))), max_document_mb=1
    )


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    content = p(t("바닥"))
    for _ in range(300):
        content = p(f"<hp:tbl><hp:tr>{tc(0, 0, content)}</hp:tr></hp:tbl>")
    assert reason(tmp_path, hwpx(content)) == "nested too deeply"
    deep = b"".join(record(0x47, level, b" osg") for level in range(1, 400))
    assert reason(tmp_path, hwp(paragraph(0, "글", hanging=deep))) == "nested too deeply"


def test_a_table_of_absurd_size_is_text(tmp_path: Path) -> None:
    cells = {(0, 0, 1, 1): "가", (65_000, 65_000, 60_000, 60_000): "나"}
    assert text(tmp_path, hwp(paragraph(0, control(11, "tbl "), hanging=table(1, cells)))) == "가\n\n나\n"


def test_damage_anywhere_ends_in_a_document_or_a_reason(tmp_path: Path) -> None:
    chance = random.Random(7)
    section = paragraph(0, "밤마다 만듭니다", style=1) + paragraph(0, control(11, "tbl "), hanging=table(1, CELLS))
    for whole in (
        hwp(section),
        hwp(section, flags=0),
        hwpx(p(t("글")) + p(f"<hp:tbl><hp:tr>{tc(0, 0, p(t('안')))}</hp:tr></hp:tbl>")),
    ):
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            cut = data[: chance.randrange(len(data))] if chance.random() < 0.3 else data
            assert isinstance(result(tmp_path, bytes(cut)), Document | UnreadableError)


def test_they_are_read_in_the_process_beside_the_build(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.hwp").write_bytes(hwp(paragraph(0, "글")))
    (tmp_path / "src/b.hwpx").write_bytes(hwpx(p(t("글"))))
    (tmp_path / "src/c.hwpx").write_bytes(hwp(paragraph(0, "글"), flags=3))
    docs, rejections = read()
    assert [(doc.doc_id, doc.text) for doc in docs] == [("a.hwp", "글\n"), ("b.hwpx", "글\n")]
    assert [(one.file, one.reason[:9]) for one in rejections] == [("src/c.hwpx", "encrypted")]


def test_members_of_an_archive_that_cannot_be_unpacked_are_damage(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("Contents/section0.xml", "<sec><p>")
    assert reason(tmp_path, sink.getvalue()).startswith("broken .hwpx file: ")
