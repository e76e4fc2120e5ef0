"""The compact form of a tokenizer gives the ids of `tokenizers`, whatever the text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.errors import EncoderError
from pipeline.models.files.tokenizer import TextTokenizer, load_tokenizer
from pipeline.models.tokens import compact
from pipeline.models.tokens.compact import CompactTokenizer, open_tokenizer
from pipeline.models.tokens.conversion import convert
from tests.models.tokens.made import (
    minilm_path,
    saved,
    small_vocabulary,
    xlm_roberta_json,
    xlm_roberta_vocabulary,
)

ROOT = Path(__file__).parents[3]
SAMPLE = [entry["text"] for entry in json.loads((ROOT / "tests/models/e5_tokens.json").read_text("utf-8"))]
TEXTS = (
    st.text()
    | st.text("ab 한국검색▁\n\r\t éが゙①\u0300\u0301\0\u200d™©ﬁ\u1112\u1161\u0e33\u093f👩👧\u00ad")
    | st.text("aeilnorst ,.", max_size=200)
    | st.text("<s>/maskpdun ＜＞[]CLSEPU", max_size=30)
)


class Pair:
    """A compact form beside the whole tokenizer that it was made of."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source, self.folder = source, folder
        folder.mkdir()
        convert(source, folder)
        self.compact, self.whole = self.opened(), TextTokenizer(source)

    def opened(self) -> CompactTokenizer:
        found = open_tokenizer(self.folder, lambda: self.source)
        assert isinstance(found, CompactTokenizer)
        return found

    def differs(self, text: str) -> bool:
        """Whether the compact form, where it does not leave a text to the whole one, gives other ids."""
        found = self.compact.few([text])
        return found is not None and found[0].tolist() != self.whole.encode([text])[0].tolist()


@pytest.fixture(scope="module")
def xlm_roberta(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("xlm-roberta")
    return Pair(saved(xlm_roberta_json(xlm_roberta_vocabulary()), folder), folder / "tokens")


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(minilm_path(), tmp_path_factory.mktemp("minilm") / "tokens")


@pytest.fixture(params=["xlm_roberta", "minilm"])
def pair(request: pytest.FixtureRequest) -> Pair:
    found: Pair = request.getfixturevalue(request.param)
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
@example(text="")
@example(text=" \n ")
@example(text="e\u0301 \r\n ™\u0301")
@example(text="＜s＞ <s> <mask> [CLS]")
@example(text="\ud800 lone")
def test_ids_are_those_of_tokenizers_whatever_the_text(pair: Pair, text: str) -> None:
    assert not pair.differs(text)
    assert pair.opened().encode([text])[0].tolist() == pair.whole.encode([text])[0].tolist()


def test_ids_are_those_of_tokenizers_in_28_languages_and_in_the_handbook(pair: Pair) -> None:
    pages = [path.read_text("utf-8") for path in sorted((ROOT / "data/handbook").rglob("*.md"))]
    assert len(pages) > 40
    assert not list(filter(pair.differs, SAMPLE + pages))
    assert all(pair.compact.few([text]) is not None for text in SAMPLE)


def test_ids_are_those_of_tokenizers_on_all_planes_of_unicode(pair: Pair) -> None:
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    runs = ["".join(map(chr, points[i : i + 50])) for i in range(0, len(points), 500)]
    marked = [f"a{chr(point)} {chr(point)}\u0301" for point in points[:0x3000:3]]
    assert not list(filter(pair.differs, runs + marked))


def test_texts_are_cut_where_the_model_ends(pair: Pair) -> None:
    texts = ["word " * 100, "가" * 500, "short", ""]
    for most in (3, 16, 400):
        found = pair.opened().limit(most).few(texts)
        expected = TextTokenizer(pair.source).limit(most).encode(texts)
        assert found is not None
        assert [row.tolist() for row in found] == [row.tolist() for row in expected]
        assert max(map(len, found)) <= most


def test_tokens_have_the_forms_and_ids_that_tokenizers_says(pair: Pair) -> None:
    size = load_tokenizer(pair.source).get_vocab_size()
    for token_id in [*range(0, size, 997), *range(10), size - 1, size, -1]:
        assert pair.compact.token(token_id) == ("" if token_id < 0 else pair.whole.token(token_id))
    for token in ("<s>", "</s>", "<mask>", "[CLS]", "the", "▁the", "no such token", "", None):
        assert pair.compact.special_id(token) == pair.whole.special_id(token)


@pytest.mark.parametrize("text", ["a <s> b", "a<mask>", "x ＜s＞"])
def test_a_text_that_spells_an_added_token_takes_the_whole_tokenizer(xlm_roberta: Pair, text: str) -> None:
    tokenizer = xlm_roberta.opened().limit(20)
    assert tokenizer.few(["plain"]) is not None
    assert tokenizer.few(["plain", text]) is None
    assert tokenizer.encode([text])[0].tolist() == xlm_roberta.whole.encode([text])[0].tolist()
    assert len(tokenizer.encode(["word " * 100])[0]) == 20  # the limit counts for the whole one too


def test_many_texts_take_the_whole_tokenizer(minilm: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "MOST_CHARACTERS", 10)
    tokenizer = minilm.opened()
    assert tokenizer.few(["ten letter"]) is not None
    assert tokenizer.few(["ten ", "letters"]) is None
    assert tokenizer.encode(["ten ", "letters"])[1].tolist() == minilm.whole.encode(["letters"])[0].tolist()


def small(tmp_path: Path) -> Pair:
    return Pair(saved(xlm_roberta_json(small_vocabulary()), tmp_path), tmp_path / "tokens")


def test_ids_by_hand(tmp_path: Path) -> None:
    (ids,) = small(tmp_path).compact.encode(["ab a xx ＡＢ"])
    assert ids.tolist() == [0, 7, 4, 5, 4, 3, 4, 3, 2]  # ▁ab, ▁ a, ▁ and unknown; full-width letters become A and B


def test_a_tokenizer_json_that_was_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    pair = small(tmp_path)
    pair.source.write_text(pair.source.read_text("utf-8").replace('"ab"', '"ba"'), "utf-8")
    with pytest.raises(EncoderError, match=r"is not the tokenizer that .*tokens was made of; delete that folder"):
        pair.compact.encode(["<s>"])


def damaged(settings: dict[str, Any], folder: Path, name: str) -> None:
    if name == "kind":
        settings = settings | {"kind": "other"}
    elif name in settings:
        settings = {key: value for key, value in settings.items() if key != name}
    else:
        (folder / name).write_bytes(b"damaged")
    (folder / "tokens.json").write_text(json.dumps(settings), "utf-8")


@pytest.mark.parametrize(
    "name", ["kind", "unk_id", "before", "checksum", "bare.json", "trie-points.npy", "trie-scores.npy", "nodes.npy"]
)
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    pair = small(tmp_path)
    damaged(json.loads((pair.folder / "tokens.json").read_text("utf-8")), pair.folder, name)
    with pytest.raises(EncoderError, match=r"tokens: not a readable tokenizer: .*delete that folder"):
        pair.opened()
