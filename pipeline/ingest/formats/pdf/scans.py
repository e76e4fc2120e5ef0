"""Pages of a PDF that are pictures: drawn, and read by OCR."""

from __future__ import annotations

import logging
import math
import signal
from typing import Any

import numpy as np

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.ocr.installed import OcrModels, find_models
from pipeline.ingest.formats.ocr.recogniser import Grey, recogniser
from pipeline.ingest.formats.ocr.seen import SeenPage, read_picture
from pipeline.ingest.guard import REPEAT_SECONDS

logger = logging.getLogger(__name__)

DPI = 300
MOST_PIXELS = 25_000_000
"""A larger page (A3 has 17 million) is drawn with fewer dots an inch."""
MOST_PAGES = 2_000


class Scans:
    """Reads the scanned pages of one file, called `label` in warnings."""

    def __init__(self, settings: IngestSettings, label: str) -> None:
        found = find_models(settings)
        self._models = found if isinstance(found, OcrModels) else None
        self.cure = found if isinstance(found, str) else ""
        """Why scanned pages are not read, and what to do about it; empty if they are."""
        self._seconds, self._label, self._read = settings.document_seconds, label, 0

    def read(self, opened: Any, number: int) -> SeenPage | None:
        """What a pypdfium2 page says, counted from 1; `None` if there is no OCR.

        The time limit of a document is that of each scanned page.
        """
        if self._models is None:
            return None
        self._read += 1
        if self._read > MOST_PAGES:
            raise UnreadableError(
                f"more than {MOST_PAGES} scanned pages; put the text in by OCR first, or split it"
            )
        more_time(self._seconds)
        picture, points = draw(opened)
        seen = read_picture(picture, points, recogniser(self._models))
        more_time(self._seconds)
        if seen.dropped:
            logger.warning(
                "%s: page %d: OCR is not sure of %d lines, which are left out", self._label, number, seen.dropped
            )
        return seen


def draw(opened: Any) -> tuple[Grey, float]:
    """A page in grey, and the size of a pixel in points."""
    width, height = float(opened.get_width()), float(opened.get_height())
    area = max(width * height, 1.0)
    scale = min(DPI / 72, math.sqrt(MOST_PIXELS / area))
    if max(width, height) * scale < 1 or min(width, height) * scale < 1:
        raise UnreadableError(f"a page of {width:g} x {height:g} points cannot be drawn")
    bitmap = opened.render(scale=scale, grayscale=True)
    try:
        picture = np.array(bitmap.to_numpy(), np.uint8, copy=True).reshape(bitmap.height, bitmap.width)
    finally:
        bitmap.close()
    return picture, 1 / scale


def more_time(seconds: float | None) -> None:
    """Let the limit begin anew, in the process that it ends; elsewhere it is not this function's."""
    if seconds and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL and signal.getitimer(signal.ITIMER_REAL)[0]:
        signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
