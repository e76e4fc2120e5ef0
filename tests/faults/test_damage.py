"""One flipped bit or a missing end: verify finds it, and opening gives an error, never a wrong answer."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import CorruptIndexError, PipelineError
from pipeline.index import manifest as manifests
from pipeline.index.upkeep.verify import verify
from tests.faults import processes, stub
from tests.faults.counts import count

KINDS = (
    "chunks.parquet",
    "lexical.parquet",
    "dense.faiss",
    "dense-rows.npy",
    "postings.arrow",
    "lengths.npy",
    "multivector.arrow",
    "columns.arrow",
    "words.arrow",
    "rows.bin",
    "deletes-*.npy",
    "manifest",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three generations; the newest segment is an approximate one, so every kind of file is there."""
    base = tmp_path_factory.mktemp("damage")
    for version, kind in enumerate(["auto", "auto", "IVF1,SQ8"]):
        stub.write_texts(base, version)
        settings = {"max_chunks": 12, "dense": kind, "auto_compact": False}
        stub.build(stub.stub_config(base, segments=settings))
    return base / "index"


@pytest.fixture
def index(built: Path, base: Path) -> Path:
    return shutil.copytree(built, base / "index")


def live_file(index: Path, kind: str) -> Path:
    if kind == "manifest":
        return manifests.manifest_path(index, 3)
    live = manifests.load(index, 3)
    names = {
        f"{entry.segment_id}/{file.name}"
        for entry in live.segments
        for file in [*entry.files, *([entry.deletes] if entry.deletes else [])]
    }
    paths = sorted((index / "segments").glob(f"*/{kind}"))
    return next(path for path in paths if str(path.relative_to(index / "segments")) in names)


def damages(data: bytes, kind: str) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(kind)
    for _ in range(count(6, 100)):
        position, bit = rng.randrange(len(data)), rng.randrange(8)
        flipped = bytearray(data)
        flipped[position] ^= 1 << bit
        yield f"bit {bit} of byte {position}", bytes(flipped)
    for length in sorted({0, 1, len(data) // 2, len(data) - 1}):
        yield f"cut to {length} bytes", data[:length]
    yield "longer", data + b"\0"


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bits_and_missing_ends(index: Path, kind: str) -> None:
    path = live_file(index, kind)
    data = path.read_bytes()
    right = stub.answers(index)
    refusals = ["clean CorruptIndexError"]
    if kind == "manifest":
        refusals.append("clean IncompatibleIndexError")  # a bit of the digit that is the format's version
    for what, damaged in damages(data, kind):
        path.write_bytes(damaged)
        problems = verify(index, deep=True).problems
        assert str(path.relative_to(index)) in {problem.file for problem in problems}, what

        def ask(what: str = what) -> None:
            assert stub.answers(index) == right, what

        ending = processes.run(ask)
        assert ending.error is not None, what
        assert ending.error.startswith(tuple(refusals)), (what, ending)
    path.write_bytes(data)
    assert verify(index, deep=True).ok


def test_files_of_two_generations_mixed(index: Path) -> None:
    first, second = (entry.segment_id for entry in manifests.load(index, 1).segments)
    for name in (
        "chunks.parquet",
        "dense.faiss",
        "lexical.parquet",
        "postings.arrow",
        "lengths.npy",
        "multivector.arrow",
        "columns.arrow",
        "words.arrow",
        "rows.bin",
    ):
        paths = [index / "segments" / segment / name for segment in (first, second)]
        contents = [path.read_bytes() for path in paths]
        if contents[0] == contents[1]:
            continue  # both have as many words in every chunk
        for path, content in zip(paths, reversed(contents), strict=True):
            path.write_bytes(content)
        assert not verify(index, 1).ok
        with pytest.raises(CorruptIndexError):
            stub.answers(index, 1)
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
    assert verify(index, 1, deep=True).ok
    shutil.copyfile(manifests.manifest_path(index, 1), manifests.manifest_path(index, 4))
    with pytest.raises(CorruptIndexError, match="says it is generation 1"):
        stub.answers(index)
    assert not verify(index).ok


def _drop(payload: dict[str, object]) -> None:
    del payload["segments"][0]  # type: ignore[attr-defined]


EDITS: dict[str, Callable[[dict[str, object]], object]] = {
    "note": lambda payload: payload.update(note="edited"),
    "chunks": lambda payload: payload.update(chunks=1),
    "segments": _drop,
    "checksum": lambda payload: payload.update(checksum="0" * 32),
    "none": lambda payload: payload.pop("checksum"),
    "number": lambda payload: payload.update(generation=4),
    "version": lambda payload: payload.update(format_version=99),
    "unknown": lambda payload: payload.update(extra=1),
    "type": lambda payload: payload.update(format_version="1"),
}


@pytest.mark.parametrize("name", sorted(EDITS))
def test_a_manifest_edited_by_hand(index: Path, name: str) -> None:
    path = manifests.manifest_path(index, 3)
    payload = json.loads(path.read_bytes())
    EDITS[name](payload)
    path.write_text(json.dumps(payload))
    assert not verify(index).ok
    with pytest.raises(PipelineError):
        stub.answers(index)
