"""How a demonstration looks: steps while it works, tables and a verdict afterwards.

Owns the words and colours. Nothing is decided here.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lasthop.lab.drawing import drawing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.demonstration import Outcome, Report
    from lasthop.lab.layout import Layout

_PLAIN_WIDTH = 100
_SHOWN_FAILURES = 3


def console(*, to_stderr: bool) -> Console:
    """A console for human text: coloured on a terminal, plain and 100 columns wide in a pipe."""
    made = Console(stderr=to_stderr, highlight=False)
    if not made.is_terminal:
        made = Console(stderr=to_stderr, highlight=False, width=_PLAIN_WIDTH, no_color=True)
    return made


class Presentation:
    """Shows a demonstration on a console."""

    def __init__(self, output: Console) -> None:
        self._output = output

    def line(self, text: str = "") -> None:
        """One line of text, as it is."""
        self._output.print(escape(text), soft_wrap=True)

    def title(self, text: str) -> None:
        """A heading."""
        self._output.print(f"\n[bold]{escape(text)}[/bold]")

    def draw(self, drawn: Layout, *, inner_router: bool) -> None:
        """The topology."""
        self._output.print()
        for text in drawing(drawn, inner_router=inner_router):
            self._output.print(f"  [cyan]{escape(text)}[/cyan]", soft_wrap=True)
        self._output.print()

    @contextmanager
    def step(self, doing: str) -> Iterator[list[str]]:
        """A spinner on a terminal while something is done, then a line; the block may add words to the line."""
        words: list[str] = []
        start = time.monotonic()
        with self._output.status(escape(doing)):
            yield words
        detail = f": {', '.join(words)}" if words else ""
        self._output.print(f"  {escape(doing + detail)} [dim]({time.monotonic() - start:.1f} s)[/dim]", soft_wrap=True)

    def verdict(self, holds: bool, text: str) -> None:
        """A line with its sign."""
        sign = "[bold green]ok  [/bold green]" if holds else "[bold red]FAIL[/bold red]"
        self._output.print(f"  {sign} {escape(text)}", soft_wrap=True)

    def firewalls(self, outcome: Outcome) -> None:
        """What each firewall saw."""
        self.title("What each firewall saw")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("firewall")
        for heading in ("requests", "responses", "packets out", "packets back", "dropped"):
            table.add_column(heading, justify="right")
        for name, view in outcome.symmetry.per_firewall.items():
            dropped = view.packets.invalid + view.packets.refused
            table.add_row(
                f"[cyan]{name}[/cyan]",
                f"{view.requests:,}",
                f"{view.responses:,}",
                f"{view.packets.requests:,}",
                f"{view.packets.responses:,}",
                f"[red]{dropped:,}[/red]" if dropped else "0",
            )
        self._output.print(table)
        self.line("  requests, responses: connections whose requests, whose responses, it saw and let pass")

    def connections(self, outcome: Outcome) -> None:
        """Some connections, each as every zone has it."""
        self.title("Some of the connections, as `lasthop connections` has them")
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for heading in ("connection", "zone", "state", "requests to", "responses to"):
            table.add_column(heading, no_wrap=True)
        for attempt, reports in outcome.examples:
            for number, report in enumerate(reports):
                table.add_row(str(attempt) if number == 0 else "", *_row(report))
        self._output.print(table)
        self.line("  responses to: the last hop, remembered from the request; no routing table is asked")

    def failures(self, outcome: Outcome) -> None:
        """The first few things that went wrong."""
        problems = [f"{attempt}: {attempt.problem}" for attempt in outcome.attempts if attempt.problem]
        problems += [text for text in outcome.symmetry.asymmetric if text.endswith("(completed)")]
        for proof in outcome.transparency:
            problems += [f"{proof.director}: {example[:88]}" for example in proof.examples]
        for text in problems[:_SHOWN_FAILURES]:
            self.line(f"       {text}")
        if len(problems) > _SHOWN_FAILURES:
            self.line(f"       and {len(problems) - _SHOWN_FAILURES} more")


def _row(report: Report) -> tuple[str, str, str, str]:
    last_hop = report["last_hop"]
    return (
        report["zone"],
        report["state"],
        f"[cyan]{report['real_server']}[/cyan]",
        f"[magenta]{last_hop['name']}[/magenta] [dim]{last_hop['mac']}[/dim]",
    )
