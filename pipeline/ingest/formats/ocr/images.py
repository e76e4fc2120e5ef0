"""A picture of text → a document: each of its frames a page, read by OCR (Pillow, of the extra `ocr`)."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from pipeline.config import IngestSettings
from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line, refuse_oversize
from pipeline.ingest.formats.lines import max_bytes
from pipeline.ingest.formats.ocr.installed import OcrModels, find_models
from pipeline.ingest.formats.ocr.recogniser import Grey, recogniser
from pipeline.ingest.formats.ocr.seen import read_picture
from pipeline.ingest.formats.pdf.blocks import write
from pipeline.ingest.formats.pdf.layout import lines_of
from pipeline.ingest.formats.pdf.scans import DPI, MOST_PIXELS, more_time
from pipeline.ingest.formats.text_files import read_bytes
from pipeline.ingest.guard import Found
from pipeline.ingest.sources import SourceFile
from pipeline.records import Document

logger = logging.getLogger(__name__)

MOST_DECODED = 8 * MOST_PIXELS
"""A picture of more pixels is rejected before it is unpacked."""
MOST_FRAMES = 500


def read_image(file: SourceFile, settings: IngestSettings) -> Iterator[Found]:
    """One document a file."""
    yield Found(0, partial(_document, file, settings))


def _document(file: SourceFile, settings: IngestSettings) -> Document:
    models = find_models(settings)
    if not isinstance(models, OcrModels):
        raise UnreadableError(f"a picture: {models}")
    data = read_bytes(file.path, settings)
    if not data:
        raise UnreadableError("empty")
    pages, dropped = [], 0
    for picture, points in _frames(data, file.suffix):
        more_time(settings.document_seconds)
        seen = read_picture(picture, points, recogniser(models))
        pages.append(lines_of(seen.page.runs, []))
        dropped += seen.dropped
    more_time(settings.document_seconds)
    written = write(pages, {})
    if not written.text:
        raise UnreadableError("a picture without text that OCR is sure of")
    if dropped:
        logger.warning("%s: OCR is not sure of %d lines, which are left out", file.label, dropped)
    refuse_oversize(written.text, max_bytes(settings))
    return Document(file.name, written.text, {"ocr": True}, is_markdown=True, pages=tuple(written.pages))


def _frames(data: bytes, suffix: str) -> Iterator[tuple[Grey, float]]:
    """Each frame in grey, upright, and the size of a pixel in points."""
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(data))
        frames = getattr(image, "n_frames", 1)
        if frames > MOST_FRAMES:
            raise UnreadableError(f"{frames} frames; no more than {MOST_FRAMES} are read")
        for number in range(frames):
            image.seek(number)
            if image.width * image.height > MOST_DECODED:
                raise UnreadableError(f"{image.width} x {image.height} pixels; make it smaller")
            upright: Any = ImageOps.exif_transpose(image) if number == 0 else image
            yield _grey(upright)
    except UnreadableError:
        raise
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # the border: decoders of many formats, each with its own errors
        raise UnreadableError(f"broken {suffix} file: {first_line(error)}") from error


def _grey(image: Any) -> tuple[Grey, float]:
    from PIL import Image

    if image.mode in ("RGBA", "LA", "P", "PA"):  # what shows through is paper
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    grey = image.convert("L")
    if (pixels := grey.width * grey.height) > MOST_PIXELS:
        share = math.sqrt(MOST_PIXELS / pixels)
        grey = grey.resize((max(1, int(grey.width * share)), max(1, int(grey.height * share))))
    return np.array(grey, np.uint8), 72 / DPI
