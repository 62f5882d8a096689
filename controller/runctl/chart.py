"""Lines over time as inline SVG: no script, no font, nothing to fetch. Pure; every text is escaped here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape

from .report import Point
from .shown import shown

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 960, 170, 78, 22, 8
"""Units of the picture: it is as wide as its page."""


@dataclass(frozen=True)
class Line:
    """`kind` is its class in the page's style. `steps`: a value holds until the next."""

    label: str
    kind: str
    points: Sequence[Point]
    steps: bool = False


@dataclass(frozen=True)
class Axis:
    """From `began` to `ended`, in seconds since the epoch."""

    began: float
    ended: float

    def x(self, at: float) -> float:
        span = max(1.0, self.ended - self.began)
        return LEFT + (WIDTH - LEFT) * min(1.0, max(0.0, (at - self.began) / span))

    def ticks(self) -> list[tuple[float, str]]:
        """At most seven, at full minutes, hours or days."""
        span = max(1.0, self.ended - self.began)
        every = next((one for one in _EVERY if span / one <= 7), _EVERY[-1] * math.ceil(span / _EVERY[-1] / 7))
        first = math.ceil(self.began / every) * every
        shape = "%d %b" if every >= 86400 else "%d %b %H:%M" if span > 86400 else "%H:%M:%S" if every < 60 else "%H:%M"
        marks = (first + n * every for n in range(int(span / every) + 1))
        return [(at, datetime.fromtimestamp(at, UTC).strftime(shape)) for at in marks if at <= self.ended]


_EVERY = (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 86400, 7 * 86400)


def chart(
    title: str, axis: Axis, lines: Sequence[Line], shown_as: Callable[[float], str], marks: Iterable[tuple[float, str, str]] = ()
) -> str:
    """`marks`: (when, class, what) of moments that go through it. A line that has no points is left out; none: no picture."""
    drawn = [whole for line in lines if (whole := _finite(line)).points]
    if not drawn:
        return ""
    values = [value for line in drawn for _, value in line.points]
    lowest = min(0.0, *values)
    top = max(*values, lowest) if max(values) > lowest else lowest + 1.0

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - lowest) / (top - lowest))

    parts: list[str] = []
    for value in (lowest, (lowest + top) / 2, top):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{safe(shown_as(value))}</text>')
    parts += times(axis, HEIGHT)
    for at, kind, what in marks:
        x = f"{axis.x(at):.1f}"
        parts.append(
            f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"><title>{safe(what)}</title></line>'
        )
    for line in drawn:
        parts.append(f'<path class="{line.kind}" d="{_path(line, axis, y)}"><title>{safe(line.label)}</title></path>')
    legend = "".join(f'<span class="key {line.kind}">{safe(line.label)}</span>' for line in drawn)
    picture = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{safe(title)}">{"".join(parts)}</svg>'
    return f"<figure><figcaption>{safe(title)} {legend}</figcaption>{picture}</figure>"


def safe(text: str) -> str:
    """What others named: nothing in it is markup, nor turns the direction of what stands beside it."""
    return escape(shown(text))


def times(axis: Axis, height: int) -> list[str]:
    """The labels below, in UTC."""
    found = []
    for at, label in axis.ticks():
        x = min(max(axis.x(at), LEFT + 20), WIDTH - 30)
        found.append(f'<text class="tick" x="{x:.1f}" y="{height - 6}" text-anchor="middle">{label}</text>')
    return found


def _finite(line: Line) -> Line:
    return replace(line, points=[point for point in line.points if math.isfinite(point[1])])


def _path(line: Line, axis: Axis, y: Callable[[float], float]) -> str:
    (first, value), *rest = line.points
    found = [f"M{axis.x(first):.1f} {y(value):.1f}"]
    for at, value in rest:
        x = f"{axis.x(at):.1f}"
        found.append(f"H{x}V{y(value):.1f}" if line.steps else f"L{x} {y(value):.1f}")
    return "".join(found)
