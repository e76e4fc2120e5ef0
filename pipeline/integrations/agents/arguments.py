"""What MCP tools take: arguments with the words that a model reads, and what it is told of wrong ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field, ValidationError

from pipeline.config.boosts import MOST as MOST_BOOSTS
from pipeline.config.boosts import SHAPES
from pipeline.names import Mode
from pipeline.query.filter.allowed import DOCUMENTED

MOST_HITS, MOST_PASSAGES, MOST_NEIGHBOURS, MOST_EXAMPLES, LONGEST_TEXT = 50, 100, 5, 20, 8192

CONDITIONS = (
    "lang = 'ko' and year >= 2024",
    "list_contains(tags, 'ops')",
    "title ilike '%runbook%'",
    "year between 2020 and 2024 or year is null",
)
"""What a model is shown of the grammar of filters, of which it cannot read the page."""
_BY_EXAMPLE = f"write conditions as in: {'; '.join(CONDITIONS)}"

Query = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT, description="A question or words.")]
Hits = Annotated[int, Field(ge=1, le=MOST_HITS, description="How many passages.")]
Name = Annotated[str | None, Field(description="An index by name, as index_info lists them; null: the first.")]
Legs = Annotated[
    Mode | None, Field(description="dense: by meaning, lexical: by words, hybrid: both. null: as configured.")
]
Filter = Annotated[
    str | None,
    Field(
        description="An SQL condition on fields that index_info lists, as in: "
        f"{'; '.join(CONDITIONS)}. Texts stand in single quotes."
    ),
]
OnePerDocument = Annotated[bool, Field(description="Only the best passage of each document.")]
Neighbours = Annotated[
    int, Field(ge=0, le=MOST_NEIGHBOURS, description="Passages to show before and after each hit.")
]
Boosts = Annotated[
    list[str] | None,
    Field(
        max_length=MOST_BOOSTS,
        description=f"What multiplies scores by a field's value, such as {SHAPES}. null: as configured.",
    ),
]
DocumentId = Annotated[str, Field(description="The id of a document, as hits have it.")]
First = Annotated[int, Field(ge=0, description="The passage to begin with, from 0.")]
Passages = Annotated[int, Field(ge=1, le=MOST_PASSAGES, description="How many passages.")]
_Texts = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]], Field(max_length=MOST_EXAMPLES)
]
_Documents = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MOST_EXAMPLES)]
LikeDocuments = Annotated[_Documents | None, Field(description="Documents to be like, by their ids in hits.")]
LikeTexts = Annotated[_Texts | None, Field(description="Texts to be like: a question, a paragraph.")]
UnlikeDocuments = Annotated[_Documents | None, Field(description="Documents to be unlike, by their ids in hits.")]
UnlikeTexts = Annotated[_Texts | None, Field(description="Texts to be unlike.")]
_FILTER = re.compile("(boost .*: )?filter: ")


def unknown_argument(given: Iterable[str], known: Sequence[str]) -> str | None:
    """What is wrong with the first argument that a tool does not have, if there is one."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            return f"there is no argument {name!r}; {hint}known: {', '.join(known)}"
    return None


def wrong_arguments(error: ValidationError) -> str:
    """What is wrong with each argument, on one line and without what was given."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
    return f"{told}; {_BY_EXAMPLE}" if any(one["loc"][:1] == ("filter",) for one in found) else told


def with_examples(message: str) -> str:
    """What is wrong with a filter, or with the condition of a boost, and how one is written; other messages as they
    are."""
    if not _FILTER.match(message):
        return message
    return f"{message.removesuffix(f'; {DOCUMENTED}')}; {_BY_EXAMPLE}"
