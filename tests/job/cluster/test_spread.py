"""Workers that die, hang, lie, are slow or answer twice: the same index, or an error naming shard and workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli import cli
from pipeline.config import Config
from pipeline.encode.shard_plan import PlannedShard, Terms, missing
from pipeline.errors import ConfigError, EncoderError, IncompatibleIndexError
from pipeline.index import files, staging
from pipeline.job import build as builder
from pipeline.job.cluster import shares
from pipeline.job.cluster.spread import Limits, Spread
from pipeline.job.report import record as records
from tests.faults import stub
from tests.job.cluster.fake_cluster import HARMFUL, HARMLESS, FakeCluster, FakeWorkers, Fault, content

LIMITS = Limits(attempts=4, shard_seconds=100, start_seconds=200)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Any]:
    """A plan of 8 shards, of which nothing is encoded; a test clears the shards that it makes."""
    folder = tmp_path_factory.mktemp("planned")
    stub.write_texts(folder, 0, 16)
    config = stub.stub_config(folder, encode={"shard_chunks": 2})
    stub.ingest(config)
    return config, shares.plan_shards(config, encoder=stub.encoder(), chunker=stub.OneChunk())


def begin(
    planned: tuple[Config, Any], kind: type[FakeWorkers] = FakeWorkers, **options: Any
) -> tuple[FakeWorkers, list[tuple[Path, Path]]]:
    config, plan = planned
    index = config.index_path
    for shard in staging.shard_folders(index):
        files.remove_folder(shard)
    workers = kind(index, plan.terms, stub.encoder(), config, **options)
    tasks = [(index / "staging" / s.texts, staging.shard_folder(index, s.key)) for s in plan.shards]
    return workers, tasks


def spread(workers: FakeWorkers, limits: Limits = LIMITS, fetched: bool = False) -> Spread:
    """`fetched`: shards come from storage, as those that several threads fetch."""
    fetch = (lambda place: "") if fetched else None
    return Spread(workers, workers.index, workers.terms.prints, limits, workers.clock, fetch)


def scripted(faults: list[Fault]) -> Callable[[int], Fault]:
    return lambda number: faults[number] if number < len(faults) else ""


@settings(max_examples=25, deadline=None)
@given(
    faults=st.lists(st.sampled_from([*HARMLESS, *HARMFUL]), max_size=14),
    count=st.integers(1, 5),
    fetched=st.booleans(),
)
def test_every_shard_is_stored_once_or_an_error_names_it(
    planned: tuple[Config, Any], faults: list[Fault], count: int, fetched: bool
) -> None:
    """Where shards are fetched, a worker may have its next one taken back, as an attempt that does not count."""
    config, plan = planned
    workers, tasks = begin(planned, fault=scripted(faults), count=count)
    running = spread(workers, fetched=fetched)
    done: list[int] = []
    harmful = sum(fault in HARMFUL for fault in faults[: len(tasks) + len(faults)])
    failure = ""
    try:
        for number in running.encode(tasks):
            assert staging.holds(tasks[number][1], plan.terms.prints), "told before it is there"
            done.append(number)
    except EncoderError as error:
        failure = str(error)
    if failure:
        tried = Counter(key for _, key in workers.given)
        (worst,) = [key for key, times in tried.items() if f"shard {key} " in failure]
        taken_back = tried[worst] - LIMITS.attempts
        assert 0 <= taken_back <= sum("gets no more" in trouble.reason for trouble in running.troubles)
        assert taken_back == 0 or fetched
        assert f"was tried {LIMITS.attempts} times" in failure
        assert harmful >= LIMITS.attempts
    else:
        assert sorted(done) == list(range(8))
        assert missing(config.index_path, plan) == []
        assert sum(share.chunks for share in running.shares) == 16
    assert len(done) == len(set(done)), "no shard is told twice"
    assert workers.closed
    if fetched:
        return
    assert max(Counter(key for _, key in workers.given).values()) <= LIMITS.attempts
    named = {trouble.shard for trouble in running.troubles}
    assert running.trouble_count >= sum(fault in HARMFUL for fault in faults[: len(workers.given)]) - count
    assert named <= {shard.key for shard in plan.shards} | {""}


@settings(max_examples=8, deadline=None)
@given(faults=st.lists(st.sampled_from(HARMLESS), max_size=8), count=st.integers(1, 9))
def test_slow_and_repeated_answers_cost_no_attempt(
    planned: tuple[Config, Any], faults: list[Fault], count: int
) -> None:
    workers, tasks = begin(planned, fault=scripted(faults), count=count)
    running = spread(workers, replace(LIMITS, attempts=1))
    assert sorted(running.encode(tasks)) == list(range(8))
    assert (running.troubles, len(workers.given)) == ([], 8)


@pytest.mark.parametrize("fault", ["fails", "lies", "garbage", "lost"])
def test_a_shard_that_failed_is_tried_elsewhere(planned: tuple[Config, Any], fault: Fault) -> None:
    workers, tasks = begin(planned, fault=scripted([fault]))
    list(spread(workers).encode(tasks))
    first = workers.given[0]
    (second,) = [worker for worker, key in workers.given[1:] if key == first[1]]
    assert second != first[0]


def test_with_one_worker_it_is_tried_there_again(planned: tuple[Config, Any]) -> None:
    workers, tasks = begin(planned, fault=scripted(["fails", "", "lies"]), count=1)
    assert sorted(spread(workers).encode(tasks)) == list(range(8))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("dies", "the process is gone"),
        ("fails", "Input/output error"),
        ("hangs", r"has not finished in 100 s \(encode\.timeout_seconds\) and was ended"),
        ("lies", "nothing is stored"),
        ("lost", "nothing is stored"),
        ("garbage", "what it stored is damaged"),
    ],
)
def test_a_shard_that_fails_everywhere_ends_the_stage_and_says_where_and_why(
    planned: tuple[Config, Any], fault: Fault, says: str
) -> None:
    workers, tasks = begin(planned, fault=lambda number: fault, count=2)
    with pytest.raises(
        EncoderError, match=rf"^cluster: shard \w+ \(ingest/part-0000\d\.parquet\) was tried 4 times: w.*{says}"
    ):
        list(spread(workers).encode(tasks))
    assert workers.closed


def test_more_troubles_than_are_kept_are_counted(planned: tuple[Config, Any]) -> None:
    workers, tasks = begin(planned, fault=lambda number: "dies" if number < 24 else "", count=2)
    running = spread(workers, replace(LIMITS, attempts=30))
    assert sorted(running.encode(tasks)) == list(range(8))
    assert (running.trouble_count, len(running.troubles)) == (24, 20)


def test_what_was_stored_by_a_worker_that_died_is_not_encoded_again(planned: tuple[Config, Any]) -> None:
    workers, tasks = begin(planned, fault=scripted(["dies after storing"]))
    encoded: list[int] = []

    class Counting(stub.HashedEncoder):
        def encode_documents(self, texts: Any) -> Any:
            encoded.append(len(texts))
            return super().encode_documents(texts)

    workers.encoder = stub.encoder(Counting())
    list(spread(workers).encode(tasks))
    assert (len(workers.given), encoded) == (9, [2] * 8)


class OneIsBad(FakeWorkers):
    """The first worker fails at everything."""

    def give(self, worker: str, shard: PlannedShard) -> None:
        self.fault = lambda number: "fails" if worker == "w1" else ""
        super().give(worker, shard)


class OneLies(FakeWorkers):
    """What the first worker says it stored is not there."""

    def give(self, worker: str, shard: PlannedShard) -> None:
        self.fault = lambda number: "lies" if worker == "w1" else ""
        super().give(worker, shard)


def test_a_worker_whose_shards_are_fetched_in_vain_gets_no_more(planned: tuple[Config, Any]) -> None:
    """What it has by then is given to another, and is no failure of that shard."""
    workers, tasks = begin(planned, OneLies, count=2)
    running = spread(workers, replace(LIMITS, attempts=2), fetched=True)
    assert sorted(running.encode(tasks)) == list(range(8))
    assert all(trouble.worker == "w1" for trouble in running.troubles)
    assert "w1" not in {share.worker for share in running.shares}
    assert sum(bool(trouble.shard) for trouble in running.troubles) <= 8


def test_a_worker_that_fails_again_and_again_gets_no_more(planned: tuple[Config, Any]) -> None:
    workers, tasks = begin(planned, OneIsBad, count=2)
    running = spread(workers)
    assert sorted(running.encode(tasks)) == list(range(8))
    assert [worker for worker, _ in workers.given].count("w1") == 3
    assert "w1: gets no more shards: it failed 3 times in a row" in [str(trouble) for trouble in running.troubles]


def test_without_workers_it_says_so(planned: tuple[Config, Any]) -> None:
    workers, tasks = begin(planned, count=3, refusing=3)
    with pytest.raises(
        IncompatibleIndexError, match=r"no worker is left: w1: does not fit; w2.*; w3: does not fit"
    ):
        list(spread(workers).encode(tasks))
    workers, tasks = begin(planned, fault=lambda number: "dies", count=2, replaces=False)
    with pytest.raises(EncoderError, match=r"no worker is left: w1: shard \w+: the process is gone; w2"):
        list(spread(workers).encode(tasks))
    workers, tasks = begin(planned, count=2, refusing=1)
    assert sorted(spread(workers).encode(tasks)) == list(range(8)), "those that fit do all of it"


class NoneComes(FakeWorkers):
    """Workers that start for ever."""

    def idle(self) -> list[str]:
        return []


def test_workers_that_never_come_are_not_waited_for_for_ever(planned: tuple[Config, Any]) -> None:
    workers, tasks = begin(planned, NoneComes)
    with pytest.raises(EncoderError, match="no worker has taken a shard for 200 s"):
        list(spread(workers).encode(tasks))
    assert 200 <= workers.now < 210


def test_a_build_that_is_stopped_ends_its_workers(planned: tuple[Config, Any]) -> None:
    workers, tasks = begin(planned)
    running = spread(workers).encode(tasks)
    next(running)
    running.close()
    assert workers.closed
    assert list(spread(FakeWorkers(workers.index, Terms({}), stub.encoder(), workers.config)).encode([])) == []


@contextmanager
def reached_by(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Builds that ask for a cluster get this one, and the encoder that it has."""
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.job.cluster.on_ray.connect", lambda address: cluster)
        patch.setattr("pipeline.job.injected.load_encoder", lambda *given, **more: stub.encoder())
        yield


def test_a_build_on_a_cluster_is_a_local_build_and_its_report_names_workers_and_troubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        stub.write_texts(folder, 0)
    stub.build(stub.stub_config(here))
    cluster = FakeCluster(stub.encoder(), scripted(["", "dies", "lies"]))
    config = stub.stub_config(there)
    told: list[tuple[str, int]] = []

    class Bar:
        def __init__(self, description: str, total: int | None, unit: str) -> None:
            self.description = description

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *given: object) -> None: ...

        def update(self, n: float = 1) -> None:
            told.append((self.description, int(n)))

    with reached_by(cluster, monkeypatch):
        report = builder.build(config, cluster="ray", chunker=stub.OneChunk(), progress=Bar)
    assert cluster.left
    assert (report.encoded_chunks, report.chunks) == (24, 24)
    assert sum(n for description, n in told if description == "encode") == 24
    assert content(config.index_path) == content(here / "index")
    assert stub.answers(config.index_path) == stub.answers(here / "index")
    record = records.load(config.index_path)
    assert sum(share.chunks for share in record.workers) == 24
    assert len(record.troubles) == 2
    page = records.page_path(config.index_path, 1).read_text()
    for trouble in record.troubles:
        assert trouble.worker in page
        assert trouble.shard in page
    assert "the process is gone" in page
    told = CliRunner().invoke(cli, ["report", "--index", str(config.index_path)], env={"COLUMNS": "200"}).output
    assert "a second" in told
    assert all(str(trouble) in told for trouble in record.troubles)


def test_a_build_that_failed_names_the_shard_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.write_texts(tmp_path, 0)
    config = stub.stub_config(tmp_path)
    broken = FakeCluster(stub.encoder(), lambda number: "" if number < 2 else "fails")
    with reached_by(broken, monkeypatch), pytest.raises(EncoderError, match="was tried 3 times") as error:
        builder.build(config, cluster="ray", chunker=stub.OneChunk())
    assert str(error.value) in (config.index_path / "reports/failure.json").read_text().replace('\\"', '"')
    with reached_by(FakeCluster(stub.encoder()), monkeypatch):
        report = builder.build(config, cluster="ray", chunker=stub.OneChunk())
    assert (report.encoded_chunks, report.reused_chunks) == (16, 8), "two shards were stored"


def test_an_encoder_of_this_process_cannot_go_to_a_cluster(tmp_path: Path) -> None:
    stub.write_texts(tmp_path, 0, 2)
    with pytest.raises(ConfigError, match="an encoder that is passed as an object stays in this process"):
        stub.build(stub.stub_config(tmp_path), cluster="ray")


@pytest.mark.parametrize("name", ["dask", "ray:", "ray://", "ray://user:password@host:1", "RAY", "ray://a b"])
def test_a_cluster_that_there_is_not_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"cluster=.*: give ray, or ray://HOST:PORT"):
        builder.build(stub.stub_config(tmp_path), cluster=name)
