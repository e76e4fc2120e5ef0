"""The page's searches: the same requests as those of the JSON API."""

from __future__ import annotations

from pydantic import ValidationError

from pipeline.names import HYBRID
from pipeline.serve.endpoint import Call
from pipeline.serve.page.explaining import trusts
from pipeline.serve.page.facets import LISTED, FacetFields, choice_views, condition, facet_views, wanted
from pipeline.serve.page.showing import DOCUMENT, document_view, hit_views, title_of
from pipeline.serve.page.state import STEP, PageState
from pipeline.serve.page.views import DocumentView, Results
from pipeline.serve.page.words import Words
from pipeline.serve.problems import wrong_values
from pipeline.serve.routes.indexes import show_document
from pipeline.serve.routes.search import answered
from pipeline.serve.routes.similar import similar
from pipeline.serve.schemas.base import Empty
from pipeline.serve.schemas.indexes import DocumentParameters
from pipeline.serve.schemas.search import SearchBody
from pipeline.serve.schemas.similar import SimilarParameters
from pipeline.serve.service import Service

_BESIDE = 5
"""How many similar documents stand below a document."""


def found(service: Service, fields: FacetFields, state: PageState, words: Words) -> Results:
    """What a search finds. Raises `Problem`, `QueryError`, `EncoderError`."""
    holder, limits = service.holder(state.index), service.settings.limits
    with holder.lent() as index:
        if not index.manifest.chunks:
            return Results(words.nothing, (), (), choice_views(state, words), _cleared(state), None, (), ())
        counted = wanted(fields.of(holder.name, index), state, limits.facets)
        where, k = condition(state, index), _hits_wanted(service, state)
    try:
        body = SearchBody(
            query=state.q,
            index=state.index,
            k=k,
            mode=state.mode,  # type: ignore[arg-type]
            filter=where,
            collapse=state.collapse,
            context=min(1, limits.context),
            explain=state.explain,
            highlights=True,
            suggest=True,
            facets=counted,
            facet_limit=min(LISTED, limits.facet_values) if counted else None,
            on_shard_failure="error",
        )
    except ValidationError as error:
        raise wrong_values(error) from None
    answer = answered(Call(service, {}, body, Empty()), body)
    hits = hit_views(answer.results[0].hits, state, words, state.explain)
    return Results(
        heading=words.count(words.results, len(hits)) if hits else words.nothing,
        hits=hits,
        facets=facet_views(answer.facets, state),
        choices=choice_views(state, words),
        clear=_cleared(state),
        more=_more(state, len(hits), k, limits.k),
        trust=trusts(answer.results[0].trust, words),
        advice=(
            *(words.did_you_mean.format(one.word, ", ".join(one.near)) for one in answer.results[0].suggestions),
            *(() if hits else _advice(state, answer.mode, words)),
        ),
    )


def found_similar(service: Service, state: PageState, words: Words) -> Results:
    """What is like a document. Raises as `found` does."""
    with service.holder(state.index).lent() as index:
        where, k = condition(state, index), _hits_wanted(service, state)
    parameters = {"doc_id": state.like, "index": state.index, "k": k, "mode": state.mode, "filter": where}
    try:
        asked = SimilarParameters.model_validate(parameters | {"context": min(1, service.settings.limits.context)})
    except ValidationError as error:
        raise wrong_values(error) from None
    document = show_document(Call(service, {"doc_id": state.like}, None, DocumentParameters(index=state.index)))
    answer = similar(Call(service, {}, None, asked))
    hits = hit_views(answer.hits, state, words)
    return Results(
        heading=words.count(words.similar_results, len(hits)) if hits else words.nothing,
        hits=hits,
        facets=(),
        choices=choice_views(state, words),
        clear=_cleared(state),
        more=_more(state, len(hits), k, service.settings.limits.k),
        trust=(),
        advice=(words.advice_filter,) if state.is_narrowed and not hits else (),
        similar_to=title_of(document.metadata.get("title"), (), state.like),
        similar_link=state.elsewhere(DOCUMENT, id=state.like),
    )


def opened(service: Service, doc_id: str, at: str, state: PageState, words: Words) -> DocumentView:
    """A document, and what is like it. Raises as `found` does."""
    document = show_document(Call(service, {"doc_id": doc_id}, None, DocumentParameters(index=state.index)))
    asked = SimilarParameters(doc_id=doc_id, index=state.index, k=min(_BESIDE, service.settings.limits.k))
    beside = hit_views(similar(Call(service, {}, None, asked)).hits, state, words)
    place = int(at[:9]) if at.isascii() and at.isdecimal() else 0
    return document_view(document, place, beside, state, words)


def _hits_wanted(service: Service, state: PageState) -> int:
    """How many hits to show; a link may not ask for more than the service gives."""
    return state.hits_wanted if state.hits_wanted is not None else min(STEP, service.settings.limits.k)


def _cleared(state: PageState) -> str:
    return state.address(filter="", choices=(), k="") if state.is_narrowed else ""


def _more(state: PageState, hits: int, k: int, most: int) -> str | None:
    """The first hits do not depend on how many are asked for: more of them is the same search, longer."""
    further = min(k + STEP, most)
    return f"{state.address(k=str(further))}#hit-{hits + 1}" if hits == k < further else None


def _advice(state: PageState, mode: str, words: Words) -> tuple[str, ...]:
    found = [words.advice_filter] if state.is_narrowed else []
    found += [words.advice_mode] if mode != HYBRID else []
    return (*found, words.advice_words)
