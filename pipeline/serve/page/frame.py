"""What all pages have around them: the form, the indexes, the language."""

from __future__ import annotations

from datetime import datetime

from pipeline.names import HYBRID, MODES
from pipeline.query.searcher import Index
from pipeline.serve.page.state import PageState
from pipeline.serve.page.views import Frame, IndexFacts, Option
from pipeline.serve.page.words import Words
from pipeline.serve.problems import Problem
from pipeline.serve.service import Service

BUILDS = "/builds"


def frame(service: Service, state: PageState, words: Words, title: str, here: str) -> Frame:
    """The frame of a page. `here`: the address of this page, to which a change of language leads back.

    Where the address names an index that is not there, the form shows the first.
    """
    try:
        holder = service.holder(state.index)
    except Problem:
        holder = service.holder(None)
    with holder.lent() as index:
        facts = _facts(holder.name, index, words)
        modes = _modes(index, state, words)
    indexes = tuple(Option(name, name, name == holder.name) for name in service.holders)
    return Frame(
        words=words,
        state=state,
        title=title,
        indexes=indexes if len(indexes) > 1 else (),
        modes=modes,
        facts=facts,
        here=here,
        other_language=_in_language(here, words.other_code),
        report=state.elsewhere(BUILDS),
        home=state.elsewhere("/"),
    )


def _in_language(here: str, code: str) -> str:
    path, _, query = here.partition("?")
    kept = [part for part in query.split("&") if part and not part.startswith("lang=")]
    return f"{path}?{'&'.join([*kept, f'lang={code}'])}"


def _facts(name: str, index: Index, words: Words) -> IndexFacts:
    manifest = index.manifest
    built = datetime.fromisoformat(manifest.created_at)
    return IndexFacts(
        name=name,
        documents=words.count(words.documents, manifest.documents),
        passages=words.count(words.passages, manifest.chunks),
        built=words.built.format(words.day(built.year, built.month, built.day)),
        is_empty=manifest.chunks == 0,
    )


def _modes(index: Index, state: PageState, words: Words) -> tuple[Option, ...]:
    """The modes that the index has; none where there is nothing to choose."""
    offered = [mode for mode in MODES if mode == HYBRID or mode in index.legs]
    chosen = state.mode if state.mode in offered else index.settings.mode
    if len(index.legs) < 2:
        return ()
    return tuple(Option(mode, words.modes.get(mode, mode), mode == chosen) for mode in offered)
