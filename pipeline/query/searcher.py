"""An open index: a snapshot of one generation that answers queries."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np

from pipeline.config import EncoderSettings, FusionSettings, QuerySettings
from pipeline.errors import CorruptIndexError, IndexNotFoundError, QueryError
from pipeline.index import candidate
from pipeline.index import manifest as manifests
from pipeline.index.lexical import SparseQuery
from pipeline.index.manifest import Manifest
from pipeline.index.segment import Mask
from pipeline.models.contract import Encoder
from pipeline.models.registry import load_encoder
from pipeline.query.calibration import Calibration
from pipeline.query.choice import choose_fusion
from pipeline.query.fusion import Fused, LegColumn, fuse
from pipeline.query.hits import Ranked, to_hits
from pipeline.query.pseudo_queries import dominant_script
from pipeline.query.snapshot import Ids, Ranking, Snapshot
from pipeline.records import Float32, Hit, SparseRows

MODES = ("hybrid", "dense", "lexical")


@dataclass(frozen=True, slots=True)
class EncodedQueries:
    """Queries ready to be ranked. `dense`: float32 (n, d); `lexical`: n sparse rows; `scripts`: of each text."""

    dense: Float32 | None
    lexical: SparseRows | None
    scripts: tuple[str, ...]


class Index:
    """An open index. Safe for concurrent reading from several threads; a publish by others never disturbs it."""

    def __init__(
        self, path: Path, manifest: Manifest, encoder: Encoder, settings: QuerySettings, verify: bool
    ) -> None:
        """Use `open_index`."""
        self.path = path
        self.manifest = manifest
        self.encoder = encoder
        self.settings = settings
        self.snapshot = Snapshot(path, manifest, verify)
        self._encoding = threading.Lock()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the search threads. Files are released with the object."""
        self.snapshot.close()

    @property
    def legs(self) -> tuple[str, ...]:
        """The legs this index can search."""
        return tuple(leg for leg in ("dense", "lexical") if self.manifest.fingerprint(leg) is not None)

    def search(
        self,
        text: str,
        k: int | None = None,
        mode: str | None = None,
        *,
        fusion: FusionSettings | None = None,
        collapse: bool = False,
        explain: bool = False,
        where: str | None = None,
    ) -> list[Hit]:
        """The best `k` chunks for one query, best first. See `search_many`."""
        (hits,) = self.search_many([text], k, mode, fusion=fusion, collapse=collapse, explain=explain, where=where)
        return hits

    def search_many(
        self,
        texts: Sequence[str],
        k: int | None = None,
        mode: str | None = None,
        *,
        fusion: FusionSettings | None = None,
        collapse: bool = False,
        explain: bool = False,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """The best `k` chunks for each query. What is not given comes from the settings the index was opened with.

        `mode`: `hybrid`, `dense` or `lexical`. `collapse`: only the best chunk of each document. Fewer hits come
        back when the index is smaller than `k`, or when a lexical query shares no token with more chunks.
        `explain`: say how each score came about (`LegScore.contribution`, `Hit.matches`). `where`: an SQL condition
        on the chunks' metadata that is applied before ranking, for example `lang = 'ko' and year >= 2024`.
        Raises `QueryError` for an empty query, k < 1 or an unknown mode.
        """
        ranked = self.rank(texts, k, mode, fusion=fusion, collapse=collapse, where=where)
        names = [self.encoder.describe_tokens(text) if explain else None for text in texts]
        return [to_hits(self.snapshot, one, tokens) for one, tokens in zip(ranked, names, strict=True)]

    def rank(
        self,
        texts: Sequence[str],
        k: int | None = None,
        mode: str | None = None,
        *,
        fusion: FusionSettings | None = None,
        collapse: bool = False,
        where: str | None = None,
    ) -> list[Ranked]:
        """Like `search_many`, but numbers instead of records: no text is read from disk."""
        wanted = self._check(texts, self.settings.k if k is None else k, mode or self.settings.mode)
        if not texts:
            return []
        return self.rank_encoded(self.encode(texts), k, wanted, fusion=fusion, collapse=collapse, where=where)

    def encode(self, texts: Sequence[str]) -> EncodedQueries:
        """The queries' vectors and lexical weights, for `rank_encoded`."""
        with self._encoding:
            encoded = self.encoder.encode_queries(texts)
        return EncodedQueries(encoded.dense, encoded.lexical, tuple(dominant_script(text) for text in texts))

    def rank_encoded(
        self,
        queries: EncodedQueries,
        k: int | None = None,
        legs: Sequence[str] | None = None,
        *,
        fusion: FusionSettings | None = None,
        collapse: bool = False,
        where: str | None = None,
    ) -> list[Ranked]:
        """Rank queries that are already encoded; `legs` defaults to all the index has."""
        k = self.settings.k if k is None else k
        legs = legs or self.legs
        depth = max(self.settings.depth, k)
        kept = self.snapshot.kept_by(where) if where is not None else None
        while True:
            results = self._rank(queries, k, legs, depth, fusion or self.settings.fusion, collapse, kept)
            enough = all(len(ranked.order) >= k for ranked in results)
            if not collapse or enough or depth >= self.manifest.chunks:
                return results
            depth *= 4

    def _rank(
        self,
        queries: EncodedQueries,
        k: int,
        legs: Sequence[str],
        depth: int,
        fusion: FusionSettings,
        collapse: bool,
        kept: Sequence[Mask] | None,
    ) -> list[Ranked]:
        method, weights = choose_fusion(fusion, self.manifest, legs)
        rankings: dict[str, list[Ranking]] = {}
        sparse: list[SparseQuery] = []
        if "dense" in legs and queries.dense is not None:
            rankings["dense"] = self.snapshot.dense(queries.dense, depth, kept)
        if "lexical" in legs and queries.lexical is not None:
            sparse = [self.snapshot.weigh(*queries.lexical.row(i)) for i in range(len(queries.lexical))]
            rankings["lexical"] = [self.snapshot.lexical(query, depth, kept) for query in sparse]
        results = []
        for i, script in enumerate(queries.scripts):
            ids, columns, best_ranks = self._columns(
                {leg: ranking[i] for leg, ranking in rankings.items()},
                queries.dense[i] if queries.dense is not None else None,
                sparse[i] if sparse else None,
                bounded=method in ("auto", "theoretical"),
            )
            fused = None
            if len(columns) > 1:
                known = self._calibration
                fused = fuse(method, columns, weights, fusion.rrf_k, calibration=known, script=script)
            results.append(self._order(ids, columns, best_ranks, fused, sparse[i] if sparse else None, k, collapse))
        return results

    @cached_property
    def _calibration(self) -> Calibration | None:
        return Calibration.from_json(self.manifest.statistics.get("calibration"))

    def _check(self, texts: Sequence[str], k: int, mode: str) -> tuple[str, ...]:
        if k < 1:
            raise QueryError(f"k={k}: ask for at least one hit")
        if mode not in MODES:
            raise QueryError(f"unknown mode {mode!r}; known: {', '.join(MODES)}")
        for number, text in enumerate(texts, 1):
            if not text.strip():
                raise QueryError("the query is empty" if len(texts) == 1 else f"query {number} is empty")
        wanted = self.legs if mode == "hybrid" else (mode,)
        if missing := set(wanted) - set(self.legs):
            raise QueryError(f"{self.path}: this index has no {missing.pop()} leg; it has: {', '.join(self.legs)}")
        return wanted

    def _columns(
        self,
        rankings: Mapping[str, Ranking],
        dense: Float32 | None,
        lexical: SparseQuery | None,
        bounded: bool,
    ) -> tuple[Ids, list[LegColumn], Ids]:
        """The union of the legs' candidates, every leg's exact scores, and each candidate's best rank in a leg."""
        union = np.unique(np.concatenate([ranking.ids for ranking in rankings.values()]))
        depth = self.settings.depth
        columns = []
        best_ranks = np.full(len(union), np.iinfo(np.int64).max)
        for leg, ranking in rankings.items():
            if leg == "dense" and dense is not None:
                scores = self.snapshot.dense_scores(dense, union)
            elif lexical is not None:
                scores = self.snapshot.lexical_scores(lexical, union)
            places = np.searchsorted(union, ranking.ids)
            best_ranks[places] = np.minimum(best_ranks[places], np.arange(1, len(places) + 1))
            ranks = np.zeros(len(union), np.int64)
            ranks[places[:depth]] = np.arange(1, len(places[:depth]) + 1)
            best = ranking.scores[:depth].astype(np.float64)
            matches_fewer = leg == "lexical" and len(best) < depth
            floor = 0.0 if matches_fewer or not len(best) else float(best[-1])
            bound = self.snapshot.lexical_bound(lexical) if bounded and leg == "lexical" and lexical else 0.0
            columns.append(LegColumn(leg, scores, ranks, float(best[0]) if len(best) else 0.0, floor, bound))
        return union, columns, best_ranks

    def _order(
        self,
        ids: Ids,
        columns: Sequence[LegColumn],
        best_ranks: Ids,
        fused: Fused | None,
        query: SparseQuery | None,
        k: int,
        collapse: bool,
    ) -> Ranked:
        scores = columns[0].scores if fused is None else fused.scores
        # Fusion ranks the legs' best `depth`. More hits than that follow by their better rank in some leg, so that
        # asking for more never changes the first.
        tail = best_ranks > self.settings.depth
        order = self.snapshot.order(ids, [tail, np.where(tail & (len(columns) > 1), 0.0, -scores), best_ranks])
        if collapse:
            seen: set[str] = set()
            kept = []
            for position in order:
                doc_id = self.snapshot.doc_id(int(ids[position]))
                if doc_id not in seen:
                    seen.add(doc_id)
                    kept.append(position)
            order = np.array(kept, np.int64)
        return Ranked(ids, order[:k], scores, tuple(columns), fused, query)


def open_index(
    path: str | Path,
    *,
    generation: int | Literal["staged"] | None = None,
    encoder: EncoderSettings | None = None,
    base: Path = Path(),
    settings: QuerySettings | None = None,
    verify: bool = True,
) -> Index:
    """Open the live generation of an index, or the one given; `staged`: the one that the gate refused.

    `encoder` overrides the encoder recorded in the index (another path to the same model, say); it must have the
    recorded fingerprints. `base` is where a relative model folder starts. `verify` compares every file's checksum
    with the manifest before it is used.
    Raises `IndexNotFoundError`, `CorruptIndexError`, `IncompatibleIndexError`, `EncoderError`.
    """
    folder = Path(path)
    chosen = settings or QuerySettings()
    if generation == "staged":
        return _open(folder, candidate.load(folder), encoder, base, chosen, verify)
    while True:
        number = generation or manifests.latest_generation(folder)
        try:
            return _open(folder, manifests.load(folder, number), encoder, base, chosen, verify)
        except (CorruptIndexError, IndexNotFoundError):
            if generation is not None or manifests.latest_generation(folder) == number:
                raise  # else a writer published and collected this generation just now


def _open(
    folder: Path,
    manifest: Manifest,
    encoder: EncoderSettings | None,
    base: Path,
    settings: QuerySettings,
    verify: bool,
) -> Index:
    loaded = load_encoder(encoder or EncoderSettings.model_validate(manifest.encoder), base=base)
    legs = {"dense": loaded.dense_fingerprint, "lexical": loaded.lexical_fingerprint}
    manifests.check_fingerprints(folder, manifest, legs)
    return Index(folder, manifest, loaded, settings, verify)
