"""An index that was built when `embedded` was an English model goes on with it until it is rebuilt."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.config import Config, EncoderSettings, parse_config
from pipeline.errors import IncompatibleIndexError
from pipeline.job import build as builder
from pipeline.models.local.english import english_fingerprint
from pipeline.query.searcher import open_index

KEPT = Path(__file__).parent.parent / "index/format_1"
LINE = "set encoder.model: embedded-english, or change to the multilingual model with `pipeline build --full`"


@pytest.fixture
def former(tmp_path: Path) -> Config:
    folder = tmp_path / "former"
    shutil.copytree(KEPT, folder)
    sources = [{"path": "documents"}]
    return parse_config({"index": "index", "sources": sources, "encoder": {"model": "embedded"}}, base=folder)


def add_page(config: Config) -> None:
    (config.base / "documents/en/later.md").write_text("# Later\n\nA page about quagmires.")


def test_it_opens_quietly_by_what_it_records(former: Config, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), open_index(former.index_path) as index:
        assert index.encoder.dense_fingerprint == english_fingerprint()
        assert index.search("roll back", 1)
    assert caplog.text == ""


def test_a_configuration_that_says_embedded_is_told_what_fits(
    former: Config, caplog: pytest.LogCaptureFixture
) -> None:
    with open_index(former.index_path, encoder={"model": "embedded"}) as index:
        assert index.search("roll back", 1)
        assert index.refresh() is index
    assert len(caplog.records) == 1
    assert LINE in caplog.text
    caplog.clear()
    with open_index(former.index_path, encoder={"model": "embedded-english"}) as index:
        assert index.search("roll back", 1)
    assert caplog.text == ""


def test_a_query_of_the_command_line_says_it_in_one_line(former: Config) -> None:
    path = former.base / "config.yaml"
    path.write_text("index: index\nsources: [{path: documents}]\n")
    done = CliRunner().invoke(cli, ["--config", str(path), "query", "roll back"])
    assert done.exit_code == 0, done.output
    assert LINE in " ".join(done.stderr.split())


def test_a_build_adds_vectors_of_the_former_model_and_records_it(
    former: Config, caplog: pytest.LogCaptureFixture
) -> None:
    add_page(former)
    assert builder.plan(former).chunks == 1
    caplog.clear()
    report = builder.build(former)
    assert (report.added, report.changed, report.deleted) == (1, 0, 0)
    assert [record.message for record in caplog.records if "embedded-english" in record.message]
    with open_index(former.index_path) as index:
        assert index.manifest.encoder["model"] == "embedded-english"
        assert index.manifest.fingerprint("dense") == english_fingerprint()
        assert index.search("quagmires", 1)[0].doc_id == "en/later.md"


def test_so_does_a_build_in_two_steps(former: Config) -> None:
    add_page(former)
    builder.ingest(former)
    assert builder.encode(former).added == 1
    with open_index(former.index_path) as index:
        assert index.manifest.fingerprint("dense") == english_fingerprint()


@pytest.mark.parametrize("steps", [1, 2])
def test_a_full_build_takes_the_new_model(former: Config, steps: int, caplog: pytest.LogCaptureFixture) -> None:
    if steps == 1:
        builder.build(former, full=True)
    else:
        builder.ingest(former, full=True)
        builder.encode(former)
    assert "embedded-english" not in caplog.text
    with open_index(former.index_path) as index:
        fields = dict(index.manifest.fingerprint("dense").fields)  # type: ignore[union-attr]
        assert fields["model"] == "intfloat/multilingual-e5-small"
        assert index.manifest.encoder["model"] == "embedded"
    with open_index(former.index_path, generation=2) as earlier:  # it can be rolled back
        assert earlier.search("roll back", 1)


def test_another_model_is_refused_as_ever(former: Config) -> None:
    with open_index(former.index_path) as index:
        recorded = EncoderSettings.model_validate(index.manifest.encoder)
    assert recorded.model == "embedded"
    builder.build(former, full=True)
    with pytest.raises(IncompatibleIndexError, match="multilingual-e5-small → sentence-transformers/all-MiniLM-L6"):
        open_index(former.index_path, encoder={"model": "embedded-english"})
