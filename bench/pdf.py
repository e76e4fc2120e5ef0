"""PDFs read by this package and by markitdown: what is kept of the text, its order, and how fast.

Usage: python bench/pdf.py FOLDER [--most 40] [--pdftotext PROGRAM]. Both are compared with what poppler's pdftotext
reads, a third party that neither is made of. Words are runs of letters and digits, in lower case, hyphens at the
ends of lines undone:

Lines at the top or the bottom that repeat on three pages, but for numbers, are heads and feet, and don't count.

lost: share of the reference's letters and digits that the text lacks;
words: share of the reference's words that it has, as often; words glued together and words cut in two are missing;
order: share of the reference's pairs of neighbouring words that are neighbours in it;
speed: pages a second of CPU time.

Files are those of the folder in order of name, each 1 to `--pages` pages, every n-th so that there are `--most`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.config import IngestSettings
from pipeline.ingest.formats.pdf.reader import pdf_as_markdown
from pipeline.ingest.formats.pdf.scans import Scans

LIMIT = 10**9
EDGE = 3
_WORD = re.compile(r"[^\W_]+")
_PARTED = re.compile(r"(?<=[^\W\d_])[-‐\u00ad]\n\s*(?=[^\W\d_])")

Reader = Callable[[Path], str]


@dataclass(frozen=True)
class Measured:
    """One file as one reader reads it."""

    lost: float
    words: float
    order: float
    seconds: float


def ours(path: Path) -> str:
    return pdf_as_markdown(path.read_bytes(), path.name, LIMIT, Scans(IngestSettings(ocr="off"), path.name))[0].text


def markitdown(path: Path) -> str:
    from markitdown import StreamInfo
    from markitdown.converters import PdfConverter

    with path.open("rb") as stream:
        return str(PdfConverter().convert(stream, StreamInfo(extension=".pdf", charset="utf-8")).markdown)


def words_of(text: str) -> list[str]:
    return _WORD.findall(_PARTED.sub("", text).casefold().replace("\u00ad", ""))


def reference_of(program: str, path: Path) -> list[str]:
    """The words that pdftotext reads, without heads and feet."""
    done = subprocess.run([program, "-enc", "UTF-8", str(path), "-"], capture_output=True, check=True)
    pages = [[line for line in page.splitlines() if line.strip()] for page in done.stdout.decode().split("\f")]
    edges = [{_mask(line) for line in page[:EDGE] + page[-EDGE:]} for page in pages]
    repeated = {line for line, count in Counter(line for edge in edges for line in edge).items() if count >= 3}
    kept = []
    for page in pages:
        last = len(page) - EDGE
        kept += [line for i, line in enumerate(page) if EDGE <= i < last or _mask(line) not in repeated]
    return words_of("\n".join(kept))


def _mask(line: str) -> str:
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", " ".join(line.casefold().split()))


def share(found: Counter[object], wanted: Counter[object]) -> float:
    return sum((found & wanted).values()) / max(1, sum(wanted.values()))


def measured(reader: Reader, path: Path, reference: Sequence[str]) -> Measured:
    started = time.process_time()
    try:
        text = reader(path)
    except Exception as error:
        print(f"{path.name}: {reader.__name__}: {type(error).__name__}: {str(error)[:100]}")
        text = ""
    seconds = time.process_time() - started
    words = words_of(text)
    letters, wanted = Counter("".join(words)), Counter("".join(reference))
    return Measured(
        1 - share(Counter(letters), Counter(wanted)),
        share(Counter(words), Counter(reference)),
        share(Counter(pairwise(words)), Counter(pairwise(reference))),
        seconds,
    )


def pages_of(path: Path) -> int:
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(path) as pdf:
            return len(pdf)
    except pypdfium2.PdfiumError:
        return 0


def mean(values: Iterable[float]) -> float:
    return statistics.mean(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=40)
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--pdftotext", default="pdftotext")
    options = parser.parse_args()
    counts = {path: pages_of(path) for path in sorted(options.folder.rglob("*.pdf"))}
    files = [path for path, pages in counts.items() if 1 <= pages <= options.pages]
    files = files[:: max(1, -(-len(files) // options.most))]
    readers: list[Reader] = [ours, markitdown]
    found: dict[str, list[Measured]] = {reader.__name__: [] for reader in readers}
    pages = 0
    print(f"{'file':34} pages   lost%           words%          order%          pages/s")
    for path in files:
        reference = reference_of(options.pdftotext, path)
        if len(reference) < 50:
            continue
        pages += counts[path]
        row = [measured(reader, path, reference) for reader in readers]
        for reader, one in zip(readers, row, strict=True):
            found[reader.__name__].append(one)
        cells = [
            f"{100 * a:6.1f} {100 * b:6.1f}"
            for a, b in zip(*((m.lost, m.words, m.order) for m in row), strict=True)
        ]
        speeds = " ".join(f"{counts[path] / max(one.seconds, 1e-3):6.0f}" for one in row)
        print(f"{path.name[:34]:34} {counts[path]:5} {'  '.join(cells)}  {speeds}", flush=True)
    line: dict[str, object] = {"files": len(found["ours"]), "pages": pages}
    for name, rows in found.items():
        line[name] = {
            "lost": round(mean(one.lost for one in rows), 4),
            "words": round(mean(one.words for one in rows), 4),
            "order": round(mean(one.order for one in rows), 4),
            "pages_per_second": round(pages / sum(one.seconds for one in rows), 1),
        }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
