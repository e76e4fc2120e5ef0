"""Documents → chunks: as full as they may be, cut at the best place in reach, with exact offsets.

A text is tokenised once; where its tokens begin gives the size of any stretch of it, so planning is linear in time.
Each planned chunk is then counted by the tokenizer with its context, since a cut may change the tokens around it,
and cut again if it came out too long.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from pipeline.config import ChunkingSettings
from pipeline.ingest.cutting.boundaries import HEADING, HEADING_STEP, Cuts, cuts_of, encodable, settle, weak_cut
from pipeline.ingest.cutting.context import ContextWriter, DocumentContext, title_of
from pipeline.ingest.cutting.contract import chunks_of
from pipeline.ingest.cutting.markdown import HeadingPath, Outline, outline
from pipeline.records import Chunk, Document, Fingerprint, in_context

CHUNKER_VERSION = 1
"""Part of the fingerprint: raise it with every change that moves a cut."""

TOKEN_CHARS = 64
"""A stretch of this many characters counts as a token at least: a megabyte of base64 may be one unknown token."""

EDGE_TOKENS = 16
BLOCK_CHARS = 16_384
BLOCKS_AT_ONCE = 64
SMALL_TAIL = 0.2
TAIL_COST = 0.5
SECTION = HEADING - 6 * HEADING_STEP - 1e-9
"""Worth of the least heading: no overlap is carried across it."""

PROBE = "The 3.5 naïve cafés—검색 엔진이다。検索エンジン 检索 ÅÅ ﬁ 👩‍👩‍👧 don't\n\tUN-2024/xyz_1 สวัสดี"

Span = tuple[int, int]
Room = Callable[[int], int]
"""Tokens that a chunk's own text may have, by the offset at which it begins."""
Ints = npt.NDArray[np.int64]


class Chunker:
    """Cuts documents into chunks of at most `max_tokens` of `tokenizer`, context included, special tokens not.

    A single grapheme of more tokens than that is kept whole. `tokenizer`: a `tokenizers.Tokenizer`, which is left
    as it is, or what encodes as one does and tells its `contents_digest`.
    """

    def __init__(self, settings: ChunkingSettings, tokenizer: Tokenizer) -> None:
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
        )

    @property
    def fingerprint(self) -> Fingerprint:
        """Fingerprint of all that decides where chunks begin and end, and what is encoded with them."""
        return self._fingerprint

    def chunk(self, document: Document) -> Iterator[Chunk]:
        """The chunks in order, white space at their ends left out; none for a document without any text."""
        text = document.text
        shape = outline(text) if document.is_markdown else None
        path = HeadingPath(text, shape.headings if shape else [])
        context = DocumentContext(self._contexts, text, title_of(document.metadata), path)
        return chunks_of(document, self._spans(text, shape, context, trim=True), path.at, context.at)

    def spans(self, text: str, is_markdown: bool = False, trim: bool = True) -> list[Span]:
        """(start, end) of each chunk of `text`. Not trimmed and without overlap, they join to the whole text."""
        shape = outline(text) if is_markdown else None
        path = HeadingPath(text, shape.headings if shape else [])
        return self._spans(text, shape, DocumentContext(self._contexts, text, "", path), trim)

    def _spans(self, text: str, shape: Outline | None, context: DocumentContext, trim: bool) -> list[Span]:
        if not text.strip():
            return []
        starts = self._token_starts(text)
        if not context.tokens(_content_start(text, 0)) and len(starts) <= self._max:
            spans = [(0, len(text))]
        else:
            plan = _Plan(text, starts, shape, context.room(self._max), self._overlap)
            spans = self._verified(text, starts, context, plan.spans())
        return [_trimmed(text, span) for span in spans] if trim else spans

    def _verified(self, text: str, starts: Ints, context: DocumentContext, spans: list[Span]) -> list[Span]:
        """`spans`, those that are too long when tokenised with their context cut again.

        Between white space a stretch keeps its tokens but for its first and last word, so only others and those
        that are nearly full are counted.
        """
        low, high = np.searchsorted(starts, np.array(spans)).T
        taken = np.array([context.tokens(_content_start(text, start)) for start, _ in spans])
        roomy = (high - low + EDGE_TOKENS <= self._max - taken).tolist()
        doubtful = [i for i, span in enumerate(spans) if not (roomy[i] and _between_space(text, span))]
        counts = dict(zip(doubtful, self._count(text, context, [spans[i] for i in doubtful]), strict=True))
        done: list[Span] = []
        again = False
        for i, (start, end) in enumerate(spans):
            if again or (done and start <= done[-1][0]):  # no overlap with a chunk that was cut again
                start = spans[i - 1][1]
                counts[i] = self._count(text, context, [(start, end)])[0]
            again = counts.get(i, 0) > self._max
            if again:
                done += self._cut_again(text, context, (max(start, done[-1][1] if done else 0), end))
            else:
                done.append((start, end))
        return done

    def _cut_again(self, text: str, context: DocumentContext, span: Span) -> list[Span]:
        begin, end = span
        part = text[begin:end]
        starts = self._token_starts(part)
        room = self._max
        while room > 0:
            plan = _Plan(part, starts, None, context.room(room, begin), 0)
            pieces = [(begin + low, begin + high) for low, high in plan.spans()]
            if max(self._count(text, context, pieces)) <= self._max:
                break
            room = room * 3 // 4
        return pieces

    def _count(self, text: str, context: DocumentContext, spans: Sequence[Span]) -> list[int]:
        """Tokens of each stretch with its context, without the white space at its ends."""
        counts: list[int] = []
        for low in range(0, len(spans), 256):
            trimmed = [_trimmed(text, span) for span in spans[low : low + 256]]
            batch = [encodable(in_context(context.at(start), text[start:end])) for start, end in trimmed]
            counts += map(len, self._tokenizer.encode_batch_fast(batch, add_special_tokens=False))
        return counts

    def _token_starts(self, text: str) -> Ints:
        """Where the tokens of `text` begin, ascending; a long stretch without any is given some (`TOKEN_CHARS`)."""
        text = encodable(text)
        edges = _block_edges(text)
        starts: list[int] = []
        for low in range(0, len(edges) - 1, BLOCKS_AT_ONCE):
            pairs = list(pairwise(edges[low : low + BLOCKS_AT_ONCE + 1]))
            blocks = [text[begin:end] for begin, end in pairs]
            encodings: list[Any] = self._tokenizer.encode_batch(blocks, add_special_tokens=False)
            for (begin, _), encoding in zip(pairs, encodings, strict=True):
                starts += [begin + start for start, _ in encoding.offsets]
        for i, start in enumerate(starts):
            if text[start : start + 1].isspace() and start + 1 < len(text):
                starts[i] = start + 1  # a token that carries the space before its word begins with the word
        found = np.maximum.accumulate(np.array([0, *starts], dtype=np.int64))[1:]
        return _fill_gaps(found, len(text))


class _Plan:
    """The cuts of one text, chosen from left to right."""

    def __init__(self, text: str, starts: Ints, shape: Outline | None, room: Room, overlap: int) -> None:
        self._text = text
        self._starts = starts
        self._room = room
        self._overlap = overlap
        self._text_end = len(text.rstrip())
        self._cuts, self._worth = self._places(shape)
        self._cut_tokens = np.searchsorted(starts, self._cuts)

    def _places(self, shape: Outline | None) -> Cuts:
        def fits(start: int, end: int) -> bool:
            low, high = np.searchsorted(self._starts, (start, end))
            return bool(high - low <= self._room(start))

        return cuts_of(self._text, shape, fits)

    def spans(self) -> list[Span]:
        """(start, end) of each chunk, white space included."""
        spans: list[Span] = []
        start = end = 0
        total = len(self._starts)
        while True:
            content = _content_start(self._text, start)
            first = int(np.searchsorted(self._starts, content))
            room = self._room(content)
            if total - first <= room:
                return [*spans, (start, len(self._text))]
            cut, worth = self._choose(first, end, room)
            if cut is None and start < end:
                start = end  # nothing fits behind the overlap: do without it
                continue
            if cut is None:
                cut, worth = weak_cut(self._text, content, int(self._starts[first + room])), 0.0
            if cut >= self._text_end:
                return [*spans, (start, len(self._text))]
            spans.append((start, cut))
            start, end = self._next_start(start, cut, worth), cut

    def _choose(self, first: int, end: int, room: int) -> tuple[int | None, float]:
        """The best cut beyond `end` for a chunk of at most `room` tokens that begins with token `first`."""
        low = int(np.searchsorted(self._cuts, end, side="right"))
        high = int(np.searchsorted(self._cut_tokens, first + room, side="right"))
        tokens = self._cut_tokens[low:high]
        low += int(np.searchsorted(tokens, first, side="right"))
        if low >= high:
            return None, 0.0
        tokens = self._cut_tokens[low:high]
        score = self._worth[low:high] + (tokens - first) / room
        tail = (len(self._starts) - tokens) / (SMALL_TAIL * room)
        score -= TAIL_COST * np.clip(1 - tail, 0, 1)
        best = low + int(len(score) - 1 - np.argmax(score[::-1]))
        return int(self._cuts[best]), float(self._worth[best])

    def _next_start(self, start: int, cut: int, worth: float) -> int:
        """`cut`, or an earlier place at most `overlap` tokens before it; never inside the section before."""
        if not self._overlap or worth >= SECTION:
            return cut
        token = int(np.searchsorted(self._starts, cut))
        low = int(np.searchsorted(self._cut_tokens, token - self._overlap))
        for place, value in zip(self._cuts[low:], self._worth[low:], strict=True):
            if place >= cut:
                break
            if place > start and value > -1:
                return int(place)
        if worth == 0.0:
            begin = int(self._starts[max(0, token - self._overlap)])
            space = _SPACE.search(self._text, begin, cut)
            if space is not None and start < settle(self._text, space.start()) < cut:
                return settle(self._text, space.start())
        return cut


_SPACE = re.compile(r"\s")
_NOT_SPACE = re.compile(r"\S")


def _block_edges(text: str) -> list[int]:
    """Offsets that part `text` into blocks of bounded size, at white space where there is some."""
    edges = [0]
    while len(text) - edges[-1] > BLOCK_CHARS:
        edge = edges[-1] + BLOCK_CHARS
        space = max(text.rfind("\n", edge - 2048, edge), text.rfind(" ", edge - 2048, edge))
        edges.append(space if space > edges[-1] else edge)
    return [*edges, len(text)]


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


def _content_start(text: str, start: int) -> int:
    found = _NOT_SPACE.search(text, start)
    return found.start() if found else len(text)


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
