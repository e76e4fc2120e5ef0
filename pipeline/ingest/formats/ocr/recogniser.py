"""A picture in grey → its lines of text: a detector finds where they are, Tesseract reads each by itself.

Tesseract's own search for lines loses much of a page of Korean, and the recogniser beside the detector knows no
Hangul. Both run in one thread: pages come from several processes where there are many. Nothing is ever downloaded.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import first_line
from pipeline.ingest.formats.ocr.installed import OcrModels

Grey = npt.NDArray[np.uint8]

LONGEST_SIDE = 2000
"""Lines are looked for in a picture of at most so many pixels a side, and read in that which came."""
SINGLE_LINE = 7
MARGIN = 0.3
"""White around a line, in shares of its height: Tesseract cuts what touches the edge."""
LEAST_HEIGHT = 6.0
STRETCHED_FLAT = 48
"""Lines that are lower are made so high before they are read."""
LETTERS = 0.75
"""How much of a line's box its letters take: the detector leaves some room around them."""


@dataclass(frozen=True, slots=True)
class SeenLine:
    """A line of a picture: its text, and its box in pixels once the page stands straight.

    `size`: about the size of its letters, in pixels. `confidence`: how sure the text is, 0 to 1.
    """

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    confidence: float


class Recogniser:
    """Reads pictures. Raises `UnreadableError` if the models cannot be used."""

    def __init__(self, models: OcrModels) -> None:
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")  # Tesseract waits for its threads longer than they work
        import tesserocr
        from rapidocr import EngineType, RapidOCR

        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        params = {
            "Global.log_level": "error",
            "Global.max_side_len": LONGEST_SIDE,
            "Global.use_cls": False,
            "Global.use_rec": False,
            "Det.engine_type": EngineType.OPENVINO,
            "Det.model_path": str(models.detector),
            "EngineConfig.openvino.inference_num_threads": 1,
        }
        try:
            self._detect: Any = RapidOCR(params=params)
            self._tesseract: Any = tesserocr.PyTessBaseAPI(
                path=str(models.folder),
                lang=models.languages,
                psm=SINGLE_LINE,
                variables={"preserve_interword_spaces": "1"},  # else Korean words come apart
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise UnreadableError(f"no OCR: {first_line(error)}; install the models again") from error

    def lines(self, picture: Grey) -> list[SeenLine]:
        """The lines of a picture, in no order; those without a letter or digit are left out."""
        colours = np.repeat(picture[:, :, None], 3, axis=2)
        boxes = self._detect(colours).boxes
        if boxes is None or not len(boxes):
            return []
        corners = np.asarray(boxes, np.float32)
        del colours
        straight = _straightened(corners)
        found = []
        for quad, place in zip(corners, straight, strict=True):
            text, confidence = self._read(picture, quad)
            if any(character.isalnum() for character in text):
                height = float(np.hypot(*(quad[3] - quad[0])) + np.hypot(*(quad[2] - quad[1]))) / 2
                middle = float(place[:, 1].mean())
                low, high = float(place[:, 0].min()), float(place[:, 0].max())
                half = height * LETTERS / 2
                found.append(SeenLine(text, low, middle - half, high, middle + half, 2 * half, confidence))
        return found

    def _read(self, picture: Grey, quad: npt.NDArray[np.float32]) -> tuple[str, float]:
        line = _cut_out(picture, quad)
        if line is None:
            return "", 0.0
        height, width = line.shape
        self._tesseract.SetImageBytes(line.tobytes(), width, height, 1, width)
        self._tesseract.SetSourceResolution(300)
        text = " ".join(self._tesseract.GetUTF8Text().split())
        return text, self._tesseract.MeanTextConf() / 100


@lru_cache(maxsize=1)
def recogniser(models: OcrModels) -> Recogniser:
    """The one of this process: loading takes longer than a page."""
    return Recogniser(models)


def _straightened(corners: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The corners once the page is turned so that the median line is level."""
    along = (corners[:, 1] - corners[:, 0]).astype(np.float64)
    length = np.hypot(along[:, 0], along[:, 1])
    long = length >= np.median(length)
    angle = float(np.median(np.arctan2(along[long, 1], along[long, 0])))
    cos, sin = np.cos(-angle), np.sin(-angle)
    turned: npt.NDArray[np.float64] = corners.astype(np.float64) @ np.array([[cos, sin], [-sin, cos]])
    return turned


def _cut_out(picture: Grey, quad: npt.NDArray[np.float32]) -> Grey | None:
    """A line alone, level, with white around it; `None` if it is too low to be read."""
    import cv2

    width = max(float(np.hypot(*(quad[1] - quad[0]))), float(np.hypot(*(quad[2] - quad[3]))))
    height = max(float(np.hypot(*(quad[3] - quad[0]))), float(np.hypot(*(quad[2] - quad[1]))))
    if height < LEAST_HEIGHT or width < LEAST_HEIGHT:
        return None
    scale = max(1.0, STRETCHED_FLAT / height)
    wide, high = round(width * scale), round(height * scale)
    onto = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad, onto)
    line = cv2.warpPerspective(
        picture, matrix, (wide, high), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    around = round(MARGIN * high)
    padded = cv2.copyMakeBorder(line, around, around, around, around, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(padded, np.uint8)
