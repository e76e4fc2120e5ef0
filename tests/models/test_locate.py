"""Finding a model's files, on a hub cache laid out by hand; no network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, EncoderError
from pipeline.models.files.locate import locate

COMMIT = "5617a9f61b028005a4858fdac845db406aefb181"


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--org--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    return folder


def test_a_downloaded_hub_model_is_known_by_its_commit(snapshot: Path) -> None:
    model = locate("org/name")
    assert (model.name, model.folder, model.revision) == ("org/name", snapshot, COMMIT)
    assert locate("org/name", revision=COMMIT) == model


def test_an_incomplete_or_absent_model_is_downloaded_or_an_error(snapshot: Path) -> None:
    with pytest.raises(EncoderError, match=r"encoder\.model='org/name' is not .*on this machine.*give a folder"):
        locate("org/name", needs=("sparse_linear.pt",))
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"be downloaded"):
        locate("org/name")


def test_a_folder_is_known_by_its_contents(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    weights = folder / "model.safetensors"
    weights.write_bytes(b"one")
    first = locate("model", base=tmp_path)
    assert first.name == "folder"
    assert locate(str(folder)) == first  # remembered, and relative to `base` or absolute
    stat = weights.stat()
    weights.write_bytes(b"two")
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same mtime: the change still shows
    assert locate(str(folder)).revision != first.revision
    weights.write_bytes(b"one")
    assert locate(str(folder)).revision == first.revision


def test_the_names_a_model_is_known_by(snapshot: Path, tmp_path: Path) -> None:
    (snapshot / "config.json").write_text('{"_name_or_path": "xlm-roberta-large"}')
    assert locate("org/name").names == ("org/name", COMMIT, "xlm-roberta-large")
    assert locate(str(snapshot)).names == locate("org/name").names  # the folder of the hub's cache, given by hand
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model" / "config.json").write_text("{}")
    assert locate("my-model", base=tmp_path).names == ("my-model",)


def test_errors_name_the_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^encoder\.lexical='\./missing': there is no folder"):
        locate("./missing", key="encoder.lexical")
    with pytest.raises(EncoderError, match=r"^encoder\.lexical='org/missing' is not on this machine"):
        locate("org/missing", key="encoder.lexical")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"^query\.rerank\.revision is for hub models"):
        locate(str(tmp_path), "main", key="query.rerank.model")


@pytest.mark.parametrize("name", ["./missing", "/no/such/folder", "three/part/name", "name"])
def test_what_is_neither_folder_nor_hub_id(name: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder .* not a hub id"):
        locate(name)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        locate(str(tmp_path))
