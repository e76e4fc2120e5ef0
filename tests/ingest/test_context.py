"""The context of a chunk: what it says, how long it may be, and that chunk and context fit together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ChunkingSettings
from pipeline.config.chunking import CONTEXTS
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.ingest.cutting.context import MOST_SHARE, MOST_TOKENS, ContextWriter, title_of
from pipeline.records import Chunk, Document, Metadata
from tests.ingest.cutting import KINDS, PROSE, counting, size, tokenizer

PAGE = f"{PROSE}\n\n# First\n\n{PROSE}\n\n## Deep\n\n{PROSE} {PROSE}\n\n# Last\n\n{PROSE}\n"


def chunks(
    text: str,
    context: str,
    *,
    title: str = "",
    max_tokens: int = 40,
    kind: str = "wordpiece",
    markdown: bool = True,
) -> list[Chunk]:
    settings = ChunkingSettings(max_tokens=max_tokens, overlap_tokens=0, context=context)
    metadata: Metadata = {"title": title} if title else {}
    return list(Chunker(settings, tokenizer(kind)).chunk(Document("d", text, metadata, is_markdown=markdown)))


def written(title: str, headings: tuple[str, ...], template: str = "{title}\n{headings}", tokens: int = 200) -> str:
    return ContextWriter(template, counting("wordpiece"), tokens).write(title, headings)[0]


@pytest.mark.parametrize(
    ("context", "last_of_deep"),
    [
        ("title+headings", "A page\nFirst > Deep"),
        ("title", "A page"),
        ("headings", "First > Deep"),
        ("none", ""),
        ("{headings} ({title})", "First > Deep (A page)"),
        ("from {title}\nin: {headings}", "from A page\nin: First > Deep"),
    ],
)
def test_each_kind_of_context(context: str, last_of_deep: str) -> None:
    found = chunks(PAGE, context, title="A page")
    (deep,) = {c.context for c in found if c.headings == ("First", "Deep")}
    assert deep == last_of_deep
    assert all(c.encoded_text == (f"{c.context}\n\n{c.text}" if c.context else c.text) for c in found)


def test_offsets_and_texts_are_the_documents_own() -> None:
    for context in CONTEXTS:
        assert all(c.text == PAGE[c.start : c.end] for c in chunks(PAGE, context, title="A page"))


def test_a_line_of_a_template_without_its_value_is_left_out() -> None:
    template = "from {title}\nin: {headings}"
    assert written("A page", (), template) == "from A page"
    assert written("", ("First",), template) == "in: First"
    assert written("", (), template) == ""
    assert written("", (), "always\n{title}") == "", "fixed words alone are no context"
    assert written("A {title} {x}", ("h",), template) == "from A {title} {x}\nin: h", "titles are no templates"


def test_a_title_is_not_said_twice() -> None:
    assert written("Rolling  Back", ("rolling back", "How")) == "Rolling  Back\nHow"
    assert written("Rolling back", ("Rolling back", "How"), "{headings}") == "Rolling back > How"
    record = f"The title\n\n{PROSE} {PROSE} {PROSE}"
    first, *others = chunks(record, "title+headings", title="The title", markdown=False)
    assert first.context == ""
    assert {c.context for c in others} == {"The title"}
    whole = chunks(record, "title+headings", title="The title", max_tokens=1000, markdown=False)
    assert [c.encoded_text for c in whole] == [record], "a passage with its title is encoded as it is"


def test_long_paths_lose_the_outermost_headings_first() -> None:
    headings = tuple(f"heading number {i}" for i in range(9))
    for tokens in range(40, 300, 20):
        title, *path = written("page", headings, tokens=tokens).split("\n")
        assert title == "page"
        shown = path[0].split(" > ") if path else []
        assert shown == list(headings[len(headings) - len(shown) :])
        more = " > ".join(headings[len(headings) - len(shown) - 1 :])
        assert len(shown) == 9 or size(f"page\n{more}") > min(tokens // MOST_SHARE, MOST_TOKENS)


def test_a_title_that_is_too_long_is_cut_at_a_token() -> None:
    title = " ".join(["word"] * 400)
    assert written(title, ("heading",), tokens=40) == " ".join(["word"] * 10)
    assert written("", (title,), tokens=40) == " ".join(["word"] * 10)
    assert size(written(title, (), tokens=100_000)) == MOST_TOKENS


def test_titles_on_one_line() -> None:
    assert title_of({"title": " a\n b "}) == "a b"
    assert title_of({"title": 1984}) == "1984"
    nothing: list[Metadata] = [{}, {"title": None}, {"title": True}, {"title": ["a"]}]
    assert {title_of(metadata) for metadata in nothing} == {""}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(data=st.data(), max_tokens=st.sampled_from([8, 20, 64]), overlap=st.sampled_from([0, 4]))
def test_context_and_chunk_fit_together(kind: str, data: st.DataObject, max_tokens: int, overlap: int) -> None:
    pieces = [
        "# A heading\n\n",
        "\n\n## 제목 둘\n\n",
        "\n### x\n",
        "words of prose. ",
        "색인은 만듭니다. ",
        "検索。",
        "\n\n",
        "a_b",
    ]
    text = "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=60)))
    title = data.draw(st.sampled_from(["", "A title", "밤마다 새로 만드는 색인", "long " * 40]))
    cutter = Chunker(ChunkingSettings(max_tokens=max_tokens, overlap_tokens=overlap), tokenizer(kind))
    found = list(cutter.chunk(Document("d", text, {"title": title}, is_markdown=True)))
    for chunk in found:
        assert chunk.text == text[chunk.start : chunk.end]
        assert size(chunk.encoded_text, kind) <= max_tokens
        assert size(chunk.context, kind) <= max_tokens // MOST_SHARE
    covered = {i for chunk in found for i in range(chunk.start, chunk.end)}
    assert all(i in covered or text[i].isspace() for i in range(len(text))), "nothing is lost"


def test_it_is_part_of_the_fingerprint_and_its_absence_is_not() -> None:
    prints = [
        Chunker(ChunkingSettings(context=context), tokenizer("wordpiece")).fingerprint
        for context in (*CONTEXTS, "in {title}")
    ]
    assert len({fingerprint.digest for fingerprint in prints}) == len(prints)
    fields = [dict(fingerprint.fields).get("context") for fingerprint in prints]
    assert fields == ["title+headings", "title", "headings", None, "in {title}"]
