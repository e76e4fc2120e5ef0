"""Tokenizers in the form of real models' tokenizer.json, made of what this machine has."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

from pipeline.models.e5.data_file import E5Data
from pipeline.models.e5.origin import read_data
from pipeline.models.local.english import package_folder

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def xlm_roberta_json(scores_by_piece: list[tuple[str, float]], **changes: Any) -> dict[str, Any]:
    """The tokenizer.json of XLM-RoBERTa and BGE-M3, with the given vocabulary; `<mask>` is its last piece."""
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}

    def added(token_id: int, content: str, lstrip: bool = False) -> dict[str, Any]:
        flags = {"single_word": False, "lstrip": lstrip, "rstrip": False, "normalized": False, "special": True}
        return {"id": token_id, "content": content, **flags}

    def special(content: str) -> dict[str, Any]:
        return {"SpecialToken": {"id": content, "type_id": 0}}

    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    mask = len(scores_by_piece) - 1
    return {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 8192, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": [*(added(i, name) for i, name in enumerate(SPECIAL)), added(mask, "<mask>", lstrip=True)],
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(_charsmap()).decode()},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("<s>"), first, special("</s>")],
            "pair": [special("<s>"), first, special("</s>"), special("</s>"), second, special("</s>")],
            "special_tokens": {
                name: {"id": name, "ids": [i], "tokens": [name]} for i, name in ((0, "<s>"), (2, "</s>"))
            },
        },
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 3, "vocab": scores_by_piece, "byte_fallback": False},
        **changes,
    }


def xlm_roberta_vocabulary() -> list[tuple[str, float]]:
    """The 250,002 pieces of XLM-RoBERTa, BGE-M3 and multilingual-e5, from the data file of the latter."""
    vocabulary = E5Data(read_data(), "the package").vocabulary
    return [(piece, float(score)) for piece, score in zip(vocabulary.pieces, vocabulary.scores, strict=True)]


def small_vocabulary() -> list[tuple[str, float]]:
    """Few pieces, by which ids can be told by hand."""
    scored = [("▁", -1), ("a", -2), ("b", -2), ("▁ab", -3.5), ("ab", -3), ("abc", -9), ("한", -4)]
    return [
        *((name, 0.0) for name in SPECIAL),
        *((piece, float(score)) for piece, score in scored),
        ("<mask>", 0.0),
    ]


def saved(parsed: dict[str, Any], folder: Path) -> Path:
    """The tokenizer.json in a folder."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(parsed, ensure_ascii=False), "utf-8")
    return path


def minilm_path() -> Path:
    """The tokenizer.json of all-MiniLM-L6-v2: WordPiece, as BERT has it."""
    return package_folder() / "tokenizer.json"


def _charsmap() -> bytes:
    """SentencePiece's `nmt_nfkc`, by which XLM-RoBERTa normalises; it writes the map into every model it trains."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["some words to train on"] * 20),
        model_writer=written,
        vocab_size=20,
        hard_vocab_limit=False,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(written.getvalue())
    return bytes(model.normalizer_spec.precompiled_charsmap)
