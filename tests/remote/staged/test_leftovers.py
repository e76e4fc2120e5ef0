"""What is staged in a store is collected by age, unless it belongs to a plan that somebody works on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.job.cluster import shares
from pipeline.job.cluster.shares import Share
from pipeline.remote.collect import collect
from pipeline.remote.place import RemoteIndex
from tests.faults import stub


@pytest.fixture
def planned(tmp_path: Path) -> Config:
    """A plan in a store that is a folder, and half of its shards."""
    stub.write_texts(tmp_path, 0)
    remote = {"cache_folder": str(tmp_path / "cache"), "keep_hours": 2.0}
    config = stub.stub_config(tmp_path, index=f"file://{tmp_path}/store/handbook", remote=remote)
    stub.ingest(config)
    shares.plan_shards(config, encoder=stub.encoder(), chunker=stub.OneChunk())
    shares.encode_share(config, Share(0, 2), encoder=stub.encoder())
    return config


def of(config: Config) -> RemoteIndex:
    found = RemoteIndex.configured(config)
    assert found is not None
    return found


def staged(config: Config) -> set[str]:
    return {one.key for one in of(config).objects.list("staging/")}


def age(config: Config, part: str, hours: float) -> None:
    for path in (Path(of(config).url.removeprefix("file://")) / "staging").rglob("*"):
        if path.is_file() and part in str(path):
            os.utime(path, (path.stat().st_mtime - 3600 * hours,) * 2)


def test_a_plan_that_somebody_works_on_is_kept_whatever_its_age(planned: Config) -> None:
    before = staged(planned)
    age(planned, "", 10)
    shares.encode_share(planned, Share(1, 2), encoder=stub.encoder())
    collect(of(planned), retain=3)
    assert before < staged(planned)
    assert stub.encode(planned, commit_only=True).encoded_chunks == 0
    assert staged(planned) == set()


def test_a_plan_that_nobody_works_on_goes(planned: Config) -> None:
    collect(of(planned), retain=3)
    assert staged(planned), "young"
    age(planned, "", 10)
    collect(of(planned), retain=3)
    assert staged(planned) == set()


def test_a_plan_that_was_overtaken_goes_when_it_is_old(planned: Config, tmp_path: Path) -> None:
    before = staged(planned)
    other = planned.model_copy(
        update={"remote": planned.remote.model_copy(update={"cache_folder": str(tmp_path / "other")})}
    )
    stub.build(other)
    assert staged(planned) == before, "another's plan is not removed by who publishes"
    age(planned, "/plan", 10)
    age(planned, "/files/", 10)
    collect(of(planned), retain=3)
    assert all(key.startswith("staging/shards/") for key in staged(planned)), "shards that are young stay"


def test_nothing_staged_goes_where_a_plan_cannot_be_read(planned: Config) -> None:
    (key,) = (key for key in staged(planned) if key.startswith("staging/plans/"))
    of(planned).objects.write(key, b"{}")
    age(planned, "", 10)
    before = staged(planned)
    collect(of(planned), retain=3)
    assert staged(planned) == before
