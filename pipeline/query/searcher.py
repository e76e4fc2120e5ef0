"""An open index: a snapshot of one generation that answers queries."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Unpack

from pipeline.arguments import file_path, flag, shown, whole_number
from pipeline.config import EncoderSettings, QuerySettings, checked_settings
from pipeline.errors import QueryError
from pipeline.index import candidate, locks
from pipeline.index import manifest as manifests
from pipeline.index.manifest import Manifest
from pipeline.models.choose.encoder import load_encoder
from pipeline.models.choose.open_settings import as_recorded, goes_on
from pipeline.models.contract import Encoder
from pipeline.models.own import check_travels, is_encoder, own_encoder
from pipeline.models.shared import SharedEncoder
from pipeline.openness import Closable, Openness, while_open
from pipeline.query.compatibility import came_with, check_encoder
from pipeline.query.filter.facet_request import FACET_VALUES, FacetRequest
from pipeline.query.fusion.trust import LegTrust, trust
from pipeline.query.legs.contract import EncodedQueries, Leg
from pipeline.query.legs.registry import open_legs
from pipeline.query.ranked import Ranked
from pipeline.query.request import (
    RankEncodedOptions,
    RankOptions,
    SearchOptions,
    SearchRequest,
    SimilarOptions,
    known_legs,
    narrowing,
    query_texts,
    refuse_unknown,
)
from pipeline.query.rerank import SecondLook
from pipeline.query.showing.document import document_chunks
from pipeline.query.showing.hits import to_hits
from pipeline.query.similar import Examples, as_query, similar_request
from pipeline.query.snapshot import Snapshot
from pipeline.query.together import Ranker, combined, may_wait
from pipeline.records import Chunk, Facet, Hit

log = logging.getLogger(__name__)

_Reopening = tuple[Path, int | Literal["staged"], Encoder | EncoderSettings | None, Path, QuerySettings, bool]


class Index(Closable):
    """An open index, for any number of threads; a publish by others never disturbs it.

    A forked child may go on with it (not with a local model that has encoded before the fork: `EncoderError`).
    Pickled or copied, it is opened again, wherever that is: path, generation and settings travel. So does an
    encoder that was passed as an object: a copy shares it, a pickled index takes it along (`EncoderError` if it
    cannot be pickled), and a forked child goes on with it as it is there.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        encoder: Encoder,
        settings: QuerySettings,
        verify: bool,
        encoder_settings: EncoderSettings | None = None,
        base: Path = Path(),
        staged: bool = False,
    ) -> None:
        """Use `open_index`."""
        self.path = path
        self.manifest = manifest
        self.encoder = encoder if isinstance(encoder, SharedEncoder) else SharedEncoder(lambda: encoder)
        self.settings = settings
        self.snapshot = Snapshot(path, manifest, verify)
        self._legs = open_legs(self.snapshot)
        self._open = Openness(
            f"{path}: this index was closed; open it again with `open_index`", self.snapshot.close
        )
        self._verify = verify
        self._staged = staged
        self._base = base
        self._encoder_settings = None
        if self.encoder.own is None:
            self._encoder_settings = encoder_settings or EncoderSettings.model_validate(manifest.encoder)
        bundled = came_with(path, manifest, self._encoder_settings)
        if bundled is not None:
            locks.hold_for(self, bundled)
        self._second_look = SecondLook(self.snapshot, self.encoder, self._encoder_settings, base, bundled)
        self._ranker = Ranker(self.snapshot, self.encoder, self._second_look, self._legs)
        self._rank_together = combined(self._ranker)

    @while_open
    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Answer no more: searches that others have begun end well, later ones raise `QueryError`.

        Files are released with the object.
        """
        self._open.close()

    @while_open
    def __reduce__(self) -> tuple[Any, ...]:
        own = self.encoder.own
        if own is not None:
            check_travels(self.path, own)
        return _reopened, self._reopening(self._encoder_settings or own)

    @while_open
    def __copy__(self) -> Index:
        return _reopened(*self._reopening(self._encoder_settings or self.encoder))

    def _reopening(self, encoder: Encoder | EncoderSettings | None) -> _Reopening:
        """Return what `_reopened` needs to open this generation again."""
        generation: int | Literal["staged"] = "staged" if self._staged else self.manifest.generation
        return self.path.absolute(), generation, encoder, self._base.absolute(), self.settings, self._verify

    @while_open
    def refresh(self) -> Index:
        """This index if it is the live generation, else the live one, opened with the same encoder and settings.

        This one goes on answering as before, so that threads which use it see no mixture; close it when none does.
        Raises `IncompatibleIndexError` if the live generation was built with another encoder, `QueryError` if this
        index was closed, and what `open_index` raises.
        """
        return manifests.with_live(self.path, self._moved_to)

    def _moved_to(self, manifest: Manifest) -> Index:
        if manifest == self.manifest:
            return self
        check_encoder(self.path, manifest, self.encoder)
        return Index(
            self.path, manifest, self.encoder, self.settings, self._verify, self._encoder_settings, self._base
        )

    @property
    def legs(self) -> tuple[str, ...]:
        """The legs this index can search."""
        return tuple(self._legs)

    def leg(self, name: str) -> Leg[Any]:
        """One of the legs this index can search. Raises `QueryError`."""
        (name,) = known_legs(self.path, self.legs, (name,))
        return self._legs[name]

    def search(
        self, text: str, k: int | None = None, mode: str | None = None, **options: Unpack[SearchOptions]
    ) -> list[Hit]:
        """The best `k` chunks for one query, best first. See `search_many`."""
        (hits,) = self.search_many([text], k, mode, **options)
        return hits

    @while_open
    def search_many(
        self,
        texts: Iterable[str],
        k: int | None = None,
        mode: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[list[Hit]]:
        """The best `k` chunks for each query. What is not given comes from the settings the index was opened with.

        `mode`: `hybrid`, `dense` or `lexical`. `collapse`: only the best chunk of each document. Fewer hits come
        back when the index is smaller than `k`, or when a lexical query shares no token with more chunks.
        `explain`: say how each score came about (`LegScore.contribution`, `Hit.matches`). `where`: an SQL condition
        on the chunks' metadata that is applied before ranking, for example `lang = 'ko' and year >= 2024`.
        `fusion`: the name of a method or preset, or settings, or a mapping of them.
        `rerank`: `none`, `multivectors`, or the hub id or folder of a cross-encoder, or settings, or a mapping of
        them; the best `rerank_top` chunks are then scored again, and those after them follow in their old order
        with their old score.
        `distinct`: above 0 and up to 1; leaves out chunks that share at least this much of their text with a better
        hit. `context`: how many neighbouring chunks to show as `Hit.before` and `Hit.after`.
        Raises `QueryError` for an empty query, k < 1 or an argument that makes no sense, `EncoderError` for a
        reranker that cannot be loaded.
        """
        return self.answer(SearchRequest.for_texts(self, texts, k, mode, **options))

    @while_open
    def answer(self, request: SearchRequest) -> list[list[Hit]]:
        """The hits of each of a request's texts. See `search_many`."""
        ranked = self.rank_request(request)
        names = [self.encoder.describe_tokens(text) if request.explain else None for text in request.texts]
        return [
            to_hits(self.snapshot, one, tokens, request.context) for one, tokens in zip(ranked, names, strict=True)
        ]

    @while_open
    def similar(
        self, examples: Examples, k: int | None = None, mode: str | None = None, **options: Unpack[SimilarOptions]
    ) -> list[Hit]:
        """The best `k` chunks that are like the examples and unlike the counter-examples, none of them theirs.

        The other arguments are those of `search_many`, but that `collapse` is on unless it is `False`. Documents of
        the index are asked for by what is stored of them; only texts are encoded, as passages. Nothing is reranked.
        Raises `QueryError` for a document that the index does not have.
        """
        request = similar_request(self, examples, k, mode, **options)
        legs = [self._legs[leg] for leg in request.legs]
        asked = as_query(self.snapshot, legs, self.encoder.encode_documents, examples)
        deeper = dataclasses.replace(request, k=request.k + len(asked.chunks))
        (ranked,) = self._ranker.rank(deeper, asked.queries)
        return to_hits(self.snapshot, asked.others(ranked, request.k), None, request.context)

    @while_open
    def document(self, doc_id: str) -> list[Chunk]:
        """A document's chunks in their order; none if the index has no such document."""
        return document_chunks(self.snapshot, doc_id)

    @while_open
    def facets(
        self, fields: Iterable[str], where: str | None = None, limit: int | None = FACET_VALUES
    ) -> list[Facet]:
        """For each field, its values and how many chunks and documents have them, most chunks first.

        Counted are all live chunks, or those that satisfy `where`, whatever a query would find among them. `limit`:
        how many values of a field to list, `None`: all. Raises `QueryError`.
        """
        return self.snapshot.facets(FacetRequest.of(fields, limit), narrowing(False, where, None)[1])

    @while_open
    def trust(self, request: SearchRequest) -> list[tuple[LegTrust, ...]]:
        """How far `auto` trusts each leg for each text, and why, in words; empty for other methods."""
        if not isinstance(request, SearchRequest):
            raise QueryError(f"request={shown(request)}: give a SearchRequest")
        known_legs(self.path, self.legs, request.legs)
        legs = tuple(self._legs[leg] for leg in request.legs)
        queries = self._ranker.encode(request.texts)
        return trust(self.snapshot, legs, queries, request.fusion, self._ranker.calibration)

    @while_open
    def rank(
        self,
        texts: Iterable[str],
        k: int | None = None,
        mode: str | None = None,
        **options: Unpack[RankOptions],
    ) -> list[Ranked]:
        """Like `search_many`, but numbers instead of records: no text is read from disk."""
        refuse_unknown(options, RankOptions)
        return self.rank_request(SearchRequest.for_texts(self, texts, k, mode, **options))

    @while_open
    def encode(self, texts: Iterable[str]) -> EncodedQueries:
        """The queries' vectors and lexical weights, for `rank_encoded`."""
        return self._ranker.encode(query_texts(texts))

    @while_open
    def rank_encoded(
        self,
        queries: EncodedQueries,
        k: int | None = None,
        legs: Sequence[str] | None = None,
        **options: Unpack[RankEncodedOptions],
    ) -> list[Ranked]:
        """Rank queries that are already encoded; `legs` defaults to all the index has, `rerank` to no reranking."""
        _check_encoded(queries)
        return self._ranker.rank(SearchRequest.for_legs(self, queries.texts, k, legs, **options), queries)

    @while_open
    def rank_request(self, request: SearchRequest, queries: EncodedQueries | None = None) -> list[Ranked]:
        """Like `answer`, but numbers instead of records. `queries`: the request's texts, where they are encoded.

        Raises `QueryError` for a leg that this index has not, or if `queries` are of other texts.
        """
        if not isinstance(request, SearchRequest):
            raise QueryError(f"request={shown(request)}: give a SearchRequest")
        known_legs(self.path, self.legs, request.legs)
        if queries is None:
            if not request.texts:
                return []
            if may_wait(self._ranker, request):
                return self._rank_together(request)
            with self.snapshot.filtering(request.where):
                queries = self._ranker.encode(request.texts)
        _check_encoded(queries)
        if queries.texts != request.texts:
            raise QueryError("queries: these are not the texts of the request")
        return self._ranker.rank(request, queries)


def open_index(
    path: str | os.PathLike[str],
    *,
    generation: int | Literal["staged"] | None = None,
    encoder: Encoder | EncoderSettings | Mapping[str, Any] | None = None,
    base: str | os.PathLike[str] = Path(),
    settings: QuerySettings | Mapping[str, Any] | None = None,
    verify: bool = True,
) -> Index:
    """Open the live generation of an index, or the one given; `staged`: the one that the gate refused.

    `encoder` overrides the encoder recorded in the index (another path to the same model, say); it must have the
    recorded fingerprints. It may be an object of the application's own (`pipeline.models.contract.Encoder`), which
    is used as it is; an index that was built with one needs it here. `base` is where a relative model folder
    starts. `verify` compares every file's checksum with the manifest before it is used, unless it was compared less
    than a week ago and has not changed since. `encoder` and `settings` may be mappings as in config.yaml.
    Raises `ConfigError` for an argument that makes no sense, `IndexNotFoundError`, `CorruptIndexError`,
    `IncompatibleIndexError`, `EncoderError`.
    """
    folder, start, verify = file_path("path", path), file_path("base", base), flag("verify", verify)
    own = own_encoder(encoder) if is_encoder(encoder) else None
    other = None
    if own is None and encoder is not None:
        other = checked_settings(EncoderSettings, encoder, "encoder", besides="an encoder")
    query = QuerySettings() if settings is None else checked_settings(QuerySettings, settings, "settings")
    staged = isinstance(generation, str) and generation == "staged"

    def use(manifest: Manifest) -> Index:
        recorded = as_recorded(EncoderSettings.model_validate(manifest.encoder), manifest.fingerprints)
        chosen = recorded if other is None else as_recorded(other, manifest.fingerprints)
        if other is not None and chosen.model != other.model:
            log.warning("%s", goes_on(folder, chosen.model))
        bundled = came_with(folder, manifest, chosen)
        loaded = own or SharedEncoder(lambda: load_encoder(chosen, base=start, bundled=bundled))
        check_encoder(folder, manifest, loaded, from_index=chosen == recorded)
        return Index(folder, manifest, loaded, query, verify, chosen, start, staged)

    if generation is None:
        return manifests.with_live(folder, use)
    if staged:
        return use(candidate.load(folder))
    return use(manifests.load(folder, whole_number("generation", generation, "give a whole number, or 'staged'")))


def _reopened(
    path: Path,
    generation: int | Literal["staged"],
    encoder: Encoder | EncoderSettings | None,
    base: Path,
    settings: QuerySettings,
    verify: bool,
) -> Index:
    return open_index(path, generation=generation, encoder=encoder, base=base, settings=settings, verify=verify)


def _check_encoded(queries: object) -> None:
    if not isinstance(queries, EncodedQueries):
        raise QueryError(f"queries={shown(queries)}: give what `encode` makes of the texts")
