"""A record's columns → a `Document`: which column is the id, the text, the title, and what metadata may hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from pipeline.config import SourceSettings
from pipeline.ingest.formats.code.records import fenced_record
from pipeline.ingest.formats.decoding import UnreadableError, normalise_newlines
from pipeline.records import Document, MetadataValue, Scalar

ID_FIELDS = ("_id", "id", "doc_id")
TEXT_FIELDS = ("text", "content", "body")
TITLE_FIELDS = ("title",)

INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of a record's id, text and title column; `None` where it has none."""

    identity: str | None
    text: str
    title: str | None

    @classmethod
    def choose(cls, names: Sequence[str] | Mapping[str, object], source: SourceSettings) -> Columns:
        """Settings first, then the usual names. Raises `UnreadableError` if a named one or the text is absent."""
        for key, name in (("id_field", source.id_field), ("text_field", source.text_field)):
            if name is not None and name not in names:
                raise UnreadableError(f"no field `{name}`, which `{key}` names; it has {_listed(names)}")
        text = source.text_field or next((name for name in TEXT_FIELDS if name in names), None)
        if text is None:
            raise UnreadableError(f"no field {' or '.join(TEXT_FIELDS)}, set `text_field`; it has {_listed(names)}")
        identity = source.id_field or next((name for name in ID_FIELDS if name in names), None)
        titles = (source.title_field,) if source.title_field else TITLE_FIELDS
        return cls(identity, text, next((name for name in titles if name in names), None))


def build_document(
    record: Mapping[str, Any], columns: Columns, source: SourceSettings, fallback_id: str, max_bytes: int
) -> Document:
    """The document of one record; `fallback_id` is its id if it names none. Raises `UnreadableError`."""
    text = as_text(record.get(columns.text), columns.text)
    said = text.strip().partition("\n")[0].strip()
    fenced = fenced_record(text, source.code)
    text = text if fenced is None else fenced
    title = title_text(record.get(columns.title)) if columns.title else ""
    given_id = record.get(columns.identity) if columns.identity else None
    doc_id = source.prefix + as_id(given_id, columns.identity or "") if given_id not in (None, "") else fallback_id
    if given_id in (None, "") and source.id_field:
        raise UnreadableError(f"field `{source.id_field}` is empty, and it is the record's id")
    used = {columns.text, columns.title, columns.identity}
    metadata = {str(name): metadata_value(value) for name, value in record.items() if name not in used}
    if title:
        metadata["title"] = title
        if said != title.strip():
            text = f"{title}\n\n{text}" if text.strip() else title
    refuse_oversize(text, max_bytes)
    refuse_lone_surrogates([doc_id, text, *metadata, *metadata.values()])
    return Document(doc_id, text, metadata, is_markdown=fenced is not None)


def refuse_oversize(text: str, max_bytes: int) -> None:
    """Raise `UnreadableError` if `text` takes more than `max_bytes` as UTF-8."""
    if len(text) * 4 > max_bytes and len(text.encode("utf-8", "surrogatepass")) > max_bytes:
        raise oversize(max_bytes)


def oversize(max_bytes: int) -> UnreadableError:
    """What to raise for a text of more than `max_bytes`."""
    return UnreadableError(f"text is longer than {max_bytes / 1e6:g} MB; raise ingest.max_document_mb to read it")


def metadata_value(value: Any) -> MetadataValue:
    """A scalar or a list of scalars, dates as ISO strings; anything nested becomes a JSON string."""
    if isinstance(value, list | tuple) and not any(isinstance(item, list | tuple | dict | set) for item in value):
        return [_scalar(item) for item in value]
    if isinstance(value, list | tuple | dict | set):
        plain = sorted(map(str, value)) if isinstance(value, set) else value
        try:
            return json.dumps(plain, ensure_ascii=False, sort_keys=True, default=str)
        except (RecursionError, ValueError, TypeError) as error:
            raise UnreadableError(f"a nested field cannot be kept as metadata: {first_line(error)}") from None
    return _scalar(value)


def typed_cell(cell: str) -> Scalar:
    """A CSV cell: `None` if empty, a number if that number is written in the same characters, else the string."""
    if not cell:
        return None
    if cell[0] in "-0123456789":
        for kind in (int, float):
            try:
                number = kind(cell)
            except ValueError:
                continue
            if str(number) == cell and (math.isfinite(number) if kind is float else number in INT64):
                return number
    return cell


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _scalar(value: Any) -> Scalar:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if value in INT64 else _long_int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def _long_int(value: int) -> str:
    try:
        return str(value)
    except ValueError:
        return hex(value)


def as_text(value: Any, name: str) -> str:
    """The text of a field, empty for null, line ends made `\\n`. Raises `UnreadableError` for what is no text."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableError(f"field `{name}` is {_kind(value)}, not text")
    return normalise_newlines(value)


def title_text(value: Any) -> str:
    """A title on its own, empty where the value is none."""
    if value is None or isinstance(value, list | dict):
        return ""
    return normalise_newlines(str(_scalar(value) or "")).strip()


def as_id(value: Any, name: str) -> str:
    """An id as text. Raises `UnreadableError` for what is neither a text nor a whole number."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnreadableError(f"field `{name}` is {_kind(value)}; an id is a string or a whole number")
    return value if isinstance(value, str) else _long_int(value)


def _kind(value: Any) -> str:
    kinds = {bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _listed(names: Sequence[str] | Mapping[str, object]) -> str:
    shown = [name if len(name) <= 30 else name[:29] + "…" for name in list(names)[:8]]
    return ", ".join([*shown, "…"] if len(names) > 8 else shown) or "no fields"


def refuse_lone_surrogates(values: Sequence[MetadataValue]) -> None:
    """Raise `UnreadableError` for a text that has no UTF-8."""
    for value in values:
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str) and not part.isascii():
                try:
                    part.encode("utf-8")
                except UnicodeEncodeError:
                    raise UnreadableError("holds half of a surrogate pair, which is no character") from None
