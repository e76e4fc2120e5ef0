"""The frozen records that stages pass to each other. Words are those of the field (docs/index-format.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline import names
from pipeline.given import PRECOMPUTED, GivenVectors

Scalar = str | int | float | bool | None
MetadataValue = Scalar | list[Scalar]
Metadata = Mapping[str, MetadataValue]

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Document:
    """One source item. `source`: the file it came from, as the user would name it; `line`: line or row in it.

    `pages`: where in the text each page begins, if it has pages; one without text begins where the next one does.
    `lines`: the same of the lines of the file that it came from, if a reader counts them.
    `chunks`: those of a source that gives their vectors too, which are not cut again; the text is then empty.
    """

    doc_id: str
    text: str
    metadata: Metadata
    is_markdown: bool = False
    source: str = ""
    line: int | None = None
    pages: Sequence[int] = ()
    lines: Sequence[int] = ()
    chunks: tuple[Chunk, ...] = ()

    @property
    def content_hash(self) -> str:
        """Hex digest (128 bits) of all of the content, vectors that are given with it too; not of the name."""
        content = [self.text, dict(self.metadata), self.is_markdown, *([list(self.pages)] if self.pages else [])]
        content += [{"lines": list(self.lines)}] if self.lines else []
        content += [chunk.given_content for chunk in self.chunks]
        payload = json.dumps(content, ensure_ascii=False, sort_keys=True)
        return hashlib.blake2b(payload.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def in_context(context: str, text: str) -> str:
    """What is encoded of a text: its context, an empty line, the text; the text alone without a context."""
    return f"{context}\n\n{text}" if context else text


@dataclass(frozen=True, slots=True)
class Chunk:
    """A slice of a document: `document.text[start:end] == text`, offsets in code points.

    `context`: title, headings and the header of a table that are encoded before the text, and are no part of it.
    `given`: its vectors, on its way into an index, where the source gives them.
    """

    chunk_id: str
    doc_id: str
    ordinal: int
    start: int
    end: int
    text: str
    headings: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    doc_hash: str = ""
    source: str = ""
    context: str = ""
    given: GivenVectors | None = None

    @property
    def encoded_text(self) -> str:
        """What encoders and rerankers read of the chunk."""
        return in_context(self.context, self.text)

    @property
    def given_content(self) -> list[object]:
        """All that a source says of a chunk that it cut itself, for a hash."""
        vectors = self.given.digest.hex() if self.given else ""
        places = [self.ordinal, self.start, self.end]
        return [*places, self.text, self.context, list(self.headings), dict(self.metadata), vectors]


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value of a metadata field, and how many chunks have it and how many documents these belong to."""

    value: Scalar
    chunks: int
    documents: int


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of a metadata field: those of most chunks first, then by value; each element of a list counts.

    `distinct`: how many values there are, with those left out. `missing`: how many chunks have none.
    """

    field: str
    values: tuple[FacetValue, ...]
    distinct: int
    missing: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """A document that could not be indexed: the file, the line or row in it if known, and why, in one line."""

    file: str
    reason: str
    line: int | None = None

    @property
    def source(self) -> str:
        """Where it was: `file` or `file:line`."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Names and values of everything that changes an output; two equal digests mean interchangeable outputs."""

    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, **fields: object) -> Fingerprint:
        return cls(tuple(sorted((name, str(value)) for name, value in fields.items())))

    @property
    def digest(self) -> str:
        """Hex digest (64 bits) over the sorted fields."""
        return hashlib.blake2b(json.dumps(self.fields).encode(), digest_size=8).hexdigest()

    def differences(self, other: Fingerprint) -> list[str]:
        """One `field: mine → theirs` line for each field that differs; one where the kinds differ."""
        mine, theirs = dict(self.fields), dict(other.fields)
        if mine.get("kind") != theirs.get("kind"):
            return [f"kind: {_kind(mine)} → {_kind(theirs)}"]
        return [
            f"{name}: {_shown(mine.get(name))} → {_shown(theirs.get(name))}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]


def vectors_are_given(dense: Fingerprint | None) -> bool:
    """Whether this is the fingerprint of vectors that sources gave."""
    return dense is not None and ("vectors", PRECOMPUTED) in dense.fields


def _kind(fields: Mapping[str, str]) -> str:
    model = fields.get("model", "folder")
    return _shown(fields.get("kind")) + (f" ({model})" if model != "folder" else "")


def _shown(value: str | None) -> str:
    """One word as it is; quoted, on one line, what is empty or has blanks in it."""
    if value is None:
        return "(absent)"
    is_word = value != "" and value.isprintable() and not any(character.isspace() for character in value)
    return value if is_word else repr(value)


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Sparse vectors in CSR form: row i holds `token_ids[indptr[i]:indptr[i+1]]` and the matching `weights`.

    `indptr`: int64 (n + 1,). `token_ids`: uint64, ascending and unique within a row. `weights`: float32, > 0.
    """

    indptr: npt.NDArray[np.int64]
    token_ids: npt.NDArray[np.uint64]
    weights: Float32

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def row(self, i: int) -> tuple[npt.NDArray[np.uint64], Float32]:
        """Token ids and weights of row `i`."""
        part = slice(int(self.indptr[i]), int(self.indptr[i + 1]))
        return self.token_ids[part], self.weights[part]

    def rows(self, part: slice) -> SparseRows:
        """Some rows that follow each other."""
        indptr = self.indptr[part.start : part.stop + 1]
        inside = slice(int(indptr[0]), int(indptr[-1]))
        return SparseRows(indptr - indptr[0], self.token_ids[inside], self.weights[inside])

    @classmethod
    def from_dicts(cls, rows: Sequence[Mapping[int, float]]) -> SparseRows:
        """Build from one `{token_id: weight}` mapping a row."""
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=indptr[1:])
        pairs = [pair for row in rows for pair in sorted(row.items())]
        token_ids = np.fromiter((pair[0] for pair in pairs), dtype=np.uint64, count=len(pairs))
        weights = np.fromiter((pair[1] for pair in pairs), dtype=np.float32, count=len(pairs))
        return cls(indptr, token_ids, weights)

    @classmethod
    def concatenate(cls, parts: Sequence[SparseRows]) -> SparseRows:
        """Stack rows of several parts in order."""
        if not parts:
            return cls(np.zeros(1, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.float32))
        starts = np.cumsum([0, *(int(part.indptr[-1]) for part in parts)])
        indptr = [np.zeros(1, np.int64)] + [p.indptr[1:] + s for p, s in zip(parts, starts, strict=False)]
        return cls(
            np.concatenate(indptr),
            np.concatenate([part.token_ids for part in parts]),
            np.concatenate([part.weights for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class MultiVectors:
    """Token-level vectors of n texts: text i owns `vectors[offsets[i]:offsets[i+1]]`.

    `offsets`: int64 (n + 1,). `vectors`: float32 (tokens, d), rows L2-normalised.
    """

    offsets: npt.NDArray[np.int64]
    vectors: Float32

    def rows(self, part: slice) -> MultiVectors:
        """The vectors of some texts that follow each other."""
        offsets = self.offsets[part.start : part.stop + 1]
        return MultiVectors(offsets - offsets[0], self.vectors[int(offsets[0]) : int(offsets[-1])])


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoder gives for n texts; `None` means the encoder has no such output.

    `dense`: float32 (n, d), rows L2-normalised. `lexical`: n sparse rows. `multivectors`: n ragged rows.
    """

    dense: Float32 | None = None
    lexical: SparseRows | None = None
    multivectors: MultiVectors | None = None

    def split(self, counts: Sequence[int]) -> list[Encoded]:
        """The texts of several callers apart: `counts` of them each, in order."""
        if len(counts) == 1:
            return [self]
        ends = np.cumsum(counts).tolist()
        parts = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
        return [
            Encoded(
                None if self.dense is None else self.dense[part],
                None if self.lexical is None else self.lexical.rows(part),
                None if self.multivectors is None else self.multivectors.rows(part),
            )
            for part in parts
        ]


@dataclass(frozen=True, slots=True)
class LegScore:
    """A hit's score in one leg, and its 1-based rank there; rank `None`: not among that leg's candidates.

    `normalized` is the score as the fusion saw it; `contribution` = `normalized` · `weight` is its part in the
    fused score. The three are `None` unless an explanation was asked for.
    """

    score: float
    rank: int | None
    normalized: float | None = None
    weight: float | None = None
    contribution: float | None = None


@dataclass(frozen=True, slots=True)
class TokenMatch:
    """A token that query and passage share; `contribution` = `passage_weight` · `query_weight`.

    For BM25 `query_weight` is count · idf and `passage_weight` the saturated term frequency.
    """

    token: str
    query_weight: float
    passage_weight: float
    contribution: float


@dataclass(frozen=True, slots=True)
class BoostFactor:
    """A boost, and the factor by which it multiplied a hit's score; 1: it says nothing of this hit."""

    boost: str
    factor: float


@dataclass(frozen=True, slots=True)
class Highlight:
    """Where a query's words stand in a hit, in code points: the first of each word, and the one after its last.

    `spans`: in the hit's text. `text`: a part of it, white space folded; `marks`: the words in that part.
    `cut_before` and `cut_after` say whether the hit's text goes on there.
    """

    spans: tuple[tuple[int, int], ...]
    text: str
    marks: tuple[tuple[int, int], ...]
    cut_before: bool
    cut_after: bool


@dataclass(frozen=True, slots=True)
class MergedSection:
    """The section that a hit's text is, as most of its chunks were found.

    `first` and `last`: the ordinals of its chunks; `hits`: how many of them were among the best; `best`: where the
    best one stands in the hit's text, [start, end) in code points. The hit's id, ordinal and scores are the best's.
    """

    first: int
    last: int
    hits: int
    best: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A word of a query that the index does not hold, where it stands there, and near ones that it does."""

    word: str
    start: int
    end: int
    near: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """A scored chunk. `legs` maps a leg (dense, lexical, …) to its score; a leg not computed is absent.

    `matches`: the shared tokens, heaviest first; empty unless an explanation was asked for. `before` and `after`:
    the document's text around the chunk, so that before + text + after reads on; `None` unless asked for. `boosts`:
    what multiplied the sum of the legs' contributions; empty unless an explanation was asked for.
    `highlight`: where the query's words stand; `None` unless asked for. `section`: what `text`, `start` and `end`
    are of, where it was merged; `None` for a chunk.
    """

    rank: int
    score: float
    chunk_id: str
    doc_id: str
    ordinal: int
    start: int
    end: int
    text: str
    headings: tuple[str, ...]
    metadata: Metadata
    source: str
    legs: Mapping[str, LegScore]
    matches: tuple[TokenMatch, ...] = ()
    before: str | None = None
    after: str | None = None
    boosts: tuple[BoostFactor, ...] = ()
    highlight: Highlight | None = None
    section: MergedSection | None = None

    @property
    def dense(self) -> LegScore | None:
        """The dense component, or `None` if it was not computed."""
        return self.legs.get(names.DENSE)

    @property
    def lexical(self) -> LegScore | None:
        """The lexical component, or `None` if it was not computed."""
        return self.legs.get(names.LEXICAL)

    @property
    def reranker(self) -> LegScore | None:
        """The reranker's component, or `None` if it did not look at this chunk."""
        return self.legs.get(names.RERANKER) or self.legs.get(names.MULTIVECTOR)
