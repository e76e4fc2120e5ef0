"""What a worker sees of a plan, in a folder and in a store: the same, and nothing is left on its disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.errors import CorruptIndexError, EncoderError, IndexStoreError
from pipeline.index import staging
from pipeline.job.cluster import shares
from pipeline.job.cluster.places import InFolder, InStore, place_of
from pipeline.remote.place import RemoteIndex
from tests.faults import stub


def planned(folder: Path, index: str) -> Config:
    stub.write_texts(folder, 0)
    config = stub.stub_config(folder, index=index, remote={"cache_folder": str(folder / "cache")})
    stub.ingest(config)
    shares.plan_shards(config, encoder=stub.encoder(), chunker=stub.OneChunk())
    return config


def test_a_store_shows_the_plan_and_takes_the_shards_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    near = planned(tmp_path, "index")
    far = planned(tmp_path / "far", f"file://{tmp_path}/store/handbook")
    one, other = place_of(near), place_of(far)
    assert isinstance(one, InFolder)
    assert isinstance(other, InStore)
    plan = one.plan()
    assert other.plan() == plan
    for place in (one, other):
        place.check()
        assert place.encode(plan.terms, plan.shards[0], stub.encoder(), near.segments)
        assert not place.encode(plan.terms, plan.shards[0], stub.encoder(), near.segments)
    assert other.checksum(plan.shards[0]) == one.checksum(plan.shards[0])
    assert staging.shard_folders(far.index_path) == []
    assert list(far.index_path.parent.glob(".worker-*")) == []
    with pytest.raises(IndexStoreError, match="is not there any more"):
        other.checksum(plan.shards[1])


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="has to see the index under this path"):
        InFolder(tmp_path).check()
    remote = RemoteIndex.at(f"file://{tmp_path}/store/handbook")
    remote.objects.prepare()
    with pytest.raises(IndexStoreError, match="no encoding is planned there"):
        InStore(remote).check()
    with pytest.raises(CorruptIndexError, match=r"plan\.json: is damaged"):
        InStore(remote, "../x").check()


def test_what_killed_workers_left_goes_after_a_week(tmp_path: Path) -> None:
    config = planned(tmp_path, f"file://{tmp_path}/store/handbook")
    old, young = (config.index_path.parent / f".worker-{name}" for name in ("old", "young"))
    for folder in (old, young):
        (folder / "staging").mkdir(parents=True)
    os.utime(old, (time.time() - 8 * 24 * 3600,) * 2)
    place_of(config).plan()
    assert not old.exists()
    assert young.exists()
