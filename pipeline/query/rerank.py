"""Reranking: the first stage's best chunks are scored by a closer look, and ordered anew.

How the scores come together is a pure function of arrays. Only the best `top` of the first stage are looked at,
however many hits are asked for, so that the first hits do not depend on k; the others follow in their old order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline import names
from pipeline.arguments import shown, whole_number
from pipeline.config import EncoderSettings, FusionSettings, RerankSettings, checked_settings
from pipeline.config.search import RERANKER_WORDS
from pipeline.errors import EncoderError, NoMultivectorsError, QueryError
from pipeline.forking import Lock, PerProcess
from pipeline.index.manifest import Manifest
from pipeline.index.multivector.search import late_interaction
from pipeline.query.boosting.factors import boosted
from pipeline.query.fusion.methods import Float64, LegColumn, fuse
from pipeline.query.fusion.resolve import choose_fusion
from pipeline.query.legs.multivectors import are_stored
from pipeline.query.ranked import Ranked, Reranked
from pipeline.query.snapshot import Ids, Snapshot
from pipeline.records import Float32, MultiVectors

if TYPE_CHECKING:
    from pipeline.models.contract import Encoder, Reranker

NONE, MULTIVECTORS = RERANKER_WORDS
LEGS = {MULTIVECTORS: names.MULTIVECTOR}
"""Name of the leg that a reranker adds to a hit; `reranker` for every cross-encoder."""


def leg_name(model: str) -> str:
    """The leg that reranking by this model adds."""
    return LEGS.get(model, names.RERANKER)


def choose_reranker(settings: RerankSettings, rerank: object, top: object) -> RerankSettings:
    """What a search asks for, on top of the configured settings: settings, a mapping of them that names a model, a
    model's name, or `None`: as configured. Raises `QueryError` for anything else, and for top < 1.

    A name keeps what is configured for that model; for another model only `top`, `blend`, device and precision.
    """
    if isinstance(rerank, Mapping) and "model" not in rerank:
        raise QueryError(f"rerank={shown(rerank)}: name a model too, such as 'model': 'multivectors'")
    if isinstance(rerank, str):
        if not rerank.strip():
            told = "the reranker's name is empty; give none, multivectors, or a cross-encoder"
            raise QueryError(told, fields=("rerank",))
        if rerank != settings.model:
            kept = settings.model_dump(include={"top", "blend", "device", "precision"})
            settings = checked_settings(RerankSettings, {**kept, "model": rerank}, "rerank", QueryError)
    elif rerank is not None:
        settings = checked_settings(RerankSettings, rerank, "rerank", QueryError, "the name of a reranker")
    if top is None:
        return settings
    at_least_one = "rerank at least one chunk, or nothing with rerank=none"
    count = whole_number("rerank_top", top, at_least_one, QueryError)
    if count < 1:
        raise QueryError(f"rerank_top={shown(count)}: {at_least_one}")
    return settings.model_copy(update={"top": count})


def joint_weights(
    settings: RerankSettings, fusion: FusionSettings, manifest: Manifest, legs: tuple[str, ...]
) -> Mapping[str, float] | None:
    """The weights under which multi-vectors join a fusion of raw scores as its third leg, as in BGE-M3's paper.

    `None` where they don't: for cross-encoders, other fusions, a single leg, and where `blend` is set.
    """
    if settings.model != MULTIVECTORS or settings.blend is not None or len(legs) < 2:
        return None
    method, weights = choose_fusion(fusion, manifest, (*legs, LEGS[MULTIVECTORS]))
    return weights if method == "weighted" else None


def combine(
    ranked: Ranked,
    positions: Ids,
    scores: Float64,
    leg: str,
    *,
    weights: Mapping[str, float] | None,
    blend: float,
) -> Reranked:
    """Scores of the candidates at `positions`, whose reranker's scores are `scores`, in the same order.

    `weights`: raw scores of all legs and the reranker, weighted (`joint_weights`). Else the reranker's score alone;
    or, for `blend` above zero, `blend` · first stage + (1 - blend) · reranker, each divided by its own standard
    deviation over these candidates.
    """
    ranks = np.empty(len(scores), np.int64)
    ranks[np.lexsort((ranked.ids[positions], -scores))] = np.arange(1, len(scores) + 1)
    places = {int(position): column for column, position in enumerate(positions)}
    if weights is not None:
        columns = [dataclasses.replace(c, scores=c.scores[positions], ranks=ranks) for c in ranked.columns]
        fused = fuse("weighted", [*columns, LegColumn(leg, scores, ranks, 0.0, 0.0)], weights)
        return Reranked(leg, places, scores, ranks, fused.normalized, fused.contributions, fused.weights)
    if ranked.fused is None:
        first, first_weights = ranked.columns[0].scores[None, positions], np.ones(1)
    else:
        first, first_weights = ranked.fused.normalized[:, positions], np.array(ranked.fused.weights)
    before, after = 0.0, 1.0
    if blend > 0:
        before = blend / _spread(first_weights @ first)
        after = (1 - blend) / _spread(scores)
    chosen = np.append(first_weights * before, after)
    normalized = np.vstack([first, scores])
    return Reranked(leg, places, scores, ranks, normalized, normalized * chosen[:, None], tuple(chosen.tolist()))


def _spread(values: Float64) -> float:
    deviation = float(values.std()) if len(values) else 0.0
    return deviation if deviation > 1e-12 * float(np.abs(values).max(initial=0)) else 1.0


def reorder(snapshot: Snapshot, ranked: Ranked, reranked: Reranked) -> Ranked:
    """The candidates with the reranked ones first, by their new score, boosted as the old one was, ties by chunk
    id."""
    positions = np.fromiter(reranked.columns, np.int64, len(reranked.columns))
    totals = reranked.contributions.sum(axis=0)
    if ranked.boosts is not None:
        totals = boosted(totals, ranked.boosts.product[positions])
    scores = ranked.scores.astype(np.float64)
    scores[positions] = totals
    first = positions[snapshot.order(ranked.ids[positions], [-totals])]
    order = np.concatenate([first, ranked.order[len(first) :]])
    return dataclasses.replace(ranked, order=order, scores=scores, reranked=reranked)


class SecondLook:
    """The rerankers of an open index, loaded when they are first used, and kept. Safe for several threads."""

    def __init__(
        self,
        snapshot: Snapshot,
        encoder: Encoder,
        settings: EncoderSettings | None,
        base: Path,
        bundled: Path | None = None,
    ) -> None:
        """`settings`: the encoder's, `None` if an application passed it as an object. `bundled`: as for
        `load_encoder`."""
        self._snapshot, self._base = snapshot, base
        self._rerankers: PerProcess[dict[str, Reranker]] = PerProcess(dict)
        self._multivector_encoder = PerProcess(lambda: _with_multivectors(encoder, settings, base, bundled))
        self._lock = Lock()

    def scores(self, settings: RerankSettings, text: str, vectors: Float32 | None, ids: Ids) -> Float64:
        """The reranker's score of each chunk. `vectors`: the query's multi-vectors, if they are known already.

        Raises `EncoderError` if the reranker cannot be loaded or asked.
        """
        with self._lock:
            if settings.model == MULTIVECTORS:
                return self._late_interaction(text, vectors, ids).astype(np.float64)
            return self._cross_encoder(settings).score(text, self._snapshot.encoded_texts(ids)).astype(np.float64)

    def scores_of_texts(self, settings: RerankSettings, text: str, passages: Sequence[str]) -> Float64:
        """The reranker's score of passages that need not be in the index. Raises `EncoderError`."""
        with self._lock:
            if settings.model == MULTIVECTORS:
                encoder = self._multivector_encoder.get()
                query = _known(encoder.encode_queries([text]).multivectors).vectors
                found = late_interaction(query, _known(encoder.encode_documents(passages).multivectors))
                return found.astype(np.float64)
            return self._cross_encoder(settings).score(text, passages).astype(np.float64)

    def _cross_encoder(self, settings: RerankSettings) -> Reranker:
        from pipeline.models.choose.reranker import load_reranker

        key = settings.model_copy(update={"top": 1, "blend": None}).model_dump_json()
        loaded = self._rerankers.get()
        if key not in loaded:
            loaded[key] = load_reranker(settings, self._base)
        return loaded[key]

    def _late_interaction(self, text: str, vectors: Float32 | None, ids: Ids) -> Float32:
        if vectors is None:
            vectors = _known(self._multivector_encoder.get().encode_queries([text]).multivectors).vectors
        if are_stored(self._snapshot):
            return self._snapshot.late_interaction(vectors, ids)
        passages = self._multivector_encoder.get().encode_documents(self._snapshot.encoded_texts(ids)).multivectors
        return late_interaction(vectors, _known(passages))


def _with_multivectors(
    encoder: Encoder, settings: EncoderSettings | None, base: Path, bundled: Path | None
) -> Encoder:
    """The encoder itself, or one of the same model that gives multi-vectors. Raises `EncoderError`."""
    if encoder.gives_multivectors:
        return encoder
    from pipeline.models.choose.encoder import load_encoder

    try:
        if settings is not None and settings.endpoint is None:
            wanted = settings.model_copy(update={"multivectors": True, "lexical": "bm25"})
            return load_encoder(wanted, base=base, bundled=bundled)
    except EncoderError as error:
        if "multivectors" not in str(error):
            raise
    name = "passed as an object" if settings is None else settings.model
    raise NoMultivectorsError(
        f"query.rerank.model=multivectors: the encoder of this index ({name}) gives none; "
        "rerank with a cross-encoder such as BAAI/bge-reranker-v2-m3, or index with BAAI/bge-m3"
    ) from None


def _known(found: MultiVectors | None) -> MultiVectors:
    if found is None:
        raise EncoderError("query.rerank.model=multivectors: the encoder gave no multi-vectors")
    return found
