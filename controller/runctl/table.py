"""A table for people: laid out for a terminal as wide as it is, or whole where nobody's terminal limits it. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .shown import shown

GAP = "  "
STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
"""Select Graphic Rendition (ECMA-48)."""


class Cell(NamedTuple):
    """`text` is shown on one line, whatever is in it."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """`worth` 0 is always there; of the others the highest goes first where they don't fit. `optional`: not where it is empty."""

    name: str
    worth: int = 0
    optional: bool = False
    right: bool = False


def laid_out(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int | None, *, colour: bool = False) -> list[str]:
    """The lines, with the columns' names above; `width` None: as wide as it gets."""
    cells = [[Cell(shown(cell.text), cell.style) for cell in row] for row in rows]
    widths = [max([len(one.name), *(_width(row[n].text) for row in cells)]) for n, one in enumerate(columns)]
    kept = [n for n, one in enumerate(columns) if not one.optional or any(row[n].text for row in cells)]
    while width is not None and _across(kept, widths) > width and any(columns[n].worth for n in kept):
        kept.remove(max(kept, key=lambda n: columns[n].worth))
    head = [Cell(one.name, "bold") for one in columns]
    return [_line(row, kept, columns, widths, colour=colour) for row in (head, *cells)]


def styled(text: str, style: str, *, colour: bool) -> str:
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if colour and style and text else text


def fitted(text: str, width: int) -> str:
    """At most so many columns; what is cut off is said so."""
    if _width(text) <= width:
        return text
    while text and _width(text) > width - 3:
        text = text[: min(len(text) - 1, max(0, width))]
    return text + "..."[: max(0, width)]


def wrapped(text: str, width: int) -> list[str]:
    """Its lines, none longer than the terminal is wide, broken between words; what goes on stands further in."""
    lines: list[str] = []
    for line in map(shown, text.split("\n")):
        inner = " " * (len(line) - len(line.lstrip()) + 2)
        lines += textwrap.wrap(
            line, width, subsequent_indent=inner, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
        ) or [""]
    return lines


def _across(kept: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[n] for n in kept) + len(GAP) * (len(kept) - 1)


def _line(row: Sequence[Cell], kept: Sequence[int], columns: Sequence[Column], widths: Sequence[int], *, colour: bool) -> str:
    parts = []
    for n in kept:
        text, room = row[n].text, " " * (widths[n] - _width(row[n].text))
        seen = styled(text, row[n].style, colour=colour)
        parts.append(room + seen if columns[n].right else seen + (room if n != kept[-1] else ""))
    return GAP.join(parts).rstrip()


def _width(text: str) -> int:
    """Columns of a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
