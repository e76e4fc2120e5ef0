"""Batches on the command line: files of results, their speed, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.errors import QueryError
from pipeline.job import build as builder
from pipeline.query.files.results import lines_file
from pipeline.query.fusion.methods import METHODS
from tests.support.collection import config_for, write_documents

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    write_documents(folder / "documents")
    builder.build(config_for(folder))
    (folder / "config.yaml").write_text("index: index\nsources:\n  - path: documents\n")
    records = [
        {"_id": "a", "text": "rank fusion"},
        {"_id": "b", "text": "바이그램"},
        {"_id": "c", "text": "chunks"},
    ]
    (folder / "q.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "q.tsv").write_text("a\trank fusion\nb\t바이그램\nc\tchunks\n", "utf-8")
    (folder / "q.txt").write_text("rank fusion\n바이그램\nchunks\n", "utf-8")
    return folder


@pytest.fixture
def run(built: Path) -> Run:
    def invoke(*arguments: str, quiet: bool = False) -> Result:
        before = ["--config", str(built / "config.yaml"), *(["--quiet"] if quiet else [])]
        return CliRunner().invoke(cli, [*before, "query", *arguments])

    return invoke


def test_every_form_of_queries_and_files_agrees(
    built: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cli.query.BLOCK_QUERIES", 2)
    printed = run("--batch", str(built / "q.jsonl"), "--json", "-k", "3")
    assert printed.exit_code == 0, printed.stderr
    lines = printed.stdout.splitlines()
    assert [json.loads(line)["query_id"] for line in lines] == ["a", "b", "c"]
    for name in ("q.jsonl", "q.tsv"):
        files = {kind: tmp_path / f"{name}.{kind}" for kind in ("jsonl", "parquet", "trec")}
        asked = ("--batch", str(built / name), "-k", "3")
        assert run(*asked, "--output", str(files["jsonl"])).stdout == ""
        assert files["jsonl"].read_text("utf-8").splitlines() == lines
        both = run(*asked, "--output", str(files["parquet"]), "--run", str(files["trec"]))
        assert both.exit_code == 0, both.stderr
        rows = pq.read_table(files["parquet"]).to_pylist()
        hits = [(json.loads(line)["query_id"], hit) for line in lines for hit in json.loads(line)["hits"]]
        assert len(rows) == len(hits) == 9
        for row, (query_id, hit) in zip(rows, hits, strict=True):
            assert (row["query_id"], row["rank"], row["chunk_id"], row["score"]) == (
                query_id,
                hit["rank"],
                hit["chunk_id"],
                pytest.approx(hit["score"], abs=1e-4),
            )
            assert row["dense"] == pytest.approx(hit["dense"]["score"], abs=1e-4)
            assert row["reranker"] is None
            assert json.loads(row["metadata"]) == hit["metadata"]
        trec = [line.split() for line in files["trec"].read_text("utf-8").splitlines()]
        assert [(row["query_id"], row["doc_id"]) for row in rows] == [(line[0], line[2]) for line in trec]
    plain = run("--batch", str(built / "q.txt"), "--json", "-k", "3").stdout.splitlines()
    assert [json.loads(line)["hits"][0]["chunk_id"] for line in plain] == [
        json.loads(line)["hits"][0]["chunk_id"] for line in lines
    ]
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_throughput_is_printed_for_batches_only(built: Path, run: Run) -> None:
    batch = ("--batch", str(built / "q.jsonl"), "--json")
    assert "3 queries in " in run(*batch).stderr
    assert " queries a second" in run(*batch).stderr
    assert run(*batch, quiet=True).stderr == ""
    assert run("rank", "--json").stderr == ""


@pytest.mark.parametrize("method", METHODS)
def test_fusion_by_name(run: Run, method: str) -> None:
    hits = json.loads(run("rank fusion", "--json", "--explain", "--fusion", method).stdout)["hits"]
    assert sum(hits[0][leg]["contribution"] for leg in ("dense", "lexical")) == pytest.approx(hits[0]["score"])
    if method == "rrf":
        assert hits[0]["dense"]["normalized"] == pytest.approx(1 / (60 + hits[0]["dense"]["rank"]))


def test_a_preset_by_name(run: Run) -> None:
    hits = json.loads(run("rank fusion", "--json", "--explain", "--fusion", "m3-mldr").stdout)["hits"]
    assert [hits[0][leg]["weight"] for leg in ("dense", "lexical")] == pytest.approx([0.2, 0.8])


def test_refusals(built: Path, tmp_path: Path, run: Run) -> None:
    def refused(code: int, *arguments: str) -> str:
        result = run(*arguments)
        assert result.exit_code == code, result.output
        return result.stderr

    batch = ("--batch", str(built / "q.jsonl"))
    (tmp_path / "empty").write_text("\n")
    assert "no queries" in refused(1, "--batch", str(tmp_path / "empty"))
    assert "unknown fusion 'rff'; did you mean 'rrf'?" in refused(1, "x", "--fusion", "rff")
    assert "k=0" in refused(1, *batch, "-k", "0", "--output", str(tmp_path / "x.jsonl"))
    assert not (tmp_path / "x.jsonl").exists()
    assert "must end in .jsonl or .parquet" in refused(2, *batch, "--output", "x.csv")
    for option in ("--run", "--output"):
        assert "give one or the other" in refused(2, *batch, "--json", option, str(tmp_path / "x.jsonl"))
    assert "nothing reranks" in refused(2, "x", "--rerank-top", "5")
    assert "nothing reranks" in refused(2, "x", "--rerank", "none", "--rerank-top", "5")
    (tmp_path / "file").touch()
    for name in ("file/x.jsonl", "file/x.parquet"):
        assert "cannot be written" in refused(1, *batch, "--output", str(tmp_path / name))
    (tmp_path / "folder.jsonl").mkdir()
    assert "it is a folder" in refused(1, *batch, "--output", str(tmp_path / "folder.jsonl"))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_run_beside_it_does_not_collapse_the_output(tmp_path: Path) -> None:
    text = "\n\n".join(f"# Part {i}\n\nfusion of ranks, told again" for i in range(4))
    write_documents(tmp_path / "documents", {"long.md": text, "other.md": "fusion"})
    builder.build(config_for(tmp_path, chunking={"max_tokens": 12, "overlap_tokens": 0}))
    asked = ["query", "--index", str(tmp_path / "index"), "fusion", "-k", "9"]
    files = {"--run": tmp_path / "a/x.trec", "--output": tmp_path / "b/c/x.jsonl"}
    both = CliRunner().invoke(cli, [*asked, *(part for pair in files.items() for part in map(str, pair))])
    assert both.exit_code == 0, both.output
    assert sorted(line.split()[2] for line in files["--run"].read_text().splitlines()) == ["long.md", "other.md"]
    printed = CliRunner().invoke(cli, [*asked, "--json"]).stdout
    written = json.loads(files["--output"].read_text())
    assert written["hits"] == json.loads(printed)["hits"]
    assert len(written["hits"]) > 2


def test_parquet_keeps_ranks_and_explanations(built: Path, tmp_path: Path, run: Run) -> None:
    for explain in ([], ["--explain"]):
        path = tmp_path / "x.parquet"
        assert run("rank fusion", "-k", "3", *explain, "--output", str(path)).exit_code == 0
        hits = json.loads(run("rank fusion", "-k", "3", *explain, "--json").stdout)["hits"]
        for row, hit in zip(pq.read_table(path).to_pylist(), hits, strict=True):
            assert (row["dense_rank"], row["lexical_rank"]) == (hit["dense"]["rank"], hit["lexical"]["rank"])
            assert (row["reranker"], row["reranker_rank"]) == (None, None)
            if not explain:
                assert (row["explanation"], row["matches"]) == (None, None)
                continue
            assert json.loads(row["matches"]) == hit.get("matches", [])
            parts = json.loads(row["explanation"])
            assert sum(part["contribution"] for part in parts.values()) == pytest.approx(row["score"])
            assert parts["dense"]["weight"] == hit["dense"]["weight"]


def test_a_field_that_no_hit_has_is_named_once(built: Path, run: Run) -> None:
    shown = run("--batch", str(built / "q.txt"), "--show", "nosuch", quiet=True)
    assert shown.exit_code == 0
    assert shown.stderr == "--show nosuch: none of the hits has it\n"


def test_a_file_that_was_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), lines_file(path, lambda query, hits: ["new"]) as add:
        add([], [])
        raise ZeroDivisionError
    assert path.read_text() == "old"
    with pytest.raises(QueryError, match="name another file"), lines_file(tmp_path, lambda query, hits: []):
        pass
