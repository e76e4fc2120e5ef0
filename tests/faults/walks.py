"""Jobs that are disturbed call by call, and what an index may be afterwards: as before the job, or as after it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import CorruptIndexError, IndexNotFoundError
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.repair import repair
from pipeline.index.upkeep.verify import verify
from tests.faults import processes, stub
from tests.faults.calls import watched
from tests.faults.counts import step


@dataclass(frozen=True, slots=True)
class State:
    """What a reader finds: the live generation, and its answers, `None` where it is refused as damaged."""

    generation: int
    answers: stub.Answers | None

    @classmethod
    def of(cls, index: Path) -> State:
        """That of an index as it is. Raises `AssertionError` if a generation that answers is not sound."""
        live = manifests.latest_generation(index)
        try:
            answers = stub.answers(index)
        except CorruptIndexError:
            return cls(live, None)
        assert verify(index, live, deep=True).problems == ()
        return cls(live, answers)


@dataclass(frozen=True, slots=True)
class Job:
    """`prepare` is done before, undisturbed; `every`: a quick walk tries each so-many-th call."""

    work: Callable[[Config], object]
    every: int
    prepare: Callable[[Config], object] = lambda _: None


def _collect(config: Config) -> None:
    with store.lock(config.index_path):
        store.collect_garbage(config.index_path, 1)


def _damage(name: str) -> Callable[[Config], None]:
    def damage(config: Config) -> None:
        path = sorted(config.index_path.glob(f"segments/*/{name}"))[0]
        path.write_bytes(path.read_bytes()[::-1])

    return damage


def _older(config: Config) -> None:
    stub.sign(config.index_path, stub.without_rows)


JOBS: dict[str, Job] = {
    "build": Job(stub.build, 47),
    "refused": Job(stub.refused, 53),
    "full": Job(lambda config: stub.build(config, full=True), 67),
    "ingest": Job(stub.ingest, 9),
    "compact": Job(lambda config: compact(config.index_path, retain=1), 17),
    "collect": Job(_collect, 4, lambda config: compact(config.index_path)),
    "rollback": Job(lambda config: store.rollback(config.index_path), 3),
    "publish": Job(lambda config: stub.publish(config, force=True), 11, stub.refused),
    "mend": Job(lambda config: repair(config.index_path), 4, _damage("postings.arrow")),
    "add rows": Job(lambda config: repair(config.index_path), 9, _older),
    "drop": Job(lambda config: repair(config.index_path, drop_damaged=True), 9, _damage("dense.faiss")),
}


class Walk:
    """A job on fresh copies of one index: version 0 of the collection was live once, 1 is, the sources are at 2.

    Its own states before and after are what the index may be in; not another generation that answers as one should.
    """

    def __init__(self, base: Path, name: str, expected: list[stub.Answers]) -> None:
        """`base` holds the collection at version 1 and its index (`two_generations`)."""
        self.config = stub.stub_config(base)
        self.index = self.config.index_path
        self._job, self._template, self._expected = JOBS[name], base / "template", expected
        stub.write_texts(base, 2)
        self._job.prepare(self.config)
        shutil.copytree(self.index, self._template)
        self.before = State.of(self.index)
        self._restore()
        with watched(lambda number, name: None) as self._calls:
            self.work()
        self.after = State.of(self.index)
        assert self.before.answers in (expected[1], None)

    def work(self) -> None:
        """The job itself."""
        self._job.work(self.config)

    def _restore(self) -> None:
        """A fresh copy, which no reader holds."""
        shutil.rmtree(self.index)
        shutil.copytree(self._template, self.index)

    def points(self, every: int) -> list[int]:
        """The calls to disturb, and one past the end: all of them in a torture; else each `every`-th, every link
        (it publishes) and the next."""
        linked = [at for at, name in enumerate(self._calls) if name == "link"]
        chosen = {*range(0, len(self._calls), step(every)), *(at + after for at in linked for after in (0, 1))}
        return [*sorted(chosen), len(self._calls)]

    def attempt(self, work: Callable[[], object], what: str) -> processes.Ending:
        """Do it on a fresh copy in a process of its own; check what is left, and that the next build succeeds."""
        self._restore()
        ending = processes.run(work)
        found = State.of(self.index)
        assert found in (self.before, self.after), f"{what}: generation {found.generation} is live"
        assert found == self.after or not ending.finished, what
        with contextlib.suppress(IndexNotFoundError):
            assert stub.answers(self.index, "staged") == self._expected[2], what
        if found.answers is None:
            repair(self.index, drop_damaged=True)
        elif self.before.answers is not None:  # else an earlier generation names what was damaged, too
            for generation in manifests.generations(self.index)[:-1]:
                assert verify(self.index, generation, deep=True).problems == (), what
        stub.build(self.config)
        assert State.of(self.index).answers == self._expected[2], what
        return ending
