"""How documents are cut, and what of a document is encoded with each of its chunks."""

from __future__ import annotations

from string import Formatter

from pydantic import Field, field_validator, model_validator

from pipeline.config.problems import nearest
from pipeline.config.search import Settings

NO_CONTEXT = "none"
CONTEXTS = {
    "title+headings": "{title}\n{headings}",
    "title": "{title}",
    "headings": "{headings}",
    NO_CONTEXT: "",
}
"""What `chunking.context` may say in one word, and the template that each word stands for."""
PLACEHOLDERS = ("title", "headings")
MOST_TEMPLATE = 200


class ChunkingSettings(Settings):
    """Sizes in tokens of the encoder's own tokenizer; `max_tokens` holds a chunk and its context.

    `context`: what is encoded before a chunk's text: a word of `CONTEXTS`, or a template with `{title}` and
    `{headings}`. `table_headers`: a chunk from the middle of a table is encoded with the table's header.
    """

    max_tokens: int = Field(default=254, ge=8)
    overlap_tokens: int = Field(default=32, ge=0)
    context: str = "title+headings"
    table_headers: bool = True

    @field_validator("context")
    @classmethod
    def _context_is_known(cls, value: str) -> str:
        if value not in CONTEXTS:
            _check_template(value)
        return value

    @model_validator(mode="after")
    def _overlap_below_size(self) -> ChunkingSettings:
        if self.overlap_tokens >= self.max_tokens:
            raise ValueError(
                f"chunking.overlap_tokens={self.overlap_tokens} must be below chunking.max_tokens={self.max_tokens}"
            )
        return self

    @property
    def context_template(self) -> str:
        """The template that `context` is or stands for; empty where nothing is put before a chunk."""
        return CONTEXTS.get(self.context, self.context)


def _check_template(value: str) -> None:
    words = ", ".join(CONTEXTS)
    try:
        parts = list(Formatter().parse(value))
    except ValueError as error:
        raise ValueError(
            f"chunking.context: {value!r} is no template: {error}; double a brace that stands for itself"
        ) from None
    named = [name for _, name, _, _ in parts if name is not None]
    if not named:
        hint = nearest(value, tuple(CONTEXTS), "give")
        raise ValueError(
            f"chunking.context: {value!r} is none of {words}, nor a template with {{title}} or {{headings}}; {hint}"
        )
    for _, name, form, conversion in parts:
        if name is not None and (name not in PLACEHOLDERS or form or conversion):
            raise ValueError(f"chunking.context: a template holds {{title}} and {{headings}}, not {{{name}}}")
    if len(value) > MOST_TEMPLATE:
        raise ValueError(f"chunking.context: a template of more than {MOST_TEMPLATE} characters; shorten it")
