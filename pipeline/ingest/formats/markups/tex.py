"""LaTeX → Markdown: sections, paragraphs, lists and code; formulas as they are written, commands as their text."""

from __future__ import annotations

import re
import unicodedata

from pipeline.ingest.formats.markup import fenced, heading

_LEVELS = {"part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4, "paragraph": 5}
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%[^\n]*\n?")
_VERBATIM = re.compile(r"\\begin\{(verbatim|lstlisting|minted|Verbatim|alltt)\*?\}(.*?)\\end\{\1\*?\}", re.DOTALL)
_HEADING = re.compile(r"\\(part|chapter|section|subsection|subsubsection|paragraph)\*?\s*(?:\[[^\]]*\])?\s*\{")
_MATHS = re.compile(r"\\(begin|end)\{(equation|align|gather|multline|eqnarray|displaymath|math)\*?\}")
_DROPPED = re.compile(
    r"~?\\(?:label|cite[a-z]*|ref|eqref|pageref|autoref|cref|Cref|includegraphics|input|include|bibliography\w*|usepackage|"
    r"documentclass|vspace|hspace|pagestyle|thispagestyle|setlength|newcommand|renewcommand|index|date|author|title|"
    r"thanks|hypersetup|graphicspath|addcontentsline|setcounter|addtocounter|definecolor)\*?\s*"
    r"(?:\[[^\[\]]*\]\s*)*(?:\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}\s*)*"
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[\w*]+\}(?:\[[^\[\]]*\])?")
_TABULAR = re.compile(r"\\begin\{(?:tabular|tabularx|longtable|array)\*?\}(?:\[[^\]]*\])?(?:\{[^{}]*\}){1,2}")
_ITEM = re.compile(r"\s*\\item\s*(?:\[([^\[\]]*)\])?\s*")
_HREF = re.compile(r"\\href\{([^{}]*)\}\{([^{}]*)\}")
_ARGUMENT = re.compile(r"\\[A-Za-z]+\*?(?:\[[^\[\]]*\])?\{([^{}]*)\}")
_COMMAND = re.compile(r"\\(?:[A-Za-z]+\*?|[,;:!> ])[ \t]*")
_ACCENT = re.compile(r"""\\(["'`^~=.cvuHk])\s*\{?\\?([A-Za-z])\}?""")
_MARKS = {'"': "\u0308", "'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", "=": "\u0304", ".": "\u0307"}
_ESCAPED = re.compile(r"\\([%&$#_{}])")
_PLACE = re.compile("\ue000(\\d+)\ue001")
_FORMULA = re.compile(r"\$\$.+?\$\$|(?<!\\)\$[^$\n]{1,500}\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)


def tex(text: str) -> tuple[str, str]:
    """The Markdown of a document's body, and its title."""
    kept: list[str] = []

    def keep(part: str) -> str:
        kept.append(part)
        return f"\ue000{len(kept) - 1}\ue001"

    text = text.replace("\ue000", "").replace("\ue001", "")
    text = _VERBATIM.sub(lambda match: "\n\n" + keep(fenced(_code(match[1], match[2]))) + "\n\n", text)
    text = _COMMENT.sub(r"\1", text)
    title = _plain(_argument(text, text.find("\\title{") + 7)) if "\\title{" in text else ""
    begin, end = text.find("\\begin{document}"), text.rfind("\\end{document}")
    body = text[begin + 16 if begin >= 0 else 0 : end if end > begin else len(text)]
    body = _MATHS.sub(lambda match: "$$", body)
    body = _FORMULA.sub(lambda match: keep(match[0]), body)
    out: list[str] = []
    place = 0
    for match in _HEADING.finditer(body):
        if match.start() < place:
            continue
        out.append(_reduced(body[place : match.start()]))
        name = _argument(body, match.end())
        out.append(heading(_LEVELS[match[1]], _plain(name)))
        place = match.end() + len(name) + 1
    out.append(_reduced(body[place:]))
    written = "\n\n".join(part for part in out if part.strip("# "))
    return _PLACE.sub(lambda match: kept[int(match[1])], written).strip(), _PLACE.sub(
        lambda match: kept[int(match[1])], title
    )


def _code(kind: str, code: str) -> str:
    lines = code.split("\n")
    return "\n".join(lines[1:] if kind in ("lstlisting", "minted") or not lines[0].strip() else lines).rstrip()


def _argument(text: str, start: int) -> str:
    """What stands up to the brace that closes the one before `start`."""
    depth = 1
    for place in range(start, min(len(text), start + 2000)):
        if text[place - 1] != "\\":
            depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return text[start:place]
    return ""


def _reduced(text: str) -> str:
    text = _DROPPED.sub("", text)
    text = _TABULAR.sub("\n\n", text)
    text = _ITEM.sub(lambda match: f"\n- {match[1] + ': ' if match[1] else ''}", text)
    text = _ENVIRONMENT.sub("\n\n", text)
    text = re.sub(r"\\\\(?:\[[^\]]*\])?", "\n", text)
    text = re.sub(r"(?<!\\)&", " | ", text)
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(filter(None, map(_plain_lines, paragraphs)))


def _plain_lines(paragraph: str) -> str:
    lines = [_plain(line) for line in re.split(r"\n(?=- )", paragraph.strip())]
    return "\n".join(line for line in lines if line not in ("", "-"))


def _plain(text: str) -> str:
    """Text without commands: what an argument says stays, and accents are put together."""
    text = _HREF.sub(r"[\2](\1)", text)
    text = _ACCENT.sub(lambda match: match[2] + _MARKS[match[1]] if match[1] in _MARKS else match[0], text)
    for _ in range(6):
        text, changed = _ARGUMENT.subn(r"\1", text)
        if not changed:
            break
    text = text.replace("~", " ").replace("---", "—").replace("--", "–").replace("``", "“").replace("''", "”")
    text = _ESCAPED.sub(r"\1", _COMMAND.sub("", re.sub(r"(?<!\\)[{}]", "", text)))

    return unicodedata.normalize("NFC", " ".join(text.split()))
