"""Compaction changes where rows lie and nothing else: same hits, same bits of every score."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import cli
from pipeline.config import Config
from pipeline.errors import CorruptIndexError
from pipeline.index import manifest as manifests
from pipeline.index import store
from pipeline.index.choices import DenseChoice
from pipeline.index.dense.component import DENSE
from pipeline.index.lexical.component import LEXICAL
from pipeline.index.manifest import LexicalParameters, Manifest, SegmentEntry
from pipeline.index.multivector.component import MULTIVECTORS
from pipeline.index.segment import Segment
from pipeline.index.upkeep.compact import LiveRows, compact, everything, live_chunks, wants_compaction
from pipeline.index.upkeep.verify import verify
from pipeline.records import Encoded, Fingerprint, MultiVectors
from tests.faults import stub


def many_builds(base: Path, versions: int = 6, dense: stub.HashedEncoder | None = None, **changes: Any) -> Config:
    config = stub.stub_config(base, retain=50, **changes)
    for version in range(versions):
        stub.write_texts(base, version)
        stub.build(config, encoder=stub.encoder(dense))
    return config


@pytest.mark.parametrize("kind", ["auto", "Flat", "SQfp16", "IVF1,SQ8"])
@pytest.mark.parametrize("max_chunks", [10, 15, 1000])
def test_same_hits_and_same_scores(tmp_path: Path, kind: str, max_chunks: int) -> None:
    config = many_builds(tmp_path, 4, segments={"max_chunks": 8, "dense": kind})
    index = config.index_path
    before, live = stub.answers(index), manifests.load(index, 4)
    report = compact(
        index, lambda manifest: everything(manifest, max_chunks), dense=DenseChoice(config.segments.dense)
    )
    assert (report.published, report.generation) == (True, 5)
    assert report.segments_after < report.segments_before
    assert report.dropped_chunks == sum(entry.deleted_chunks for entry in live.segments) > 0
    assert stub.answers(index) == before == stub.answers(index, 4)
    assert verify(index, deep=True).problems == ()
    after = manifests.load(index, 5)
    assert all(live_chunks(entry) <= max_chunks and not entry.deletes for entry in after.segments)
    assert not compact(index, lambda manifest: everything(manifest, max_chunks)).published or max_chunks == 10


def test_auto_keeps_full_precision(tmp_path: Path) -> None:
    config = many_builds(tmp_path, 3, segments={"max_chunks": 8, "dense": "Flat"})
    before = stub.answers(config.index_path)
    compact(config.index_path)
    assert stub.answers(config.index_path) == before


def test_the_next_build_goes_on_from_a_compaction(tmp_path: Path) -> None:
    config = many_builds(tmp_path / "compacted", 3)
    plain = many_builds(tmp_path / "plain", 3)
    compact(config.index_path, retain=1)
    assert manifests.generations(config.index_path) == [4]
    for version in (3, 4):
        for one in (config, plain):
            stub.write_texts(one.base, version)
            stub.build(one)
        assert stub.answers(config.index_path) == stub.answers(plain.index_path)
        compact(config.index_path)
    assert verify(config.index_path, deep=True).problems == ()


def test_a_reader_keeps_its_generation(tmp_path: Path) -> None:
    config = many_builds(tmp_path, 3)
    with stub.open_index(config.index_path) as reader:
        expected = reader.search("apples")
        compact(config.index_path, retain=1)
        assert reader.search("apples") == expected


def test_damage_is_not_copied(tmp_path: Path) -> None:
    config = many_builds(tmp_path, 2)
    path = sorted(config.index_path.glob("segments/*/dense.faiss"))[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptIndexError, match="checksum"):
        compact(config.index_path)
    assert manifests.generations(config.index_path) == [1, 2]


def test_wholly_deleted_segments_vanish(tmp_path: Path) -> None:
    config = many_builds(tmp_path, 1)
    live = manifests.load(config.index_path, 1)
    gone = store.without_documents(config.index_path, live.segments, ["000.txt"], 2)
    manifests.publish(
        config.index_path,
        dataclasses.replace(live, generation=2, documents=23, chunks=23, segments=tuple(gone)),
    )
    report = compact(config.index_path, lambda m: [(entry,) for entry in m.segments if entry.deleted_chunks])
    assert (report.dropped_chunks, report.segments_after) == (1, 2)
    assert verify(config.index_path, deep=True).problems == ()


class Tokens(stub.HashedEncoder):
    """Two multi-vectors a text, as wide as the dense vector."""

    def encode_documents(self, texts: Sequence[str]) -> Encoded:
        dense = super().encode_documents(texts).dense
        assert dense is not None
        tokens = np.arange(len(texts) + 1) * 2
        return Encoded(dense=dense, multivectors=MultiVectors(tokens, np.repeat(dense, 2, axis=0)))


def test_multivectors_are_copied(tmp_path: Path) -> None:
    config = many_builds(tmp_path, 3, Tokens())

    def stored() -> dict[str, bytes]:
        live = store.live_manifest(config.index_path)
        assert live is not None
        assert live.fingerprint("multivector") is not None
        found = {}
        for entry in live.segments:
            segment = Segment(config.index_path, entry)
            for ordinal, chunk_id in enumerate(segment.store.column("chunk_id")):
                if segment.deleted is None or not segment.deleted[ordinal]:
                    found[chunk_id] = segment.open(MULTIVECTORS).vectors([ordinal]).vectors.tobytes()
        return found

    before = stored()
    compact(config.index_path)
    assert stored() == before
    assert verify(config.index_path, deep=True).problems == ()


def test_live_rows_count_what_they_give(tmp_path: Path) -> None:
    config = many_builds(tmp_path, 3)
    live = manifests.load(config.index_path, 3)
    source = LiveRows(tuple(Segment(config.index_path, entry) for entry in live.segments))
    assert source.count == live.chunks
    assert sum(table.num_rows for table in source.chunk_tables()) == live.chunks
    assert sum(len(block) for block in source.blocks(DENSE.rows)) == live.chunks
    assert sum(table.num_rows for table in source.blocks(LEXICAL.rows)) == live.chunks


def manifest_of(sizes: list[tuple[int, int]]) -> Manifest:
    entries = tuple(
        SegmentEntry(f"s{i}", chunks, (), None, min(deleted, chunks - 1))
        for i, (chunks, deleted) in enumerate(sizes)
    )
    prints = {"dense": dict(Fingerprint.of(a=1).fields)}
    return Manifest(1, "", 0, 0, entries, prints, 3, LexicalParameters("dot", 0, 0), {}, {})


def names(groups: list[tuple[SegmentEntry, ...]]) -> list[list[str]]:
    return [[entry.segment_id for entry in group] for group in groups]


def test_policy_by_hand() -> None:
    assert wants_compaction(manifest_of([(100, 0)] * 7)) == []
    assert names(wants_compaction(manifest_of([(100, 0)] * 8))) == [[f"s{i}" for i in range(8)]]
    assert names(wants_compaction(manifest_of([(200_000, 0), (100, 0), (200_000, 70_000)]))) == [["s2"]]
    assert wants_compaction(manifest_of([(200_000, 0), (90, 30), (200_000, 60_000)])) == []
    assert names(wants_compaction(manifest_of([(100, 0)] * 4 + [(5000, 0)] * 8))) == [
        [f"s{i}" for i in range(4, 12)]
    ]
    assert names(wants_compaction(manifest_of([(100, 0)] * 8), max_chunks=400)) == [
        ["s0", "s1", "s2", "s3"],
        ["s4", "s5", "s6", "s7"],
    ]


@given(st.lists(st.tuples(st.integers(1, 300_000), st.integers(0, 300_000)), max_size=60))
def test_policy_in_general(sizes: list[tuple[int, int]]) -> None:
    """No segment in two groups, no group too large unless a single segment is, none that changes nothing."""
    manifest = manifest_of(sizes)
    for groups in (wants_compaction(manifest), everything(manifest)):
        every = [entry.segment_id for group in groups for entry in group]
        assert len(every) == len(set(every))
        for group in groups:
            assert len(group) > 1 or group[0].deleted_chunks
            assert len(group) == 1 or sum(map(live_chunks, group)) <= 250_000


def test_nightly_builds_stay_few_segments_and_copy_little() -> None:
    """A thousand nights of 100 chunks with the policy after each: few segments, and each chunk copied rarely."""
    sizes: list[int] = []
    copied = 0
    for _ in range(1000):
        sizes.append(100)
        manifest = manifest_of([(size, 0) for size in sizes])
        for group in wants_compaction(manifest):
            gone = {entry.segment_id for entry in group}
            total = sum(map(live_chunks, group))
            sizes = [size for i, size in enumerate(sizes) if f"s{i}" not in gone] + [total]
            copied += total
    assert sum(sizes) == 100_000
    assert len(sizes) <= 24
    assert copied <= 4 * 100_000


def test_the_command(tmp_path: Path) -> None:
    config = many_builds(tmp_path, 3)
    result = CliRunner().invoke(cli, ["compact", "--index", str(config.index_path)])
    assert result.exit_code == 0
    assert "published generation 4: " in result.stdout
    result = CliRunner().invoke(cli, ["compact", "--index", str(config.index_path)])
    assert (result.exit_code, result.stdout) == (4, "nothing to do: generation 4 has nothing to merge or to drop\n")
    result = CliRunner().invoke(cli, ["compact", "--json", "--index", str(config.index_path)])
    assert result.exit_code == 4
    assert '"published": false' in result.stdout
