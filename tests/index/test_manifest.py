"""A manifest is believed only as it was published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.errors import CorruptIndexError, IncompatibleIndexError, IndexNotFoundError
from pipeline.index import manifest as manifests
from pipeline.index.manifest import FileEntry, LexicalParameters, Manifest, SegmentEntry
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
        statistics={"이름": [1.5, None]},
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
