"""Nights do not pile up segments, and compaction changes no answer."""

from __future__ import annotations

from pathlib import Path

from pipeline.index import manifest as manifests
from pipeline.index.upkeep.compact import wants_compaction
from pipeline.index.upkeep.verify import verify
from pipeline.job.report.record import load
from tests.faults import stub
from tests.support.collection import write_documents

NIGHTS = 16


def test_segments_are_merged_eight_at_a_time_and_answers_stay(tmp_path: Path) -> None:
    """One new document a night: the eighth segment makes them one."""
    large = {"max_chunks": 1000, "dense": "auto"}
    merged = stub.stub_config(tmp_path, index="merged", segments=large)
    piled = stub.stub_config(tmp_path, index="piled", segments=large | {"auto_compact": False})
    counts = []
    for night in range(1, NIGHTS + 1):
        write_documents(tmp_path / "documents", {f"{night}.txt": f"Night {night} brings apples and pears."})
        for config in (merged, piled):
            stub.build(config)
        found = [manifests.load(config.index_path, night).segments for config in (merged, piled)]
        counts.append(tuple(map(len, found)))
    cycle = [1, 2, 3, 4, 5, 6, 7]
    assert counts == list(zip((cycle * 3)[:NIGHTS], range(1, NIGHTS + 1), strict=True))
    assert stub.answers(merged.index_path) == stub.answers(piled.index_path)
    assert verify(merged.index_path, deep=True).ok


def test_what_is_mostly_deleted_is_dropped_in_the_same_commit(tmp_path: Path) -> None:
    config = stub.stub_config(tmp_path, segments={"max_chunks": 1000, "dense": "auto"})
    stub.write_texts(tmp_path, 0, count=10)
    stub.build(config)
    stub.write_texts(tmp_path, 4, count=10)
    stub.build(config)
    live = manifests.load(config.index_path, 2)
    assert manifests.generations(config.index_path) == [1, 2]
    assert sum(entry.deleted_chunks for entry in live.segments) == 0
    assert wants_compaction(live) == []
    assert "compact" in {stage.name for stage in load(config.index_path, 2).stages}
