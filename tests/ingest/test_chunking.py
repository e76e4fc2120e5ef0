"""What a chunk promises: exact offsets, a bounded size, nothing lost, and cuts where a reader would make them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pipeline.config import ChunkingSettings
from pipeline.ingest.cutting.chunker import TOKEN_CHARS, Chunker
from pipeline.records import Document
from tests.ingest.cutting import KINDS, PROSE, chunker, cut, size, tokenizer

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


def effort(text: str, markdown: bool) -> int:
    """Python calls that cutting a text takes."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    cutter = chunker("wordpiece", 256, 32)
    sys.setprofile(count)
    try:
        cutter.spans(text, markdown)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    "text",
    [
        lambda n: "no line ends and no full stops " * n,
        lambda n: '{"a": 1, "b": "xyz"},' * n,
        lambda n: "한국어로만쓴긴글" * n,
        lambda n: "\n" * (20 * n) + "a" + " " * (20 * n) + "b",
        lambda n: "> " * (n // 4) + "deep",
        lambda n: "- a\n" * n,
        lambda n: "# h\n" * n,
        lambda n: "👩‍👩‍👧" * n,
        lambda n: "a\u0301" * (5 * n) + "\u0301" * (10 * n),
    ],
    ids=["prose", "json", "korean", "space", "quotes", "list", "headings", "emoji", "marks"],
)
@pytest.mark.parametrize("markdown", [False, True])
def test_effort_grows_with_the_text_alone(text: Callable[[int], str], markdown: bool) -> None:
    once, twice = (effort(text(n), markdown) for n in (4000, 8000))
    assert twice < 2.5 * once + 1000, "quadratic somewhere"
