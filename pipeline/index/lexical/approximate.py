"""The approximate lexical index as a component of a segment, derived from the lexical rows and their postings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import MissingDependencyError
from pipeline.index.choices import DenseChoice
from pipeline.index.chunks import LEXICAL_FILE
from pipeline.index.components.contract import Component, Finding, SegmentSource, Volume
from pipeline.index.components.rows import Place, SegmentShape
from pipeline.index.lexical import seismic, seismic_writer
from pipeline.index.lexical.component import derive
from pipeline.index.lexical.postings import POSTINGS_FILE
from pipeline.index.lexical.seismic import SEISMIC_FILE, SeismicIndex
from pipeline.index.manifest import Manifest, SegmentEntry, SeismicParameters

_BYTES_PER_TOKEN = 60


class SeismicComponent(Component[SeismicIndex | None]):
    """Proposes chunks that the postings then score. `None` in a segment without it."""

    name = "seismic"
    file_names = (SEISMIC_FILE,)

    def is_wanted(self, shape: SegmentShape) -> bool:
        """Whether it is chosen."""
        return shape.has_lexical and shape.lexical.kind == "seismic"

    def needed(self, manifest: Manifest, entry: SegmentEntry) -> tuple[str, ...]:
        """Return its file where the entry says how to search it."""
        return (SEISMIC_FILE,) if entry.lexical is not None else ()

    def write(self, folder: Path, source: SegmentSource, shape: SegmentShape) -> SeismicParameters | None:
        """Build it from the rows in the folder, and tune it; nothing for a segment without any lexical weight."""
        return seismic_writer.write(folder, folder, source.count, shape.lexical.recall_target)

    def open(self, place: Place, verified: bool) -> SeismicIndex | None:
        """Prepare it; its file is loaded by the first search that uses it."""
        return None if place.entry.lexical is None else SeismicIndex(place.folder, place.entry.lexical)

    def identity(self, shape: SegmentShape) -> str | None:
        """Return the library's version, and what it is tuned to."""
        return shape.lexical.identity or None

    def check(self, place: Place, manifest: Manifest) -> Iterator[Finding]:
        """Try whether it loads, and no more: what it proposes is scored from the postings, whatever it says."""
        parameters = place.entry.lexical
        if parameters is None or not place.is_sound(SEISMIC_FILE) or seismic.unusable(parameters) is not None:
            return
        reason = seismic.load_failure(place.folder / SEISMIC_FILE)
        if reason is not None:
            yield SEISMIC_FILE, f"cannot be loaded ({reason}); `pipeline repair` rebuilds it"

    def unusable(self, place: Place, manifest: Manifest) -> dict[str, str]:
        """Return why the installed library cannot use it; nothing where none is installed."""
        parameters = place.entry.lexical
        if parameters is None or SEISMIC_FILE in place.damaged:
            return {}
        try:
            other = seismic.version() != parameters.library
        except MissingDependencyError:
            return {}
        path = place.folder / SEISMIC_FILE
        reason = seismic.unusable(parameters) if other else seismic.load_failure(path)
        return {} if reason is None else {SEISMIC_FILE: reason}

    def rebuild(self, place: Place, into: Path, choice: DenseChoice) -> SegmentEntry:
        """Build it anew from the lexical rows. Raises `MissingDependencyError`."""
        if SEISMIC_FILE not in place.damaged or not place.is_sound(LEXICAL_FILE):
            return place.entry
        if not (into / POSTINGS_FILE).exists():
            derive(place.folder, into)
        approximate = seismic_writer.write(place.folder, into, place.entry.chunks, choice.recall_target)
        return dataclasses.replace(place.entry, lexical=approximate)

    def reads_alike(self, before: SegmentEntry, after: SegmentEntry) -> bool:
        """Whether the same version of the library wrote both: the entry names the one that may read it."""
        written_by = before.lexical and before.lexical.library
        return after.lexical is None or after.lexical.library == written_by

    def estimated_bytes(self, volume: Volume, shape: SegmentShape) -> int:
        """Estimate the size of its file."""
        return volume.tokens * _BYTES_PER_TOKEN if self.is_wanted(shape) else 0


SEISMIC = SeismicComponent()
