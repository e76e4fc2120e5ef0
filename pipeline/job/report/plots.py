"""Plots as SVG text: no script, no font, no file but the page itself. Every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH = 640
_LEFT, _RIGHT = 150, 110
COLOURS = 6
"""Series take the page's classes s0 to s5, in order."""


def _svg(height: float, title: str, body: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "label") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'


def bars(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: label, length, and what to write at its end."""
    most = max((value for _, value, _ in rows), default=0) or 1
    body = []
    for i, (label, value, caption) in enumerate(rows):
        top = 26 * i + 4
        length = (WIDTH - _LEFT - _RIGHT) * max(value, 0) / most
        body.append(_text(_LEFT - 8, top + 13, label, "end"))
        body.append(
            f'<rect x="{_LEFT}" y="{top}" width="{max(length, 1):.1f}" height="18" rx="2" class="s0">'
            f"<title>{escape(f'{label}: {caption}')}</title></rect>"
        )
        body.append(_text(_LEFT + max(length, 1) + 6, top + 13, caption, kind="value"))
    return _svg(26 * len(rows) + 6, title, body)


def histogram(title: str, edges: Sequence[float], counts: Sequence[int], unit: str) -> str:
    """Vertical bars over `edges`, which has one entry more than `counts`."""
    height, base, left = 190, 160, 30
    most = max(counts, default=0) or 1
    step = (WIDTH - 2 * left) / max(len(counts), 1)
    body = [f'<line x1="{left}" y1="{base}" x2="{WIDTH - left}" y2="{base}" class="axis"/>']
    for i, count in enumerate(counts):
        tall = (base - 20) * count / most
        what = f"{edges[i]:,.0f} to {edges[i + 1]:,.0f} {unit}: {count:,}"
        body.append(
            f'<rect x="{left + i * step + 1:.1f}" y="{base - tall:.1f}" width="{max(step - 2, 1):.1f}" '
            f'height="{tall:.1f}" class="s0"><title>{escape(what)}</title></rect>'
        )
    for i in sorted({0, len(counts) // 2, len(counts)}):
        anchor = "start" if i == 0 else "end" if i == len(counts) else "middle"
        body.append(_text(left + i * step, base + 18, f"{edges[i]:,.0f}", anchor))
    body.append(_text(left, 14, f"{most:,} at most", kind="value"))
    return _svg(height, title, body)


def lines(
    title: str, labels: Sequence[str], series: Sequence[tuple[str, Sequence[float | None]]], style: str
) -> str:
    """One line for each series over the same labels; `None` is a gap. `style`: how to format values."""
    height, top, base, left = 220, 20, 180, 60
    known = [value for _, values in series for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    if high == low:
        around = abs(low) / 2 or 0.5  # half of the least number is zero
        low, high = low - around, high + around
    across = (WIDTH - left - _RIGHT) / max(len(labels) - 1, 1)

    def x(i: int) -> float:
        return left + across * i

    def y(value: float) -> float:
        return base - (base - top) * (value - low) / (high - low)

    body = []
    for value in (low, (low + high) / 2, high):
        body.append(
            f'<line x1="{left}" y1="{y(value):.1f}" x2="{WIDTH - _RIGHT}" y2="{y(value):.1f}" class="axis"/>'
        )
        body.append(_text(left - 6, y(value) + 4, format(value, style), "end"))
    every = max(1, -(-len(labels) // 10))
    body += [_text(x(i), base + 18, label, "middle") for i, label in enumerate(labels) if i % every == 0]
    ends: list[float] = []
    for number, (name, values) in enumerate(series):
        kind = f"s{number % COLOURS}"
        points = [(x(i), y(value), value, labels[i]) for i, value in enumerate(values) if value is not None]
        for run in _runs(values):
            path = " ".join(f"{x(i):.1f},{y(values[i] or 0.0):.1f}" for i in run)
            body.append(f'<polyline points="{path}" class="line {kind}"/>')
        for px, py, value, label in points:
            what = f"{name}, {label}: {value:{style}}"
            body.append(
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" class="{kind}"><title>{escape(what)}</title></circle>'
            )
        if points:
            place = points[-1][1] + 4
            while any(abs(place - end) < 13 for end in ends):
                place += 13
            ends.append(place)
            body.append(_text(points[-1][0] + 8, place, name, kind=f"name {kind}"))
    return _svg(max([height, *(end + 12 for end in ends)]), title, body)


def _runs(values: Sequence[float | None]) -> list[list[int]]:
    """Positions of neighbours that are not `None`."""
    runs: list[list[int]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(i)
    return [run for run in runs if len(run) > 1]
