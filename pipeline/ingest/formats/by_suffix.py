"""Which reader takes which file."""

from __future__ import annotations

from pipeline.ingest.formats.books.reader import read_book
from pipeline.ingest.formats.code.reader import read_code
from pipeline.ingest.formats.columnar import read_arrow, read_parquet
from pipeline.ingest.formats.html.reader import read_html
from pipeline.ingest.formats.hwp.reader import read_hangul
from pipeline.ingest.formats.inside.archives import read_archive
from pipeline.ingest.formats.items import ITEMS, read_items
from pipeline.ingest.formats.lines import read_csv, read_jsonl
from pipeline.ingest.formats.mail.reader import read_mail, read_mbox
from pipeline.ingest.formats.markups.reader import read_markup
from pipeline.ingest.formats.ocr.images import read_image
from pipeline.ingest.formats.office.sheets import read_xlsx
from pipeline.ingest.formats.office.slides import read_pptx
from pipeline.ingest.formats.office.word import read_docx
from pipeline.ingest.formats.pdf.reader import read_pdf
from pipeline.ingest.formats.registry import READERS as READERS
from pipeline.ingest.formats.registry import read_file as read_file
from pipeline.ingest.formats.registry import register_reader as register_reader
from pipeline.ingest.formats.registry import unregister_reader as unregister_reader
from pipeline.ingest.formats.text_files import read_markdown, read_text
from pipeline.ingest.suffixes import (
    ARCHIVE_SUFFIXES,
    ARROW_SUFFIXES,
    BOOK_SUFFIXES,
    CODE_SUFFIXES,
    FOREIGN_SUFFIXES,
    HTML_SUFFIXES,
    HWP_SUFFIXES,
    IMAGE_SUFFIXES,
    MARKUP_SUFFIXES,
)

READERS.update(
    {
        ".txt": read_text,
        ".md": read_markdown,
        ".markdown": read_markdown,
        ".jsonl": read_jsonl,
        ".csv": read_csv,
        ".tsv": read_csv,
        ".parquet": read_parquet,
        **dict.fromkeys(ARROW_SUFFIXES, read_arrow),
        **dict.fromkeys(HTML_SUFFIXES, read_html),
        ".pdf": read_pdf,
        ".docx": read_docx,
        ".pptx": read_pptx,
        ".xlsx": read_xlsx,
        **dict.fromkeys(HWP_SUFFIXES, read_hangul),
        **dict.fromkeys(BOOK_SUFFIXES, read_book),
        **dict.fromkeys(MARKUP_SUFFIXES, read_markup),
        **dict.fromkeys(CODE_SUFFIXES, read_code),
        **dict.fromkeys(ARCHIVE_SUFFIXES, read_archive),
        **dict.fromkeys(IMAGE_SUFFIXES, read_image),
        ".eml": read_mail,
        ".msg": read_mail,
        ".mbox": read_mbox,
        ITEMS: read_items,
    }
)

_BUILT_IN = dict(READERS)

FOREIGN = FOREIGN_SUFFIXES | ARROW_SUFFIXES | IMAGE_SUFFIXES | {".parquet"}
"""Parsed by libraries that may hold on, crash or take all memory where Python cannot stop them."""


def is_built_in(suffix: str) -> bool:
    """Whether every process of this package has the reader that this one has."""
    return suffix in _BUILT_IN and READERS.get(suffix) is _BUILT_IN[suffix]
