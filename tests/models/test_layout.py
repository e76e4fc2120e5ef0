"""A model is refused for a side that it cannot serve, by its files, before a library invents what it lacks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny

from pipeline.config import EncoderSettings
from pipeline.errors import EncoderError
from pipeline.models.choose.encoder import chunk_tokenizer, load_encoder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layouts")
    tiny.save_bge_m3(folder / "m3")
    tiny.save_sentence_model(folder / "dense")
    tiny.save_sentence_model(folder / "max", pooling="max")
    tiny.save_splade(folder / "splade")
    return folder


def changed(models: Path, source: str, target: Path, *lacks: str) -> Path:
    """A copy of a model without some of its files."""
    shutil.copytree(models / source, target)
    for name in lacks:
        (target / name).unlink()
    return target


def refusal(**settings: Any) -> str:
    with pytest.raises(EncoderError) as caught:
        load_encoder(EncoderSettings(device="cpu", **settings)).encode_documents(["LangChain", "other words"])
    return str(caught.value)


def test_a_dense_model_as_the_lexical_leg(models: Path, tmp_path: Path) -> None:
    said = refusal(lexical=str(models / "dense"))
    assert said.startswith(f"encoder.lexical='{models / 'dense'}': {models / 'dense'} is neither a sparse encoder")
    assert "modules.json names Normalize, Pooling, Transformer; name a SPLADE or a BGE-M3 here" in said
    bare = changed(models, "m3", tmp_path / "bare", "sparse_linear.pt", "colbert_linear.pt")
    assert "config.json names no masked language model" in refusal(lexical=str(bare))


def test_a_splade_as_the_dense_leg(models: Path, tmp_path: Path) -> None:
    for kind in ("auto", "sentence-transformers"):
        said = refusal(model=str(models / "splade"), kind=kind)
        assert "is a sparse encoder, as its modules.json says" in said
        assert "name it in encoder.lexical" in said
    bare = changed(models, "splade", tmp_path / "bare", "modules.json", "config_sentence_transformers.json")
    assert "may be a SPLADE; name it in encoder.lexical, or set encoder.kind" in refusal(model=str(bare))
    told = EncoderSettings(model=str(bare), kind="sentence-transformers", device="cpu", lexical="none")
    assert load_encoder(told).dimension == tiny.HIDDEN
    lexical = load_encoder(EncoderSettings(lexical=str(bare), device="cpu")).encode_documents(["LangChain"]).lexical
    assert lexical is not None
    assert len(lexical.token_ids) > 0


@pytest.mark.parametrize("head", ["sparse_linear.pt", "colbert_linear.pt"])
def test_half_a_bge_m3(models: Path, tmp_path: Path, head: str) -> None:
    half = changed(models, "m3", tmp_path / "half", head)
    for side in ("model", "lexical"):
        said = refusal(**{side: str(half)})
        assert said.startswith(
            f"encoder.{side}='{half}': {half} is a BGE-M3 that lacks {head}; fetch the model again"
        )
    assert f"is no BGE-M3: it lacks {head}" in refusal(model=str(half), kind="bge-m3")
    told = EncoderSettings(model=str(half), kind="sentence-transformers", device="cpu", lexical="none")
    assert load_encoder(told).dimension == tiny.HIDDEN


@pytest.mark.parametrize("name", ["m3", "dense", "max", "splade"])
def test_a_folder_without_a_tokenizer(models: Path, tmp_path: Path, name: str) -> None:
    """transformers would make one of special tokens alone, and every text would get the same vector."""
    folder = changed(models, name, tmp_path / "mute", "tokenizer.json")
    side = "lexical" if name == "splade" else "model"
    assert f"{folder}: has no" in refusal(**{side: str(folder)})
    if side == "model":
        with pytest.raises(EncoderError, match=r"mute: has no tokenizer\.json and no other vocabulary"):
            chunk_tokenizer(EncoderSettings(model=str(folder)))


def test_a_tokenizer_json_that_knows_no_word(models: Path, tmp_path: Path) -> None:
    folder = changed(models, "m3", tmp_path / "mute")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    special = {token["content"] for token in tokenizer["added_tokens"]}
    tokenizer["model"]["vocab"] = [entry for entry in tokenizer["model"]["vocab"] if entry[0] in special]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert refusal(model=str(folder)).startswith(f"{folder / 'tokenizer.json'}: knows no word")
