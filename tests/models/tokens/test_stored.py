"""Tokenizers in the model cache: converted once, and made again when they are damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import EncoderError
from pipeline.models.files.cache import cache_root
from pipeline.models.tokens.compact import CompactTokenizer
from pipeline.models.tokens.stored import stored_tokenizer
from tests.models.tokens.made import saved, small_vocabulary, xlm_roberta_json

IDS = [0, 7, 4, 5, 2]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRID_PIPELINE_CACHE", str(tmp_path / "cache"))
    return saved(xlm_roberta_json(small_vocabulary()), tmp_path)


def test_a_tokenizer_is_converted_once(source: Path) -> None:
    assert stored_tokenizer("it", lambda: source).encode(["ab a"])[0].tolist() == IDS
    source.unlink()
    again = stored_tokenizer("it", lambda: source)
    assert isinstance(again, CompactTokenizer)
    assert again.encode(["ab a"])[0].tolist() == IDS


@pytest.mark.parametrize(
    "name", ["trie-pieces.npy", "trie-scores.npy", "bare.json", "tokens.json", "artifact.json"]
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "edited"])
def test_damage_is_mended_from_the_tokenizer_json(source: Path, name: str, damage: str) -> None:
    stored_tokenizer("it", lambda: source)
    (path,) = (cache_root() / "models").glob(f"tokens-it-v*/{name}")
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "truncated" else whole[:-9] + b"\x01" + whole[-8:])
    assert stored_tokenizer("it", lambda: source).encode(["ab a"])[0].tolist() == IDS
    assert path.read_bytes() == whole


def test_what_cannot_be_mended_is_an_error(source: Path) -> None:
    stored_tokenizer("it", lambda: source)
    (path,) = (cache_root() / "models").glob("tokens-it-v*/tokens.json")
    path.write_text("{}")
    source.write_text("{}")
    with pytest.raises(EncoderError, match=r"tokenizer\.json: not a readable tokenizer"):
        stored_tokenizer("it", lambda: source)
