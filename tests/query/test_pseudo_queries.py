"""Windows cut out of passages."""

from __future__ import annotations

import pytest

from pipeline.query.fusion.pseudo_queries import cut_window
from pipeline.query.fusion.scripts import dominant_script

PASSAGE = (
    "Reciprocal rank fusion adds one over sixty plus the rank of every leg. It needs no scores, so that legs of "
    "any kind can be joined, but it forgets how far apart two neighbours are, and a bad leg counts as much as a "
    "good one."
)
CODE = '''def write_boolean(self, n):
    """Writes a boolean value to the stream of this encoder."""
    t = TYPE_BOOL_TRUE
    if n is False:
        t = TYPE_BOOL_FALSE
    self.stream.write(t); self._flush(b"\\x00", {"a": n[1:2]}, key=lambda x: x["k"])
'''


@pytest.mark.parametrize(
    "text", [PASSAGE, CODE, "梅雨は、北海道と小笠原諸島を除く日本に見られる気象現象である。雨季の一種である。"]
)
def test_window_and_rest_are_the_passage(text: str) -> None:
    for key in "abcdefgh":
        cut = cut_window(text, key)
        assert cut is not None
        before, _, after = text.partition(cut.text)
        assert cut.passage == f"{before} {after}"
        assert cut == cut_window(text, key)


def test_windows_differ_from_key_to_key() -> None:
    assert len({cut.text for key in "abcdefgh" if (cut := cut_window(PASSAGE, key))}) > 4


def test_windows_have_four_to_nine_words_and_half_of_a_short_text() -> None:
    for key in "abcdefgh":
        cut = cut_window(PASSAGE, key)
        assert cut is not None
        assert 4 <= len(cut.text.split()) <= 9
        short = cut_window("one two three four five", key)
        assert short is not None
        assert len(short.text.split()) == 2


@pytest.mark.parametrize("text", ["", "word", "one two three", "... !", "梅雨雨"])
def test_nothing_can_be_cut_from_too_few_words(text: str) -> None:
    assert cut_window(text, "a") is None


def test_prose_is_preferred_to_code() -> None:
    windows = [cut.text for number in range(40) if (cut := cut_window(CODE, str(number)))]
    prose = [window for window in windows if window in "Writes a boolean value to the stream of this encoder"]
    assert len(prose) > len(windows) / 2


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("How do I roll back?", "latin"),
        ("Où est l'été?", "latin"),
        ("검색 결과", "hangul"),
        ("FastAPI에서 Depends 사용", "hangul"),
        ("StreamingResponse 사용하기", "hangul"),
        ("what does 안녕 mean in English", "latin"),
        ("梅雨は何季の一種か", "kana"),
        ("生命数耗完即算为什么", "han"),
        ("ｶﾀｶﾅ", "kana"),
        ("ＦＵＬＬ width", "latin"),
        ("Что такое индекс", "cyrillic"),
        ("ما هو الفهرس", "arabic"),
        ("2024 - 12", ""),
        ("", ""),
    ],
)
def test_dominant_script(text: str, script: str) -> None:
    assert dominant_script(text) == script
