"""kill -9 around a staged generation: what is live is old or new, and what is staged is whole or not there."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.errors import IndexNotFoundError
from pipeline.index import manifest as manifests
from pipeline.index.upkeep.verify import verify
from pipeline.job.report.record import load
from tests.faults import processes, stub
from tests.faults.calls import killing, watched
from tests.faults.counts import step


@pytest.fixture
def config(base: Path) -> Config:
    """Version 1 is live, version 2 was refused and is staged."""
    config = stub.stub_config(base)
    for version in range(2):
        stub.write_texts(base, version)
        stub.build(config)
    stub.write_texts(base, 2)
    stub.refused(config)
    return config


def staged_answers(config: Config) -> stub.Answers | None:
    try:
        return stub.answers(config.index_path, "staged")
    except IndexNotFoundError:
        return None


def each_kill(config: Config, job: Callable[[], object], every: int, check: Callable[[str], None]) -> int:
    """Kill `job` before each `every`-th call, on a fresh copy each time; returns how many calls it makes."""
    template = config.base / "template"
    shutil.copytree(config.index_path, template)
    at = 0
    while True:
        shutil.rmtree(config.index_path)
        shutil.copytree(template, config.index_path)

        def killed(at: int = at) -> None:
            with watched(killing(at)):
                job()

        ending = processes.run(killed)
        assert ending.finished or ending.signal == signal.SIGKILL, ending
        assert verify(config.index_path, deep=True).problems == ()
        check(f"killed at call {at}")
        if ending.finished:
            return at
        at += every


def test_every_step_of_a_publish(config: Config, expected: list[stub.Answers]) -> None:
    def check(what: str) -> None:
        live = manifests.latest_generation(config.index_path)
        assert live in (2, 3), what
        assert stub.answers(config.index_path) == expected[live - 1], what
        staged = staged_answers(config)
        assert staged in (None, expected[2]), what
        if live == 2:
            assert staged == expected[2], what
            stub.publish(config, force=True)
        assert stub.answers(config.index_path) == expected[2], what
        assert load(config.index_path, 3).refusals, what
        assert not stub.build(config).published, what
        assert staged_answers(config) is None, what
        assert not list(config.index_path.rglob("*.tmp")), what

    assert each_kill(config, lambda: stub.publish(config, force=True), step(2), check) >= 10


def test_a_refusal_that_takes_the_place_of_another(config: Config, expected: list[stub.Answers]) -> None:
    """Both name their deletions by the same number, so the old one must be gone before the new ones are written."""
    stub.write_texts(config.base, 3)

    def check(what: str) -> None:
        assert stub.answers(config.index_path) == expected[1], what
        assert staged_answers(config) in (None, expected[2], expected[3]), what
        stub.refused(config)
        assert staged_answers(config) == expected[3], what
        stub.publish(config, force=True)
        assert stub.answers(config.index_path) == expected[3], what
        assert verify(config.index_path, deep=True).problems == (), what

    assert each_kill(config, lambda: stub.refused(config), step(23), check) >= 40


def test_a_build_over_what_is_staged(config: Config, expected: list[stub.Answers]) -> None:
    stub.write_texts(config.base, 3)

    def check(what: str) -> None:
        live = manifests.latest_generation(config.index_path)
        assert stub.answers(config.index_path) == expected[1 if live == 2 else 3], what
        assert staged_answers(config) in (None, expected[2], expected[3]), what
        stub.build(config)
        assert stub.answers(config.index_path) == expected[3], what

    assert each_kill(config, lambda: stub.build(config), step(29), check) >= 40
