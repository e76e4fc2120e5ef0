"""Hits on the command line: a table for people, JSON for machines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline import names
from pipeline.query.fusion.trust import LegTrust
from pipeline.query.searcher import Index
from pipeline.query.showing.code_lines import code_snippets, is_code
from pipeline.query.showing.snippet import Snippet, snippets
from pipeline.query.showing.words import QueryWords
from pipeline.query.similar import Examples
from pipeline.records import Facet, Hit, LegScore, Suggestion
from pipeline.render.facet_tables import facet_records
from pipeline.render.places import place_of
from pipeline.wording import printable

_PASSAGE, _WIDEST, _NARROWEST = 20, 24, 8
"""Characters: the least for the passage; the most and, where it is tight, the most for a metadata field."""
_GRID = 3
"""Characters of a line and blanks that a column costs beside its content."""
_CONTEXT_CHARACTERS = 240
"""A table shows this much of the text before and after a hit."""


def hits_as_json(
    query: str,
    query_id: str | None,
    index: Index,
    mode: str,
    hits: Sequence[Hit],
    trust: Sequence[LegTrust] = (),
    facets: Sequence[Facet] = (),
    suggestions: Sequence[Suggestion] | None = None,
) -> str:
    """One query's hits as one line of JSON. `trust`: why each leg was trusted, for an explanation. `facets`: what
    was counted beside the search."""
    record: dict[str, Any] = {"query": query, "mode": mode, "generation": index.manifest.generation}
    if query_id is not None:
        record["query_id"] = query_id
    if trust:
        record["trust"] = [dataclasses.asdict(one) for one in trust]
    if facets:
        record["facets"] = facet_records(facets)
    if suggestions is not None:
        record["suggestions"] = [dataclasses.asdict(one) for one in suggestions]
    record["hits"] = [_hit_record(hit) for hit in hits]
    return json.dumps(record, ensure_ascii=False)


def similar_as_json(examples: Examples, index: Index, mode: str, hits: Sequence[Hit]) -> str:
    """The hits of a search by example as one line of JSON."""
    record: dict[str, Any] = {
        "examples": dataclasses.asdict(examples),
        "mode": mode,
        "generation": index.manifest.generation,
        "hits": [_hit_record(hit) for hit in hits],
    }
    return json.dumps(record, ensure_ascii=False)


def _hit_record(hit: Hit) -> dict[str, Any]:
    skipped = {"legs", "matches", "boosts", "highlight", "section"} | (
        {"before", "after"} if hit.before is None else set()
    )
    record = {
        field.name: getattr(hit, field.name) for field in dataclasses.fields(hit) if field.name not in skipped
    }
    record["metadata"] = dict(hit.metadata)
    for leg in dict.fromkeys((*names.LEGS, *hit.legs)):
        score = hit.legs.get(leg)
        values = {} if score is None else dataclasses.asdict(score)
        record[leg] = {name: value for name, value in values.items() if value is not None or name == "rank"} or None
    if hit.matches:
        record["matches"] = [dataclasses.asdict(match) for match in hit.matches]
    if hit.section is not None:
        record["section"] = dataclasses.asdict(hit.section)
    if hit.highlight is not None:
        record["highlight"] = dataclasses.asdict(hit.highlight)
    if hit.boosts:
        record["boosts"] = [dataclasses.asdict(boost) for boost in hit.boosts]
    return record


def hits_table(
    console: Console, query: str, index: Index, hits: Sequence[Hit], show: Sequence[str], title: str | None = None
) -> None:
    """One query's hits as a table that fits the terminal. `title`: what stands above it; by default the query."""
    if not hits:
        console.print("no hits: none of the query's words is in the index, or the filter leaves nothing")
        return
    words = QueryWords(index.encoder.describe_tokens(query) if query else {}, index.encoder.describe_queries)
    parts = _snippets(hits, words)
    cells = {leg: [_leg_cell(hit.legs.get(leg)) for hit in hits] for leg in hits[0].legs}
    fields = {name: [_plain(hit.metadata.get(name)) for hit in hits] for name in dict.fromkeys(show)}
    scores = [f"{hit.score:.4f}" for hit in hits]
    taken = 1 + sum(_GRID + width for width in (_width("", [str(hits[-1].rank)]), _width("score", scores)))
    legs, widths = fitting(
        console.width - taken - _GRID,
        {leg: _width(leg, texts) for leg, texts in cells.items()},
        {name: _width(name, texts) for name, texts in fields.items()},
    )
    table = Table(
        title=f"[bold]{escape(printable(title or query))}[/]", title_justify="left", show_lines=True, expand=True
    )
    table.add_column("#", justify="right", style="bold")
    table.add_column("score", justify="right", no_wrap=True)
    for leg in legs:
        table.add_column(leg, justify="right", no_wrap=True)
    for name, width in widths.items():
        table.add_column(escape(printable(name)), overflow="fold", width=width)
    table.add_column("passage", ratio=1, overflow="fold")
    for row, hit in enumerate(hits):
        table.add_row(
            str(hit.rank),
            scores[row],
            *(cells[leg][row] for leg in legs),
            *(fields[name][row] for name in widths),
            _passage(hit, parts[row]),
        )
    console.print(table)
    missing = [*(leg for leg in cells if leg not in legs), *(name for name in fields if name not in widths)]
    if missing:
        left_out = escape(printable(", ".join(missing)))
        console.print(f"[dim]no room for {left_out}; widen the terminal, or use --json[/]")


def trust_lines(console: Console, trust: Sequence[LegTrust]) -> None:
    """A line a leg: its weight, and why."""
    for one in trust:
        console.print(f"[green]{one.leg}[/], weight {one.weight:.2f}: {escape(one.words)}", highlight=False)


def suggestion_lines(console: Console, suggestions: Sequence[Suggestion]) -> None:
    """A line for each word that the index does not hold, with near ones that it does."""
    for one in suggestions:
        near = ", ".join(printable(word) for word in one.near)
        console.print(f"no chunk has {escape(printable(one.word))}; did you mean {escape(near)}?", highlight=False)


def fitting(room: int, legs: Mapping[str, int], fields: Mapping[str, int]) -> tuple[list[str], dict[str, int]]:
    """The legs and the fields, with their widths, that find room beside the passage. Given are the widths wanted.

    Metadata fields become narrow first. Then the legs go, the first stage's before a reranker's, whose order is
    shown; then the fields, from the last.
    """
    kept = dict(legs)
    widths = {name: min(width, _NARROWEST) for name, width in fields.items()}
    room -= _PASSAGE

    def spare() -> int:
        return room - sum(_GRID + width for width in (*kept.values(), *widths.values()))

    while spare() < 0 and (kept or widths):
        if kept:
            del kept[next(iter(kept))]
        else:
            widths.popitem()
    for name in widths:
        widths[name] += max(0, min(spare(), min(fields[name], _WIDEST) - widths[name]))
    return list(kept), widths


def _width(header: str, cells: Sequence[str]) -> int:
    """Return the width of a column's widest line."""
    texts = [header, *(Text.from_markup(cell).plain for cell in cells)]
    return max(cell_len(line) for text in texts for line in text.split("\n"))


def _leg_cell(score: LegScore | None) -> str:
    if score is None:
        return "–"
    return f"{score.score:.3f}\n[dim]{'#' + str(score.rank) if score.rank else 'beyond'}[/]"


def _plain(value: object) -> str:
    if value is None:
        return "–"
    return escape(printable(", ".join(map(str, value)) if isinstance(value, list) else str(value)))


def _snippets(hits: Sequence[Hit], words: QueryWords) -> list[Snippet]:
    """Of each hit what is shown of its text: of code some lines."""
    code = [is_code(hit.text, hit.metadata) for hit in hits]
    prose = snippets([printable(hit.text) for hit, is_code in zip(hits, code, strict=True) if not is_code], words)
    lines = code_snippets(
        [
            "\n".join(map(printable, hit.text.split("\n")))
            for hit, is_code in zip(hits, code, strict=True)
            if is_code
        ],
        words,
    )
    shown = {True: iter(lines), False: iter(prose)}
    return [next(shown[is_code]) for is_code in code]


def _passage(hit: Hit, part: Snippet) -> Text:
    text = Text(printable(hit.doc_id), style="cyan")
    text.append(place_of(hit.metadata), style="dim")
    if hit.section is not None:
        chunks = hit.section.last - hit.section.first + 1
        text.append(f", section of {chunks} chunks, {hit.section.hits} found", style="dim")
    if hit.headings:
        text.append(printable(" › " + " › ".join(hit.headings)), style="dim")
    text.append("\n")
    body = Text(("…" if part.cut_before else "") + part.text + ("…" if part.cut_after else ""), style="default")
    shift = 1 if part.cut_before else 0
    if hit.before:
        text.append(f"{_end(hit.before)} ↓\n", style="dim")
    for start, end in part.marks:
        body.stylize("bold yellow", start + shift, end + shift)
    text.append_text(body)
    if hit.after:
        text.append(f"\n↑ {_start(hit.after)}", style="dim")
    for line in _explanation(hit):
        text.append(f"\n{printable(line)}", style="green")
    return text


def _start(text: str) -> str:
    folded = " ".join(printable(text).split())
    return folded if len(folded) <= _CONTEXT_CHARACTERS else folded[:_CONTEXT_CHARACTERS] + "…"


def _end(text: str) -> str:
    folded = " ".join(printable(text).split())
    return folded if len(folded) <= _CONTEXT_CHARACTERS else "…" + folded[-_CONTEXT_CHARACTERS:]


def _explanation(hit: Hit) -> list[str]:
    lines = [
        f"{name}: {leg.normalized:.4f} (of {leg.score:.4f}) · weight {leg.weight:.3f} = {leg.contribution:.4f}"
        for name, leg in hit.legs.items()
        if leg.contribution is not None
    ]
    lines += [f"boost: {one.boost} × {one.factor:.4f}" for one in hit.boosts]
    words = [f"{m.token} {m.query_weight:.2f} · {m.passage_weight:.2f}" for m in hit.matches]
    return [*lines, f"tokens: {', '.join(words)}"] if words else lines
