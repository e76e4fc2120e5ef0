"""Nights that go wrong in the ways that nights do: nothing is lost, and what is told is what happened."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.config import Config
from pipeline.errors import CorruptIndexError, GateRefusedError, IndexStoreError
from pipeline.index import manifest as manifests
from pipeline.index import staging, store
from pipeline.index.upkeep.repair import repair
from pipeline.index.upkeep.verify import verify
from pipeline.job import commit
from tests.faults import stub


def write(base: Path, name: str, *records: tuple[str, str]) -> None:
    path = base / "sources" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps({"_id": doc_id, "text": text}) + "\n" for doc_id, text in records))


def config_for(base: Path, **changes: object) -> Config:
    return stub.stub_config(base, **{"sources": [{"path": "sources"}], "segments": {}, **changes})


def live(config: Config) -> dict[str, store.LiveDocument]:
    index = config.index_path
    return store.live_documents(index, manifests.load(index, manifests.latest_generation(index)))


def spoil(config: Config, name: str, chunks: int) -> None:
    """Flip a bit in a file of the live segment that has so many chunks."""
    index = config.index_path
    segments = manifests.load(index, manifests.latest_generation(index)).segments
    (entry,) = (entry for entry in segments if entry.chunks == chunks)
    path = index / "segments" / entry.segment_id / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


ONE, TWO = ("one", "apples"), ("two", "pears")


def test_what_stands_in_another_file_now_survives_that_file(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ONE, TWO)
    config = config_for(tmp_path, gate={"max_reject_ratio": 1.0})
    stub.build(config)
    (tmp_path / "sources/a.jsonl").rename(tmp_path / "sources/b.jsonl")
    report = stub.build(config)
    assert (report.published, report.changed, report.encoded_chunks) == (True, 2, 0)
    assert {document.source for document in live(config).values()} == {"sources/b.jsonl"}
    (tmp_path / "sources/b.jsonl").write_bytes(b"\0 broken")
    report = stub.build(config)
    assert (report.published, len(report.rejections)) == (False, 1)
    assert live(config).keys() == {"one", "two"}


def test_dropping_damage_takes_out_only_what_is_live_in_it(tmp_path: Path) -> None:
    records = [(f"d{i}", f"text {i}") for i in range(6)]
    write(tmp_path, "a.jsonl", *records)
    config = config_for(tmp_path)
    stub.build(config)
    write(tmp_path, "a.jsonl", ("d0", "edited"), *records[1:])
    stub.build(config)
    spoil(config, "dense.faiss", 6)
    report = repair(config.index_path, drop_damaged=True)
    assert (report.published, report.dropped, report.lost) == (True, ("d1", "d2", "d3", "d4", "d5"), ())
    assert live(config).keys() == {"d0"}
    assert stub.build(config).added == 5
    assert verify(config.index_path, deep=True).ok


def test_damage_is_not_carried_on(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ONE, TWO)
    config = config_for(tmp_path)
    stub.build(config)
    spoil(config, "dense.faiss", 2)
    write(tmp_path, "b.jsonl", ("three", "plums"))
    with pytest.raises(CorruptIndexError, match=r"dense\.faiss: its checksum does not match"):
        stub.build(config)
    assert manifests.generations(config.index_path) == [1]


def test_a_kind_that_needs_training_takes_a_small_night(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", *((f"d{i}", f"text {i}") for i in range(40)))
    config = config_for(tmp_path, segments={"dense": "IVF8,SQ8"})
    stub.build(config)
    write(tmp_path, "b.jsonl", ("new", "one document more"))
    assert stub.build(config).added == 1
    large, small = manifests.load(config.index_path, 2).segments
    assert large.dense is not None
    assert small.dense is None
    with stub.open_index(config.index_path, settings=config.query) as index:
        assert index.search("one document more", 1, "dense")[0].doc_id == "new"
    assert verify(config.index_path, deep=True).ok


def test_deep_measures_an_approximate_index_of_other_rows(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", *((f"d{i}", f"text {i}") for i in range(200)))
    config = config_for(tmp_path, segments={"dense": "IVF8,SQ8"})
    stub.build(config)
    path = next(config.index_path.glob("segments/*/dense-rows.npy"))
    rows = np.load(path)
    np.save(path, rows[np.random.default_rng(0).permutation(len(rows))])
    stub.sign(config.index_path)
    assert verify(config.index_path).ok
    (problem,) = verify(config.index_path, deep=True).problems
    assert "of the true neighbours, the manifest says" in problem.reason


def test_a_held_segment_is_not_written_over(tmp_path: Path) -> None:
    config = config_for(tmp_path, retain=1)

    def rebuild(*records: tuple[str, str]) -> None:
        write(tmp_path, "a.jsonl", *records)
        stub.build(config, full=True)

    rebuild(ONE)
    with stub.open_index(config.index_path, settings=config.query) as reader:
        rebuild(TWO)
        rebuild(ONE)
        rebuild(("three", "plums"))
        assert [hit.doc_id for hit in reader.search("apples", 3)] == ["one"]


def test_publishing_judges_under_the_circumstances_of_the_build(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ONE, TWO)
    config = config_for(tmp_path, gate={"max_reject_ratio": 0.4})
    stub.build(config)
    write(tmp_path, "a.jsonl", ONE, TWO, ("three", "plums"), ("four", " "), ("five", " "), ("six", " "))
    with pytest.raises(GateRefusedError, match="3 of 6 documents were rejected"):
        stub.build(config)
    with pytest.raises(GateRefusedError, match="3 of 6 documents were rejected"):
        stub.publish(config)
    assert stub.publish(config_for(tmp_path, gate={"max_reject_ratio": 0.6})).documents == 3


def test_the_index_is_no_source_of_itself(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ONE)
    config = config_for(tmp_path, sources=[{"path": "."}])
    stub.build(config)
    write(tmp_path, "a.jsonl", TWO)
    report = stub.build(config, allow_deletes=True)
    assert (report.documents, report.rejections) == (1, ())
    assert live(config).keys() == {"two"}


def test_a_list_of_rejects_is_of_the_build_that_has_its_number(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ONE)
    config = config_for(tmp_path)
    stub.build(config)
    write(tmp_path, "b.jsonl", ("two", " "))
    report = stub.build(config)
    assert not report.published
    assert report.rejects_file is not None
    assert report.rejects_file.exists()
    write(tmp_path, "b.jsonl", TWO)
    assert stub.build(config).generation == 2
    assert not report.rejects_file.exists()


def test_encode_tells_what_ingest_rejected(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ONE, TWO, ("three", " "))
    config = config_for(tmp_path)
    staged = stub.ingest(config)
    report = stub.encode(config)
    assert [(one.source, one.reason) for one in report.rejections] == [("sources/a.jsonl:3", "empty")]
    assert report.rejects_file == staged.rejects_file


class Another(stub.OneChunk):
    fingerprint = stub.Fingerprint.of(kind="another")


def test_encode_refuses_what_was_cut_in_another_way(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ONE)
    config = config_for(tmp_path)
    stub.ingest(config)
    with pytest.raises(IndexStoreError, match="kind: stub → another; run `pipeline ingest` again"):
        stub.encode(config, chunker=Another())


def test_what_fails_after_the_publish_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a.jsonl", ONE)
    config = config_for(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error", "somewhere")

    monkeypatch.setattr(commit.store, "collect_garbage", fail)
    monkeypatch.setattr(commit, "write", fail)
    with caplog.at_level(logging.WARNING):
        assert stub.build(config).published
    assert "could not all be removed" in caplog.text
    assert "report is missing" in caplog.text


def test_what_others_leave_among_the_segments_stays(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ONE)
    config = config_for(tmp_path, retain=1)
    stub.build(config)
    (folder,) = (config.index_path / "segments").iterdir()
    (folder / "folder").mkdir()
    (config.index_path / "segments" / ".DS_Store").touch()
    write(tmp_path, "a.jsonl", ONE, TWO)
    stub.build(config)
    assert (folder / "folder").is_dir()
    assert (config.index_path / "segments" / ".DS_Store").exists()


def test_shards_of_texts_that_are_gone_do_not_pile_up(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ONE)
    config = config_for(tmp_path, gate={"expect": [{"query": "x", "documents": ["none"], "k": 1}]})
    for text in ("apples", "pears", "plums"):
        write(tmp_path, "a.jsonl", ("one", text))
        with pytest.raises(GateRefusedError):
            stub.build(config)
        assert len(staging.shard_folders(config.index_path)) == 1


def test_a_report_says_that_its_number_is_another_ones_now(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", ONE)
    good, strict = config_for(tmp_path), {"expect": [{"query": "x", "documents": ["none"], "k": 1}]}
    for text in ("apples", "pears"):
        write(tmp_path, "a.jsonl", ("one", text))
        stub.build(good)
    write(tmp_path, "a.jsonl", ("one", "plums"))
    with pytest.raises(GateRefusedError):
        stub.build(config_for(tmp_path, gate=strict))
    index = str(good.index_path)
    assert CliRunner().invoke(cli, ["rollback", "--index", index]).exit_code == 0
    told = " ".join(CliRunner().invoke(cli, ["report", "--index", index]).stdout.split())
    assert "generation 3 was refused" in told
    assert "the generation 3 that is there is another one: rollback to generation 1" in told
