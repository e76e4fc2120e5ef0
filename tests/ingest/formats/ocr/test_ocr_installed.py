"""What OCR needs: found where it is, told where it is not, and part of what a file was read with."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import pytest

from pipeline.config import IngestSettings, SourceSettings
from pipeline.ingest.formats.ocr import installed
from pipeline.ingest.formats.ocr.installed import DETECTOR, OcrModels, find_models, ocr_identity
from pipeline.ingest.ledger import Ledger
from pipeline.ingest.sources import SourceFile


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """All packages in a folder, with the detector's model; Tesseract's models are looked for in `tessdata`."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / DETECTOR).write_bytes(b"detector")
    (tmp_path / "tessdata").mkdir()

    class Spec:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr(util, "find_spec", lambda name: Spec())
    monkeypatch.setattr(installed.metadata, "version", lambda name: "1")
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path / "tessdata"))
    return tmp_path


def test_without_the_extra_the_reason_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    assert str(find_models(IngestSettings())).startswith("pip install 'hybrid-pipeline[ocr]' reads them")
    assert find_models(IngestSettings(ocr="off")) == "ingest.ocr is off; `auto` reads them"
    assert ocr_identity(IngestSettings()) == ""


def test_without_models_the_reason_names_them(packages: Path) -> None:
    assert "Hangul.traineddata, a model of Tesseract, is not found" in str(find_models(IngestSettings()))
    (packages / "models" / DETECTOR).unlink()
    assert str(find_models(IngestSettings())).startswith(str(packages / "models" / DETECTOR))


def test_the_model_of_the_script_comes_first_and_languages_stand_in(packages: Path) -> None:
    folder = packages / "tessdata"
    (folder / "eng.traineddata").write_bytes(b"x")
    assert find_models(IngestSettings()) == OcrModels(packages / "models" / DETECTOR, folder, "eng")
    (folder / "kor.traineddata").write_bytes(b"x")
    assert find_models(IngestSettings()) == OcrModels(packages / "models" / DETECTOR, folder, "kor+eng")
    (folder / "script").mkdir()
    (folder / "script" / "Hangul.traineddata").write_bytes(b"x")
    assert find_models(IngestSettings()) == OcrModels(packages / "models" / DETECTOR, folder / "script", "Hangul")


def test_another_version_or_model_is_another_reading(packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {ocr_identity(IngestSettings())}
    for name in ("eng", "Hangul"):
        (packages / "tessdata" / f"{name}.traineddata").write_bytes(b"x")
        seen.add(ocr_identity(IngestSettings()))
    assert ocr_identity(IngestSettings()) in seen
    monkeypatch.setattr(installed.metadata, "version", lambda name: "2")
    seen.add(ocr_identity(IngestSettings()))
    assert len(seen) == 4
    assert ocr_identity(IngestSettings(ocr="off")) == ""


def test_files_are_read_again_once_ocr_is_there_or_switched_off(packages: Path) -> None:
    path = packages / "a.pdf"
    path.write_bytes(b"x")
    file = SourceFile(str(path), "a.pdf", "a.pdf", SourceSettings(path=str(path)))

    def read_with(**settings: str) -> bytes:
        look, _ = Ledger(IngestSettings.model_validate(settings)).look(file)
        assert look is not None
        return look.settings

    without = read_with()
    assert without == read_with()
    (packages / "tessdata" / "eng.traineddata").write_bytes(b"x")
    assert len({without, read_with(), read_with(ocr="off")}) == 3
