"""The first line of `lasthop top`: the director at a glance, in the width there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.cli.table import BAD, FAINT, GOOD, Line, Styled
from lasthop.cli.text import count
from lasthop.tui.views import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.api.client import Report


def heading(status: Report, clock: str, width: int) -> Line:
    """Name, verdict, connections, legs, real servers; what does not fit is left out, the last first."""
    well = not status["problems"] and not status["unresolved"] and status["legs_up"] == status["legs"]
    verdict = Styled("all well", GOOD) if well else Styled("needs attention", BAD)
    parts = [
        f"{short(status['connections'])} of {short(status['connections_max'])} connections",
        f"{status['legs_up']}/{count(status['legs'], 'leg')} up",
        f"{count(status['real_servers'], 'real server')}",
        *([count(len(status["problems"]), "problem")] if status["problems"] else []),
    ]
    name = f"{status['director']}: "
    return fitted([Styled(name, "bold"), verdict], parts, Styled(clock, FAINT), width)


def fitted(first: Line, parts: Sequence[str], last: Styled, width: int, between: str = ", ") -> Line:
    """`first`, as many of `parts` as there is room for, and `last` at the right edge."""
    line = list(first)
    room = width - len(last.text) - 1
    for part in parts:
        piece = f"{between}{part}"
        if length(line) + len(piece) > room:
            break
        line.append(Styled(piece))
    gap = width - length(line) - len(last.text)
    return [*line, Styled(" " * gap), last] if gap > 0 else line


def length(line: Line) -> int:
    """Characters of a line."""
    return sum(len(piece.text) for piece in line)
