"""The rows of a view on the screen: one is under the cursor, and stays so while others come and go.

Owns cursor and scrolling; what the lines say is `lasthop.tui.views`'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.cli.table import Line

_CURSOR = Style(reverse=True)


class Rows(ScrollView, can_focus=True):
    """Lines with a cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("right", "app.next_view(1)", "Next view", show=False),
        Binding("left", "app.next_view(-1)", "View before", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end", "move(1000000)", "Last", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[Line] = []
        self._keys: list[str] = []
        self._cursor = 0

    @property
    def key(self) -> str | None:
        """That of the row under the cursor."""
        return self._keys[self._cursor] if self._keys else None

    def fill(self, lines: Sequence[Line], keys: Sequence[str]) -> None:
        """Show `lines`, which have `keys`; the cursor stays with its row if that is still there."""
        before = self.key
        self._lines, self._keys = list(lines), list(keys)
        if before in self._keys:
            self._cursor = self._keys.index(before)
        self._cursor = max(0, min(self._cursor, len(self._lines) - 1))
        self.virtual_size = Size(1, len(self._lines))
        self._keep_in_sight()
        self.refresh()

    def to_the_top(self) -> None:
        """Put the cursor on the first row: there are others now."""
        self._cursor, self._keys = 0, []

    def render_line(self, y: int) -> Strip:
        """See ScrollView."""
        index, width = y + self.scroll_offset.y, self.size.width
        if index >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        text = Text.assemble(*((piece.text, piece.style) for piece in self._lines[index]))
        if index == self._cursor and self._keys:  # without colours, which would be blocks of background
            strip = Strip([Segment(text.plain, self.rich_style + _CURSOR)])
            return strip.crop_extend(0, width, self.rich_style + _CURSOR)
        strip = Strip(
            Segment(segment.text, self.rich_style + (segment.style or Style()))
            for segment in text.render(self.app.console)
        )
        return strip.crop_extend(0, width, self.rich_style)

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._cursor = max(0, min(self._cursor + by, len(self._lines) - 1))
        self._keep_in_sight()
        self.refresh()

    def action_page(self, by: int) -> None:
        """By a screen."""
        self.action_move(by * max(1, self.size.height - 1))

    def _keep_in_sight(self) -> None:
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False)
