"""What is told by a file's name: which files are read, and by which family of readers."""

from __future__ import annotations

CORE_SUFFIXES = frozenset({".txt", ".md", ".markdown", ".jsonl", ".csv", ".tsv", ".parquet"})
ARROW_SUFFIXES = frozenset({".arrow", ".feather"})
DOCS_SUFFIXES = frozenset({".pdf", ".docx", ".pptx", ".xlsx"})
BOOK_SUFFIXES = frozenset({".epub", ".odt"})
MARKUP_SUFFIXES = frozenset({".rst", ".adoc", ".asciidoc", ".tex", ".rtf", ".ipynb", ".srt"})
HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
HWP_SUFFIXES = frozenset({".hwp", ".hwpx"})
MAIL_SUFFIXES = frozenset({".eml", ".mbox", ".msg"})
CODE_SUFFIXES = frozenset(
    {".py", ".pyi", ".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".java", ".go", ".rs"}
    | {".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx"}
)
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".tgz", ".gz", ".zst"})
FOREIGN_SUFFIXES = frozenset().union(
    DOCS_SUFFIXES,
    BOOK_SUFFIXES,
    MARKUP_SUFFIXES,
    HTML_SUFFIXES,
    HWP_SUFFIXES,
    ARCHIVE_SUFFIXES,
    MAIL_SUFFIXES,
    CODE_SUFFIXES,
)
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
"""Read where a source names them; those that lie about in a folder are taken for illustrations."""
SUFFIXES = set(CORE_SUFFIXES | ARROW_SUFFIXES | FOREIGN_SUFFIXES)
"""What a folder is searched for; `register_reader` adds to it."""

PACKAGE_MARK = "__init__.py"


def entry_suffix(name: str) -> str:
    """Lower-case suffix of a file name, with the dot; empty if there is none."""
    last = name[name.rfind("/") + 1 :]
    dot = last.rfind(".")
    return last[dot:].lower() if 0 < dot < len(last) - 1 else ""


def is_package_mark(name: str, size: int | None) -> bool:
    """Whether a file only says that its folder is a package of Python, and so is nobody's document.

    `size`: in bytes, if it is known.
    """
    return size == 0 and name.rpartition("/")[2] == PACKAGE_MARK
