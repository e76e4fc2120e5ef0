"""Decks become Markdown, a page each slide: what an audience reads, in its order, without what a program adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.ingest.conftest import Read, outcomes

pptx = pytest.importorskip("pptx")
chart_data = pytest.importorskip("pptx.chart.data")
ChartType = pytest.importorskip("pptx.enum.chart").XL_CHART_TYPE

TITLE, LIST, ONLY_TITLE, BLANK = 0, 1, 5, 6
DIAGRAM = "http://schemas.openxmlformats.org/drawingml/2006/diagram"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"


def inches(*values: float) -> list[Any]:
    return [pptx.util.Inches(value) for value in values]


def text_of(deck: Any, tmp_path: Path) -> str:
    deck.save(tmp_path / "deck.pptx")
    (outcome,) = outcomes(tmp_path / "deck.pptx")
    return getattr(outcome.result, "text", f"rejected: {outcome.result}")


def test_each_slide_is_a_page_that_its_chunks_name(read: Read, tmp_path: Path) -> None:
    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[TITLE])
    first.shapes.title.text = "Tools\vof the shed"
    deck.slides.add_slide(deck.slide_layouts[BLANK])
    points = deck.slides.add_slide(deck.slide_layouts[LIST])
    points.shapes.title.text = "What we have"
    frame = points.placeholders[1].text_frame
    frame.text = "갈퀴"
    for level, text in ((1, "of iron"), (0, "# Spades")):
        paragraph = frame.add_paragraph()
        paragraph.text, paragraph.level = text, level
    points.notes_slide.notes_text_frame.text = "Say it slowly"
    deck.save(tmp_path / "src/a.pptx")
    (document,), rejections = read()
    assert rejections == []
    assert document.text == (
        "# Tools of the shed\n\n# What we have\n\n- 갈퀴\n  - of iron\n- \\# Spades\n\n### Notes\n\nSay it slowly"
    )
    assert [document.text[start:][:9] for start in document.pages] == ["# Tools o", "# What we", "# What we"]


def test_shapes_come_from_top_to_bottom_and_a_title_before_them(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[ONLY_TITLE])
    slide.shapes.title.text, slide.shapes.title.top = "Title below", inches(7)[0]
    for text, left, top in (("right", 5, 2), ("left", 1, 2), ("top", 3, 1)):
        slide.shapes.add_textbox(*inches(left, top, 2, 1)).text_frame.text = text
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(*inches(1, 5, 2, 1)).text_frame.text = "in a group"
    assert text_of(deck, tmp_path) == "# Title below\n\ntop\n\nleft\n\nright\n\nin a group"


def test_tables_and_charts_become_tables(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[BLANK])
    table = slide.shapes.add_table(3, 2, *inches(1, 1, 4, 1)).table
    for row, texts in enumerate([("kind", "name"), ("tool", "rake|hoe"), ("", "spade")]):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    figures = chart_data.CategoryChartData()
    figures.categories = ["2022", "2023"]
    figures.add_series("sold", (3, 4.5))
    figures.add_series("lent", (1, None))
    chart = slide.shapes.add_chart(ChartType.COLUMN_CLUSTERED, *inches(1, 4, 4, 2), figures).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "By year"
    points = chart_data.XyChartData()
    points.add_series("of points").add_data_point(1, 2)
    slide.shapes.add_chart(ChartType.XY_SCATTER, *inches(5, 6, 4, 2), points)
    assert text_of(deck, tmp_path) == (
        "| kind | name |\n|-|-|\n| tool | rake\\|hoe |\n| tool | spade |\n\n"
        "By year\n\n|  | sold | lent |\n|-|-|-|\n| 2022 | 3 | 1 |\n| 2023 | 4.5 |  |"
    )


def test_smart_art_is_a_list(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[BLANK])
    model = (
        f'<d:dataModel xmlns:d="{DIAGRAM}" xmlns:a="{DRAWING}"><d:ptLst><d:pt type="doc"/>'
        "<d:pt><d:t><a:p><a:r><a:t>Plan</a:t></a:r></a:p></d:t></d:pt>"
        "<d:pt><d:t><a:p><a:r><a:t>Dig</a:t></a:r></a:p></d:t></d:pt></d:ptLst></d:dataModel>"
    )
    part = pptx.opc.package.Part(
        pptx.opc.packuri.PackURI("/ppt/diagrams/data1.xml"), "application/xml", deck.part.package, model.encode()
    )
    related = slide.part.relate_to(part, f"{OFFICE}/diagramData")
    frame = slide.shapes.add_table(1, 1, *inches(1, 1, 1, 1))._element
    data = frame.graphic.graphicData
    data.set("uri", DIAGRAM)
    data.remove(data[0])
    data.append(pptx.oxml.parse_xml(f'<d:relIds xmlns:d="{DIAGRAM}" xmlns:r="{OFFICE}" r:dm="{related}"/>'))
    assert text_of(deck, tmp_path) == "- Plan\n- Dig"


def test_a_deck_without_a_word_is_rejected(tmp_path: Path) -> None:
    deck = pptx.Presentation()
    deck.slides.add_slide(deck.slide_layouts[BLANK])
    assert text_of(deck, tmp_path) == "rejected: no text on any of its slides (1)"
