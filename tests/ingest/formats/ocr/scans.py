"""Pages as a scanner leaves them: text drawn into pictures, and pictures put into PDFs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DPI = 200
A4 = (1654, 2339)
LATIN = ("/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf",)
KOREAN = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/nanum/NanumGothic.ttf",
)


def font_of(paths: Sequence[str], size: int) -> Any:
    """The first font there is, in pixels; `None` if there is none."""
    from PIL import ImageFont

    path = next((path for path in paths if Path(path).exists()), None)
    return None if path is None else ImageFont.truetype(path, size, index=1 if path.endswith(".ttc") else 0)


def picture(lines: Sequence[tuple[int, int, str]], font: Any, size: tuple[int, int] = A4, tilt: float = 0) -> Any:
    """A grey picture of lines at places in pixels, turned by so many degrees."""
    from PIL import Image, ImageDraw

    drawn = Image.new("L", size, 255)
    brush = ImageDraw.Draw(drawn)
    for x, y, line in lines:
        brush.text((x, y), line, font=font, fill=0)
    return drawn.rotate(tilt, fillcolor=255, resample=Image.Resampling.BICUBIC) if tilt else drawn


def scanned(*pictures: Any, points: float = 72 / DPI) -> bytes:
    """A PDF with a page of each picture. `points`: the size of a pixel."""
    import pypdfium2

    pdf = pypdfium2.PdfDocument.new()
    for one in pictures:
        width, height = one.width * points, one.height * points
        page = pdf.new_page(width, height)
        image = pypdfium2.PdfImage.new(pdf)
        image.set_bitmap(pypdfium2.PdfBitmap.from_pil(one))
        image.set_matrix(pypdfium2.PdfMatrix().scale(width, height))
        page.insert_obj(image)
        page.gen_content()
    return saved(pdf)


def joined(*files: bytes) -> bytes:
    """One PDF of the pages of several."""
    import pypdfium2

    pdf = pypdfium2.PdfDocument.new()
    for data in files:
        pdf.import_pages(pypdfium2.PdfDocument(data))
    return saved(pdf)


def stamped(data: bytes, stamp: str) -> bytes:
    """The PDF with a line of text at the foot of every page."""
    import pypdfium2

    pdf, raw = pypdfium2.PdfDocument(data), pypdfium2.raw
    for page in pdf:
        font = raw.FPDFText_LoadStandardFont(pdf.raw, b"Helvetica")
        drawn = raw.FPDFPageObj_CreateTextObj(pdf.raw, font, 8.0)
        raw.FPDFText_SetText(drawn, (raw.FPDF_WCHAR * (len(stamp) + 1))(*stamp.encode(), 0))
        raw.FPDFPageObj_Transform(drawn, 1, 0, 0, 1, 50, 20)
        raw.FPDFPage_InsertObject(page.raw, drawn)
        page.gen_content()
    return saved(pdf)


def saved(pdf: Any) -> bytes:
    sink = io.BytesIO()
    pdf.save(sink)
    return sink.getvalue()
