"""Chunks that a front has fetched: their ids, their texts, and whether they live."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.query.shards import encoding
from pipeline.query.shards.front.asking import Questions
from pipeline.query.shards.front.remembered import Remembered
from pipeline.query.snapshot import Ids
from pipeline.records import Chunk

ROWS_KEPT = 4096
NAMES_KEPT = 65_536


class Fetched:
    """Chunks by number; those that came last are kept."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions
        self._rows = Remembered[int, tuple[Chunk, bool]](ROWS_KEPT)
        self._names = Remembered[int, tuple[str, str]](NAMES_KEPT)

    def rows(self, numbers: Sequence[int]) -> dict[int, tuple[Chunk, bool]]:
        """Chunks, and whether they live."""
        return self._rows.get(numbers, self._asked_rows)

    def names(self, numbers: Sequence[int]) -> dict[int, tuple[str, str]]:
        """Ids of chunks and of their documents."""
        return self._names.get(numbers, self._asked_names)

    def around(self, numbers: Sequence[int], steps: int) -> None:
        """Fetch chunks, and those that stand so many steps around them."""
        near = {number + step for number in numbers for step in range(-steps, steps + 1)}
        self.rows(sorted(number for number in near if self._questions.is_asked_about(number)))

    def _asked_rows(self, numbers: Sequence[int]) -> dict[int, tuple[Chunk, bool]]:
        ids = np.array(numbers, np.int64)
        found: dict[int, tuple[Chunk, bool]] = {}
        for inside, answer in self._questions.owners_of("rows", ids):
            chunks = [encoding.chunk_of(one) for one in answer.listed("chunks")]
            found |= encoding.paired(_numbers(ids, inside), chunks, answer.array("live", "|b1").tolist())
        self._names.put({number: (chunk.chunk_id, chunk.doc_id) for number, (chunk, _) in found.items()})
        return found

    def _asked_names(self, numbers: Sequence[int]) -> dict[int, tuple[str, str]]:
        ids = np.array(numbers, np.int64)
        found: dict[int, tuple[str, str]] = {}
        for inside, answer in self._questions.owners_of("names", ids):
            found |= encoding.paired(_numbers(ids, inside), answer.texts("chunk_ids"), answer.texts("doc_ids"))
        return found


def _numbers(ids: Ids, inside: Ids) -> list[int]:
    numbers: list[int] = ids[inside].tolist()
    return numbers
