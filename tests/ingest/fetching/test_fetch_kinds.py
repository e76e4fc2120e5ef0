"""Sources are fetched before any is believed, and what is known of a file besides reaches its documents."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pipeline.config import Config, parse_config
from pipeline.errors import SourceError
from pipeline.index import store
from pipeline.index.upkeep.repair import repair
from pipeline.index.upkeep.verify import verify
from pipeline.ingest.fetching import kinds
from pipeline.ingest.fetching.contract import Fetching
from pipeline.ingest.fetching.kinds import fetch_sources, mirror_name
from pipeline.ingest.sources import FetchedFile, discover
from pipeline.job import build as builder
from pipeline.query.searcher import open_index
from pipeline.records import MetadataValue

FILES = {
    "plain.txt": b"pears",
    "front.md": b"---\nauthor: own\nlang: en\n---\n# Plums\n\nplums",
    "lines.jsonl": b'{"id": "a", "text": "apples"}\n{"id": "b", "text": "figs", "author": "own"}\n',
    "table.csv": b"id,text\nc,grapes\n",
    "code.html": b"<p>quinces</p>",
}


@pytest.fixture
def extra(monkeypatch: pytest.MonkeyPatch) -> dict[str, MetadataValue]:
    """A kind of source that gives `FILES`, each with these metadata."""
    found: dict[str, MetadataValue] = {"author": "ann", "commit": "c1"}

    def fetch(fetching: Fetching) -> Iterator[FetchedFile]:
        for name, data in FILES.items():
            path = fetching.mirror.write(f"files/{name}", data)
            yield FetchedFile(path, name, f"git: repo@main/{name}", dict(found))

    monkeypatch.setitem(kinds.FETCHERS, "git", fetch)
    return found


def config_of(folder: Path, **changes: object) -> Config:
    raw = {"index": "index", "sources": [{"git": "repo"}], "encoder": {"model": "none"}, **changes}
    return parse_config(raw, base=folder)


def metadata(config: Config) -> dict[str, Mapping[str, MetadataValue]]:
    with open_index(config.index_path) as index:
        hits = index.search("pears plums apples figs grapes quinces", k=50)
    return {hit.doc_id: hit.metadata for hit in hits}


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_known_of_a_file_reaches_all_its_documents(
    tmp_path: Path, extra: dict[str, MetadataValue], monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    monkeypatch.setattr("pipeline.ingest.readers.WORTH_WORKERS_BYTES", 1)
    config = config_of(tmp_path, ingest={"processes": processes})
    assert builder.build(config).added == 6
    found = metadata(config)
    assert sorted(found) == ["a", "b", "c", "code.html", "front.md", "plain.txt"]
    assert {doc_id: values["commit"] for doc_id, values in found.items()} == dict.fromkeys(found, "c1")
    authors = {doc_id: values["author"] for doc_id, values in found.items()}
    assert authors == {**dict.fromkeys(found, "ann"), "b": "own", "front.md": "own"}


def test_a_change_of_what_is_known_besides_is_a_change(tmp_path: Path, extra: dict[str, MetadataValue]) -> None:
    config = config_of(tmp_path, ingest={"processes": 1})
    builder.build(config)
    assert not builder.build(config).published
    extra["commit"] = "c2"
    assert builder.build(config).changed == 6
    assert {values["commit"] for values in metadata(config).values()} == {"c2"}


def test_nothing_is_read_of_any_source_if_one_fails(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("pears")
    config = config_of(tmp_path, sources=[{"path": "docs"}, {"command": "exit 3"}])
    with pytest.raises(SourceError, match="exit code 3"):
        builder.build(config)
    assert store.live_manifest(config.index_path) is None


def test_a_source_that_was_not_fetched_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"sources\.0: `command: true` was not fetched"):
        list(discover(config_of(tmp_path, sources=[{"command": "true"}])))


def test_fetching_counts_what_it_fetches(tmp_path: Path) -> None:
    config = config_of(tmp_path, sources=[{"command": "echo '{}'; echo '{}'"}])
    seen: list[float] = []

    class Bar:
        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: object) -> None:
            return None

        def update(self, n: float = 1) -> object:
            return seen.append(n)

    fetch_sources(config, tmp_path / "there", lambda description, total, unit: Bar())
    assert sum(seen) == 2


def test_upkeep_leaves_a_mirror_alone_and_without_it_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"id": "a", "text": "pears"}\n')
    config = config_of(tmp_path, sources=[{"command": "cat docs.jsonl"}])
    builder.build(config)
    (mirror,) = config.index_path.glob("fetched/*/records.jsonl")
    before = mirror.stat()
    repair(config.index_path)
    store.collect_garbage(config.index_path, 1)
    assert verify(config.index_path, deep=True).ok
    assert mirror.stat() == before
    shutil.rmtree(config.index_path / "fetched")
    assert verify(config.index_path, deep=True).ok
    assert list(metadata(config)) == ["a"]
    assert not builder.build(config).published
    assert mirror.exists()


def test_mirrors_are_told_apart_by_all_settings() -> None:
    sources = [{"command": "a"}, {"command": "b"}, {"command": "a", "prefix": "x"}, {"python": "a:a"}]
    names = [mirror_name(parse_config({"sources": [source]}).sources[0]) for source in sources]
    assert len(set(names)) == len(names)
    assert names == [mirror_name(parse_config({"sources": [source]}).sources[0]) for source in sources]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_all_it_started(tmp_path: Path, number: signal.Signals) -> None:
    command = 'sleep 1000 & echo $! > child; echo \'{"text": "pears"}\'; mv child pid; wait'
    (tmp_path / "config.yaml").write_text(
        f"index: index\nencoder: {{model: none}}\nsources: [{{command: {command!r}}}]\n".replace("\\'", "''")
    )
    script = (
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pipeline.__main__ import main\nsys.argv[1:] = ['build']\nmain()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    build = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment, start_new_session=True)
    with contextlib.ExitStack() as stack:
        stack.callback(build.kill)
        deadline = time.monotonic() + 120
        while not (tmp_path / "pid").exists():
            assert build.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        child = int((tmp_path / "pid").read_text())
        os.kill(child, 0)
        build.send_signal(number)
        assert build.wait(60) == 128 + number
    while _is_there(child):
        assert time.monotonic() < deadline
    assert not [path for path in (tmp_path / "index/fetched").rglob("*") if path.is_file()]


def _is_there(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
