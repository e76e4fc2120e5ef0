"""PDF: words keep their blanks, columns their order; hyphens, heads and feet go; chunks know their pages."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest

from pipeline.config import ChunkingSettings
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.ingest.cutting.contract import places_of
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.records import Document
from tests.ingest.conftest import Read, outcomes
from tests.ingest.cutting import tokenizer
from tests.ingest.pages import Sheet, pdf

pytest.importorskip("pypdfium2")

SENTENCE = """
the nightly build reads every source that changed since the last one and writes a new generation beside the old
so that readers never wait for it while they search what they opened before and the old one stays in its place
"""
WORDS = SENTENCE.split()


def prose(lines: int, start: int = 0, words: int = 9) -> list[str]:
    return [" ".join(WORDS[(start + i * words + j) % len(WORDS)] for j in range(words)) for i in range(lines)]


def document(tmp_path: Path, data: bytes) -> Document:
    (tmp_path / "a.pdf").write_bytes(data)
    (outcome,) = outcomes(tmp_path / "a.pdf")
    assert isinstance(outcome.result, Document), outcome.result
    return outcome.result


def reason(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "a.pdf").write_bytes(data)
    (outcome,) = outcomes(tmp_path / "a.pdf")
    assert isinstance(outcome.result, UnreadableError), outcome.result
    return str(outcome.result)


def test_words_that_are_only_drawn_apart_keep_their_blanks(tmp_path: Path) -> None:
    sheet = Sheet()
    sheet.operators.append("BT /F1 10 Tf 72 700 Td [(Here) -300 (is) -280 (an) -300 (example)] TJ ET")
    assert document(tmp_path, pdf(sheet)).text == "Here is an example\n"


def test_a_paragraph_is_one_line_and_the_next_is_another(tmp_path: Path) -> None:
    first, second = prose(4), prose(3, 7)
    sheet = Sheet().lines(72, 100, first).lines(72, 172, second)
    assert document(tmp_path, pdf(sheet)).text == f"{' '.join(first)}\n\n{' '.join(second)}\n"


def test_columns_are_read_one_after_the_other_and_a_title_before_them(tmp_path: Path) -> None:
    left, right = prose(12, 0, 6), prose(12, 20, 6)
    sheet = Sheet().text(72, 80, "A title over both of the columns of this page, and a long one", 18)
    for i in range(12):  # drawn row by row
        sheet.text(60, 130 + 12 * i, left[i], 8).text(330, 130 + 12 * i, right[i], 8)
    text = document(tmp_path, pdf(sheet)).text
    title, body = text.strip().split("\n\n", 1)
    assert title == "# A title over both of the columns of this page, and a long one"
    assert body.split() == " ".join(left + right).split()


def test_hyphens_at_the_ends_of_lines_go_unless_the_word_has_one(tmp_path: Path) -> None:
    sheet = Sheet().lines(72, 100, [
        "the words of a line are some-", "times parted where it ends, and a well-", "known one keeps what it has;",
        "it is well-known and so is the num-", "ber 7 or the name of a Franco-", "German one at the end of it",
    ])  # fmt: skip
    text = " ".join(document(tmp_path, pdf(sheet)).text.split())
    assert "are sometimes parted" in text
    assert "a well-known one" in text
    assert "the number 7" in text
    assert "Franco-German" in text


def test_heads_feet_and_numbers_that_repeat_are_left_out(tmp_path: Path) -> None:
    sheets = [
        Sheet()
        .text(72, 40, "A handbook of builds")
        .text(500, 40, f"Chapter {number}")
        .lines(72, 100, prose(6, 5 * number))
        .text(300, 770, f"- {number} -")
        for number in range(1, 6)
    ]
    text = document(tmp_path, pdf(*sheets)).text
    assert "handbook" not in text
    assert "Chapter" not in text
    assert "- 3 -" not in text
    for number in range(1, 6):
        assert prose(1, 5 * number)[0] in " ".join(text.split())


def test_what_repeats_in_the_middle_or_only_twice_in_a_long_document_stays(tmp_path: Path) -> None:
    sheets = [Sheet().lines(72, 100, prose(3, 4 * i)).text(72, 400, "the same on each") for i in range(5)]
    for i in (1, 2):
        sheets[i].text(72, 40, "only on two pages")
    text = document(tmp_path, pdf(*sheets)).text
    assert text.count("the same on each") == 5
    assert text.count("only on two pages") == 2


def test_headings_by_size_and_by_the_documents_outline(tmp_path: Path) -> None:
    sheet = (
        Sheet()
        .text(72, 60, "The title", 20)
        .text(72, 100, "A section", 14)
        .lines(72, 130, prose(4))
        .text(72, 200, "Named in the outline", 10)
        .lines(72, 230, prose(4, 3))
        .text(72, 300, "1.2 Numbered and bold", 10, "F2")
        .lines(72, 330, prose(4, 9))
    )
    text = document(tmp_path, pdf(sheet)).text
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# The title", "## A section", "#### 1.2 Numbered and bold",
    ]  # fmt: skip
    text = document(tmp_path, pdf(sheet, outline=[("Named in the outline", 0)])).text
    assert "\n# Named in the outline\n" in text


def test_a_page_of_contents_has_no_headings(tmp_path: Path) -> None:
    entries = [f"{i} Part number {i}" + " ." * 20 + f" {3 * i}" for i in range(1, 7)]
    sheet = Sheet().text(72, 60, "Contents", 18).lines(72, 100, entries, font="F2").text(72, 200, "7 Last 40", 14)
    text = document(tmp_path, pdf(sheet)).text
    assert [line for line in text.splitlines() if line.startswith("#")] == ["# Contents"]
    assert "1 Part number 1 … 3\n2 Part number 2 … 6" in text


CELLS = [["name", "price", "note"], ["rake", "12.50", "a|b"], ["long spade", "19.00", "black"]]


def test_ruled_tables_are_markdown_where_they_stand(tmp_path: Path) -> None:
    sheet = Sheet().lines(72, 100, prose(2)).grid([72, 200, 300, 400], [140, 160, 180, 200])
    for i, row in enumerate(CELLS):
        for j, cell in enumerate(row):
            sheet.text([76, 204, 304][j], 154 + 20 * i, cell)
    sheet.lines(72, 240, prose(2, 9))
    before, table, after = document(tmp_path, pdf(sheet)).text.strip().split("\n\n")
    assert table == ("| name | price | note |\n|-|-|-|\n| rake | 12.50 | a\\|b |\n| long spade | 19.00 | black |")
    assert (before, after) == (" ".join(prose(2)), " ".join(prose(2, 9)))


def test_tables_of_three_lines_across_are_markdown_too(tmp_path: Path) -> None:
    sheet = Sheet().lines(72, 100, prose(2))
    for y in (140, 160, 202):
        sheet.line(72, y, 400, y)
    for i, row in enumerate([*CELLS, ["", "", "and more"]]):
        for j, cell in enumerate(row):
            sheet.text([76, 204, 304][j], 154 + (4 if i else 0) + 13 * i, cell) if cell else None
    text = document(tmp_path, pdf(sheet)).text
    assert (
        "| name | price | note |\n|-|-|-|\n| rake | 12.50 | a\\|b |\n| long spade | 19.00 | black and more |"
        in text
    )


def test_lines_under_a_head_and_over_a_foot_make_no_table(tmp_path: Path) -> None:
    sheet = Sheet()
    for i in range(30):
        sheet.text(60, 100 + 12 * i, prose(1, i, 6)[0], 8).text(330, 100 + 12 * i, prose(1, i + 9, 6)[0], 8)
    for y in (80, 480, 490):
        sheet.line(60, y, 560, y)
    assert "|" not in document(tmp_path, pdf(sheet)).text


def test_code_keeps_its_lines_and_its_indents(tmp_path: Path) -> None:
    sheet = Sheet().lines(72, 100, prose(3)).text(72, 150, "for i in range(9):", 10, "F3")
    sheet.text(96, 162, "# not a heading", 10, "F3").text(96, 174, "print(i)", 10, "F3").lines(72, 200, prose(3))
    assert "```\nfor i in range(9):\n    # not a heading\n    print(i)\n```" in document(tmp_path, pdf(sheet)).text


def test_lists_and_text_that_looks_like_markup(tmp_path: Path) -> None:
    sheet = Sheet().text(72, 100, "\x95 a first point of a list").text(72, 112, "\x95 a second")
    sheet.lines(72, 150, ["# is a number sign, and this is a paragraph of some words"])
    sheet.operators = [op.replace("/F1", "/F1") for op in sheet.operators]
    text = document(tmp_path, pdf(sheet)).text
    assert "\\# is a number sign" in text


def test_a_turned_page_is_read_as_it_is_seen(tmp_path: Path) -> None:
    sheet = Sheet(rotate=90)
    for i, line in enumerate(prose(5)):
        sheet.operators.append(f"BT /F1 10 Tf 0 1 -1 0 {100 + 12 * i} 72 Tm ({line}) Tj ET")
    assert document(tmp_path, pdf(sheet)).text.split() == " ".join(prose(5)).split()


def test_words_at_an_angle_come_after_the_others(tmp_path: Path) -> None:
    sheet = Sheet().lines(72, 100, prose(3))
    sheet.operators.insert(0, "BT /F1 10 Tf 0 1 -1 0 20 300 Tm (a stamp) Tj ET")
    assert document(tmp_path, pdf(sheet)).text == f"{' '.join(prose(3))}\n\na stamp\n"


def test_every_chunk_knows_its_pages(tmp_path: Path) -> None:
    sheets = [Sheet().text(72, 60, f"Part {i}", 18).lines(72, 100, prose(30, i)) for i in range(4)]
    found = document(tmp_path, pdf(*sheets, title="Builds"))
    assert [found.text[start:].lstrip().split("\n")[0] for start in found.pages] == [
        f"# Part {i}" for i in range(4)
    ]
    chunks = list(Chunker(ChunkingSettings(max_tokens=60, overlap_tokens=0), tokenizer("wordpiece")).chunk(found))
    assert len(chunks) > 8
    for chunk in chunks:
        assert chunk.metadata["title"] == "Builds"
        assert f"Part {int(chunk.metadata['page']) - 1}" in chunk.headings  # type: ignore[arg-type]
        assert chunk.metadata["last_page"] == chunk.metadata["page"]


def test_a_paragraph_over_two_pages_is_one_and_its_chunk_has_both(tmp_path: Path) -> None:
    sheets = [Sheet().lines(72, 400, prose(3)), Sheet().lines(72, 100, prose(3, 27))]
    found = document(tmp_path, pdf(*sheets))
    assert found.text == " ".join(prose(3) + prose(3, 27)) + "\n"
    assert found.text[found.pages[1] :].strip() == " ".join(prose(3, 27))
    (chunk,) = Chunker(ChunkingSettings(), tokenizer("wordpiece")).chunk(found)
    assert (chunk.metadata["page"], chunk.metadata["last_page"]) == (1, 2)


def test_pages_of_stretches() -> None:
    paged = Document("a", "", {}, pages=[0, 10, 10, 25])  # the second page has no text
    assert places_of(paged, 0, 10) == {"page": 1, "last_page": 1}
    assert places_of(paged, 5, 11) == {"page": 1, "last_page": 3}
    assert places_of(paged, 10, 25) == {"page": 3, "last_page": 3}
    assert places_of(paged, 24, 40) == {"page": 3, "last_page": 4}
    assert places_of(Document("a", "", {}), 0, 10) == {}


def test_pages_are_content_and_their_absence_is_none() -> None:
    bare, paged = Document("a", "text", {}), Document("a", "text", {}, pages=(0, 2))
    assert bare.content_hash != paged.content_hash
    assert paged.content_hash == Document("b", "text", {}, pages=[0, 2]).content_hash
    assert Document("a", "text", {}, lines=(0, 2)).content_hash not in (bare.content_hash, paged.content_hash)


def test_scanned_pages_are_named_or_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert reason(tmp_path, pdf(Sheet().image(), Sheet().image())).startswith("scanned, no text: 2 of 2 pages")
    stamps = [Sheet().image().text(72, 30, "Scanned by a library") for _ in range(4)]
    assert reason(tmp_path, pdf(*stamps)).startswith("scanned, no text")
    with caplog.at_level("WARNING"):
        document(tmp_path, pdf(Sheet().lines(72, 100, prose(3)), Sheet().image()))
    assert "1 of 2 pages are images without text: 2" in caplog.text


def test_broken_and_encrypted_files_are_named(read: Read, tmp_path: Path) -> None:
    whole = pdf(Sheet().lines(72, 100, prose(3)))
    assert reason(tmp_path, b"") == "empty"
    assert reason(tmp_path, b"%PDF-1.4 and nothing else").startswith("broken .pdf file: ")
    assert reason(tmp_path, whole[: len(whole) // 3]).startswith(("broken .pdf file: ", "empty"))
    locked = whole.replace(
        b"/Info 3 0 R",
        b"/Info 3 0 R /ID [<00> <00>] /Encrypt << /Filter /Standard /V 1 /R 2 /Length 40 /P -4 "
        b"/O <" + b"00" * 32 + b"> /U <" + b"11" * 32 + b"> >>",
    )
    assert reason(tmp_path, locked).startswith("encrypted: ")
    (tmp_path / "src/a.pdf").write_bytes(whole)
    (tmp_path / "src/b.pdf").write_bytes(whole[:200])
    docs, rejections = read()
    assert [doc.doc_id for doc in docs] == ["a.pdf"]
    assert [one.file for one in rejections] == ["src/b.pdf"]
    assert list(docs[0].pages) == [0]


def test_every_cut_and_every_flipped_byte_ends_in_a_document_or_a_reason(tmp_path: Path) -> None:
    whole = pdf(
        Sheet().lines(72, 100, prose(3)).grid([72, 200, 300], [300, 320, 340]).text(76, 314, "cell"),
        Sheet().image(),
        outline=[("Part", 0)],
    )
    for i in range(0, len(whole), max(1, len(whole) // 60)):
        for data in (whole[:i], whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :]):
            (tmp_path / "a.pdf").write_bytes(data)
            (outcome,) = outcomes(tmp_path / "a.pdf")
            assert isinstance(outcome.result, Document | UnreadableError)


def test_a_page_that_unpacks_without_end_costs_its_document_alone(read: Read, tmp_path: Path) -> None:
    bomb = zlib.compress(zlib.compress(b" " * 900_000_000, 9), 9)
    whole = pdf(Sheet().text(72, 100, "x"))
    (old,) = re.findall(rb"<< /Length \d+ >>\nstream\n.*?endstream", whole, re.DOTALL)
    new = b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n%s\nendstream" % (len(bomb), bomb)
    (tmp_path / "src/a.pdf").write_bytes(whole.replace(old, new))
    (tmp_path / "src/b.pdf").write_bytes(pdf(Sheet().lines(72, 100, prose(3))))
    docs, rejections = read({"parser_memory_mb": 400})
    assert [doc.doc_id for doc in docs] == ["b.pdf"]
    assert [one.file for one in rejections] == ["src/a.pdf"]


def test_a_document_of_more_text_than_allowed_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(*(Sheet().lines(72, 60, prose(50)) for _ in range(3))))
    (outcome,) = outcomes(tmp_path / "a.pdf", max_document_mb=0.03)
    assert isinstance(outcome.result, Document)
    (outcome,) = outcomes(tmp_path / "a.pdf", max_document_mb=0.001)
    assert "max_document_mb" in str(outcome.result)
