"""The examples of the service's page run as they are written, on documents of the index that `make demo` builds."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.job import build as builder
from pipeline.query.searcher import open_index
from tests.support.collection import config_for, write_documents
from tests.support.live import Live, serving

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/serve.md").read_text("utf-8")
NAMES = ("en/rolling-back.md", "en/measures.md", "ko/rolling-back.md")


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("handbook")
    texts = {name: (ROOT / "data/handbook" / name).read_text("utf-8") for name in NAMES}
    write_documents(folder / "documents", texts)
    config = config_for(folder)
    builder.build(config)
    with open_index(config.index_path) as index, serving({"handbook": index}) as live:
        yield live


def test_an_openai_client_finds_what_the_page_asks_for(handbook: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (example,) = [one for one in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "OpenAI" in one]
    found: dict[str, Any] = {}
    exec(compile(example.replace("http://127.0.0.1:8000", handbook.url), "docs/serve.md", "exec"), found)
    page, vectors = found["page"], found["vectors"]
    assert page.data[0].file_id == "en/rolling-back.md"
    assert len(vectors.data) == 1


def test_the_requests_of_the_page_are_answered(handbook: Live) -> None:
    requests = re.findall(
        r"curl -s 127\.0\.0\.1:8000(/v1/\w+) -H 'Content-Type: application/json' -d '(.*?})'\n", PAGE, re.DOTALL
    )
    assert [path for path, _ in requests] == ["/v1/search", "/v1/similar"]
    search, similar = (handbook.post(path, json.loads(shlex.split(f"'{body}'")[0])) for path, body in requests)
    assert [one["hits"][0]["doc_id"] for one in search["results"]] == ["ko/rolling-back.md"] * 2
    assert similar["hits"]
