"""Text of DOCX is kept as its author wrote it; styles, tables, notes and formulas become Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.records import Document
from tests.ingest.conftest import outcomes
from tests.ingest.test_office import DOCX, OPC, zipped

pytest.importorskip("mammoth")

WORD = f"{OPC}/wordprocessingml/2006/main"
OFFICE = f"{OPC}/officeDocument/2006/relationships"
STYLES = {"T": "Title", "H": "heading 2", "K": "제목 1", "C": "Source Code", "Q": "Quote", "X": "toc 1"}


def paragraph(text: str, style: str = "", inner: str = "") -> str:
    named = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{named}<w:r><w:t xml:space="preserve">{text}</w:t></w:r>{inner}</w:p>'


def row(*cells: str) -> str:
    parts = (cell if cell.startswith("<w:tcPr>") else f"<w:p><w:r><w:t>{cell}</w:t></w:r></w:p>" for cell in cells)
    return f"<w:tr>{''.join(f'<w:tc>{part}</w:tc>' for part in parts)}</w:tr>"


def read(tmp_path: Path, *body: str) -> Document:
    names = f'xmlns:w="{WORD}" xmlns:r="{OFFICE}" xmlns:m="{OPC}/officeDocument/2006/math"'
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{key}"><w:name w:val="{name}"/></w:style>'
        for key, name in STYLES.items()
    )
    note = '<w:footnote w:id="2"><w:p><w:r><w:t>By Ann.</w:t></w:r></w:p></w:footnote>'
    relations = "".join(
        f'<Relationship Id="{target}" Type="{OFFICE}/{target}" Target="{target}.xml"/>'
        for target in ("styles", "footnotes")
    )
    files = DOCX | {
        "word/document.xml": f"<w:document {names}><w:body>{''.join(body)}</w:body></w:document>",
        "word/styles.xml": f"<w:styles {names}>{styles}</w:styles>",
        "word/footnotes.xml": f"<w:footnotes {names}>{note}</w:footnotes>",
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{OPC}/package/2006/relationships">{relations}'
        f'<Relationship Id="site" Type="{OFFICE}/hyperlink" Target="https://a.b/c" TargetMode="External"/>'
        "</Relationships>",
    }
    (tmp_path / "a.docx").write_bytes(zipped(files))
    (outcome,) = outcomes(tmp_path / "a.docx")
    assert isinstance(outcome.result, Document), outcome.result
    return outcome.result


def test_words_stay_as_they_are_and_are_not_taken_for_marks(tmp_path: Path) -> None:
    text = "snake_case and *args __init__ [x] &lt;tag&gt;"
    document = read(tmp_path, paragraph(text), paragraph("# no heading"), paragraph("갈퀴"))
    assert document.text == "snake_case and *args __init__ [x] <tag>\n\n\\# no heading\n\n갈퀴"


def test_styles_say_what_is_a_heading_code_or_a_quote(tmp_path: Path) -> None:
    document = read(
        tmp_path,
        paragraph("Tools", "T"),
        paragraph("Contents 12", "X"),
        paragraph("도구", "K"),
        paragraph("Rakes", "H"),
        paragraph("x = 1", "C"),
        paragraph("  y", "C"),
        paragraph("They gather.", "Q"),
    )
    assert document.text == "# Tools\n\n# 도구\n\n## Rakes\n\n```\nx = 1\n  y\n```\n\n> They gather."
    assert document.metadata == {"title": "Tools"}


def test_the_first_row_of_a_table_is_its_header(tmp_path: Path) -> None:
    merged = "<w:tcPr><w:vMerge{}/></w:tcPr><w:p><w:r><w:t>{}</w:t></w:r></w:p>"
    table = (
        row("kind", "name")
        + row(merged.format(' w:val="restart"', "tool"), "rake|hoe")
        + row(merged.format("", ""), "spade")
    )
    document = read(tmp_path, f"<w:tbl>{table}</w:tbl>")
    assert document.text == "| kind | name |\n|-|-|\n| tool | rake\\|hoe |\n| tool | spade |"


def test_links_notes_and_pictures_are_what_a_reader_sees(tmp_path: Path) -> None:
    linked = '<w:hyperlink r:id="site"><w:r><w:t>site</w:t></w:r></w:hyperlink>'
    inner = '<w:hyperlink w:anchor="x"><w:r><w:t>there</w:t></w:r></w:hyperlink>'
    noted = '<w:r><w:footnoteReference w:id="2"/></w:r>'
    document = read(tmp_path, paragraph("See the ", inner=linked + inner), paragraph("Said", inner=noted))
    assert document.text == "See the [site](https://a.b/c)there\n\nSaid[1]\n\n1. By Ann."


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("<m:f><m:num>{a}</m:num><m:den>{b}</m:den></m:f>", r"$\frac{a}{b}$"),
        ("<m:sSubSup><m:e>{a}</m:e><m:sub>{b}</m:sub><m:sup>{b}{b}</m:sup></m:sSubSup>", "$a_b^{bb}$"),
        ("<m:rad><m:deg/><m:e>{a}</m:e></m:rad>{b}", r"$\sqrt{a}b$"),
        ('<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>{a}</m:sub><m:e>{b}</m:e></m:nary>', "$∑_a b$"),
        ('<m:d><m:dPr><m:begChr m:val="["/></m:dPr><m:e>{a}</m:e><m:e>{b}</m:e></m:d>', "$[a|b)$"),
        ("<m:m><m:mr><m:e>{a}</m:e><m:e>{b}</m:e></m:mr></m:m>", r"$\begin{matrix}a & b\end{matrix}$"),
        ("<m:unheard><m:e>{a}</m:e></m:unheard>", "$a$"),
    ],
)
def test_formulas_are_latex(tmp_path: Path, formula: str, expected: str) -> None:
    letters = {name: f"<m:r><m:t>{name}</m:t></m:r>" for name in "ab"}
    inner = f"<m:oMath>{formula.format(**letters)}</m:oMath>"
    assert read(tmp_path, paragraph("So ", inner=inner)).text == f"So {expected}"
