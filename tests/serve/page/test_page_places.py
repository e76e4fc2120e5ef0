"""A hit says on which pages or lines it stands, and code is shown by lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline
from pipeline.serve.page.facets import telling_fields
from tests.faults import stub
from tests.support.collection import config_for
from tests.support.html import Element, parsed
from tests.support.live import Live, serving

CODE = (
    '"""Tools."""\n\n\ndef rake(shed):\n    """Rake <b>leaves</b>."""\n    for leaf in shed:\n        leaf.rake()\n'
)
RECORDS = [
    {"_id": f"book-{number}", "text": "Broom and spade.", "page": number, "last_page": 2 + number // 2}
    for number in (2, 3)
]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    base = tmp_path_factory.mktemp("places")
    folder: Path = base / "documents"
    folder.mkdir()
    (folder / "shed.py").write_text(CODE)
    (folder / "other.py").write_text(CODE.replace("rake", "sweep").replace("Rake", "Sweep"))
    (folder / "books.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    config = config_for(base)
    stub.build(config, encoder=stub.encoder())
    with stub.open_index(config.index_path, settings=config.query) as index:
        assert not {"page", "last_page", "line", "last_line"} & set(telling_fields(index))
        with serving({"places": index}) as running:
            yield running


def hit(live: Live, query: str, doc_id: str, lang: str = "en") -> Element:
    answer = live.client.get("/", params={"q": query, "lang": lang}, headers={"Accept": "text/html"})
    assert answer.status_code == 200
    (found,) = [one for one in parsed(answer.text).all("li", "hit") if one.one("p", "path").text.startswith(doc_id)]
    return found


def test_code_is_shown_by_lines_that_are_numbered(live: Live) -> None:
    found = hit(live, "raked leaves", "shed.py")
    assert found.one("p", "path").text.split()[0] == "shed.py:1-7"
    (snippet,) = found.all("p", "snippet")
    assert snippet.raw == CODE.replace("\n\n\n", "\n").rstrip()
    assert {mark.text for mark in snippet.all("mark")} >= {"Rake", "leaves"}


def test_pages_are_named_in_the_language_of_the_page(live: Live) -> None:
    assert "book-3, p. 3" in hit(live, "broom", "book-3").one("p", "path").text
    assert "book-2, pp. 2–3" in hit(live, "broom", "book-2").one("p", "path").text
    assert "book-2, 2–3쪽" in hit(live, "broom", "book-2", "ko").one("p", "path").text


def test_a_document_tells_the_lines_of_each_chunk_and_none_of_its_own(live: Live) -> None:
    answer = live.client.get("/v1/documents/shed.py").json()
    assert answer["metadata"] == {"code": "python"}
    assert [chunk["metadata"] for chunk in answer["chunks"]] == [{"line": 1, "last_line": 7}]
    with_pages = live.client.get("/v1/documents/book-2").json()
    assert with_pages["metadata"] == {}
    assert with_pages["chunks"][0]["metadata"] == {"page": 2, "last_page": 3}


def test_a_page_of_a_document_keeps_the_indents_of_code_between_chunks(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    body = "".join(f"    leaves = leaves + rake({number})\n" for number in range(40))
    (tmp_path / "documents" / "long.py").write_text(f"def rake(leaves):\n{body}    return leaves\n")
    config = config_for(tmp_path, chunking={"max_tokens": 40, "overlap_tokens": 0})
    pipeline.build(config, encoder=stub.encoder())
    with stub.open_index(config.index_path, settings=config.query) as index:
        assert len(index.document("long.py")) > 3
        with serving({"long": index}) as running:
            answer = running.client.get("/document", params={"id": "long.py"}, headers={"Accept": "text/html"})
    (code,) = parsed(answer.text).all("pre")
    assert code.raw.rstrip() == f"def rake(leaves):\n{body}    return leaves"
