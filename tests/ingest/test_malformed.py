"""A collection with every kind of broken source: the good documents are read, the bad ones named with a reason."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.ingest.conftest import Read

KOREAN = "안녕하세요. 검색 색인을 밤마다 새로 만듭니다."
DEEP = 100_000

# file → (bytes, ids read from it, [(line, part of the reason)] rejected in it)
Case = tuple[bytes, list[str], list[tuple[int | None, str]]]


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def jsonl(*parts: bytes | dict[str, object]) -> bytes:
    return b"".join(
        (part if isinstance(part, bytes) else json.dumps(part, ensure_ascii=False).encode()) + b"\n"
        for part in parts
    )


GOOD_TABLE = parquet(pa.table({"id": ["p1", "p2"], "text": ["one", "two"]}))

WHOLE: dict[str, Case] = {
    "good.md": (b"---\ntitle: Good\n---\n# Good\n", ["good.md"], []),
    "good-cp949.txt": (KOREAN.encode("cp949"), ["good-cp949.txt"], []),
    "good-utf16.txt": (KOREAN.encode("utf-16"), ["good-utf16.txt"], []),
    "empty.txt": (b"", [], [(None, "empty")]),
    "blank.md": (b" \n\t\n", [], [(None, "empty")]),
    "only-bom.txt": (b"\xef\xbb\xbf", [], [(None, "empty")]),
    "only-front-matter.md": (b"---\ntitle: x\n---\n", [], [(None, "empty")]),
    "nul.txt": (b"ab\0cd", [], [(None, "NUL byte in line 1")]),
    "program.txt": (b"\x7fELF\x02\x01\x01\0\0", [], [(None, "binary content: this is a program")]),
    "photo.md": (b"\xff\xd8\xff\xe0\x10JFIF", [], [(None, "binary content: this is a JPEG image")]),
    "damaged-utf8.txt": ((KOREAN + "\n").encode() * 2 + b"\xed\x95", [], [(None, "invalid UTF-8 in line 3")]),
    "bare-utf16.txt": ("plain".encode("utf-16-le"), [], [(None, "without a byte-order mark")]),
    "odd-utf16.txt": (b"\xff\xfea\0b", [], [(None, "not valid utf-16")]),
    "control.txt": (b"\x01\x02\x03" * 50, [], [(None, "control characters")]),
    "broken-front-matter.md": (
        b"---\ntitle: [a\nb: c\n---\ntext",
        [],
        [(None, "front matter is not valid YAML, line")],
    ),
    "python-front-matter.md": (
        b"---\nx: !!python/object/apply:os.system ['true']\n---\ntext",
        [],
        [(None, "front matter is not valid YAML, line 2: could not determine a constructor")],
    ),
    "laughs.md": (b"---\na: &a [x, x]\nb: [*a, *a]\n---\ntext", [], [(None, "aliases")]),
    "deep-front-matter.md": (
        b"---\na: " + b"[" * 3000 + b"]" * 3000 + b"\n---\nx",
        [],
        [(None, "front matter cannot")],
    ),
    "huge.txt": (b"x" * 300_001, [], [(None, "0.3 MB is more than ingest.max_document_mb=0.3")]),
    "what.xyz": (b"text", [], [(None, "no reader for .xyz")]),
    "README": (b"text", [], [(None, "no reader for a file without suffix")]),
}

JSONL: dict[str, Case] = {
    "mixed.jsonl": (
        jsonl(
            {"id": "m1", "text": "good"},
            b'{"id": "m2", "text": ',
            b"[1, 2]",
            {"id": "m4"},
            {"id": "m5", "text": 3},
            {"id": ["x"], "text": "bad id"},
            {"id": 1.5, "text": "bad id"},
            {"id": "m8", "text": "  "},
            b"[" * DEEP + b"]" * DEEP,
            b'{"id": "m10", "text": "x", "n": ' + b"9" * 5000 + b"}",
            b'{"id": "m11", "text": "half \\ud83d"}',
            b'{"id": "m12", "text": "\xff\xfe"}',
            b'{"id": "m13", "text": "a\0b"}',
            {"id": "m14", "text": "y" * 300_000},
            {"id": "m1", "text": "again"},
            {"id": "m16", "text": "그래도 읽습니다"},
            b'{"id": "m17", "text": "no newline at the end"}',
        )[:-1],
        ["m1", "m16", "m17"],
        [
            (2, "broken JSON: Expecting value in column"),
            (3, "a JSON list, not an object"),
            (4, "no field text or content or body, set `text_field`; it has id"),
            (5, "field `text` is a number, not text"),
            (6, "field `id` is a list; an id is a string or a whole number"),
            (7, "field `id` is a number; an id is"),
            (8, "empty"),
            (9, "nested too deeply"),
            (10, "broken JSON: Exceeds the limit"),
            (11, "half of a surrogate pair"),
            (12, "bytes that are not valid in the file's encoding"),
            (13, "NUL byte in the line"),
            (14, "longer than 0.3 MB"),
            (15, "duplicate id 'm1'; the first is at src/mixed.jsonl:1"),
        ],
    ),
    "empty.jsonl": (b"\n\n", [], [(None, "empty")]),
    "really-a-zip.jsonl": (b"PK\x03\x04\0\0", [], [(None, "a ZIP archive")]),
}

TABLES: dict[str, Case] = {
    "ragged.csv": (
        b'id,text,n\nr1,good,1\nr2,short\nr3,a,b,c\nr4,"x"y,1\nr5,nul\0,1\nr6,,1\nr1,again,1\nr7,good,1\n',
        ["r1", "r7"],
        [
            (3, "2 fields where the header has 3"),
            (4, "4 fields where the header has 3"),
            (5, "broken CSV: ',' expected after '\"'"),
            (6, "NUL byte"),
            (7, "empty"),
            (8, "duplicate id 'r1'; the first is at src/ragged.csv:2"),
        ],
    ),
    "open-quote.csv": (
        b'id,text\no1,good\no2,"open\no3,lost\n',
        ["o1"],
        [(3, "a quote opens here and never closes")],
    ),
    "huge-field.csv": (
        b"id,text\nh1," + b"x" * 300_001 + b"\nh2,good\n",
        ["h2"],
        [(2, "longer than 0.3 MB")],
    ),
    "header-only.csv": (b"id,text\n", [], [(None, "empty")]),
    "no-header.csv": (b"", [], [(None, "empty")]),
    "no-text-column.csv": (b"id,words\n1,a\n", [], [(None, "no field text or content or body")]),
    "twice.csv": (b"id,text,text\n1,a,b\n", [], [(None, "the header names `text` twice")]),
    "unnamed.csv": (
        b"id,text,,column 3\n1,a,b,c\n",
        [],
        [(None, "one column is named `column 3`, and the one in that place has no name")],
    ),
    "damaged.csv": (
        "id,text\nd1,좋습니다\nd2,".encode() + b"\xff\nd3,good\n",
        ["d1", "d3"],
        [(3, "bytes that are not")],
    ),
    "good.parquet": (GOOD_TABLE, ["p1", "p2"], []),
    "cut.parquet": (GOOD_TABLE[:-20], [], [(None, "broken Parquet: ")]),
    "text.parquet": (b"this is text", [], [(None, "broken Parquet: ")]),
    "empty.parquet": (b"", [], [(None, "broken Parquet: ")]),
    "no-rows.parquet": (parquet(pa.table({"text": pa.array([], pa.string())})), [], [(None, "empty")]),
    "no-text.parquet": (parquet(pa.table({"words": ["a"]})), [], [(None, "no field text or content")]),
    "bytes-text.parquet": (parquet(pa.table({"text": [b"a"]})), [], [(None, "no field text or content")]),
    "nulls.parquet": (
        parquet(pa.table({"id": ["n1", None, "n3"], "text": ["good", "named by row", None]})),
        ["n1", "nulls.parquet:2"],
        [(3, "empty")],
    ),
}

CASES = WHOLE | JSONL | TABLES


def write(folder: Path) -> None:
    for name, (data, _, _) in CASES.items():
        (folder / name).write_bytes(data)
    (folder / "dangling.md").symlink_to("nowhere")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe.txt")


def expected(part: int) -> Iterator[tuple[str, object]]:
    for name in sorted([*CASES, "dangling.md", "pipe.txt"]):
        if name in CASES:
            for outcome in CASES[name][part]:  # type: ignore[attr-defined]
                yield name, outcome
        elif part == 2:
            yield name, (None, "dangling link" if name == "dangling.md" else "a pipe")


def test_every_good_document_is_read_and_every_bad_one_is_named_with_its_reason(read: Read, tmp_path: Path) -> None:
    write(tmp_path / "src")
    documents, rejections = read({"max_document_mb": 0.3}, include=["**/*"])

    assert [(d.source.removeprefix("src/"), d.doc_id) for d in documents] == list(expected(1))
    wanted = list(expected(2))
    assert len(wanted) >= 30
    assert [(r.file.removeprefix("src/"), r.line) for r in rejections] == [(n, o[0]) for n, o in wanted]  # type: ignore[index]
    for rejection, (_, outcome) in zip(rejections, wanted, strict=True):
        assert outcome[1] in rejection.reason, rejection  # type: ignore[index]
        assert "\n" not in rejection.reason
        assert "Traceback" not in rejection.reason

    assert read({"max_document_mb": 0.3}, include=["**/*"]) == (documents, rejections), "the same every time"
