"""Whether output is JSON lines is told from its first line and its last, in bounded memory."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.fetching.spool import LineCheck

RECORD = st.fixed_dictionaries({"id": st.text(max_size=3)}).map(json.dumps)
LINE = RECORD | st.sampled_from(["", " ", "[1]", "{broken", '{"text": "' + "x" * 60 + '"}'])
LINES = st.lists(LINE, max_size=6)


@given(LINES, st.data())
def test_how_output_is_cut_into_blocks_changes_nothing(lines: list[str], data: st.DataObject) -> None:
    output = "\n".join(lines).encode()
    whole, cut = LineCheck(40), LineCheck(40)
    expected = whole.problem(output) or whole.problem_at_end()
    places = sorted(data.draw(st.lists(st.integers(0, len(output)), max_size=5)))
    blocks = [output[a:b] for a, b in zip([0, *places], [*places, len(output)], strict=True)]
    problems = [cut.problem(block) for block in blocks]
    found = next(filter(None, problems), None) or cut.problem_at_end()
    assert (found is None) == (expected is None)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (b"", None),
        (b"\n\n", None),
        (b'{"a": 1}', None),
        (b'\xef\xbb\xbf{"a": 1}\n', None),
        (b'\n{"a": 1}\nbroken\n{"a": 2}\n', None),
        (b'{"a": 1}\n{"a": ', "its last line is no JSON"),
        (b"\nno\n", "its first line is no JSON"),
        (b"3", "its first line is no JSON|its first line is JSON, but no object"),
        (b'{"a": "' + b"x" * 100, None),
    ],
)
def test_what_is_no_json_lines(output: bytes, says: str | None) -> None:
    check = LineCheck(40)
    found = check.problem(output) or check.problem_at_end()
    assert (found is None) == (says is None)
    assert says is None or any(str(found).startswith(one) for one in says.split("|"))


def test_a_line_without_end_takes_no_memory() -> None:
    check = LineCheck(1000)
    for _ in range(100):
        assert check.problem(b'{"a": 1' * 100) is None
        assert len(check._open) <= 1001
