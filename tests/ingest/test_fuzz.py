"""Whatever stands in a source file: every reader ends in documents and rejections, and nothing else."""

from __future__ import annotations

import io
import json
import string
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.ingest.formats.by_suffix import FOREIGN, READERS
from pipeline.ingest.guard import Outcome
from pipeline.records import Document
from tests.ingest.conftest import Read, outcomes

FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(found: list[Outcome]) -> list[Outcome]:
    """Each outcome is a document that can be indexed, or has its reason in words."""
    for outcome in found:
        if isinstance(outcome.result, Document):
            assert outcome.result.content_hash
            json.dumps(dict(outcome.result.metadata), allow_nan=False).encode()
            outcome.result.text.encode()
        else:
            assert str(outcome.result).strip()
            assert "Traceback" not in str(outcome.result)
    return found


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


@cache
def good(suffix: str) -> bytes:
    """A good file, small enough that a few changed bytes reach every part of it."""
    if suffix in (".pdf", ".docx", ".epub"):
        from tests.ingest import test_office as office

        return {".pdf": office.pdf("words"), ".docx": office.zipped(office.DOCX)}.get(
            suffix, office.zipped(office.EPUB)
        )
    sink = io.BytesIO()
    if suffix == ".xlsx":
        book = pytest.importorskip("openpyxl").Workbook()
        book.active.append(["name", 3, date(2024, 1, 2)])
        book.save(sink)
        return sink.getvalue()
    if suffix == ".pptx":
        slides = pytest.importorskip("pptx").Presentation()
        slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = "slide"
        slides.save(sink)
        return sink.getvalue()
    if suffix in (".zip", ".tar", ".tgz", ".gz", ".zst"):
        from tests.ingest import test_archives as archives

        pack = archives.PACKERS.get(f"a{suffix}", lambda files: archives.zstd(files["a.md"]))
        return pack({"a.md": b"# Words\n\nText."})
    if suffix in (".eml", ".mbox", ".msg"):
        from tests.ingest import mails

        data = bytes(mails.message())
        return mails.outlook() if suffix == ".msg" else b"From a Mon\n" * (suffix == ".mbox") + data
    table = pa.table({"id": ["a", "b"], "text": ["one", "둘"], "at": [date(2024, 1, 2)] * 2, "n": [{"x": [1]}] * 2})
    return {
        ".jsonl": '{"id": "a", "text": "one", "n": {"x": [1.5]}}\n{"id": "b", "text": "둘"}\n'.encode(),
        ".csv": 'id,text,n\na,"one\ntwo",1.5\nb,둘,\n'.encode(),
        ".tsv": b"id\ttext\na\tone\n",
        ".parquet": parquet(table),
        ".html": b"<html><title>T</title><body><h1>H</h1><table><tr><td>1</table><p>words</body></html>",
        ".htm": b"<p>words",
        ".rst": b"Title\n=====\n\n:x:`y` text::\n\n  code\n\n.. note:: n\n",
        ".adoc": b"= Title\n\n----\ncode\n----\n|===\n|a |b\n|===\n",
        ".tex": b"\\section{A \\b{c}} $x$ \\begin{verbatim}\n%\n\\end{verbatim} \\'e",
        ".rtf": rb"{\rtf1\ansi{\fonttbl{\f0 A;}}\u44060? \'e9\par \trowd a\cell\row}",
        ".ipynb": b'{"cells": [{"cell_type": "code", "source": ["x"], "outputs": [{"text": "y"}]}]}',
        ".srt": b"1\n00:00:01,000 --> 00:00:02,000\nwords\n\n2\n00:00:03,000 --> 00:00:04,000\nmore\n",
    }.get(suffix, "---\ntitle: T\nat: 2024-01-02\nn: [1, {x: 0x1F}]\n---\n# 머리말\n\nText.\n".encode())


@pytest.mark.parametrize("suffix", sorted(READERS))
@FEW
@given(data=st.data())
def test_random_bytes_and_damaged_good_files(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    if suffix in FOREIGN - {".parquet"}:
        pytest.importorskip("mammoth")
    content = bytearray(good(suffix))
    if data.draw(st.integers(0, 3)) == 0:
        content = bytearray(data.draw(st.binary(max_size=200)))
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(content)), st.integers(0, 255)), max_size=8)
    ):
        content[place : place + 1] = bytes([byte])
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(content[:cut])
    check(outcomes(path))


TAGS = sorted(str(tag).rpartition(":")[2] for tag in yaml.SafeLoader.yaml_constructors if tag)
VALUES = [
    "foo",
    "''",
    "x",
    "1e999",
    "2024-99-99",
    "'12:99:99:'",
    "[a, [b]]",
    "{a: 1}",
    "{? [a] : b}",
    "0x",
    "-",
    ".",
]


def page(path: Path, yaml_value: str) -> Outcome:
    path.write_text(f"---\nx: {yaml_value}\n---\ntext", "utf-8")
    (found,) = check(outcomes(path))
    return found


@pytest.mark.parametrize("tag", TAGS)
def test_every_yaml_tag(tmp_path: Path, tag: str) -> None:
    for value in [*VALUES, f"[!!{tag} foo]"]:
        page(tmp_path / "page.md", f"!!{tag} {value}")


@MANY
@given(tag=st.sampled_from(TAGS), value=st.text(string.printable.replace("\n", ""), max_size=12))
def test_every_yaml_tag_on_any_scalar(tmp_path: Path, tag: str, value: str) -> None:
    page(tmp_path / "page.md", f"!!{tag} {json.dumps(value)}")


@pytest.mark.parametrize("value", ["!!bool foo", "!!int ''", "!!timestamp x"])
def test_a_tag_that_cannot_be_converted_costs_its_page_alone(read: Read, tmp_path: Path, value: str) -> None:
    (tmp_path / "src/bad.md").write_text(f"---\nx: {value}\n---\ntext")
    (tmp_path / "src/good.md").write_text("---\nx: !!bool yes\n---\ntext")
    (document,), (rejection,) = read()
    assert (document.doc_id, document.metadata) == ("good.md", {"x": True})
    assert rejection.source == "src/bad.md"
    assert "Error" in rejection.reason, "the type of what was raised"
    assert "\n" not in rejection.reason


def _ints(kind: pa.DataType, bits: int) -> pa.Array:
    raw = pa.array([-(2 ** (bits - 1)), 0, 2 ** (bits - 1) - 1], pa.int32() if bits == 32 else pa.int64())
    return raw.view(kind)


DAY_MS = 86_400_000
EXTREMES: dict[str, pa.Array] = {
    "date32": _ints(pa.date32(), 32),
    "date64": pa.array([-(2**31) * DAY_MS, 0, (2**31 - 1) * DAY_MS]).view(pa.date64()),
    **{f"timestamp-{unit}": _ints(pa.timestamp(unit), 64) for unit in ("ms", "us", "ns")},
    "timestamp-zone": _ints(pa.timestamp("us", "Asia/Seoul"), 64),
    "timestamp-no-zone": _ints(pa.timestamp("us", "Nowhere/Land"), 64),
    **{f"duration-{unit}": _ints(pa.duration(unit), 64) for unit in ("s", "ms", "us", "ns")},
    "time32": _ints(pa.time32("ms"), 32),
    "time64-us": _ints(pa.time64("us"), 64),
    "time64-ns": _ints(pa.time64("ns"), 64),
    **{
        f"int{bits}": pa.array([-(2 ** (bits - 1)), 0, 2 ** (bits - 1) - 1], f"int{bits}")
        for bits in (8, 16, 32, 64)
    },
    **{f"uint{bits}": pa.array([2**bits - 1, 0, 1], f"uint{bits}") for bits in (8, 16, 32, 64)},
    "float16": pa.array([float("nan"), float("inf"), 65504.0], pa.float32()).cast(pa.float16()),
    "float32": pa.array([float("nan"), float("-inf"), 3.4e38], pa.float32()),
    "float64": pa.array([float("nan"), float("inf"), 5e-324]),
    "decimal128": pa.array(["9" * 38, "-" + "9" * 38, "0"]).cast(pa.decimal128(38, 0)),
    "decimal256": pa.array(["9" * 76, "-" + "9" * 76, "0"]).cast(pa.decimal256(76, 0)),
    "bool": pa.array([True, False, None]),
    "null": pa.nulls(3),
    "string-broken": pa.Array.from_buffers(
        pa.string(), 3, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"\xff\xc0a")]
    ),
    "large-string": pa.array(["", "a" * 9999, "\U0010ffff"], pa.large_string()),
    "binary": pa.array([b"\xff", b"", None]),
    "fixed-binary": pa.array([b"\xff\xff"] * 3, pa.binary(2)),
    "dictionary": pa.array(["a", None, "a"]).dictionary_encode(),
    "map": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\xff" * 16, None, b"\0" * 16], pa.binary(16))),
    "empty-list": pa.array([[], None, [None]], pa.list_(pa.int8())),
}
NESTINGS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "plain": lambda values: values,
    "list": lambda values: pa.ListArray.from_arrays([0, 1, 2, 3], values),
    "struct": lambda values: pa.StructArray.from_arrays([values], ["inner"]),
    "list-of-structs": lambda values: NESTINGS["list"](NESTINGS["struct"](values)),
}


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("kind", EXTREMES)
def test_every_arrow_type_at_its_extremes(tmp_path: Path, kind: str, nesting: str) -> None:
    values = NESTINGS[nesting](EXTREMES[kind])
    path = tmp_path / "extreme.parquet"
    pq.write_table(pa.table({"text": ["first", "second", "third"], "x": values}), path)
    found = check(outcomes(path))
    assert [outcome.line for outcome in found] == [1, 2, 3] or kind == "string-broken", found


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us")])
def test_a_date_that_python_has_none_for_costs_its_row_alone(
    read: Read, tmp_path: Path, kind: pa.DataType, nesting: str
) -> None:
    days = [0, 2**31 - 1] if pa.types.is_date(kind) else [0, 2**62]
    raw = pa.array(days * 150, pa.int32() if pa.types.is_date(kind) else pa.int64()).view(kind)
    values: Any = NESTINGS[nesting](raw) if nesting in ("plain", "struct") else None
    if values is None:
        inner = NESTINGS["struct"](raw) if nesting == "list-of-structs" else raw
        values = pa.ListArray.from_arrays(list(range(301)), inner)
    pq.write_table(
        pa.table({"text": [f"row {row}" for row in range(1, 301)], "x": values}), tmp_path / "src/t.parquet"
    )
    documents, rejections = read()
    assert [document.text for document in documents] == [f"row {row}" for row in range(1, 301, 2)]
    assert [rejection.source for rejection in rejections] == [f"src/t.parquet:{row}" for row in range(2, 301, 2)]
    assert all(rejection.reason.startswith("OverflowError: ") for rejection in rejections)
    assert "1970-01-01" in str(documents[0].metadata["x"])
