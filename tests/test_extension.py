"""A component, a leg, a fusion method, a reader and an encoder from outside the package, all the way to a hit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline import names
from pipeline.config import Config, IngestSettings
from pipeline.index import files
from pipeline.index import manifest as manifests
from pipeline.index.choices import DenseChoice
from pipeline.index.chunks import CHUNKS_FILE, chunk_blocks
from pipeline.index.components import registry as component_registry
from pipeline.index.components.contract import Component, Finding, SegmentSource
from pipeline.index.components.rows import Place, SegmentShape
from pipeline.index.manifest import Manifest, SegmentEntry
from pipeline.index.segment import SEGMENTS, Mask
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.repair import repair
from pipeline.index.upkeep.verify import verify
from pipeline.ingest.formats import by_suffix
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.job.build import build
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.query.fusion import methods
from pipeline.query.fusion.methods import Float64, LegColumn
from pipeline.query.legs import registry as leg_registry
from pipeline.query.legs.contract import EncodedQueries, Leg
from pipeline.query.searcher import Index, open_index
from pipeline.query.snapshot import Ids, Ranking, Snapshot
from pipeline.records import Document, Encoded, Fingerprint, Float32
from tests.support.collection import config_for, write_documents

COUNTS_FILE = "letters.npy"
DIMENSION = 16


class LetterCounts(Component[Float32]):
    """The number of times that the letter `z` stands in each chunk, derived from the chunks."""

    name = "letters"
    file_names = (COUNTS_FILE,)

    def is_wanted(self, shape: SegmentShape) -> bool:
        return True

    def needed(self, manifest: Manifest, entry: SegmentEntry) -> tuple[str, ...]:
        return self.file_names

    def write(self, folder: Path, source: SegmentSource, shape: SegmentShape) -> None:
        files.write_array(folder / COUNTS_FILE, _counted(folder))

    def open(self, place: Place, verified: bool) -> Float32:
        return files.map_array(place.folder / COUNTS_FILE, np.float32, 1)

    def check(self, place: Place, manifest: Manifest) -> Iterator[Finding]:
        if place.is_sound(COUNTS_FILE) and not np.array_equal(self.open(place, True), _counted(place.folder)):
            yield COUNTS_FILE, "counts other letters than the chunks have"

    def rebuild(self, place: Place, into: Path, choice: DenseChoice) -> SegmentEntry:
        if COUNTS_FILE in place.damaged and place.is_sound(CHUNKS_FILE):
            files.write_array(into / COUNTS_FILE, _counted(place.folder))
        return place.entry


def _counted(folder: Path) -> Float32:
    tables = chunk_blocks(folder / CHUNKS_FILE, 1000)
    return np.array([text.as_py().count("z") for table in tables for text in table["text"]], np.float32)


LETTERS = LetterCounts()


class LetterLeg(Leg[float]):
    """Chunks with more of the letter are better, whatever is asked for."""

    name = LETTERS.name

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def prepare(self, queries: EncodedQueries) -> list[float]:
        return [1.0] * len(queries.texts)

    def candidates(self, queries: Sequence[float], depth: int, kept: Sequence[Mask] | None = None) -> list[Ranking]:
        snapshot, parts = self._snapshot, []
        for segment, excluded in zip(snapshot.segments, snapshot.excluded(kept), strict=True):
            counts = segment.open(LETTERS)
            found = np.arange(len(counts)) if excluded is None else np.flatnonzero(~excluded)
            parts.append((found, counts[found]))
        return [snapshot.merged(parts, depth) for _ in queries]

    def scores(self, query: float, ids: Ids) -> Float64:
        result = np.zeros(len(ids))
        for number, inside, ordinals in self._snapshot.by_segment(ids):
            result[inside] = self._snapshot.segments[number].open(LETTERS)[ordinals]
        return result

    def passage_score(self, query: float, passages: Encoded, row: int) -> float:
        return 0.0


def read_lines(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """A document a line."""
    for number, line in enumerate(file.path.read_text().splitlines(), 1):
        text = line

        def document(text: str = text, number: int = number) -> Document:
            return Document(f"{file.name}:{number}", text, {}, source=file.source, line=number)

        yield Found(number, document)


def largest(column: LegColumn) -> Float64:
    """A fusion method: scores divided by the best one."""
    return column.scores / column.top if column.top > 0 else np.zeros(len(column.scores))


class HashEncoder:
    """Vectors from a generator seeded with the text."""

    dense_fingerprint = Fingerprint.of(kind="hash", dimension=DIMENSION)
    lexical_fingerprint = None
    dimension = DIMENSION
    gives_multivectors = False
    lexical_scoring = LexicalScoring("dot")
    runtime = Runtime("hash", "cpu", "float32")

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        rows = [np.random.default_rng(_seed(text)).standard_normal(DIMENSION) for text in texts]
        vectors = np.array(rows, np.float32).reshape(len(texts), DIMENSION)
        return Encoded(dense=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))

    encode_queries = encode_documents

    def describe_tokens(self, text: str) -> Mapping[int, str]:
        return {}


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    component_registry.register(LETTERS)
    leg_registry.register(LETTERS.name, lambda snapshot: LetterLeg(snapshot))
    methods.register_method("largest", largest)
    by_suffix.register_reader(".list", read_lines)
    yield config_for(tmp_path, segments={"max_chunks": 4}, encode={"shard_chunks": 4})
    by_suffix.unregister_reader(".list")
    methods.unregister_method("largest")
    leg_registry.unregister(LETTERS.name)
    component_registry.unregister(LETTERS)


TEXTS = {f"{number}": f"text {'z' * (number % 5)} about number {number}" for number in range(10)}


def _write(folder: Path, texts: Sequence[str]) -> None:
    write_documents(folder / "documents", {"many.list": "\n".join(texts)})


def _opened(config: Config) -> Index:
    return open_index(config.index_path, encoder=HashEncoder())


def test_they_build_verify_compact_repair_and_search(config: Config, tmp_path: Path) -> None:
    texts = list(TEXTS.values())
    _write(tmp_path, texts)
    report = build(config, encoder=HashEncoder())
    assert report.documents == 10
    _write(tmp_path, texts[:7])
    build(config, encoder=HashEncoder(), allow_deletes=True)
    index = config.index_path
    assert verify(index, deep=True).ok

    with _opened(config) as opened:
        assert opened.legs == (names.DENSE, LETTERS.name)
        before = opened.search("anything", k=7, fusion="largest", explain=True)
        alone = opened.rank_encoded(opened.encode(["anything"]), 7, legs=(LETTERS.name,))[0]
    counts = {hit.text: hit.legs[LETTERS.name].score for hit in before}
    assert counts == {text: text.count("z") for text in texts[:7]}
    for hit in before:
        assert hit.legs[LETTERS.name].contribution == pytest.approx(hit.text.count("z") / 4 / 2)
        assert hit.score == pytest.approx(sum(score.contribution or 0 for score in hit.legs.values()))
    assert alone.scores[alone.order].tolist() == sorted(counts.values(), reverse=True)

    assert len(manifests.load(index, manifests.latest_generation(index)).segments) > 1
    compact(index)
    (entry,) = manifests.load(index, manifests.latest_generation(index)).segments
    assert entry.chunks == 7
    assert verify(index, deep=True).ok
    with _opened(config) as opened:
        assert opened.search("anything", k=7, fusion="largest", explain=True) == before

    path = index / SEGMENTS / entry.segment_id / COUNTS_FILE
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + b"\x01")
    assert [problem.file for problem in verify(index).problems] == [f"{SEGMENTS}/{entry.segment_id}/{COUNTS_FILE}"]
    assert repair(index).rebuilt == (f"{SEGMENTS}/{entry.segment_id}/{COUNTS_FILE}",)
    assert path.read_bytes() == sound


def test_a_wrong_count_is_found(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, list(TEXTS.values()))
    with monkeypatch.context() as patch:
        patch.setattr(
            LETTERS,
            "write",
            lambda folder, source, shape: files.write_array(folder / COUNTS_FILE, np.ones(10, "f4")),
        )
        build(config, encoder=HashEncoder())
    problems = verify(config.index_path, deep=True).problems
    assert {problem.reason for problem in problems} == {"counts other letters than the chunks have"}


def test_an_index_without_the_component_is_told_apart(config: Config, tmp_path: Path) -> None:
    _write(tmp_path, list(TEXTS.values()))
    component_registry.unregister(LETTERS)
    build(config, encoder=HashEncoder())
    component_registry.register(LETTERS)
    problems = verify(config.index_path).problems
    assert {problem.reason for problem in problems} == {"is not in the manifest"}
    build(config, encoder=HashEncoder(), full=True)
    assert verify(config.index_path, deep=True).ok


@pytest.mark.parametrize(
    "again",
    [
        lambda: component_registry.register(LETTERS),
        lambda: leg_registry.register(names.DENSE, lambda snapshot: None),
        lambda: methods.register_method("rrf", largest),
        lambda: by_suffix.register_reader(".txt", read_lines),
    ],
)
def test_a_taken_name_is_refused(config: Config, again: Callable[[], None]) -> None:
    with pytest.raises(ValueError, match=r"such|name|reader"):
        again()
