"""Files that an ingest which did not end, or whose chunks still wait to be encoded, has read and cut as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from pipeline.index.cut.before import CutBefore
from pipeline.ingest.guard import ChunkRows, CutDocument, Outcome
from pipeline.ingest.ledger import Look, Recorded


class FilesBefore:
    """As `ledger.ReadBefore`: those of which all documents are cut, and what they looked like then."""

    @classmethod
    def of(cls, cut: CutBefore, recorded: Recorded) -> FilesBefore | None:
        """Those that fit what was recorded, when an ingest ended or on the way. `None` if nothing is cut."""
        if not len(cut):
            return None
        records = [recorded]
        for table in cut.looks:
            with contextlib.suppress(ValueError):
                records.append(Recorded.of(table))
        return cls(cut, records)

    def __init__(self, cut: CutBefore, records: Iterable[Recorded]) -> None:
        """`records`: what was recorded of files, whenever it was; of two that fit, the last counts."""
        self._cut, self._looks = cut, dict[str, Look]()
        contents = cut.by_source()
        for label, look, digest in (entry for record in records for entry in record.looks()):
            if label in contents and contents[label].digest == digest:
                self._looks[label] = look

    def looked(self, label: str) -> Look | None:
        """What a file looked like, `None` if it is none of them."""
        return self._looks.get(label)

    def outcomes(self, label: str) -> Iterator[Outcome]:
        """Its documents. Where they stood in it is not known any more."""
        for document in self._cut.of_source(label):
            yield Outcome(0, CutDocument(document.doc_id, document.content_hash, ChunkRows(*document.rows)))
