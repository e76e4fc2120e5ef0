"""A reader moves on to the live generation when it says so, and not before."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.errors import IncompatibleIndexError
from tests.faults import stub


@pytest.fixture
def config(tmp_path: Path) -> Config:
    stub.write_texts(tmp_path, 0)
    config = stub.stub_config(tmp_path)
    stub.build(config)
    return config


def test_what_is_live_is_itself(config: Config) -> None:
    with stub.open_index(config.index_path) as index:
        assert index.refresh() is index


def test_moving_on_loads_no_encoder_and_leaves_the_old_one_be(config: Config) -> None:
    with stub.open_index(config.index_path, settings=config.query) as index:
        before = stub.ask(index)
        stub.write_texts(config.base, 1)
        stub.build(config)
        with index.refresh() as fresh:
            assert (index.manifest.generation, fresh.manifest.generation) == (1, 2)
            assert (fresh.encoder, fresh.settings) == (index.encoder, index.settings)
            assert stub.ask(index) == before
            after = stub.ask(fresh)
            assert fresh.refresh() is fresh
    assert after == stub.answers(config.index_path) != before


def test_a_staged_generation_moves_on_to_the_live_one(config: Config) -> None:
    stub.write_texts(config.base, 1)
    stub.refused(config)
    with stub.open_index(config.index_path, generation="staged") as staged:
        assert staged.refresh().manifest.generation == 1
        stub.publish(config, force=True)
        assert staged.refresh().manifest.generation == 2


def test_another_encoder_is_refused(config: Config) -> None:
    with stub.open_index(config.index_path) as index:
        before = stub.ask(index)
        stub.sign(
            config.index_path,
            lambda m: dataclasses.replace(m, fingerprints=m.fingerprints | {"dense": {"kind": "another"}}),
        )
        with pytest.raises(IncompatibleIndexError, match="another"):
            index.refresh()
        assert stub.ask(index) == before
