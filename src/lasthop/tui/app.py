"""`lasthop top` in a terminal: its keys, and what they do.

Owns the keys. They work however slow the director answers: nothing here waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from lasthop.cli.table import NOTABLE
from lasthop.tui.dialogs import Keys, Question, Whole
from lasthop.tui.screen import NAMES, Drawn, Ordered
from lasthop.tui.views import VIEWS

if TYPE_CHECKING:
    from textual.widgets import Input

_DONE = {"drain": "is drained", "enable": "is enabled", "disable": "is disabled"}


class Top(Drawn):
    """The screen with its keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"view({number - 1})", show=False) for number in range(1, len(NAMES) + 1)),
        Binding("tab", "next_view(1)", show=False, priority=True),
        Binding("shift+tab", "next_view(-1)", show=False, priority=True),
        Binding("s", "sort", show=False),
        Binding("r", "reverse", show=False),
        Binding("slash", "filter", show=False),
        Binding("escape", "unfilter", show=False),
        Binding("d", "change('drain')", show=False),
        Binding("e", "change('enable')", show=False),
        Binding("x", "change('disable')", show=False),
        Binding("enter", "whole", show=False),
        Binding("question_mark,h", "keys", show=False),
        Binding("q,ctrl+c", "quit", show=False),
    ]

    def on_mount(self) -> None:
        """Begin."""
        self._table.focus()
        self._draw()
        self._feed.start(self._view, self._order())
        self.set_interval(1.0, self._draw_frame)

    def action_view(self, number: int) -> None:
        """Show another view."""
        self._view, self._taken = VIEWS[NAMES[number]], None
        self._table.to_the_top()
        self._feed.show(self._view, self._order())
        self._close_filter()
        self._draw()

    def action_next_view(self, by: int) -> None:
        """The one beside it."""
        self.action_view((NAMES.index(self._view.name) + by) % len(NAMES))

    def action_sort(self) -> None:
        """Sort by something else."""
        name = self._view.name
        self._sorts[name] = (self._sorts.get(name, 0) + 1) % len(self._view.sorts)
        self._reversed.discard(name)
        self._feed.show(self._view, self._order())
        self._draw()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._reversed ^= {self._view.name}
        self._draw()

    def action_filter(self) -> None:
        """Ask for what rows shall have."""
        field = self._filter
        field.value = self._patterns.get(self._view.name, "")
        field.add_class("open")
        field.focus()

    def action_unfilter(self) -> None:
        """Show all rows again."""
        self._patterns.pop(self._view.name, None)
        self._close_filter()
        self._draw()

    def action_whole(self) -> None:
        """Show all that is known of the row under the cursor."""
        row = self._rows.get(self._table.key or "")
        if row is not None:
            self.push_screen(Whole(row.report))

    def action_keys(self) -> None:
        """Show the list of keys."""
        self.push_screen(Keys())

    def action_change(self, change: str) -> None:
        """Ask, then drain, enable or disable the real server under the cursor."""
        row = self._rows.get(self._table.key or "")
        if self._view.name != "servers" or row is None:
            self._say(f"to {change} a real server, choose it in view {NAMES.index('servers') + 1}", NOTABLE)
            return
        server, service = row.report["name"], row.report["service"]

        def answered(answer: str | None) -> None:
            if answer:
                self._order_change(change, server, service if answer == "one" else None)

        self.push_screen(Question(change, server, service), answered)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        if event.input.has_class("open"):
            self._patterns[self._view.name] = event.value
            self._draw()

    def on_input_submitted(self) -> None:
        """Keep it."""
        self._close_filter()

    def _order_change(self, change: str, server: str, service: str | None) -> None:
        where = f"in {service}" if service else "in every service"

        def done(warning: str) -> None:
            self.post_message(Ordered(warning or f"real server {server} {_DONE[change]} {where}", well=not warning))

        self._say(f"{change}: real server {server} {where} …", "")
        self._feed.order([{"kind": change, "server": server, "service": service}], done)

    def _close_filter(self) -> None:
        self._filter.remove_class("open")
        self._table.focus()
