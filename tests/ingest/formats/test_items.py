"""What a function gave comes back as it was, through a file of lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import IngestSettings, SourceSettings
from pipeline.ingest.formats.by_suffix import is_built_in, read_file
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.items import ITEMS, item_line
from pipeline.ingest.guard import Guard, Outcome
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.suffixes import SUFFIXES
from pipeline.records import Document

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
DOCUMENT = st.builds(
    Document,
    doc_id=TEXT,
    text=TEXT,
    metadata=st.dictionaries(TEXT, SCALARS.filter(lambda v: v not in (float("inf"), float("-inf")))),
    is_markdown=st.booleans(),
    pages=st.lists(st.integers(0, 9)).map(tuple),
    lines=st.lists(st.integers(0, 9)).map(tuple),
)


def read(folder: Path, data: bytes, **source: str) -> list[Outcome]:
    path = folder / f"records{ITEMS}"
    path.write_bytes(data)
    file = SourceFile(str(path), "wiki:pages", "python: wiki:pages", SourceSettings(python="wiki:pages", **source))
    return list(Guard(None).outcomes(file.label, read_file(file, IngestSettings())))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(DOCUMENT, max_size=4))
def test_documents_come_back_as_they_were(tmp_path: Path, documents: list[Document]) -> None:
    found = read(tmp_path, b"".join(map(item_line, documents)))
    assert [outcome.line for outcome in found] == list(range(1, len(documents) + 1))
    results = [outcome.result for outcome in found]
    assert results == documents


def test_one_bad_item_harms_no_other(tmp_path: Path) -> None:
    items = [{"id": 1, "text": "pears"}, None, {"text": object()}, {"id": 2, "text": "plums"}]
    data = b"".join(map(item_line, items))
    kept = [outcome.line for outcome in read(tmp_path, data) if isinstance(outcome.result, Document)]
    assert kept == [1, 3, 4]  # an object has a text form, too
    broken = data.replace(b"pears", b"p\xffars")
    assert isinstance(read(tmp_path, broken)[0].result, UnreadableError)
    cut = read(tmp_path, data[:-9])
    assert isinstance(cut[-1].result, UnreadableError)
    assert len(cut) == 4


@pytest.mark.parametrize("prefix", ["", "w/"])
def test_a_prefix_stands_before_every_id(tmp_path: Path, prefix: str) -> None:
    data = item_line({"id": "a", "text": "pears"}) + item_line(Document("b", "plums", {}))
    results = [outcome.result for outcome in read(tmp_path, data, prefix=prefix)]
    assert [r.doc_id for r in results if isinstance(r, Document)] == [f"{prefix}a", f"{prefix}b"]


def test_no_folder_is_searched_for_such_files() -> None:
    assert ITEMS not in SUFFIXES
    assert is_built_in(ITEMS)
