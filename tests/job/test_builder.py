"""A build publishes what the sources say, and nothing else ever changes an index."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import Config, EncoderSettings
from pipeline.errors import (
    CorruptIndexError,
    DeletionGuardError,
    IncompatibleIndexError,
    IndexLockedError,
    IndexStoreError,
    RejectedDocumentsError,
    SourceError,
)
from pipeline.index import manifest as manifests
from pipeline.index import staging, store
from pipeline.ingest.ledger import LEDGER_FILE
from pipeline.ingest.stage import IngestRun
from pipeline.job import build as builder
from pipeline.models.choose.encoder import MixedEncoder, load_encoder
from pipeline.query.searcher import open_index
from pipeline.records import Encoded, Rejection
from tests.support.collection import TEXTS, config_for, write_documents

QUERY = "what to do when a build went wrong"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_documents(tmp_path / "documents")
    return config_for(tmp_path)


def answers(config: Config, k: int = 20) -> list[tuple[str, float, float, float]]:
    with open_index(config.index_path, settings=config.query) as index:
        return [
            (h.chunk_id, h.score, h.legs["dense"].score, h.legs["lexical"].score) for h in index.search(QUERY, k)
        ]


def assert_same_answers(left: Config, right: Config) -> None:
    """Same hits, same lexical bits; dense to rounding, since a text's vector depends a little on its batch."""
    ours, theirs = answers(left), answers(right)
    assert [a[0] for a in ours] == [b[0] for b in theirs]
    assert [a[3] for a in ours] == [b[3] for b in theirs]
    assert [a[2] for a in ours] == pytest.approx([b[2] for b in theirs], abs=2e-3)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != LEDGER_FILE
    }


def test_nothing_changed_publishes_nothing(config: Config) -> None:
    assert builder.build(config).published
    before = files_below(config.index_path)
    again = builder.build(config)
    assert (again.published, again.generation, again.unchanged) == (False, 1, len(TEXTS))
    assert files_below(config.index_path) == before


def test_changes_by_steps_equal_one_full_build(tmp_path: Path) -> None:
    folder = write_documents(tmp_path / "documents", dict(list(TEXTS.items())[:3]))
    config = config_for(tmp_path)
    builder.build(config)
    write_documents(folder, dict(list(TEXTS.items())[2:]))
    (folder / "en/fusion.md").write_text("# Fusion\n\nA text that is replaced by and by.", "utf-8")
    (folder / "en/chunking.md").unlink()
    report = builder.build(config)
    assert (report.added, report.changed, report.deleted, report.unchanged) == (3, 1, 1, 1)
    write_documents(folder)
    report = builder.build(config)
    assert (report.added, report.changed, report.deleted, report.unchanged) == (1, 1, 0, 4)

    once = config_for(tmp_path, index="once")
    builder.build(once)
    assert len(manifests.load(config.index_path, 3).segments) > 1
    assert_same_answers(config, once)


@pytest.mark.parametrize(("shard", "segment"), [(1, 1), (2, 3), (100, 2)])
def test_scores_do_not_depend_on_shards_and_segments(
    config: Config, tmp_path: Path, shard: int, segment: int
) -> None:
    builder.build(config)
    spread = config_for(
        tmp_path, index="spread", encode={"shard_chunks": shard}, segments={"max_chunks": segment, "dense": "auto"}
    )
    builder.build(spread)
    assert_same_answers(spread, config)


def test_an_ingest_is_staged_with_its_counters_flat(config: Config) -> None:
    """So that what was staged before an update of the program is encoded after it."""
    staged = builder.ingest(config).staged
    summary = json.loads((staging.ingest_folder(config.index_path) / "ingest.json").read_bytes())
    assert summary.items() >= {"read": len(TEXTS), "added": len(TEXTS), "deleted": 0, "moved": []}.items()
    assert "changes" not in summary
    assert staging.load_ingest(config.index_path) == staged


def test_ingest_and_encode_are_the_two_halves_of_build(config: Config, tmp_path: Path) -> None:
    halves = config_for(tmp_path, index="halves")
    staged = builder.ingest(halves).staged
    assert staged.changes.added == len(TEXTS)
    assert manifests.generations(halves.index_path) == []
    assert builder.encode(halves).generation == 1
    builder.build(config)
    assert answers(halves) == answers(config)
    with pytest.raises(IndexStoreError, match="nothing is staged"):
        builder.encode(halves)


def test_a_stale_ingest_is_not_published(config: Config) -> None:
    builder.build(config)
    (config.base / "documents/new.md").write_text("new", "utf-8")
    builder.ingest(config)
    store.rollback(config.index_path, 1)
    with pytest.raises(IndexStoreError, match="run `pipeline ingest` again"):
        builder.encode(config)


def test_rollback_brings_back_the_same_answers(config: Config) -> None:
    builder.build(config)
    before = answers(config)
    write_documents(config.base / "documents", {"en/rollback.md": "Something else entirely."})
    builder.build(config)
    assert answers(config) != before
    assert store.rollback(config.index_path).generation == 3
    assert answers(config) == before


def test_a_reader_keeps_its_generation(config: Config) -> None:
    config = config.model_copy(update={"retain": 1})
    builder.build(config)
    with open_index(config.index_path) as index:
        expected = index.search(QUERY)
        for round_ in range(3):
            write_documents(config.base / "documents", {"en/rollback.md": f"Version {round_}", "en/new.md": "New."})
            builder.build(config, full=True)
        assert index.search(QUERY) == expected
        assert len(list((config.index_path / "segments").iterdir())) == 2
    del index
    with store.lock(config.index_path):
        store.collect_garbage(config.index_path, 1)
    assert manifests.generations(config.index_path) == [4]
    assert len(list((config.index_path / "segments").iterdir())) == 1


def test_a_rejected_new_version_keeps_the_old_one(config: Config) -> None:
    builder.build(config)
    before = answers(config)
    (config.base / "documents/en/rollback.md").write_bytes(b"\x00\x01\x02binary")
    report = builder.build(config)
    assert [r.source for r in report.rejections] == ["documents/en/rollback.md"]
    assert not report.published
    assert answers(config) == before
    assert report.rejects_file is not None
    assert "rollback.md" in report.rejects_file.read_text("utf-8")


def test_documents_below_a_folder_that_cannot_be_read_stay(config: Config) -> None:
    builder.build(config)
    run = IngestRun(store.live_documents(config.index_path, store.live_manifest(config.index_path)))
    run.reject(Rejection("documents/en", "cannot be listed"))
    assert run.gone() == [name for name in sorted(TEXTS) if name.startswith("ko/")]


def test_strict_refuses_and_changes_nothing(config: Config) -> None:
    builder.build(config)
    (config.base / "documents/bad.md").write_bytes(b"\x00\x01\x02")
    (config.base / "documents/good.md").write_text("good", "utf-8")
    with pytest.raises(RejectedDocumentsError, match="1 document"):
        builder.build(config, strict=True)
    assert manifests.generations(config.index_path) == [1]
    assert builder.build(config).published


def test_no_good_document_publishes_nothing(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/bad.md").write_bytes(b"\x00")
    with pytest.raises(SourceError, match="nothing is published"):
        builder.build(config_for(tmp_path))
    assert manifests.generations(tmp_path / "index") == []


def test_other_settings_are_refused_until_a_full_build(config: Config) -> None:
    builder.build(config)
    other = config_for(config.base, chunking={"max_tokens": 64, "overlap_tokens": 0})
    with pytest.raises(IncompatibleIndexError, match=r"chunker max_tokens: 254 → 64.*--full"):
        builder.build(other)
    assert builder.build(other, full=True).generation == 2


def test_a_full_build_mends_a_damaged_index(config: Config) -> None:
    builder.build(config)
    before = answers(config)
    segment = next((config.index_path / "segments").iterdir())
    path = segment / "dense.faiss"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptIndexError, match=r"dense\.faiss: its checksum"):
        answers(config)
    builder.build(config, full=True)
    assert answers(config) == before


def test_two_writers(config: Config) -> None:
    with store.lock(config.index_path), pytest.raises(IndexLockedError, match="process"):
        builder.build(config)


class Interrupted(MixedEncoder):
    """The configured encoder, counted, and interrupted after so many calls."""

    def __init__(self, encoded: list[int], limit: int | None = None) -> None:
        configured = load_encoder(EncoderSettings())
        assert isinstance(configured, MixedEncoder)
        super().__init__(configured.dense_encoder, configured.lexical_encoder)
        self.encoded, self.limit = encoded, limit

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        if len(self.encoded) == self.limit:
            raise KeyboardInterrupt
        self.encoded.append(1)
        return super().encode_documents(texts)


def test_an_interrupted_build_leaves_the_old_generation_and_resumes(config: Config) -> None:
    builder.build(config)
    before = answers(config)
    many = {f"more/{i}.md": f"document number {i} about {['apples', 'pears', 'plums'][i % 3]}" for i in range(12)}
    write_documents(config.base / "documents", many)
    small = config_for(config.base, encode={"shard_chunks": 2})
    encoded: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        builder.build(small, encoder=Interrupted(encoded, 3))
    assert answers(config) == before
    builder.build(small, encoder=Interrupted(encoded))
    assert len(encoded) == 6
    assert np.isin([f"more/{i}.md#0" for i in range(12)], [a[0] for a in answers(config, 50)]).all()


def test_mass_deletion_is_refused(config: Config) -> None:
    """Four of six are more than half; three of six are not."""
    builder.build(config)
    before = answers(config)
    texts = list(TEXTS)
    for name in texts[:4]:
        (config.base / "documents" / name).unlink()
    assert "4 of 6 documents are missing" in str(builder.plan(config).refusal)
    with pytest.raises(DeletionGuardError, match=r"4 of 6 documents .*max_delete_ratio=0\.5.*--allow-deletes"):
        builder.build(config)
    assert answers(config) == before
    write_documents(config.base / "documents", {texts[0]: TEXTS[texts[0]]})
    assert builder.build(config).deleted == 3
    write_documents(config.base / "documents", {"new.md": "New."})
    for name in [texts[0], *texts[4:]]:
        (config.base / "documents" / name).unlink()
    report = builder.build(config, allow_deletes=True)
    assert (report.deleted, report.documents) == (3, 1)


def test_held_documents_do_not_count_as_deleted(config: Config) -> None:
    """A share of zero allows no deletion at all, and a document that became unreadable is none."""
    builder.build(config)
    strictest = config.model_copy(update={"max_delete_ratio": 0.0})
    (config.base / "documents/en/rollback.md").write_bytes(b"\x00\x01\x02")
    assert not builder.build(strictest).published
    (config.base / "documents/en/fusion.md").unlink()
    with pytest.raises(DeletionGuardError, match="1 of 6"):
        builder.build(strictest)


def test_a_plan_estimates_time_from_the_last_build(config: Config) -> None:
    assert builder.plan(config).rate is None
    builder.build(config)
    write_documents(config.base / "documents", {f"{n}.md": f"Text {n}." for n in range(3)})
    plan = builder.plan(config)
    assert plan.rate is not None
    assert plan.rate.chunks == len(TEXTS)
    assert plan.seconds == pytest.approx(3 / len(TEXTS) * plan.rate.seconds)
    builder.build(config)  # three chunks say less than six did
    assert builder.plan(config).rate == plan.rate
    assert builder.plan(config_for(config.base, encoder={"model": "none"}), full=True).rate is None
