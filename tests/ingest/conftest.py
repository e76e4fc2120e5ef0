"""Reading a folder in one call: what was read, and what was rejected."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pipeline.config import IngestSettings, SourceSettings, parse_config
from pipeline.ingest.formats.by_suffix import read_file
from pipeline.ingest.guard import Guard, Outcome
from pipeline.ingest.readers import discover, read_documents
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, Rejection

Read = Callable[..., tuple[list[Document], list[Rejection]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read(ingest={…}, **source)`: documents and rejections of the folder `src` below `tmp_path`."""

    def run(ingest: dict[str, Any] | None = None, **source: Any) -> tuple[list[Document], list[Rejection]]:
        raw = {"sources": [{"path": "src", **source}], "ingest": ingest or {}}
        config = parse_config(raw, base=tmp_path)
        rejections: list[Rejection] = []
        return list(read_documents(discover(config), config.ingest, rejections.append)), rejections

    (tmp_path / "src").mkdir()
    return run


def outcomes(path: Path, **settings: Any) -> list[Outcome]:
    """What becomes of each document of one file, read in this process whatever its format."""
    file = SourceFile(str(path), path.name, path.name, SourceSettings(path=str(path)))
    return list(Guard(None).outcomes(path.name, read_file(file, IngestSettings(**settings))))


def forever() -> NoReturn:
    """Python code that does not come back."""
    while True:
        pass


MAMMOTH = """
import os, time, types, zipfile
def convert_to_html(stream, **options):
    data = zipfile.ZipFile(stream).read("order")
    if data == b"sleeps": print("asleep", flush=True); time.sleep(3600)
    if data == b"holds on in C": sum(range(10**12))
    if data == b"crashes": os.abort()
    if data == b"leaves": os._exit(7)
    if data == b"exits": raise SystemExit(5)
    if data == b"prints": print("not an answer"); import logging; logging.getLogger("pdf").warning("heard")
    if data == b"raises": raise ValueError("odd\\nerror")
    return types.SimpleNamespace(value=f"<p>text of process {os.getpid()}</p>")
class images:
    img_element = id
"""


def order(text: str) -> bytes:
    """A file that tells the stand-in what to do."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("order", text)
    return sink.getvalue()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mammoth that does what a file says; the process finds it by the path that it gets from this one."""
    (tmp_path / "stand_in").mkdir()
    (tmp_path / "stand_in/mammoth.py").write_text(MAMMOTH)
    monkeypatch.syspath_prepend(tmp_path / "stand_in")
