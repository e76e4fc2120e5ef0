"""Files that an interrupted ingest has read and cut as a whole are not read again while they look the same."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.index.cut.parts import cut_parts
from pipeline.ingest import readers, stage
from pipeline.ingest.workers import ahead
from pipeline.job import build as builder
from tests.job.test_resumed_ingest import Words, ingest, staged, written
from tests.support.collection import config_for
from tests.support.reading import names_read, results_taken

LONG_AGO = 1_700_000_000_000_000_000
FILES = 12
Files = list[list[int]]


@pytest.fixture(autouse=True)
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read."""
    return names_read(monkeypatch)


def collection(folder: Path, counts: Files | None = None) -> Config:
    """Files of JSON lines: of each the words of its documents. Without `counts`, one of one word each."""
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    for number, documents in enumerate(counts or [[1]] * FILES):
        rows = [
            {"id": f"d{number:02d}.{n}", "text": " ".join(f"w{number}.{n}.{i}" for i in range(count))}
            for n, count in enumerate(documents)
        ]
        path = folder / f"documents/{number:02d}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return config_for(folder, encoder={"model": "none"}, encode={"shard_chunks": 4})


def interrupt(config: Config, at: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        ingest(config, Words(stops=at))


def names(*numbers: int) -> list[str]:
    return [f"{number:02d}.jsonl" for number in numbers]


@pytest.fixture
def interrupted(tmp_path: Path, read: list[str]) -> Config:
    """Two parts of four files each stand; the last of these may go on in the next part."""
    config = collection(tmp_path)
    interrupt(config, "d10.0")
    assert len(cut_parts(config.index_path)) == 2
    read.clear()
    return config


def test_they_are_not_read_again(tmp_path: Path, interrupted: Config, read: list[str]) -> None:
    ingest(interrupted, Words())
    assert read == names(*range(7, FILES))
    at_once = collection(tmp_path / "once")
    ingest(at_once, Words())
    assert staged(interrupted) == staged(at_once)


def touch(config: Config) -> None:
    os.utime(config.base / "documents/03.jsonl", ns=(LONG_AGO + 1, LONG_AGO + 1))


def change(config: Config) -> None:
    path = config.base / "documents/03.jsonl"
    path.write_text(path.read_text().replace("w3.0.0", "w3.0.1"))


def lose(config: Config) -> None:
    cut_parts(config.index_path)[0].path.unlink()


def forget_looks(config: Config) -> None:
    for part in cut_parts(config.index_path, of_files=True):
        part.path.unlink()


@pytest.mark.parametrize(
    ("what", "wanted"),
    [(touch, [3]), (change, [3]), (lose, [0, 1, 2, 3, 4]), (forget_looks, range(7))],
)
def test_what_does_not_fit_is_read(
    interrupted: Config, read: list[str], what: Callable[[Config], None], wanted: list[int]
) -> None:
    what(interrupted)
    ingest(interrupted, Words())
    assert read == names(*wanted, *range(7, FILES))


def test_other_settings_of_a_source_read_it_anew(interrupted: Config, read: list[str]) -> None:
    source = interrupted.sources[0].model_copy(update={"text_field": "id"})
    ingest(interrupted.model_copy(update={"sources": [source]}), Words())
    assert read == names(*range(FILES))


def test_rehash_reads_every_file_and_cuts_none_again(interrupted: Config, read: list[str]) -> None:
    again = Words()
    ingest(interrupted, again, rehash=True)
    assert read == names(*range(FILES))
    assert len(again.cut) == FILES - 7


def test_of_an_ingest_that_waits_for_encoding_nothing_is_read(tmp_path: Path, read: list[str]) -> None:
    config = collection(tmp_path, [[1, 2], [3], [1, 1, 1], [9]])
    ingest(config, Words())
    first = staged(config)
    read.clear()
    again = Words()
    ingest(config, again)
    assert (read, again.cut, staged(config)) == ([], [], first)


def test_a_night_over_a_live_generation(tmp_path: Path, read: list[str]) -> None:
    """Unchanged files are not read since they are live, those before the interruption since they are cut."""
    config = collection(tmp_path)
    builder.build(config, chunker=Words())
    for number in range(2, FILES):
        path = tmp_path / f"documents/{number:02d}.jsonl"
        path.write_text(path.read_text().replace("w", "v"))
    interrupt(config, "d11.0")
    read.clear()
    report = builder.build(config, chunker=Words())
    assert read == names(*range(9, FILES))
    assert (report.changes.changed, report.changes.unchanged) == (10, 2)


def test_a_rejected_document_is_rejected_again(tmp_path: Path, read: list[str]) -> None:
    """A file that gives a rejection is read, so that it is told each time."""
    config = collection(tmp_path, [[1]] * 10)
    path = tmp_path / "documents/01.jsonl"
    path.write_text(path.read_text() + '{"id": "broken"}\n')
    interrupt(config, "d09.0")
    read.clear()
    report = builder.ingest(config, chunker=Words())
    assert read == names(1, 7, 8, 9)
    assert [one.file for one in report.rejections] == ["documents/01.jsonl"]


@settings(max_examples=40)
@given(
    counts=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=2, max_size=6),
    stops=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=3),
    lost=st.sets(st.integers(0, 12), max_size=3),
    seconds=st.sampled_from([0.0, stage.KEEP_SECONDS]),
)
def test_whatever_is_left_the_same_is_staged(
    tmp_path_factory: pytest.TempPathFactory,
    counts: Files,
    stops: list[tuple[int, int]],
    lost: set[int],
    seconds: float,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "KEEP_SECONDS", seconds)
        goes_on(tmp_path_factory, counts, stops, lost)


def goes_on(
    tmp_path_factory: pytest.TempPathFactory, counts: Files, stops: list[tuple[int, int]], lost: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("ingest")
    at_once, in_steps = collection(folder / "once", counts), collection(folder / "steps", counts)
    ingest(at_once, Words())
    for file, document in stops:
        try:
            ingest(in_steps, Words(stops=f"d{file:02d}.{document}"))
        except KeyboardInterrupt:
            for part in cut_parts(in_steps.index_path):
                if part.number in lost:
                    part.path.unlink()
    ingest(in_steps, Words())
    assert staged(in_steps) == staged(at_once)


def test_processes_are_not_given_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "WORTH_WORKERS_BYTES", 0)
    monkeypatch.setattr(ahead, "MOST_FILES", 1)
    at_once, in_steps = written(tmp_path / "once"), written(tmp_path / "steps")
    builder.ingest(at_once)
    taken = results_taken(monkeypatch, 40)
    with pytest.raises(KeyboardInterrupt):
        builder.ingest(in_steps)
    before = {file.name for ticket, _ in taken for file in ticket.job.files}
    taken.clear()
    builder.ingest(in_steps)
    assert staged(in_steps) == staged(at_once)
    again = {file.name for ticket, _ in taken for file in ticket.job.files}
    assert len(again & before) < 12, "those of the part that was not full"
    assert again >= {f"{number:03d}.txt" for number in range(40, 60)}
