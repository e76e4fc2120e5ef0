"""Snippets and documents as text for people: nothing of them is lost, moved or run."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.suffixes import ARCHIVE_SUFFIXES, FOREIGN_SUFFIXES
from pipeline.serve.page.showing import pieces, without_heading
from pipeline.serve.page.text.plain import MARKDOWN, is_markdown, without_signs
from pipeline.serve.page.text.prose import rendered
from pipeline.serve.schemas.search import HighlightAnswer
from tests.support.html import parsed


def highlight(text: str, *marks: tuple[int, int], cut_before: bool = False) -> HighlightAnswer:
    return HighlightAnswer(spans=[], text=text, marks=list(marks), cut_before=cut_before, cut_after=False)


def marked(found: HighlightAnswer) -> str:
    return "".join(f"[{piece.text}]" if piece.is_marked else piece.text for piece in pieces(found))


MARKS = st.lists(st.integers(0, 60), max_size=8, unique=True).map(sorted)


@given(st.text(max_size=60), MARKS)
def test_pieces_are_the_text_and_its_marks(text: str, edges: list[int]) -> None:
    edges = [edge for edge in edges if edge <= len(text)]
    marks = list(zip(edges[::2], edges[1::2], strict=False))
    found = pieces(highlight(text, *marks))
    assert "".join(piece.text for piece in found) == text
    assert [piece.text for piece in found if piece.is_marked] == [text[a:b] for a, b in marks]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("## A heading and `code` in **bold**", "A heading and code in bold"),
        ("so: ```yaml a: 1 ``` and on", "so: a: 1 and on"),
        ("| a | b | | --- | :-: | -- | | c | d |", "a b c d "),
        ("[the page](../x.md) and ![a picture](y.png)", "the page and a picture"),
        ("2 * 3 = 6, a_b, a - b, C# and #tag", "2 * 3 = 6, a_b, a - b, C# and #tag"),
        ("*one* word", "one word"),
        ("a[0] and f(x)", "a[0] and f(x)"),
    ],
)
def test_signs_of_markdown_are_taken_out(text: str, shown: str) -> None:
    assert without_signs(highlight(text)).text == shown


def test_marks_stay_on_their_words() -> None:
    text = "## The `roll` **back** of [builds](roll.md)"
    words = [(m.start(), m.end()) for m in re.finditer("roll|back|builds", text)]
    assert marked(without_signs(highlight(text, *words))) == "The [roll] [back] of [builds]"


@given(st.text(st.sampled_from("ab #*`|[]()-~.\u3000"), max_size=50), MARKS)
def test_words_are_kept_in_order_and_under_their_marks(text: str, edges: list[int]) -> None:
    text = " ".join(text.split())
    edges = [edge for edge in edges if edge <= len(text)]
    marks = list(zip(edges[::2], edges[1::2], strict=False))
    found = without_signs(highlight(text, *marks))
    links = re.sub(r"(?<=\])\([^()\s]*\)", "", text)
    assert re.sub("[^ab]", "", found.text) == re.sub("[^ab]", "", re.sub(r"(?<!\S)(`{3,}|~{3,})\w*", " ", links))
    assert "  " not in found.text
    ends = [0, *(edge for mark in found.marks for edge in mark), len(found.text)]
    assert ends == sorted(ends)


def test_a_snippet_does_not_repeat_its_heading() -> None:
    found = without_heading(highlight("## Roll back now", (3, 7), (13, 16)), ["Guide", "Roll back"])
    assert marked(found) == "[now]"
    for text in ("## Roll backs now", "Roll back now", "## Roll back", "## Roll back "):
        assert without_heading(highlight(text), ["Roll back"]).text == text
    assert without_heading(highlight("## Roll back now", cut_before=True), ["Roll back"]).cut_before


def test_what_is_markdown_is_what_readers_make_so() -> None:
    assert {".md", ".markdown"} | FOREIGN_SUFFIXES - ARCHIVE_SUFFIXES - {".srt"} == MARKDOWN
    assert is_markdown("a/B.MD")
    assert not is_markdown("records.jsonl")


def test_markdown_becomes_html_part_by_part() -> None:
    parts = ["# One\n\nfirst *words*\n\n", "second\n\n```x\ncode", " goes on\n```\n\n", "last"]
    found = rendered(parts)
    assert found is not None
    assert [parsed(part).text for part in found] == ["One first words", "second", "code goes on", "last"]
    assert found[0].startswith("<h2>One</h2>")
    gaps = rendered(["# One\n\nfirst", "\n\n## Two\n\nsecond", "\n\n", "\n\nthird"])
    assert gaps is not None
    assert [parsed(part).text for part in gaps] == ["One first", "Two second", "", "third"]
    assert rendered(["x" * 500_000]) is None
    assert rendered(["a paragraph that ", "goes ", "on"]) == ["", "", "<p>a paragraph that goes on</p>\n"]


def test_headings_begin_below_the_title_and_leave_no_level_out() -> None:
    found = rendered(["### a\n\n##### b\n\n", "###### c\n\n### d\n\n# e\n\n", "### f\n\n##### g\n\n#### h\n"])
    assert found is not None
    tags = [(one.tag, one.text) for part in found for one in parsed(part).all()]
    assert tags == [
        ("h2", "a"), ("h3", "b"), ("h4", "c"), ("h2", "d"), ("h2", "e"), ("h3", "f"), ("h4", "g"), ("h4", "h"),
    ]  # fmt: skip


@given(st.lists(st.integers(1, 6), max_size=12))
def test_no_heading_is_more_than_one_below_the_one_before(levels: list[int]) -> None:
    found = rendered(["".join(f"{'#' * level} x\n\n" for level in levels)])
    assert found is not None
    shown = [int(one.tag[1]) for one in parsed(found[0]).all()]
    assert len(shown) == len(levels)
    assert all(2 <= level <= before + 1 for before, level in zip([1, *shown], shown, strict=False))


def test_cells_without_words_are_no_headers() -> None:
    found = rendered(["| | a |\n|---|--:|\n| b | c |\n"])
    assert found is not None
    assert [one.tag for one in parsed(found[0]).one("thead").one("tr").children if not isinstance(one, str)] == [
        "td",
        "th",
    ]


HOSTILE = [
    "<script>alert(1)</script>", "[a](javascript:alert(1))", "[a](JAVASCRIPT:x)", "![x](http://t.example/p.png)",
    "<img src=x onerror=alert(1)>", "[a](data:text/html,x)", "<javascript:alert(1)>", "| a |\n|--:|\n| b |",
    "```\"onload=\"x\ny\n```", "[a]: javascript:x\n[a]", "[a](/relative 'title')", "&lt;script&gt;", "<http://a.example/>",
    "[a](http://a.example/\" onclick=\"x)", "# <b>x</b>", "![a](javascript:x \"t\")", "[![i](x)](javascript:y)",
]  # fmt: skip


@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30)), min_size=1, max_size=8))
def test_html_is_text_whatever_the_document_says(texts: list[str]) -> None:
    found = rendered([f"{text}\n\n" for text in texts])
    assert found is not None
    assert len(found) == len(texts)
    known = {
        "p",
        "a",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "em",
        "strong",
        "s",
        "code",
        "pre",
        "ul",
        "ol",
        "li",
        "br",
        "hr",
    }
    known |= {"blockquote", "table", "thead", "tbody", "tr", "th", "td"}
    for part in found:
        for element in parsed(part).all():
            assert element.tag in known
            assert element.attributes.keys() <= {"href", "rel", "class", "start"}
            if "href" in element.attributes:
                assert re.match("https?://", element.attributes["href"])


def test_links_to_the_web_stay_and_others_are_text() -> None:
    found = rendered(["[a](https://a.example/b) [c](../d.md) ![alt](http://t.example/x.png)"])
    assert found is not None
    page = parsed(found[0])
    assert [one.attributes.get("href") for one in page.all("a")] == ["https://a.example/b", None]
    assert page.text == "a c alt"
