"""Batches cut by a token budget from length-sorted windows of a stream of texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WINDOW_TEXTS = 2048
WINDOW_CHARACTERS = 4_000_000


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Token ids of some texts, padded on the right.

    `rows`: int64 (b,), positions of the texts in the call. `ids`: int32 (b, t). `lengths`: int64 (b,).
    """

    rows: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]

    @property
    def mask(self) -> npt.NDArray[np.float32]:
        """float32 (b, t): 1 for a token, 0 for padding."""
        return (np.arange(self.ids.shape[1]) < self.lengths[:, None]).astype(np.float32)

    def halves(self) -> tuple[TokenBatch, TokenBatch]:
        """Two batches of half the texts each, the shorter texts with less padding."""
        middle = len(self.rows) // 2
        return self._part(slice(0, middle)), self._part(slice(middle, None))

    def _part(self, part: slice) -> TokenBatch:
        lengths = self.lengths[part]
        return TokenBatch(self.rows[part], self.ids[part, : int(lengths.max())], lengths)


def fitting(batch: TokenBatch, most_tokens: int) -> Iterator[TokenBatch]:
    """`batch`, halved until each part has at most `most_tokens` tokens, padding included, or one text."""
    if batch.ids.size <= most_tokens or len(batch.rows) == 1:
        yield batch
        return
    for half in batch.halves():
        yield from fitting(half, most_tokens)


def out_of_memory(error: Exception) -> bool:
    """Whether a runtime's error means that memory ran out; each of them words it in another way."""
    text = str(error).lower()
    words = ("bad_alloc", "out of memory", "allocate", "not enough memory")
    return isinstance(error, MemoryError) or any(word in text for word in words)


def plan(lengths: Sequence[int], budget_tokens: int) -> list[npt.NDArray[np.int64]]:
    """Cut texts of these lengths into batches whose padded size is within the budget, longest texts first.

    A text longer than the budget makes a batch of its own. Returns positions; each occurs exactly once.
    """
    sizes = np.asarray(lengths, np.int64)
    order = np.argsort(-sizes, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        count = max(1, budget_tokens // max(1, int(sizes[order[start]])))
        batches.append(order[start : start + count])
        start += count
    return batches


def padded_length(tokens: int, longest: int) -> int:
    """Where rows of so many tokens are padded to, at most `longest`: one of sixteen lengths an octave.

    A runtime keeps compiled code for every shape that it has seen, so a build must not show it hundreds.
    """
    step = 1 << max(0, tokens.bit_length() - 5)
    return max(tokens, min(-(-tokens // step) * step, longest))


def padded(
    ids: Sequence[npt.NDArray[np.int32]], budget_tokens: int, pad_id: int, longest: int
) -> Iterator[TokenBatch]:
    """Batches of tokenized texts by `plan`. `longest`: tokens that the model takes; padding never exceeds it."""
    sizes = [padded_length(len(row), longest) for row in ids]
    for chosen in plan(sizes, budget_tokens):
        yield _batch(ids, chosen, sizes[chosen[0]], pad_id)


def _batch(
    ids: Sequence[npt.NDArray[np.int32]], chosen: npt.NDArray[np.int64], width: int, pad_id: int
) -> TokenBatch:
    lengths = np.array([len(ids[i]) for i in chosen], np.int64)
    matrix = np.full((len(chosen), width), pad_id, np.int32)
    for row, i in enumerate(chosen):
        matrix[row, : lengths[row]] = ids[i]
    return TokenBatch(chosen, matrix, lengths)


def same_width(
    ids: Sequence[npt.NDArray[np.int32]], budget_tokens: int, pad_id: int, longest: int
) -> Iterator[TokenBatch]:
    """Batches in which every text has the width that it would have alone, so that its bits do not depend on others.

    How wide a text is padded changes the order in which a runtime adds; how many rows there are does not. Widths
    are multiples of four, which costs a lone query nothing and lets more of them share a batch.
    """
    by_width: dict[int, list[int]] = {}
    for i, row in enumerate(ids):
        width = max(len(row), min(-(-padded_length(len(row), longest) // 4) * 4, longest))
        by_width.setdefault(width, []).append(i)
    for width, members in by_width.items():
        count = max(1, budget_tokens // width)
        for start in range(0, len(members), count):
            chosen = np.array(members[start : start + count], np.int64)
            yield _batch(ids, chosen, width, pad_id)


Cut = Callable[[Sequence[npt.NDArray[np.int32]], int, int, int], Iterator[TokenBatch]]
"""Makes batches of tokenized texts: `padded`, or `same_width`."""


def token_batches(
    texts: Sequence[str],
    tokenize: Callable[[Sequence[str]], list[npt.NDArray[np.int32]]],
    budget_tokens: int,
    pad_id: int,
    longest: int,
    cut: Cut = padded,
) -> Iterator[TokenBatch]:
    """Tokenize and batch window by window, lazily, so that a window is tokenized while the last one is encoded."""
    for start, stop in windows(texts):
        for batch in cut(tokenize(texts[start:stop]), budget_tokens, pad_id, longest):
            yield dataclasses.replace(batch, rows=batch.rows + start)


def windows(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Half-open ranges of texts, bounded in count and in characters."""
    start, characters = 0, 0
    for i, text in enumerate(texts):
        if i > start and (i - start >= WINDOW_TEXTS or characters + len(text) > WINDOW_CHARACTERS):
            yield start, i
            start, characters = i, 0
        characters += len(text)
    if start < len(texts):
        yield start, len(texts)
