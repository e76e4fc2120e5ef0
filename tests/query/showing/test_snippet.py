"""A snippet shows the matched words, where they stand."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Bm25Settings
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.contract import described_queries
from pipeline.query.showing.snippet import Snippet, snippets
from pipeline.query.showing.words import QueryWords

ENCODER = Bm25Encoder(Bm25Settings())
FILLER = "nothing to see in this long stretch of filler words that goes on and on. " * 8


def cut(text: str, query: str, width: int) -> Snippet:
    words = QueryWords(ENCODER.describe_tokens(query), partial(described_queries, ENCODER))
    (part,) = snippets([text], words, width)
    return part


def marked(text: str, query: str, width: int = 240) -> str:
    return cut(text, query, width).marked("[", "]")


def test_stems_and_bigrams_are_marked_as_they_match() -> None:
    assert marked("Rolled back builds.", "roll back") == "[Rolled] [back] builds."
    assert marked("빌드를 되돌리는 방법", "되돌리기") == "빌드를 [되돌리는] 방법"


def test_the_window_with_most_different_matches_is_shown() -> None:
    text = f"one apple here. {FILLER} apple and pear together. {FILLER}"
    shown = marked(text, "apple pear", 120)
    assert "[apple] and [pear]" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")


@given(st.text(max_size=400), st.text(max_size=40), st.integers(20, 120))
def test_marks_lie_in_the_text_and_in_order(text: str, query: str, width: int) -> None:
    part = cut(text, query, width)
    assert part.text in " ".join(text.split())
    assert len(part.text) <= width or not part.cut_after
    positions = [position for mark in part.marks for position in mark]
    assert positions == sorted(positions)
    assert all(0 <= p <= len(part.text) for p in positions)
