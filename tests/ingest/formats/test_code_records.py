"""Records that are code stand in a fence with its language; what is prose in any part of it stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.ingest.formats.code.grammars import LANGUAGES
from pipeline.ingest.formats.code.records import fenced_record, is_python
from tests.ingest.conftest import Read

FUNCTION = 'def rake(leaves, *,\n         tidy=False\n):\n    """Gather."""\n    return leaves'
CODE = [
    FUNCTION,
    "@cached\n# about it\nasync def rake( x ):\n\n    return x\n# the end",
    "class Shed(Base):\n    rakes = 2\n\ndef rake():\n\treturn 1\n",
    "    def rake(self):\n        return self\n",
    "class Old:\n  def rake(self):\n    try: pass\n    except Broken, e: print e",
]
PROSE = [
    "",
    "def rake(leaves):",
    "def rake(x):\ndef rake(y):",
    "class of 1984\n    was a good one",
    "class Shed\n    is where the rakes are",
    "define (this)\n    to see what happens",
    f"This gathers leaves:\n\n{FUNCTION}",
    f"{FUNCTION}\n\nIt gathers leaves.",
    "import os\n\ndef rake():\n    return os",
    "# def\n    indented",
    "- def rake():\n    return 1",
]


@pytest.mark.parametrize("text", CODE)
def test_definitions_of_python_are_told_by_their_lines(text: str) -> None:
    assert is_python(text)
    assert fenced_record(text, "auto") == "```python\n{}\n```".format(text.strip("\n"))


@pytest.mark.parametrize("text", PROSE)
def test_a_line_of_anything_else_makes_it_no_code(text: str) -> None:
    assert not is_python(text)
    assert fenced_record(text, "auto") is None


@given(st.text(alphabet="def class():@#ab\n\t ", max_size=60))
def test_prose_above_or_below_is_never_taken_for_code(text: str) -> None:
    assert not is_python(f"It gathers leaves.\n{text}")
    assert not is_python(f"{FUNCTION}\n{text}\nIt gathers leaves.")


def test_what_a_setting_says_is_not_judged() -> None:
    assert fenced_record("fn rake() {}\n", "rust") == "```rust\nfn rake() {}\n```"
    assert fenced_record(FUNCTION, "none") is None
    assert fenced_record(" \n", "rust") is None


def test_a_fence_is_longer_than_those_inside_and_none_is_put_around_another() -> None:
    quoting = 'def rake():\n    """\n    ```\n    rake()\n    ```\n    """'
    assert fenced_record(quoting, "auto") == f"````python\n{quoting}\n````"
    assert fenced_record(f"```rust\n{FUNCTION}\n```", "rust") is None


def test_records_are_fenced_below_their_title(read: Read, tmp_path: Path) -> None:
    records = [
        {"_id": "a", "title": "Rakes", "text": FUNCTION},
        {"_id": "b", "title": "def rake():", "text": "def rake():\n    return 1"},
        {"_id": "c", "text": "Rakes are\n    in the shed."},
    ]
    (tmp_path / "src/r.jsonl").write_text("\n".join(map(json.dumps, records)))
    named, titled, prose = read()[0]
    assert (named.text, named.is_markdown) == (f"Rakes\n\n```python\n{FUNCTION}\n```", True)
    assert titled.text == "```python\ndef rake():\n    return 1\n```"
    assert (prose.text, prose.is_markdown) == ("Rakes are\n    in the shed.", False)
    assert [doc.text for doc in read(code="none")[0]][1:] == [records[1]["text"], records[2]["text"]]
    assert read(code="rust")[0][2].text == "```rust\nRakes are\n    in the shed.\n```"


def test_rows_of_a_table_are_judged_as_lines_are(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/r.csv").write_text('id,text\na,"def rake():\n    return 1"\nb,leaves\n')
    assert [doc.text for doc in read()[0]] == ["```python\ndef rake():\n    return 1\n```", "leaves"]


def test_a_language_that_there_is_no_reader_for_is_refused(read: Read) -> None:
    with pytest.raises(ConfigError, match="code"):
        read(code="cobol")


def test_every_language_that_files_are_read_in_may_be_named(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/r.jsonl").write_text('{"text": "x = 1"}')
    for language in LANGUAGES.values():
        assert read(code=language)[0][0].text == f"```{language}\nx = 1\n```"
