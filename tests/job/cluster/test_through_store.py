"""A build whose workers see only the object store: faults of workers and of what they store, drivers that die."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.encode.shard_plan import PlannedShard
from pipeline.errors import EncoderError, ObjectStoreError
from pipeline.ingest.workers.program import Elsewhere, LocalProgram
from pipeline.job import build as builder
from pipeline.job.cluster import orders
from pipeline.job.cluster.workers import Answer
from pipeline.job.report.record import load as load_record
from pipeline.remote.layout import marker_key
from pipeline.remote.place import RemoteIndex
from pipeline.remote.staged import shard_store
from tests.faults import stub
from tests.job.cluster.fake_cluster import content

SECRET = "this-must-never-be-shown"


@dataclass
class FarWorkers:
    """Workers that know their orders only. `fault`: of the n-th shard that is given out.

    It may be `loses the store`, `truncates` what it stored, `lies` or `dies`.
    """

    told: str
    cache: Path
    faults: dict[int, str]
    names: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    given: int = 0
    members: dict[str, str] = field(default_factory=dict)
    said: list[Answer] = field(default_factory=list)

    def begin(self, shards: int) -> None:
        told = json.loads(self.told)
        told["remote"]["cache_folder"] = str(self.cache)  # another machine's
        self.worker = orders.ShardEncoder(json.dumps(told))
        assert json.loads(self.worker.problem()) is None
        for _ in range(min(2, shards)):
            self.members[f"w{next(self.names)}"] = ""

    def idle(self) -> Sequence[str]:
        return [name for name, shard in self.members.items() if not shard]

    def alive(self) -> int:
        return len(self.members)

    def give(self, worker: str, shard: PlannedShard) -> None:
        fault = self.faults.get(self.given, "")
        self.given += 1
        self.members[worker] = shard.key
        if fault == "driver dies":
            raise KeyboardInterrupt
        if fault in ("loses the store", "dies"):
            self.said.append(Answer(worker, shard.key, error=fault))
            return
        if fault == "lies":
            self.said.append(Answer(worker, shard.key, checksum="0" * 32))
            return
        answer = json.loads(self.worker.encode(orders.as_text(shard)))
        if fault == "truncates":
            told = json.loads(self.told)
            store = RemoteIndex.at(told["index"]).objects
            key = next(one.key for one in store.list(f"staging/shards/{shard.key}/") if "dense" in one.key)
            store.write(key, (store.read(key) or b"")[:-7])
        self.said.append(Answer(worker, shard.key, answer.get("checksum", ""), answer.get("error", "")))

    def answers(self, seconds: float) -> Sequence[Answer]:
        said, self.said = self.said, []
        for answer in said:
            self.members[answer.worker] = ""
            if answer.error == "dies":
                self.dismiss(answer.worker)
        return said

    def dismiss(self, worker: str) -> None:
        del self.members[worker]
        self.members[f"w{next(self.names)}"] = ""

    def close(self) -> None:
        """They are objects of this process."""


@dataclass
class FarCluster:
    """Machines whose caches are below `folder`."""

    folder: Path
    faults: dict[int, str] = field(default_factory=dict)
    made: list[FarWorkers] = field(default_factory=list)

    def workers(self, config: Config, told: str) -> FarWorkers:
        self.made.append(FarWorkers(told, self.folder / "worker-cache", self.faults))
        return self.made[-1]

    def readers(self, config: Config) -> Elsewhere:
        return Elsewhere(2, LocalProgram)

    def leave(self) -> None:
        """Nothing to leave."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FarCluster:
    """What `--cluster` reaches; its workers make the encoder of the build's stub."""
    made = FarCluster(tmp_path)

    @contextmanager
    def reached(name: str, injected: object) -> Iterator[FarCluster | None]:
        yield made if name else None

    monkeypatch.setattr(builder, "reached", reached)
    monkeypatch.setattr(orders, "load_encoder", lambda *given, **named: stub.encoder())
    return made


def machine(folder: Path, url: str) -> Config:
    folder.mkdir(exist_ok=True)
    stub.write_texts(folder, 0)
    remote = {"cache_folder": str(folder / "cache"), "timeout_seconds": 5.0}
    return stub.stub_config(folder, index=url, remote=remote)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store/handbook"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("local")
    stub.write_texts(folder, 0)
    stub.build(stub.stub_config(folder))
    return folder / "index"


def staged(url: str) -> list[str]:
    return [one.key for one in RemoteIndex.at(url).objects.list("staging/")]


def build(config: Config) -> Any:
    return stub.build(config, cluster="ray")


def test_workers_that_see_only_the_store_make_the_index_of_one_machine(
    tmp_path: Path, url: str, local: Path, cluster: FarCluster
) -> None:
    config = machine(tmp_path / "a", url)
    assert build(config).generation == 1
    assert content(config.index_path) == content(local)
    assert staged(url) == []
    record = load_record(config.index_path, 1)
    assert sum(share.shards for share in record.workers) == 6
    assert record.trouble_count == 0
    assert build(config).generation == 1, "nothing to do"
    assert len(cluster.made) == 1


def test_orders_name_the_store_and_no_credentials(
    tmp_path: Path, url: str, cluster: FarCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.setenv(name, SECRET)
    build(machine(tmp_path / "a", url))
    told = json.loads(cluster.made[0].told)
    assert told["index"] == url
    assert told["plan"]
    assert SECRET not in cluster.made[0].told


@pytest.mark.parametrize("fault", ["loses the store", "truncates", "lies", "dies"])
def test_shards_of_workers_that_fail_are_tried_elsewhere_and_named(
    tmp_path: Path, url: str, local: Path, cluster: FarCluster, fault: str
) -> None:
    cluster.faults = {0: fault, 3: fault}
    config = machine(tmp_path / "a", url)
    build(config)
    assert content(config.index_path) == content(local)
    record = load_record(config.index_path, 1)
    assert record.trouble_count == 2
    assert all(trouble.shard and trouble.reason for trouble in record.troubles)
    assert cluster.made[0].given == 8


def test_tries_are_bounded_and_what_is_stored_is_kept(
    tmp_path: Path, url: str, local: Path, cluster: FarCluster
) -> None:
    cluster.faults = dict.fromkeys(range(2, 100), "loses the store")
    config = machine(tmp_path / "a", url)
    with pytest.raises(EncoderError, match=r"was tried 3 times: .*loses the store"):
        build(config)
    stored = [key for key in staged(url) if key.startswith("staging/shards/") and key.endswith(".json")]
    assert len([key for key in stored if key.count("/") == 2]) == 2
    cluster.faults = {}
    elsewhere = machine(tmp_path / "b", url)
    build(elsewhere)
    assert cluster.made[1].given == 4, "what the other build's workers had stored is used"
    assert content(elsewhere.index_path) == content(local)


def test_a_driver_that_dies_is_followed_by_another_machine(
    tmp_path: Path, url: str, local: Path, cluster: FarCluster
) -> None:
    cluster.faults = {3: "driver dies"}
    with pytest.raises(KeyboardInterrupt):
        build(machine(tmp_path / "a", url))
    cluster.faults = {}
    elsewhere = machine(tmp_path / "b", url)
    build(elsewhere)
    assert sum(made.given for made in cluster.made) <= 8
    assert content(elsewhere.index_path) == content(local)
    assert staged(url) == []


def test_a_shard_that_vanished_is_not_believed(
    tmp_path: Path, url: str, local: Path, cluster: FarCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = machine(tmp_path / "a", url)
    removed: list[str] = []
    answers = FarWorkers.answers

    def losing(self: FarWorkers, seconds: float) -> Sequence[Answer]:
        said = answers(self, seconds)
        if said and not removed:
            RemoteIndex.at(url).objects.delete(marker_key(said[0].shard))
            removed.append(said[0].shard)
        return said

    monkeypatch.setattr(FarWorkers, "answers", losing)
    build(config)
    (trouble,) = load_record(config.index_path, 1).troubles
    assert (trouble.shard, trouble.reason) == (removed[0], "answered, but nothing is stored")
    assert content(config.index_path) == content(local)


def test_a_store_that_cannot_be_written_is_told_before_workers_start(
    tmp_path: Path, url: str, cluster: FarCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.remote.objects.Objects.create", lambda *given: False)
    with pytest.raises(ObjectStoreError, match="does not honour conditional puts"):
        build(machine(tmp_path / "a", url))
    assert cluster.made == []


def test_several_shards_are_fetched_at_a_time_and_no_more_than_may_be(
    tmp_path: Path, url: str, local: Path, cluster: FarCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fetch waits until three are under way, while workers get their next shards; a fourth never is."""
    together, bring = threading.Barrier(3, timeout=60), shard_store.bring
    under_way, most, lock = 0, 0, threading.Lock()

    def waiting(*given: Any) -> str:
        nonlocal under_way, most
        if not cluster.made:  # what is there already is looked for first
            return bring(*given)
        with lock:
            under_way += 1
            most = max(most, under_way)
        together.wait()
        reason = bring(*given)
        with lock:
            under_way -= 1
        return reason

    monkeypatch.setattr(shard_store, "bring", waiting)
    config = machine(tmp_path / "a", url)
    config = config.model_copy(update={"remote": config.remote.model_copy(update={"transfers": 3})})
    build(config)
    assert most == 3
    assert content(config.index_path) == content(local)
    record = load_record(config.index_path, 1)
    assert (sum(share.shards for share in record.workers), record.trouble_count) == (6, 0)


def test_a_machine_that_loses_the_store_while_it_fetches_ends_the_build_and_the_next_goes_on(
    tmp_path: Path, url: str, local: Path, cluster: FarCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, bring = machine(tmp_path / "a", url), shard_store.bring

    def lost(*given: Any) -> str:
        if cluster.made and cluster.made[-1].given > 3:
            raise ObjectStoreError("the store does not answer")
        return bring(*given)

    with monkeypatch.context() as patch:
        patch.setattr(shard_store, "bring", lost)
        with pytest.raises(ObjectStoreError, match="the store does not answer"):
            build(config)
    build(config)
    assert content(config.index_path) == content(local)
