"""`pipeline status` says how the dense leg of each segment is searched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import builder
from pipeline.cli import cli
from pipeline.index import manifest as manifests
from tests.faults import stub


@pytest.mark.parametrize(("kind", "shown"), [("IVF2,SQ8", "IVF2,SQ8"), ("auto", "exact")])
def test_how_a_segment_is_searched(tmp_path: Path, kind: str, shown: str) -> None:
    stub.write_texts(tmp_path, 0, 60)
    config = stub.stub_config(tmp_path, segments={"max_chunks": 60, "dense": kind})
    with stub.patched():
        builder.build(config)
    index = str(config.index_path)
    table = CliRunner().invoke(cli, ["status", "--index", index], env={"COLUMNS": "200"}).stdout
    assert shown in table
    record = json.loads(CliRunner().invoke(cli, ["status", "--index", index, "--json"]).stdout)
    found = record["segments"][0]["dense"]
    live = manifests.load(config.index_path, 1).segments[0].dense
    if kind == "auto":
        assert live is None
        assert found is None
    else:
        assert live is not None
        assert (found["kind"], found["probes"], found["recall"]) == (kind, live.probes, live.recall)
        assert f"recall {live.recall:.3f}" in table
