"""A full or failing disk: one clean error, the live generation as it was, and the next build succeeds."""

from __future__ import annotations

import contextlib
import errno
import itertools
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.index.choices import DenseChoice
from pipeline.index.components.rows import SegmentShape
from pipeline.index.schemas import chunks_to_table
from pipeline.index.segment import write_segment
from pipeline.index.upkeep.verify import verify
from pipeline.records import Chunk
from tests.faults import processes, stub
from tests.faults.calls import failing, watched
from tests.faults.counts import TORTURE, step
from tests.faults.walks import JOBS, Walk


@pytest.mark.parametrize("job", sorted(JOBS))
def test_an_error_at_every_call(walk: Callable[[str], Walk], job: str) -> None:
    walked = walk(job)
    failed = 0
    points, errors = walked.points(5 * JOBS[job].every), (errno.ENOSPC, errno.EIO)
    for at, error in itertools.product(points, errors) if TORTURE else zip(points, itertools.cycle(errors)):

        def work(at: int = at, error: int = error) -> None:
            with watched(failing(at, error, lasting=error == errno.ENOSPC)):
                walked.work()

        what = f"{job}, {errno.errorcode[error]} at call {at}"
        ending = walked.attempt(work, what)
        assert ending.clean, f"{what}: {ending}"
        failed += ending.error is not None
    assert ending.finished
    assert failed > 0


@pytest.mark.parametrize("job", ["build", "compact"])
def test_files_that_may_not_grow(walk: Callable[[str], Walk], job: str) -> None:
    """RLIMIT_FSIZE reaches the writers in C++ too: Parquet, Arrow and FAISS files are cut off mid-way."""
    walked = walk(job)
    largest = max(path.stat().st_size for path in walked.index.rglob("*") if path.is_file())
    for limit in [*range(0, largest, step(8) * 251), largest - 1]:

        def work(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            walked.work()

        ending = walked.attempt(work, f"{job} with files of at most {limit} bytes")
        assert ending.clean, f"{limit}: {ending}"


@pytest.mark.parametrize("kind", ["SQfp16", "Flat", "IVF2,SQ8"])
def test_faiss_files_that_may_not_grow(base: Path, kind: str) -> None:
    """FAISS writes with stdio and does not say when the last flush fails: no cut-off file gets a checksum."""

    class Wide:
        count = 60

        def chunk_tables(self) -> Iterator[object]:
            text = [Chunk(f"d{i}#0", f"d{i}", 0, 0, 1, "x") for i in range(self.count)]
            yield chunks_to_table(text)

        def blocks(self, *_: object) -> Iterator[np.ndarray]:
            rows = np.random.default_rng(0).standard_normal((self.count, 300)).astype(np.float32)
            yield rows / np.linalg.norm(rows, axis=1, keepdims=True)

    write_segment(base, "whole", Wide(), SegmentShape(300, DenseChoice(kind), False))  # type: ignore[arg-type]
    files = {path.name: path.stat().st_size for path in (base / "segments/whole").iterdir()}
    size = files["dense.faiss"]
    assert size > files["chunks.parquet"]
    limits = {size - 1, size - 100, size - 4097, *range(files["chunks.parquet"], size, step(4) * 977)}
    for limit in sorted(limits):

        def work(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            write_segment(base, "cut", Wide(), SegmentShape(300, DenseChoice(kind), False))  # type: ignore[arg-type]

        ending = processes.run(work)
        assert ending.clean, ending
        assert ending.error, limit
        assert not (base / "segments/cut").exists()


@contextlib.contextmanager
def tiny_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of this size, where tests may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("tests may not mount a file system here; RLIMIT_FSIZE stands in")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("kind", ["auto", "IVF2,SQ8"])
def test_a_disk_that_really_is_full(tmp_path: Path, kind: str) -> None:
    stub.write_texts(tmp_path, 0, 200)
    ended = []
    for kilobytes in [*range(8, 700, 8 * step(9)), 4000]:
        with tiny_disk(tmp_path / f"disk-{kilobytes}", kilobytes) as disk:
            segments = {"max_chunks": 60, "dense": kind}
            config = stub.stub_config(tmp_path, index=str(disk / "index"), segments=segments)
            ending = processes.run(lambda config=config: stub.build(config))  # type: ignore[misc]
            assert ending.clean, ending
            ended.append(ending.finished)
            if ending.finished:
                assert verify(disk / "index", deep=True).problems == ()
    assert ended[0] is False
    assert ended[-1] is True


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
def test_the_command_line_says_it_in_one_line(base: Path, code: int) -> None:
    stub.write_texts(base, 0)
    (base / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    with watched(failing(12, code)):
        result = CliRunner().invoke(cli, ["--config", str(base / "config.yaml"), "build"], obj=stub.options())
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert str(base / "index") in line
    assert ("the live index is as it was" in line) == (code != errno.EIO)
