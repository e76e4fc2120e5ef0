"""A Python function's records and documents are indexed; what is wrong with it is told by function and line."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, parse_config
from pipeline.errors import SourceError
from pipeline.index import store
from pipeline.job import build as builder
from pipeline.query.searcher import open_index
from pipeline.records import Document


def config_of(folder: Path, code: str, function: str = "wiki:pages", **source: Any) -> Config:
    (folder / "wiki.py").write_text(textwrap.dedent(code))
    raw = {"index": "index", "sources": [{"python": function, **source}], "encoder": {"model": "none"}}
    return parse_config(raw, base=folder)


def live(config: Config) -> dict[str, str]:
    documents = store.live_documents(config.index_path, store.live_manifest(config.index_path))
    return {doc_id: document.content_hash for doc_id, document in documents.items()}


def test_dicts_and_documents_come_as_they_are(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        """
        import datetime, decimal
        import numpy as np
        from pipeline.records import Document

        def pages():
            print("what is printed harms nobody")
            yield {"id": "a", "text": "pears", "on": datetime.date(2024, 2, 1), "n": np.int64(3), "x": None,
                   "tags": {"b", "a"}, "price": decimal.Decimal("1.50"), "inner": {"deep": [1, {"er": 2}]}}
            yield Document("b", "# Plums\\n\\nplums 감자", {"title": "Plums", "n": 4}, is_markdown=True)
        """,
        prefix="w/",
    )
    assert builder.build(config).added == 2
    inner = '{"deep": [1, {"er": 2}]}'
    metadata = {"on": "2024-02-01", "n": 3, "x": None, "tags": ["a", "b"], "price": "1.50", "inner": inner}
    documents = [
        Document("w/a", "pears", metadata),
        Document("w/b", "# Plums\n\nplums 감자", {"title": "Plums", "n": 4}, is_markdown=True),
    ]
    assert live(config) == {document.doc_id: document.content_hash for document in documents}
    with open_index(config.index_path) as index:
        (hit,) = index.search("감자")
    assert (hit.doc_id, hit.headings, hit.source) == ("w/b", ("Plums",), "python: wiki:pages")


def test_bad_values_are_rejected_by_number_with_the_reason(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        """
        def pages():
            return [{"id": "a", "text": "pears"}, 3, {"id": "b"}, {"text": b"pears"}, {("a", "b"): 1, "text": "x"},
                    {"text": "half \\ud800"}, {"id": "c", "text": ["plums"]},
                    {"id": "d", "text": "pears " * 200_000}]
        """,
    )
    config = config.model_copy(update={"ingest": config.ingest.model_copy(update={"max_document_mb": 1.0})})
    rejections = {r.line: r.reason for r in builder.ingest(config).rejections}
    assert sorted(rejections) == [2, 3, 4, 5, 6, 7, 8]
    for number, says in {
        2: "a int; give dicts with a text, or Documents",
        3: "no field text or content or body",
        4: "cannot be kept: holds bytes; give a text",
        5: "cannot be kept: keys must be str",
        6: "not valid",
        7: "field `text` is a list, not text",
        8: "text is longer than 1 MB",
    }.items():
        assert says in rejections[number]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "def pages():\n    yield {'text': 'pears'}\n    raise ValueError('no password=hunter2 left')\n",
            r"python: wiki:pages: raised ValueError: no password=… left at wiki\.py:3 in pages; mend it",
        ),
        (
            "import json\ndef pages():\n    return json.loads('{')\n",
            r"raised JSONDecodeError: .* at wiki\.py:3 in pages",
        ),
        ("def pages():\n    yield 1 / 0\n", r"raised ZeroDivisionError: division by zero at wiki\.py:2 in pages"),
        ("import sys\ndef pages():\n    sys.exit(0)\n", r"raised SystemExit: 0 at wiki\.py:3 in pages"),
        ("def pages(n): return []", r"raised TypeError: pages\(\) missing 1 required positional argument"),
        ("def pages(): return None", r"returned a NoneType; return an iterable of dicts or Documents"),
        ("def pages(): return {'text': 'pears'}", r"returned a dict; return an iterable"),
        ("pages = 3", r"is a int, no function"),
        ("def other(): pass", r"raised AttributeError: module 'wiki' has no attribute 'pages'"),
        ("import gone", r"raised ModuleNotFoundError: No module named 'gone' at wiki\.py:1"),
        ("def pages(:", r"raised SyntaxError: .*wiki\.py, line 1"),
        ("import os\ndef pages():\n    os.abort()\n", r"was killed by Aborted"),
        ("import os\ndef pages():\n    os._exit(5)\n", r"ended with exit code 5"),
    ],
)
def test_what_goes_wrong_is_named_by_function_and_line(tmp_path: Path, code: str, says: str) -> None:
    config = config_of(tmp_path, "def pages(): yield {'id': 'a', 'text': 'pears'}")
    builder.build(config)
    before = live(config)
    config_of(tmp_path, code)
    with pytest.raises(SourceError, match=says):
        builder.build(config, allow_deletes=True)
    assert live(config) == before


def test_one_that_does_not_come_back_is_ended(tmp_path: Path) -> None:
    config = config_of(tmp_path, "def pages():\n    while True: pass\n", timeout_seconds=3.0)
    with pytest.raises(SourceError, match=r"took longer than timeout_seconds=3 allows"):
        builder.build(config)


def test_a_function_in_a_package_is_found_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/shop.py").write_text(
        "class Shop:\n    @staticmethod\n    def pages():\n        yield {'text': 'pears'}\n"
    )
    config = config_of(tmp_path, "", "tools.shop:Shop.pages")
    assert builder.build(config).added == 1
    assert list(live(config)) == ["tools.shop:Shop.pages:1"]


def test_nights_change_what_changed(tmp_path: Path) -> None:
    code = "def pages(): return [{{'id': i, 'text': f'pears {{i}} {}'}} for i in range({})]"
    config = config_of(tmp_path, code.format("", 4))
    assert builder.build(config).added == 4
    config_of(tmp_path, code.format("", 4))
    assert not builder.build(config).published
    config_of(tmp_path, code.format("new", 3))
    report = builder.build(config)
    assert (report.changed, report.deleted) == (3, 1)
