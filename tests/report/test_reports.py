"""Every build leaves a report that says what it did, and its page can be opened anywhere by anyone."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
from contextlib import AbstractContextManager
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from pipeline.cli import cli
from pipeline.config import Config
from pipeline.errors import CorruptIndexError, GateRefusedError, IndexNotFoundError
from pipeline.ingest.workers.tally import Reading, ReadingLoss, ReadingShare
from pipeline.job.report.page import page, write
from pipeline.job.report.record import BuildRecord, chunk_lengths, history, load, page_path, record_path
from pipeline.job.stopwatch import StageTime, Stopwatch
from pipeline.progress import remark
from pipeline.records import Rejection
from pipeline.render.report_tables import record_tables
from tests.faults import stub
from tests.support.collection import TEXTS, config_for, write_documents


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_documents(tmp_path / "documents")
    (tmp_path / "documents/bad.md").write_bytes(b"\x00\x01\x02")
    return config_for(tmp_path)


RECORD = BuildRecord(
    generation=8,
    status="published",
    created_at="2026-01-02T03:04:05+00:00",
    seconds=75.0,
    documents=10,
    chunks=20,
    segments=2,
    bytes=1234,
    added=1,
    changed=2,
    deleted=3,
    unchanged=4,
    held=0,
    new_chunks=5,
    encoded=5,
    full=False,
    peak_bytes=50_000_000,
    stages=(StageTime("encode", 5, "chunk", 2.0, 50_000_000),),
    rejected=0,
)


def test_workers_that_read_and_what_went_wrong_with_them_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    shares = (ReadingShare("reader 1 (a:7)", 4, 300, 800, 2.0), ReadingShare("reader 2", 0, 0, 0, 0.0))
    losses = (ReadingLoss("reader 3 (<b>:9)", "docs/c.txt", "the node died"),)
    record = dataclasses.replace(RECORD, reading=Reading(shares, losses, 4))
    html = page(record, [])
    for told in (
        "Workers that read",
        "reader 1 (a:7)",
        "<td class=n>400.0",
        "reader 3 (&lt;b&gt;:9)",
        "docs/c.txt",
    ):
        assert told in html
    assert "and 3 more, in the log." in html
    record_tables(Console(width=200), record)
    shown = capsys.readouterr().out
    assert re.search(r"reader 1 \(a:7\)\W+300\W+800\W+400\.0", shown)
    assert "in trouble: reader 3 (<b>:9): docs/c.txt: the node died" in shown
    assert "Workers that read" not in page(RECORD, [])


def test_a_stopwatch_passes_remarks_to_bars_that_show_them() -> None:
    told: list[str] = []

    class Bar(AbstractContextManager["Bar"]):
        def __exit__(self, *given: object) -> None: ...

        def update(self, n: float = 1) -> None: ...

        def set_postfix_str(self, text: str) -> None:
            told.append(text)

    with Stopwatch(lambda *given: Bar())("ingest", None, "doc") as bar:
        remark(bar, "2 workers, 1 lost")
    with Stopwatch()("ingest", None, "doc") as bar:
        remark(bar, "nobody looks")
    assert told == ["2 workers, 1 lost"]


def test_a_build_leaves_a_record_of_itself(config: Config) -> None:
    stub.build(config, note="the first")
    record = load(config.index_path)
    assert (record.generation, record.status, record.note) == (1, "published", "the first")
    assert (record.added, record.documents, record.rejected) == (len(TEXTS), len(TEXTS), 1)
    assert [rejection.source for rejection in record.rejections] == ["documents/bad.md"]
    assert (record.new_chunks, record.encoded) == (len(TEXTS), len(TEXTS))
    stages = {stage.name: stage for stage in record.stages}
    assert stages["ingest"].units == len(TEXTS)
    assert stages["encode"].units == len(TEXTS)
    assert sum(stage.seconds for stage in record.stages) <= record.seconds
    assert record.lengths is not None
    assert sum(record.lengths.counts) == len(TEXTS)
    assert record.lengths.longest == max(map(len, (text for text in TEXTS.values())))
    assert record.peak_bytes > 1_000_000
    assert len(json.loads(record_path(config.index_path, 1).read_text("utf-8"))) == len(dataclasses.fields(record))


def test_nothing_to_do_writes_none_and_resumed_shards_are_not_counted_as_encoded(config: Config) -> None:
    stub.build(config)
    stub.build(config)
    assert history(config.index_path, 100) == [load(config.index_path, 1)]
    write_documents(config.base / "documents", {"new.md": "New."})
    with pytest.raises(GateRefusedError):
        stub.build(config.model_copy(update={"gate": stub.IMPOSSIBLE}))
    refused = load(config.index_path)
    assert (refused.generation, refused.status, refused.encoded) == (2, "refused", 1)
    assert "was refused" in page_path(config.index_path, 2).read_text("utf-8")
    stub.publish(config, force=True)
    forced = load(config.index_path)
    assert (forced.status, forced.refusals) == ("published", refused.refusals)
    assert forced.note.startswith("published by force: expected")
    assert "Published by force although" in page_path(config.index_path, 2).read_text("utf-8")


def test_a_resumed_build_says_how_little_it_encoded(config: Config) -> None:
    gated = config.model_copy(update={"gate": stub.IMPOSSIBLE})
    for encoded in (len(TEXTS), 0):
        with pytest.raises(GateRefusedError):
            stub.build(gated)
        assert load(config.index_path).encoded == encoded


def test_a_report_that_cannot_be_written_does_not_fail_a_build(
    config: Config, no_room_for_reports: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert stub.build(config).published
    assert "no report of generation 1" in caplog.text
    with pytest.raises(IndexNotFoundError, match="no reports: every build writes one"):
        load(config.index_path)


class Seen(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_runs_nothing_and_fetches_nothing() -> None:
    """Whatever a hostile source, reason, note or measure says."""
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    record = dataclasses.replace(
        RECORD,
        note=evil,
        rejected=3,
        rejections=(Rejection(evil, evil),),
        refusals=(evil,),
        measures={evil: 0.5},
        live_measures={evil: 0.75},
        stages=(StageTime(evil, 5, evil, 2.0, 1),),
    )
    text = page(record, [dataclasses.replace(record, generation=7, measures={evil: 0.25})])
    seen = Seen(text)
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "span", "ul", "li"}
    allowed |= {"table", "thead", "tbody", "tr", "th", "td", "svg", "text", "rect", "line", "polyline", "circle"}
    assert {tag for tag, _ in seen.tags} <= allowed
    assert not {name for _, attributes in seen.tags for name in attributes if name.startswith("on")}
    assert not {name for _, attributes in seen.tags for name in attributes} & {"src", "href", "action"}
    assert not re.search(r"url\(|@import|https?:", text)
    assert seen.text.count(evil) >= 6
    assert "default-src 'none'" in text
    assert "and 2 more" in seen.text


def test_the_page_says_what_the_record_says() -> None:
    record = dataclasses.replace(RECORD, measures={"nDCG@10": 0.5}, live_measures={"nDCG@10": 0.625})
    text = Seen(page(record)).text
    for part in ("Generation 8 was published", "took 1 min 15 s", "2.5", "50 MB", "0.5000", "0.6250", "-0.1250"):
        assert part in text
    assert "The last generations" not in text
    assert "The last generations" in Seen(page(record, [dataclasses.replace(record, generation=7)])).text


def test_lengths_add_up(tmp_path: Path) -> None:
    assert chunk_lengths([]) is None
    for number, spans in enumerate([[(0, 10), (8, 30)], [(5, 5)]]):
        start, end = zip(*spans, strict=True)
        pq.write_table(pa.table({"start": pa.array(start), "end": pa.array(end)}), tmp_path / f"{number}.parquet")
    lengths = chunk_lengths([tmp_path / "0.parquet", tmp_path / "1.parquet"])
    assert lengths is not None
    assert (sum(lengths.counts), lengths.longest, lengths.median) == (3, 22, 10.0)
    assert lengths.mean == pytest.approx(32 / 3)
    assert (lengths.counts[0], lengths.counts[-1]) == (1, 1)
    assert np.all(np.diff(lengths.edges) > 0)


def test_a_damaged_report_is_an_error_alone_and_a_gap_in_the_plots(tmp_path: Path) -> None:
    for generation in (1, 2, 3):
        write(tmp_path, dataclasses.replace(RECORD, generation=generation))
    record_path(tmp_path, 2).write_text("{")
    assert [record.generation for record in history(tmp_path, 4)] == [1, 3]
    with pytest.raises(CorruptIndexError, match=r"00000002\.json: cannot be read"):
        load(tmp_path, 2)
    with pytest.raises(IndexNotFoundError, match="no report of generation 9; there are: 1, 2, 3"):
        load(tmp_path, 9)


def test_the_stopwatch_passes_progress_on_and_adds_up() -> None:
    watch = Stopwatch()
    for count in (2, 3):
        with watch("encode", None, "chunk") as bar:
            bar.update(count)
            bar.update()
    assert [(stage.name, stage.units, stage.unit) for stage in watch.stages] == [
        ("encode", 3, "chunk"),
        ("encode", 4, "chunk"),
    ]
    assert watch.seconds_of("encode") == sum(stage.seconds for stage in watch.stages)
    assert watch.seconds_of("gate") == 0


def run(folder: Path, *arguments: str) -> Result:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(cli, list(arguments), obj=stub.options())
    finally:
        os.chdir(before)


def test_the_command(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    (config.base / "config.yaml").write_text("index: index\nsources: [{path: documents}]\n")
    assert run(config.base, "report").exit_code == 1
    assert run(config.base, "build", "--note", "spring").exit_code == 3
    shown = run(config.base, "report")
    assert shown.exit_code == 0
    for part in ("generation 1 was published", "spring", "6 added", "encode", "rejected documents/bad.md"):
        assert part in shown.stdout
    opened: list[str] = []
    monkeypatch.setattr("click.launch", lambda url: opened.append(url) or 0)
    page_path(config.index_path, 1).unlink()  # as if the build had been killed before it
    assert json.loads(run(config.base, "report", "1", "--open", "--json").stdout)["note"] == "spring"
    assert page_path(config.index_path, 1).exists()
    assert opened == [page_path(config.index_path, 1).resolve().as_uri()]
    assert "spring" in run(config.base, "generations").stdout
