"""One hit a document, none that repeats a better one, and the text around a hit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import QueryError
from pipeline.job import build as builder
from pipeline.query.dedupe import Seen, shingles
from pipeline.query.searcher import Index, open_index
from pipeline.records import Hit
from tests.support.collection import config_for, write_documents

SENTENCES = [
    f"Sentence number {i} is about {word} and nothing else." for i, word in enumerate("abcdefghijklmnop" * 6)
]
LONG = "\n\n".join(" ".join(SENTENCES[i : i + 4]) for i in range(0, len(SENTENCES), 4))
KOREAN = "\n".join(f"{i}번 문장은 색인과 세대를 설명합니다." for i in range(80))


def test_shingles_fold_case_and_space() -> None:
    assert shingles("A  bC\n d") == shingles("a bc d") == {"a bc ", " bc d"}
    assert shingles("ab") == {"ab"}
    assert shingles("") == {""}


def test_similarity_by_hand() -> None:
    """abcdefg has abcde, bcdef, cdefg; abcdefh shares two of then four."""
    for threshold, added in ((0.5, False), (0.51, True)):
        seen = Seen()
        assert seen.add("abcdefg", threshold)
        assert seen.add("abcdefh", threshold) is added
        assert not seen.add("ABCDEFG", 1.0)


@given(st.lists(st.text("ab ", max_size=12), max_size=8), st.floats(0.05, 1))
def test_what_is_left_out_resembles_something_kept(texts: list[str], threshold: float) -> None:
    def similarity(one: str, two: str) -> float:
        a, b = shingles(one), shingles(two)
        return len(a & b) / len(a | b)

    seen, kept = Seen(), list[str]()
    for text in texts:
        added = seen.add(text, threshold)
        assert added is all(similarity(text, other) < threshold for other in kept)
        if added:
            kept.append(text)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("dedupe")
    texts = {f"long-{i}.txt": LONG for i in range(2)} | {"ko.txt": KOREAN}
    texts |= {f"copy-{i}.txt": f"How to roll back a bad build, told for the {i}th time." for i in range(9)}
    texts["other.txt"] = "A bad build is rolled back by publishing an older one."
    write_documents(folder / "documents", texts)
    config = config_for(folder, chunking={"max_tokens": 40, "overlap_tokens": 12}, segments={"max_chunks": 7})
    builder.build(config)
    write_documents(folder / "documents", {"long-1.txt": LONG.replace("nothing else", "little else")})
    builder.build(config)
    with open_index(config.index_path) as index:
        yield index


def ids(hits: list[Hit]) -> list[str]:
    return [hit.chunk_id for hit in hits]


@pytest.mark.parametrize("collapse", [False, True])
def test_near_duplicates_are_left_out(index: Index, collapse: bool) -> None:
    question = "how to roll back a bad build"
    full = index.search(question, 500, distinct=0.7, collapse=collapse)
    assert sum(hit.doc_id.startswith("copy") for hit in full) == 1
    assert any(hit.doc_id == "other.txt" for hit in full)
    assert len(index.search(question, 500)) > len(full)
    for k in (1, 3, 10):
        assert index.search(question, k, distinct=0.7, collapse=collapse) == full[:k]
    if collapse:
        documents = [hit.doc_id for hit in full]
        assert len(documents) == len(set(documents))
    copies = index.search(question, 500, distinct=1.0)
    assert sum(hit.doc_id.startswith("copy") for hit in copies) == 9
    assert copies == index.search(question, len(copies), distinct=1.0)


@pytest.mark.parametrize("reach", [1, 3, 1000])
def test_before_text_and_after_read_on(index: Index, reach: int) -> None:
    """Across the ends of segments, over overlaps, and in the live version of a changed document only."""
    originals = {"long-0.txt": LONG, "long-1.txt": LONG.replace("nothing else", "little else"), "ko.txt": KOREAN}
    hits = index.search("sentence 문장", 500, context=reach)
    assert len({hit.chunk_id for hit in hits}) == len(hits) > 50
    for hit in hits:
        assert hit.before is not None
        assert hit.after is not None
        if hit.doc_id not in originals:
            assert (hit.before, hit.after) == ("", "")
            continue
        original = originals[hit.doc_id]
        whole = " ".join((hit.before + hit.text + hit.after).split())
        assert whole in " ".join(original.split())
        assert len(whole) > len(" ".join(hit.text.split()))
        if reach == 1000:
            assert whole == " ".join(original.split())
    assert ids(hits) == ids(index.search("sentence 문장", 500))


def test_absence_and_refusals(index: Index) -> None:
    assert all(hit.before is None and hit.after is None for hit in index.search("sentence", 3))
    with pytest.raises(QueryError, match="context=-1"):
        index.search("a", context=-1)
    for wrong in (0.0, 1.5, float("nan")):
        with pytest.raises(QueryError, match="distinct="):
            index.search("a", distinct=wrong)


def test_nothing_passes_a_filter(index: Index) -> None:
    assert index.search("a", where="doc_id = 'nothing'", distinct=0.5, context=2, collapse=True) == []


def test_a_table_and_json_show_context(index: Index, tmp_path: Path) -> None:
    import json

    from click.testing import CliRunner

    from pipeline.cli import cli

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(cli, ["query", "sentence 3", "--index", str(index.path), "-k", "2", *arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    with_context = json.loads(run("--json", "--context", "1", "--distinct", "0.5"))["hits"]
    assert all(hit["before"] or hit["after"] for hit in with_context)
    assert "before" not in json.loads(run("--json"))["hits"][0]
    table = run("--context", "1")
    assert "↑" in table
    assert "↓" in table
