"""PDFs made by hand: text at places, in sizes and styles, lines, and images of nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

FONTS = {"F1": "Helvetica", "F2": "Helvetica-Bold", "F3": "Courier"}
WIDTH, HEIGHT = 612, 792


@dataclass
class Sheet:
    """One page; places are from the left and from the top."""

    operators: list[str] = field(default_factory=list)
    rotate: int = 0

    def text(self, x: float, y: float, text: str, size: float = 10, font: str = "F1") -> Sheet:
        written = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        self.operators.append(f"BT /{font} {size} Tf {x} {HEIGHT - y} Td ({written}) Tj ET")
        return self

    def lines(
        self, x: float, y: float, lines: list[str], size: float = 10, font: str = "F1", pitch: float = 12
    ) -> Sheet:
        for i, line in enumerate(lines):
            self.text(x, y + i * pitch, line, size, font)
        return self

    def line(self, x0: float, y0: float, x1: float, y1: float) -> Sheet:
        self.operators.append(f"{x0} {HEIGHT - y0} m {x1} {HEIGHT - y1} l S")
        return self

    def grid(self, xs: list[float], ys: list[float]) -> Sheet:
        for y in ys:
            self.line(xs[0], y, xs[-1], y)
        for x in xs:
            self.line(x, ys[0], x, ys[-1])
        return self

    def image(self) -> Sheet:
        self.operators.append("q 600 0 0 780 0 0 cm BI /W 1 /H 1 /BPC 8 /CS /G /F /AHx ID 7F> EI Q")
        return self


def pdf(*sheets: Sheet, title: str = "", outline: list[tuple[str, int]] | None = None) -> bytes:
    """A PDF of pages. `outline`: titles of the document's own outline, and the pages (from 0) they lead to."""
    entries = outline or []
    fonts = " ".join(f"/{key} {4 + i} 0 R" for i, key in enumerate(FONTS))
    first = 4 + len(FONTS)
    marks = first + 2 * len(sheets)
    kids = " ".join(f"{first + 2 * i} 0 R" for i in range(len(sheets)))
    root = f"/Outlines {marks} 0 R" if entries else ""
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {root} >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(sheets)} >>",
        f"<< /Title <feff{title.encode('utf-16-be').hex()}> >>",
        *(f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} >>" for name in FONTS.values()),
    ]
    for i, sheet in enumerate(sheets):
        stream = "\n".join(sheet.operators)
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Rotate {sheet.rotate} "
            f"/Contents {first + 2 * i + 1} 0 R /Resources << /Font << {fonts} >> >> >>",
            f"<< /Length {len(stream.encode('latin-1'))} >>\nstream\n{stream}\nendstream",
        ]
    if entries:
        last = marks + len(entries)
        objects.append(f"<< /Type /Outlines /First {marks + 1} 0 R /Last {last} 0 R /Count {len(entries)} >>")
        for i, (name, page) in enumerate(entries):
            around = (f"/Prev {marks + i} 0 R " if i else "") + (
                f"/Next {marks + 2 + i} 0 R " if marks + 1 + i < last else ""
            )
            objects.append(
                f"<< /Title ({name}) /Parent {marks} 0 R {around}/Dest [{first + 2 * page} 0 R /XYZ 0 700 0] >>"
            )
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    tail = f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info 3 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode() + table + tail.encode()
