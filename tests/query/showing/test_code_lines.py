"""Of a passage of code lines are shown as they stand, those in which most of what is asked for stands."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Bm25Settings
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.contract import described_queries
from pipeline.query.showing.code_lines import LONGEST, code_snippets, is_code
from pipeline.query.showing.snippet import Snippet
from pipeline.query.showing.words import QueryWords

ENCODER = Bm25Encoder(Bm25Settings())
CODE = st.lists(
    st.sampled_from(["", "    rake(shed)", "  broom = 1", "\tspade(rake, broom)", "갈퀴를 쓴다()"]), min_size=1
)


def shown(text: str, query: str, most: int = 6) -> Snippet:
    words = QueryWords(ENCODER.describe_tokens(query), partial(described_queries, ENCODER))
    (part,) = code_snippets([text], words, most)
    return part


def test_lines_keep_their_indents_and_headings_are_left_out() -> None:
    text = "# class Shed > def rake(self)\n\n```python\n\ndef rake(self):\n    if self.dry:\n        rake()\n```"
    part = shown(text, "raking")
    assert part.text == "def rake(self):\n    if self.dry:\n        rake()"
    assert part.marked("[", "]") == "def [rake](self):\n    if self.dry:\n        [rake]()"


def test_a_chunk_that_begins_within_code_shows_it() -> None:
    assert shown("return 1\n```\n\n# def f()\n\n```python\ndef f():\n```", "f").text == "return 1\ndef f():"
    assert shown("    x = 1\n# a comment\n    y = 2", "y").text == "    x = 1\n# a comment\n    y = 2"
    assert shown("# only a heading", "heading").text == "# only a heading"
    assert shown("", "x").text == ""


def test_the_lines_with_most_different_words_are_shown() -> None:
    filler = "pass\n" * 20
    part = shown(f"rake()\nrake()\n{filler}rake()\nbroom()\n{filler}", "rake broom", 3)
    assert part.marked("[", "]") == "pass\n[rake]()\n[broom]()…"


def test_a_long_line_is_cut() -> None:
    part = shown("x" * 500 + " rake", "rake")
    assert part.text == "x" * LONGEST + "…"
    assert part.marks == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```python\ndef f(): ...\n```", True),
        ("# def f()\n\n```python\n# a comment\ndef f(): ...", True),
        ("```python\nx = 1\n```\n\n# def f()\n\n```python\n```", True),
        ("```sh\nmake\n```\n\nThen it is built.", False),
        ("# A heading", False),
        ("# A heading\n\nWords.\n\n```sh\nmake\n```", False),
        ("words", False),
        ("", False),
    ],
)
def test_what_is_code_without_lines(text: str, expected: bool) -> None:
    assert is_code(text, {}) is expected
    assert is_code(text, {"line": 1, "last_line": 2})


@given(CODE, st.integers(1, 5), st.sampled_from(["rake", "broom spade", "갈퀴", "nothing"]))
def test_no_other_lines_hold_more_of_what_is_asked(lines: list[str], most: int, query: str) -> None:
    part = shown("\n".join(["```go", *lines, "```"]), query, most)
    found = part.text.split("\n")
    assert len(found) <= most
    assert any(found == [*lines[at : at + len(found)]] or not part.text for at in range(len(lines)))
    words = [word for word in query.split() if word != "nothing"]

    def held(text: str) -> int:
        return sum(word in text for word in words)

    assert held(part.text) == max((held("\n".join(lines[at : at + most])) for at in range(len(lines))), default=0)
    assert all(part.text[start:end].startswith(tuple(words)) for start, end in part.marks)
