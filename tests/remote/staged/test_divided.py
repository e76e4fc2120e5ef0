"""An encoding divided through an object store: machines with nothing in common but its address, and faults."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config
from pipeline.encode import shard_plan
from pipeline.encode.shard_plan import ShardPlan
from pipeline.errors import IndexStoreError, ObjectStoreError
from pipeline.index import staging
from pipeline.job import build as builder
from pipeline.job.cluster import shares
from pipeline.job.cluster.shares import Share, ShareReport
from pipeline.records import Encoded
from pipeline.remote import objects
from pipeline.remote.place import RemoteIndex
from pipeline.remote.pull import pull
from tests.faults import stub
from tests.job.cluster.fake_cluster import content
from tests.remote.conftest import KEY, SECRET
from tests.remote.proxy import Proxy
from tests.support.collection import config_for

ALWAYS = 10_000


@pytest.fixture(autouse=True)
def few_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "RETRIES", 2)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index that one machine makes of the same texts in a folder."""
    folder = tmp_path_factory.mktemp("local")
    stub.write_texts(folder, 0)
    stub.build(stub.stub_config(folder))
    return folder / "index"


def machine(folder: Path, url: str, timeout_seconds: float = 5.0) -> Config:
    """A machine with a cache of its own, and with the sources, which only the planner reads."""
    folder.mkdir(exist_ok=True)
    stub.write_texts(folder, 0)
    remote = {"cache_folder": str(folder / "cache"), "timeout_seconds": timeout_seconds}
    return stub.stub_config(folder, index=url, remote=remote)


def plan(config: Config) -> ShardPlan:
    stub.ingest(config)
    return shares.plan_shards(config, encoder=stub.encoder(), chunker=stub.OneChunk())


def work(config: Config, share: str = "0/1") -> ShareReport:
    return shares.encode_share(config, Share.parsed(share), encoder=stub.encoder())


def commit(config: Config) -> None:
    assert stub.encode(config, commit_only=True).encoded_chunks == 0


def of(config: Config) -> RemoteIndex:
    found = RemoteIndex.configured(config)
    assert found is not None
    return found


def staged(config: Config) -> list[str]:
    return [one.key for one in of(config).objects.list("staging/")]


def published(config: Config) -> Path:
    pull(of(config))
    return config.index_path


@pytest.mark.parametrize("at", ["the planner", "another machine"])
def test_machines_with_nothing_in_common_make_the_index_of_one(
    tmp_path: Path, bucket_url: str, proxy: Proxy, local: Path, at: str
) -> None:
    planner = machine(tmp_path / "a", bucket_url)
    assert len(plan(planner).shards) == 6
    workers = [machine(tmp_path / name, bucket_url) for name in ("b", "c")]
    assert [work(workers[0], "0/2"), work(workers[1], "1/2")] == [ShareReport(3, 12, 0)] * 2
    assert work(workers[1], "0/2") == ShareReport(0, 0, 3), "what the other has stored is skipped"
    for worker in workers:
        assert not worker.index_path.exists(), "a worker keeps nothing"
        assert list((tmp_path / "b/cache").rglob("*.npy")) == []
    last = planner if at == "the planner" else machine(tmp_path / "d", bucket_url)
    commit(last)
    assert content(published(last)) == content(local)
    assert stub.answers(published(machine(tmp_path / "e", bucket_url))) == stub.answers(local)
    assert staged(last) == [], "the staging area goes with the publish"
    assert not (last.index_path / staging.STAGING).exists()


@pytest.mark.parametrize("kind", ["refuse", "cut", "slow", "lost"])
@pytest.mark.parametrize(("method", "part"), [("GET", "/staging/"), ("PUT", "/staging/")])
def test_faults_of_the_store_change_nothing(
    tmp_path: Path, bucket_url: str, proxy: Proxy, local: Path, kind: str, method: str, part: str
) -> None:
    planner = machine(tmp_path / "a", bucket_url)
    worker = machine(tmp_path / "b", bucket_url, timeout_seconds=1.0)
    faults = []
    for step in (lambda: plan(planner), lambda: work(worker), lambda: commit(planner)):
        faults.append(proxy.fail(kind, method, part, times=2))
        step()
        proxy.faults.clear()
    assert len(faults[1].seen) == 2
    assert content(planner.index_path) == content(local)


@pytest.mark.parametrize("times", [1, ALWAYS])
def test_a_marker_whose_answer_got_lost_is_looked_up(
    tmp_path: Path, bucket_url: str, proxy: Proxy, local: Path, times: int
) -> None:
    planner = machine(tmp_path / "a", bucket_url)
    marker = f"/staging/shards/{plan(planner).shards[0].key}.json"
    lost = proxy.fail("lost", "PUT", marker, times)
    assert work(machine(tmp_path / "b", bucket_url)).shards == 6
    assert lost.seen[0].conditional
    commit(planner)
    assert content(planner.index_path) == content(local)


def test_nothing_relies_on_lists(tmp_path: Path, bucket_url: str, proxy: Proxy, local: Path) -> None:
    planner, worker = machine(tmp_path / "a", bucket_url), machine(tmp_path / "b", bucket_url)
    for config in (planner, worker):
        of(config).objects.list("staging/")
        of(config).objects.list("staging/shards/")
    proxy.fail("stale", "GET", "list-type=2", ALWAYS)
    plan(planner)
    assert work(worker).shards == 6
    commit(planner)
    assert content(planner.index_path) == content(local)
    proxy.faults.clear()
    assert staged(planner) != [], "what an old list hid is left for a collection"


def test_a_shard_is_there_only_with_its_marker(tmp_path: Path, bucket_url: str, proxy: Proxy, local: Path) -> None:
    planner, worker = machine(tmp_path / "a", bucket_url), machine(tmp_path / "b", bucket_url)
    first = plan(planner).shards[0].key
    proxy.fail("refuse", "PUT", f"/staging/shards/{first}/", ALWAYS)
    with pytest.raises(ObjectStoreError, match="answers 503"):
        work(worker)
    assert not any(f"{first}.json" in key for key in staged(worker))
    with pytest.raises(IndexStoreError, match="6 shards missing"):
        commit(planner)
    proxy.faults.clear()
    assert work(worker) == ShareReport(6, 24, 0)
    commit(planner)
    assert content(planner.index_path) == content(local)


@pytest.mark.parametrize("damage", ["truncated", "garbled", "gone", "marker"])
def test_a_damaged_shard_is_refused_and_encoded_again(
    tmp_path: Path, bucket_url: str, local: Path, damage: str
) -> None:
    planner, worker = machine(tmp_path / "a", bucket_url), machine(tmp_path / "b", bucket_url)
    first = plan(planner).shards[0].key
    work(worker)
    store = of(worker).objects
    key = next(one for one in staged(worker) if one.startswith(f"staging/shards/{first}/") and "dense" in one)
    data = store.read(key)
    assert data is not None
    match damage:
        case "truncated":
            store.write(key, data[:-9])
        case "garbled":
            store.write(key, data[:-1] + bytes([data[-1] ^ 1]))
        case "gone":
            store.delete(key)
        case "marker":
            store.write(f"staging/shards/{first}.json", b'{"files": [], "checksum": ""}')
    with pytest.raises(IndexStoreError, match=f"1 shard missing: {first}; run the workers again"):
        commit(planner)
    assert work(worker) == ShareReport(1, 4, 5)
    commit(planner)
    assert content(planner.index_path) == content(local)


@pytest.mark.parametrize("damage", ["truncated", "garbled", "gone"])
def test_damaged_texts_are_not_encoded_and_are_uploaded_by_the_next_plan(
    tmp_path: Path, bucket_url: str, local: Path, damage: str
) -> None:
    planner, worker = machine(tmp_path / "a", bucket_url), machine(tmp_path / "b", bucket_url)
    plan(planner)
    store = of(worker).objects
    key = next(one for one in staged(worker) if one.endswith("part-00000.parquet"))
    data = store.read(key)
    assert data is not None
    changed = {"truncated": data[:-9], "garbled": b"x" * len(data), "gone": b""}[damage]
    store.write(key, changed) if changed else store.delete(key)
    with pytest.raises(IndexStoreError, match=r"part-00000\.parquet: (is not what was|gone, though it is) planned"):
        work(worker)
    shares.plan_shards(planner, encoder=stub.encoder(), chunker=stub.OneChunk())
    work(worker)
    commit(planner)
    assert content(planner.index_path) == content(local)


def test_two_workers_with_one_shard_do_no_harm(tmp_path: Path, bucket_url: str, local: Path) -> None:
    planner = machine(tmp_path / "a", bucket_url)
    workers = [machine(tmp_path / name, bucket_url) for name in ("b", "c", "d")]
    plan(planner)
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(work, workers))
    assert sum(report.chunks for report in done) >= 24
    assert {report.shards + report.found for report in done} == {6}
    commit(planner)
    assert content(planner.index_path) == content(local)


def test_a_store_that_cannot_be_written_is_told_before_anything_is_encoded(
    tmp_path: Path, bucket_url: str, proxy: Proxy
) -> None:
    planner, worker = machine(tmp_path / "a", bucket_url), machine(tmp_path / "b", bucket_url)
    plan(planner)
    proxy.fail("refuse", "PUT", "", ALWAYS)
    with pytest.raises(ObjectStoreError, match="answers 503") as error:
        shares.encode_share(worker, Share(0, 1), encoder=stub.encoder(Unasked()))
    assert SECRET not in str(error.value)
    with pytest.raises(ObjectStoreError, match="answers 503"):
        shares.plan_shards(planner, encoder=stub.encoder(Unasked()), chunker=stub.OneChunk())
    with pytest.raises(ObjectStoreError, match="answers 503"):
        commit(planner)


class Unasked(stub.HashedEncoder):
    """Must not be asked."""

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        raise AssertionError("encoded")


def test_what_is_stored_names_no_credentials(
    tmp_path: Path, bucket_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="pipeline")
    planner = machine(tmp_path / "a", bucket_url)
    plan(planner)
    work(machine(tmp_path / "b", bucket_url))
    store = of(planner).objects
    told = [store.read(key) or b"" for key in staged(planner)]
    assert told
    for secret in (KEY, SECRET):
        assert not any(secret.encode() in data for data in told)
        assert secret not in caplog.text


def test_without_a_plan_nothing_is_encoded(tmp_path: Path, bucket_url: str) -> None:
    with pytest.raises(IndexStoreError, match="no encoding is planned there"):
        work(machine(tmp_path / "b", bucket_url))
    with pytest.raises(IndexStoreError, match="no encoding is planned there"):
        commit(machine(tmp_path / "b", bucket_url))


def test_a_commit_of_something_else_than_what_is_planned_is_refused(tmp_path: Path, bucket_url: str) -> None:
    planner, other = machine(tmp_path / "a", bucket_url), machine(tmp_path / "b", bucket_url)
    plan(planner)
    stub.write_texts(tmp_path / "b", 1)
    stub.ingest(other)
    with pytest.raises(IndexStoreError, match="something else is staged here than what is planned"):
        commit(other)


def test_a_plan_takes_along_what_was_encoded_before_it(tmp_path: Path, bucket_url: str, local: Path) -> None:
    planner = machine(tmp_path / "a", bucket_url)
    first = plan(planner).shards[0]
    index = planner.index_path
    shard_plan.encode_planned(index, shard_plan.load(index).terms, first, stub.encoder(), planner.segments)
    assert len(shares.plan_shards(planner, encoder=stub.encoder(), chunker=stub.OneChunk()).shards) == 5
    work(machine(tmp_path / "b", bucket_url))
    last = machine(tmp_path / "c", bucket_url)
    commit(last)
    assert content(last.index_path) == content(local)


def test_given_vectors_and_rejected_documents_travel_too(tmp_path: Path, bucket_url: str) -> None:
    vectors = [[float(i == j) for j in range(8)] for i in range(8)] + [[float("nan")] * 8]
    columns = {"id": [f"d{i}" for i in range(9)], "text": [f"text {i}" for i in range(9)], "vector": vectors}
    made = []
    for name in ("a", "b", "c"):
        (tmp_path / name / "documents").mkdir(parents=True)
        settings: dict[str, Any] = {
            "encoder": {"model": "precomputed", "dimension": 8},
            "encode": {"shard_chunks": 2},
            "remote": {"cache_folder": str(tmp_path / name / "cache")},
        }
        made.append(config_for(tmp_path / name, index=bucket_url, **settings))
    pq.write_table(pa.table(columns), tmp_path / "a/documents/all.parquet")
    planner, worker, last = made
    builder.ingest(planner)
    assert len(shares.plan_shards(planner).shards) > 1
    assert any(key.endswith(".given.parquet") for key in staged(planner))
    shares.encode_share(worker, Share(0, 1))
    report = builder.encode(last, commit_only=True)
    assert (report.chunks, report.encoded_chunks, len(report.rejections)) == (8, 0, 1)
