"""RTF → Markdown: headings, paragraphs, points and tables; fonts, pictures and other destinations gone."""

from __future__ import annotations

import codecs
import re

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.fields import oversize
from pipeline.ingest.formats.markups.rtf_blocks import CELL, HEADING, ROW, TABLE, blocks

DEEPEST = 1000
_TOKEN = re.compile(
    rb"\\([A-Za-z]{1,32})(-?\d{1,10})? ?|\\'([0-9A-Fa-f]{2})|\\([^A-Za-z])|([{}])|[\r\n]+|([^\\{}\r\n]+)"
)
_DESTINATIONS = """
fonttbl colortbl stylesheet info pict object header headerl headerr headerf footer footerl footerr footerf listtable
listoverridetable revtbl rsidtbl generator themedata colorschememapping datastore latentstyles xmlnstbl fldinst
bkmkstart bkmkend bkmkcolf filetbl shppict nonshppict mmathPr pgptbl
"""
_LEFT_OUT = frozenset(_DESTINATIONS.split())
_SHOWN = {
    "par": "\n\n", "sect": "\n\n", "page": "\n\n", "line": "\n", "row": ROW, "cell": CELL, "trowd": TABLE,
    "nestcell": " | ", "nestrow": "\n", "tab": "\t", "emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘",
    "rquote": "’", "ldblquote": "“", "rdblquote": "”", "emspace": " ", "enspace": " ",
}  # fmt: skip
_CHARSETS = {128: "cp932", 129: "cp949", 134: "gb18030", 136: "big5", 161: "cp1253", 162: "cp1254", 177: "cp1255",
             178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250"}  # fmt: skip


def rtf(data: bytes, limit: int) -> tuple[str, str]:
    """The Markdown of a file, `limit` bytes at most, and the title that it names. Raises `UnreadableError`."""
    if not data.lstrip()[:5] == b"{\\rtf":
        raise UnreadableError("broken .rtf file: it does not begin with {\\rtf")
    reader = _Reader(limit)
    place = 0
    while match := _TOKEN.search(data, place):
        reader.take(match)
        place = match.end() + reader.binary
        reader.binary = 0
    reader.end()
    return blocks(_joined(reader.parts)), " ".join(_joined(reader.title).split())


def _joined(parts: list[str]) -> str:
    """Characters beyond the first 65,536 are written as two halves, each by itself."""
    return "".join(parts).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Reader:
    """What a group changes ends with it: whether text is shown, the code page, what stands for a character.

    `binary`: how many bytes that follow are no text. Where text goes: `text`, `title`, `mark` (a point's own sign),
    `fonts`, `info`, `nowhere`.
    """

    def __init__(self, limit: int) -> None:
        self.parts: list[str] = []
        self.title: list[str] = []
        self.binary = 0
        self._limit, self._size = limit, 0
        self._stack: list[tuple[str, str, int, bool]] = []
        self._where, self._codec, self._after = "text", "cp1252", 1
        self._page, self._fonts = "cp1252", dict[int, str]()
        self._font, self._skip, self._first, self._star = -1, 0, False, False
        self._bytes = bytearray()
        self._hidden, self._level, self._mark = False, "", ""

    def take(self, match: re.Match[bytes]) -> None:
        word, number, code, sign, brace, plain = match.groups()
        if plain is not None or code is not None:
            for byte in plain if plain is not None else bytes.fromhex(code.decode()):
                if self._skip:
                    self._skip -= 1
                else:
                    self._bytes.append(byte)
            self._first = False
            return
        self.flush()
        if brace == b"{":
            if len(self._stack) >= DEEPEST:
                raise UnreadableError("nested too deeply")
            self._stack.append((self._where, self._codec, self._after, self._hidden))
            self._first, self._skip = True, 0
        elif brace == b"}":
            if self._stack:
                where = self._where
                self._where, self._codec, self._after, self._hidden = self._stack.pop()
                if where == "mark" != self._where:
                    self._point()
            self._skip = 0
        elif sign is not None:
            self._sign(sign)
        elif word is not None:
            self._word(word.decode(), int(number) if number else None)

    def flush(self) -> None:
        """Bytes of one code page, put together before anything else is said."""
        if self._bytes:
            self._say(self._bytes.decode(self._codec, "replace"))
            self._bytes.clear()

    def end(self) -> None:
        """What a last paragraph without an end needs."""
        self.flush()
        self._say(self._level)

    def _say(self, text: str) -> None:
        if self._where == "title":
            self.title.append(text)
        elif self._where == "mark":
            self._mark += text
        elif self._where == "text" and not self._hidden:
            self.parts.append(text)
            self._size += len(text.encode("utf-8", "replace"))
            if self._size > self._limit:
                raise oversize(self._limit)

    def _point(self) -> None:
        """Say the number of a point, or that it is one."""
        mark, self._mark = self._mark.strip(), ""
        self._say(f"{mark} " if re.search(r"[^\W_]", mark) else "- ")

    def _sign(self, sign: bytes) -> None:
        if sign == b"*" and self._first:
            self._where = "nowhere"
        elif sign in (b"\n", b"\r"):
            self._say("\n\n")
        else:
            self._say({b"~": "\u00a0", b"-": "", b"_": "-"}.get(sign, sign.decode("latin-1")))

    def _word(self, word: str, number: int | None) -> None:
        first, self._first = self._first, False
        if first and word == "title" and self._where in ("info", "nowhere"):
            self._where = "title"
        elif first and word in ("pntext", "listtext") and self._where == "text":
            self._where = "mark"
        elif first and word == "shptxt":
            self._where = "text"
            self._say("\n\n")
        elif first and word in _LEFT_OUT:
            self._where = {"fonttbl": "fonts", "info": "info"}.get(word, "nowhere")
        elif word == "ansicpg" and number is not None:
            self._page = self._codec = _codec(f"cp{number}", self._page)
        elif word == "uc" and number is not None:
            self._after = min(max(number, 0), 10)
        elif word == "u" and number is not None:
            value = number + 65536 if number < 0 else number
            self._say(chr(value) if value < 0x110000 else "\ufffd")
            self._skip = self._after
        elif word == "f" and number is not None:
            self._font = number
            if self._where != "fonts":
                self._codec = self._fonts.get(number, self._page)
        elif word == "fcharset" and self._where == "fonts":
            self._fonts[self._font] = _CHARSETS.get(number or 0, self._page)
        elif word == "bin":
            self.binary = max(number or 0, 0)
        elif word == "plain":
            self._codec, self._hidden = self._page, False
        elif word in ("v", "deleted"):
            self._hidden = number != 0
        elif word in ("pard", "outlinelevel") and self._where == "text":
            self._level = HEADING.format(number + 1) if number is not None and 0 <= number < 6 else ""
        elif word in _SHOWN:
            self._say(self._level + _SHOWN[word] if word == "par" else _SHOWN[word])


def _codec(name: str, otherwise: str) -> str:
    try:
        return codecs.lookup({"cp65001": "utf-8"}.get(name, name)).name
    except LookupError:
        return otherwise
