"""The words of a segment as a component of it, derived from its chunks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import CorruptIndexError
from pipeline.index.choices import DenseChoice
from pipeline.index.chunks import CHUNKS_FILE
from pipeline.index.components.contract import Component, Finding, SegmentSource, Volume
from pipeline.index.components.rows import Place, SegmentShape
from pipeline.index.manifest import Manifest, SegmentEntry
from pipeline.index.words.derive import WORDS_FILE, derive, write
from pipeline.index.words.reader import OTHER_VERSION, SegmentWords, open_words

log = logging.getLogger(__name__)

_BYTES_PER_CHUNK = 50


class WordsComponent(Component[SegmentWords | None]):
    """Beside lexical weights that are those of words (BM25). Older segments go without it."""

    name = "words"
    file_names = (WORDS_FILE,)

    def is_wanted(self, shape: SegmentShape) -> bool:
        """Whether terms are those of words."""
        return shape.has_words

    def needed(self, manifest: Manifest, entry: SegmentEntry) -> tuple[str, ...]:
        """Return nothing: without it near words are found too, but slowly."""
        return ()

    def write(self, folder: Path, source: SegmentSource, shape: SegmentShape) -> None:
        """Derive it from the chunks in the folder."""
        write(folder / WORDS_FILE, derive(folder))

    def open(self, place: Place, verified: bool) -> SegmentWords | None:
        """Map the file; nothing where there is none, or one of another version."""
        if not place.has(WORDS_FILE):
            return None
        found = open_words(place.folder)
        if found is None:
            path = place.folder / WORDS_FILE
            log.warning("%s: %s; near words take longer until `pipeline repair`", path, OTHER_VERSION)
        return found

    def identity(self, shape: SegmentShape) -> None:
        """Return nothing: it follows from the chunks."""

    def check(self, place: Place, manifest: Manifest) -> Iterator[Finding]:
        """Compare it with what the chunks give."""
        if not (place.is_sound(WORDS_FILE) and place.is_sound(CHUNKS_FILE)):
            return
        mine = open_words(place.folder)
        if mine is None:
            yield WORDS_FILE, f"{OTHER_VERSION}; `pipeline repair` rebuilds it"
        elif not mine.batch.equals(derive(place.folder)):
            yield WORDS_FILE, f"differs from what {CHUNKS_FILE} gives; `pipeline repair` rebuilds it"

    def unusable(self, place: Place, manifest: Manifest) -> dict[str, str]:
        """Return why there is none where there should be one, or none that this version reads."""
        if manifest.lexical.kind != "bm25" or place.damaged & {WORDS_FILE, CHUNKS_FILE}:
            return {}
        if not place.has(WORDS_FILE):
            return {WORDS_FILE: "is not there: the segment was written before there were such files"}
        try:
            found = open_words(place.folder)
        except CorruptIndexError as error:
            return {WORDS_FILE: str(error).removeprefix(f"{place.folder / WORDS_FILE}: ").split(";")[0]}
        return {} if found is not None else {WORDS_FILE: OTHER_VERSION}

    def rebuild(self, place: Place, into: Path, choice: DenseChoice) -> SegmentEntry:
        """Write it anew from the chunks."""
        if WORDS_FILE in place.damaged and place.is_sound(CHUNKS_FILE):
            write(into / WORDS_FILE, derive(place.folder))
        return place.entry

    def estimated_bytes(self, volume: Volume, shape: SegmentShape) -> int:
        """Estimate the size of its file."""
        return volume.chunks * _BYTES_PER_CHUNK if self.is_wanted(shape) else 0


WORDS = WordsComponent()
