"""What stands in front of a view: the question before a change, and the list of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.app import ComposeResult

    from lasthop.api.client import Report

_KEYS = """\
1 to 7, Tab  another view
arrows       move; also j k PgUp PgDn Home End
Enter        all that is known of a row
s  r         sort by something else; turn the order round
/            filter while you type: Enter keeps it, Escape ends it
d            drain a real server: no new connections, it keeps its own
e            enable it again
x            disable it at once: its connections go the way of on_death
?  q         this; end

CONN/S, PKT/S, BYTE/S: a moving average, both directions together.
WEIGHT: effective/configured, where they differ.

Any key closes this."""

CHANGES = {
    "drain": "Drain real server {}: no new connections?",
    "enable": "Enable real server {}: new connections again?",
    "disable": "Disable real server {} at once? Its connections go the way of on_death.",
}


class Question(ModalScreen[str]):
    """Asks whether a change is meant: ``all``, ``one`` service, or empty for no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer('all')", show=False),
        Binding("s", "answer('one')", show=False),
        Binding("n,escape,q,enter,space", "answer('')", show=False),
    ]

    def __init__(self, change: str, server: str, service: str) -> None:
        super().__init__()
        self._text = CHANGES[change].format(server)
        self._service = service

    def compose(self) -> ComposeResult:
        """See Screen."""
        with Vertical(classes="dialog"):
            yield Static(self._text, markup=False)
            yield Static("")
            yield Static(f" y  yes, in every service\n s  yes, in {self._service} alone\n n  no", markup=False)

    def action_answer(self, answer: str) -> None:
        """Close with it."""
        self.dismiss(answer)


class Keys(ModalScreen[None]):
    """The list of keys."""

    def compose(self) -> ComposeResult:
        """See Screen."""
        with Vertical(classes="dialog"):
            yield Static(_KEYS, markup=False)

    def on_key(self) -> None:
        """Any of them."""
        self.dismiss()


class Whole(ModalScreen[None]):
    """Everything of one report."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,space", "close", show=False)]

    def __init__(self, report: Report) -> None:
        super().__init__()
        self._report = report

    def compose(self) -> ComposeResult:
        """See Screen."""
        told = list(_told(self._report))
        width = max(len(name) for name, _ in told)
        with VerticalScroll(classes="dialog"):
            yield Static("\n".join(f"{name:<{width}}  {value}" for name, value in told), markup=False)

    def action_close(self) -> None:
        """Back to the view."""
        self.dismiss()


def _told(report: Report, before: str = "") -> Iterator[tuple[str, str]]:
    """Each field that has something, those of what is inside it beside its own name."""
    for name, value in report.items():
        if isinstance(value, dict):
            yield from _told(value, f"{before}{name}.")
        elif value not in (None, "", []):
            yield f"{before}{name}", f"{value:.2f}" if isinstance(value, float) else str(value)
