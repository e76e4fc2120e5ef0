"""A manifest is believed only as it was published."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import CorruptIndexError, IncompatibleIndexError, IndexNotFoundError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import (
    FileEntry,
    LexicalParameters,
    LexicalRecall,
    Manifest,
    SegmentEntry,
    SeismicParameters,
)
from pipeline.index.statistics import Statistics
from pipeline.records import Fingerprint


def example(generation: int = 1, name: str = "chunks.parquet") -> Manifest:
    return Manifest(
        generation=generation,
        created_at="2026-01-01T00:00:00+00:00",
        documents=1,
        chunks=2,
        segments=(SegmentEntry("abc", 2, (FileEntry(name, 3, "00"),)),),
        fingerprints={"dense": {"model": "m"}},
        dimension=3,
        lexical=LexicalParameters("bm25", 1.2, 0.75),
        encoder={"model": "embedded"},
        statistics=Statistics(other={"이름": [1.5, None]}),
    )


def test_round_trip(tmp_path: Path) -> None:
    manifests.publish(tmp_path, example())
    assert manifests.load(tmp_path, 1) == example()
    assert manifests.latest_generation(tmp_path) == 1


def test_a_number_is_taken_once(tmp_path: Path) -> None:
    manifests.publish(tmp_path, example())
    with pytest.raises(FileExistsError):
        manifests.publish(tmp_path, example())


def test_every_hand_edit_is_refused(tmp_path: Path) -> None:
    manifests.publish(tmp_path, example())
    path = manifests.manifest_path(tmp_path, 1)
    original = json.loads(path.read_text())
    for key in original:
        edited = dict(original)
        edited[key] = "edited"
        path.write_text(json.dumps(edited))
        with pytest.raises(CorruptIndexError, match=path.name):
            manifests.load(tmp_path, 1)
        del edited[key]
        path.write_text(json.dumps(edited))
        with pytest.raises(CorruptIndexError, match=path.name):
            manifests.load(tmp_path, 1)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", "[" * 100_000])
def test_not_a_manifest(tmp_path: Path, text: str) -> None:
    manifests.manifest_path(tmp_path, 1).write_text(text)
    with pytest.raises(CorruptIndexError):
        manifests.load(tmp_path, 1)


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc/passwd", "..", "", "a" * 200])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    manifests.publish(tmp_path, example(name=name))
    with pytest.raises(CorruptIndexError, match="unacceptable"):
        manifests.load(tmp_path, 1)


def test_renumbered_and_missing(tmp_path: Path) -> None:
    manifests.publish(tmp_path, example(2))
    manifests.manifest_path(tmp_path, 2).rename(manifests.manifest_path(tmp_path, 9))
    with pytest.raises(CorruptIndexError, match="says it is generation 2"):
        manifests.load(tmp_path, 9)
    with pytest.raises(IndexNotFoundError, match="no generation 5; there are: 9"):
        manifests.load(tmp_path, 5)
    with pytest.raises(IndexNotFoundError, match="no index here"):
        manifests.latest_generation(tmp_path / "nowhere")


def test_differences_are_spelled_out(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleIndexError, match=r"dense model: m → n; dense pooling: \(absent\) → cls"):
        manifests.check_fingerprints(tmp_path, example(), {"dense": Fingerprint.of(model="n", pooling="cls")})
    manifests.check_fingerprints(tmp_path, example(), {"dense": Fingerprint.of(model="m"), "lexical": None})


SOUND = SeismicParameters("0.5.4", 8, 0.9, 0.985)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("query_cut", 0),
        ("query_cut", -1),
        ("query_cut", 2**40),
        ("heap_factor", -0.1),
        ("heap_factor", 1.1),
        ("heap_factor", float("nan")),
        ("recall", 1.5),
        ("recall", float("nan")),
    ],
)
def test_search_parameters_out_of_bounds_are_refused(tmp_path: Path, field: str, value: float) -> None:
    (entry,) = example().segments
    sound = dataclasses.replace(example(), segments=(dataclasses.replace(entry, lexical=SOUND),))
    manifests.publish(tmp_path, sound)
    assert manifests.load(tmp_path, 1) == sound
    wrong = dataclasses.replace(SOUND, **{field: value})  # type: ignore[arg-type]
    manifests.publish(
        tmp_path,
        dataclasses.replace(sound, generation=2, segments=(dataclasses.replace(entry, lexical=wrong),)),
    )
    with pytest.raises(CorruptIndexError):
        manifests.load(tmp_path, 2)


def test_the_recall_of_a_generation_is_weighted_by_chunks() -> None:
    """(0.9 · 100 + 1.0 · 300) / 400 = 0.975; an exact segment counts neither way."""
    entries = [
        SegmentEntry("a", 100, (), lexical=dataclasses.replace(SOUND, recall=0.9)),
        SegmentEntry("b", 300, (), lexical=dataclasses.replace(SOUND, recall=1.0)),
        SegmentEntry("c", 5000, ()),
    ]
    manifest = dataclasses.replace(example(), segments=tuple(entries))
    assert manifests.lexical_recall(manifest) == LexicalRecall(2, 3, 0.975, 0.9)
    assert manifests.lexical_recall(example()) is None


def rewritten(folder: Path, generation: int) -> dict[str, Any]:
    """The fields of a manifest after it was loaded and published again."""
    loaded = manifests.load(folder, generation)
    other = folder / "again"
    other.mkdir()
    manifests.publish(other, loaded)
    found: dict[str, Any] = json.loads(manifests.manifest_path(other, generation).read_bytes())
    return found


@pytest.mark.parametrize(
    "statistics",
    [
        {},
        {"calibration": {"version": 9, "anything": [None]}, "encoded_chunks": 3, "reused_chunks": 0},
        {"encoding": {"chunks": 7, "seconds": 0.1 + 0.2}},
        {"gate": {"inputs": "f0", "measures": {}, "refusals": ["too few"]}},
        {
            "gate": {
                "inputs": "f0",
                "measures": {"nDCG@10": 1 / 3},
                "refusals": [],
                "circumstances": {"read": 4, "rejected": 1, "allow_deletes": True},
            }
        },
        {
            "gate": {"measures": {}, "refusals": [], "later": {"a": None}},
            "encoding": {"chunks": 1, "seconds": 0.5, "x": 1},
        },
        {"other": {"other": 1}, "이름": None},
    ],
)
def test_statistics_are_written_again_as_they_were_read(tmp_path: Path, statistics: dict[str, Any]) -> None:
    """Whatever was absent stays absent, and what only another version knows is kept."""
    manifests.publish(tmp_path, example())
    path = manifests.manifest_path(tmp_path, 1)
    body = json.loads(path.read_bytes()) | {"statistics": statistics}
    del body["checksum"]
    path.write_text(json.dumps({**body, "checksum": manifests.digest(body)}) + "\n")
    assert rewritten(tmp_path, 1)["statistics"] == statistics
