"""Which tokenizers get a compact form, and that the others go on as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import EncoderError
from pipeline.models.files.tokenizer import TextTokenizer
from pipeline.models.tokens import conversion
from pipeline.models.tokens.compact import CompactTokenizer, open_tokenizer
from pipeline.models.tokens.conversion import convert
from tests.models.tokens.made import minilm_path, saved, small_vocabulary, xlm_roberta_json

TEXTS = ["ab abc 한", "", "<s> ab"]


def converted(source: Path) -> tuple[CompactTokenizer | TextTokenizer, str]:
    """The tokenizer, and why it has no compact form."""
    folder = source.parent / "tokens"
    folder.mkdir()
    convert(source, folder)
    assert not (folder / "compact").exists()
    reason = json.loads((folder / "tokens.json").read_text("utf-8")).get("reason", "")
    return open_tokenizer(folder, lambda: source), reason


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    parsed = json.loads(json.dumps(xlm_roberta_json(small_vocabulary())))
    change(parsed)
    found: dict[str, Any] = parsed
    return found


FIRST, SECOND = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
NO_TOKEN_AT_ALL = {
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [FIRST],
        "pair": [FIRST, SECOND],
        "special_tokens": {},
    },
    "normalizer": {"type": "Replace", "pattern": {"Regex": "."}, "content": ""},
}
ROBERTA = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}
ROBERTA |= {"trim_offsets": True, "add_prefix_space": True}
ONE_SPACE = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
WORD_LEVEL = {
    "model": {"type": "WordLevel", "vocab": {"ab": 0, "<unk>": 1}, "unk_token": "<unk>"},
    "added_tokens": [],
    "post_processor": None,
}


def two_normalizers(parsed: dict[str, Any]) -> None:
    parsed["normalizer"] = {"type": "Sequence", "normalizers": [parsed["normalizer"], ONE_SPACE]}


def words_by_spaces_alone(parsed: dict[str, Any]) -> None:
    parsed["pre_tokenizer"] = parsed["pre_tokenizer"]["pretokenizers"][1]


@pytest.mark.parametrize(
    "change",
    [
        lambda parsed: parsed.update(normalizer=None),
        lambda parsed: parsed.update(pre_tokenizer=None),
        lambda parsed: parsed.update(post_processor=None),
        lambda parsed: parsed.update(post_processor=ROBERTA),
        lambda parsed: parsed["model"]["vocab"].insert(9, ["ab", -1.0]),
        words_by_spaces_alone,
        two_normalizers,
    ],
)
def test_other_parts_around_a_unigram_model_make_no_difference(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    source = saved(changed(change), tmp_path)
    tokenizer, _ = converted(source)
    assert isinstance(tokenizer, CompactTokenizer)
    whole = TextTokenizer(source)
    for text in ["ab abc 한 x", "  ab  ab\n", "", "abab ab"]:
        found = tokenizer.few([text])
        assert found is not None
        assert found[0].tolist() == whole.encode([text])[0].tolist()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda parsed: parsed["model"].update(byte_fallback=True), "spells unknown characters in bytes"),
        (lambda parsed: parsed["model"].update(unk_id=None), "other settings than are known here: unk_id"),
        (lambda parsed: parsed["model"]["vocab"].insert(9, ["ba", 1.0]), "no log probabilities"),
        (lambda parsed: parsed["model"]["vocab"].insert(9, ["x" * 300, -9.0]), "more than 256 characters"),
        (lambda parsed: parsed["model"]["vocab"].insert(9, ["x\0", -9.0]), "end in NUL"),
        (lambda parsed: parsed.update(WORD_LEVEL), "its model is WordLevel, neither Unigram nor WordPiece"),
        (lambda parsed: parsed.update(NO_TOKEN_AT_ALL), "special tokens do not stand before and after"),
    ],
)
def test_another_shape_stays_with_tokenizers(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    source = saved(changed(change), tmp_path)
    tokenizer, why = converted(source)
    assert isinstance(tokenizer, TextTokenizer)
    assert reason in why
    assert [row.tolist() for row in tokenizer.encode(TEXTS)] == [
        row.tolist() for row in TextTokenizer(source).encode(TEXTS)
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda model: model.update(continuing_subword_prefix=""), "does not mark pieces inside a word"),
        (lambda model: model.update(unk_token="<none>"), "no unknown token"),
        (lambda model: model["vocab"].update({"far": 10**6}), "its ids are far apart"),
    ],
)
def test_another_wordpiece_stays_with_tokenizers(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    parsed = json.loads(minilm_path().read_text("utf-8"))
    change(parsed["model"])
    tokenizer, why = converted(saved(parsed, tmp_path))
    assert isinstance(tokenizer, TextTokenizer)
    assert reason in why


def test_a_form_that_reads_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "UNKNOWN_PENALTY", -50.0)  # what is unknown would be likelier than any piece
    source = saved(xlm_roberta_json(small_vocabulary()), tmp_path)
    tokenizer, why = converted(source)
    assert isinstance(tokenizer, TextTokenizer)
    assert "its compact form reads" in why


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    source = tmp_path / "tokenizer.json"
    source.write_text("{}")
    with pytest.raises(EncoderError, match=r"tokenizer\.json: not a readable tokenizer"):
        converted(source)
