"""Too little memory, an encoder that answers nonsense or dies: a clean failure, and the index as it was."""

from __future__ import annotations

import dataclasses
import errno
import resource
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.config import Config
from pipeline.errors import EncoderError
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.verify import verify
from pipeline.models.choose.encoder import MixedEncoder
from pipeline.records import Encoded, MultiVectors, SparseRows
from tests.faults import processes, stub
from tests.faults.counts import step


def _sound(config: Config) -> None:
    assert verify(config.index_path, deep=True).problems == ()


JOBS: dict[str, Callable[[Config], object]] = {
    "ingest": stub.ingest,
    "build": lambda config: stub.build(config, full=True),
    "compact": lambda config: compact(config.index_path),
    "verify": _sound,
    "query": lambda config: stub.answers(config.index_path),
}


def address_space() -> int:
    """Bytes of address space this process has mapped."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[0]) * resource.getpagesize()


class ThisThread(Executor):
    """Stands in for a pool: Python waits without end for a thread that dies of too little memory as it starts
    (python/cpython#140746)."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*arguments, **options))
        return future


@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_memory_limit(base: Path, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From no room at all for another mapping to more than enough. What fails says that memory is short, and calls
    no file damaged."""
    monkeypatch.setattr("pipeline.query.snapshot.ThreadPoolExecutor", ThisThread)
    config = stub.stub_config(base)
    for version in range(2):
        stub.write_texts(base, version, 60)
        stub.build(config)
    before = stub.answers(config.index_path)
    stub.write_texts(base, 2, 60)
    endings = []
    for kilobytes in [*range(0, 320, 16 * step(10)), *range(1024, 120 * 1024, 3072 * step(20)), 4000 * 1024]:

        def work(kilobytes: int = kilobytes) -> None:
            limit = address_space() + (kilobytes << 10)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            JOBS[job](config)

        ending = processes.run(work)
        what = f"{job} with {kilobytes} KB more: {ending}"
        assert ending.clean, what
        assert ending.finished or "clean MemoryError" in str(ending.error) or "[Errno 12]" in str(ending.error), (
            what
        )
        if job == "build" and ending.finished:
            before = stub.answers(config.index_path)
        assert verify(config.index_path, deep=True).problems == ()
        assert stub.answers(config.index_path) == before
        endings.append(ending)
    assert not endings[0].finished
    assert endings[-1].finished


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory", "a-file"),
        RuntimeError("can't start new thread"),
    ],
)
def test_the_command_line_says_that_memory_is_short(
    base: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def short(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("pipeline.index.upkeep.verify.verify", short)
    result = CliRunner().invoke(cli, ["verify", "--index", str(base)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: out of memory; ")
    assert len(result.stderr.splitlines()) == 1


def _nan(encoded: Encoded) -> Encoded:
    assert encoded.dense is not None
    encoded.dense[0, 0] = np.nan
    return encoded


def _infinite(encoded: Encoded) -> Encoded:
    assert encoded.dense is not None
    encoded.dense[-1, 0] = np.inf
    return encoded


def _long(encoded: Encoded) -> Encoded:
    assert encoded.dense is not None
    return dataclasses.replace(encoded, dense=encoded.dense * 2)


def _few(encoded: Encoded) -> Encoded:
    assert encoded.dense is not None
    return dataclasses.replace(encoded, dense=encoded.dense[1:])


def _weights(value: float) -> Callable[[Encoded], Encoded]:
    def spoil(encoded: Encoded) -> Encoded:
        rows = encoded.lexical
        assert rows is not None
        weights = rows.weights.copy()
        weights[0] = value
        return dataclasses.replace(encoded, lexical=SparseRows(rows.indptr, rows.token_ids, weights))

    return spoil


def _tokens(change: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Encoded], Encoded]:
    def spoil(encoded: Encoded) -> Encoded:
        rows = encoded.multivectors
        assert rows is not None
        return dataclasses.replace(encoded, multivectors=MultiVectors(*change(rows.offsets, rows.vectors)))

    return spoil


SPOILED: dict[str, Callable[[Encoded], Encoded]] = {
    "nan": _nan,
    "infinite": _infinite,
    "long": _long,
    "few": _few,
    "no vectors": lambda encoded: dataclasses.replace(encoded, dense=None),
    "no weights": lambda encoded: dataclasses.replace(encoded, lexical=None),
    "negative weight": _weights(-1),
    "nan weight": _weights(np.nan),
    "zero weight": _weights(0),
    "no multi-vectors": lambda encoded: dataclasses.replace(encoded, multivectors=None),
    "nan multi-vector": _tokens(lambda offsets, vectors: (offsets, vectors * np.float32(np.nan))),
    "long multi-vectors": _tokens(lambda offsets, vectors: (offsets, vectors * 2)),
    "few multi-vectors": _tokens(lambda offsets, vectors: (offsets, vectors[1:])),
    "few texts with multi-vectors": _tokens(lambda offsets, vectors: (offsets[:-1], vectors)),
    "multi-vectors of no text": _tokens(lambda offsets, vectors: (np.minimum(offsets, 2), vectors)),
    "multi-vectors in disorder": _tokens(
        lambda offsets, vectors: (offsets[[0, 2, 1, *range(3, len(offsets))]], vectors)
    ),
}


class Spoiled(MixedEncoder):
    """The stub, whose answers are spoiled in this way."""

    def __init__(self, name: str) -> None:
        sound = stub.encoder()
        super().__init__(sound.dense_encoder, sound.lexical_encoder)
        self.spoil = SPOILED[name]

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        return self.spoil(super().encode_documents(texts))


@pytest.mark.parametrize("name", sorted(SPOILED))
def test_an_answer_that_is_none_is_refused_before_anything_is_written(
    base: Path, two_generations: Path, expected: list[stub.Answers], name: str
) -> None:
    shutil.copytree(two_generations, base, dirs_exist_ok=True)
    config = stub.stub_config(base)
    stub.write_texts(base, 2)
    with pytest.raises(EncoderError):
        stub.build(config, encoder=Spoiled(name))
    assert not list(config.index_path.glob("staging/shards/*"))
    assert verify(config.index_path, deep=True).problems == ()
    assert stub.answers(config.index_path) == expected[1]
    assert stub.build(config).published


class Mortal(MixedEncoder):
    """The stub, which dies after so many calls."""

    def __init__(self, calls: list[int], limit: int) -> None:
        sound = stub.encoder()
        super().__init__(sound.dense_encoder, sound.lexical_encoder)
        self.calls, self.limit = calls, limit

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        if len(self.calls) == self.limit:
            raise EncoderError("the worker died")
        self.calls.append(len(texts))
        return super().encode_documents(texts)


def test_an_encoder_that_dies_loses_one_shard(base: Path) -> None:
    config = stub.stub_config(base)
    stub.write_texts(base, 0)
    calls: list[int] = []
    with pytest.raises(EncoderError, match="worker died"):
        stub.build(config, encoder=Mortal(calls, 4))
    stub.build(config, encoder=Mortal(calls, 1000))
    assert calls[:6] == [4] * 6
