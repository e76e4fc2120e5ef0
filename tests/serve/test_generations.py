"""New generations without a gap: nobody waits, fails, or gets an answer that is of two generations."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pipeline.config import Config, ServeSettings
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.index.segment import SEGMENTS
from pipeline.query.searcher import open_index
from pipeline.serve.holder import RETRY_LOOKS, IndexHolder
from pipeline.serve.metrics import Metrics
from tests.faults import stub
from tests.support.collection import config_for
from tests.support.live import Live, serving

PUBLISHES = 500
EDITIONS = 4
"""Collections that are published again and again."""


def edition(base: Path, number: int) -> None:
    """A collection of which every document says which edition it is of."""
    folder = base / "documents"
    folder.mkdir(exist_ok=True)
    for name in range(3):
        (folder / f"{name}.txt").write_text(f"words of document {name} in edition{number}", "utf-8")


def open_files(below: Path) -> set[str]:
    """Files and folders of an index that this process has open or mapped."""
    held = {str(one.resolve()) for one in Path("/proc/self/fd").iterdir()}
    maps = Path("/proc/self/maps").read_text("utf-8").splitlines()
    held |= {line.split(maxsplit=5)[5].removesuffix(" (deleted)") for line in maps if "/" in line}
    return {path for path in held if path.startswith(f"{below.resolve()}/")}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """An index of the lexical leg alone, which is built in no time."""
    edition(tmp_path, 1)
    config = config_for(tmp_path, encoder={"model": "none"}, retain=EDITIONS, max_delete_ratio=1.0)
    stub.build(config, encoder=None, chunker=None)
    return config


def publish(config: Config, number: int) -> None:
    """Build the next edition; what the build itself had open is closed."""
    edition(config.base, number)
    stub.build(config, encoder=None, chunker=None)
    gc.collect()


def holder_of(config: Config) -> IndexHolder:
    """A holder of the live generation."""
    return IndexHolder("only", open_index(config.index_path), Metrics())


def test_whoever_holds_a_generation_keeps_it(config: Config) -> None:
    holder = holder_of(config)
    with holder.lent() as old:
        publish(config, 2)
        assert holder.look()
        with holder.lent() as new:
            assert (old.manifest.generation, new.manifest.generation) == (1, 2)
            assert "edition1" in old.search("words")[0].text
            assert "edition2" in new.search("words")[0].text
        assert not holder.look()
    holder.close()


def test_files_of_collected_generations_are_closed_after_their_last_reader(config: Config) -> None:
    holder = holder_of(config)
    with holder.lent() as old:
        old.search("words")
        segments = {entry.segment_id for entry in old.manifest.segments}
        for number in (2, 3, 4):
            publish(config, number)
            assert holder.look()
        store.collect_garbage(config.index_path, 1)
        held = open_files(config.index_path)
        assert {name for name in segments if any(name in path for path in held)} == segments
        assert "edition1" in old.search("words")[0].text
        del old
    with holder.lent() as live:
        live.search("words")
        named = {entry.segment_id for entry in live.manifest.segments}
        held = {
            Path(path).relative_to(config.index_path.resolve() / SEGMENTS).parts[0]
            for path in open_files(config.index_path)
        }
        assert held <= named
        del live
    store.collect_garbage(config.index_path, 1)
    assert {path.name for path in (config.index_path / SEGMENTS).iterdir()} == named
    holder.close()
    assert open_files(config.index_path) == set()


def damage(config: Config) -> None:
    """Publish a generation one of whose files is not what its manifest says."""
    publish(config, 2)
    live = manifests.load(config.index_path, 2)
    entry = live.segments[-1]
    path = config.index_path / SEGMENTS / entry.segment_id / entry.files[0].name
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


def another_encoder(config: Config) -> None:
    """Publish a generation that says it is of another encoder."""
    stub.sign(
        config.index_path,
        lambda m: dataclasses.replace(m, fingerprints=m.fingerprints | {"lexical": {"kind": "another"}}),
    )


def broken_manifest(config: Config) -> None:
    """Publish something that is no manifest."""
    manifests.manifest_path(config.index_path, 2).write_text("{}\n")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damage, "damaged"),
        (another_encoder, "built with another encoder or format"),
        (broken_manifest, "damaged"),
    ],
)
def test_a_bad_generation_is_refused_and_told(config: Config, spoil: Callable[[Config], None], reason: str) -> None:
    with open_index(config.index_path) as index, serving({"only": index}) as live:
        (holder,) = live.service.holders.values()
        before = live.get("/v1/search?q=words")
        spoil(config)
        for _ in range(RETRY_LOOKS + 2):
            assert not holder.look()
        refused = {"generation": 2, "reason": reason}
        assert live.get("/readyz") == {
            "status": "ready",
            "indexes": {"only": {"generation": 1, "refused": refused}},
        }
        assert live.get("/v1/indexes/only")["refused"] == refused
        numbers = live.client.get("/metrics").text
        assert 'hybrid_pipeline_index_refused_generation{index="only"} 2.0' in numbers
        assert 'hybrid_pipeline_index_refreshes_total{index="only",result="refused"} 1.0' in numbers
        assert live.get("/v1/search?q=words") == before
        edition(config.base, 3)
        stub.build(config, encoder=None, chunker=None, full=True)
        assert holder.look()
        assert live.get("/readyz")["indexes"]["only"]["refused"] is None
        assert 'hybrid_pipeline_index_refused_generation{index="only"} 0.0' in live.client.get("/metrics").text


def test_a_generation_that_was_repaired_is_taken_without_another(config: Config) -> None:
    holder = holder_of(config)
    damage(config)
    assert not holder.look()
    damaged = manifests.load(config.index_path, 2).segments[-1]
    path = config.index_path / SEGMENTS / damaged.segment_id / damaged.files[0].name
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    assert any(holder.look() for _ in range(RETRY_LOOKS))
    holder.close()


class Asking(threading.Thread):
    """Asks again and again, and keeps what was wrong with an answer."""

    def __init__(self, live: Live, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._live, self._stopped = live, stop
        self.wrong: list[Any] = []
        self.generations: list[int] = []

    def run(self) -> None:
        with httpx2.Client(base_url=self._live.url, timeout=30) as client:
            while not self._stopped.is_set():
                answer = client.post("/v1/search", json={"query": ["words", "document 1"], "k": 5})
                if answer.status_code != 200:
                    self.wrong.append(answer.text)
                    continue
                found = answer.json()
                texts = [hit["text"] for result in found["results"] for hit in result["hits"]]
                editions = {text.rpartition("edition")[2] for text in texts}
                right = str((found["generation"] - 1) % EDITIONS + 1)
                if len(texts) != 6 or editions != {right}:
                    self.wrong.append(found)
                self.generations.append(found["generation"])


def test_many_publishes_under_load(config: Config) -> None:
    """No error and no mixed answer, and every reader only ever moves on."""
    for number in range(2, EDITIONS + 1):
        publish(config, number)
    known = [manifests.load(config.index_path, number) for number in range(1, EDITIONS + 1)]
    settings = ServeSettings(refresh_seconds=0.001)
    with open_index(config.index_path) as index, serving({"only": index}, settings) as live:
        (holder,) = live.service.holders.values()
        stop = threading.Event()
        readers = [Asking(live, stop) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(EDITIONS + 1, PUBLISHES + EDITIONS + 1):
            again = dataclasses.replace(known[(number - 1) % EDITIONS], generation=number)
            manifests.publish(config.index_path, again)
            store.collect_garbage(config.index_path, EDITIONS)
            while not _is_at(holder, number):
                assert not holder.refused
                time.sleep(0.0005)
        stop.set()
        for reader in readers:
            reader.join(30)
            assert not reader.is_alive()
            assert reader.wrong == []
            assert all(one <= other for one, other in itertools.pairwise(reader.generations))
        assert len({number for reader in readers for number in reader.generations}) > PUBLISHES // 10
        numbers = live.client.get("/metrics").text
        assert f'hybrid_pipeline_index_refreshes_total{{index="only",result="taken"}} {PUBLISHES}.0' in numbers
        assert 'hybrid_pipeline_index_open_generations{index="only"} 1.0' in numbers


def _is_at(holder: IndexHolder, generation: int) -> bool:
    with holder.lent() as index:
        return index.manifest.generation == generation
