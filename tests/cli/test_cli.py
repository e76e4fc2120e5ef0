"""The command line as its users meet it: outputs, exit codes, and one line for every mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from pipeline.cli import cli
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.job import build as builder
from tests.support.collection import TEXTS, config_for, write_documents
from tests.support.command_line import refused, run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_documents(
        folder / "documents", {**TEXTS, "en/meta.md": "---\nlang: en\nyear: 2026\n---\nWith front matter."}
    )
    (folder / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    assert run(folder, "build").exit_code == 0
    return folder


def test_build_says_what_it_did(built: Path) -> None:
    result = run(built, "build")
    assert result.exit_code == 4
    assert result.stdout.startswith(
        "nothing to do: generation 1 is up to date (0 added, 0 changed, 0 moved, 0 deleted, 7 "
    )
    assert run(built, "--quiet", "build").output == ""


def test_a_filtered_query_says_nothing_beside_its_hits(built: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "query", "front matter", "--filter", "lang = 'en'", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=built)
    assert [hit["doc_id"] for hit in json.loads(done.stdout)["hits"]] == ["en/meta.md"]
    assert done.stderr == ""


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    result = run(tmp_path, "build", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"would encode {len(TEXTS)} chunks, about ")
    assert "dense vectors 4.6 kB" in result.stdout  # 6 chunks · 384 dimensions · 2 bytes
    assert "time unknown" in result.stdout
    assert not (tmp_path / "index").exists()


def test_a_build_that_would_delete_too_much_is_refused(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\nmax_delete_ratio: 0.1\n")
    assert run(tmp_path, "build").exit_code == 0
    (tmp_path / "documents/en/fusion.md").unlink()
    refused(tmp_path, "build", code=6, says="index: 1 of 6 documents are missing .*--allow-deletes")
    result = run(tmp_path, "build", "--dry-run")
    assert (result.exit_code, "1 deleted" in result.stdout) == (6, True)
    assert "would be refused: 1 of 6" in result.stderr
    assert run(tmp_path, "build", "--dry-run", "--allow-deletes").exit_code == 0
    assert run(tmp_path, "build", "--allow-deletes").exit_code == 0


def test_query_table(built: Path) -> None:
    result = run(built, "query", "build went wrong", "-k", "2", "--show", "lang")
    assert result.exit_code == 0
    for part in ("build went wrong", "en/rollback.md › Rolling back", "dense", "lexical", "lang"):
        assert part in result.stdout


def test_query_json(built: Path) -> None:
    record = json.loads(run(built, "query", "front matter", "-k", "1", "--json").stdout)
    hit = record["hits"][0]
    assert (hit["doc_id"], hit["metadata"], hit["rank"]) == ("en/meta.md", {"lang": "en", "year": 2026}, 1)
    assert hit["dense"]["rank"] == 1
    assert hit["lexical"]["score"] > 0
    record = json.loads(run(built, "query", "front matter", "-k", "1", "--json", "--mode", "lexical").stdout)
    assert record["hits"][0]["dense"] is None


def test_facets_are_counted_over_what_the_filter_keeps(built: Path) -> None:
    result = run(built, "query", "front matter", "--facet", "lang", "--facet", "year", "-k", "1")
    assert result.exit_code == 0
    assert re.search(r"lang\s*\n(.*\n){3}.*en\s*│\s*1\s*│\s*1\s*│", result.stdout), result.stdout
    assert "6 chunks without" in result.stdout
    command = ["query", "front matter", "--facet", "lang", "--facet", "doc_id", "--facet-limit", "1", "--json"]
    record = json.loads(run(built, *command, "--filter", "year > 2000").stdout)
    assert record["facets"] == {
        "lang": {"values": [{"value": "en", "chunks": 1, "documents": 1}], "distinct": 1, "missing": 0},
        "doc_id": {"values": [{"value": "en/meta.md", "chunks": 1, "documents": 1}], "distinct": 1, "missing": 0},
    }
    refused(built, "query", "x", "--facet", "lng", code=1, says="facet: unknown field 'lng'; did you mean 'lang'")
    refused(built, "query", "x", "--facet-limit", "3", code=2, says="--facet-limit: nothing is counted")
    refused(built, "query", "x", "--facet", "lang", "--run", "x.trec", code=2, says="--facet: --run and --output")


def test_queries_from_standard_input_and_files(built: Path, tmp_path: Path) -> None:
    result = run(built, "query", "--json", stdin="rank fusion\n\n바이그램\n")
    assert [json.loads(line)["query"] for line in result.stdout.splitlines()] == ["rank fusion", "바이그램"]
    batch = tmp_path / "q.jsonl"
    batch.write_text('{"_id": "a", "text": "rank fusion"}\n{"_id": "b", "text": "바이그램"}\n')
    lines = [json.loads(line) for line in run(built, "query", "--batch", str(batch), "--json").stdout.splitlines()]
    assert [line["query_id"] for line in lines] == ["a", "b"]
    assert lines[1]["hits"][0]["doc_id"] == "ko/tokens.md"
    same = run(built, "query", "--batch", "-", "--json", stdin=batch.read_text())
    assert [json.loads(line) for line in same.stdout.splitlines()] == lines


def test_trec_run(built: Path, tmp_path: Path) -> None:
    batch = tmp_path / "q.tsv"
    batch.write_text("q1\trank fusion\nq2\t바이그램\n")
    assert run(built, "query", "--batch", str(batch), "--run", str(tmp_path / "out.trec"), "-k", "3").exit_code == 0
    rows = [line.split() for line in (tmp_path / "out.trec").read_text().splitlines()]
    assert [row[0] for row in rows] == ["q1"] * 3 + ["q2"] * 3
    assert [row[3] for row in rows] == ["1", "2", "3"] * 2
    assert rows[0][1:3] == ["Q0", "en/fusion.md"]


def test_evaluate_built_index(built: Path, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"_id": "1", "text": "rank fusion"}\n{"_id": "2", "text": "unjudged"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\ten/fusion.md\t1\n9\tx\t1\n")
    arguments = ("evaluate", "--queries", str(tmp_path / "q.jsonl"), "--qrels", str(tmp_path / "qrels.tsv"))
    record = json.loads(run(built, *arguments, "--json").stdout)
    assert set(record["measures"]) == {"dense", "lexical", "hybrid"}
    assert record["measures"]["hybrid"] == {"nDCG@10": 1.0, "R@100": 1.0, "MRR@10": 1.0}
    assert record["unjudged_queries"] == ["2"]
    assert record["missing_queries"] == ["9"]
    assert "nDCG@10" in run(built, *arguments).stdout


def test_evaluate_writes_runs_tables_and_plots(built: Path, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"_id": "1", "text": "rank fusion"}\n')
    (tmp_path / "qrels.txt").write_text("1 0 en/fusion.md 1\n1 0 gone.md 1\n")
    files = ("--queries", str(tmp_path / "q.jsonl"), "--qrels", str(tmp_path / "qrels.txt"))
    outputs = ("--save-run", str(tmp_path / "runs"), "--per-query", str(tmp_path / "table.tsv"))
    result = run(built, "evaluate", *files, *outputs, "--fusion", "rrf", "--plot", str(tmp_path / "plot.svg"))
    assert "1 judged document not in the index, counted as not found: gone.md" in result.stderr
    assert "paired randomisation test" in result.stdout
    names = ["dense", "hybrid", "hybrid-rrf", "lexical"]
    assert sorted(path.stem for path in (tmp_path / "runs").iterdir()) == names
    assert len((tmp_path / "table.tsv").read_text().splitlines()) == 1 + len(names)
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    again = ("evaluate", *files, "--baseline", str(tmp_path / "runs/hybrid.trec"), "--mode", "hybrid", "--json")
    record = json.loads(run(built, *again).stdout)
    assert record["measures"]["baseline"] == record["measures"]["hybrid"]
    assert {one["p"] for one in record["comparisons"]} == {1.0}
    assert record["missing_documents"] == ["gone.md"]
    refused(built, "evaluate", *files, "--plot", "plot.pdf", code=1, says="a plot is")


def test_evaluate_beir(tmp_path: Path) -> None:
    beir = tmp_path / "beir"
    (beir / "qrels").mkdir(parents=True)
    records = [{"_id": str(i), "title": "", "text": text} for i, text in enumerate(TEXTS.values())]
    (beir / "corpus.jsonl").write_text("\n".join(json.dumps(r) for r in records))
    (beir / "queries.jsonl").write_text('{"_id": "q", "text": "reciprocal rank fusion"}\n')
    (beir / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t2\t1\n")
    result = run(tmp_path, "evaluate", "--beir", str(beir), "--json")
    assert result.stderr == ""  # whole passages are on purpose, however little of them is read
    record = json.loads(result.stdout)
    assert record["measures"]["lexical"]["nDCG@10"] == 1.0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["beir"]


def test_status_and_generations(built: Path) -> None:
    record = json.loads(run(built, "status", "--json").stdout)
    assert (record["generation"], record["documents"]) == (1, 7)
    assert record["fingerprints"].keys() == {"dense", "lexical", "chunker"}
    assert "7 documents" in run(built, "status").stdout
    assert json.loads(run(built, "generations", "--json").stdout)["generation"] == 1
    assert "(live)" in run(built, "generations", "--index", "index").stdout


def test_rollback_and_gc(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\nretain: 9\n")
    assert run(tmp_path, "build").exit_code == 0
    refused(
        tmp_path,
        "rollback",
        code=1,
        says=r"no generation is left before the live one \(1\); `pipeline build` makes a new one",
    )
    (tmp_path / "documents/new.txt").write_text("new words")
    assert run(tmp_path, "build").exit_code == 0
    assert "published generation 3: rollback to generation 1" in run(tmp_path, "rollback").stdout
    assert (
        json.loads(run(tmp_path, "query", "new words", "-k", "1", "--json").stdout)["hits"][0]["doc_id"]
        != "new.txt"
    )
    assert "removed 1 segment; generations left: [3]" in run(tmp_path, "gc", "--retain", "1").stdout


def test_rollback_without_a_number_goes_to_the_newest_generation_that_is_left(tmp_path: Path) -> None:
    config = config_for(tmp_path, encoder={"model": "none"})
    for number in range(5):
        write_documents(tmp_path / "documents", {f"{number}.md": f"Document {number}."})
        builder.build(config.model_copy(update={"retain": 9}))
    for gone in (3, 4):
        manifests.manifest_path(config.index_path, gone).unlink()
    assert "generation 6: rollback to generation 2" in run(tmp_path, "rollback", "--index", "index").stdout
    with store.lock(config.index_path):
        store.collect_garbage(config.index_path, retain=2)
    assert "generation 7: rollback to generation 5" in run(tmp_path, "rollback", "--index", "index").stdout
    with store.lock(config.index_path):
        store.collect_garbage(config.index_path, retain=1)
    says = r"index: no generation is left before the live one \(7\); `pipeline build` makes a new one"
    refused(tmp_path, "rollback", "--index", "index", code=1, says=says)
    refused(tmp_path, "rollback", "--index", "nowhere", code=1, says="nowhere: no index here")
    assert not (tmp_path / "nowhere").exists()


def test_init_writes_a_configuration_that_works(tmp_path: Path) -> None:
    assert run(tmp_path, "init", "project").exit_code == 0
    (tmp_path / "project/documents/a.md").write_text("# A\n\nSome text.")
    assert run(tmp_path / "project", "build").exit_code == 0
    refused(tmp_path, "init", "project", code=2, says="is there already")


def test_rejects_show_in_output_file_and_exit_code(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "documents/bad.txt").write_bytes(b"\x00\x01")
    (tmp_path / "documents/rows.jsonl").write_text('{"_id": "1", "text": "fine"}\n{broken\n')
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    result = run(tmp_path, "build")
    assert result.exit_code == 3
    assert "rejected documents/bad.txt: " in result.stderr
    assert "rejected documents/rows.jsonl:2: " in result.stderr
    listed = [json.loads(line) for line in (tmp_path / "index/rejects/00000001.jsonl").read_text().splitlines()]
    assert sorted(entry["source"] for entry in listed) == ["documents/bad.txt", "documents/rows.jsonl:2"]
    refused(tmp_path, "build", "--full", "--strict", code=3, says="2 documents were rejected; index/rejects/")


def test_mistakes_get_one_line(built: Path, tmp_path: Path) -> None:
    refused(tmp_path, "query", "x", code=2, says=r"config\.yaml: no such file; `pipeline init`")
    refused(tmp_path, "query", "x", "--index", "nowhere", code=1, says="nowhere: no index here")
    refused(built, "query", "  ", code=1, says="the query is empty")
    refused(built, "query", "x", "-k", "0", code=1, says="k=0")
    refused(built, "query", "x", "--generation", "8", code=1, says="no generation 8; there are: 1")
    refused(built, "query", "--batch", "nowhere.jsonl", code=1, says="nowhere.jsonl: cannot be read")
    refused(built, "query", "--batch", "config.yaml", "--run", "config.yaml/x", code=1, says="cannot be written")
    refused(built, "evaluate", code=2, says="give --beir DIR, or --queries")
    refused(built, "evaluate", "--beir", "documents", code=1, says=r"queries\.jsonl: cannot be read")
    refused(built, "query", stdin="", code=1, says="standard input: no queries")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("indx: a", "unknown key `indx`; did you mean `index`"),
        ("chunking: {max_tokens: lots}", "`chunking.max_tokens`: .* got 'lots'"),
        ("chunking: {max_tokens: 32, overlap_tokens: 32}", "overlap_tokens=32 must be below"),
        ("index: [", "not valid YAML"),
        ("- a", "expected `key: value`"),
        ("", "no sources are configured"),
        ("sources: [{path: nowhere}]", "nowhere"),
        ("sources: [{path: empty}]", "empty: the folder is empty; put documents there"),
        ("sources: [{path: documents}]\nencoder: {model: unheard/of}", "unheard/of"),
    ],
)
def test_configuration_mistakes(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text(text)
    result = run(tmp_path, "build")
    assert result.exit_code in (1, 2)
    assert re.search(says, result.stderr), result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "indexes/default/segments").exists()


def test_a_lexical_query_without_a_known_word_says_so(built: Path) -> None:
    result = run(built, "query", "xyzzyq", "--mode", "lexical")
    assert result.exit_code == 0
    assert "no hits: none of the query's words is in the index, or the filter leaves nothing" in result.stdout


def test_a_damaged_index_is_one_line(built: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(built / "index", tmp_path / "index")
    path = next((tmp_path / "index/segments").rglob("postings.arrow"))
    path.write_bytes(path.read_bytes()[:-1])
    refused(tmp_path, "query", "x", "--index", "index", code=1, says=r"postings\.arrow: \d+ bytes where")
    path.unlink()
    refused(tmp_path, "query", "x", "--index", "index", code=1, says=r"postings\.arrow: missing")


def test_logs_as_json(tmp_path: Path) -> None:
    """Every line of standard error is an object, and standard output holds results only."""
    write_documents(tmp_path / "documents")
    (tmp_path / "documents/bad.txt").write_bytes(b"\x00\x01")
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    result = run(tmp_path, "--log-json", "build")
    assert (result.exit_code, result.stdout) == (3, "")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    by_event = {line.get("event"): line for line in lines}
    assert (by_event["rejected"]["source"], by_event["rejected"]["level"]) == ("documents/bad.txt", "warning")
    built = by_event["built"]
    assert (built["published"], built["generation"], built["added"], built["exit_code"]) == (True, 1, len(TEXTS), 3)
    stages = {line["stage"]: line for line in lines if line.get("event") == "stage"}
    assert stages["encode"]["units"] == len(TEXTS)
    failed = run(tmp_path, "--log-json", "build", "--strict", "--full")
    (line,) = [json.loads(line) for line in failed.stderr.splitlines() if '"failed"' in line]
    assert (line["level"], line["exit_code"], failed.exit_code) == ("error", 3, 3)
    assert line["message"].startswith("1 document was rejected")
    result = run(tmp_path, "--log-json", "query", "rank fusion", "--json")
    assert (json.loads(result.stdout)["query"], result.stderr) == ("rank fusion", "")
    assert run(tmp_path, "--quiet", "--log-json", "gc").stderr == ""


def commands() -> dict[str, click.Command]:
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {"": cli, **{name: command for name, command in found.items() if command is not None}}


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_option_is_documented(name: str) -> None:
    text = (ROOT / "docs/cli.md").read_text("utf-8")
    command = commands()[name]
    assert command.help
    if name:
        assert f"## pipeline {name}" in text
        text = text.split(f"## pipeline {name}\n")[1].split("\n## ")[0]
    shared = {parameter.name for parameter in cli.params} if name else set()
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in shared:
            assert parameter.help or parameter.name == "version", parameter.opts
            long = max(parameter.opts, key=len)
            assert f"`{long}" in text, f"docs/cli.md lacks {long} of {name or 'pipeline'}"


def test_a_cold_query_imports_no_model_library(built: Path) -> None:
    script = (
        "import sys; sys.argv = ['pipeline', 'query', 'rank fusion']\n"
        "import pipeline.cli\n"
        "try: pipeline.cli.main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "print('LOADED', *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=built, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert not loaded & {
        "torch",
        "transformers",
        "sentence_transformers",
        "FlagEmbedding",
        "pandas",
        "numba",
        "numpy.ma",
        "duckdb",
        "pyarrow.parquet",
        "pyarrow.fs",
    }


def test_similar(built: Path, tmp_path: Path) -> None:
    """By id, by text and by file; what asks is no hit, and a file is cut so that all of it counts."""
    table = run(built, "similar", "en/rollback.md", "-k", "1", "--mode", "lexical")
    assert table.exit_code == 0
    assert table.stdout.startswith("like en/rollback.md")
    (tmp_path / "long.txt").write_text("Nothing to see here at all. " * 400 + TEXTS["en/fusion.md"])
    for asked in (["--file", str(tmp_path / "long.txt")], ["--text", TEXTS["en/fusion.md"]]):
        found = json.loads(run(built, "similar", *asked, "-k", "1", "--mode", "lexical", "--json").stdout)
        assert [hit["doc_id"] for hit in found["hits"]] == ["en/fusion.md"]
    boosted = run(built, "similar", "en/rollback.md", "--boost", "2 if lang = 'ko'", "--explain", "--json")
    assert {one["boosts"][0]["boost"] for one in json.loads(boosted.stdout)["hits"]} == {"2 if lang = 'ko'"}
    refused(built, "similar", "en/rollback.md", "--boost", "5 if", code=1, says="'5 if' is no boost")
    refused(built, "similar", "nope", code=1, says="'nope': the index has no such document")
    (tmp_path / "empty.txt").touch()
    refused(built, "similar", "--file", str(tmp_path / "empty.txt"), code=1, says="empty; give a file")
    refused(built, "similar", "--file", str(tmp_path), code=1, says="a folder; name one file")
    refused(
        built, "similar", "--file", str(tmp_path / "no.txt"), code=1, says=r"no\.txt: no such file; name one file"
    )
    assert run(built, "similar").exit_code == 2
