"""Files made to do harm, their checksums right: refused or read as they are; the process lives."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import json
import random
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import pipeline
from pipeline.errors import CorruptIndexError
from pipeline.index import manifest as manifests
from pipeline.index.dense import search as dense
from pipeline.index.dense import write as dense_writer
from pipeline.index.manifest import DenseParameters
from pipeline.index.multivector import search as multivector
from pipeline.index.multivector.search import Precision
from pipeline.index.upkeep.verify import verify
from pipeline.records import MultiVectors
from tests.faults import processes, stub
from tests.faults.counts import count, step
from tests.faults.test_damage import KINDS, live_file


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("hostile")
    for version, kind in enumerate(["auto", "auto", "IVF1,SQ8"]):
        stub.write_texts(base, version)
        settings = {"max_chunks": 12, "dense": kind, "auto_compact": False}
        stub.build(stub.stub_config(base, segments=settings))
    return base / "index"


@pytest.fixture
def index(built: Path, base: Path) -> Path:
    return shutil.copytree(built, base / "index")


def poisons(data: bytes, kind: str) -> Iterator[tuple[str, bytes]]:
    """Huge, negative and random numbers all over the places where formats keep their counts."""
    rng = random.Random(kind)
    values = [struct.pack("<q", v) for v in (-1, 2**62, 2**31 - 1, 2**31, 2**40, 0)]
    edges = [*range(0, min(len(data) - 8, 256)), *range(max(0, len(data) - 700), len(data) - 8)]
    for _ in range(count(8, 400)):
        position = rng.choice(edges) if rng.random() < 0.7 else rng.randrange(max(1, len(data) - 8))
        value = rng.choice([*values, rng.randbytes(8), rng.randbytes(1)])
        poisoned = bytearray(data)
        poisoned[position : position + len(value)] = value
        yield f"{value.hex()} at {position} of {len(data)}", bytes(poisoned)
    for _ in range(count(1, 20)):
        start, end = sorted(rng.choices(range(len(data)), k=2))
        yield f"without bytes {start} to {end}", data[:start] + data[end:]
    yield "noise", rng.randbytes(len(data))
    yield "nothing", b""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "manifest"])
def test_poisoned_files_with_right_checksums(index: Path, kind: str) -> None:
    path = live_file(index, kind)
    data = path.read_bytes()
    for what, poisoned in poisons(data, kind):
        path.write_bytes(poisoned)
        stub.sign(index)
        ending = processes.run(lambda: stub.answers(index))
        assert ending.clean, f"{kind}, {what}: {ending.signal} {ending.error}"
        ending = processes.run(lambda: verify(index, deep=True))
        assert ending.finished, f"verify of {kind}, {what}: {ending.signal} {ending.error}"
        manifests.manifest_path(index, 4).unlink()


@pytest.mark.parametrize("kind", ["IVF4,RaBitQfs", "IVF4,SQ8", "HNSW8"])
def test_an_approximate_index_that_lies_about_its_layout(tmp_path: Path, kind: str) -> None:
    """FAISS believes the numbers in front of the lists; with a wrong one RaBitQ's scan left its memory."""
    rows = np.random.default_rng(0).standard_normal((40, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    dense_writer.write(tmp_path, kind, 16, len(rows), [rows])
    parameters = dense_writer.tune(tmp_path, kind, len(rows), 0.9)
    path = tmp_path / dense.INDEX_FILE
    data = path.read_bytes()

    def search() -> None:
        with ThreadPoolExecutor(1) as pool:
            dense.DenseIndex(tmp_path, len(rows), parameters).search(rows[:2], 5, None, pool)

    rng = random.Random(kind)
    places = range(len(data) - 8)
    for position in rng.sample(places, min(count(40, 1500), len(places))):
        for value in (bytes(8), struct.pack("<q", 2**40)):
            path.write_bytes(data[:position] + value + data[position + 8 :])
            ending = processes.run(search)
            assert ending.clean, f"{value.hex()} at {position}: {ending.signal} {ending.error}"


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_a_multivector_file_that_lies(tmp_path: Path, precision: Precision) -> None:
    """Its dimension and precision stand in the file, as text; fp16 has no scales that would have to fit."""
    rows = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors = MultiVectors(np.arange(0, 61, 3), rows)
    path = tmp_path / multivector.MULTIVECTOR_FILE
    multivector.write(path, (multivector.to_batch(part, precision) for part in multivector.split(vectors, 7)))
    data = path.read_bytes()

    def search() -> None:
        index = multivector.MultiVectorIndex(tmp_path, 20)
        index.scores(rows[:3], range(20))
        for batch in multivector.read_batches(path):
            batch.take(pa.array([0])).to_pylist()

    def try_all(positions: Sequence[int]) -> None:
        for position, value in itertools.product(positions, (b"1", b"4", b"9", bytes(8), struct.pack("<q", 2**40))):
            path.write_bytes(data[:position] + value + data[position + len(value) :])
            try:
                search()
            except CorruptIndexError:
                continue
            except Exception as error:
                raise AssertionError(f"{value.hex()} at {position}") from error

    search()
    for start in range(0, len(data) - 8, 500):
        tried = range(start, min(start + 500, len(data) - 8), step(19))
        ending = processes.run(lambda tried=tried: try_all(tried))  # type: ignore[misc]
        assert ending.finished, f"one of {tried}: {ending.signal} {ending.error}"


def test_a_fast_scan_index_of_another_layout_is_refused(tmp_path: Path) -> None:
    rows = np.eye(16, dtype=np.float32)
    dense_writer.write(tmp_path, "IVF1,RaBitQfs", 16, 16, [rows])
    dense_writer.tune(tmp_path, "IVF1,RaBitQfs", 16, 0.9)
    with pytest.raises(CorruptIndexError, match=r"not laid out as IVF2,RaBitQfs is \(nlist\)"):
        dense.DenseIndex(tmp_path, 16, DenseParameters("IVF2,RaBitQfs", 1, 1, 1.0))
    with pytest.raises(CorruptIndexError, match="not laid out as HNSW8 is"):
        dense.DenseIndex(tmp_path, 16, DenseParameters("HNSW8", 1, 1, 1.0))
    with pytest.raises(CorruptIndexError, match="its kind 'nonsense' is none"):
        dense.DenseIndex(tmp_path, 16, DenseParameters("nonsense", 1, 1, 1.0))


def _rename(name: str) -> Callable[[manifests.Manifest], manifests.Manifest]:
    def change(live: manifests.Manifest) -> manifests.Manifest:
        entry = live.segments[0]
        files = (dataclasses.replace(entry.files[0], name=name), *entry.files[1:])
        return dataclasses.replace(live, segments=(dataclasses.replace(entry, files=files), *live.segments[1:]))

    return change


@pytest.mark.parametrize(
    "name", ["../../secret", "/etc/passwd", "..", ".", "", "a/b", "a\0b", ".hidden", "x" * 300]
)
def test_paths_that_leave_the_folder(index: Path, name: str) -> None:
    stub.sign(index, _rename(name))
    with pytest.raises(CorruptIndexError, match="unacceptable"):
        stub.answers(index)
    manifests.manifest_path(index, 4).unlink()
    stub.sign(
        index,
        lambda live: dataclasses.replace(
            live, segments=(dataclasses.replace(live.segments[0], segment_id=name), *live.segments[1:])
        ),
    )
    with pytest.raises(CorruptIndexError, match="unacceptable"):
        stub.answers(index)
    assert not verify(index).ok


def test_symlinks(index: Path, base: Path) -> None:
    path = live_file(index, "dense.faiss")
    path.rename(base / "outside")
    path.symlink_to(base / "outside")
    with pytest.raises(CorruptIndexError, match="not a plain file"):
        stub.answers(index)
    path.unlink()
    (base / "outside").rename(path)
    folder = path.parent
    folder.rename(base / "folder")
    folder.symlink_to(base / "folder")
    with pytest.raises(CorruptIndexError, match="symlink"):
        stub.answers(index)
    assert not verify(index).ok


@pytest.mark.parametrize("value", [-1, 0, 1, 13, 2**31, 2**40, 2**62, 2**80])
@pytest.mark.parametrize("field", ["chunks", "deleted_chunks", "dimension", "documents", "live"])
def test_counts_in_the_manifest(index: Path, field: str, value: int) -> None:
    def change(live: manifests.Manifest) -> manifests.Manifest:
        if field in ("dimension", "documents", "live"):
            return dataclasses.replace(live, **{{"live": "chunks"}.get(field, field): value})  # type: ignore[arg-type]
        entry = dataclasses.replace(live.segments[0], **{field: value})  # type: ignore[arg-type]
        return dataclasses.replace(live, segments=(entry, *live.segments[1:]))

    stub.sign(index, change)
    ending = processes.run(lambda: stub.answers(index))
    assert ending.clean, ending
    ending = processes.run(lambda: verify(index, deep=True))
    assert ending.finished, ending
    assert not verify(index, deep=True).ok or value in (0, 13)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "1e999", "NaN", '"\\ud800"', "\ufeff{}", ""])
def test_manifests_that_are_none(index: Path, text: str) -> None:
    manifests.manifest_path(index, 3).write_text(text, "utf-8")
    with pytest.raises(CorruptIndexError):
        stub.answers(index)
    assert not verify(index).ok


def test_an_array_of_objects_is_not_unpickled(index: Path) -> None:
    path = live_file(index, "deletes-*.npy")
    np.save(path, np.array([Trap()], dtype=object), allow_pickle=True)
    stub.sign(index)
    with pytest.raises(CorruptIndexError):
        stub.answers(index)
    assert not Trap.sprung


class Trap:
    """Springs when it is unpickled."""

    sprung = False

    def __reduce__(self) -> Any:
        return (setattr, (Trap, "sprung", True))


def sources() -> list[Path]:
    return sorted(Path(pipeline.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_nothing_pickles(path: Path) -> None:
    """No pickle and no relative of it is imported; NumPy and torch are told to refuse it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"} & set(names), path
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called in ("np.load", "numpy.load"):
            assert given.get("allow_pickle") == "False", f"{path}:{node.lineno}"
        if called in ("np.save", "np.savez", "numpy.save"):
            assert given.get("allow_pickle", "False") == "False", f"{path}:{node.lineno}"
        if called == "torch.load":
            assert given.get("weights_only") == "True", f"{path}:{node.lineno}"
        if called == "yaml.load":
            assert given.get("Loader"), f"{path}:{node.lineno}"
        assert called not in ("eval", "exec", "yaml.unsafe_load", "yaml.full_load"), f"{path}:{node.lineno}"


def test_manifests_are_plain_json(built: Path) -> None:
    for path in built.glob("manifest-*.json"):
        assert json.loads(path.read_text("utf-8"))["format_version"] == 1
