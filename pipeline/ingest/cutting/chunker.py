"""Documents → chunks: as full as they may be, cut at the best place in reach, with exact offsets.

A text is tokenised once; where its tokens begin gives the size of any stretch of it, so planning is linear in time.
Each planned chunk is then counted by the tokenizer with its context, since a cut may change the tokens around it,
and cut again if it came out too long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from pipeline.config import ChunkingSettings
from pipeline.ingest.cutting.boundaries import Cuts, cuts_of, encodable
from pipeline.ingest.cutting.context import ContextWriter, DocumentContext, title_of
from pipeline.ingest.cutting.contract import chunks_of
from pipeline.ingest.cutting.markdown import HeadingPath, Outline, outline
from pipeline.ingest.cutting.plan import Ints, Plan, Span, content_start
from pipeline.ingest.cutting.tables import Tables
from pipeline.records import Chunk, Document, Fingerprint, in_context

CHUNKER_VERSION = 1
"""Part of the fingerprint: raise it with every change that moves a cut."""

TABLES_VERSION = 1
"""The same for how tables are cut and what is said of them, where that is done at all."""

TOKEN_CHARS = 64
"""A stretch of this many characters counts as a token at least: a megabyte of base64 may be one unknown token."""

EDGE_TOKENS = 16
_IS_SPACE = np.array([chr(point).isspace() for point in range(0x3002)])
"""By code point; none beyond is white space."""
BLOCK_CHARS = 16_384
BLOCKS_AT_ONCE = 64

PROBE = "The 3.5 naïve cafés—검색 엔진이다。検索エンジン 检索 ÅÅ ﬁ 👩‍👩‍👧 don't\n\tUN-2024/xyz_1 สวัสดี"


class Chunker:
    """Cuts documents into chunks of at most `max_tokens` of `tokenizer`, context included, special tokens not.

    A single grapheme of more tokens than that is kept whole. `tokenizer`: a `tokenizers.Tokenizer`, which is left
    as it is, or what encodes as one does and tells its `contents_digest`, and may tell `starts` of a text alone.
    """

    def __init__(self, settings: ChunkingSettings, tokenizer: Tokenizer) -> None:
        self.settings = settings
        self._max = settings.max_tokens
        self._overlap = settings.overlap_tokens
        if tokenizer.truncation is not None or tokenizer.padding is not None:
            tokenizer = Tokenizer.from_str(tokenizer.to_str())
            tokenizer.no_truncation()
            tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._contexts = ContextWriter(settings.context_template, tokenizer, settings.max_tokens)
        self._fingerprint = Fingerprint.of(
            version=CHUNKER_VERSION,
            max_tokens=self._max,
            overlap_tokens=self._overlap,
            tokenizer=_tokenizer_digest(tokenizer),
            **({"context": settings.context} if settings.context_template else {}),
            **({"table_headers": TABLES_VERSION} if settings.table_headers else {}),
        )
        self._table_headers = settings.table_headers

    @property
    def fingerprint(self) -> Fingerprint:
        """Fingerprint of all that decides where chunks begin and end, and what is encoded with them."""
        return self._fingerprint

    def chunk(self, document: Document) -> Iterator[Chunk]:
        """The chunks in order, white space at their ends left out; none for a document without any text."""
        shape = outline(document.text) if document.is_markdown else None
        context = self._context(document.text, shape, title_of(document.metadata))
        return chunks_of(document, self._spans(shape, context, trim=True), context.headings_at, context.at)

    def spans(self, text: str, is_markdown: bool = False, trim: bool = True) -> list[Span]:
        """(start, end) of each chunk of `text`. Not trimmed and without overlap, they join to the whole text."""
        shape = outline(text) if is_markdown else None
        return self._spans(shape, self._context(text, shape), trim)

    def _context(self, text: str, shape: Outline | None, title: str = "") -> DocumentContext:
        path = HeadingPath(text, shape.headings if shape else [])
        lines = shape.tables if shape and self._table_headers else []
        tables = Tables(text, lines, self._contexts.sizes, self._contexts.most_of_table)
        return DocumentContext(self._contexts, text, title, path, tables)

    def _spans(self, shape: Outline | None, context: DocumentContext, trim: bool) -> list[Span]:
        text = context.text
        if not text.strip():
            return []
        starts = self._token_starts(text)
        if not context.tokens(content_start(text, 0)) and len(starts) <= self._max:
            spans = [(0, len(text))]
        else:
            room = context.room(self._max)

            def fits(start: int, end: int) -> bool:
                low, high = np.searchsorted(starts, (start, end))
                return bool(high - low <= room(start))

            cuts = cuts_of(text, shape, fits, context.tables.overlay)
            plan = Plan(text, starts, cuts, room, self._overlap, context.tables.holds)
            spans = self._verified(starts, cuts, context, plan.spans())
        return [_trimmed(text, span) for span in spans] if trim else spans

    def _verified(self, starts: Ints, cuts: Cuts, context: DocumentContext, spans: list[Span]) -> list[Span]:
        """`spans`, those that are too long when tokenised with their context cut again.

        Between white space a stretch keeps its tokens but for its first and last word, so only others and those
        that are nearly full are counted.
        """
        text = context.text
        low, high = np.searchsorted(starts, np.array(spans)).T
        taken = np.array([context.tokens(content_start(text, start)) for start, _ in spans])
        roomy = (high - low + EDGE_TOKENS <= self._max - taken).tolist()
        doubtful = [i for i, span in enumerate(spans) if not (roomy[i] and _between_space(text, span))]
        counts = dict(zip(doubtful, self._count(context, [spans[i] for i in doubtful]), strict=True))
        done: list[Span] = []
        again = False
        for i, (start, end) in enumerate(spans):
            if again or (done and start <= done[-1][0]):  # no overlap with a chunk that was cut again
                start = spans[i - 1][1]
                counts[i] = self._count(context, [(start, end)])[0]
            again = counts.get(i, 0) > self._max
            if again:
                done += self._cut_again(cuts, context, (max(start, done[-1][1] if done else 0), end))
            else:
                done.append((start, end))
        return done

    def _cut_again(self, cuts: Cuts, context: DocumentContext, span: Span) -> list[Span]:
        begin, end = span
        part = context.text[begin:end]
        starts = self._token_starts(part)
        within_table = context.tables.holds(content_start(context.text, begin))
        places = cuts.within(begin, end) if within_table else cuts_of(part, None)
        room = self._max
        while room > 0:
            plan = Plan(part, starts, places, context.room(room, begin))
            pieces = [(begin + low, begin + high) for low, high in plan.spans()]
            if max(self._count(context, pieces)) <= self._max:
                break
            room = room * 3 // 4
        return pieces

    def _count(self, context: DocumentContext, spans: Sequence[Span]) -> list[int]:
        """Tokens of each stretch with its context, without the white space at its ends."""
        text, counts = context.text, list[int]()
        for low in range(0, len(spans), 256):
            trimmed = [_trimmed(text, span) for span in spans[low : low + 256]]
            batch = [encodable(in_context(context.at(start), text[start:end])) for start, end in trimmed]
            counts += map(len, self._tokenizer.encode_batch_fast(batch, add_special_tokens=False))
        return counts

    def _token_starts(self, text: str) -> Ints:
        """Where the tokens of `text` begin, ascending; a long stretch without any is given some (`TOKEN_CHARS`)."""
        text = encodable(text)
        edges = _block_edges(text)
        starts: list[Ints] = []
        for low in range(0, len(edges) - 1, BLOCKS_AT_ONCE):
            pairs = list(pairwise(edges[low : low + BLOCKS_AT_ONCE + 1]))
            found = self._starts_of([text[begin:end] for begin, end in pairs])
            starts += [begin + of_block for (begin, _), of_block in zip(pairs, found, strict=True)]
        return _fill_gaps(np.maximum.accumulate(_behind_space(text, np.concatenate(starts))), len(text))

    def _starts_of(self, blocks: list[str]) -> list[Ints]:
        """Where the tokens of each block begin."""
        if (starts := getattr(self._tokenizer, "starts", None)) is not None:
            return list(map(starts, blocks))
        encodings: list[Any] = self._tokenizer.encode_batch(blocks, add_special_tokens=False)
        return [np.array([start for start, _ in encoding.offsets], np.int64) for encoding in encodings]


def _block_edges(text: str) -> list[int]:
    """Offsets that part `text` into blocks of bounded size, at white space where there is some."""
    edges = [0]
    while len(text) - edges[-1] > BLOCK_CHARS:
        edge = edges[-1] + BLOCK_CHARS
        space = max(text.rfind("\n", edge - 2048, edge), text.rfind(" ", edge - 2048, edge))
        edges.append(space if space > edges[-1] else edge)
    return [*edges, len(text)]


def _behind_space(text: str, starts: Ints) -> Ints:
    """A token that carries the space before its word begins with the word."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    is_space = _IS_SPACE[np.minimum(points[np.minimum(starts, len(text) - 1)], len(_IS_SPACE) - 1)]
    moved: Ints = starts + (is_space & (starts + 1 < len(text)))
    return moved


def _fill_gaps(starts: Ints, length: int) -> Ints:
    ends = np.append(starts[1:], length)
    gaps = ends - starts
    if not len(starts) or starts[0] >= TOKEN_CHARS:
        head = np.arange(0, starts[0] if len(starts) else length, TOKEN_CHARS, dtype=np.int64)
    else:
        head = np.zeros(0, dtype=np.int64)
    wide = np.flatnonzero(gaps > TOKEN_CHARS)
    more = [np.arange(starts[i] + TOKEN_CHARS, ends[i], TOKEN_CHARS, dtype=np.int64) for i in wide]
    return np.sort(np.concatenate([head, starts, *more])) if len(head) or more else starts


def _between_space(text: str, span: Span) -> bool:
    start, end = _trimmed(text, span)
    return (start == 0 or text[start - 1].isspace()) and (end == len(text) or text[end].isspace())


def _trimmed(text: str, span: Span) -> Span:
    start, end = span
    part = text[start:end]
    return end - len(part.lstrip()), start + len(part.rstrip())


def _tokenizer_digest(tokenizer: Tokenizer) -> str:
    """Digest vocabulary and tokens of a text in many scripts; no matter the library's version."""
    if known := getattr(tokenizer, "contents_digest", None):
        return str(known)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: (entry[1], entry[0]))
    digest = hashlib.blake2b("\n".join(token for token, _ in vocabulary).encode("utf-8", "replace"), digest_size=8)
    digest.update(str(tokenizer.encode(PROBE, add_special_tokens=False).ids).encode())
    return digest.hexdigest()
