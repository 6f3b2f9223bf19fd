"""The screen of `lasthop top`: a line about the director, a view, and a line about keys or what went wrong.

Owns what is drawn, and from what. Keys are `lasthop.tui.app`'s; what is asked of the director is asked in other threads
(`lasthop.tui.feed`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import App
from textual.message import Message
from textual.widgets import Input, Static

from lasthop.cli.table import BAD, FAINT, HEADER_STYLE, Line, Styled, layout
from lasthop.tui.feed import Feed
from lasthop.tui.heading import fitted, heading
from lasthop.tui.rows import Rows
from lasthop.tui.views import VIEWS, Row, Sort, View, chosen

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.events import Resize

    from lasthop.api.client import Client
    from lasthop.tui.snapshot import Snapshot

#: A message about an order stays so long.
MESSAGE_S = 8.0
#: The director is called silent after this many seconds without an answer that was due.
SILENT_S = 3.0
NAMES = list(VIEWS)
_HINTS = ("? keys", "s sort", "/ filter", "Enter all of it", "q quit")
_SERVER_HINTS = ("? keys", "d drain", "e enable", "x disable", "s sort", "/ filter", "q quit")


class Answered(Message):
    """The director answered, or could not."""

    def __init__(self, answer: Snapshot | str) -> None:
        super().__init__()
        self.answer = answer


class Ordered(Message):
    """An order was carried out, or refused."""

    def __init__(self, told: str, *, well: bool) -> None:
        super().__init__()
        self.told = told
        self.well = well


class Drawn(App[None]):
    """The screen, without its keys."""

    CSS = """
    Screen { layout: vertical; overflow: hidden; }
    Static { height: 1; width: 100%; }
    Rows { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; overflow-y: auto; scrollbar-gutter: stable; }
    Input { height: 1; border: none; padding: 0; display: none; }
    Input.open { display: block; }
    Question, Keys, Whole { align: center middle; }
    .dialog { width: auto; max-width: 100%; height: auto; border: round; padding: 0 1; }
    .dialog Static { width: auto; height: auto; }
    """
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, client: Client, view: str, interval_s: float) -> None:
        super().__init__(ansi_color=True)
        self._feed = Feed(client, interval_s, self._answer)
        self._view: View = VIEWS[view]
        self._interval_s = interval_s
        self._sorts: dict[str, int] = {}
        """View -> number of its order."""
        self._reversed: set[str] = set()
        self._patterns: dict[str, str] = {}
        self._taken: Snapshot | None = None
        self._answered_at = time.monotonic()
        self._problem = ""
        self._message: Styled | None = None
        self._message_until = 0.0
        self._rows: dict[str, Row] = {}
        self._heading, self._tabs, self._columns, self._foot = Static(), Static(), Static(), Static()
        self._table = Rows()
        self._filter = Input(placeholder="part of any cell", compact=True)

    def compose(self) -> ComposeResult:
        """See App."""
        yield from (self._heading, self._tabs, self._columns, self._table, self._filter, self._foot)

    def on_unmount(self) -> None:
        """End."""
        self._feed.end()

    def on_resize(self, _event: Resize) -> None:
        """Another width has other columns."""
        self.call_after_refresh(self._draw)

    def on_answered(self, message: Answered) -> None:
        """Show it; what was asked for a view that is no longer shown is about the director all the same."""
        self._answered_at = time.monotonic()
        if isinstance(message.answer, str):
            self._problem = message.answer
        else:
            self._problem = ""
            if message.answer.view == self._view.name:
                self._taken = message.answer
        self._draw()

    def on_ordered(self, message: Ordered) -> None:
        """Say so for a while."""
        self._say(message.told, "" if message.well else BAD)

    def _answer(self, answer: Snapshot | str) -> None:
        """Called in the feed's thread."""
        self.post_message(Answered(answer))

    def _say(self, text: str, style: str) -> None:
        self._message, self._message_until = Styled(text, style), time.monotonic() + MESSAGE_S
        self._draw_frame()

    def _order(self) -> str:
        """What connections are the biggest by."""
        return self._sort().name if self._view.name == "connections" else ""

    def _sort(self) -> Sort:
        return self._view.sorts[self._sorts.get(self._view.name, 0)]

    def _draw(self) -> None:
        """The whole screen, from what is known. Messages may come after its end."""
        if not self._table.is_attached:
            return
        view, taken = self._view, self._taken
        rows: list[Row] = []
        if taken is not None:
            rows = chosen(view, taken.reports, self._sort(), self._patterns.get(view.name, ""))
        if view.name in self._reversed:
            rows.reverse()
        width = max(1, self.size.width - 1)
        lines = layout(view.columns, [row.cells for row in rows], width).lines
        self._rows = {row.key: row for row in rows}
        _put(self._columns, lines[0])
        if rows or taken is None:
            self._table.fill(lines[1:], list(self._rows))
        else:
            told = "No row has that." if self._patterns.get(view.name) else view.empty
            self._table.fill([[Styled(told, FAINT)]], [])
        self._draw_frame()

    def _draw_frame(self) -> None:
        """The lines around the rows, which change with time, too."""
        if not self._table.is_attached:
            return
        width = self.size.width
        silent = time.monotonic() - self._answered_at - self._interval_s
        clock = self._taken.clock if self._taken else ""
        trouble = ""
        if self._problem:
            trouble = f" {self._problem}; waiting for it"
        elif silent > SILENT_S:
            trouble = f" no answer for {silent:.0f} s; asking on"
        if trouble:
            _put(self._heading, [Styled(trouble[:width].ljust(width), "bold reverse")])
        elif self._taken:
            _put(self._heading, heading(self._taken.status, clock, width))
        _put(self._tabs, _tabs(self._view.name, width))
        if self._message and time.monotonic() < self._message_until:
            _put(self._foot, [Styled(self._message.text[:width], self._message.style)])
        else:
            _put(self._foot, self._footing(width))

    def _footing(self, width: int) -> Line:
        pattern = self._patterns.get(self._view.name, "")
        turned = ", reversed" if self._view.name in self._reversed else ""
        told = f"by {self._sort().name}{turned}" + (f", with {pattern!r}" if pattern else "")
        hints = _SERVER_HINTS if self._view.name == "servers" else _HINTS
        return fitted([Styled(told, HEADER_STYLE)], hints, Styled(""), width, "   ")


def _tabs(shown: str, width: int) -> Line:
    """The views and the keys they have."""
    tabs = [
        Styled(f" {number} {name} ", "bold reverse" if name == shown else "") for number, name in enumerate(NAMES, 1)
    ]
    return fitted(tabs, [], Styled(""), width)


def _put(where: Static, line: Line) -> None:
    where.update(Text.assemble(*((piece.text, piece.style) for piece in line), no_wrap=True, overflow="ellipsis"))
