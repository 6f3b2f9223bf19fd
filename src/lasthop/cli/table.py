"""Tables: aligned plain text, one line per row; coloured and fitted to the width in a terminal.

Owns layout only: what the columns are is each noun's business. Columns are parted by two spaces and
no cell holds two in a row, so that piped output can be cut apart again.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GAP = "  "
HEADER_STYLE = "bold"
GOOD = "green"
BAD = "bold red"
NOTABLE = "yellow"
FAINT = "dim"
#: A cell shortened to fit keeps this many characters.
SHORTEST = 8


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    header: str
    right: bool = False
    """Numbers are aligned to the right."""
    spare: int = 0
    """0: always shown. Otherwise left out of a terminal that is too narrow, the highest first."""
    shrinks: bool = False
    """Shortened when leaving columns out was not enough."""
    wraps: bool = False
    """Goes on in further lines of a terminal; for the last column."""


class Styled(NamedTuple):
    """A cell, or a piece of a line, with its style in a terminal."""

    text: str
    style: str = ""


Cell = str | Styled
Line = list[Styled]


class Layout(NamedTuple):
    """A table ready to print, and the headers of the columns there was no room for."""

    lines: list[Line]
    left_out: list[str]


def layout(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], width: int | None = None) -> Layout:
    """Align `rows` under `columns`. `width` is the terminal's; None leaves nothing out and shortens nothing."""
    cells = [[cell if isinstance(cell, Styled) else Styled(cell) for cell in row] for row in rows]
    widths = [
        max(len(column.header), *(len(row[index].text) for row in cells)) if cells else len(column.header)
        for index, column in enumerate(columns)
    ]
    shown = list(range(len(columns)))
    if width is not None:
        shown = _fitting(columns, widths, width)
        _shorten(columns, widths, shown, width)
    header = [Styled(column.header, HEADER_STYLE) for column in columns]
    lines = [_line(part, columns, widths, shown) for row in [header, *cells] for part in _wrapped(row, columns, widths)]
    return Layout(lines, [column.header for index, column in enumerate(columns) if index not in shown])


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, empty: str) -> None:
    """Print a table to standard output; `empty` is the sentence that replaces an empty one in a terminal."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if width is not None and not rows:
        print_lines([[Styled(empty)]])
        return
    table = layout(columns, rows, width)
    lines = table.lines
    if width is not None and table.left_out:
        note = f"No room for {', '.join(table.left_out)}: pipe it, or ask for --json."
        lines = [*lines, *([Styled(part, FAINT)] for part in textwrap.wrap(note, width))]
    print_lines(lines)


def print_lines(lines: Iterable[Line]) -> None:
    """Print lines to standard output: with their styles in a terminal, as plain text elsewhere."""
    if not sys.stdout.isatty():
        # A write each: under PYTHONUNBUFFERED what one long write cannot place is lost without an error.
        sys.stdout.writelines("".join(piece.text for piece in line).rstrip() + "\n" for line in lines)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines:
        text = Text.assemble(*((piece.text, piece.style) for piece in line))
        text.rstrip()
        console.print(text, soft_wrap=True)


def _fitting(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    shown = list(range(len(columns)))
    while _total(widths, shown) > width:
        index = max(shown, key=lambda index: columns[index].spare)
        if not columns[index].spare:
            break
        shown.remove(index)
    return shown


def _shorten(columns: Sequence[Column], widths: list[int], shown: Sequence[int], width: int) -> None:
    for index in reversed(shown):
        excess = _total(widths, shown) - width
        if excess > 0 and (columns[index].shrinks or columns[index].wraps):
            widths[index] = max(widths[index] - excess, min(widths[index], max(SHORTEST, len(columns[index].header))))


def _wrapped(row: list[Styled], columns: Sequence[Column], widths: Sequence[int]) -> list[list[Styled]]:
    """The row, and what of its last cell goes into further lines."""
    last = row[-1]
    if not columns[-1].wraps or len(last.text) <= widths[-1]:
        return [row]
    first, *others = textwrap.wrap(last.text, widths[-1])
    blank = [Styled("")] * (len(row) - 1)
    return [[*row[:-1], Styled(first, last.style)], *([*blank, Styled(part, last.style)] for part in others)]


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + len(GAP) * (len(shown) - 1)


def _line(row: Sequence[Styled], columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int]) -> Line:
    line: Line = []
    for index in shown:
        text, room = row[index].text, widths[index]
        if len(text) > room:
            text = text[: room - 1] + "…"
        padding = " " * (room - len(text))
        if line:
            line.append(Styled(GAP))
        line.append(Styled(padding + text if columns[index].right else text + padding, row[index].style))
    return line
