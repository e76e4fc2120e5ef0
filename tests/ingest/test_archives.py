"""Archives are read as folders of their name; bombs, locks and damage cost what they must and no more."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.ingest.formats.inside.members import DEEPEST, readable_name
from tests.ingest.conftest import Read

FILES = {
    "a.md": b"---\ntitle: A\n---\nFirst words",
    "deep/b.txt": "밤마다".encode("cp949") * 9,
    "rows.jsonl": b'{"_id": "x", "text": "one"}\n{"text": "two"}\nbroken\n',
    ".hidden.txt": b"no",
    "__MACOSX/a.txt": b"no",
    "picture.png": b"\x89PNG",
}

NOISE = random.Random(1).randbytes(500_000)


def zipped(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return sink.getvalue()


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


PACKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "a.zip": zipped,
    "a.tar": tarred,
    "a.tar.gz": lambda files: gzip.compress(tarred(files)),
    "a.tgz": lambda files: gzip.compress(tarred(files)),
    "a.tar.zst": lambda files: zstd(tarred(files)),
}


@pytest.mark.parametrize("name", PACKERS)
def test_each_kind_is_read_as_a_folder(read: Read, tmp_path: Path, name: str) -> None:
    (tmp_path / "src" / name).write_bytes(PACKERS[name](FILES))
    docs, rejections = read(prefix="p/")
    found = {doc.doc_id: doc.text for doc in docs}
    assert found == {
        f"p/{name}!a.md": "First words",
        f"p/{name}!deep/b.txt": "밤마다" * 9,
        "p/x": "one",
        f"p/{name}!rows.jsonl:2": "two",
    }
    assert docs[0].metadata == {"title": "A"}
    assert {doc.source for doc in docs} == {f"src/{name}"}
    assert [(one.file, one.reason[:28]) for one in rejections] == [(f"src/{name}", "rows.jsonl:3: broken JSON: E")]


@pytest.mark.parametrize("name", PACKERS)
def test_an_empty_mark_of_a_package_is_neither_read_nor_rejected(read: Read, tmp_path: Path, name: str) -> None:
    files = {"p/__init__.py": b"", "p/other.py": b"", "p/q/__init__.py": b"VERSION = 1\n"}
    (tmp_path / "src" / name).write_bytes(PACKERS[name](files))
    docs, rejections = read()
    assert [doc.doc_id for doc in docs] == [f"{name}!p/q/__init__.py"]
    assert [one.reason for one in rejections] == ["p/other.py: empty"]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd)])
def test_a_packed_file_is_read_under_its_own_name(
    read: Read, tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / f"src/rows.jsonl{suffix}").write_bytes(pack(FILES["rows.jsonl"]))
    (tmp_path / f"src/words.txt{suffix}").write_bytes(pack(b"some words"))
    (tmp_path / f"src/x.bin{suffix}").write_bytes(pack(b"x"))
    docs, rejections = read()
    assert [doc.doc_id for doc in docs] == ["x", f"rows.jsonl{suffix}:2", f"words.txt{suffix}"]
    assert [one.reason for one in rejections] == [
        "line 3: broken JSON: Expecting value in column 1",
        "holds x.bin, for which there is no reader",
    ]


def test_archives_in_archives_are_read_so_deep(read: Read, tmp_path: Path) -> None:
    data = b"at the bottom"
    name = "a.txt"
    for _ in range(DEEPEST):
        data, name = zipped({name: data, "beside.txt": b"beside"}), "a.zip"
    (tmp_path / "src/a.zip").write_bytes(data)
    docs, rejections = read()
    assert rejections == []
    assert docs[0].doc_id == "a.zip!a.zip!a.zip!a.zip!a.txt"
    assert len(docs) == 1 + DEEPEST
    (tmp_path / "src/a.zip").write_bytes(zipped({"a.zip": data}))
    docs, rejections = read()
    assert [one.reason for one in rejections] == [
        f"{'a.zip: ' * DEEPEST}{name}: more than {DEEPEST} files inside of each other are not read"
        for name in ("a.txt", "beside.txt")
    ]
    assert len(docs) == DEEPEST - 1


def test_a_bomb_is_stopped_by_ratio_and_by_size(read: Read, tmp_path: Path) -> None:
    zeros = b" " * 150_000_000
    (tmp_path / "src/a.txt.gz").write_bytes(gzip.compress(zeros))
    (tmp_path / "src/b.zip").write_bytes(zipped({"good.txt": b"words", "bomb.txt": zeros}))
    (tmp_path / "src/c.zip").write_bytes(zipped({f"{i}.txt": b"x" * 400_000 for i in range(4)}))
    docs, rejections = read()
    assert [doc.doc_id for doc in docs] == ["b.zip!good.txt", *(f"c.zip!{i}.txt" for i in range(4))]
    assert [(one.file, one.reason[:37]) for one in rejections] == [
        ("src/a.txt.gz", "would unpack to more than 100 MB (inge"[:37]),
        ("src/b.zip", "would unpack to more than 100 MB (inge"[:37]),
    ]
    docs, rejections = read({"max_archive_mb": 1}, include=["c.zip"])
    assert len(docs) == 2
    assert rejections[0].reason.startswith("would unpack to more than 1 MB")


def test_bombs_in_an_archive_are_paid_for_by_it(read: Read, tmp_path: Path) -> None:
    inner = zipped({"a.txt": b" x" * 20_000_000})
    (tmp_path / "src/a.zip").write_bytes(zipped({f"{i}.zip": inner for i in range(9)}))
    docs, rejections = read({"max_document_mb": 50})
    assert len(docs) == 2
    assert "would unpack to more than 100 MB" in rejections[-1].reason
    assert len(rejections) == 2


def test_what_is_damaged_or_locked_costs_itself(read: Read, tmp_path: Path) -> None:
    whole = bytearray(zipped({"a.txt": b"first words", "b.txt": b"second words", "c.md": b"third"}))
    place = bytes(whole).index(b"b.txt") + 6
    whole[place] ^= 0xFF
    (tmp_path / "src/a.zip").write_bytes(whole)
    locked = bytearray(zipped({"a.txt": b"x", "b.txt": b"y"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[bytes(locked).index(signature) + offset] |= 1
    (tmp_path / "src/b.zip").write_bytes(locked)
    (tmp_path / "src/c.zip").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "src/d.tar.gz").write_bytes(gzip.compress(tarred({"a.txt": b"x" * 9, "b.txt": NOISE}))[:-90_000])
    (tmp_path / "src/e.txt.zst").write_bytes(zstd(b"words")[:-3])
    (tmp_path / "src/f.zip").write_bytes(zipped({}))
    docs, rejections = read()
    assert [doc.doc_id for doc in docs] == ["a.zip!a.txt", "a.zip!c.md", "b.zip!b.txt", "d.tar.gz!a.txt"]
    reasons = [one.reason for one in rejections]
    assert reasons[0].startswith("b.txt: cannot be unpacked: ")
    assert reasons[1] == "a.txt: encrypted: it opens with a password only"
    assert reasons[2].startswith("broken .zip file: ")
    assert reasons[3].startswith("broken .gz file: ")
    assert reasons[4].startswith("broken .zst file: ")
    assert reasons[5] == "empty"
    assert len(reasons) == 6


def test_names_lead_nowhere_else(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.zip").write_bytes(zipped({"../../evil.txt": b"words", "/abs/b.txt": b"more"}))
    docs, _ = read()
    assert [doc.doc_id for doc in docs] == ["a.zip!evil.txt", "a.zip!abs/b.txt"]
    assert not (tmp_path / "evil.txt").exists()
    assert readable_name("a\\b/./../c\n.txt") == "a/b/c\ufffd.txt"
    assert readable_name("\udc80.txt") == "?.txt"


def raw_names(*names: bytes) -> bytes:
    """A ZIP archive of texts whose names are these bytes, without a word of what they are in."""
    stand_ins = [f"{number:03}".ljust(len(name), "-") for number, name in enumerate(names)]
    data = zipped(dict.fromkeys(stand_ins, b"words"))
    for stand_in, name in zip(stand_ins, names, strict=True):
        assert data.count(stand_in.encode()) == 2
        data = data.replace(stand_in.encode(), name)
    return data


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("utf-8", ["설치 안내.txt", "été.txt", "plain.txt"]),
        ("cp949", ["설치 안내/갈퀴.txt", "plain.txt", "똠방각하.txt"]),
        ("cp949", ["가.txt"]),
        ("cp932", ["会議の資料.txt", "表紙.txt"]),
        ("cp437", ["café.txt"]),
        ("cp437", ["blåbær.txt", "Müller.txt", "Información.txt", "päivä.txt"]),
        ("cp437", ["½ cup.txt", "Größe.txt"]),
        ("cp850", ["informação.txt", "Øst.txt"]),
        ("cp850", ["São hyvää yötä.txt"]),
    ],
)
def test_names_that_an_archive_says_nothing_about_are_read_all_the_same(
    read: Read, tmp_path: Path, encoding: str, names: list[str]
) -> None:
    (tmp_path / "src/a.zip").write_bytes(raw_names(*(name.encode(encoding) for name in names)))
    docs, rejections = read()
    assert rejections == []
    assert [doc.doc_id for doc in docs] == [f"a.zip!{name}" for name in names]


@pytest.mark.parametrize("encoding", ["utf-8", "cp949", "cp932", "cp866"])
def test_names_in_tar_are_read_in_old_code_pages_too(read: Read, tmp_path: Path, encoding: str) -> None:
    letters = {"cp932": "会議の資料.txt", "cp866": "Протокол.txt"}.get(encoding, "설치 안내.txt")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT, encoding=encoding) as archive:
        for name in (letters, "plain.txt"):
            entry = tarfile.TarInfo(name)
            entry.size = 5
            archive.addfile(entry, io.BytesIO(b"words"))
    (tmp_path / "src/a.tar").write_bytes(stream.getvalue())
    found = read({"encodings": ["cp866"]} if encoding == "cp866" else None)[0]
    assert [doc.doc_id for doc in found] == [f"a.tar!{letters}", "a.tar!plain.txt"]


def test_names_of_an_archive_that_several_programs_wrote_are_told_apart(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.zip").write_bytes(raw_names("회의록.txt".encode(), "견적서.txt".encode("cp949"), b"a.txt"))
    assert [doc.doc_id for doc in read()[0]] == ["a.zip!회의록.txt", "a.zip!견적서.txt", "a.zip!a.txt"]


def test_a_name_that_is_marked_as_utf8_is_what_it_says(read: Read, tmp_path: Path) -> None:
    mojibake = "회의록.txt".encode("cp949").decode("cp437")
    (tmp_path / "src/a.zip").write_bytes(zipped({mojibake: b"words"}))
    assert [doc.doc_id for doc in read()[0]] == [f"a.zip!{mojibake}"]


def test_encodings_of_the_settings_are_those_of_names_too(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.zip").write_bytes(raw_names("Протокол.txt".encode("cp866")))
    assert [doc.doc_id for doc in read({"encodings": ["cp866"]})[0]] == ["a.zip!Протокол.txt"]


def test_nothing_is_left_behind(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "src/a.zip").write_bytes(zipped(FILES))
    assert len(read()[0]) == 4
    assert list(folder.iterdir()) == []
