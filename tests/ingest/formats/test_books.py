"""Books and texts in ZIP archives: in the order of reading, without entities, no larger than they may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ingest.conftest import Read
from tests.ingest.test_office import EPUB, zipped

ODT_NAMES = (
    'xmlns:office="urn:o" xmlns:text="urn:t" xmlns:table="urn:b" xmlns:dc="urn:d" xmlns:meta="urn:m" '
    'xmlns:xlink="urn:x" '
)


def odt(body: str, **parts: str) -> bytes:
    content = f"<office:c {ODT_NAMES}><office:body><office:text>{body}</office:text></office:body></office:c>"
    meta = f"<office:m {ODT_NAMES}><dc:title>갈퀴</dc:title><dc:creator>Ann</dc:creator></office:m>"
    return zipped(
        {"content.xml": content, "meta.xml": meta} | {name.replace("__", "/"): text for name, text in parts.items()}
    )


def test_a_text_keeps_its_shape(read: Read, tmp_path: Path) -> None:
    body = (
        '<text:tracked-changes>old</text:tracked-changes><text:h text:outline-level="2">On rakes</text:h>'
        "<text:p>They <text:span>gather</text:span><text:s text:c='2'/>leaves<text:line-break/>well"
        "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Note.</text:p></text:note-body>"
        "</text:note>.</text:p><text:list><text:list-item><text:p>a</text:p><text:list><text:list-item><text:p>b"
        "</text:p></text:list-item></text:list></text:list-item></text:list><table:table><table:table-header-rows>"
        "<table:table-row><table:table-cell><text:p>k</text:p></table:table-cell><table:table-cell><text:p>v</text:p>"
        "</table:table-cell></table:table-row></table:table-header-rows><table:table-row><table:table-cell "
        'table:number-columns-repeated="2"><text:p>1</text:p></table:table-cell></table:table-row></table:table>'
    )
    (tmp_path / "src/a.odt").write_bytes(odt(body))
    (doc,), rejections = read()
    assert rejections == []
    assert doc.text == (
        "## On rakes\n\nThey gather leaves\nwell.\n\nNote.\n\n- a\n  - b\n\n| k | v |\n|-|-|\n| 1 | 1 |"
    )
    assert doc.metadata == {"title": "갈퀴", "author": "Ann"}


def cell(text: str, **spans: int) -> str:
    spanned = "".join(f' table:number-{name}-spanned="{count}"' for name, count in spans.items())
    return f"<table:table-cell{spanned}><text:p>{text}</text:p></table:table-cell>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            '<text:p>See <text:a xlink:href="https://a.b/(c)">the site</text:a> and '
            '<text:a xlink:href="#x">above</text:a></text:p>',
            "See [the site](https://a.b/%28c%29) and above",
        ),
        (
            "<text:list><text:list-item><text:p>a<text:note><text:note-body><text:p>Note.</text:p>"
            "</text:note-body></text:note></text:p></text:list-item><text:list-item><text:p>b</text:p>"
            "</text:list-item></text:list>",
            "- a\n- b\n\nNote.",
        ),
        (
            '<text:list><text:list-item><text:h text:outline-level="2">Numbered</text:h></text:list-item>'
            "</text:list>",
            "## Numbered",
        ),
        (
            f"<table:table><table:table-row>{cell('k')}{cell('v')}</table:table-row>"
            f"<table:table-row>{cell('x', rows=2)}{cell('1')}</table:table-row>"
            f"<table:table-row><table:covered-table-cell/>{cell('2')}</table:table-row>"
            f"<table:table-row>{cell('w', columns=2)}<table:covered-table-cell/></table:table-row></table:table>",
            "| k | v |\n|-|-|\n| x | 1 |\n| x | 2 |\n| w |  |",
        ),
        (
            "<table:table><table:table-row><table:table-cell><text:p>a frame</text:p><table:table><table:table-row>"
            f"{cell('in it')}</table:table-row></table:table></table:table-cell></table:table-row></table:table>",
            "a frame\n\nin it",
        ),
    ],
)
def test_links_notes_and_tables_of_a_text(read: Read, tmp_path: Path, body: str, expected: str) -> None:
    (tmp_path / "src/a.odt").write_bytes(odt(body))
    (doc,), _ = read()
    assert doc.text == expected


def test_a_book_is_read_along_its_spine(read: Read, tmp_path: Path) -> None:
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>'
        "A book</dc:title><dc:creator>Ann</dc:creator><dc:language>ko</dc:language></metadata><manifest>"
        + "".join(
            f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml" properties="{properties}"/>'
            for name, properties in (("a", ""), ("b c", ""), ("nav", "nav"), ("x", ""))
        )
        + '</manifest><spine><itemref idref="nav"/><itemref idref="b c"/><itemref idref="a"/></spine></package>'
    )
    page = '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD" "x"><html><body><p>%s</p></body></html>'
    pages = {
        "a.xhtml": page % "second",
        "b c.xhtml": page % "첫 장",
        "nav.xhtml": page % "menu",
        "x.xhtml": page % "no",
    }
    (tmp_path / "src/a.epub").write_bytes(zipped(EPUB | {"c.opf": package} | pages))
    (doc,), rejections = read()
    assert rejections == []
    assert doc.text == "첫 장\n\nsecond"
    assert doc.metadata == {"title": "A book", "author": "Ann", "lang": "ko"}


def test_what_is_broken_locked_or_a_bomb_has_its_reason(read: Read, tmp_path: Path) -> None:
    folder = tmp_path / "src"
    (folder / "a.odt").write_bytes(b"PK\x03\x04 no archive")
    (folder / "b.odt").write_bytes(zipped({"x": "y"}))
    (folder / "c.odt").write_bytes(zipped({"content.xml": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'}))
    (folder / "d.odt").write_bytes(zipped({"content.xml": "<a>" * 5000}))
    (folder / "e.odt").write_bytes(zipped({"content.xml": "<a>" + " " * 30_000_000 + "</a>"}))
    (folder / "f.odt").write_bytes(odt("<text:p>x</text:p>", **{"META-INF__manifest.xml": "<encryption-data/>"}))
    (folder / "g.odt").write_bytes(odt("<text:p>" + "x" * 1_000_001 + "</text:p>"))
    (folder / "h.epub").write_bytes(
        zipped(EPUB | {"META-INF/encryption.xml": '<e><CipherReference URI="a.xhtml"/></e>'})
    )
    (folder / "i.epub").write_bytes(zipped(EPUB)[:-90])
    (folder / "j.epub").write_bytes(zipped(EPUB | {"c.opf": '<!DOCTYPE p SYSTEM "file:///etc/passwd" [ ]><p/>'}))
    docs, rejections = read({"max_document_mb": 1})
    assert docs == []
    assert [one.reason[:24] for one in rejections] == [
        "broken .odt file: File is not a zip"[:24],
        "broken: it has no part content.xml"[:24],
        "broken: content.xml declares"[:24],
        "nested too deeply",
        "would unpack to more than is"[:24],
        "encrypted: it opens with"[:24],
        "text is longer than 1 MB"[:24],
        "encrypted: under digital rights"[:24],
        "broken .epub file: File is"[:24],
        "broken: c.opf declares entities"[:24],
    ]
