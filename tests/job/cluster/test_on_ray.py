"""Builds on a real Ray of two CPUs: the same index, workers that are killed, orders that do not fit."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config, parse_config
from pipeline.errors import EncoderError, IncompatibleIndexError, MissingDependencyError, SourceError
from pipeline.index import staging
from pipeline.ingest import readers
from pipeline.ingest.workers import ahead
from pipeline.ingest.workers.jobs import Job
from pipeline.ingest.workers.messages import Message
from pipeline.ingest.workers.process import WorkerProcess
from pipeline.job import build as builder
from pipeline.job.cluster import on_ray
from pipeline.job.cluster.on_ray import Room
from pipeline.job.cluster.readers_on_ray import RayProgram
from pipeline.job.report import record as records
from pipeline.remote.objects import Objects
from tests.job.cluster.fake_cluster import content
from tests.support.collection import config_for

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of a bucket of an S3 server, which the machines of the cluster know by their environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/shared", method="PUT")).close()
    known = {"AWS_ACCESS_KEY_ID": "of-a-test", "AWS_SECRET_ACCESS_KEY": "of-a-test", "AWS_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (known | {"AWS_ENDPOINT_URL": address}).items():
            patch.setenv(name, value)
        yield "s3://shared"
    server.stop()


@pytest.fixture(scope="module")
def ray(bucket: str) -> Iterator[Any]:
    """Two CPUs, without a dashboard, statistics, or anything from outside."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local",  # not one that happens to run on this machine
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=80_000_000,
        _node_ip_address="127.0.0.1",
    )
    yield ray
    ray.shutdown()


def texts(folder: Path, count: int = 24) -> Config:
    """Documents in shards of two, encoded by BM25 alone, which loads in a moment."""
    (folder / "documents").mkdir(parents=True)
    for number in range(count):
        text = f"A document about number {number} and {('apples', 'pears')[number % 2]}."
        (folder / "documents" / f"{number:03d}.txt").write_text(text)
    return config_for(folder, encoder={"model": "none"}, encode={"shard_chunks": 2}, cluster={"cpus": 1})


def test_a_build_on_ray_is_a_local_build(ray: Any, tmp_path: Path) -> None:
    here, there = texts(tmp_path / "here"), texts(tmp_path / "there")
    builder.build(here)
    report = builder.build(there, cluster="ray")
    assert (report.encoded_chunks, report.chunks) == (24, 24)
    assert content(there.index_path) == content(here.index_path)


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_a_build_on_ray_through_a_store_is_a_local_build(ray: Any, bucket: str, tmp_path: Path, kind: str) -> None:
    here, there = texts(tmp_path / "here"), texts(tmp_path / "there")
    builder.build(here)
    remote = there.remote.model_copy(update={"cache_folder": str(tmp_path / "cache")})
    store = f"file://{tmp_path}/store" if kind == "folder" else bucket
    there = there.model_copy(update={"index": f"{store}/handbook", "remote": remote})
    report = builder.build(there, cluster="ray")
    assert (report.encoded_chunks, report.chunks) == (24, 24)
    assert content(there.index_path) == content(here.index_path)
    record = records.load(there.index_path)
    assert (sum(share.shards for share in record.workers), record.troubles) == (12, ())
    keys = [stored.key for stored in Objects(f"{store}/handbook").list("")]
    assert keys
    assert not [key for key in keys if key.startswith("staging/")]
    record = records.load(there.index_path)
    assert sum(share.shards for share in record.workers) == 12
    assert len(record.workers) == 2
    assert record.troubles == ()
    assert ray.is_initialized(), "a build leaves a cluster as it found it"
    again = builder.build(there, cluster="ray")
    assert not again.published


def test_workers_that_are_killed_are_replaced(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = texts(tmp_path / "here", 60), texts(tmp_path / "there", 60)
    builder.build(here)
    killed: list[str] = []
    give = on_ray.RayWorkers.give

    def deadly(self: on_ray.RayWorkers, worker: str, shard: Any) -> None:
        give(self, worker, shard)
        if len(killed) < 3:
            pid = int(worker.rsplit(":", 1)[1].rstrip(")"))
            os.kill(pid, signal.SIGKILL)
            killed.append(worker)

    monkeypatch.setattr(on_ray.RayWorkers, "give", deadly)
    report = builder.build(there, cluster="ray")
    assert (len(killed), report.chunks) == (3, 60)
    assert content(there.index_path) == content(here.index_path)
    troubles = records.load(there.index_path).troubles
    assert {trouble.worker for trouble in troubles} <= set(killed)
    assert all("worker process has died" in trouble.reason for trouble in troubles)
    deadline = time.monotonic() + 20
    while ray.available_resources().get("CPU") != 2.0:
        assert time.monotonic() < deadline, "actors are left"
        time.sleep(0.05)


def given_vectors(folder: Path, count: int = 12) -> Config:
    """Rows with a text and a vector each, in shards of two."""
    (folder / "documents").mkdir(parents=True)
    rows = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    names, words = [f"d{n:02d}" for n in range(count)], [f"fish number {n}" for n in range(count)]
    table = pa.table({"id": names, "text": words, "vector": pa.array(list(rows), pa.list_(pa.float32()))})
    pq.write_table(table, folder / "documents/v.parquet")
    encoder = {"model": "precomputed", "dimension": 4}
    return config_for(folder, encoder=encoder, encode={"shard_chunks": 2}, cluster={"cpus": 1})


@pytest.mark.parametrize("through_a_store", [False, True])
@pytest.mark.usefixtures("read_there")
def test_vectors_that_sources_give_reach_workers(ray: Any, tmp_path: Path, through_a_store: bool) -> None:
    here, there = given_vectors(tmp_path / "here"), given_vectors(tmp_path / "there")
    builder.build(here)
    if through_a_store:
        remote = there.remote.model_copy(update={"cache_folder": str(tmp_path / "cache")})
        there = there.model_copy(update={"index": f"file://{tmp_path}/store/handbook", "remote": remote})
    report = builder.build(there, cluster="ray")
    assert (report.encoded_chunks, report.chunks) == (12, 12)
    assert content(there.index_path) == content(here.index_path)
    record = records.load(there.index_path)
    assert (sum(share.shards for share in record.workers), record.troubles) == (6, ())
    assert record.reading.shares == ()


@pytest.fixture
def read_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers read any file, in small jobs."""
    monkeypatch.setattr(readers, "WORTH_WORKERS_BYTES", 0)
    monkeypatch.setattr(ahead, "MOST_FILES", 4)


@pytest.mark.usefixtures("read_there")
def test_what_is_read_on_ray_is_staged_as_here(ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = texts(tmp_path / "here"), texts(tmp_path / "there")
    builder.build(here.model_copy(update={"ingest": here.ingest.model_copy(update={"processes": 1})}))
    heard = watched(monkeypatch)
    report = builder.build(there, cluster="ray")
    assert len(heard) == 2
    assert (report.encoded_chunks, report.chunks) == (24, 24)
    assert content(there.index_path) == content(here.index_path)
    reading = records.load(there.index_path).reading
    assert sum(share.documents for share in reading.shares) == 24
    assert sum(share.chunks for share in reading.shares) == 24
    assert (reading.losses, reading.loss_count) == ((), 0)


@pytest.mark.usefixtures("read_there")
def test_actors_that_are_killed_as_they_read_cost_no_document(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = texts(tmp_path / "here"), texts(tmp_path / "there")
    builder.build(here.model_copy(update={"ingest": here.ingest.model_copy(update={"processes": 1})}))
    give, killed = WorkerProcess.give, list[WorkerProcess]()

    def deadly(self: WorkerProcess, ticket: Any) -> None:
        give(self, ticket)
        if len(killed) < 3:
            killed.append(self)
            ray.kill(self._program._actor)  # type: ignore[attr-defined]

    monkeypatch.setattr(WorkerProcess, "give", deadly)
    report = builder.build(there, cluster="ray")
    assert (len(killed), report.chunks) == (3, 24)
    reading = records.load(there.index_path).reading
    assert reading.loss_count == len(set(killed)), "one that had two jobs is lost once"
    assert all("its worker or the machine died" in loss.reason for loss in reading.losses)
    assert content(there.index_path) == content(here.index_path)


@pytest.mark.usefixtures("read_there")
def test_a_file_that_only_the_build_sees_is_named_with_a_cure(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = texts(tmp_path)
    message = Job.message

    def elsewhere(self: Job) -> Message:
        sent = message(self)
        for file in sent.head["files"]:
            file[0] = file[0].replace("003.txt", "unseen.txt")
        return sent

    monkeypatch.setattr(Job, "message", elsewhere)
    with pytest.raises(SourceError, match=r"003\.txt: the build sees .*same path, or set ingest\.processes: 1"):
        builder.build(config, cluster="ray")


@pytest.mark.usefixtures("read_there")
def test_readers_of_another_version_are_refused_and_both_are_named(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = texts(tmp_path)
    monkeypatch.setattr("pipeline.ingest.workers.process.metadata.version", lambda name: "99.9")
    with pytest.raises(IncompatibleIndexError, match=r"version: 99\.9 → \d+\.\d+"):
        builder.build(config, cluster="ray")


def watched(monkeypatch: pytest.MonkeyPatch) -> list[RayProgram]:
    """The programs that builds start from now on."""
    started: list[RayProgram] = []
    init = RayProgram.__init__

    def noted(self: RayProgram, *given: Any) -> None:
        init(self, *given)
        started.append(self)

    monkeypatch.setattr(RayProgram, "__init__", noted)
    return started


def test_workers_of_another_version_are_refused_and_both_are_named(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = texts(tmp_path)
    monkeypatch.setattr("pipeline.encode.shard_plan.metadata.version", lambda name: "99.9")
    with pytest.raises(IncompatibleIndexError, match=r"no worker is left: .*version: 99\.9 → \d+\.\d+"):
        builder.build(config, cluster="ray")
    assert staging.shard_folders(config.index_path) == []


def test_a_cluster_without_room_says_so(ray: Any, tmp_path: Path) -> None:
    config = texts(tmp_path)
    small = config.cluster.model_copy(update={"cpus": 64, "start_seconds": 1.5})
    with pytest.raises(EncoderError, match=r"no worker has taken a shard for 1\.5 s; .*cluster\.cpus"):
        builder.build(config.model_copy(update={"cluster": small}), cluster="ray")


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hybrid-pipeline\[ray\]'"):
        builder.build(texts(tmp_path), cluster="ray")


@pytest.mark.parametrize(
    ("settings", "machines", "expected"),
    [
        ({}, [{"CPU": 8.0}, {"CPU": 8.0}], Room(8.0, 0.0, 2)),
        ({}, [{"CPU": 8.0}, {"CPU": 4.0}, {"memory": 1.0}], Room(4.0, 0.0, 3)),
        ({"cluster": {"cpus": 2}}, [{"CPU": 8.0}, {"CPU": 3.0}], Room(2.0, 0.0, 5)),
        ({"cluster": {"cpus": 2, "workers": 3}}, [{"CPU": 8.0}], Room(2.0, 0.0, 3)),
        ({"cluster": {"gpus": 1}}, [{"CPU": 32.0, "GPU": 4.0}, {"CPU": 64.0}], Room(1.0, 1.0, 4)),
        ({"cluster": {"gpus": 0.5}}, [{"CPU": 32.0, "GPU": 2.0}], Room(1.0, 0.5, 4)),
        ({"encoder": {"model": "a/b", "device": "cuda"}}, [{"CPU": 8.0, "GPU": 2.0}], Room(1.0, 1.0, 2)),
        ({"encoder": {"model": "a/b"}, "encode": {"devices": ["cuda:0"]}}, [{"CPU": 8.0}], Room(1.0, 1.0, 1)),
        ({}, [], Room(1.0, 0.0, 1)),
    ],
)
def test_room_is_what_machines_have_and_settings_ask_for(
    settings: dict[str, Any], machines: Sequence[dict[str, float]], expected: Room
) -> None:
    assert Room.found(parse_config(settings), machines) == expected


def test_orders_hold_no_secret_and_no_object(tmp_path: Path) -> None:
    from pipeline.encode.shard_plan import Terms
    from pipeline.job.cluster import orders

    config = texts(tmp_path)
    told = orders.written(config, Terms({"package": {"version": "1"}}))
    assert json.loads(told)["index"] == str(config.index_path)
    worker = orders.ShardEncoder(told)
    assert json.loads(worker.problem())["refuses"]
    assert "this worker does not fit" in json.loads(worker.problem())["error"]
