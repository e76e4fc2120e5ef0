"""Building an approximate lexical index: recall that is met or reported, and files that are refused when spoilt."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ConfigError, CorruptIndexError, IndexStoreError
from pipeline.index.choices import LexicalChoice
from pipeline.index.lexical import seismic, seismic_writer
from pipeline.index.lexical.component import LEXICAL
from pipeline.index.lexical.search import SparseQuery
from pipeline.index.lexical.seismic import SEISMIC_FILE
from pipeline.index.segment import SEGMENTS, Segment
from pipeline.query.legs.lexical import search_segment
from pipeline.records import SparseRows
from tests.index.learned import COUNT, Built, learned_rows, write

pytest.importorskip("seismic")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    index, rows = tmp_path_factory.mktemp("seismic"), learned_rows()
    return Built(index, rows, write(index, rows))


def test_building_is_deterministic(built: Built, tmp_path: Path) -> None:
    again = write(tmp_path, built.rows)
    assert again == built.entry


def test_bm25_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match=r"statistics of the whole live index.*segments\.lexical: exact"):
        seismic_writer.check(LexicalChoice("seismic"), "bm25")


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_cut_file_is_corrupt(built: Built, tmp_path: Path, size: int) -> None:
    entry = write(tmp_path, built.rows)
    path = tmp_path / SEGMENTS / entry.segment_id / SEISMIC_FILE
    path.write_bytes(path.read_bytes()[:size])
    segment = Segment(tmp_path, dataclasses.replace(entry, files=()))
    with pytest.raises(CorruptIndexError, match=rf"{SEISMIC_FILE}: .*pipeline repair"):
        search_segment(segment, built.query(3), 10, None, None)
    assert seismic.load_failure(path) is not None
    path.unlink()
    with pytest.raises(CorruptIndexError, match=SEISMIC_FILE):
        search_segment(segment, built.query(3), 10, None, None)


def test_a_file_of_another_segment_is_corrupt(built: Built, tmp_path: Path) -> None:
    other = write(tmp_path, learned_rows(1200))
    path = tmp_path / SEGMENTS / other.segment_id / SEISMIC_FILE
    path.write_bytes((built.index / SEGMENTS / built.entry.segment_id / SEISMIC_FILE).read_bytes())
    segment = Segment(tmp_path, dataclasses.replace(other, files=()))
    with pytest.raises(CorruptIndexError, match=f"holds {COUNT} chunks"):
        search_segment(segment, built.query(3), 10, None, None)


def test_what_ends_the_other_process_is_a_reason(tmp_path: Path) -> None:
    assert seismic.in_child("pass") is None
    assert seismic.in_child("import os; os.abort()") == "the library ended its process with SIGABRT"
    assert seismic.in_child("sys.exit('no\\nroom')") == "room"


def test_a_failed_build_leaves_no_segment(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seismic, "in_child", lambda *_: "no space left")
    with pytest.raises(IndexStoreError, match=rf"{SEISMIC_FILE}: cannot be built.*\(no space left\)"):
        write(tmp_path, built.rows)
    assert list((tmp_path / SEGMENTS).iterdir()) == []


def test_a_target_out_of_reach_is_reported(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(seismic_writer, "_EFFORTS", ((1, 1.0), (2, 1.0)))
    entry = write(tmp_path, built.rows, 1.0)
    assert entry.lexical is not None
    assert (entry.lexical.query_cut, entry.lexical.recall < 1) == (2, True)
    assert "recall_target is 1.000" in caplog.text


@pytest.mark.parametrize("rows", [[], [{}, {}, {}]])
def test_without_lexical_weights_there_is_nothing_to_write(tmp_path: Path, rows: list[dict[int, float]]) -> None:
    entry = write(tmp_path, SparseRows.from_dicts(rows))
    assert entry.lexical is None
    assert SEISMIC_FILE not in {file.name for file in entry.files}


def test_a_lone_row_and_huge_weights(tmp_path: Path) -> None:
    """The library keeps weights as fp16, which ends at 65,504."""
    entry = write(tmp_path, SparseRows.from_dicts([{7: 1e6, 2**64 - 1: 3e5}]))
    assert entry.lexical is not None
    assert entry.lexical.recall == 1.0
    index = seismic.SeismicIndex(tmp_path / SEGMENTS / entry.segment_id, entry.lexical)
    query = SparseQuery(np.array([7], np.uint64), np.ones(1, np.float32))
    assert index.candidates(Segment(tmp_path, entry).open(LEXICAL), query, 10, 4, 1.0).tolist() == [0]
