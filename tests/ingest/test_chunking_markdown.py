"""Markdown: code and tables stay whole, headings stay with what follows them, and a chunk knows those above it."""

from __future__ import annotations

import pytest

from pipeline.records import Document
from tests.ingest.cutting import PROSE, chunker, cut, size

FENCE = "```python\n# no heading\nx = 1\n\ny = 2\n```"
TABLE = "| a | b |\n|---|---|\n| row one | 1 |\n| row two | 2 |"


@pytest.mark.parametrize("block", [FENCE, TABLE])
def test_code_and_tables_that_fit_are_never_cut(block: str) -> None:
    for repeat in range(1, 6):
        text = "\n\n".join([" ".join([PROSE] * repeat), block, PROSE, block, block, PROSE * 2])
        for max_tokens in (size(block), size(block) + 7, 2 * size(block) + 1):
            for overlap in (0, max_tokens // 3):
                spans = chunker("wordpiece", max_tokens, overlap).spans(text, is_markdown=True)
                begin = text.find(block)
                while begin >= 0:
                    assert any(a <= begin and begin + len(block) <= b for a, b in spans), (repeat, max_tokens)
                    begin = text.find(block, begin + 1)


def test_code_that_does_not_fit_is_cut_between_lines() -> None:
    lines = [f"    total_{i} = function_{i}(argument)" for i in range(30)]
    text = "```python\n" + "\n".join(lines) + "\n```"
    chunks = cut(text, 40, markdown=True)
    assert len(chunks) > 3
    assert [line.strip() for chunk in chunks for line in chunk.split("\n")] == [
        line.strip() for line in text.split("\n")
    ]


def test_a_heading_stays_with_what_follows_it() -> None:
    text = f"# Title\n\n{PROSE}\n\n## Part\n\n{PROSE} {PROSE}\n\n### Deep\n\n{PROSE}\n"
    for max_tokens in (24, 32, 41, 57, 80):
        for chunk in cut(text, max_tokens, markdown=True):
            assert not chunk.splitlines()[-1].startswith("#"), max_tokens


def test_sections_are_preferred_to_paragraphs() -> None:
    section = f"{PROSE}\n\n{PROSE}"
    text = f"## One\n\n{section}\n\n## Two\n\n{section}\n\n## Three\n\n{section}"
    chunks = cut(text, size(f"## Three\n\n{section}") + 20, markdown=True)
    assert [chunk.splitlines()[0] for chunk in chunks] == ["## One", "## Two", "## Three"]


def headings(text: str, max_tokens: int = 24, overlap: int = 0) -> list[tuple[str, tuple[str, ...]]]:
    document = Document("d", text, {}, is_markdown=True)
    return [(c.text, c.headings) for c in chunker("wordpiece", max_tokens, overlap).chunk(document)]


def test_a_chunk_knows_the_headings_around_it() -> None:
    text = (
        "Before any heading there are words.\n\n# Title {#anchor}\n\n## A `code` and **bold** [link](http://x)\n\n"
        f"{PROSE}\n\n{FENCE}\n\nSetext\n======\n\n{PROSE}\n\n> # quoted\n\n"
        "Under\n-----\n\nLast words of the page, which are a few."
    )
    for chunk, path in headings(text):
        place = text.index(chunk)
        if place == 0:
            assert path == ()
        elif chunk.startswith(("Setext", "Under")):
            assert path == (("Setext",) if chunk.startswith("Setext") else ("Setext", "Under"))
        elif place < text.index("Setext"):
            assert path == ("Title", "A code and bold link")
        elif place < text.index("Under"):
            assert path == ("Setext",)
        else:
            assert path == ("Setext", "Under")
    assert len(headings(text)) > 4


def test_a_plain_text_has_no_headings() -> None:
    assert [c.headings for c in chunker().chunk(Document("d", "# not a heading\n\ntext", {}))] == [()]
