"""`segments.lexical: seismic` from the configuration to the hits: builds, compaction, repair, and what is shown."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.config import Config, FusionSettings
from pipeline.encode.stage import segment_id
from pipeline.errors import ConfigError, CorruptIndexError, MissingDependencyError
from pipeline.index import manifest as manifests
from pipeline.index.choices import AUTO, EXACT, LexicalChoice
from pipeline.index.components.rows import SegmentShape
from pipeline.index.lexical import seismic
from pipeline.index.lexical.seismic import SEISMIC_FILE
from pipeline.index.manifest import SegmentEntry
from pipeline.index.upkeep.compact import compact
from pipeline.index.upkeep.repair import repair
from pipeline.index.upkeep.verify import verify
from pipeline.models.choose.encoder import MixedEncoder
from pipeline.models.contract import LexicalScoring, Runtime
from pipeline.records import Encoded, Fingerprint, SparseRows
from tests.faults import stub
from tests.support.collection import write_documents

pytest.importorskip("seismic")

APPROXIMATE = LexicalChoice("seismic")


class HashedWeights:
    """Lexical only: a weight between 0.1 and 1 for each word, drawn from its hash."""

    dense_fingerprint = None
    lexical_fingerprint = Fingerprint.of(kind="stub weights")
    dimension = None
    gives_multivectors = False
    lexical_scoring = LexicalScoring("dot")
    runtime = Runtime("numpy", "cpu", "f32")

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        rows = []
        for text in texts:
            words = {word.strip(".,") for word in text.split()}
            ids = {int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) for word in words}
            rows.append({i: 0.1 + 0.9 * (i % 1000) / 1000 for i in ids})
        return Encoded(lexical=SparseRows.from_dicts(rows))

    encode_queries = encode_documents


def encoder() -> MixedEncoder:
    return MixedEncoder(stub.HashedEncoder(), HashedWeights())  # type: ignore[arg-type]


def run(*arguments: str, **options: Any) -> Result:
    """A command with that encoder."""
    chosen = dataclasses.replace(stub.options(), encoder=encoder())
    return CliRunner().invoke(cli, arguments, obj=chosen, **options)


@pytest.fixture(autouse=True)
def _stub() -> Iterator[None]:
    """Small segments, and searches that ask their Seismic files all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seismic, "_DEEP", 0)
        yield


def config_of(base: Path, kind: str = "seismic", **segments: Any) -> Config:
    settings = {"max_chunks": 400, "dense": "auto", "lexical": kind, "auto_compact": False}
    return stub.stub_config(base, encode={"shard_chunks": 50}, segments=settings | segments)


def build(base: Path, version: int = 0, kind: str = "seismic", **segments: Any) -> Config:
    stub.write_texts(base, version, 300)
    config = config_of(base, kind, **segments)
    stub.build(config, encoder=encoder())
    return config


def live(index: Path) -> tuple[SegmentEntry, ...]:
    return manifests.load(index, manifests.latest_generation(index)).segments


def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From here on, the number of chunks that each question to a Seismic file gave."""
    found: list[int] = []
    original = seismic.SeismicIndex.candidates

    def candidates(self: seismic.SeismicIndex, *arguments: Any) -> Any:
        result = original(self, *arguments)
        found.append(len(result))
        return result

    monkeypatch.setattr(seismic.SeismicIndex, "candidates", candidates)
    return found


def answers(index: Path, k: int = 5) -> list[list[tuple[str, float]]]:
    fusion = FusionSettings(method="minmax")
    queries = ("apples edition 1", "a document about number 7", "plums", "nothing of it")
    with stub.open_index(index, encoder=encoder()) as opened:
        opened.settings = opened.settings.model_copy(update={"depth": 20})
        found = opened.search_many(queries, k, "lexical", fusion=fusion)
    return [[(hit.chunk_id, hit.score) for hit in hits] for hits in found]


def test_it_answers_as_the_exact_leg_does_through_updates_and_compaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in range(2):
        for kind in ("seismic", "exact"):
            build(tmp_path / kind, version, kind)
    index, other = tmp_path / "seismic/index", tmp_path / "exact/index"
    entries = live(index)
    assert [entry.lexical is not None for entry in entries] == [True, True]
    assert entries[0].deletes is not None
    assert [entry.lexical for entry in live(other)] == [None, None]
    questions = asked(monkeypatch)
    assert answers(index) == answers(other)
    assert questions
    assert verify(index, deep=True).problems == ()
    report = compact(index, lexical=APPROXIMATE)
    (merged,) = live(index)
    assert merged.lexical is not None
    assert report.lexical_recall is not None
    assert report.lexical_recall.mean == merged.lexical.recall
    assert SEISMIC_FILE in {file.name for file in merged.files}
    assert answers(index) == answers(other)
    assert verify(index, deep=True).problems == ()


def test_a_change_of_mind_keeps_old_segments_and_their_names(tmp_path: Path) -> None:
    build(tmp_path, 0, "exact")
    index = tmp_path / "index"
    (first,) = live(index)
    config = build(tmp_path, 1)
    assert [(e.segment_id == first.segment_id, e.lexical is None) for e in live(index)] == [
        (True, True),
        (False, False),
    ]
    stub.write_texts(tmp_path, 2, 300)
    report = stub.build(config, encoder=encoder())
    assert report.lexical_recall is not None
    assert (report.lexical_recall.segments, report.lexical_recall.all_segments) == (2, 3)
    build(tmp_path, 3, "exact")
    assert [entry.lexical is None for entry in live(index)] == [True, False, False, True]


def test_only_the_approximate_kind_is_in_a_segments_name() -> None:
    exact, approximate = (SegmentShape(None, AUTO, True, lexical=choice) for choice in (EXACT, APPROXIMATE))
    assert segment_id([], [], exact) != segment_id([], [], approximate)
    assert segment_id([], [], exact) == "ff1d2bb32f636cd2e87b2667221c1b77"


def test_the_recall_is_printed_reported_and_shown(tmp_path: Path) -> None:
    """To whoever runs the build, without asking for logs."""
    stub.write_texts(tmp_path, 0, 300)
    path = tmp_path / "config.yaml"
    text = config_of(tmp_path).model_dump_json(exclude={"base"})
    path.write_text(text)  # JSON is YAML
    built = run("--config", str(path), "build")
    assert built.exit_code == 0, built.output
    recall = live(tmp_path / "index")[0].lexical
    assert recall is not None
    line = f"the approximate lexical leg finds {recall.recall:.3f} of the exact leg's ten best"
    assert line in built.stdout.splitlines()
    report = CliRunner().invoke(cli, ["--config", str(path), "report"]).stdout
    assert line in report
    page = next((tmp_path / "index/reports").glob("*.html")).read_text()
    assert f"{recall.recall:.3f}" in page.split("approximate one finds")[1][:60]
    status = ["--config", str(path), "status"]
    table = CliRunner().invoke(cli, status, env={"COLUMNS": "220"}).stdout
    assert f"recall {recall.recall:.3f}" in table
    record = json.loads(CliRunner().invoke(cli, [*status, "--json"]).stdout)
    assert record["segments"][0]["lexical"]["recall"] == recall.recall
    again = run("--config", str(path), "build")
    assert (again.exit_code, line in again.stdout) == (4, False)
    stub.write_texts(tmp_path, 1, 300)
    logged = run("--config", str(path), "--log-json", "build").stderr
    record = next(r for r in map(json.loads, logged.splitlines()) if r.get("event") == "built")
    assert record["lexical_recall"]["segments"] == 2


@pytest.mark.parametrize("job", [stub.build, stub.ingest, stub.plan])
def test_bm25_and_a_missing_package_are_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: Any
) -> None:
    config = config_of(tmp_path)  # there are no documents: reading would be another error
    with pytest.raises(ConfigError, match="statistics of the whole live index"):
        job(config)
    monkeypatch.setitem(sys.modules, "seismic", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hybrid-pipeline\[seismic\]'"):
        job(config, encoder=encoder())


def test_compacting_a_bm25_index_with_it_is_refused(tmp_path: Path) -> None:
    stub.write_texts(tmp_path, 0, 300)
    config = config_of(tmp_path, "exact")
    stub.build(config)
    with pytest.raises(ConfigError, match="BM25"):
        compact(config.index_path, lexical=APPROXIMATE)


def test_a_damaged_file_is_found_and_comes_back_byte_for_byte(tmp_path: Path) -> None:
    index = build(tmp_path).index_path
    path = next(index.glob(f"segments/*/{SEISMIC_FILE}"))
    before, expected = path.read_bytes(), answers(index)
    path.write_bytes(before[:-9] + bytes([before[-9] ^ 1]) + before[-8:])
    with pytest.raises(CorruptIndexError, match=SEISMIC_FILE):
        answers(index)
    assert [problem.file.split("/")[-1] for problem in verify(index).problems] == [SEISMIC_FILE]
    report = repair(index)
    assert [file.split("/")[-1] for file in report.rebuilt] == [SEISMIC_FILE]
    assert (report.lost, report.published) == ((), False)
    assert path.read_bytes() == before
    path.unlink()
    (path.parent / "postings.arrow").unlink()
    assert len(repair(index).rebuilt) == 2
    assert path.read_bytes() == before
    assert answers(index) == expected
    path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "seismic", None)
        with pytest.raises(MissingDependencyError):
            repair(index)


def test_a_file_that_was_signed_but_does_not_load_is_found_and_rebuilt(tmp_path: Path) -> None:
    index = build(tmp_path).index_path
    expected = answers(index)
    path = next(index.glob(f"segments/*/{SEISMIC_FILE}"))
    path.write_bytes(path.read_bytes()[:100])
    stub.sign(index)
    assert verify(index).problems == ()
    (problem,) = verify(index, deep=True).problems
    assert "cannot be loaded" in problem.reason
    with pytest.raises(CorruptIndexError, match=r"Seismic cannot use it .*pipeline repair"):
        answers(index)
    report = repair(index)
    assert (len(report.rebuilt), report.published) == (1, True)
    assert verify(index, deep=True).problems == ()
    assert answers(index) == expected


def test_repair_renews_the_file_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it writes the same bytes: the manifest must say that it can read them."""
    index = build(tmp_path).index_path
    with monkeypatch.context() as patch:
        patch.setattr(seismic, "version", lambda: "0.5.99")
        assert verify(index, deep=True).problems == ()
        report = repair(index)
        assert (len(report.rebuilt), report.published, report.lost) == (1, True, ())
        assert not repair(index).published
    (entry,) = live(index)
    assert entry.lexical is not None
    assert entry.lexical.library == "0.5.99"


def test_verify_misses_a_file_that_the_entry_needs(tmp_path: Path) -> None:
    index = build(tmp_path).index_path

    def without(manifest: manifests.Manifest) -> manifests.Manifest:
        (entry,) = manifest.segments
        kept = tuple(file for file in entry.files if file.name != SEISMIC_FILE)
        return dataclasses.replace(manifest, segments=(dataclasses.replace(entry, files=kept),))

    stub.sign(index, without)
    assert [problem.reason for problem in verify(index).problems] == ["is not in the manifest"]


def test_dry_run_counts_it(tmp_path: Path) -> None:
    text = "one two three four five six seven eight"  # with those at its ends, ten tokens of the embedded model
    write_documents(tmp_path / "documents", {f"{number}.txt": text for number in range(10)})
    kinds = ("exact", "seismic")
    sizes = [stub.plan(config_of(tmp_path, kind), encoder=encoder()).lexical_bytes for kind in kinds]
    assert sizes == [10 * 10 * 16, 10 * 10 * 76]
