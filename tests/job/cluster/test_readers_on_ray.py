"""Programs that a worker holds, on a stand-in for Ray: whose fault an end is, and how often a place may be lost."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config import IngestSettings, SourceSettings
from pipeline.errors import IncompatibleIndexError, PipelineError, SourceError
from pipeline.ingest import readers
from pipeline.ingest.guard import CutDocument
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.workers import ahead
from pipeline.ingest.workers.messages import Message
from pipeline.ingest.workers.pool import Workers
from pipeline.ingest.workers.process import WorkerSetup
from pipeline.ingest.workers.tally import Tally
from pipeline.job.cluster.readers_on_ray import RayProgram
from pipeline.records import Rejection
from tests.faults.stub import OneChunk


class LostError(Exception):
    """As RayActorError."""


class SilentError(LostError):
    """As GetTimeoutError."""


class FakeRay:
    """Actors of this process. `hears`: what becomes of what an actor hears, which may raise."""

    exceptions = SimpleNamespace(RayError=LostError, GetTimeoutError=SilentError)

    def __init__(self, hears: Callable[[Any], Any] = lambda said: said) -> None:
        self.hears, self.started = hears, 0

    def remote(self, **options: Any) -> Any:
        def make(kind: Any) -> Any:
            return SimpleNamespace(remote=lambda module: self._actor(kind(module)))

        return make

    def _actor(self, inner: Any) -> Any:
        self.started += 1

        def method(name: str) -> Any:
            if name == "send":  # calls go out at once, and in order
                return SimpleNamespace(options=lambda **given: SimpleNamespace(remote=inner.send))
            later = SimpleNamespace(remote=lambda: (name, getattr(inner, name)))
            return SimpleNamespace(options=lambda **given: later)

        methods = {name: method(name) for name in ("place", "send", "hear")}
        return SimpleNamespace(inner=inner, **methods)

    def get(self, call: tuple[str, Callable[[], Any]], timeout: float) -> Any:
        name, function = call
        try:
            said = function()
        except ValueError as error:  # the actor was killed
            raise LostError(str(error)) from None
        return self.hears(said) if name == "hear" else said

    def kill(self, actor: Any) -> None:
        actor.inner._program._process.kill()


def read(
    folder: Path, ray: FakeRay, texts: list[str], count: int = 1, tally: Tally | None = None
) -> tuple[list[str], list[Rejection]]:
    files = []
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
        name = f"{number}.txt"
        files.append(SourceFile(str(folder / name), name, name, SourceSettings(path=str(folder))))
    settings = IngestSettings(document_seconds=2.0)
    setup = WorkerSetup("tests.ingest.workers.deadly", {"folder": str(folder)}, settings)

    def start(module: str) -> RayProgram:
        return RayProgram(ray, module, 60.0)

    there = Workers(setup, count, OneChunk.fingerprint, lambda: b"", start, tally or Tally())
    rejections: list[Rejection] = []
    found = list(readers.read_sources(files, settings, rejections.append, workers=there))
    assert all(isinstance(document, CutDocument) for document in found)
    return [document.doc_id for document in found], rejections


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "WORTH_WORKERS_BYTES", 0)
    monkeypatch.setattr(ahead, "MOST_FILES", 3)


def test_a_process_that_dies_at_a_document_has_it_rejected(tmp_path: Path) -> None:
    found, rejections = read(tmp_path, FakeRay(), ["good", "exits", "good", "good"])
    assert found == ["0.txt", "2.txt", "3.txt"]
    assert [(one.file, one.reason) for one in rejections] == [
        ("1.txt", "the process that parsed it ended with exit code 3")
    ]


def test_a_place_that_is_lost_costs_no_document(tmp_path: Path) -> None:
    heard = 0

    def loses(said: Any) -> Any:
        nonlocal heard
        heard += 1
        if heard in (2, 5):
            raise LostError("the node died")
        return said

    ray = FakeRay(loses)
    found, rejections = read(tmp_path, ray, ["good"] * 6)
    assert (found, rejections, ray.started) == ([f"{number}.txt" for number in range(6)], [], 3)


def test_why_a_place_is_lost_is_known_when_its_end_is_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class SlowlyToldError(LostError):
        def __str__(self) -> str:
            time.sleep(0.5)
            return "the node died"

    heard = 0

    def loses(said: Any) -> Any:
        nonlocal heard
        heard += 1
        if heard == 2:
            raise SlowlyToldError
        return said

    with caplog.at_level(logging.WARNING):
        found, _ = read(tmp_path, FakeRay(loses), ["good"])
    assert found == ["0.txt"]
    assert "its worker or the machine died (SlowlyToldError: the node died)" in caplog.text


def test_an_answer_that_is_none_is_refused_and_ends_the_build_in_the_end(tmp_path: Path) -> None:
    def lies(said: Any) -> Any:
        return said.replace(b'"places"', b'"plaque"') if isinstance(said, bytes) else said

    with pytest.raises(SourceError, match=r"^0\.txt: cannot be read: the worker gave an answer that nobody asked"):
        read(tmp_path, FakeRay(lies), ["good"])


def test_a_worker_that_never_comes_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    class Full(FakeRay):
        def get(self, call: tuple[str, Callable[[], Any]], timeout: float) -> Any:
            raise SilentError

    with pytest.raises(SourceError, match=r"no worker was there for 60 s \(cluster\.start_seconds"):
        read(tmp_path, Full(), ["good"])


def told(monkeypatch: pytest.MonkeyPatch, *wrong: dict[str, Any]) -> None:
    """The workers that start first are told something else, each one of these."""
    message, left = WorkerSetup.message, list(wrong)

    def altered(self: WorkerSetup) -> Message:
        made = message(self)
        return Message({**made.head, **left.pop(0)}, made.body) if left else made

    monkeypatch.setattr(WorkerSetup, "message", altered)


OTHER_VERSION = {"version": "99.9"}
NO_FOLDER: dict[str, Any] = {"chunker": {}}
EXITS = {"chunker": {"exits": True}}
FAILS = {"chunker": {"fails": True}}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (OTHER_VERSION, r"version: 99\.9 → \d"),
        (FAILS, "no tokenizer at all"),
        (EXITS, "ended with exit code 5 as it started"),
        (NO_FOLDER, "ended with exit code 1 as it started"),
    ],
)
def test_a_reader_that_does_not_fit_is_named_and_others_do_its_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    wrong: dict[str, Any],
    reason: str,
) -> None:
    told(monkeypatch, wrong)

    def named() -> list[str]:
        return [record.getMessage() for record in caplog.records if "cluster: reader" in record.getMessage()]

    def once_the_other_is_named(heard: Any) -> Any:
        deadline = time.monotonic() + 60
        while isinstance(heard, bytes) and b'"ready"' in heard and not named() and time.monotonic() < deadline:
            time.sleep(0.01)
        return heard

    ray = FakeRay(once_the_other_is_named)
    with caplog.at_level(logging.WARNING):
        found, rejections = read(tmp_path, ray, ["good"] * 8, count=2)
    assert (found, rejections, ray.started) == ([f"{number}.txt" for number in range(8)], [], 2)
    (line,) = named()
    assert re.search(rf"reader 1 \(.+:\d+\): .*{reason}", line)


def test_one_with_another_chunker_is_named_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = 0

    def first_differs(heard: Any) -> Any:
        nonlocal said
        if not isinstance(heard, bytes):
            return heard
        said += b'"ready"' in heard
        return heard.replace(b"stub", b"fake") if said == 1 else heard

    with caplog.at_level(logging.WARNING):
        found, _ = read(tmp_path, FakeRay(first_differs), ["good"] * 8, count=2)
    assert len(found) == 8
    assert "another chunker than the build: kind: stub → fake; give it the same model" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "kind", "reasons"),
    [
        ([OTHER_VERSION, EXITS], IncompatibleIndexError, ["exit code 5 as it started", r"version: 99\.9 → \d"]),
        ([FAILS, EXITS], SourceError, ["exit code 5 as it started", "no tokenizer at all"]),
    ],
)
def test_the_build_ends_when_no_reader_is_left(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: list[dict[str, Any]],
    kind: type[PipelineError],
    reasons: list[str],
) -> None:
    told(monkeypatch, *wrong)
    with pytest.raises(kind, match="no worker is left: reader") as caught:
        read(tmp_path, FakeRay(), ["good"] * 8, count=2)
    assert type(caught.value) is kind
    assert all(re.search(reason, str(caught.value)) for reason in reasons)


def test_a_machine_lost_as_a_reader_starts_is_followed_by_another_a_few_times(tmp_path: Path) -> None:
    def loses(times: int) -> Callable[[Any], Any]:
        left = times

        def heard(said: Any) -> Any:
            nonlocal left
            left -= 1
            if left >= 0:
                raise LostError("the node died")
            return said

        return heard

    ray = FakeRay(loses(3))
    found, _ = read(tmp_path, ray, ["good"] * 4)
    assert (len(found), ray.started) == (4, 4)
    with pytest.raises(SourceError, match=r"no worker is left: reader 4 .*the node died\) as it started"):
        read(tmp_path, FakeRay(loses(4)), ["good"])


def test_what_readers_did_and_what_was_lost_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that ends its process twice, one machine that is lost, and one worker that does not fit."""
    monkeypatch.setattr(ahead, "MOST_FILES", 2)
    told(monkeypatch, OTHER_VERSION)
    tally = Tally()
    texts = ["good"] * 4 + ["exits"] + ["good"] * 5
    found, rejections = read(tmp_path, FakeRay(), texts, count=2, tally=tally)
    reading = tally.reading
    assert (len(found), len(rejections)) == (9, 1)
    assert sum(share.documents for share in reading.shares) == 10
    assert sum(share.chunks for share in reading.shares) == 9
    assert sum(share.jobs for share in reading.shares) == 5
    assert all(share.seconds > 0 for share in reading.shares)
    assert reading.loss_count == len(reading.losses) == 3
    refused, *died = sorted(reading.losses, key=lambda loss: loss.file)
    assert (refused.file, "version: 99.9" in refused.reason) == ("", True)
    assert [(loss.file, loss.reason) for loss in died] == [
        ("4.txt", "the process that parsed it ended with exit code 3")
    ] * 2
    assert str(tally) == "1 worker, 3 lost"
