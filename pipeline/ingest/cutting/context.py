"""The context of a chunk: title, headings and the header of a table, which are encoded before its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

from pipeline.ingest.cutting.boundaries import encodable
from pipeline.ingest.cutting.markdown import HeadingPath
from pipeline.ingest.cutting.tables import KEY_SHARE, TableContext, Tables
from pipeline.records import Metadata, in_context

MOST_SHARE = 4
"""A context takes at most the `MOST_SHARE`-th part of a chunk's tokens, …"""
MOST_TOKENS = 128
"""… and no more than this however long chunks are."""
TABLE_SHARE = 2
"""The header of a table takes at most the `TABLE_SHARE`-th part besides, …"""
TABLE_TOKENS = 512
"""… and no more than this."""
BETWEEN_HEADINGS = " > "
KEPT_TABLES = 64


def title_of(metadata: Metadata) -> str:
    """The title of a document on one line; empty if it has none."""
    value = metadata.get("title")
    if value is None or isinstance(value, bool | list):
        return ""
    return " ".join(str(value).split())


class ContextWriter:
    """Writes contexts by a template, as long as they may be."""

    def __init__(self, template: str, tokenizer: Any, max_tokens: int) -> None:
        """`template`: with `{title}` and `{headings}`; empty for no context. `max_tokens`: of chunk and context."""
        self._template = template
        self._tokenizer = tokenizer
        self._most = min(max_tokens // MOST_SHARE, MOST_TOKENS)
        self.most_of_table = min(max_tokens // TABLE_SHARE, TABLE_TOKENS)

    def write(self, title: str, headings: Sequence[str]) -> tuple[str, int]:
        """The context, and its tokens with the empty line after it.

        One that is too long loses headings, the outermost first; then the end of what is left. A first heading that
        repeats the title is left out.
        """
        if not self._template:
            return "", 0
        if headings and "{title}" in self._template and _same(title, headings[0]):
            headings = headings[1:]
        for first in range(len(headings) + 1):
            context = self._filled(title, headings[first:])
            if context and (tokens := self._tokens(context)) <= self._most:
                return context, tokens
        return self._shortened(self._filled(title, ()) or self._filled("", headings[-1:]), self._most)

    def write_table(self, context: str, table: TableContext) -> tuple[str, int]:
        """A context with what is said of a table below it, and its tokens. What is too long loses its end."""
        key, taken = self._shortened(table.key, self.most_of_table // KEY_SHARE)
        header, _ = self._shortened(table.header, self.most_of_table - taken)
        written = "\n".join(filter(None, (context, header, key)))
        return written, self._tokens(written) if written else 0

    def sizes(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text takes."""
        encoded = self._tokenizer.encode_batch_fast(list(map(encodable, texts)), add_special_tokens=False)
        return list(map(len, encoded))

    def _filled(self, title: str, headings: Sequence[str]) -> str:
        """The template's lines, without those whose title or headings are missing."""
        values = {"title": title, "headings": BETWEEN_HEADINGS.join(headings)}
        lines = []
        for line in self._template.splitlines():
            used = [value for name, value in values.items() if f"{{{name}}}" in line]
            if not used or any(used):
                lines.append((line.format_map(values).strip(), bool(used)))
        return "\n".join(line for line, _ in lines).strip() if any(used for _, used in lines) else ""

    def _shortened(self, context: str, most: int) -> tuple[str, int]:
        """As much of the beginning as takes no more than `most` tokens, and its tokens."""
        if not context:
            return "", 0
        if (tokens := self._tokens(context)) <= most:
            return context, tokens
        offsets = self._tokenizer.encode(encodable(context), add_special_tokens=False).offsets
        for kept in range(min(most, len(offsets) - 1), 0, -1):
            short = context[: offsets[kept][0]].rstrip()
            if short and (tokens := self._tokens(short)) <= most:
                return short, tokens
        return "", 0

    def _tokens(self, context: str) -> int:
        text = encodable(in_context(context, ""))
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


class DocumentContext:
    """The contexts of one document's chunks, by the offset at which a chunk's text begins."""

    def __init__(self, writer: ContextWriter, text: str, title: str, path: HeadingPath, tables: Tables) -> None:
        self.text, self.tables, self.headings_at = text, tables, path.at
        self._title = title
        self._write = cache(writer.write)
        self._write_table = lru_cache(maxsize=KEPT_TABLES)(writer.write_table)

    def at(self, start: int) -> str:
        """The context of a chunk that begins at `start`, without the title if that is the chunk's first line."""
        return self._found(start)[0]

    def tokens(self, start: int) -> int:
        """How many tokens that context takes."""
        return self._found(start)[1]

    def room(self, most: int, offset: int = 0) -> Callable[[int], int]:
        """What `most` tokens leave to a chunk's text, by where it begins, counted from `offset`; one at least."""
        return lambda start: max(1, most - self.tokens(offset + start))

    def _found(self, start: int) -> tuple[str, int]:
        line = self.text[start : start + 2 * len(self._title) + 1].partition("\n")[0]
        context, tokens = self._write("" if _same(self._title, line) else self._title, self.headings_at(start))
        table = self.tables.at(start)
        return self._write_table(context, table) if table.header or table.key else (context, tokens)


def _same(title: str, other: str) -> bool:
    return " ".join(title.split()).casefold() == " ".join(other.split()).casefold()
