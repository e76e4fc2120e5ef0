"""One process a device: the shards that one process gives; an error, never a hang, when one of them fails."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config, EncoderSettings, SegmentSettings
from pipeline.encode import pool as pools
from pipeline.encode.pool import Pool
from pipeline.errors import ConfigError, EncoderError
from pipeline.index import staging
from pipeline.job import build as builder
from pipeline.job.prepare import sources
from pipeline.query.searcher import open_index
from tests.support.collection import TEXTS, config_for, write_documents

BM25 = EncoderSettings(model="none")  # loads in a moment


def tasks(folder: Path, count: int, texts: int = 2) -> list[tuple[Path, Path]]:
    found = []
    for i in range(count):
        table = pa.table({"text": [f"part {i} text {j}, some words" for j in range(texts)]})
        pq.write_table(table, folder / f"part-{i}.parquet")
        found.append((folder / f"part-{i}.parquet", folder / "shards" / str(i)))
    return found


def pool(*devices: str, encoder: EncoderSettings = BM25) -> Pool:
    return Pool(devices, encoder, SegmentSettings())


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes that a test starts; none of them may outlive it."""
    processes: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[call-overload]
            processes.append(self)

    monkeypatch.setattr(pools.subprocess, "Popen", Recorded)
    yield processes
    assert all(process.returncode is not None for process in processes)


def test_every_task_is_done_once_by_two_processes(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    work = tasks(tmp_path, 6)
    assert sorted(pool("cpu", "cpu").encode(work)) == list(range(6))
    assert all(staging.is_finished(shard) for _, shard in work)
    assert [process.returncode for process in started] == [0, 0]
    before = {shard: (shard / "shard.json").stat().st_mtime_ns for _, shard in work}
    assert sorted(pool("cpu").encode(work)) == list(range(6))
    assert {shard: (shard / "shard.json").stat().st_mtime_ns for _, shard in work} == before


def test_fewer_tasks_than_devices(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    assert list(pool("cpu", "cpu", "cpu").encode(tasks(tmp_path, 1))) == [0]
    assert len(started) == 1
    assert list(pool("cpu").encode([])) == []


def test_a_killed_process_ends_the_stage_and_keeps_finished_shards(
    tmp_path: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    work = tasks(tmp_path, 40)
    running = pool("cpu", "cpu").encode(work)
    done = next(running)
    os.kill(started[1].pid, signal.SIGKILL)
    with pytest.raises(EncoderError, match=r"encode\.devices: the process for cpu was killed by SIGKILL"):
        list(running)
    assert staging.is_finished(work[done][1])
    assert not all(staging.is_finished(shard) for _, shard in work)
    assert sorted(pool("cpu").encode(work)) == list(range(40))


def test_a_stopped_build_stops_its_processes(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    running = pool("cpu", "cpu").encode(tasks(tmp_path, 40))
    next(running)
    running.close()  # what an exception in the builder comes to
    assert len(started) == 2


def test_an_error_names_the_device_and_the_reason(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    nowhere = EncoderSettings(model="./nowhere")
    with pytest.raises(
        EncoderError, match=r"^encode\.devices: cpu: encoder\.model='\./nowhere': there is no folder"
    ):
        list(pool("cpu", "cpu", encoder=nowhere).encode(tasks(tmp_path, 3)))
    assert len(started) == 2


def test_an_unforeseen_exception_is_an_exit_code(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], started: list[subprocess.Popen[bytes]]
) -> None:
    work = tasks(tmp_path, 1)
    work[0][0].write_text("no Parquet")
    with pytest.raises(EncoderError, match="the process for cpu ended with exit code 1; what it wrote to standard"):
        list(pool("cpu").encode(work))
    assert "ArrowInvalid" in capfd.readouterr().err
    assert started[0].returncode == 1


def test_processes_end_with_a_builder_that_is_killed(tmp_path: Path) -> None:
    tasks(tmp_path, 40)
    script = f"""
import os, signal
from pathlib import Path
from pipeline.config import EncoderSettings, SegmentSettings
from pipeline.encode import pool as pools
folder = Path({str(tmp_path)!r})
work = [(folder / f"part-{{i}}.parquet", folder / "s" / str(i)) for i in range(40)]
popen = pools.subprocess.Popen
def recorded(*args, **options):
    process = popen(*args, **options)
    print(process.pid, flush=True)
    return process
pools.subprocess.Popen = recorded
next(pools.Pool(("cpu", "cpu"), EncoderSettings(model="none"), SegmentSettings()).encode(work))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL
    pids = [int(pid) for pid in killed.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 30
    while any(_is_running(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def answers(config: Config) -> list[tuple[str, float | None]]:
    with open_index(config.index_path) as index:
        hits = index.search("a build went wrong", 20)
        return [(hit.chunk_id, hit.dense and round(hit.dense.score, 2)) for hit in hits]


def test_a_build_on_two_devices_equals_one_on_none(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        write_documents(
            folder / "documents", {**TEXTS, "twin-a.txt": "the same text", "twin-b.txt": "the same text"}
        )
    plain = config_for(one, encode={"shard_chunks": 1})
    shared = config_for(two, encode={"shard_chunks": 1, "devices": ["cpu", "cpu"]})
    assert builder.build(plain).chunks == builder.build(shared).chunks == 8
    assert answers(plain) == answers(shared)


def test_a_process_that_hangs_is_killed_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    begun = pools.subprocess.Popen

    def stopped(*args: object, **options: object) -> subprocess.Popen[bytes]:
        process = begun(*args, **options)  # type: ignore[call-overload]
        os.kill(process.pid, signal.SIGSTOP)
        return process

    monkeypatch.setattr(pools.subprocess, "Popen", stopped)
    monkeypatch.setattr(pools, "_GRACE_SECONDS", 0.1)  # the other one does not listen either
    hanging = Pool(("cpu", "cpu"), BM25, SegmentSettings(), timeout_seconds=0.2)
    with pytest.raises(
        EncoderError, match=r"the process for cpu has not finished a shard in 0\.2 s and was killed"
    ):
        list(hanging.encode(tasks(tmp_path, 4)))
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2


def test_devices_that_the_encoder_cannot_use_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, started: list[subprocess.Popen[bytes]]
) -> None:
    with pytest.raises(
        ConfigError, match=r"encoder\.model=embedded computes on the CPU.*cannot use cuda:0; remove"
    ):
        config_for(tmp_path, encode={"devices": ["cuda:0", "cpu"]})
    config_for(tmp_path, encode={"devices": ["cuda:0"]}, encoder={"lexical": "some/splade"})
    served = {"model": "m", "endpoint": {"protocol": "openai"}}
    for device in ("cpu", "cuda:0"):
        with pytest.raises(ConfigError, match=r"encode\.devices: an endpoint's server encodes"):
            config_for(tmp_path, encode={"devices": [device]}, encoder=served)
    config_for(tmp_path, encode={"devices": ["cuda:0"]}, encoder={**served, "lexical": "some/splade"})
    with caplog.at_level(logging.WARNING):
        list(pool("cpu", "cpu").encode(tasks(tmp_path, 1)))
    assert "one process already uses all cores" in caplog.text


def test_devices_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"encode\.devices\.0"):
        config_for(tmp_path, encode={"devices": ["gpu"]})
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    encoder = EncoderSettings(model=str(tmp_path), kind="sentence-transformers", runtime="openvino")
    with pytest.raises(EncoderError, match=r"cuda:7: .*openvino runs on the CPU"):
        list(pool("cuda:7", encoder=encoder).encode(tasks(tmp_path, 1)))


def test_shards_are_small_when_each_token_has_a_vector(tmp_path: Path) -> None:
    for chunks, multivectors, expected in ((4096, False, 4096), (4096, True, 512), (100, True, 100)):
        config = config_for(tmp_path, encode={"shard_chunks": chunks})
        encoder = SimpleNamespace(gives_multivectors=multivectors)
        assert sources.shard_chunks(config, encoder) == expected  # type: ignore[arg-type]
