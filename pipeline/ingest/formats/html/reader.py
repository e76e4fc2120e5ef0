"""HTML → a document: the page's main content as Markdown, its title, language and address."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from urllib.parse import urljoin, urlsplit

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError, decode, normalise_newlines
from pipeline.ingest.formats.html.declared import declared_encoding
from pipeline.ingest.formats.html.main_content import everything, main_content
from pipeline.ingest.formats.html.tree import Node, parse
from pipeline.ingest.formats.html.writer import Writer
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.text_files import read_bytes
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document, MetadataValue


def read_html(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a file."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    data = read_bytes(file.path, settings)
    if not data:
        raise UnreadableError("empty")
    page = decode(data, [*declared_encoding(data), *settings.encodings])
    root = parse(page)
    address, base = _addresses(root, str(file.extra.get("url", "")))
    content = main_content(root) if settings.html == "main" else everything(root)
    text = clean(Writer(max_bytes(settings), base).write(content))
    metadata: dict[str, MetadataValue] = {}
    if title := title_of_page(root):
        metadata["title"] = title
    if language := language_of_page(root):
        metadata["lang"] = language
    if address:
        metadata["url"] = address
    return Document(file.name, text, metadata, is_markdown=True)


def clean(text: str) -> str:
    """Text that can be stored, whatever stood in the page."""
    text = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    return normalise_newlines(text)


def title_of_page(root: Node) -> str:
    """The `title` of a page on one line; empty if it has none."""
    found = next((node for node in root.elements() if node.tag == "title"), None)
    return " ".join(clean(found.text()).split()) if found is not None else ""


def language_of_page(root: Node) -> str:
    """The language that a page says it is in, such as `ko` or `en-GB`; empty if it does not."""
    for node in root.elements():
        if node.tag in ("html", "body"):
            language = node.attributes.get("lang", "") or node.attributes.get("xml:lang", "")
            if language.strip():
                return clean(language.strip())[:35]
    return ""


def _addresses(root: Node, found_at: str) -> tuple[str, str]:
    """The address that the page says it has, and the one that its links are meant from; empty if not known.

    `found_at`: where it was fetched; empty for a file.
    """
    address = base = ""
    for node in root.elements():
        get = node.attributes.get
        if node.tag == "link" and "canonical" in get("rel", "").lower().split():
            address = get("href", "").strip() or address
        elif node.tag == "meta" and get("property", "").lower() == "og:url":
            address = address or get("content", "").strip()
        elif node.tag == "base" and not base:
            base = get("href", "").strip()
    try:
        address = urljoin(found_at, address) if address else ""
        if urlsplit(address).scheme not in ("http", "https"):
            address = ""
        base = urljoin(found_at or address, base) if base else found_at or address
    except ValueError:
        address, base = "", found_at
    return clean(address), base
