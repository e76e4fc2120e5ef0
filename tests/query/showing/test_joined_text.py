"""A document put together from its chunks: what was between them comes back, as far as anything tells it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import ChunkingSettings
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.query.showing.document import document_metadata, joined_text
from pipeline.records import Document
from tests.ingest.conftest import outcomes
from tests.ingest.cutting import tokenizer

STATEMENTS = (
    "return 1",
    "rakes = brooms + spades",
    "if rakes:",
    "pass  # about it",
    "",
    "class Shed:",
    "def f(x):",
)
LINE = st.builds(
    lambda depth, text: "    " * depth + text if text else "", st.integers(0, 3), st.sampled_from(STATEMENTS)
)
OVERLAPS = st.sampled_from([0, 4])


def rejoined(document: Document, overlap: int) -> str:
    chunker = Chunker(ChunkingSettings(max_tokens=24, overlap_tokens=overlap), tokenizer("wordpiece"))
    return joined_text(chunker.chunk(document))


@given(st.lists(LINE, min_size=1, max_size=40), OVERLAPS)
def test_code_comes_back_as_it_was(lines: list[str], overlap: int) -> None:
    pytest.importorskip("tree_sitter")
    source = "\n".join(["import rakes", *lines])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.py"
        path.write_text(source)
        (outcome,) = outcomes(path)
    assert isinstance(outcome.result, Document)
    assert rejoined(outcome.result, overlap) == outcome.result.text


@given(st.lists(st.integers(1, 30).map(lambda count: "word " * (count - 1) + "end."), min_size=1), OVERLAPS)
def test_paragraphs_stay_apart(paragraphs: list[str], overlap: int) -> None:
    joined = rejoined(Document("a", "\n\n".join(paragraphs), {}), overlap)
    assert [" ".join(part.split()) for part in joined.split("\n\n")] == paragraphs


def test_a_document_has_no_pages_or_lines_of_a_chunk() -> None:
    chunker = Chunker(ChunkingSettings(), tokenizer("wordpiece"))
    (paged,) = chunker.chunk(Document("a", "words", {"title": "A", "line": 7}, pages=[0]))
    assert set(paged.metadata) == {"title", "line", "page", "last_page"}
    assert document_metadata(paged) == {"title": "A", "line": 7}
    (listed,) = chunker.chunk(Document("a", "words", {"title": "A"}, lines=[0]))
    assert document_metadata(listed) == {"title": "A"}


def test_code_without_lines_keeps_its_indents() -> None:
    source = "def f():\n" + "\n".join(f"    value = value + {number}" for number in range(30))
    fenced = f"# Of a record\n\n```python\n{source}\n```"
    assert rejoined(Document("a", fenced, {}, is_markdown=True), 0) == fenced
