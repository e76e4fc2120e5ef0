"""What a long-lived program searches while others publish."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipeline.integrations.lending import Followed
from pipeline.job import build as builder
from pipeline.query.searcher import open_index
from tests.support.collection import config_for, write_documents


def test_a_server_moves_on_to_new_generations(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_documents(tmp_path / "documents", {"one.md": "first words"})
    config = config_for(tmp_path)
    builder.build(config)
    now = 0.0
    with open_index(config.index_path) as index:
        followed = Followed(index, seconds=5.0, clock=lambda: now)

        def found() -> int:
            with followed.lent() as lent:
                return len(lent.search("words"))

        write_documents(tmp_path / "documents", {"two.md": "second words"})
        builder.build(config)
        assert found() == 1  # not yet looked
        now = 6.0
        with followed.lent() as newer:
            assert len(newer.search("words")) == 2
            assert len(index.search("words")) == 1
        write_documents(tmp_path / "documents", {"three.md": "third words"})
        builder.build(config)
        (config.index_path / "manifest-00000003.json").write_text("{}")
        with caplog.at_level(logging.ERROR):
            now = 12.0
            assert found() == 2
            now = 18.0
            assert found() == 2
        assert caplog.text.count("goes on at generation 2") == 1
