"""The records that templates are filled from."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.serve.page.state import PageState
from pipeline.serve.page.words import Words


@dataclass(frozen=True, slots=True)
class Option:
    """A choice of the form."""

    value: str
    label: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What an index is, in words of the interface."""

    name: str
    documents: str
    passages: str
    built: str
    is_empty: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """What all pages have: words, the search that the form shows, what the form offers. `here`: the path."""

    words: Words
    state: PageState
    title: str
    indexes: tuple[Option, ...]
    modes: tuple[Option, ...]
    facts: IndexFacts
    here: str
    other_language: str
    report: str
    home: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a snippet, which a word of the query may be."""

    text: str
    is_marked: bool


@dataclass(frozen=True, slots=True)
class Day:
    """A date for programs and for people."""

    iso: str
    shown: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a drawing, in hundredths of its width."""

    start: str
    length: str
    is_negative: bool = False


@dataclass(frozen=True, slots=True)
class LegView:
    """One leg's part in a hit's score."""

    leg: str
    name: str
    rank: str
    score: str
    weight: str
    contribution: str
    bar: Bar


@dataclass(frozen=True, slots=True)
class TokenView:
    """A word that query and hit share."""

    token: str
    contribution: str


@dataclass(frozen=True, slots=True)
class BoostView:
    """A boost, and the factor by which it multiplied the score."""

    boost: str
    factor: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a hit's score came about. `zero`: where in a bar's drawing zero is."""

    legs: tuple[LegView, ...]
    tokens: tuple[TokenView, ...]
    boosts: tuple[BoostView, ...]
    total: str
    zero: str


@dataclass(frozen=True, slots=True)
class HitView:
    """A hit. `stands`: on which pages or lines, behind the id. `is_code`: the pieces are lines as they stand."""

    rank: int
    title: str
    link: str
    doc_id: str
    stands: str
    is_code: bool
    headings: tuple[str, ...]
    pieces: tuple[Piece, ...]
    cut_before: bool
    cut_after: bool
    text: str
    before: str
    after: str
    places: tuple[str, ...]
    day: Day | None
    language: str | None
    source_link: str | None
    source_host: str
    similar_link: str
    explanation: Explanation | None


@dataclass(frozen=True, slots=True)
class ValueView:
    """A value of a facet and the search that has it as a condition too."""

    label: str
    count: str
    link: str


@dataclass(frozen=True, slots=True)
class FacetView:
    """A field's values: those that are shown, and those that unfold."""

    field: str
    shown: tuple[ValueView, ...]
    more: tuple[ValueView, ...]


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """A condition that was chosen, and the search without it."""

    label: str
    link: str


@dataclass(frozen=True, slots=True)
class TrustView:
    """How far a leg was trusted, and why."""

    leg: str
    name: str
    weight: str
    words: str
    bar: Bar


@dataclass(frozen=True, slots=True)
class Failure:
    """What stands in the way of an answer: words of the interface, and those of the error in English."""

    title: str
    detail: str
    is_filter: bool = False


@dataclass(frozen=True, slots=True)
class Results:
    """What was found. `advice`: what to do where nothing was."""

    heading: str
    hits: tuple[HitView, ...]
    facets: tuple[FacetView, ...]
    choices: tuple[ChoiceView, ...]
    clear: str
    more: str | None
    trust: tuple[TrustView, ...]
    advice: tuple[str, ...]
    similar_to: str = ""
    similar_link: str = ""


@dataclass(frozen=True, slots=True)
class PassageView:
    """A chunk on its document's page, without what the one before it has said. `prose`: as HTML that is safe."""

    ordinal: int
    text: str
    prose: str | None


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document."""

    doc_id: str
    title: str
    source: str
    source_link: str | None
    source_host: str
    day: Day | None
    language: str | None
    metadata: tuple[tuple[str, str], ...]
    passages: tuple[PassageView, ...]
    place: str
    earlier: str | None
    later: str | None
    similar: tuple[HitView, ...]
    similar_link: str


@dataclass(frozen=True, slots=True)
class BuildsView:
    """The report of a build: its own HTML, and links to others."""

    body: str
    generations: tuple[Option, ...]
    failed: str
