"""Readers never see an error or a mixture, whatever writers do; of two writers one wins and the other says who."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import IndexLockedError
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.verify import verify
from tests.faults import processes, stub
from tests.faults.counts import count

VERSIONS = 3


def collect(index: Path, retain: int) -> None:
    with store.lock(index):
        store.collect_garbage(index, retain)


def test_readers_through_publishes_compactions_and_collections(base: Path, expected: list[stub.Answers]) -> None:
    """Two readers in processes of their own open, hold and ask while a writer publishes and throws away."""
    config = stub.stub_config(base, retain=2)
    stub.write_texts(base, 0)
    stub.build(config)
    stop = base / "stop"

    def read(seed: int) -> None:
        rng = random.Random(seed)
        asked = 0
        (base / f"ready-{seed}").touch()
        while not stop.exists() or asked < 3:
            with stub.open_index(config.index_path) as reader:
                first = stub.ask(reader)
                assert first in expected
                for _ in range(rng.randrange(1, 4)):
                    time.sleep(rng.uniform(0, 0.05))
                    assert stub.ask(reader) == first
                    asked += 1
                live = manifests.latest_generation(config.index_path)
                with reader.refresh() as fresh:
                    assert fresh.manifest.generation >= live
                    assert stub.ask(fresh) in expected
                    assert stub.ask(reader) == first

    endings: list[processes.Ending] = []
    threads = [
        threading.Thread(target=lambda seed=seed: endings.append(processes.run(lambda: read(seed))))
        for seed in (1, 2)
    ]
    for thread in threads:
        thread.start()
    while len(list(base.glob("ready-*"))) < 2:
        time.sleep(0.01)  # a child forked while the lock is held would hold it too
    try:
        for turn in range(1, count(8, 500) + 1):
            stub.write_texts(base, turn % VERSIONS)
            stub.build(config)
            if turn % 3 == 0:
                compact(config.index_path, retain=2)
            collect(config.index_path, 2)
    finally:
        stop.touch()
        for thread in threads:
            thread.join()
    assert [ending.error for ending in endings] == [None, None]
    assert verify(config.index_path, deep=True).problems == ()


def test_a_reader_held_through_everything_answers_as_it_did_first(base: Path, expected: list[stub.Answers]) -> None:
    """And one that refreshes itself is at the live generation after each publish and each compaction."""
    config = stub.stub_config(base, retain=1)
    stub.write_texts(base, 0)
    stub.build(config)
    with stub.open_index(config.index_path) as held:
        first = stub.ask(held)
        assert first == expected[0]
        following = held
        for turn in range(1, count(4, 60) + 1):
            stub.write_texts(base, turn % VERSIONS)
            stub.build(config, full=turn % 2 == 0)
            for job in (
                lambda: None,
                lambda: compact(config.index_path, retain=1),
                lambda: collect(config.index_path, 1),
            ):
                job()
                following = following.refresh()
                assert following.manifest.generation == manifests.latest_generation(config.index_path)
                assert stub.ask(following) == expected[turn % VERSIONS]
                assert stub.ask(held) == first
        assert following.manifest.generation > count(4, 60)
        assert len(manifests.generations(config.index_path)) == 1


def test_an_open_reader_outlives_its_generation(base: Path, expected: list[stub.Answers]) -> None:
    """Nothing was asked before its files were thrown away, so nothing was mapped yet."""
    config = stub.stub_config(base, retain=1)
    stub.write_texts(base, 0)
    stub.build(config)
    stub.write_texts(base, 1)
    stub.build(config)
    with stub.open_index(config.index_path) as reader:
        stub.write_texts(base, 2)
        stub.build(config, full=True)
        compact(config.index_path, retain=1)
        collect(config.index_path, 1)
        assert stub.ask(reader) == expected[1]
    del reader
    collect(config.index_path, 1)
    live = manifests.load(config.index_path, manifests.latest_generation(config.index_path))
    left = {path.name for path in (config.index_path / "segments").iterdir()}
    assert left == {entry.segment_id for entry in live.segments}


def test_of_two_writers_one_wins(base: Path) -> None:
    config = stub.stub_config(base)
    stub.write_texts(base, 0)
    stub.build(config)
    stub.write_texts(base, 1)
    for job in (
        lambda: stub.build(config),
        lambda: stub.ingest(config),
        lambda: compact(config.index_path),
        lambda: store.rollback(config.index_path),
    ):
        with store.lock(config.index_path):
            ending = processes.run(job)
        assert ending.error is not None
        assert ending.error.startswith("clean IndexLockedError")
        assert f"process {os.getpid()} is writing" in ending.error
    assert manifests.generations(config.index_path) == [1]


def test_many_writers_at_once(base: Path, expected: list[stub.Answers]) -> None:
    config = stub.stub_config(base)
    stub.write_texts(base, 0)
    stub.build(config)
    stub.write_texts(base, 1)
    endings: list[processes.Ending] = []
    threads = [
        threading.Thread(target=lambda: endings.append(processes.run(lambda: stub.build(config)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(e.finished or (e.error or "").startswith("clean IndexLockedError") for e in endings), endings
    assert any(ending.finished for ending in endings)
    assert manifests.generations(config.index_path) == [1, 2]
    assert stub.answers(config.index_path) == expected[1]


def test_the_lock_of_a_dead_process_does_not_block(base: Path) -> None:
    config = stub.stub_config(base)
    stub.write_texts(base, 0)

    def die_with_the_lock() -> None:
        with store.lock(config.index_path):
            os.kill(os.getpid(), signal.SIGKILL)

    assert processes.run(die_with_the_lock).signal == signal.SIGKILL
    assert (config.index_path / ".writer.lock").read_text().strip().isdigit()
    assert stub.build(config).published
    with store.lock(config.index_path), pytest.raises(IndexLockedError):
        stub.build(config)
