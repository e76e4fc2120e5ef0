"""What to put before a query or a document: the model's saved prompts, else what its family is known to need."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import ConfigError

logger = logging.getLogger(__name__)

DEFAULT_TASK = "Given a web search query, retrieve relevant passages that answer the query"

# (name pattern, query, document); the first that matches counts. `{task}` is filled in from encoder.task.
_FAMILIES: tuple[tuple[str, str, str], ...] = (
    (r"e5-.*instruct|e5-mistral", "Instruct: {task}\nQuery: ", ""),
    (r"(^|/|-)e5-(small|base|large)", "query: ", "passage: "),
    (r"qwen3-embedding", "Instruct: {task}\nQuery:", ""),
    (r"gte-qwen.*-instruct|sfr-embedding|linq-embed", "Instruct: {task}\nQuery: ", ""),
    (r"bge-(small|base|large)-en", "Represent this sentence for searching relevant passages: ", ""),
    (r"bge-(small|base|large)-zh", "为这个句子生成表示以用于检索相关文章：", ""),
    (
        r"mxbai-embed|snowflake-arctic-embed-(xs|s|m|l)$",
        "Represent this sentence for searching relevant passages: ",
        "",
    ),
    (r"nomic-embed-text|modernbert-embed", "search_query: ", "search_document: "),
)


@dataclass(frozen=True, slots=True)
class Instructions:
    """Text put, verbatim, before each query and each document."""

    query: str = ""
    document: str = ""


def resolve_instructions(
    names: tuple[str, ...],
    saved: Mapping[str, Any],
    *,
    query: str | None = None,
    document: str | None = None,
    task: str | None = None,
) -> Instructions:
    """The instructions of a model: those configured, else those it was saved with, else those of its family.

    `names`: what the model may be known by, best first; the first that a family has counts. `saved`:
    config_sentence_transformers.json. `task`: what an instruct model is told to do. A model that
    is known to need an instruction and is configured to have none is used as configured, with a warning in the log.
    Raises `ConfigError` for a task that no instruction would hold.
    """
    name, family = next(
        ((name, (q, d)) for name in names for pattern, q, d in _FAMILIES if re.search(pattern, name.lower())),
        (names[0], ("", "")),
    )
    if task is not None and "{task}" not in family[0]:
        raise ConfigError(
            f"encoder.task: {name} is not known as a model with a task in its instruction; remove it, and write "
            "the whole instruction in encoder.query_instruction"
        )
    if task is not None and query is not None:
        raise ConfigError(
            "encoder.task: encoder.query_instruction replaces the instruction that holds it; remove one of them"
        )
    known_query, known_document = (text.replace("{task}", task or DEFAULT_TASK) for text in family)
    prompts = saved.get("prompts") or {}
    default = str(saved.get("default_prompt_name") or "")
    if task is None:
        known_query = (
            _first(prompts, "query", "web_search_query", "retrieval.query", "Retrieval-query", default)
            or known_query
        )
        known_document = (
            _first(prompts, "document", "passage", "retrieval.passage", "corpus", default) or known_document
        )
    chosen = Instructions(known_query if query is None else query, known_document if document is None else document)
    for side, known, used in (("query", known_query, chosen.query), ("document", known_document, chosen.document)):
        if known and not used:
            logger.warning(
                "%s was trained with an instruction before each %s (%r) and encoder.%s_instruction is empty: "
                "results will be worse",
                name,
                side,
                known,
                side,
            )
    return chosen


def _first(prompts: Mapping[str, Any], *names: str) -> str:
    return next((str(prompts[name]) for name in names if prompts.get(name)), "")
