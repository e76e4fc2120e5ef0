"""`pipeline status` and `pipeline generations`: what is live, what waits, what is damaged, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.config import Config
from pipeline.errors import GateRefusedError
from pipeline.index import manifest as manifests
from tests.faults import stub


@pytest.mark.parametrize(("kind", "shown"), [("IVF2,SQ8", "IVF2,SQ8"), ("auto", "exact")])
def test_how_a_segment_is_searched(tmp_path: Path, kind: str, shown: str) -> None:
    stub.write_texts(tmp_path, 0, 60)
    config = stub.stub_config(tmp_path, segments={"max_chunks": 60, "dense": kind})
    stub.build(config)
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


def asked(config: Config, *command: str) -> Result:
    arguments = [*command, "--index", str(config.index_path)]
    return CliRunner().invoke(cli, arguments, env={"COLUMNS": "200"}, obj=stub.options())


def test_an_index_in_which_nothing_is_published_yet_says_what_waits(tmp_path: Path) -> None:
    stub.write_texts(tmp_path, 0, 12)
    config = stub.stub_config(tmp_path, gate={"expect": [{"query": "apples", "documents": ["nowhere.txt"]}]})
    assert "no index here" in asked(config, "status").stderr
    stub.ingest(config)
    shown = asked(config, "status")
    assert (shown.exit_code, "an ingest is staged: `pipeline encode` publishes it" in shown.stdout) == (0, True)
    with pytest.raises(GateRefusedError):
        stub.encode(config)
    shown = asked(config, "status").stdout
    assert "nothing is published yet" in shown
    assert "the gate refused generation 1, it is staged: expected is 0.0000" in shown
    record = json.loads(asked(config, "status", "--json").stdout)
    assert (record["generation"], record["generations"], record["refused"]["generation"]) == (None, [], 1)


@pytest.mark.parametrize("damaged", [1, 2, 3])
def test_the_other_generations_are_listed_when_one_is_damaged(tmp_path: Path, damaged: int) -> None:
    config = stub.stub_config(tmp_path)
    for version in range(3):
        stub.write_texts(tmp_path, version)
        stub.build(config)
    manifests.manifest_path(config.index_path, damaged).write_text("{}")
    result = asked(config, "generations")
    assert result.exit_code == 1
    assert f"manifest-0000000{damaged}.json: is not a manifest" in result.stderr
    listed = [json.loads(line)["generation"] for line in asked(config, "generations", "--json").stdout.splitlines()]
    assert listed == [number for number in (3, 2, 1) if number != damaged]
    assert ("3 (live)" in result.stdout) == (damaged != 3)
    assert "2 (live)" not in result.stdout


@pytest.mark.parametrize("name", ["postings.arrow", "lengths.npy", "dense.faiss", "chunks.parquet"])
def test_a_damaged_file_names_the_command_that_mends_it(tmp_path: Path, name: str) -> None:
    stub.write_texts(tmp_path, 0, 12)
    config = stub.stub_config(tmp_path)
    stub.build(config)
    path = next(config.index_path.rglob(name))
    data = path.read_bytes()
    for bad in (data[:-1], bytes([data[0] ^ 1]) + data[1:], None):
        path.unlink()
        if bad is not None:
            path.write_bytes(bad)
        said = asked(config, "query", "apples")
        assert said.exit_code == 1
        assert f"{name}: " in said.stderr
        assert said.stderr.rstrip().endswith("`pipeline repair` mends what it can, or says what to do")
        path.write_bytes(data)
