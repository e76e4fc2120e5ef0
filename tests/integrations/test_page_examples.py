"""The examples of the page of integrations run as they are written, on the index that `make demo` builds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pipeline
from pipeline.job import build as builder
from tests.support.collection import config_for, write_documents

PAGE = Path(__file__).parents[2] / "docs/integrations.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
HANDBOOK = Path(__file__).parents[2] / "data/handbook"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with as much of the handbook's index as the examples ask for, where the page has it."""
    found = tmp_path_factory.mktemp("page")
    names = ["en/rolling-back.md", "en/fusion.md", "ko/rolling-back.md", "ko/rag.md"]
    write_documents(found / "documents", {name: (HANDBOOK / name).read_text("utf-8") for name in names})
    builder.build(config_for(found, index="indexes/handbook"))
    return found


@pytest.mark.parametrize("page", ["python-api.md", "filters.md"])
def test_what_a_page_does_with_an_open_index_can_be_done(
    folder: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the first block of the Python API, which builds and opens one."""
    monkeypatch.chdir(folder)
    text = (PAGE.parent / page).read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[1 if page == "python-api.md" else 0 :]
    assert blocks
    with pipeline.open_index("indexes/handbook") as index:
        for block in blocks:
            exec(compile(block, page, "exec"), {"pipeline": pipeline, "index": index})


@pytest.mark.parametrize(
    ("framework", "said"),
    [
        ("langchain", "en/rolling-back.md"),
        ("llama_index", "rolling-back.md"),
        ("haystack", "$ pipeline rollback"),
    ],
)
def test_an_example_runs_as_it_is_written(
    folder: Path,
    framework: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = [one for one in EXAMPLES if f"from pipeline.integrations.{framework} import" in one]
    monkeypatch.chdir(folder)
    exec(compile(example, str(PAGE), "exec"), {"__name__": "example"})
    assert said in capsys.readouterr().out
