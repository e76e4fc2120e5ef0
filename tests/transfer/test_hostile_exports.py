"""Archives and folders that are damaged or made to do harm: file, cause and cure are told, nothing is changed."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import (
    CorruptIndexError,
    IncompatibleIndexError,
    IndexNotFoundError,
    IndexStoreError,
    PipelineError,
)
from pipeline.index import manifest as manifests
from pipeline.transfer import unpacking
from pipeline.transfer.contents import ExportedFile, from_bytes, is_exportable, to_bytes
from pipeline.transfer.exporting import export
from pipeline.transfer.importing import import_index
from tests.faults import stub

Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, origin: Path) -> Path:
    path = tmp_path_factory.mktemp("archive") / "out.tar.zst"
    export(origin, path)
    return path


def members(archive: Path) -> list[Member]:
    data = pa.CompressedInputStream(io.BytesIO(archive.read_bytes()), "zstd").read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def packed(found: list[Member], end: bytes = b"") -> bytes:
    """An archive of whatever members, by a library that writes them all."""
    plain, sink = io.BytesIO(), pa.BufferOutputStream()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member, data in found:
            tar.addfile(member, io.BytesIO(data))
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(plain.getvalue() + end)
    return bytes(sink.getvalue())


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info, data


def listed(found: list[Member], *paths: str, **changes: Any) -> list[Member]:
    """The members with a record that is right but for what it names besides, or how a field is changed."""
    contents = from_bytes(found[0][1], "")
    extra = tuple(ExportedFile(path, 0, xxhash.xxh3_128_hexdigest(b"")) for path in paths)
    record = to_bytes(dataclasses.replace(contents, files=contents.files + extra, **changes))
    return [member("export.json", record), *found[1:], *(member(path) for path in paths)]


def replaced(found: list[Member], at: int, fresh: Member) -> list[Member]:
    return [*found[:at], fresh, *found[at + 1 :]]


def signed_raw(found: list[Member], change: Callable[[dict[str, Any]], None]) -> list[Member]:
    """The members with a record of any shape whatever, its checksum right."""
    body = json.loads(found[0][1])
    del body["checksum"]
    change(body)
    data = json.dumps({**body, "checksum": manifests.digest(body)}).encode()
    return [member("export.json", data), *found[1:]]


LAST = "manifest-00000002.json"
AT = 2
"""Where the manifest stands: after the record and the requirements."""
HOSTILE: dict[str, tuple[Callable[[list[Member]], list[Member]], str]] = {
    "a path upward": (lambda m: listed(m, "../evil"), "unacceptable file '../evil'"),
    "an absolute path": (lambda m: listed(m, "/tmp/evil"), "unacceptable file"),
    "a path upward below a folder": (lambda m: listed(m, "segments/../../evil"), "unacceptable file"),
    "a hidden file": (lambda m: listed(m, ".writer.lock"), "unacceptable file"),
    "a backslash": (lambda m: listed(m, "segments/a\\b/c"), "unacceptable file"),
    "a NUL": (lambda m: signed_raw(m, lambda r: r["files"][0].update(path="segments/a/b\0")), "unacceptable file"),
    "a line end": (lambda m: listed(m, "requirements.txt\n"), "unacceptable file"),
    "a segment that no manifest names": (lambda m: listed(m, "segments/a/b"), "do not agree on segments/a/b"),
    "a model of another index": (lambda m: listed(m, "models/a/b/c"), "models/a/b/c belongs to another index"),
    "a second manifest": (lambda m: listed(m, "manifest-00000003.json"), f"another manifest than {LAST}"),
    "a file twice": (lambda m: listed(m, "requirements.txt"), "names a file twice"),
    "another generation": (lambda m: listed(m, generation=7), "another manifest than manifest-00000007.json"),
    "a member beside the record": (lambda m: [*m, member("evil", b"x")], "more than its record names"),
    "a member too few": (lambda m: m[:-1], "is no archive, or ends, where"),
    "a member in another place": (lambda m: [*m[:AT], m[AT + 1], m[AT], *m[AT + 2 :]], f"where {LAST} should be"),
    "no record": (lambda m: m[1:], "where export.json should be"),
    "nothing": (lambda m: [], "where export.json should begin"),
    "a link for a file": (lambda m: replaced(m, AT, member(LAST, b"", tarfile.SYMTYPE, "/etc/passwd")), "a link"),
    "a hard link": (lambda m: replaced(m, AT, member(LAST, b"", tarfile.LNKTYPE, "export.json")), "a link"),
    "a device": (lambda m: replaced(m, AT, member(LAST, b"", tarfile.CHRTYPE)), "no plain file"),
    "a folder": (lambda m: replaced(m, AT, member(LAST, b"", tarfile.DIRTYPE)), "no plain file|where"),
    "a longer file": (lambda m: replaced(m, AT, member(LAST, m[AT][1] + b"x")), "bytes where its record says"),
    "a shorter file": (lambda m: replaced(m, AT, member(LAST, m[AT][1][:-1])), "bytes where its record says"),
    "other bytes": (lambda m: replaced(m, AT, member(LAST, m[AT][1][::-1])), f"checksum of {LAST} does not match"),
    "a record that was edited": (
        lambda m: replaced(m, 0, member("export.json", m[0][1].replace(b'"generation": 2', b'"generation": 1'))),
        "checksum of export.json does not match",
    ),
    "a record of no such shape": (lambda m: signed_raw(m, lambda r: r.update(files=3)), "`files`"),
    "an unknown field": (lambda m: signed_raw(m, lambda r: r.update(more=3)), "`more`"),
    "a negative size": (lambda m: signed_raw(m, lambda r: r["files"][0].update(size=-5)), "has -5 bytes"),
    "a record that is a list": (lambda m: replaced(m, 0, member("export.json", b"[]")), "no record of an export"),
    "a record that is deep": (
        lambda m: replaced(m, 0, member("export.json", b"[" * 9999)),
        "no record of an export",
    ),
}


def check_refused(tmp_path: Path, source: Path, says: str, error: type[PipelineError] = CorruptIndexError) -> None:
    """Refused for a new index and for one that is there; one line names source, cause and cure; nothing is left."""
    live = tmp_path / "live"
    before = sorted((str(path), path.stat().st_ino) for path in live.rglob("*"))
    for index in (tmp_path / "new", live):
        with pytest.raises(error, match=says) as raised:
            import_index(source, index)
        assert str(raised.value).startswith(str(source))
        assert ";" in str(raised.value)
    assert not (tmp_path / "new").exists()
    assert sorted((str(path), path.stat().st_ino) for path in live.rglob("*")) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"live", source.name}


@pytest.fixture
def place(tmp_path: Path, origin: Path) -> Path:
    """A folder with an index that is live."""
    shutil.copytree(origin, tmp_path / "live")
    return tmp_path


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_archive_is_refused(place: Path, archive: Path, name: str) -> None:
    change, says = HOSTILE[name]
    source = place / "evil.tar.zst"
    source.write_bytes(packed(change(members(archive))))
    check_refused(place, source, says)


def test_the_members_themselves_are_accepted(tmp_path: Path, origin: Path, archive: Path) -> None:
    """So what refuses the archives above is what was changed in them."""
    (tmp_path / "same.tar.zst").write_bytes(packed(members(archive)))
    import_index(tmp_path / "same.tar.zst", tmp_path / "index")
    assert stub.answers(tmp_path / "index") == stub.answers(origin)


def test_another_format_version_is_refused(place: Path, archive: Path) -> None:
    source = place / "later.tar.zst"
    source.write_bytes(packed(signed_raw(members(archive), lambda record: record.update(format_version=2))))
    check_refused(place, source, "format version 2, and this program reads 1", IncompatibleIndexError)


def test_an_archive_that_goes_on_is_refused(place: Path, archive: Path) -> None:
    source = place / "long.tar.zst"
    for end, says in ((bytes(4 << 20), "goes on and on"), (b"x" * 600, "something follows its end")):
        source.write_bytes(packed(members(archive), end))
        check_refused(place, source, says)


def test_a_record_of_gigabytes_is_not_read(place: Path) -> None:
    """A size beyond what a record may have, in an archive of a few kilobytes that would unpack to it."""
    header = tarfile.TarInfo("export.json")
    header.size = 1 << 36
    source = place / "bomb.tar.zst"
    with source.open("wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
        stream.write(header.tobuf(tarfile.GNU_FORMAT))
        for _ in range(64):
            stream.write(bytes(1 << 20))
    assert source.stat().st_size < 1 << 16
    check_refused(place, source, "its record would have 68,719,476,736 bytes")


def test_sizes_that_the_disk_cannot_hold_are_refused_before_anything_is_written(place: Path, archive: Path) -> None:
    source = place / "large.tar.zst"

    def change(record: dict[str, Any]) -> None:
        record["files"][-1]["size"] = 1 << 60

    source.write_bytes(packed(signed_raw(members(archive), change)))
    for index in (place / "new", place / "live"):
        with pytest.raises(
            IndexStoreError, match=r"large\.tar\.zst needs .* bytes and .* are free; free some space"
        ):
            import_index(source, index)
    assert not (place / "new").exists()


def test_an_archive_that_is_cut_off_anywhere_is_refused(place: Path, archive: Path) -> None:
    whole = archive.read_bytes()
    source = place / "cut.tar.zst"
    for length in [0, 1, 4, 5, 100, *range(1000, len(whole), len(whole) // 23), len(whole) - 1]:
        source.write_bytes(whole[:length])
        check_refused(place, source, "cannot be decompressed|is cut off|is no archive, or ends")


@given(at=st.integers(min_value=0), bit=st.integers(0, 7))
def test_no_flipped_bit_is_believed(
    tmp_path_factory: pytest.TempPathFactory, origin: Path, archive: Path, at: int, bit: int
) -> None:
    """It is refused, or it changed nothing that is stored (a bit of the compressor's own)."""
    folder = tmp_path_factory.mktemp("flipped")
    data = bytearray(archive.read_bytes())
    data[at % len(data)] ^= 1 << bit
    (folder / "a.tar.zst").write_bytes(data)
    try:
        import_index(folder / "a.tar.zst", folder / "index")
    except PipelineError:
        assert [path.name for path in folder.iterdir()] == ["a.tar.zst"]
    else:
        assert stub.answers(folder / "index") == stub.answers(origin)


@given(st.text(max_size=40).map(lambda text: f"segments/a/{text}") | st.text(max_size=40))
def test_every_path_that_may_stand_in_an_export_stays_in_it(path: str) -> None:
    if is_exportable(path):
        assert (Path("/inside") / path).resolve().is_relative_to("/inside")
        assert not any(part.startswith(".") for part in path.split("/"))
        assert path.isascii()
        assert path.isprintable()


def test_a_folder_with_links_or_damage_is_refused(place: Path, origin: Path, archive: Path) -> None:
    secret = place / "live/manifest-00000002.json"
    segment = sorted((origin / "segments").iterdir())[0].name

    def relink(folder: Path) -> None:
        (folder / LAST).unlink()
        (folder / LAST).symlink_to(secret)

    def relink_folder(folder: Path) -> None:
        shutil.rmtree(folder / "segments")
        (folder / "segments").symlink_to(origin / "segments")

    def pipe(folder: Path) -> None:
        (folder / LAST).unlink()
        os.mkfifo(folder / LAST)

    def longer(folder: Path) -> None:
        with (folder / f"segments/{segment}/chunks.parquet").open("ab") as file:
            file.write(b"x")

    def other(folder: Path) -> None:
        path = folder / f"segments/{segment}/chunks.parquet"
        path.write_bytes(path.read_bytes()[::-1])

    cases: list[tuple[Callable[[Path], None], str]] = [
        (relink, f"{LAST} cannot be read"),
        (relink_folder, "cannot be read"),
        (pipe, "another size|cannot be read"),
        (longer, "chunks.parquet has another size"),
        (other, "checksum of .*chunks.parquet does not match"),
        (lambda folder: (folder / LAST).unlink(), f"{LAST} cannot be read"),
    ]
    for change, says in cases:
        source = place / "out"
        export(origin, source)
        change(source)
        check_refused(place, source, says)
        shutil.rmtree(source)
    source = place / "out"
    export(origin, source)
    (source / "export.json").unlink()
    check_refused(place, source, "export.json cannot be read", IndexNotFoundError)


def test_nothing_is_written_outside_while_an_archive_is_read(
    place: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a record names, every file that is opened for writing is in the folder that is unpacked into."""
    written: list[Path] = []
    inner = unpacking._write

    def watched(folder: Path, file: ExportedFile, blocks: Any, origin: str) -> None:
        written.append((folder / file.path).resolve())
        inner(folder, file, blocks, origin)

    monkeypatch.setattr(unpacking, "_write", watched)
    source = place / "evil.tar.zst"
    for change, says in HOSTILE.values():
        source.write_bytes(packed(change(members(archive))))
        with pytest.raises(PipelineError, match=says):
            import_index(source, place / "new")
    assert written
    assert all(path.relative_to(place).parts[0].startswith(".new.") for path in written)
