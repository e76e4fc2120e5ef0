"""Markup becomes headings, paragraphs and code, and nothing that a reader would not see; what is broken says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.formats.markups.asciidoc import asciidoc
from pipeline.ingest.formats.markups.notebook import MOST_OUTPUT, notebook
from pipeline.ingest.formats.markups.rst import rst
from pipeline.ingest.formats.markups.rtf import rtf
from pipeline.ingest.formats.markups.subtitles import subtitles
from pipeline.ingest.formats.markups.tex import tex
from tests.ingest.conftest import Read


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("=====\nTitle\n=====\n\nPart\n----\n\nSub\n^^^\n\nNew\n---", "# Title\n\n## Part\n\n### Sub\n\n## New"),
        ("See::\n\n  x = 1\n    y\n\nBack", "See:\n\n```\nx = 1\n  y\n```\n\nBack"),
        (".. code-block:: python\n   :linenos:\n\n   x = 1\n\nBack", "```python\nx = 1\n```\n\nBack"),
        ("a :class:`~b.C`, ``d_``, `e <http://f.g>`_, here_", "a `C`, `d_`, [e](http://f.g), here"),
        (".. note:: Careful.\n\n   More.\n\n.. image:: x\n   :alt: y\n\n.. gone\n   too", "Careful.\n\nMore."),
        (".. versionadded:: 3.1\n\nBack", "Added in version 3.1.\n\nBack"),
        (".. versionadded:: 3.1\n   The *x*.\n\n   More.", "Added in version 3.1: The *x*.\n\nMore."),
        (".. versionchanged:: 3.2 Also\n   ``str``.", "Changed in version 3.2: Also\n`str`."),
        (".. deprecated:: 3.3\n\n   - `a`\n   - b", "Deprecated since version 3.3:\n\n- `a`\n- b"),
        (".. deprecated-removed:: 3.3 4.0", "Deprecated since version 3.3, to be removed in version 4.0."),
        (".. deprecated::", "Deprecated."),
        (".. versionremoved:: next\n   :x:", "Removed in version next."),
        ("- one\n- two", "- one\n- two"),
        (
            "==  ====\na   b\n==  ====\n1   ``2``\n    long text\n==  ====\n\nBack",
            "| a | b |\n|-|-|\n| 1 | `2` long text |\n\nBack",
        ),
        (
            "+------+------+\n| a    | b    |\n+======+======+\n| 갈퀴 | c    |\n|      | d|e  |\n+------+------+\n"
            "| over both   |\n+------+------+",
            "| a | b |\n|-|-|\n| 갈퀴 | c d\\|e |\n| over both |  |",
        ),
        (
            ".. list-table:: T\n   :header-rows: 1\n\n   * - a\n     - b\n   * - 1\n\n       2\n     -\n\nBack",
            "T\n\n| a | b |\n|-|-|\n| 1 2 |  |\n\nBack",
        ),
        (
            '.. csv-table::\n   :header: a, "b, c"\n   :widths: 1, 2\n\n   1, "two, three"',
            "| a | b, c |\n|-|-|\n| 1 | two, three |",
        ),
        ("==  ==\nnever closed", "never closed"),
        (".. toctree::\n\n   a\n   b", ""),
    ],
)  # fmt: skip
def test_rst(source: str, expected: str) -> None:
    assert rst(source)[0] == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("= Title\n:n: rake\n\n== Part\n\nA {n} *gathers*.", "# Title\n\n## Part\n\nA rake **gathers**."),
        ("[source,python]\n----\n= x\n----", "```python\n= x\n```"),
        ("* a\n** b\n. c", "- a\n  - b\n1. c"),
        ("|===\n|a |b\n\n|1 |2\n|===", "| a | b |\n|-|-|\n| 1 | 2 |"),
        (
            "////\nhidden\n////\nNOTE: see <<x,here>> and https://a.b[site]",
            "Note: see here and [site](https://a.b)",
        ),
        ("----\nnever closed", "```\nnever closed\n```"),
        (
            "link:a.adoc[one], link:../b.html#c[two^], link:d[], link:#e[here]",
            "[one](a.adoc), [two](../b.html#c), d, here",
        ),
        (
            ':u: https://a.b\n\n{u}[A,role=x] link:{u}["B, c",window=_blank] `link:x[y]`',
            "[A](https://a.b) [B, c](https://a.b) `link:x[y]`",
        ),
        ("a xref:b.adoc#c[long\ntext], <<d>>, <<e.adoc#f,The _g_>>", "a long text, d, The *g*"),
        (
            "kbd:[Ctrl+C] menu:File[Save > As] image:i.png[Icon] said.footnote:[By Ann.] H~2~O",
            "Ctrl+C File > Save > As Icon said. (By Ann.) H2O",
        ),
        (
            '* *b* and **c**d\n\n[.lead]#marked# C# F# #1 `+#x#+` "`so`"',
            "- **b** and **c**d\n\nmarked C# F# #1 `#x#` “so”",
        ),
        ("rake:: gathers\n*hoe*::\nweeds std::x", "**rake**\n\ngathers\n\n**hoe**\n\nweeds std::x"),
        ("[WARNING]\n====\nSharp.\n\nMore.\n====\n<1> called", "Warning: Sharp.\n\nMore.\n1. called"),
    ],
)
def test_asciidoc(source: str, expected: str) -> None:
    assert asciidoc(source)[0] == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (r"\section{On \emph{rakes}}\label{a} They \textbf{gather}~\cite{b}.", "## On rakes\n\nThey gather."),
        ("a % gone\nb 5\\% c", "a b 5% c"),
        (r"Caf\'e na\"{\i}ve $a_1 \frac{b}{c}$ and \[ x^2 \]", "Café naïve $a_1 \\frac{b}{c}$ and \\[ x^2 \\]"),
        ("\\begin{itemize}\n\\item one\n\\item[x] two\n\\end{itemize}", "- one\n- x: two"),
        ("\\begin{verbatim}\n% \\kept{}\n\\end{verbatim}", "```\n% \\kept{}\n```"),
        (r"\newcommand{\x}{\y{z}}\documentclass{a}\begin{document}body\end{document} after", "body"),
        (r"\href{http://a.b}{them} ``said'' -- x", "[them](http://a.b) “said” – x"),
    ],
)
def test_tex(source: str, expected: str) -> None:
    found = tex(source)[0]
    assert found.replace("naïve", "naïve") == expected or found == expected.replace("naïve", "naıve")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (rb"{\rtf1\ansi{\fonttbl{\f0\fcharset129 Batang;}}{\f0 \'b0\'a5\'c4\'fb}\par next}", "갈퀴\n\nnext"),
        (rb"{\rtf1 \u44040?\u53300? \uc2\u228 ab. {\*\gone no}{\pict 00ff}shown}", "갈퀴 ä. shown"),
        (rb"{\rtf1 a\cell b\cell\row c\cell d\cell\row}", "| a | b |\n|-|-|\n| c | d |"),
        (
            rb"{\rtf1 on\par\trowd a\cell b|\par c\cell\trowd\row\trowd d\cell e\cell\row\pard off}",
            "on\n\n| a | b\\| c |\n|-|-|\n| d | e |\n\noff",
        ),
        (rb"{\rtf1 \trowd a\cell\row\trowd b\cell\row}", "a\n\nb"),
        (
            rb"{\rtf1 \pard\outlinelevel1 Head\line er\par\pard text\par\pard\outlinelevel0 Last}",
            "## Head er\n\ntext\n\n# Last",
        ),
        (rb"{\rtf1 {\pntext\f1\'b7\tab}a\par{\listtext\'b7}b\par{\listtext 2.\tab}c\par}", "- a\n- b\n\n2. c"),
        (rb"{\rtf1 a{\v no}b{\deleted no}\v no\v0 c\v no\plain d}", "abcd"),
        (rb"{\rtf1 \u-10179?\u-8704?{\*\shpinst{\sp x}{\shptxt In a box}}}", "\U0001f600\n\nIn a box"),
        (rb"{\rtf1 \{x\}\~y\emdash z}", "{x}\u00a0y—z"),
        (rb"{\rtf1 open {group", "open group"),
        (rb"{\rtf1 a{\pict\bin5 {}\par}b\bin99 c", "ab"),
    ],
)
def test_rtf(source: bytes, expected: str) -> None:
    assert rtf(source, 10**6)[0] == expected


def test_rtf_has_its_title() -> None:
    assert rtf(rb"{\rtf1{\info{\title On rakes}{\author A}}text}", 99) == ("text", "On rakes")


def test_notebooks_keep_text_code_and_some_of_what_was_printed() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Head\n", "text"]},
        {"cell_type": "code", "source": "x = 1", "outputs": [{"data": {"text/plain": ["1"], "image/png": "AAAA"}}]},
        {"cell_type": "code", "source": "y", "outputs": [{"output_type": "error", "ename": "E", "evalue": "v"}]},
        {"cell_type": "code", "source": "z", "outputs": [{"text": "w" * 9999}]},
        {"cell_type": "code", "source": "", "outputs": [{"text": "gone"}]},
        "odd",
    ]
    made = {"cells": cells, "metadata": {"language_info": {"name": "python"}, "title": "T"}}
    text, metadata = notebook(json.dumps(made))
    assert text.startswith(
        "# Head\ntext\n\n```python\nx = 1\n```\n\n```\n1\n```\n\n```python\ny\n```\n\n```\nE: v\n```"
    )
    assert text.count("w") == MOST_OUTPUT
    assert "gone" not in text
    assert "AAAA" not in text
    assert metadata == {"title": "T"}


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ({"text": "\x1b[31mred\x1b[0m\n"}, "```\nred\n```"),
        ({"text": ["  0%|\r", " 50%|\r100%|\n", "done\r\n"]}, "```\n100%|\ndone\n```"),
        ({"data": {"text/plain": "<Figure size 640x480 with 1 Axes>", "image/png": "AAAA"}}, ""),
        ({"data": {"text/plain": "[<a.Line2D at 0x7f>,\n <a.Line2D at 0x8f>]"}}, ""),
        ({"data": {"text/plain": "<not an obj>"}}, "```\n<not an obj>\n```"),
        ({"data": {"text/plain": "<I.HTML object>", "text/html": ["<p>a <b>page</b>", "</p>"]}}, "a **page**"),
        ({"data": {"text/plain": "<I.Markdown object>", "text/markdown": "*as it is*"}}, "*as it is*"),
    ],
)
def test_what_a_cell_printed_is_what_a_reader_saw(output: dict[str, object], shown: str) -> None:
    cells = [{"cell_type": "code", "source": "a\rb", "outputs": [output]}]
    assert notebook(json.dumps({"cells": cells}))[0] == f"```\na\nb\n```\n\n{shown}".rstrip()


def test_subtitles_are_what_is_said() -> None:
    source = (
        "1\n00:00:01,000 --> 00:00:02,000\n<i>The rake</i>\nis back.\n\n"
        "2\n00:00:02,500 --> 00:00:03,000\n{\\an8}In\\N1984 &amp; &lt;c&gt;\n\n"
        "3\n00:00:20,000 --> 00:00:21,000\nLater.\n"
    )
    assert subtitles(source) == "The rake is back.\nIn 1984 & <c>\n\nLater."


def test_what_is_broken_has_its_reason(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.ipynb").write_text("{broken")
    (tmp_path / "src/b.ipynb").write_text('{"cells": 7}')
    (tmp_path / "src/c.srt").write_text("words alone")
    (tmp_path / "src/d.rtf").write_text("no rtf")
    (tmp_path / "src/e.rtf").write_text("{\\rtf1" + "{" * 2000)
    (tmp_path / "src/f.tex").write_text("\\documentclass{a}")
    (tmp_path / "src/g.rst").write_bytes(b"\x00")
    (tmp_path / "src/h.adoc").write_text("")
    (tmp_path / "src/i.ipynb").write_text("[" * 100_000)
    docs, rejections = read()
    assert docs == []
    assert [one.reason.split(":")[0] for one in rejections] == [
        "broken notebook",
        "broken notebook",
        "no subtitles",
        "broken .rtf file",
        "nested too deeply",
        "empty",
        "NUL byte in line 1",
        "empty",
        "broken notebook",
    ]


def test_each_is_a_document_with_its_title(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.rst").write_text("갈퀴\n====\n\ntext")
    (tmp_path / "src/b.adoc").write_text("= 갈퀴\n\ntext")
    (tmp_path / "src/c.tex").write_text("\\title{갈퀴}\\begin{document}text\\end{document}")
    docs, rejections = read()
    assert rejections == []
    assert {doc.metadata["title"] for doc in docs} == {"갈퀴"}
    assert all(doc.is_markdown and "text" in doc.text for doc in docs)


MARKS = st.sampled_from(
    ["\\section{", "}", "{", "\\item ", "$", "\\begin{alltt}", "===", "\n", "::", ".. x", "`", "|===", "word", " "]
)  # fmt: skip


@given(st.lists(MARKS, max_size=30))
def test_any_mixture_ends(pieces: list[str]) -> None:
    source = "".join(pieces)
    for reduce in (rst, asciidoc, tex):
        text, title = reduce(source)
        assert isinstance(text, str)
        assert "\n" not in title
    assert isinstance(rtf(b"{\\rtf1" + source.encode(), 10**6)[0], str)
