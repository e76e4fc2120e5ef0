"""A build that fails is told by `pipeline report` until one ends well, and the report never hides its error."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.config import Config
from pipeline.errors import (
    DeletionGuardError,
    EncoderError,
    GateRefusedError,
    IndexLockedError,
    PipelineError,
    RejectedDocumentsError,
)
from pipeline.index import store
from pipeline.job.report import failure
from pipeline.job.report.record import numbers
from tests.faults import stub
from tests.support.collection import config_for, write_documents


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_documents(tmp_path / "documents")
    return config_for(tmp_path)


def fail(config: Config) -> None:
    """A build whose encoding fails, with markup and a file name that is no UTF-8 in what it says."""
    gone = EncoderError("<b>gone</b>\nnear \udcff; start the server")
    with pytest.raises(EncoderError):
        stub.build(config, progress=stub.raising_at("encode", gone))


def report(config: Config, *options: str) -> Result:
    return CliRunner().invoke(cli, ["report", "--index", str(config.index_path), *options], env={"COLUMNS": "200"})


def test_a_failed_build_is_told_until_one_ends_well(config: Config) -> None:
    fail(config)
    failed = failure.load(config.index_path)
    assert failed is not None
    assert failed.reason == r"<b>gone</b>\nnear ?; start the server"
    assert [done.name for done in failed.stages] == ["ingest"]
    assert failed.stages[0].units > 0
    shown = report(config)
    assert (shown.exit_code, "failed" in shown.stdout, failed.reason in shown.stdout) == (0, True, True)
    page = failure.page_path(config.index_path).read_text("utf-8")
    assert "&lt;b&gt;gone&lt;/b&gt;" in page
    assert "<b>" not in page
    assert json.loads(report(config, "--json").stdout)["status"] == "failed"

    assert stub.build(config).published
    assert failure.load(config.index_path) is None
    assert not failure.page_path(config.index_path).exists()
    assert "generation 1 was published" in report(config).stdout


def test_it_stands_before_the_last_generation_and_hides_none(config: Config) -> None:
    stub.build(config)
    (config.base / "documents/bad.md").write_bytes(b"\x00")
    with pytest.raises(RejectedDocumentsError):
        stub.build(config, strict=True)
    assert "1 document was rejected" in report(config).stdout
    assert "generation 1 was published" in report(config, "1").stdout
    assert numbers(config.index_path) == [1]
    (config.base / "documents/bad.md").unlink()
    assert not stub.build(config).published  # nothing to do is a good end
    assert "generation 1 was published" in report(config).stdout


def test_what_the_deletion_guard_refuses_is_told(config: Config) -> None:
    stub.build(config)
    for path in sorted((config.base / "documents").rglob("*.*"))[1:]:
        path.unlink()
    with pytest.raises(DeletionGuardError):
        stub.build(config)
    assert "--allow-deletes" in report(config).stdout


def test_what_the_gate_refuses_has_its_own_report(config: Config) -> None:
    fail(config)
    with pytest.raises(GateRefusedError):
        stub.build(config.model_copy(update={"gate": stub.IMPOSSIBLE}))
    assert "generation 1 was refused" in report(config).stdout


def test_who_finds_the_index_locked_leaves_the_writers_report_alone(config: Config) -> None:
    stub.build(config)
    with store.lock(config.index_path), pytest.raises(IndexLockedError):
        stub.build(config)
    assert failure.load(config.index_path) is None


@pytest.mark.parametrize("command", [stub.ingest, stub.encode])
def test_each_half_of_a_build_tells_too(config: Config, command: Callable[[Config], object]) -> None:
    empty = config.model_copy(update={"sources": []})
    with pytest.raises(PipelineError) as caught:
        command(empty)
    failed = failure.load(config.index_path)
    assert failed is not None
    assert failed.reason == str(caught.value)


def test_a_disk_that_takes_no_report_does_not_hide_the_error(
    config: Config, no_room_for_reports: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        fail(config)
    assert "no report of this failure" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"status": 1}'])
def test_a_damaged_record_is_a_warning(config: Config, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    stub.build(config)
    failure.record_path(config.index_path).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert "generation 1 was published" in report(config).stdout
    assert "failure.json: cannot be read" in caplog.text
