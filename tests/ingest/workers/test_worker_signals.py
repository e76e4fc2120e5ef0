"""A command that reads in several processes is interrupted, or loses one: it keeps its word, and leaves nobody.

Real commands and real signals: each command says when it has a worker's result, and waits there.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.index import staging
from pipeline.job import build as builder
from tests.cli.test_signals import arrived, waiting
from tests.ingest.workers.test_worker_pool import running
from tests.support.collection import config_for

SETTINGS = "index: index\nsources: [{path: lines.jsonl}]\nencoder: {model: none}\ningest: {processes: 2}\n"
RESULT = "pipeline.ingest.workers.pool.WorkerPool._done"
DOCUMENTS = 250

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for a process's children")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """More to read than one process does."""
    text = "Pears and plums. " * 1500
    lines = [json.dumps({"_id": str(i), "text": f"{i}. {text}"}) + "\n" for i in range(DOCUMENTS)]
    (tmp_path / "lines.jsonl").write_text("".join(lines))
    (tmp_path / "config.yaml").write_text(SETTINGS)
    return config_for(
        tmp_path, sources=[{"path": "lines.jsonl"}], encoder={"model": "none"}, ingest={"processes": 1}
    )


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def ended(processes: list[int]) -> bool:
    deadline = time.monotonic() + 60
    while running(processes) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not running(processes)


@pytest.mark.parametrize("to_group", [False, True])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_and_its_workers(config: Config, number: signal.Signals, to_group: bool) -> None:
    with waiting(config, (RESULT, 2), command="ingest") as process:
        arrived(process)
        workers = children(process.pid)
        assert len(workers) == 2
        os.killpg(process.pid, number) if to_group else process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    word = "interrupted" if number is signal.SIGINT else f"interrupted by {number.name}"
    assert (process.returncode, said) == (
        128 + number,
        f"{word}: the live index is as it was and what is staged is kept; `pipeline ingest` goes on from there\n",
    )
    assert ended(workers)
    assert not staging.ingest_folder(config.index_path).exists()


def test_a_command_that_is_killed_leaves_no_worker(config: Config) -> None:
    with waiting(config, (RESULT, 2), command="ingest") as process:
        arrived(process)
        workers = children(process.pid)
        process.kill()
        process.wait(60)
    assert len(workers) == 2
    assert ended(workers)


def test_a_worker_that_somebody_kills_costs_nothing_but_time(config: Config) -> None:
    with waiting(config, (RESULT, 2), command="ingest") as process:
        for worker in arrived(process):
            os.kill(worker, signal.SIGKILL)
        said = process.communicate("go on\n", timeout=120)[1]
    assert process.returncode == 0, said
    folder = staging.ingest_folder(config.index_path)
    parts = {path.name: path.read_bytes() for path in folder.glob("part-*")}
    report = builder.ingest(config)
    assert (report.staged.read, report.rejections) == (DOCUMENTS, ())
    assert parts == {path.name: path.read_bytes() for path in folder.glob("part-*")}
