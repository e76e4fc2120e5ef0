"""tokenizer.json → the folder that `compact.open_tokenizer` opens; one of another shape stays with `tokenizers`."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.models.files import cache
from pipeline.models.files.tokenizer import load_tokenizer
from pipeline.models.tokens.compact import (
    BARE_FILE,
    LIBRARY,
    NODES_FILE,
    SCORES_FILE,
    SETTINGS_FILE,
    UNIGRAM,
    WORDPIECE,
    CompactTokenizer,
    open_tokenizer,
)
from pipeline.models.tokens.segmentation import UNKNOWN_PENALTY
from pipeline.models.tokens.trie import write_trie

_LONGEST_PIECE = 256
_PROBED_PIECES = 2000
_PROBES = (
    "",
    " ",
    "a",
    "How do I roll back a bad build?  It fails\r\n\tsince Tuesday.",
    "검색 색인을 되돌리려면? 日本語のトークン、中文分词。 поиск по индексу, αναζήτηση, البحث، खोज सूची ค้นหา",
    "ﬁne ①Ⅷ ™ e\u0301 \u1112\u1161\u11ab \u200d\u200b\u00ad\ufeff ▁ ＡＢＣ 👩\u200d👧 \u0378\u0378 \x00 \x7f",
)


class _UnsupportedError(Exception):
    """Why a tokenizer has no compact form."""


class _Vocabulary(NamedTuple):
    """Pieces of a model and their ids. `scores`: of a unigram model. `settings`: what its segmentation needs.

    `bare`: the model with hardly a vocabulary.
    """

    pieces: list[str]
    ids: list[int]
    scores: list[float] | None
    settings: dict[str, Any]
    bare: dict[str, Any]


def convert(source: Path, folder: Path) -> None:
    """Write the compact form of a tokenizer.json, if it has the shape for one. Raises `EncoderError`.

    The compact form is kept if it gives the ids that `tokenizers` gives, for probes of many scripts.
    """
    whole = load_tokenizer(source)
    compact = folder / "compact"
    compact.mkdir()
    try:
        parsed = json.loads(source.read_text("utf-8"))
        vocabulary = _vocabulary(parsed.get("model") or {})
        _write_pieces(vocabulary, compact)
        settings = vocabulary.settings | _special(whole) | {"checksum": cache.file_checksum(source)}
        (compact / SETTINGS_FILE).write_text(json.dumps(settings), "utf-8")
        unused = dict.fromkeys(("truncation", "padding", "post_processor", "decoder"))
        bare = {**parsed, **unused, "added_tokens": [], "model": vocabulary.bare}
        (compact / BARE_FILE).write_text(json.dumps(bare), "utf-8")
        _check(compact, source, vocabulary.pieces, whole)
    except _UnsupportedError as error:
        (folder / SETTINGS_FILE).write_text(json.dumps({"kind": LIBRARY, "reason": str(error)}), "utf-8")
    else:
        for part in compact.iterdir():
            part.rename(folder / part.name)
    shutil.rmtree(compact)


def _write_pieces(vocabulary: _Vocabulary, folder: Path) -> None:
    if any(not 0 < len(piece) <= _LONGEST_PIECE or piece[-1] == "\0" for piece in vocabulary.pieces):
        raise _UnsupportedError(
            f"it has pieces that are empty, end in NUL or have more than {_LONGEST_PIECE} characters"
        )
    ids = np.array(vocabulary.ids)
    if ids.max() >= 2 * len(ids) + 1000:
        raise _UnsupportedError("its ids are far apart")
    nodes, count = write_trie(vocabulary.pieces, ids, folder)
    ends = np.zeros(ids.max() + 1, np.int32)
    ends[ids] = nodes
    np.save(folder / NODES_FILE, ends)
    if vocabulary.scores is not None:
        scores = np.zeros(count, np.float64)
        scores[nodes] = vocabulary.scores
        np.save(folder / SCORES_FILE, scores)


def _vocabulary(model: Mapping[str, Any]) -> _Vocabulary:
    kind = model.get("type")
    known = {"Unigram": _unigram, "WordPiece": _wordpiece}.get(str(kind))
    if known is None:
        raise _UnsupportedError(f"its model is {kind}, neither Unigram nor WordPiece")
    return known(model)


def _unigram(model: Mapping[str, Any]) -> _Vocabulary:
    _expect(model, {"type", "unk_id", "vocab", "byte_fallback"})
    pieces, scores = [str(piece) for piece, _ in model["vocab"]], [float(score) for _, score in model["vocab"]]
    unk_id = model.get("unk_id")
    if model.get("byte_fallback") or not isinstance(unk_id, int):
        raise _UnsupportedError("its model spells unknown characters in bytes, or knows no unknown token")
    if not all(-math.inf < score <= 0 for score in scores):
        raise _UnsupportedError("its scores are no log probabilities")
    settings = {"kind": UNIGRAM, "unk_id": unk_id, "unk_score": min(scores) - UNKNOWN_PENALTY}
    bare = {**model, "vocab": [model["vocab"][unk_id]], "unk_id": 0}
    return _Vocabulary(pieces, list(range(len(pieces))), scores, settings, bare)


def _wordpiece(model: Mapping[str, Any]) -> _Vocabulary:
    _expect(model, {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"})
    vocab, unknown = model["vocab"], model["unk_token"]
    inner = model["continuing_subword_prefix"]
    if unknown not in vocab or not inner:
        raise _UnsupportedError("its model has no unknown token, or does not mark pieces inside a word")
    settings = {
        "kind": WORDPIECE,
        "unk_id": vocab[unknown],
        "inner": inner,
        "longest": model["max_input_chars_per_word"],
    }
    bare = {**model, "vocab": {unknown: 0}}
    return _Vocabulary(list(vocab), list(vocab.values()), None, settings, bare)


def _expect(model: Mapping[str, Any], expected: set[str]) -> None:
    names = {name for name, value in model.items() if value is not None}
    if names != expected:
        raise _UnsupportedError(
            f"its model has other settings than are known here: {', '.join(sorted(names ^ expected))}"
        )


def _special(whole: Any) -> dict[str, Any]:
    """The ids before and after those of every text, and the tokens that are cut out of a text before all else."""
    ids, inner = whole.encode("a").ids, whole.encode("a", add_special_tokens=False).ids
    added = {token.content: i for i, token in whole.get_added_tokens_decoder().items()}
    for start in range(len(ids) - len(inner) + 1):
        if inner and ids[start : start + len(inner)] == inner:
            return {"before": ids[:start], "after": ids[start + len(inner) :], "added": added}
    raise _UnsupportedError("special tokens do not stand before and after a text")


def _check(folder: Path, source: Path, pieces: Sequence[str], whole: Any) -> None:
    """Raise `_UnsupportedError` unless the compact form in a folder gives the ids of the whole tokenizer."""
    compact = open_tokenizer(folder, lambda: source)
    assert isinstance(compact, CompactTokenizer)
    probed = sorted(pieces)[:: max(1, len(pieces) // _PROBED_PIECES)]
    for probe in (*_PROBES, *(f"{piece} x{piece}".replace("▁", " ") for piece in probed)):
        found = compact.few([probe])
        if found is not None and found[0].tolist() != whole.encode(probe).ids:
            raise _UnsupportedError(f"its compact form reads {probe!r} otherwise")
