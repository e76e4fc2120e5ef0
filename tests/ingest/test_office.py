"""Office formats become Markdown, and the broken ones are named. Files are made on the spot."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.ingest.conftest import Read, outcomes

pytest.importorskip("mammoth")


def zipped(files: dict[str, str]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return sink.getvalue()


def pdf(text: str, title: str = "") -> bytes:
    stream = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title <%s> >>" % ("\ufeff" + title).encode("utf-16-be").hex().encode(),
    ]
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    tail = b"trailer << /Size 7 /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(data)
    return data + b"xref\n0 7\n0000000000 65535 f \n" + table + tail


OPC = "http://schemas.openxmlformats.org"
DOCX = {
    "[Content_Types].xml": f'<Types xmlns="{OPC}/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" ContentType='
    '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{OPC}/package/2006/relationships"><Relationship Id="r" '
    f'Type="{OPC}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>',
    "word/document.xml": f'<w:document xmlns:w="{OPC}/wordprocessingml/2006/main"><w:body><w:p><w:r>'
    "<w:t>색인은 밤마다 만듭니다</w:t></w:r></w:p></w:body></w:document>",
}
EPUB = {
    "mimetype": "application/epub+zip",
    "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="c.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
    "c.opf": '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
    '<dc:title>A book</dc:title></metadata><manifest><item id="a" href="a.xhtml" '
    'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine></package>',
    "a.xhtml": "<html><body><h1>Chapter</h1><p>A page of the book.</p></body></html>",
}
HTML = "<html><head><title>The title</title></head><body><h1>Head</h1><p>Some <b>bold</b> words.</p></body></html>"


def test_each_format_becomes_markdown(read: Read, tmp_path: Path) -> None:
    folder = tmp_path / "src"
    (folder / "a.html").write_text(HTML)
    (folder / "b.docx").write_bytes(zipped(DOCX))
    (folder / "c.epub").write_bytes(zipped(EPUB))
    (folder / "d.pdf").write_bytes(pdf("Words in a page"))
    workbook = pytest.importorskip("openpyxl").Workbook()
    workbook.active.append(["name", "price"])
    workbook.active.append(["faiss", 3])
    workbook.save(folder / "e.xlsx")
    slides = pytest.importorskip("pptx").Presentation()
    slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = "On a slide"
    slides.save(folder / "f.pptx")

    docs, rejections = read()
    assert rejections == []
    texts = {doc.doc_id: doc.text for doc in docs}
    assert texts["a.html"] == "# Head\n\nSome **bold** words."
    assert "색인은 밤마다 만듭니다" in texts["b.docx"]
    assert "# Chapter" in texts["c.epub"]
    assert "Words in a page" in texts["d.pdf"]
    assert "| faiss | 3 |" in texts["e.xlsx"]
    assert "On a slide" in texts["f.pptx"]
    assert docs[0].metadata == {"title": "The title"}
    assert all(doc.is_markdown for doc in docs)


def core(title: str) -> dict[str, str]:
    return {
        "docProps/core.xml": '<p:coreProperties xmlns:p="urn:p" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{title}</dc:title></p:coreProperties>"
    }


def test_a_title_among_the_properties_is_the_documents(read: Read, tmp_path: Path) -> None:
    folder = tmp_path / "src"
    (folder / "a.docx").write_bytes(zipped(DOCX | core("밤마다 &amp;\n색인")))
    (folder / "b.docx").write_bytes(zipped(DOCX | core("Microsoft Word - draft")))
    (folder / "c.docx").write_bytes(zipped(DOCX | {"docProps/core.xml": "<broken"}))
    (folder / "d.docx").write_bytes(
        zipped(DOCX | {"docProps/core.xml": "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"})
    )
    (folder / "e.epub").write_bytes(zipped(EPUB))
    (folder / "f.pdf").write_bytes(pdf("Words in a page", "되돌리기"))
    (folder / "g.pdf").write_bytes(pdf("Words in a page"))
    slides = pytest.importorskip("pptx").Presentation()
    slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = "On a slide"
    slides.core_properties.title = "A talk"
    slides.save(folder / "h.pptx")
    docs, rejections = read()
    assert rejections == []
    assert {doc.doc_id: doc.metadata.get("title") for doc in docs} == {
        "a.docx": "밤마다 & 색인",
        "b.docx": None,
        "c.docx": None,
        "d.docx": None,
        "e.epub": "A book",
        "f.pdf": "되돌리기",
        "g.pdf": None,
        "h.pptx": "A talk",
    }


def test_broken_files_are_named(read: Read, tmp_path: Path) -> None:
    folder = tmp_path / "src"
    (folder / "bomb.docx").write_bytes(zipped(DOCX | {"word/bomb.xml": " " * 30_000_000}))
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 not a zip")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 and nothing else")
    (folder / "empty.pdf").write_bytes(pdf(""))
    (folder / "hollow.xlsx").write_bytes(zipped({"nothing.txt": "x"}))
    (folder / "huge.html").write_text("x" * 1_000_001)
    (folder / "good.html").write_text(HTML)
    docs, rejections = read({"max_document_mb": 1})
    assert [doc.doc_id for doc in docs] == ["good.html"]
    reasons = {r.file.removeprefix("src/"): r.reason for r in rejections}
    assert reasons["bomb.docx"] == "would unpack to 30 MB; more than 20 MB is not read"
    assert reasons["broken.docx"] == "broken .docx file: file is not a zip file"
    assert reasons["broken.pdf"].startswith("broken .pdf file: ")
    assert reasons["empty.pdf"] == "empty"
    assert reasons["hollow.xlsx"].startswith("broken .xlsx file: ")
    assert "1.0 MB is more than ingest.max_document_mb=1" in reasons["huge.html"]
    assert all("\n" not in reason for reason in reasons.values())


def test_a_shortage_of_memory_is_not_told_as_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*args: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("mammoth.convert_to_html", greedy)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.iter_batches", greedy)
    (tmp_path / "greedy.docx").write_bytes(zipped(DOCX))
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "greedy.parquet")
    for name in ("greedy.docx", "greedy.parquet"):
        (outcome,) = outcomes(tmp_path / name)
        assert str(outcome.result) == "not enough memory to read it"


def test_deeply_nested_html_is_refused_or_read_but_stops_nothing(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/deep.html").write_text("<div>" * 5000 + "text" + "</div>" * 5000)
    (tmp_path / "src/good.html").write_text(HTML)
    docs, rejections = read()
    assert len(docs) + len(rejections) == 2
    assert "good.html" in [doc.doc_id for doc in docs]
