"""Snippets without the signs of Markdown, which are for writers."""

from __future__ import annotations

import re
from pathlib import PurePath

from pipeline.serve.schemas.search import HighlightAnswer

_WRITTEN = """
.md .markdown
.pdf .xlsx .docx .pptx .html .htm .xhtml .epub .odt .hwp .hwpx .eml .mbox .msg .rst .adoc .asciidoc .tex
.rtf .ipynb .py .pyi .js .jsx .mjs .cjs .ts .tsx .java .go .rs .c .h .cc .cpp .cxx .hh .hpp .hxx
"""
MARKDOWN = frozenset(_WRITTEN.split())
"""Files whose text the index has as Markdown."""
_SIGNS = re.compile(
    r"(?<!\S)(?:#{1,6}(?=\s)|`{3,}\w*|~{3,}\w*|-{3,}(?!\S)|\|(?:\s*(?::-+:?|-+:|-{2,})\s*\|)+)"  # blocks
    r"|(?<!\S)(?:\|\s*)+(?!\S)"  # cells of a table
    r"|\*\*|`+|(?<!\w)\*(?=\w)|(?<=\w)\*(?!\w)"  # emphasis and code
    r"|!?\[(?=[^\]]*\]\()|(?<=\])\([^()\s]*\)|\](?=\()"  # links
)


def is_markdown(source: str) -> bool:
    """Whether what came from this file is Markdown."""
    return PurePath(source).suffix.lower() in MARKDOWN


def without_signs(highlight: HighlightAnswer) -> HighlightAnswer:
    """The snippet with its marks where they belong, the signs of Markdown and doubled blanks taken out."""
    text = highlight.text
    places: list[int] = []
    kept: list[str] = []

    def keep(start: int, end: int) -> None:
        for place in range(start, end):
            places.append(len(kept))
            if not (text[place].isspace() and (not kept or kept[-1] == " ")):
                kept.append(text[place])

    end = 0
    for sign in _SIGNS.finditer(text):
        keep(end, sign.start())
        places += [len(kept)] * (sign.end() - sign.start())
        end = sign.end()
    keep(end, len(text))
    places.append(len(kept))
    marks = [(places[first], places[last]) for first, last in highlight.marks]
    shown = "".join(kept)
    return highlight.model_copy(update={"text": shown, "marks": [mark for mark in marks if mark[0] < mark[1]]})
