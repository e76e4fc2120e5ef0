"""Programs are cut at functions and classes, comments go with what they describe, and no line is lost."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import ChunkingSettings
from pipeline.ingest.cutting.chunker import Chunker
from pipeline.ingest.cutting.contract import places_of
from pipeline.ingest.formats.code import reader
from pipeline.ingest.formats.code.grammars import LANGUAGES, language_of, parser
from pipeline.ingest.formats.code.outline import Outline
from pipeline.ingest.suffixes import CODE_SUFFIXES
from pipeline.records import Document
from tests.ingest.conftest import Read, outcomes
from tests.ingest.cutting import tokenizer

pytest.importorskip("tree_sitter")

PADDING = "".join(f"    field_{i} = {i}\n" for i in range(60))
PYTHON = f'''"""About this."""
import os

# about Shed
@decorated
class Shed(Base):
    """Where rakes are."""

{PADDING}
    # about rake
    def rake(self, x: int) -> str:
        """Gather."""
        def inner(): ...
        return x

    last = 1

async def alone(): return 1

print(1)
'''
SOURCES = {
    ".py": PYTHON,
    ".js": "export class A { m(x) { return 1 } }\n// about f\nexport const f = (a) => { return a }\n"
    "async function g() {}",
    ".ts": "interface A<T> { x: T }\nexport abstract class B extends C { m(x: number): void {} }",
    ".java": "package p;\n/** about A */\npublic class A<T> extends B { int m() { return 1; } }",
    ".go": "package p\n\n// about M\nfunc (a *A) M(x int) error { return 1 }\n\ntype A struct { x int }",
    ".rs": "/// about S\n#[derive(X)]\npub struct S { x: i32 }\nimpl S { fn m(&self) -> i32 { 1 } }",
    ".c": "#ifdef X\n/* about f */\nstatic int f(int x) { return 1; }\n#endif\nstruct s { int x; };",
    ".cpp": "template <class T> T f(T x) { return x; }\nint A::k() const { return 1; }",
    ".tsx": "// about Rake\nexport const Rake = (p: Props) => { return <b>{p.x as string}</b> }\nenum E { A }",
    ".h": "int f(int x);\n/* about g */\nstatic inline int g(void) { return 1; }",
}
ALIKE = {".py": [".pyi"], ".js": [".jsx", ".mjs", ".cjs"], ".cpp": [".cc", ".cxx", ".hh", ".hpp", ".hxx"]}
SOURCES |= {suffix: SOURCES[known] for known, others in ALIKE.items() for suffix in others}
SIGNATURES = {
    ".js": ["class A", "const f = (a) =>", "async function g()"],
    ".ts": ["interface A<T>", "abstract class B extends C"],
    ".java": ["public class A<T> extends B"],
    ".go": ["func (a *A) M(x int) error", "type A struct"],
    ".rs": ["pub struct S", "impl S"],
    ".c": ["static int f(int x)", "struct s"],
    ".cpp": ["T f(T x)", "int A::k() const"],
    ".tsx": ["const Rake = (p: Props) =>", "enum E"],
    ".h": ["static inline int g(void)"],
}


def sections(source: str, suffix: str = ".py") -> str:
    data = source.encode()
    language = LANGUAGES[suffix]
    return Outline(f"a{suffix}", data, language).write(parser(language).parse(data).root_node).text


def headings(markdown: str) -> list[str]:
    without_code = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)
    return re.findall(r"^#+ .*", without_code, re.MULTILINE)


def test_functions_and_classes_are_sections() -> None:
    text = sections(PYTHON)
    assert headings(text) == [
        "# class Shed(Base)",
        "## def rake(self, x: int) -> str",
        "# class Shed(Base)",
        "# async def alone()",
        "# a.py",
    ]
    assert text.startswith(
        '```python\n"""About this."""\nimport os\n```\n\n# class Shed(Base)\n\n```python\n# about Shed'
    )
    assert '```python\n# about rake\ndef rake(self, x: int) -> str:\n    """Gather."""\n    def inner' in text
    assert text.endswith("# a.py\n\n```python\nprint(1)\n```")


@pytest.mark.parametrize("suffix", sorted(SIGNATURES))
def test_each_language_has_its_signatures(suffix: str) -> None:
    text = "\n" + sections(SOURCES[suffix], suffix)
    assert [line.lstrip("# ") for line in headings(text) if line != f"# a{suffix}"] == SIGNATURES[suffix]
    for about, name in re.findall(r"(about (\w+))", SOURCES[suffix]):
        above = text.rfind("\n# ", 0, text.index(about))
        assert re.search(rf"\b{name}\b", text[above:].splitlines()[1]), "a comment is below the heading it is about"


@pytest.mark.parametrize("suffix", sorted(CODE_SUFFIXES))
@given(data=st.data())
def test_every_line_is_kept_once_whatever_it_parses_to(suffix: str, data: st.DataObject) -> None:
    base = [*SOURCES[suffix].split("\n"), "  }", "x = 갈퀴", "", '"""', "// c", "class Z {", "def z():"]
    drawn = data.draw(st.lists(st.sampled_from(base), max_size=25))
    lines = [f"{line} @{number}@" for number, line in enumerate(drawn)]
    fences = re.findall(r"(?ms)^```\w*\n(.*?)^```$", sections("\n".join(lines), suffix))
    assert re.findall(r"@(\d+)@", "".join(fences)) == [str(number) for number in range(len(lines))]


@pytest.mark.parametrize("suffix", sorted(CODE_SUFFIXES))
@given(data=st.data())
def test_a_line_is_where_the_file_has_it(suffix: str, data: st.DataObject) -> None:
    base = [*SOURCES[suffix].split("\n"), "", "  ", "  }", "\tx = 갈퀴", "class Z {", "def z():", "  return 1"]
    drawn = data.draw(st.lists(st.sampled_from(base), max_size=25))
    source = [f"{line} @{number}@" if line.strip() else line for number, line in enumerate(drawn, 1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        path.write_bytes("\r\n".join(source).encode())
        (outcome,) = outcomes(path)
    if not isinstance(outcome.result, Document):
        assert "".join(source).strip() == ""
        return
    document = outcome.result
    assert list(document.lines) == sorted(document.lines)
    fences = [match.span(1) for match in re.finditer(r"(?ms)^```\w*\n(.*?)^```$", document.text)]
    for begin, end in fences:
        for match in re.finditer(r"@(\d+)@", document.text[begin:end]):
            place = begin + match.start()
            found = places_of(document, place, place + 1)
            assert (found["line"], found["last_line"]) == (int(match[1]),) * 2


def test_a_chunk_of_code_says_where_it_stands_in_its_file(read: Read, tmp_path: Path) -> None:
    body = "\n".join(f"    value = value + {number}" for number in range(40))
    names = ("rake", "broom", "spade")
    code = "\n".join(f"def {name}(value):\n{body}\n    return value\n\n" for name in names)
    (tmp_path / "src/a.py").write_text(f"\n\n{code}")
    (document,), _ = read()
    file_lines = (tmp_path / "src/a.py").read_text().split("\n")
    chunks = list(
        Chunker(ChunkingSettings(max_tokens=150, overlap_tokens=0), tokenizer("wordpiece")).chunk(document)
    )
    assert len(chunks) >= 3
    for chunk in chunks:
        first, last = chunk.metadata["line"], chunk.metadata["last_line"]
        assert isinstance(first, int)
        assert isinstance(last, int)
        code = [line.strip() for line in chunk.text.split("\n") if line.strip() and line[0] not in "#`"]
        assert code == [line.strip() for line in file_lines[first - 1 : last] if line.strip()]


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("int f(int x);", "c"),
        ("struct class_of { int template; };  /* a class of its own */", "c"),
        ("#define using 1", "c"),
        ("  public:", "cpp"),
        ("namespace shed {", "cpp"),
        ("inline namespace shed::tools\n{", "cpp"),
        ("class Rake\n{", "cpp"),
        ("template<typename T>", "cpp"),
        ("class Rake : public Tool {", "cpp"),
        ("using Rake = Tool;", "cpp"),
        ("using namespace std;", "cpp"),
        ("   class of tools, using the shed", "c"),
        ('#ifdef __cplusplus\nextern "C" {\ntemplate <class T>', "c"),
    ],
)
def test_headers_are_of_c_or_of_cpp(line: str, language: str) -> None:
    text = f"#pragma once\n#include <a>\n{line}\nint g(void);"
    assert language_of(".h", text) == language
    assert language_of(".c", text) == "c"


def test_a_header_of_blank_lines_and_words_of_cpp_is_looked_through_at_once() -> None:
    text = "\n" * 300_000 + "namespace " * 30_000 + "class " * 30_000 + " \t" * 300_000
    assert language_of(".h", text) == "c"  # a pattern that tries each line's rest again would take minutes


def test_each_suffix_has_a_language_and_a_parser() -> None:
    assert set(LANGUAGES) == CODE_SUFFIXES
    for language in LANGUAGES.values():
        parser(language)


def test_files_are_documents_and_those_that_do_not_parse_too(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.py").write_text("def f(:\n  x = = 1\n) class {")
    (tmp_path / "src/b.js").write_text("var a=1;" * 5000)
    (tmp_path / "src/c.go").write_bytes(b"package \x00")
    (tmp_path / "src/d.rs").write_text("\n \n")
    (tmp_path / "src/e.c").write_text("int x;" + "{" * 20_000)
    docs, rejections = read()
    assert [doc.doc_id for doc in docs][:1] == ["a.py"]
    assert "x = = 1" in docs[0].text
    assert docs[0].metadata == {"code": "python"}
    reasons = {one.file: one.reason.split(":")[0] for one in rejections}
    assert reasons["src/b.js"] == "minified or generated"
    assert reasons["src/c.go"].startswith("NUL byte")
    assert reasons["src/d.rs"] == "empty"


def test_without_the_extra_a_file_is_one_block(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(language: str) -> None:
        raise ImportError

    monkeypatch.setattr(reader, "parser", missing)
    (tmp_path / "a.py").write_text("def f(): pass\n")
    (outcome,) = outcomes(tmp_path / "a.py")
    assert getattr(outcome.result, "text", "") == "```python\ndef f(): pass\n```"
    assert "hybrid-pipeline[code]" in caplog.text
