"""Hits and documents as people read them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.query.showing.code_lines import code_snippet, is_code
from pipeline.query.showing.document import joined_parts
from pipeline.query.showing.words import WordMatch
from pipeline.render.places import place_of
from pipeline.serve.page.explaining import explanations
from pipeline.serve.page.state import PageState
from pipeline.serve.page.text.links import day_of, host_of, language_of, source_address
from pipeline.serve.page.text.plain import is_markdown, without_signs
from pipeline.serve.page.text.prose import rendered
from pipeline.serve.page.views import Day, DocumentView, Explanation, HitView, PassageView, Piece
from pipeline.serve.page.words import Words
from pipeline.serve.schemas.indexes import DocumentAnswer
from pipeline.serve.schemas.search import HighlightAnswer, HitAnswer

DOCUMENT = "/document"
PASSAGES = 100
"""How many chunks of a long document one page shows."""
_SHORT = 240
_HEADING = re.compile(r"#{1,6} +")


def hit_views(
    hits: Sequence[HitAnswer], state: PageState, words: Words, explain: bool = False
) -> tuple[HitView, ...]:
    """The hits for the page."""
    found: Sequence[Explanation | None] = explanations(hits, words) if explain else [None] * len(hits)
    return tuple(_hit(hit, why, state, words) for hit, why in zip(hits, found, strict=True))


def document_view(
    document: DocumentAnswer, at: int, similar: tuple[HitView, ...], state: PageState, words: Words
) -> DocumentView:
    """The part of a document that the chunk `at` is in."""
    chunks, metadata = document.chunks, document.metadata
    first = min(max(at, 0), len(chunks) - 1) // PASSAGES * PASSAGES
    last = min(first + PASSAGES, len(chunks))

    def page(ordinal: int) -> str:
        return state.elsewhere(DOCUMENT, id=document.doc_id, at=str(ordinal))

    source_link = source_address(metadata, document.source)
    shown = words.passages_of.format(f"{first + 1:,}", f"{last:,}", f"{len(chunks):,}")
    return DocumentView(
        doc_id=document.doc_id,
        title=title_of(metadata.get("title"), (), document.doc_id),
        source=document.source,
        source_link=source_link,
        source_host=host_of(source_link) if source_link else "",
        day=_day(metadata, words),
        language=language_of(metadata),
        metadata=tuple((name, _value(value)) for name, value in metadata.items() if value not in (None, "", [])),
        passages=_passages(document, first, last),
        place=shown if last - first < len(chunks) else "",
        earlier=page(first - PASSAGES) if first else None,
        later=page(last) if last < len(chunks) else None,
        similar=similar,
        similar_link=_similar_link(document.doc_id, state),
    )


def _hit(hit: HitAnswer, why: Explanation | None, state: PageState, words: Words) -> HitView:
    title = title_of(hit.metadata.get("title"), hit.headings, hit.doc_id)
    by_lines = is_code(hit.text, hit.metadata)
    highlight = _code(hit) if by_lines else hit.highlight or _beginning(hit.text)
    if is_markdown(hit.source) and not by_lines:
        highlight = without_signs(without_heading(highlight, hit.headings))
    source_link = source_address(hit.metadata, hit.source)
    link = state.elsewhere(DOCUMENT, id=hit.doc_id, at=str(hit.ordinal))
    return HitView(
        rank=hit.rank,
        title=title,
        link=f"{link}#passage-{hit.ordinal}",
        doc_id=hit.doc_id,
        stands=place_of(hit.metadata, words.page, words.pages),
        is_code=by_lines,
        headings=tuple(heading for heading in hit.headings if heading != title),
        pieces=pieces(highlight),
        cut_before=highlight.cut_before,
        cut_after=highlight.cut_after,
        text=hit.text,
        before=hit.before or "",
        after=hit.after or "",
        places=tuple(
            f"{words.leg_name(name)} {words.place.format(leg.rank)}"
            for name, leg in hit.legs.items()
            if leg.rank is not None
        ),
        day=_day(hit.metadata, words),
        language=language_of(hit.metadata),
        source_link=source_link,
        source_host=host_of(source_link) if source_link else "",
        similar_link=_similar_link(hit.doc_id, state),
        explanation=why,
    )


def pieces(highlight: HighlightAnswer) -> tuple[Piece, ...]:
    """The text of a snippet, cut where marks begin and end."""
    found, place = [], 0
    for start, end in highlight.marks:
        found += [Piece(highlight.text[place:start], False), Piece(highlight.text[start:end], True)]
        place = end
    return tuple(piece for piece in (*found, Piece(highlight.text[place:], False)) if piece.text)


def without_heading(highlight: HighlightAnswer, headings: Sequence[str]) -> HighlightAnswer:
    """The snippet without the line of Markdown that its heading is, which stands above it already."""
    text = highlight.text
    sign = _HEADING.match(text)
    if highlight.cut_before or sign is None or not headings:
        return highlight
    folded = " ".join(headings[-1].split())
    end = sign.end() + len(folded)
    if (
        not folded
        or text[sign.end() : end] != folded
        or not text[end : end + 1].isspace()
        or not text[end:].strip()
    ):
        return highlight
    cut = len(text) - len(text[end:].lstrip())
    marks = [(first - cut, last - cut) for first, last in highlight.marks if first >= cut]
    return highlight.model_copy(update={"text": text[cut:], "marks": marks})


def _code(hit: HitAnswer) -> HighlightAnswer:
    """The lines of code in which the most different words of the query stand."""
    spans = hit.highlight.spans if hit.highlight else []
    known: dict[str, int] = {}
    matches = [
        WordMatch(start, end, frozenset([known.setdefault(hit.text[start:end].casefold(), len(known))]))
        for start, end in spans
    ]
    part = code_snippet(hit.text, matches)
    return HighlightAnswer(
        spans=spans, text=part.text, marks=list(part.marks), cut_before=part.cut_before, cut_after=part.cut_after
    )


def _beginning(text: str) -> HighlightAnswer:
    """The first words of a text."""
    folded = " ".join(text.split())
    if len(folded) <= _SHORT:
        return HighlightAnswer(spans=[], text=folded, marks=[], cut_before=False, cut_after=False)
    cut = folded.rfind(" ", _SHORT // 2, _SHORT)
    cut = cut if cut > 0 else _SHORT
    return HighlightAnswer(spans=[], text=folded[:cut], marks=[], cut_before=False, cut_after=True)


def _passages(document: DocumentAnswer, first: int, last: int) -> tuple[PassageView, ...]:
    """The chunks from `first` to `last`, overlaps not repeated."""
    texts = joined_parts(document.chunks)[first:last]
    prose = rendered(texts) if is_markdown(document.source) else None
    return tuple(
        PassageView(chunk.ordinal, text.strip("\n"), None if prose is None else prose[place])
        for place, (chunk, text) in enumerate(zip(document.chunks[first:last], texts, strict=True))
    )


def title_of(title: object, headings: Sequence[str], doc_id: str) -> str:
    """What to call a document: its title, else its first heading, else its id."""
    if isinstance(title, str) and title.strip():
        return title.strip()
    return next((heading for heading in headings if heading.strip()), doc_id)


def _day(metadata: dict[str, object], words: Words) -> Day | None:
    day = day_of(metadata)
    return None if day is None else Day(day.isoformat(), words.day(day.year, day.month, day.day))


def _value(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _similar_link(doc_id: str, state: PageState) -> str:
    return state.elsewhere("/", like=doc_id)
