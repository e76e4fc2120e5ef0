"""Documents that never end: pipes and the like are not waited for, and each document has a time limit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import parse_config
from pipeline.errors import ConfigError, PipelineError
from pipeline.ingest import parser_process
from pipeline.ingest.formats import by_suffix as formats
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.opening import RegularFile, open_regular
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document
from tests.ingest.conftest import Read, forever, order, outcomes

SUFFIXES = [".txt", ".md", ".jsonl", ".csv", ".parquet", ".html"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_pipe_is_not_waited_for(read: Read, tmp_path: Path, suffix: str) -> None:
    """Found in a folder, named as the source itself, and put where discovery saw a file."""
    pytest.importorskip("mammoth")
    os.mkfifo(tmp_path / f"src/pipe{suffix}")
    _, (rejection,) = read(include=["**/*"])
    assert "a pipe, socket or device" in rejection.reason
    _, (rejection,) = read(path=f"src/pipe{suffix}")
    assert "a pipe, socket or device" in rejection.reason
    (outcome,) = outcomes(tmp_path / f"src/pipe{suffix}")
    assert "a pipe, socket or device" in str(outcome.result)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "socket", Path("/dev/zero"), Path("/dev/null"), tmp_path):
            with pytest.raises((UnreadableError, OSError)):
                RegularFile(path)


def test_a_file_that_grows_is_read_as_it_was_when_it_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"a\nb\n")
    with open_regular(path) as stream, path.open("ab") as writer:
        writer.write(b"c\n" * 100_000)
        writer.flush()
        assert stream.read() == b"a\nb\n"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_the_kernel_whose_size_says_nothing_is_refused(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("mammoth")
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here")
    (tmp_path / f"status{suffix}").symlink_to("/proc/self/status")
    (outcome,) = outcomes(tmp_path / f"status{suffix}")
    assert isinstance(outcome.result, UnreadableError)


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv"])
def test_a_file_that_gives_nothing_and_does_not_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """As `/proc/kmsg`: regular by its mode, a pipe by its behaviour."""
    (tmp_path / f"kmsg{suffix}").write_text("")
    end, other = os.pipe()
    os.set_blocking(end, False)
    regular = (tmp_path / f"kmsg{suffix}").stat()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *_: os.dup(end))
        patch.setattr(os, "fstat", lambda _: regular)
        (outcome,) = outcomes(tmp_path / f"kmsg{suffix}")
    os.close(end)
    os.close(other)
    assert "does not end" in str(outcome.result)


def test_python_that_takes_too_long_is_stopped_and_the_others_are_read(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(file: SourceFile, settings: object) -> Iterator[Found]:
        build: dict[str, Callable[[], Document]] = {"make.txt": forever}
        if file.name == "find.txt":
            forever()
        yield Found(0, build.get(file.name, lambda: Document(file.name, "text", {})))

    monkeypatch.setitem(formats.READERS, ".txt", slow)
    for name in ("find.txt", "good.txt", "make.txt"):
        (tmp_path / "src" / name).write_text("text")
    before = signal.getsignal(signal.SIGALRM)
    documents, rejections = read({"document_seconds": 0.05})
    assert [document.doc_id for document in documents] == ["good.txt"]
    assert [rejection.source for rejection in rejections] == ["src/find.txt", "src/make.txt"]
    assert all("ingest.document_seconds=0.05" in rejection.reason for rejection in rejections)
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_limit_is_for_each_record_and_costs_that_alone(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(file: SourceFile, settings: object) -> Iterator[Found]:
        for line in (1, 2, 3):
            yield Found(line, forever if line == 2 else partial(Document, f"d{line}", "text", {}))

    monkeypatch.setitem(formats.READERS, ".jsonl", slow)
    (tmp_path / "src/t.jsonl").write_text("-")
    documents, (rejection,) = read({"document_seconds": 0.05})
    assert [(document.doc_id, document.line) for document in documents] == [("d1", 1), ("d3", 3)]
    assert rejection.source == "src/t.jsonl:2"


def test_in_another_thread_documents_are_read_without_a_limit(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.txt").write_text("text")
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(read({"document_seconds": 0.05})))
    thread.start()
    thread.join()
    assert [document.doc_id for document in found[0][0]] == ["a.txt"]


@pytest.mark.usefixtures("stand_in")
def test_a_parser_that_does_not_end_or_dies_costs_its_document(
    read: Read, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cases = {
        "sleeps": "takes longer than ingest.document_seconds=0.5 allows",
        "holds on in C": "takes longer than ingest.document_seconds=0.5 allows",
        "crashes": "the process that parsed it was killed by Aborted",
        "leaves": "the process that parsed it ended with exit code 7",
        "exits": "the process that parsed it ended with exit code 5",
        "raises": "broken .docx file: odd",
    }
    for name in cases:
        (tmp_path / f"src/b {name}.docx").write_bytes(order(name))
    for name in ("a", "c", "d"):
        (tmp_path / f"src/{name}.docx").write_bytes(order("prints"))
    documents, rejections = read({"document_seconds": 0.5})
    assert [document.doc_id for document in documents] == ["a.docx", "c.docx", "d.docx"]
    assert len({document.text for document in documents[1:]}) == 1, "one process for many documents"
    assert str(os.getpid()) not in documents[0].text
    found = {
        rejection.source.removeprefix("src/b ").removesuffix(".docx"): rejection.reason for rejection in rejections
    }
    assert found.keys() == cases.keys()
    for name, reason in cases.items():
        assert found[name].startswith(reason)
    assert caplog.messages.count("heard") == 3, "what a library logs there is heard here"


@pytest.mark.usefixtures("stand_in")
def test_no_process_is_left_behind(tmp_path: Path) -> None:
    settings = parse_config({}).ingest
    path = tmp_path / "a.docx"
    path.write_bytes(order("words"))
    file = SourceFile(str(path), "a.docx", "a.docx", parse_config({"sources": [{"path": "x"}]}).sources[0])
    with parser_process.ParserProcess(settings) as parser:
        (found,) = parser.read(file)
        number = int(found.build().text.split()[-1])
        os.kill(number, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


@pytest.mark.usefixtures("stand_in")
def test_one_whose_builder_is_killed_ends_at_once(tmp_path: Path) -> None:
    """Standard error, which both have, ends when both are gone."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.docx").write_bytes(order("sleeps"))
    script = (
        "import sys; from pathlib import Path; from pipeline.config import parse_config\n"
        "from pipeline.ingest.readers import discover, read_documents\n"
        "config = parse_config({'sources': [{'path': 'src'}]}, base=Path(sys.argv[1]))\n"
        "list(read_documents(discover(config), config.ingest, print))"
    )
    builder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert builder.stderr is not None
    with builder.stderr:
        assert builder.stderr.readline() == b"asleep\n"
        builder.kill()
        builder.wait()
        assert builder.stderr.read() == b""


def test_parquet_is_read_by_that_process_row_by_row(read: Read, tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "ü", None], "text": ["one\n", "둘", "\u2028"], "x": [1.5, None, float("nan")]})
    pq.write_table(table, tmp_path / "src/t.parquet")
    documents, (rejection,) = read()
    assert [(d.doc_id, d.text, d.metadata, d.line) for d in documents] == [
        ("a", "one\n", {"x": 1.5}, 1),
        ("ü", "둘", {"x": None}, 2),
    ]
    assert (rejection.source, rejection.reason) == ("src/t.parquet:3", "empty")


def test_a_process_that_cannot_start_is_no_fault_of_a_document(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src/a.html").write_text("x")
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(PipelineError, match="exit code 1"):
        read()
    monkeypatch.setattr("sys.executable", str(tmp_path / "absent"))
    with pytest.raises(PipelineError, match="no process can be started"):
        read()


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "soon"])
def test_a_limit_that_makes_no_sense_is_refused(seconds: object) -> None:
    with pytest.raises(ConfigError, match=r"ingest\.document_seconds"):
        parse_config({"ingest": {"document_seconds": seconds}})
