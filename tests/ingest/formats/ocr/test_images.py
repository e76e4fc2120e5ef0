"""Pictures as documents: read where a source names them, frames as pages, broken ones with their reason."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import IngestSettings
from pipeline.ingest.formats.ocr.installed import OcrModels, find_models
from tests.ingest.conftest import Read
from tests.ingest.formats.ocr.scans import LATIN, font_of, picture

pytest.importorskip("PIL")
FIRST, SECOND = "Every build reads what has changed.", "Readers never wait for a build."
have_ocr = isinstance(find_models(IngestSettings()), OcrModels)
needs_ocr = pytest.mark.skipif(not have_ocr, reason="no OCR here")


def drawn(text: str) -> Any:
    font = font_of(LATIN, 34) or pytest.skip("no font")
    return picture([(60, 80, text)], font, (1000, 260))


def saved(image: Any, kind: str, **more: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **more)
    return sink.getvalue()


@needs_ocr
@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.tif", "TIFF")])
def test_a_picture_is_read_where_a_source_names_it(read: Read, tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "src" / name).write_bytes(saved(drawn(FIRST), kind))
    (document,), rejections = read(include=["*.*"])
    assert not rejections
    assert document.text == f"{FIRST}\n"
    assert document.metadata["ocr"] is True


@needs_ocr
def test_frames_are_pages_and_transparency_is_paper(read: Read, tmp_path: Path) -> None:
    frames = saved(drawn(FIRST), "TIFF", save_all=True, append_images=[drawn(SECOND)])
    (tmp_path / "src/a.tiff").write_bytes(frames)
    clear = drawn(SECOND).convert("RGBA")
    clear.putalpha(drawn(SECOND).point(lambda grey: 255 - grey))
    (tmp_path / "src/b.png").write_bytes(saved(clear, "PNG"))
    (paged, single), rejections = read(include=["*.*"])
    assert not rejections
    assert paged.text == f"{FIRST}\n\n{SECOND}\n"
    assert list(paged.pages) == [0, len(FIRST) + 2]
    assert single.text == f"{SECOND}\n"


@needs_ocr
def test_broken_blank_and_huge_pictures_have_their_reason(read: Read, tmp_path: Path) -> None:
    whole = saved(drawn(FIRST), "PNG")
    (tmp_path / "src/a.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "src/b.png").write_bytes(b"")
    (tmp_path / "src/c.png").write_bytes(b"no picture")
    (tmp_path / "src/d.png").write_bytes(saved(drawn(""), "PNG"))
    from PIL import Image

    (tmp_path / "src/e.png").write_bytes(saved(Image.new("1", (20_000, 12_000), 1), "PNG"))
    documents, rejections = read(include=["*.png"])
    assert not documents
    starts = ["broken .png file: ", "empty", "broken .png file: ", "a picture without text", ""]
    assert all(one.reason.startswith(start) for one, start in zip(rejections, starts, strict=True)), rejections
    assert "pixels" in rejections[-1].reason


def test_pictures_of_a_folder_are_ignored_unless_they_are_named(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.txt").write_text("text")
    (tmp_path / "src/b.png").write_bytes(saved(drawn(FIRST), "PNG"))
    documents, rejections = read()
    assert [one.text for one in documents] == ["text"]
    assert not rejections


def test_without_ocr_a_picture_that_is_named_is_rejected_with_the_cure(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/b.png").write_bytes(saved(drawn(FIRST), "PNG"))
    documents, (rejection,) = read({"ocr": "off"}, include=["*.png"])
    assert not documents
    assert rejection.reason == "a picture: ingest.ocr is off; `auto` reads them"
