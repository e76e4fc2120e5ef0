"""Verify finds everything that is wrong with an index; a sound one has no problems."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.errors import IndexNotFoundError
from pipeline.index import schemas
from pipeline.index.dense import search as dense
from pipeline.index.dense import write as dense_writer
from pipeline.index.lexical import postings
from pipeline.index.manifest import Manifest
from pipeline.index.upkeep.verify import verify
from tests.faults import stub
from tests.faults.stub import sign


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generations; the second has segments with deletions."""
    base = tmp_path_factory.mktemp("verify")
    stub.build_two_generations(base)
    return base / "index"


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "index")


def first(index: Path, name: str) -> Path:
    return sorted(index.glob(f"segments/*/{name}"))[0]


def rewrite_table(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(path)
    schema = table.schema
    pq.write_table(change(table).cast(schema), path)


def change_column(path: Path, name: str, change: Callable[[list[object]], None]) -> None:
    def edit(table: pa.Table) -> pa.Table:
        values = table.column(name).to_pylist()
        change(values)
        field = table.schema.field(name)
        return table.set_column(table.column_names.index(name), field, pa.array(values, field.type))

    rewrite_table(path, edit)


def rewrite_dense(path: Path, change: Callable[[np.ndarray], None]) -> None:
    rows = dense.DenseIndex(path.parent, pq.read_metadata(path.parent / "chunks.parquet").num_rows)
    vectors = rows.vectors(slice(None)).copy()
    change(vectors)
    dense_writer.write(path.parent, "SQfp16", vectors.shape[1], len(vectors), [vectors])


@pytest.mark.parametrize("generation", [None, 1, 2])
@pytest.mark.parametrize("deep", [False, True])
def test_a_sound_index_has_no_problems(built: Path, generation: int | None, deep: bool) -> None:
    report = verify(built, generation, deep)
    assert report.problems == ()
    assert report.ok
    assert report.generation == (generation or 2)
    assert report.files >= 10


def test_every_damaged_file_is_named(index: Path) -> None:
    first(index, "chunks.parquet").unlink()
    postings = first(index, "postings.arrow")
    postings.write_bytes(postings.read_bytes()[:-1])
    lengths = first(index, "lengths.npy")
    lengths.write_bytes(bytes(lengths.stat().st_size))
    vectors = first(index, "dense.faiss")
    vectors.rename(index / "elsewhere")
    vectors.symlink_to(index / "elsewhere")
    for deep in (False, True):
        found = {problem.file.split("/")[-1]: problem.reason for problem in verify(index, deep=deep).problems}
        assert found.keys() == {"chunks.parquet", "postings.arrow", "lengths.npy", "dense.faiss"}
        assert found["chunks.parquet"].startswith("missing")
        assert "bytes where the manifest says" in found["postings.arrow"]
        assert "checksum" in found["lengths.npy"]
        assert "not a plain file" in found["dense.faiss"]


def test_a_segment_folder_that_is_a_symlink(index: Path) -> None:
    folder = first(index, "chunks.parquet").parent
    folder.rename(index / "elsewhere")
    folder.symlink_to(index / "elsewhere")
    assert all("symlink" in problem.reason for problem in verify(index).problems)
    assert not verify(index).ok


def test_an_unreadable_manifest_is_a_problem_and_no_index_an_error(index: Path, tmp_path: Path) -> None:
    path = index / "manifest-00000002.json"
    path.write_bytes(path.read_bytes().replace(b'"chunks"', b'"chunkz"', 1))
    (problem,) = verify(index).problems
    assert problem.file == "manifest-00000002.json"
    assert "edited or damaged" in problem.reason
    with pytest.raises(IndexNotFoundError):
        verify(tmp_path / "nowhere")
    with pytest.raises(IndexNotFoundError, match="no generation 7"):
        verify(index, 7)


def _set(position: int, value: object) -> Callable[[list[object]], None]:
    return lambda values: values.__setitem__(position, value)


def _scale(vectors: np.ndarray) -> None:
    vectors[2] *= 1.5


def _spoil(vectors: np.ndarray) -> None:
    vectors[1, 3] = np.nan


CONTENTS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "name": ("chunks.parquet", lambda p: change_column(p, "chunk_id", _set(1, "x#7")), "not named after"),
    "text": ("chunks.parquet", lambda p: change_column(p, "text", _set(1, "A text")), "offsets do not fit"),
    "hash": ("chunks.parquet", lambda p: change_column(p, "text_hash", _set(1, b"0" * 16)), "not the one that"),
    "metadata": ("chunks.parquet", lambda p: change_column(p, "metadata", _set(1, "[]")), "metadata"),
    "rows": ("chunks.parquet", lambda p: rewrite_table(p, lambda t: t.slice(1)), "rows where the manifest says"),
    "weight": (
        "lexical.parquet",
        lambda p: change_column(p, "weights", lambda v: v[1].__setitem__(0, -1.0)),
        "posi",
    ),
    "ids": ("lexical.parquet", lambda p: change_column(p, "token_ids", lambda v: v[1].reverse()), "not ascend"),
    "fewer": ("lexical.parquet", lambda p: rewrite_table(p, lambda t: t.slice(1)), "rows where the manifest says"),
    "norm": ("dense.faiss", lambda p: rewrite_dense(p, _scale), "1 vectors are not of length 1, first row 2: 1."),
    "nan": ("dense.faiss", lambda p: rewrite_dense(p, _spoil), "not of length 1, first row 1: nan"),
    "lengths": ("lengths.npy", lambda p: np.save(p, np.load(p) + 1), "differs from what lexical.parquet gives"),
    "deletes": ("deletes-*.npy", lambda p: np.save(p, np.array([99999], np.uint32)), "names chunk 99999"),
    "order": ("deletes-*.npy", lambda p: np.save(p, np.load(p)[::-1].copy()), "do not ascend"),
    "pickle": ("deletes-*.npy", lambda p: np.save(p, np.array([{}])), "cannot be read"),
    "type": ("deletes-*.npy", lambda p: np.save(p, np.load(p).astype(np.int64)), "not a 1-dimensional array"),
}


@pytest.mark.parametrize("name", sorted(CONTENTS))
def test_deep_finds_contents_that_do_not_fit(index: Path, name: str) -> None:
    """The checksums hold, so only the contents can tell."""
    pattern, damage, reason = CONTENTS[name]
    path = first(index, pattern)
    if name == "order":
        path = max(index.glob("segments/*/deletes-*.npy"), key=lambda p: p.stat().st_size)
        np.save(path, np.array([0, 1, 2], np.uint32))
    damage(path)
    sign(index)
    assert verify(index).ok
    problems = verify(index, deep=True).problems
    assert any(reason in p.reason and p.file.endswith(path.name) for p in problems), problems


def test_deep_finds_postings_of_other_weights(index: Path) -> None:
    path = first(index, "postings.arrow")
    other = first(index, "lexical.parquet").parent
    rows = [schemas.table_to_sparse(pq.read_table(other / "lexical.parquet"))]
    rows[0] = dataclasses.replace(rows[0], weights=rows[0].weights * np.float32(1.0001))
    kept = (other / "lengths.npy").read_bytes()
    postings.write(other, rows)
    (other / "lengths.npy").write_bytes(kept)
    sign(index)
    problems = verify(index, deep=True).problems
    assert [p.file.split("/")[-1] for p in problems] == [path.name]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: dataclasses.replace(m, chunks=m.chunks + 1), "chunks, its segments have"),
        (lambda m: dataclasses.replace(m, documents=m.documents - 1), "documents, the chunks have"),
        (lambda m: dataclasses.replace(m, dimension=7), "dimensions where the manifest says 7"),
        (lambda m: dataclasses.replace(m, segments=m.segments * 2, chunks=2 * m.chunks), "is live twice"),
        (
            lambda m: dataclasses.replace(
                m, segments=(dataclasses.replace(m.segments[0], deletes=None), *m.segments[1:])
            ),
            "no file names its deleted",
        ),
    ],
)
def test_deep_finds_a_manifest_that_does_not_fit(
    index: Path, change: Callable[[Manifest], Manifest], reason: str
) -> None:
    sign(index, change)
    problems = verify(index, deep=True).problems
    assert any(reason in problem.reason for problem in problems), problems


def test_a_needed_file_that_the_manifest_does_not_name(index: Path) -> None:
    def without(manifest: Manifest) -> Manifest:
        entry = manifest.segments[0]
        fewer = tuple(file for file in entry.files if file.name != "postings.arrow")
        return dataclasses.replace(
            manifest, segments=(dataclasses.replace(entry, files=fewer), *manifest.segments[1:])
        )

    sign(index, without)
    assert [p.reason for p in verify(index).problems] == ["is not in the manifest"]


def test_the_command(index: Path) -> None:
    result = CliRunner().invoke(cli, ["verify", "--deep", "--index", str(index)])
    assert result.exit_code == 0
    assert result.stdout.startswith("generation 2 is sound: ")
    first(index, "lengths.npy").unlink()
    result = CliRunner().invoke(cli, ["verify", "--index", str(index)])
    assert result.exit_code == 1
    assert "lengths.npy: missing" in result.stdout
    assert result.stderr == "1 problem; `pipeline repair` mends what it can\n"
    result = CliRunner().invoke(cli, ["verify", "--json", "--index", str(index)])
    assert result.exit_code == 1
    assert [problem["reason"] for problem in json.loads(result.stdout)["problems"]] == [
        "missing (No such file or directory)"
    ]
