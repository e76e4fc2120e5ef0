"""The text that a hit shows: its chunk, or the section that was merged, and what stands around it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.names import LINES, PAGES
from pipeline.query.ranked import Section
from pipeline.query.showing.context import surroundings
from pipeline.query.showing.document import joined_text
from pipeline.query.snapshot import Snapshot
from pipeline.records import Chunk, MergedSection, Metadata


@dataclass(frozen=True, slots=True)
class Passage:
    """`start` and `end`: in the document. `before` and `after`: `None` unless asked for. `metadata`: that of the
    chunk; of a section, the pages and lines are those of all of it."""

    start: int
    end: int
    text: str
    before: str | None
    after: str | None
    section: MergedSection | None
    metadata: Metadata


def whole_passage(snapshot: Snapshot, number: int, chunk: Chunk, section: Section | None, context: int) -> Passage:
    """The passage of chunk `number`. `context`: how many chunks around it to add."""
    numbers = (number,) if section is None else section.chunks
    chunks = [chunk] if section is None else [snapshot.chunk(one) for one in numbers]
    before = after = None
    if context:
        before, after = surroundings(snapshot, number, chunk, context)
    if section is None:
        return Passage(chunk.start, chunk.end, chunk.text, before, after, None, chunk.metadata)
    if context:
        before, _ = surroundings(snapshot, numbers[0], chunks[0], context)
        _, after = surroundings(snapshot, numbers[-1], chunks[-1], context)
    until = joined_text(chunks[: numbers.index(number) + 1])
    best = (max(len(until) - len(chunk.text), 0), len(until))
    merged = MergedSection(chunks[0].ordinal, chunks[-1].ordinal, section.hits, best)
    end = max(one.end for one in chunks)
    metadata = _spanning(chunk.metadata, chunks[0].metadata, chunks[-1].metadata)
    return Passage(chunks[0].start, end, joined_text(chunks), before, after, merged, metadata)


def _spanning(best: Metadata, first: Metadata, last: Metadata) -> Metadata:
    """The metadata of the best chunk, but from where the first begins to where the last ends."""
    spans = [names for names in (PAGES, LINES) if all(name in best for name in names)]
    ends = {begin: first.get(begin) for begin, _ in spans} | {end: last.get(end) for _, end in spans}
    return {**best, **ends} if ends else best
