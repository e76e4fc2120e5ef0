"""The plan of an encoding: what it says is what is missing, and nobody believes one that was altered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.encode import shard_plan
from pipeline.encode.shard_plan import PlannedShard, ShardPlan, Terms
from pipeline.errors import CorruptIndexError, IncompatibleIndexError, IndexStoreError
from pipeline.index import staging
from pipeline.job.cluster.shares import plan_shards
from tests.faults import stub


def terms(**changes: dict[str, str]) -> Terms:
    usual = {"package": {"version": "1"}, "config.yaml": {"segments.dense": "auto"}, "dense": {"kind": "a"}}
    return Terms(usual | changes)


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = ShardPlan(terms(), (PlannedShard("k", "ingest/part-00000.parquet", "0" * 32, 7),))
    shard_plan.save(tmp_path, plan)
    assert shard_plan.load(tmp_path) == plan
    assert plan.chunks == 7


def test_no_plan_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(IndexStoreError, match=r"plan\.json: no encoding is planned; run `pipeline ingest` and"):
        shard_plan.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda plan: plan["shards"][0].update(count=8), "checksum does not match"),
        (lambda plan: plan.pop("checksum"), "checksum"),
        (lambda plan: plan.update(terms=5), "checksum does not match"),
    ],
)
def test_an_edited_plan_is_refused(tmp_path: Path, change: object, says: str) -> None:
    shard_plan.save(tmp_path, ShardPlan(terms(), (PlannedShard("k", "t", "0", 7),)))
    path = shard_plan.plan_path(tmp_path)
    payload = json.loads(path.read_bytes())
    change(payload)  # type: ignore[operator]
    path.write_text(json.dumps(payload))
    with pytest.raises(CorruptIndexError, match=f"damaged .*{says}.*--plan` again"):
        shard_plan.load(tmp_path)


@pytest.mark.parametrize("texts", ["../../elsewhere", "/etc/passwd", "ingest/../../x"])
def test_a_plan_names_no_file_outside_of_the_index(tmp_path: Path, texts: str) -> None:
    shard_plan.save(tmp_path, ShardPlan(terms(), (PlannedShard("k", texts, "0", 7),)))
    with pytest.raises(CorruptIndexError, match="outside of the index"):
        shard_plan.load(tmp_path)


@pytest.mark.parametrize("cut", [0, 1, 40])
def test_a_truncated_plan_is_refused(tmp_path: Path, cut: int) -> None:
    shard_plan.save(tmp_path, ShardPlan(terms(), ()))
    path = shard_plan.plan_path(tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CorruptIndexError, match="damaged"):
        shard_plan.load(tmp_path)


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"package": {"version": "2"}}, "package: version: 1 → 2"),
        ({"config.yaml": {"segments.dense": "Flat"}}, r"here\): segments\.dense: auto → Flat"),
        ({"dense": {"kind": "b"}}, "dense: kind: a → b"),
        ({"lexical": {"kind": "bm25"}}, r"lexical: kind: \(absent\) → bm25"),
    ],
)
def test_other_terms_are_refused_and_both_are_named(own: dict[str, dict[str, str]], says: str) -> None:
    terms().check(terms(), "this worker")
    with pytest.raises(IncompatibleIndexError, match=f"^this worker does not fit.*{says}"):
        terms().check(terms(**own), "this worker")


def test_the_plan_lists_each_missing_text_once(tmp_path: Path) -> None:
    config = stub.stub_config(tmp_path)
    stub.write_texts(tmp_path, 0, 10)
    (tmp_path / "documents" / "twin.txt").write_text((tmp_path / "documents" / "003.txt").read_text())
    staged = stub.ingest(config).staged
    plan = plan_shards(config, encoder=stub.encoder(), chunker=stub.OneChunk())
    assert (staged.chunks, plan.chunks) == (11, 10)
    assert [shard.count for shard in plan.shards] == [4, 4, 2], "shards of four, the twin left out of the last"
    assert shard_plan.missing(config.index_path, plan) == list(plan.shards)
    prints = [fingerprint.digest for fingerprint in plan.terms.prints]
    for shard in plan.shards:
        hashes = shard_plan.read_texts(config.index_path, shard)
        assert hashes.is_file()
    assert len(prints) == len(set(prints)) == 3, "dense, multi-vectors and BM25"
    path = shard_plan.read_texts(config.index_path, plan.shards[-1])
    assert path == staging.texts_file(config.index_path, plan.shards[-1].key), (
        "part of a part has a file of its own"
    )
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(CorruptIndexError, match="is not what was planned"):
        shard_plan.read_texts(config.index_path, plan.shards[-1])
    path.unlink()
    with pytest.raises(CorruptIndexError, match="No such file or directory, though it is planned"):
        shard_plan.read_texts(config.index_path, plan.shards[-1])
