"""What is installed to read pictures of text: packages of the extra `ocr` and models. Nothing is loaded."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from pipeline.config import IngestSettings

INSTALL_OCR = "pip install 'hybrid-pipeline[ocr]'"
PACKAGES = ("rapidocr", "openvino", "tesserocr", "pillow")
MODULES = ("rapidocr", "openvino", "tesserocr", "PIL")
DETECTOR = "PP-OCRv6_det_small.onnx"
SCRIPT = "Hangul"
"""Tesseract's model of Korean script, which knows the Latin one too, …"""
LANGUAGES = ("kor", "eng")
"""… and those that stand in for it where it is not installed."""
PLACES = (
    "/usr/share/tesseract-ocr/*/tessdata",
    "/usr/share/tesseract*/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)


@dataclass(frozen=True, slots=True)
class OcrModels:
    """The model that finds lines, and the folder of those that read them. `languages`: as Tesseract is told."""

    detector: Path
    folder: Path
    languages: str


def find_models(settings: IngestSettings) -> OcrModels | str:
    """What pictures of text are read by, or what to do so that they are."""
    if settings.ocr == "off":
        return "ingest.ocr is off; `auto` reads them"
    missing = [name for name in MODULES if util.find_spec(name) is None]
    if missing:
        return f"{INSTALL_OCR} reads them, or put the text in by OCR first, as ocrmypdf does"
    spec = util.find_spec("rapidocr")
    detector = Path(spec.origin or "").parent / "models" / DETECTOR if spec else Path(DETECTOR)
    if not detector.is_file():
        return f"{detector} is missing; {INSTALL_OCR} puts it there"
    for folder in _folders():
        if (script := _file(folder, SCRIPT)) is not None:
            return OcrModels(detector, script.parent, SCRIPT)
    for folder in _folders():
        if languages := [name for name in LANGUAGES if _file(folder, name) is not None]:
            return OcrModels(detector, folder, "+".join(languages))
    return (
        f"{SCRIPT}.traineddata, a model of Tesseract, is not found; install it "
        "(Debian: apt install tesseract-ocr-script-hang), or let TESSDATA_PREFIX name its folder"
    )


def ocr_identity(settings: IngestSettings) -> str:
    """What changes when pictures of text may be read differently: versions and models, or nothing."""
    models = find_models(settings)
    if isinstance(models, str):
        return ""
    files = [models.detector, *(models.folder / f"{name}.traineddata" for name in models.languages.split("+"))]
    versions = [metadata.version(name) for name in PACKAGES]
    return repr((versions, [(file.name, file.stat().st_size) for file in files]))


def _folders() -> list[Path]:
    named = os.environ.get("TESSDATA_PREFIX")
    if named:
        return [Path(named), Path(named) / "tessdata"]
    found = [Path(sys.prefix) / "share" / "tessdata"]
    for place in PLACES:
        found += sorted(Path("/").glob(place[1:]), reverse=True)
    return found


def _file(folder: Path, name: str) -> Path | None:
    for path in (folder / f"{name}.traineddata", folder / "script" / f"{name}.traineddata"):
        if path.is_file():
            return path
    return None
