"""kill -9 anywhere: afterwards there is exactly the old or the new generation, and the next build succeeds."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.index import manifest as manifests
from pipeline.index import staging, store
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.verify import verify
from tests.faults import processes, stub
from tests.faults.calls import killing, watched
from tests.faults.counts import count
from tests.faults.walks import JOBS, Walk

VERSIONS = 4


def night(config: Config) -> None:
    """Everything a scheduled job does to an index."""
    stub.build(config)
    compact(config.index_path, retain=2)
    with store.lock(config.index_path):
        store.collect_garbage(config.index_path, 1)


def sound_answers(index: Path) -> stub.Answers:
    """The answers of the live generation, after every generation there is was verified deep."""
    for generation in manifests.generations(index):
        assert verify(index, generation, deep=True).problems == ()
    return stub.answers(index)


def no_litter(config: Config) -> None:
    """Nothing of an interrupted job is left once one went through."""
    index = config.index_path
    names = {path.name for path in index.iterdir()} - {
        "segments",
        ".writer.lock",
        "rejects",
        "reports",
        "sources.parquet",
    }
    assert names == {f"manifest-{number:08d}.json" for number in manifests.generations(index)}
    assert not list(index.rglob("*.tmp"))


def test_killed_at_random_moments(base: Path, expected: list[stub.Answers]) -> None:
    config = stub.stub_config(base)
    stub.write_texts(base, 0)
    night(config)
    started = time.monotonic()
    stub.write_texts(base, 1)
    night(config)
    length = time.monotonic() - started
    rng = random.Random(20261123)
    killed = 0
    for turn in range(count(12, 1000)):
        before, after = expected[(turn + 1) % VERSIONS], expected[(turn + 2) % VERSIONS]
        stub.write_texts(base, (turn + 2) % VERSIONS)
        ending = processes.run(lambda: night(config), kill_after=rng.uniform(0, 1.2 * length))
        killed += ending.signal == signal.SIGKILL
        assert ending.signal == signal.SIGKILL or ending.finished, ending
        assert sound_answers(config.index_path) in (before, after)
        night(config)
        assert sound_answers(config.index_path) == after
        no_litter(config)
    assert killed > count(12, 1000) // 3


def test_killed_again_and_again_while_resuming(base: Path, expected: list[stub.Answers]) -> None:
    """The first build of all, killed until one goes through; shards that were finished are not encoded again.

    A kill comes at a random moment after a random call, between the middle of reading and that of what follows, so
    that how far a build got is no matter of speed.
    """
    config = stub.stub_config(base, encode={"shard_chunks": 2})
    stub.write_texts(base, 1)
    with watched(lambda number, name: None) as calls:
        stub.build(config)
    read, whole = calls.index("unlink"), calls.index("link")
    rng = random.Random(7)
    killed = left = reused = 0
    for _ in range(count(4, 200)):
        shutil.rmtree(config.index_path)
        for _ in range(3):
            at, seconds = rng.randrange(read // 2, (read + whole) // 2), rng.uniform(0, 0.003)

            def work(at: int = at, seconds: float = seconds) -> None:
                with watched(killing(at, seconds)):
                    stub.build(config)

            killed += processes.run(work).signal == signal.SIGKILL
            if manifests.generations(config.index_path):
                break
        else:
            finished = sum(
                len(staging.shard_hashes(shard))
                for shard in staging.shard_folders(config.index_path)
                if staging.is_finished(shard)
            )
            report = stub.build(config)
            assert (report.reused_chunks, report.encoded_chunks) == (finished, 24 - finished)
            left += finished > 0
            reused += finished
        stub.build(config)
        assert sound_answers(config.index_path) == expected[1]
    assert killed >= 2 * count(4, 200)
    assert left >= count(4, 200) // 2
    assert reused >= 6 * left


@pytest.mark.parametrize("job", sorted(JOBS))
def test_killed_before_every_write_sync_rename_and_link(walk: Callable[[str], Walk], job: str) -> None:
    walked = walk(job)
    points = walked.points(JOBS[job].every)
    for at in points:

        def killed(at: int = at) -> None:
            with watched(killing(at)):
                walked.work()

        ending = walked.attempt(killed, f"{job} killed at call {at}")
        assert ending.finished or ending.signal == signal.SIGKILL, f"{job} killed at call {at}: {ending}"
    assert ending.finished
    assert len(points) >= 4


def test_a_job_killed_every_night_does_not_fill_the_disk(base: Path) -> None:
    config = stub.stub_config(base)
    stub.write_texts(base, 0)

    def killed() -> None:
        with watched(killing(12)):
            stub.build(config)

    for _ in range(5):
        assert processes.run(killed).signal == signal.SIGKILL
        assert len(list(base.rglob("*.tmp"))) <= 2
