"""Names of programs are found by their parts as well, and prose is as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Bm25Settings
from pipeline.models.bm25.encoder import Bm25Encoder
from pipeline.models.bm25.identifiers import LONGEST, name_parts
from pipeline.models.bm25.recorded import recorded_bm25


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("parse_json(readFile)", ["parse", "json", "read", "file"]),
        ("HTTPServer and XMLHttpRequest2", ["http", "server", "xml", "http", "request2"]),
        ("_private __init__ MAX_SIZE", ["private", "init", "max", "size"]),
        ("x_y aB utf8_text", ["utf8", "text"]),
        ("Plain Words, PDFs, IDs, TODO, utf8, e-mail", []),
        ("갈퀴 getName 갈퀴_x", ["get", "name"]),
        ("A" + "b" * LONGEST + "Cd" + " " + "aB" * LONGEST, []),
    ],
)
def test_parts_of_names(text: str, parts: list[str]) -> None:
    assert name_parts(text) == parts


@given(st.text())
def test_parts_stand_in_the_text(text: str) -> None:
    assert all(part in text.lower() and 1 < len(part) <= LONGEST for part in name_parts(text))


@given(st.text(st.sampled_from("ab cD. ,"), max_size=30))
def test_whole_terms_stay_and_parts_come_besides(text: str) -> None:
    whole = Bm25Encoder(Bm25Settings(identifiers="whole")).describe_tokens(text)
    parts = Bm25Encoder().describe_tokens(text)
    assert whole.items() <= parts.items()


def test_a_question_in_words_finds_a_name() -> None:
    def shared(identifiers: str) -> set[int]:
        encoder = Bm25Encoder(Bm25Settings.model_validate({"identifiers": identifiers}))
        return (
            encoder.describe_tokens("def parseJson_lines(f)").keys() & encoder.describe_tokens("json line").keys()
        )

    assert len(shared("parts")) == 2
    assert shared("whole") == set()


def test_an_index_goes_on_with_what_it_was_built_with() -> None:
    for identifiers in ("parts", "whole"):
        settings = Bm25Settings.model_validate({"identifiers": identifiers})
        fingerprint = Bm25Encoder(settings).lexical_fingerprint
        assert fingerprint is not None
        assert recorded_bm25(Bm25Settings(), dict(fingerprint.fields)).identifiers == identifiers
        other = Bm25Settings(identifiers="whole")
        assert recorded_bm25(other, dict(fingerprint.fields)).identifiers == "whole"
    assert "identifiers" not in dict(Bm25Encoder(Bm25Settings(identifiers="whole")).lexical_fingerprint.fields)  # type: ignore[union-attr]
