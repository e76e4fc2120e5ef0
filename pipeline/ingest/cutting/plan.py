"""Which of the places where a text may be cut are taken: the best in reach, from left to right."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipeline.ingest.cutting.boundaries import HEADING, HEADING_STEP, Cuts, settle, weak_cut

SMALL_TAIL = 0.2
TAIL_COST = 0.5
SECTION = HEADING - 6 * HEADING_STEP - 1e-9
"""Worth of the least heading: no overlap is carried across it."""

Span = tuple[int, int]
Room = Callable[[int], int]
"""Tokens that a chunk's own text may have, by the offset at which it begins."""
Ints = npt.NDArray[np.int64]

_SPACE = re.compile(r"\s")
_NOT_SPACE = re.compile(r"\S")


class Plan:
    """The cuts of one text, chosen from left to right."""

    def __init__(
        self,
        text: str,
        starts: Ints,
        cuts: Cuts,
        room: Room,
        overlap: int = 0,
        is_table: Callable[[int], bool] = lambda place: False,
    ) -> None:
        """`starts`: where tokens begin. `is_table`: whether a place is in a table: no overlap begins there."""
        self._text = text
        self._starts = starts
        self._room = room
        self._overlap = overlap
        self._is_table = is_table
        self._text_end = len(text.rstrip())
        self._cuts, self._worth, self._stops = cuts.offsets, cuts.worth, cuts.stops
        self._cut_tokens = np.searchsorted(starts, self._cuts)

    def spans(self) -> list[Span]:
        """(start, end) of each chunk, white space included."""
        spans: list[Span] = []
        start = end = 0
        total = len(self._starts)
        while True:
            content = content_start(self._text, start)
            first = int(np.searchsorted(self._starts, content))
            room = self._room(content)
            stop = self._stop(content)
            if total - first <= room and stop is None:
                return [*spans, (start, len(self._text))]
            cut, worth = self._choose(first, end, room, stop)
            if cut is None and start < end:
                start = end  # nothing fits behind the overlap: do without it
                continue
            if cut is None:
                cut, worth = weak_cut(self._text, content, int(self._starts[first + room])), 0.0
            if cut >= self._text_end:
                return [*spans, (start, len(self._text))]
            spans.append((start, cut))
            start, end = self._next_start(start, cut, worth), cut

    def _stop(self, start: int) -> int | None:
        """The first place behind `start` that its chunk may not go beyond; `None` if it may reach the end."""
        number = int(np.searchsorted(self._stops, start, side="right"))
        return int(self._stops[number]) if number < len(self._stops) else None

    def _choose(self, first: int, end: int, room: int, stop: int | None) -> tuple[int | None, float]:
        """The best cut beyond `end` for a chunk of at most `room` tokens that begins with token `first`."""
        low = int(np.searchsorted(self._cuts, end, side="right"))
        high = int(np.searchsorted(self._cut_tokens, first + room, side="right"))
        if stop is not None:
            high = min(high, int(np.searchsorted(self._cuts, stop, side="right")))
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
        if not self._overlap or worth >= SECTION or self._is_table(cut):
            return cut
        token = int(np.searchsorted(self._starts, cut))
        low = int(np.searchsorted(self._cut_tokens, token - self._overlap))
        for place, value in zip(self._cuts[low:], self._worth[low:], strict=True):
            if place >= cut:
                break
            if place > start and value > -1 and not self._is_table(int(place)):
                return int(place)
        if worth == 0.0:
            begin = int(self._starts[max(0, token - self._overlap)])
            space = _SPACE.search(self._text, begin, cut)
            if space is not None and start < settle(self._text, space.start()) < cut:
                return settle(self._text, space.start())
        return cut


def content_start(text: str, start: int) -> int:
    """The first offset from `start` on that is no white space."""
    found = _NOT_SPACE.search(text, start)
    return found.start() if found else len(text)
