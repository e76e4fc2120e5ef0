"""Scanned pages of PDFs: read where they have no text, by models that are here, in the order of their columns."""

from __future__ import annotations

import signal
import socket
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.ocr.installed import OcrModels, find_models
from pipeline.ingest.formats.pdf.scans import MOST_PIXELS, draw, more_time
from pipeline.records import Document
from tests.ingest.conftest import Read, outcomes
from tests.ingest.formats.ocr.scans import KOREAN, LATIN, font_of, joined, picture, scanned, stamped
from tests.ingest.pages import Sheet, pdf

pypdfium2 = pytest.importorskip("pypdfium2")
pytest.importorskip("PIL")
if not isinstance(find_models(IngestSettings()), OcrModels):
    pytest.skip("no OCR here", allow_module_level=True)

ENGLISH = [
    "The nightly build reads every source that changed",
    "and writes a new generation beside the old one.",
    "Readers never wait for it while they search what",
    "they opened before, and the old one stays there.",
]
HANGUL = [
    "모든 국민은 법 앞에 평등하다.",
    "검색 엔진은 문서를 색인으로 만들고,",
    "질의에 가장 알맞은 문서를 찾는다.",
]


@pytest.fixture
def latin() -> Any:
    return font_of(LATIN, 34) or pytest.skip("no font")


@pytest.fixture
def korean() -> Any:
    return font_of(KOREAN, 34) or pytest.skip("no Korean font")


def rows(lines: list[str], x: int = 150, y: int = 200) -> list[tuple[int, int, str]]:
    return [(x, y + 56 * i, line) for i, line in enumerate(lines)]


def result(tmp_path: Path, data: bytes, **settings: Any) -> Document | UnreadableError:
    (tmp_path / "a.pdf").write_bytes(data)
    (outcome,) = outcomes(tmp_path / "a.pdf", **settings)
    assert isinstance(outcome.result, Document | UnreadableError)
    return outcome.result


def document(tmp_path: Path, data: bytes, **settings: Any) -> Document:
    found = result(tmp_path, data, **settings)
    assert isinstance(found, Document), found
    return found


@pytest.mark.parametrize("tilt", [0, 1.5, -2])
def test_english_is_read_to_the_letter_though_the_page_lies_askew(tmp_path: Path, latin: Any, tilt: float) -> None:
    read = document(tmp_path, scanned(picture(rows(ENGLISH), latin, tilt=tilt)))
    assert read.text == " ".join(ENGLISH) + "\n"
    assert read.metadata["ocr"] is True


def test_korean_is_read_with_the_blanks_between_its_words(tmp_path: Path, korean: Any) -> None:
    read = document(tmp_path, scanned(picture(rows(HANGUL), korean)))
    words = " ".join(HANGUL).split()
    assert sum(word in read.text.split() for word in words) >= len(words) - 2
    assert document(tmp_path, scanned(picture(rows(HANGUL), korean))).text == read.text


def test_columns_are_read_one_after_the_other_below_their_heading(tmp_path: Path, latin: Any) -> None:
    short = font_of(LATIN, 26)
    left = [f"left side, row {i}, of the page" for i in range(8)]
    right = [f"right side, row {i}, of the page" for i in range(8)]
    drawn = picture(rows(left, 130, 500) + rows(right, 900, 500), short)
    title = picture([(130, 250, "About both of the columns")], font_of(LATIN, 60))
    drawn.paste(title.crop((0, 200, 1654, 400)), (0, 200))
    text = document(tmp_path, scanned(drawn)).text
    assert text.startswith("# About both of the columns\n\n")
    assert text.split()[6:] == " ".join(left + right).split()


def test_only_the_page_without_text_is_read_so_and_all_keep_their_numbers(tmp_path: Path, latin: Any) -> None:
    typed = [pdf(Sheet().text(72, 100, f"Page {word} has text of its own.")) for word in ("one", "three")]
    data = joined(typed[0], scanned(picture(rows(ENGLISH), latin)), typed[1])
    read = document(tmp_path, data)
    bounds = [*read.pages, len(read.text)]
    parts = [read.text[low:high].strip() for low, high in pairwise(bounds)]
    assert parts == ["Page one has text of its own.", " ".join(ENGLISH), "Page three has text of its own."]


def test_a_layer_of_text_over_the_picture_is_used_as_it_is(tmp_path: Path, latin: Any) -> None:
    sheet = Sheet().image()
    sheet.operators.append("BT 3 Tr /F1 10 Tf 72 700 Td (what another program has read) Tj ET")
    read = document(tmp_path, pdf(sheet))
    assert read.text == "what another program has read\n"
    assert "ocr" not in read.metadata


def test_a_stamp_on_every_page_is_no_text(tmp_path: Path, latin: Any) -> None:
    drawn = [picture(rows(ENGLISH[i:] + ENGLISH[:i], y=800), latin) for i in range(3)]
    read = document(tmp_path, stamped(scanned(*drawn), "Stamp"))
    assert "Stamp" not in read.text
    assert all(read.text.count(line) == 3 for line in ENGLISH)


def test_blank_pages_are_told_and_give_no_words(
    tmp_path: Path, latin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    blank = picture([], latin)
    refused = result(tmp_path, scanned(blank, blank))
    assert str(refused) == "scanned, no text: 2 of 2 pages are images; OCR finds nothing there that it is sure of"
    with caplog.at_level("WARNING"):
        read = document(tmp_path, scanned(blank, picture(rows(ENGLISH), latin)))
    assert read.text.split() == " ".join(ENGLISH).split()
    assert "1 of 2 pages are images without text: 1; OCR finds nothing" in caplog.text


def test_switched_off_a_scan_is_refused_with_the_cure(tmp_path: Path, latin: Any) -> None:
    refused = result(tmp_path, scanned(picture(rows(ENGLISH), latin)), ocr="off")
    assert str(refused) == "scanned, no text: 1 of 1 pages are images; ingest.ocr is off; `auto` reads them"
    assert IngestSettings.model_validate({"ocr": False}).ocr == "off"  # what YAML makes of `off`


def test_a_page_as_large_as_a_field_is_drawn_within_bounds() -> None:
    pdfium = pypdfium2.PdfDocument.new()
    drawn, points = draw(pdfium.new_page(14_400, 14_400))
    assert MOST_PIXELS * 0.98 < drawn.size <= MOST_PIXELS * 1.01
    assert points == pytest.approx(14_400 / drawn.shape[0], rel=1e-3)
    with pytest.raises(UnreadableError, match="cannot be drawn"):
        draw(pdfium.new_page(14_400, 0.01))


def test_each_page_has_the_whole_limit_in_the_process_that_it_ends() -> None:
    earlier = signal.getsignal(signal.SIGALRM)
    try:
        for handler, left in ((signal.SIG_DFL, 5_000.0), (lambda number, frame: None, 900.0)):
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 900.0, 1.0)
            more_time(5_000.0)
            more_time(None)
            assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(left, abs=60)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        more_time(5_000.0)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


def test_nothing_asks_the_network(tmp_path: Path, latin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.ingest.formats.ocr.recogniser import recogniser

    def refuse(*arguments: object, **more: object) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    recogniser.cache_clear()
    assert document(tmp_path, scanned(picture(rows(ENGLISH), latin))).text == " ".join(ENGLISH) + "\n"


def test_the_parser_process_reads_them_within_its_limits(read: Read, tmp_path: Path, latin: Any) -> None:
    (tmp_path / "src" / "scan.pdf").write_bytes(scanned(picture(rows(ENGLISH), latin)))
    (document,), rejections = read()
    assert not rejections
    assert document.text == " ".join(ENGLISH) + "\n"
    documents, (rejection,) = read({"document_seconds": 0.05})
    assert not documents
    assert "document_seconds=0.05" in rejection.reason
    documents, (rejection,) = read({"parser_memory_mb": 150})
    assert not documents
    assert rejection.reason
