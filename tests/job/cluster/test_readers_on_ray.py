"""Programs that a worker holds, on a stand-in for Ray: whose fault an end is, and how often a place may be lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config import IngestSettings, SourceSettings
from pipeline.errors import SourceError
from pipeline.ingest import readers
from pipeline.ingest.guard import CutDocument
from pipeline.ingest.sources import SourceFile
from pipeline.ingest.workers import ahead
from pipeline.ingest.workers.pool import Workers
from pipeline.ingest.workers.process import WorkerSetup
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

        methods = {name: method(name) for name in ("pid", "send", "hear")}
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


def read(folder: Path, ray: FakeRay, texts: list[str]) -> tuple[list[str], list[Rejection]]:
    files = []
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
        name = f"{number}.txt"
        files.append(SourceFile(str(folder / name), name, name, SourceSettings(path=str(folder))))
    settings = IngestSettings(document_seconds=2.0)
    setup = WorkerSetup("tests.ingest.workers.deadly", {"folder": str(folder)}, settings)

    def start(module: str) -> RayProgram:
        return RayProgram(ray, module, 60.0)

    there = Workers(setup, 1, OneChunk.fingerprint, lambda: b"", start)
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
