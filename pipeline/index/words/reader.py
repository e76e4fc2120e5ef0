"""The words of one segment, opened: those near a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.errors import CorruptIndexError
from pipeline.index import files
from pipeline.index.schemas import as_array
from pipeline.index.words.derive import SCHEMA, WORDS_FILE
from pipeline.index.words.nearness import decomposed, letters_of, may_be_within, signatures, within

OTHER_VERSION = "of another version of the format"

_MEND = "`pipeline repair` rebuilds it"


class SegmentWords:
    """Distinct words of a segment, by length."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        """Use `open_words`. `batch`: of `SCHEMA`, sound."""
        self.batch = batch
        self._lengths, self._signatures = as_array(batch.column("length")), as_array(batch.column("signature"))

    def near(self, word: str, slips: int) -> list[str]:
        """Those at most so many slips from a word, itself included, in no particular order."""
        mine = decomposed(word)
        (signature,) = signatures(letters_of([mine]))
        lengths = np.array([max(len(mine) - slips, 0), min(len(mine) + slips + 1, 255)], np.uint8)
        first, last = np.searchsorted(self._lengths, lengths).tolist()
        places = np.flatnonzero(may_be_within(signature, self._signatures[first:last], slips)) + first
        # `pa.array` would import pandas, which a cold query would wait for.
        taken = pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])
        others = self.batch.column("word").take(taken).to_pylist()
        near = within(mine, list(map(decomposed, others)), slips)
        return [other for other, is_near in zip(others, near.tolist(), strict=True) if is_near]


def open_words(folder: Path) -> SegmentWords | None:
    """Map the words of a segment; `None` for a file of another version. Raises `CorruptIndexError`."""
    path = folder / WORDS_FILE
    try:
        with pa.memory_map(str(path)) as mapped:
            reader = pa.ipc.open_file(mapped.read_buffer())
            found = reader.get_batch(0) if reader.num_record_batches == 1 else None
        if found is not None:
            found.validate(full=True)  # offsets made to mislead would be followed out of the file
    except (pa.ArrowException, OSError, ValueError) as error:
        raise files.damage(error, f"{path}: cannot be read ({error}); {_MEND}") from None
    if reader.schema.metadata != SCHEMA.metadata:
        return None
    if found is None or found.schema != SCHEMA or any(column.null_count for column in found.columns):
        raise CorruptIndexError(f"{path}: does not hold words by their length; {_MEND}")
    lengths = as_array(found.column("length"))
    if not (lengths[1:] >= lengths[:-1]).all():
        raise CorruptIndexError(f"{path}: its words are not in order; {_MEND}")
    return SegmentWords(found)
