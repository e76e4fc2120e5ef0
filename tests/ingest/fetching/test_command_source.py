"""A command's output is indexed as the file with these lines would be, and only if the command went well."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import Config, parse_config
from pipeline.errors import DeletionGuardError, PipelineError, SourceError
from pipeline.index import store
from pipeline.job import build as builder
from pipeline.job.build_report import BuildReport
from pipeline.query.searcher import open_index

RECORD = st.fixed_dictionaries(
    {"id": st.integers(0, 6).map("d{}".format), "text": st.sampled_from(["pears", "plums and pears", " ", "감자"])},
    optional={"n": st.none() | st.integers(0, 3), "title": st.sampled_from(["A", "B"])},
)
LINE = RECORD.map(lambda record: json.dumps(record, ensure_ascii=False)) | st.sampled_from(
    ["", '{"id": "x"}', "[1]", '{"text": 3}', "{broken"]
)
LINES = st.builds(lambda first, rest: [first, *rest], RECORD.map(json.dumps), st.lists(LINE, max_size=6))


def config_of(folder: Path, source: dict[str, Any], index: str = "index", **changes: Any) -> Config:
    raw = {"index": index, "sources": [source], "encoder": {"model": "none"}, **changes}
    return parse_config(raw, base=folder)


def from_python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def stored(config: Config) -> list[tuple[Any, ...]]:
    """All that an index holds of its chunks, but for the name of the source."""
    with open_index(config.index_path) as index:
        hits = [hit for query in ("pears", "감자") for hit in index.search(query, k=100)]
    live = store.live_documents(config.index_path, store.live_manifest(config.index_path))
    documents = sorted((doc_id, document.content_hash) for doc_id, document in live.items())
    return [*documents, *((h.chunk_id, h.score, h.text, dict(h.metadata)) for h in hits)]


def told(report: BuildReport) -> tuple[Any, ...]:
    changes = report.added, report.changed, report.unchanged, report.deleted, report.moved
    return (*changes, sorted((r.line, r.reason.split(";")[0]) for r in report.rejections))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, min_size=1, max_size=4))
def test_every_night_is_that_of_the_file_with_these_lines(
    tmp_path_factory: pytest.TempPathFactory, nights: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("parity")
    changes = {"max_delete_ratio": 1.0, "gate": {"max_reject_ratio": 1.0, "min_document_ratio": 0.0}}
    ours = config_of(folder, {"command": "cat lines", "name": "lines.jsonl"}, "ours", **changes)
    theirs = config_of(folder, {"path": "lines.jsonl"}, "theirs", **changes)
    for lines in nights:
        (folder / "lines").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        (folder / "lines.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        outcomes = []
        for config in (ours, theirs):
            try:
                outcomes.append(told(builder.build(config)))
            except PipelineError as error:
                outcomes.append((type(error), str(error).replace("theirs", "ours")))
        assert outcomes[0] == outcomes[1]
        if store.live_manifest(theirs.index_path) is not None:
            assert stored(ours) == stored(theirs)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A source that prints `docs.jsonl`, with a generation of three documents."""
    write(tmp_path, 3)
    config = config_of(tmp_path, {"command": "cat docs.jsonl && sh then.sh", "name": "docs"})
    (tmp_path / "then.sh").write_text("true")
    builder.build(config)
    return config


def write(folder: Path, count: int) -> None:
    lines = [json.dumps({"id": f"d{i}", "text": f"pears number {i}"}) for i in range(count)]
    (folder / "docs.jsonl").write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    ("then", "says"),
    [
        ("echo out of paper >&2; exit 3", r"command: docs: ended with exit code 3; it said: out of paper; nothing"),
        ("exit 1", r"ended with exit code 1; it said nothing on standard error"),
        ("kill -9 $PPID", r"was killed by Killed"),
        ('printf \'{"id": "d9", "te\'', r"its last line is no JSON \('\{\"id\": \"d9\", \"te'\), with no line end"),
    ],
)
def test_a_command_that_fails_ends_the_build_and_deletes_nothing(config: Config, then: str, says: str) -> None:
    before = stored(config)
    write(config.base, 1)
    (config.base / "then.sh").write_text(then)
    with pytest.raises(SourceError, match=says):
        builder.build(config, allow_deletes=True)
    assert stored(config) == before
    (config.base / "then.sh").write_text("true")
    assert builder.build(config, allow_deletes=True).deleted == 2


def test_deletions_are_guarded_as_those_of_files(config: Config) -> None:
    write(config.base, 1)
    with pytest.raises(DeletionGuardError, match="2 of 3 documents are missing"):
        builder.build(config)
    write(config.base, 0)
    report = builder.build(config)
    assert [(r.source, r.reason) for r in report.rejections] == [("command: docs", "empty")]
    assert report.deleted == 0


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("import os; os.write(1, bytes(range(256)) * 99)", r"its first line is no JSON"),
        ("while True: print('y')", r"its first line is no JSON \('y'\)"),
        ("while True: print('\\0' * 9999, end='')", r"its first line is no JSON"),
        ("print([1])", r"its first line is JSON, but no object \('\[1\]'\)"),
        ("print('no record at all', end='')", r"its first line is no JSON \('no record at all'"),
    ],
)
def test_output_that_is_no_json_lines_ends_the_build(tmp_path: Path, script: str, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        builder.build(config_of(tmp_path, {"command": from_python(script)}))


def test_endless_output_is_ended_in_time(tmp_path: Path) -> None:
    script = 'while True: print(\'{"text": "pears"}\')'
    source = {"command": from_python(script), "timeout_seconds": 0.5}
    config = config_of(tmp_path, source)
    with pytest.raises(SourceError, match=r"took longer than timeout_seconds=0\.5 allows, and was ended"):
        builder.build(config)
    assert not [path for path in (config.index_path / "fetched").rglob("*") if path.is_file()]


def test_a_long_line_is_one_document_and_a_longer_one_is_rejected(tmp_path: Path) -> None:
    script = (
        "import json\nprint(json.dumps({'id': 'long', 'text': 'pears ' * 1_700_000}))\n"
        "print(json.dumps({'id': 'longer', 'text': 'pears ' * 2_100_000}))\n"
        "print(json.dumps({'id': 'short', 'text': 'pears'}))\n"
    )
    config = config_of(
        tmp_path, {"command": from_python(script)}, ingest={"max_document_mb": 12.0}, chunking={"max_tokens": 508}
    )
    report = builder.ingest(config)
    assert report.staged.changes.added == 2
    assert [r.line for r in report.rejections] == [2]


def test_nothing_new_is_not_read_again(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = next((config.index_path / "fetched").iterdir())
    before = (mirror / "records.jsonl").stat()
    builder.build(config, rehash=True)  # the record of the first build may be too fresh to be believed
    report = builder.build(config)
    assert (report.published, report.unchanged) == (False, 3)
    assert (mirror / "records.jsonl").stat() == before


def test_planning_fetches_and_leaves_the_index_alone(config: Config) -> None:
    def looks() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in config.index_path.rglob("*")}

    before = looks()
    write(config.base, 4)
    assert builder.plan(config).changes.added == 1
    assert looks() == before


def test_ingest_and_encode_do_it_in_two_steps(config: Config) -> None:
    write(config.base, 4)
    builder.ingest(config)
    assert builder.encode(config).added == 1


def test_other_settings_have_another_mirror_and_the_old_one_goes(config: Config) -> None:
    (before,) = (config.index_path / "fetched").iterdir()
    source = {**config.sources[0].model_dump(exclude_defaults=True), "prefix": "p/"}
    builder.build(config_of(config.base, source), allow_deletes=True)
    (after,) = (config.index_path / "fetched").iterdir()
    assert before != after
    write(config.base, 3)
    builder.build(config_of(config.base, {"path": "docs.jsonl"}), allow_deletes=True)
    assert not list((config.index_path / "fetched").iterdir())


def test_no_secret_is_shown_or_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "t0psecret")
    script = 'echo "{\\"text\\": \\"pears\\"}"; echo "$SHOP_TOKEN $KEY postgres://u:pa55@h/d" >&2; exit '
    failing, fine = (config_of(tmp_path, {"command": f"KEY=w0rd sh export.sh {code}"}) for code in (2, 0))
    (tmp_path / "export.sh").write_text(f"{script}$1")
    with pytest.raises(SourceError) as caught:
        builder.build(failing)
    builder.build(fine)
    told = str(caught.value) + "".join(
        path.read_bytes().decode("utf-8", "replace") for path in fine.index_path.rglob("*") if path.is_file()
    )
    assert "command: sh: ended with exit code 2; it said: … … postgres://…@h/d" in told
    for secret in ("t0psecret", "w0rd", "pa55"):
        assert secret not in told


def test_a_command_runs_where_the_configuration_is(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/docs.jsonl").write_text('{"text": "pears"}\n')
    for command in ("cat docs.jsonl", ["cat", "docs.jsonl"]):
        report = builder.build(config_of(tmp_path / "here", {"command": command}))
        assert report.added + report.unchanged == 1
