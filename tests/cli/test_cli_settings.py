"""Which configuration a command goes by, and what it says of one that does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.collection import TEXTS, write_documents
from tests.support.command_line import refused, run


def write_beir(folder: Path) -> Path:
    """A BEIR folder of the sample texts, with one judged query."""
    (folder / "qrels").mkdir(parents=True)
    records = [{"_id": str(i), "title": "", "text": text} for i, text in enumerate(TEXTS.values())]
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps(record) for record in records))
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "reciprocal rank fusion"}\n')
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t2\t1\n")
    return folder


def test_chunks_that_the_encoder_does_not_read_whole_are_warned_of_once(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text("sources: [{path: documents}]\nchunking: {max_tokens: 512}\n")
    for command in (("build", "--dry-run"), ("ingest",), ("build",)):
        assert run(tmp_path, *command).stderr.count("chunking.max_tokens=512 is more than the encoder reads") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("models",),
        ("evaluate", "--beir", "beir"),
        ("tune", "--beir", "beir"),
        ("query", "x", "--index", "index"),
        ("repair", "--index", "index"),
        ("compact", "--index", "index"),
        ("build",),
    ],
    ids=lambda command: command[0],
)
def test_a_configuration_that_is_named_must_be_there(tmp_path: Path, command: tuple[str, ...]) -> None:
    write_beir(tmp_path / "beir")
    refused(tmp_path, "--quiet", "--config", "other.yaml", *command, code=2, says=r"other\.yaml: no such file")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("encoder: {bm25: {stemmer: klingon}}", "stemmer='klingon' is not a Snowball stemmer"),
        ("encoder: {model: embeded}", "encoder.model='embeded': .* did you mean `embedded`"),
        ("encoder: {model: ./nowhere}", "encoder.model='./nowhere': there is no folder .* not a hub id"),
        ("encoder: {lexical: bm52}", "encoder.lexical='bm52': .* did you mean `bm25`"),
        ("encoder: {model: none, lexical: none}", "nothing to index"),
        ("gate: {queries: no.tsv, qrels: no.tsv}", "gate: .*no.tsv: cannot be read"),
        ("gate: {queries: q.tsv, qrels: qrels.tsv, minimum: {nDCGG@10: 0.5}}", "gate: unknown measure 'nDCGG@10'"),
        ("gate: {queries: q.tsv, qrels: qrels.tsv, max_drop: {what: 0.5}}", "gate: unknown measure 'what'"),
        ("index: /proc/nope", "index: /proc/nope: no folder can be made there"),
        ("index: q.tsv/index", "index: q.tsv/index: no folder can be made there"),
        ("index: q.tsv", "index: q.tsv: no folder can be made there"),
        ("sources: []", "no sources are configured"),
    ],
)
def test_a_configuration_that_does_not_hold_is_exit_code_2(tmp_path: Path, text: str, says: str) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "q.tsv").write_text("1\trank fusion\n")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta.md\t1\n")
    sources = "" if text.startswith("sources") else "sources: [{path: documents}]\n"
    (tmp_path / "config.yaml").write_text(f"{text}\n{sources}")
    refused(tmp_path, "build", code=2, says=says)


def test_settings_that_the_index_was_not_built_with_are_exit_code_2(tmp_path: Path) -> None:
    write_documents(tmp_path / "documents")
    (tmp_path / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    assert run(tmp_path, "build").exit_code == 0
    (tmp_path / "config.yaml").write_text(
        "index: index\nsources: [{path: documents}]\nchunking: {max_tokens: 99}\n"
    )
    refused(tmp_path, "build", code=2, says="built with other settings .* `pipeline build --full`")


def test_a_fresh_project_is_told_what_is_missing(tmp_path: Path) -> None:
    assert run(tmp_path, "init").exit_code == 0
    refused(tmp_path, "build", code=1, says="documents: the folder is empty; put documents there")


def test_the_gate_does_not_judge_a_throw_away_index(tmp_path: Path) -> None:
    """Neither its questions, which are about other documents, nor the share of passages that cannot be read."""
    beir = write_beir(tmp_path / "beir")
    with (beir / "corpus.jsonl").open("a") as corpus:
        corpus.write("\n{broken" * 20)
    gate = (
        "gate: {expect: [{query: x, documents: [elsewhere.md]}], max_reject_ratio: 0, max_empty_vector_ratio: 0}\n"
    )
    (tmp_path / "config.yaml").write_text(gate + "max_delete_ratio: 0\n")
    result = run(tmp_path, "evaluate", "--beir", "beir", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["measures"]["lexical"]["nDCG@10"] == 1.0


FUNCTION = "def total(values):\n    found = 0\n    return found + sum(values)"
NO_CODE, JAVA = "sources: [{path: x, code: none}]\n", "sources: [{path: x, code: java}, {path: y, code: java}]\n"
DIFFERENT = "sources: [{path: x, code: none}, {path: y, code: java}]\n"


@pytest.mark.parametrize(
    ("config", "arguments", "language"),
    [
        ("", (), "python"),
        (NO_CODE, (), None),
        (JAVA, (), "java"),
        (NO_CODE, ("--code", "auto"), "python"),
        (DIFFERENT, ("--code", "java"), "java"),
    ],
)
def test_passages_of_beir_are_read_as_records_of_the_configured_sources(
    tmp_path: Path, config: str, arguments: tuple[str, ...], language: str | None
) -> None:
    """The language stands in the fence, so that its name finds the one record of code."""
    beir = write_beir(tmp_path / "beir")
    with (beir / "corpus.jsonl").open("a") as corpus:
        corpus.write("\n" + json.dumps({"_id": "code", "title": "", "text": FUNCTION}))
    (beir / "queries.jsonl").write_text('{"_id": "p", "text": "python"}\n{"_id": "j", "text": "java"}\n')
    (beir / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\np\tcode\t1\nj\tcode\t1\n")
    (tmp_path / "config.yaml").write_text(config)
    arguments = (
        "evaluate",
        "--beir",
        "beir",
        "--mode",
        "lexical",
        "--json",
        "--per-query",
        "found.tsv",
        *arguments,
    )
    result = run(tmp_path, *arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["per_query"]["lexical"]["nDCG@10"]
    assert found == {"p": float(language == "python"), "j": float(language == "java")}


def test_sources_that_differ_in_code_leave_open_how_passages_of_beir_are_read(tmp_path: Path) -> None:
    write_beir(tmp_path / "beir")
    (tmp_path / "config.yaml").write_text(DIFFERENT)
    for command in ("evaluate", "tune"):
        refused(
            tmp_path, command, "--beir", "beir", code=1, says=r"corpus\.jsonl: .*\(java, none\).* `--code java`"
        )
