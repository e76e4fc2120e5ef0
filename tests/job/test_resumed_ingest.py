"""An ingest that is interrupted leaves what it has cut; the next one takes that over and stages what one would."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.index import files, staging
from pipeline.index.cut.parts import cut_folder, cut_parts
from pipeline.index.upkeep.verify import verify
from pipeline.ingest import readers, stage
from pipeline.ingest.cutting.contract import chunks_of
from pipeline.ingest.workers import ahead
from pipeline.job import build as builder
from pipeline.progress import Progress, silent
from pipeline.records import Chunk, Document, Fingerprint
from tests.faults import stub
from tests.job.test_precomputed import BARE, vectors, write
from tests.support.collection import config_for
from tests.support.reading import results_taken

COUNT = 24


class Words:
    """A chunk a word. `stops`: at which document it is interrupted."""

    def __init__(self, stops: str = "", version: int = 1) -> None:
        self.fingerprint = Fingerprint.of(kind="words", version=version)
        self.stops, self.cut = stops, list[str]()

    def chunk(self, document: Document) -> Iterator[Chunk]:
        if document.doc_id == self.stops:
            raise KeyboardInterrupt
        self.cut.append(document.doc_id)
        words, start, spans = document.text.split(" "), 0, list[tuple[int, int]]()
        for word in words:
            spans.append((start, start + len(word)))
            start += len(word) + 1
        return chunks_of(document, spans)


class Bars:
    """Progress that shows texts."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, description: str, total: int | None, unit: str) -> Progress:
        bar = silent(description, total, unit)
        bar.set_postfix_str = self.shown.append  # type: ignore[attr-defined]
        return bar


def collection(folder: Path, counts: list[int] | None = None) -> Config:
    """A file of JSON lines, a document each, of so many words."""
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    counts = counts or [1 + number % 5 for number in range(COUNT)]
    rows = [{"id": f"d{n}", "text": " ".join(f"w{n}.{i}" for i in range(count))} for n, count in enumerate(counts)]
    (folder / "documents/all.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return config_for(folder, encoder={"model": "none"}, encode={"shard_chunks": 4})


def staged(config: Config) -> dict[str, bytes]:
    """What a complete ingest left, by file."""
    folder = staging.ingest_folder(config.index_path)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def ingest(config: Config, chunker: Words, **options: bool) -> None:
    builder.ingest(config, chunker=chunker, **options)


def interrupt(config: Config, at: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        ingest(config, Words(stops=at))
    assert not staging.ingest_folder(config.index_path).exists()


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=10),
    stops=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    seconds=st.sampled_from([0.0, stage.KEEP_SECONDS]),
)
def test_one_that_goes_on_stages_the_same(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], stops: list[int], seconds: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "KEEP_SECONDS", seconds)
        goes_on(tmp_path_factory, counts, stops)


def goes_on(tmp_path_factory: pytest.TempPathFactory, counts: list[int], stops: list[int]) -> None:
    folder = tmp_path_factory.mktemp("ingest")
    at_once, in_steps = collection(folder / "once", counts), collection(folder / "steps", counts)
    ingest(at_once, Words())
    for stop in (stop % len(counts) for stop in stops):
        with_it = in_steps.model_copy(deep=True)
        try:
            ingest(with_it, Words(stops=f"d{stop}"))
        except KeyboardInterrupt:
            assert not staging.ingest_folder(in_steps.index_path).exists()
    ingest(in_steps, Words())
    assert staged(in_steps) == staged(at_once)
    assert not cut_folder(in_steps.index_path).exists()


def test_what_stands_in_whole_parts_is_not_cut_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = collection(tmp_path, [1] * COUNT)
    interrupt(config, "d17")
    assert len(cut_parts(config.index_path)) == 4
    again, bars = Words(), Bars()
    with caplog.at_level(logging.INFO):
        builder.ingest(config, chunker=again, progress=bars)
    assert bars.shown == ["15 cut before"]
    assert again.cut == [f"d{number}" for number in range(15, COUNT)], "the 16th may have gone on in the next part"
    assert "15 documents are cut already" in caplog.text


def test_where_it_takes_long_what_is_not_full_yet_is_kept_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, at_once = collection(tmp_path / "steps", [3] * 9), collection(tmp_path / "once", [3] * 9)
    ingest(at_once, Words())
    monkeypatch.setattr(stage, "KEEP_SECONDS", 0.0)
    interrupt(config, "d7")
    parts = cut_parts(config.index_path)
    assert [part.is_so_far for part in parts] == [False] * 5 + [True]
    again = Words()
    ingest(config, again)
    assert again.cut == ["d7", "d8"], "it ends where a document does"
    assert staged(config) == staged(at_once)


def test_a_part_that_was_full_and_is_lost_is_not_bridged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the end came before an earlier form of it was removed, and the disk lost the later one."""
    config, at_once = collection(tmp_path / "steps", [3] * 9), collection(tmp_path / "once", [3] * 9)
    ingest(at_once, Words())
    monkeypatch.setattr(stage, "KEEP_SECONDS", 0.0)
    interrupt(config, "d1")
    (so_far,) = cut_parts(config.index_path)
    saved = so_far.path.read_bytes()
    so_far.path.unlink()
    interrupt(config, "d7")
    first, *_ = cut_parts(config.index_path)
    first.path.unlink()
    so_far.path.write_bytes(saved)
    again = Words()
    ingest(config, again)
    assert again.cut == ["d1", "d7", "d8"], "its beginning stood in the part that is lost"
    assert staged(config) == staged(at_once)


def test_a_changed_document_is_cut_again(tmp_path: Path) -> None:
    config = collection(tmp_path, [1] * COUNT)
    interrupt(config, "d17")
    path = tmp_path / "documents/all.jsonl"
    path.write_text(path.read_text().replace("w3.0", "changed"))
    again = Words()
    ingest(config, again)
    assert again.cut == ["d3", *(f"d{number}" for number in range(15, COUNT))]
    at_once = collection(tmp_path / "once", [1] * COUNT)
    (tmp_path / "once/documents/all.jsonl").write_text(path.read_text())
    ingest(at_once, Words())
    assert staged(config) == staged(at_once)


@pytest.mark.parametrize("harm", ["version", "damage", "none"])
def test_what_does_not_fit_is_cut_again(tmp_path: Path, harm: str) -> None:
    config = collection(tmp_path, [1] * COUNT)
    interrupt(config, "d17")
    if harm == "damage":
        for part in cut_parts(config.index_path):
            part.path.write_bytes(part.path.read_bytes()[:-9])
    again = Words(version=2 if harm == "version" else 1)
    ingest(config, again)
    assert len(again.cut) == (COUNT - 15 if harm == "none" else COUNT)


def test_an_ingest_that_waits_for_encoding_is_not_cut_again(tmp_path: Path) -> None:
    """As when a build died while it encoded."""
    config = collection(tmp_path)
    ingest(config, Words())
    first, again = staged(config), Words()
    ingest(config, again)
    assert (again.cut, staged(config)) == ([], first)


def test_a_full_build_goes_on_as_well(tmp_path: Path) -> None:
    config = collection(tmp_path, [1] * COUNT)
    builder.build(config, chunker=Words())
    with pytest.raises(KeyboardInterrupt):
        ingest(config, Words(stops="d17"), full=True)
    again = Words()
    report = builder.build(config, chunker=again, full=True)
    assert (len(again.cut), report.chunks) == (COUNT - 15, COUNT)
    assert verify(config.index_path, deep=True).ok


def test_what_is_live_is_not_taken_for_new(tmp_path: Path) -> None:
    """As when a generation is brought back that has what an interrupted ingest had cut."""
    config = collection(tmp_path, [1] * COUNT)
    builder.build(config, chunker=Words())
    with pytest.raises(KeyboardInterrupt):
        ingest(config, Words(stops="d17"), full=True)
    assert cut_parts(config.index_path)
    report = builder.build(config, chunker=Words(), rehash=True)
    assert (report.published, report.encoded_chunks) == (False, 0)
    assert not cut_folder(config.index_path).exists()


def test_what_a_killed_writer_left_half_done_is_swept(tmp_path: Path) -> None:
    config = collection(tmp_path)
    folder = cut_folder(config.index_path)
    folder.mkdir(parents=True)
    (folder / ".part.parquet.0123.tmp").write_bytes(b"half")
    (folder / "0-0000-00000-strange.parquet").write_bytes(b"no part")
    ingest(config, Words())
    assert not folder.exists()


def test_a_part_that_moved_before_the_end_came_is_cut_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, at_once = collection(tmp_path / "steps", [1] * COUNT), collection(tmp_path / "once", [1] * COUNT)
    ingest(at_once, Words())
    move, moved = files.move_file, list[Path]()

    def dies(path: Path, destination: Path) -> None:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(path)
        move(path, destination)

    monkeypatch.setattr(files, "move_file", dies)
    with pytest.raises(KeyboardInterrupt):
        ingest(config, Words())
    monkeypatch.undo()
    again = Words()
    ingest(config, again)
    assert again.cut == [f"d{number}" for number in (*range(9), COUNT - 1)]
    assert staged(config) == staged(at_once)


def written(folder: Path) -> Config:
    """Files of several paragraphs, in more jobs than are handed in at once."""
    (folder / "documents").mkdir(parents=True)
    for number in range(60):
        text = "".join(
            f"Paragraph {n} of document {number}. {'Some words. ' * 40}\n\n" for n in range(1 + number % 4)
        )
        (folder / "documents" / f"{number:03d}.txt").write_text(text)
    return config_for(folder, encoder={"model": "none"}, encode={"shard_chunks": 8}, ingest={"processes": 2})


def test_processes_that_cut_are_told_what_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "WORTH_WORKERS_BYTES", 0)
    monkeypatch.setattr(ahead, "MOST_FILES", 1)
    at_once, in_steps = written(tmp_path / "once"), written(tmp_path / "steps")
    builder.ingest(at_once)
    taken = results_taken(monkeypatch, 20)
    with pytest.raises(KeyboardInterrupt):
        builder.ingest(in_steps)
    kept = 8 * len(cut_parts(in_steps.index_path))
    assert kept > 30
    taken.clear()
    builder.ingest(in_steps)
    every = staged(at_once)
    assert staged(in_steps) == every
    rows = sum(len(result.table) for _, result in taken)
    total = json.loads(every[staging.SUMMARY])["chunks"]
    assert total - kept <= rows <= total - kept + 4, "and the document that may lack its end"


def test_vectors_that_sources_give_are_read_again(tmp_path: Path) -> None:
    """They stand beside their texts only when the ingest is complete."""
    write(tmp_path, vectors())
    config = config_for(tmp_path, encoder=BARE, encode={"shard_chunks": 2})
    builder.ingest(config)
    first = staged(config)
    assert {name for name in first if name.endswith(".given.parquet")}
    builder.ingest(config)
    assert staged(config) == first


def test_a_plan_leaves_what_was_cut_alone(tmp_path: Path) -> None:
    config = collection(tmp_path, [1] * COUNT)
    interrupt(config, "d17")
    parts = cut_parts(config.index_path)
    assert len(parts) == 4
    builder.plan(config, chunker=Words())
    assert cut_parts(config.index_path) == parts


def test_a_night_with_deletions_after_an_interruption(tmp_path: Path) -> None:
    stub.write_texts(tmp_path / "steps", 0)
    stub.write_texts(tmp_path / "once", 0)
    in_steps, at_once = stub.stub_config(tmp_path / "steps"), stub.stub_config(tmp_path / "once")
    for config in (in_steps, at_once):
        stub.build(config, chunker=Words())
    for version in (1, 2):
        stub.write_texts(tmp_path / "steps", version)
        with pytest.raises(KeyboardInterrupt):
            stub.build(in_steps, chunker=Words(stops=f"{23 + version:03d}.txt"))
    stub.write_texts(tmp_path / "once", 2)
    reports = [stub.build(config, chunker=Words()) for config in (in_steps, at_once)]
    assert reports[0].chunks == reports[1].chunks
    assert reports[0].changes == reports[1].changes
    assert verify(in_steps.index_path, deep=True).ok
