"""The compiled segmentation gives the tokens that Python gives, for the embedded model and made-up vocabularies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.models.e5.encoder import e5_artifact
from pipeline.models.e5.unigram import Unigram
from pipeline.models.tokens import kernel
from tests.models.tokens.test_segmentation import SCORES, unigram

ROOT = Path(__file__).parent.parent.parent.parent
MARK = "▁"


@pytest.fixture(scope="module")
def compiled() -> kernel.Kernel:
    pytest.importorskip("numba")
    made = kernel.load()
    assert made is not None
    return made


@pytest.fixture(scope="module")
def embedded() -> Unigram:
    return Unigram(e5_artifact(checksums=False, rebuild=False))


@given(
    st.dictionaries(st.text("ab▁\U00020000", min_size=1, max_size=3), SCORES, min_size=1),
    st.lists(st.text("abc\U00020000", max_size=6), min_size=1, max_size=4),
)
@example({"a": -1.0, "aa": -2.0}, ["aaa"])
@example({"a": -1.0}, ["ccacc", "c"])
def test_pieces_are_those_of_python(compiled: kernel.Kernel, scores: dict[str, float], words: list[str]) -> None:
    """Ties, unknown runs and code points beyond the table of the root's children among them."""
    cut = unigram(scores)
    marked = "".join(MARK + word for word in words)
    ids, lengths = np.zeros(len(marked), np.int32), np.zeros(len(marked), np.int32)
    points, first = np.asarray(cut.trie.points), np.asarray(cut.trie.first)
    count = compiled(
        points,
        first,
        np.asarray(cut.trie.pieces),
        np.asarray(cut.scores, np.float32),
        kernel.near(points, first),
        cut.unk_id,
        cut.unk_score,
        np.frombuffer(marked.encode("utf-32-le"), np.uint32),
        ord(MARK),
        ids,
        lengths,
    )
    pieces = [cut(MARK + word) for word in words]
    assert ids[:count].tolist() == [i for found in pieces for i in found.ids]
    assert lengths[:count].tolist() == [n for found in pieces for n in found.lengths]


def both(compiled: kernel.Kernel, embedded: Unigram, text: str) -> list[object]:
    """What Python makes of a text, which must be what the kernel makes of it."""
    said: list[list[object]] = []
    for used in (None, compiled):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernel._kernel, "_made", used)
            cut = [embedded.ids(text, most) for most in (None, 1, 5)]
            said.append([*cut, embedded.spans(text), embedded.starts(text).tolist()])
    assert said[0] == said[1]
    return said[0]


@given(st.text() | st.text("ab 한국검색▁\n éが゙①\u0300\0Ⅷﬁ") | st.text("aeilnorst ", max_size=200))
@example("")
@example(" ")
@example("  a ")
@example("x" * 700 + " y")
@example("\u0378\u0378 \u0378a")
def test_the_embedded_model_has_the_same_tokens(compiled: kernel.Kernel, embedded: Unigram, text: str) -> None:
    ids, one, five, (_, spans), starts = both(compiled, embedded, text)  # type: ignore[misc]
    assert (one, len(five)) == (ids[:1], min(5, len(ids))) or len(text) > 64
    assert starts == [start for start, _ in spans]


def test_pages_have_the_same_tokens(compiled: kernel.Kernel, embedded: Unigram) -> None:
    pages = sorted((ROOT / "data/handbook").rglob("*.md"))
    assert len(pages) > 40
    for page in pages:
        both(compiled, embedded, page.read_text("utf-8"))


def test_no_character_is_written_with_the_mark_of_a_word(embedded: Unigram) -> None:
    """The kernel takes each mark for the beginning of a word."""
    assert not any(MARK in written for written in embedded._replacements.values())
    assert MARK not in embedded.normalised(f"a{MARK}b")


def test_compiling_begins_when_much_was_cut_in_python(monkeypatch: pytest.MonkeyPatch, embedded: Unigram) -> None:
    started: list[bool] = []
    monkeypatch.setattr(kernel._kernel, "_made", None)
    monkeypatch.setattr(kernel._kernel, "_thread", None)
    monkeypatch.setattr(kernel._kernel, "begin", lambda: started.append(True))
    monkeypatch.setattr(kernel._kernel, "_work", kernel.WARRANTED_CHARACTERS - 50)
    embedded.ids("가" * 48)  # and the mark of its word
    assert not started
    embedded.ids("나" * 48)
    assert started
